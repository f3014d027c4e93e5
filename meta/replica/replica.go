package replica

import (
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/quorum"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/state"
)

// Replica is one Raft peer. Its exported methods are safe for concurrent use; all else belongs to its host's goroutine.
type Replica struct {
	host *Host
	rng  ids.Range
	id   ids.Replica

	running bool // takes part
	marked  bool // in the host's list
	rn      *raft.RawNode
	store   *store
	conf    *conf
	quorum  quorum.JointConfig
	machine *state.Machine
	at      entryID // applied
	buf     []byte  // of the record
	ready   raft.Ready
	busy    bool     // a snapshot is being ingested: nothing is stepped
	removed bool     // left the configuration
	steady  []uint64 // a buffer of steadyPeers
	resetAt Pos      // of the reset record of the snapshot that is being ingested
	staged  *staged
	taking  *state.Span // what a snapshot that is staged or being ingested covers
	unborn  bool        // in the log, but the rows do not have the split yet that brings its own: see split.go

	clocks clocks

	term         uint64
	leading      bool // Raft's leader of term
	serving      bool // leading, and the term's first entry is applied
	termStart    uint64
	transferring bool   // a transfer began in this term: no lease any more
	votesAfter   int64  // no vote before (I8)
	campaigns    int    // how often it still asks for leadership, a tick apart, while nobody has it
	splits       uint64 // index of a Split that it proposed: its commit is not left for the next heartbeat to tell

	waiting  []*proposal          // until serving
	stepped  []*proposal          // in Raft, index not yet known
	inflight map[uint64]*proposal // by index
	reads    readQueue

	rounds  map[ids.Replica]round // as follower: the newest heartbeat from each leader
	answers answers               // as leader: send time of the newest heartbeat each voter answered

	pub  published
	load load
}

// round is a heartbeat's mark.
type round struct {
	term uint64
	at   int64
}

// published is what other goroutines see.
type published struct {
	queued     atomic.Int64  // proposals not yet answered
	leader     atomic.Uint64 // as far as known
	term       atomic.Uint64
	serving    atomic.Bool
	commit     atomic.Uint64
	applied    atomic.Uint64
	stamp      atomic.Uint64 // of the newest command applied
	leaseUntil atomic.Int64  // host's clock; 0 none
	receiving  atomic.Bool   // a snapshot comes in
	running    atomic.Bool
	gen        atomic.Uint64
	last       atomic.Pointer[entryID]
	span       atomic.Pointer[state.Span]
	ownKey     []byte                // of its own row; set once
	median     atomic.Pointer[int64] // of the voters' clocks, as clocks keeps it; nil: not known

	mu      sync.Mutex
	waits   []appliedWait
	conf    *conf
	match   map[ids.Replica]uint64 // as leader, at the last tick
	changed chan struct{}          // closed and renewed at each change of conf, leader or match
	deposed chan struct{}          // closed and renewed by Depose
	stopped error
}

type appliedWait struct {
	index uint64
	done  chan struct{}
}

// answers implements quorum.AckedIndexer over send times.
type answers map[uint64]int64

func (a answers) AckedIndex(id uint64) (quorum.Index, bool) {
	t, ok := a[id]
	return quorum.Index(t), ok
}

// setConf takes a configuration that is applied.
func (r *Replica) setConf(c *conf) {
	r.conf, r.store.conf, r.quorum = c, c, c.quorums()
	r.pub.gen.Store(c.gen)
	r.pub.span.Store(&c.span)
	r.pub.mu.Lock()
	r.pub.conf = c
	r.pub.mu.Unlock()
}

// start builds the Raft node over what log and rows hold.
func (r *Replica) start() (err error) {
	defer func() {
		if p := recover(); p != nil { // raft checks its storage by panicking
			err = fmt.Errorf("%w: range %d: %v", ErrLost, r.rng, p)
		}
	}()
	hard := r.store.hard
	hard.Commit = new(min(max(hard.GetCommit(), r.at.index), r.store.lastIndex()))
	rn, err := raft.NewRawNode(r.host.raftConfig(r))
	if err != nil {
		return err
	}
	r.rn = rn
	r.term = hard.GetTerm()
	r.pub.term.Store(r.term)
	r.pub.commit.Store(hard.GetCommit())
	r.publishApplied()
	r.publishLast()
	return nil
}

func (r *Replica) tick() {
	if r.busy {
		return
	}
	r.tickRaft()
	r.host.mark(r)
	r.campaignAgain()
	if r.leading {
		if r.clockAhead() {
			r.resign()
		}
		r.extendLease() // of a range with one voter; else the answers do
		r.publishMatch()
	}
}

// step takes one message, if it is of our generation.
func (r *Replica) step(e *Envelope) {
	if e.Generation != r.conf.gen || r.busy || r.removed {
		return
	}
	m := e.Msg
	r.noteWall(e)
	switch m.GetType() {
	case pb.MsgVote, pb.MsgPreVote:
		// Who has no configuration was made blank and not yet caught up: it is no voter, or has lost what it was (I10).
		if r.host.now() < r.votesAfter || len(r.conf.state.GetVoters()) == 0 {
			return
		}
	case pb.MsgHeartbeat:
		r.rounds[e.From] = round{m.GetTerm(), e.Round}
	case pb.MsgHeartbeatResp:
		if r.leading && m.GetTerm() == r.term && e.Round > r.answers[uint64(e.From)] {
			r.answers[uint64(e.From)] = e.Round
			r.extendLease()
		}
	}
	// Raft refuses what makes no sense, for instance from a peer that it does not know. That is no error of ours.
	_ = r.rn.Step(m)
	r.host.mark(r)
}

// begin takes what Raft has ready, and sends what may leave before the sync. False: there is nothing.
func (r *Replica) begin() bool {
	if r.busy || r.removed || !r.running {
		return false
	}
	if r.serving {
		r.stepWaiting()
		r.reads.ask(r.rn)
	}
	if !r.rn.HasReady() {
		r.dropStaged()
		return false
	}
	r.ready = r.rn.Ready()
	if raft.IsEmptySnap(r.ready.Snapshot) {
		r.dropStaged()
	}
	r.noteRole()
	r.noteEntries()
	r.sendAll(false)
	return true
}

// noteRole follows changes of leader and term.
func (r *Replica) noteRole() {
	rd := &r.ready
	term := r.term
	if rd.HardState != nil {
		term = rd.HardState.GetTerm()
		r.pub.commit.Store(rd.HardState.GetCommit())
	}
	leads := r.leading
	if rd.SoftState != nil {
		leads = rd.SoftState.RaftState == raft.StateLeader
		r.pub.leader.Store(rd.SoftState.Lead)
	}
	if r.leading && (!leads || term != r.term) {
		r.loseLead()
	}
	if term != r.term {
		r.term = term
		r.pub.term.Store(term)
	}
	if leads && !r.leading {
		r.leading, r.termStart, r.transferring = true, 0, false
		r.answers = answers{}
	}
	if !leads {
		r.refuseWaiting(ErrNotLeader)
	}
	if rd.SoftState != nil {
		r.announce()
	}
}

// loseLead ends what only a leader does. What is in Raft's log may still be applied, by the next leader.
func (r *Replica) loseLead() {
	r.pub.leaseUntil.Store(0)
	served := r.serving
	r.leading, r.serving = false, false
	r.pub.serving.Store(false)
	for _, p := range r.stepped {
		p.finish(nil, ErrUnknown)
	}
	r.stepped = r.stepped[:0]
	for i, p := range r.inflight {
		p.finish(nil, ErrUnknown)
		delete(r.inflight, i)
	}
	r.refuseWaiting(ErrNotLeader)
	r.reads.fail(ErrNotLeader)
	if served {
		r.host.opt.OnLeader(r, false)
	}
}

// noteEntries learns the indexes of our own proposals: a leader's new entries come out in the order they were stepped.
func (r *Replica) noteEntries() {
	if !r.leading {
		return
	}
	for _, e := range r.ready.Entries {
		if e.GetTerm() != r.term {
			continue
		}
		if r.termStart == 0 {
			r.termStart = e.GetIndex()
		}
		if len(e.Data) > 0 && e.GetType() == pb.EntryNormal && len(r.stepped) > 0 {
			if r.stepped[0].splits {
				r.splits = e.GetIndex()
			}
			r.inflight[e.GetIndex()] = r.stepped[0]
			r.stepped = r.stepped[1:]
		}
	}
}

// record encodes what must be durable before the promises of this Ready leave; nil if nothing must.
func (r *Replica) record() []byte {
	rd := &r.ready
	if rd.HardState != nil {
		r.store.hard = rd.HardState
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		return r.resetRecord(ingested, entryID{rd.Snapshot.GetMetadata().GetIndex(), rd.Snapshot.GetMetadata().GetTerm()},
			r.conf.with(rd.Snapshot.GetMetadata().GetConfState()), rd.Entries)
	}
	if !rd.MustSync {
		return nil
	}
	hard := r.store.hard
	rec := record{
		kind: kindAppend, rng: r.rng, id: r.id, gen: r.conf.gen,
		term: hard.GetTerm(), vote: hard.GetVote(), commit: hard.GetCommit(), entries: rd.Entries,
	}
	r.buf = rec.append(r.buf[:0])
	return r.buf
}

func (r *Replica) resetRecord(because resetReason, start entryID, c *conf, es []*pb.Entry) []byte {
	hard := r.store.hard
	rec := record{
		kind: kindReset, rng: r.rng, id: r.id, gen: c.gen,
		term: hard.GetTerm(), vote: hard.GetVote(), commit: hard.GetCommit(),
		start: start, because: because, conf: c.append(nil), entries: es,
	}
	return rec.append(nil)
}

// recorded is told where the record lies, once it is on stable storage.
func (r *Replica) recorded(pos Pos) error {
	if !raft.IsEmptySnap(r.ready.Snapshot) {
		r.resetAt = pos // the store follows when the rows do
		return nil
	}
	r.store.hardSegment = pos.Segment
	if err := r.store.append(r.ready.Entries, pos, true); err != nil {
		return err
	}
	if len(r.ready.Entries) > 0 {
		r.publishLast()
	}
	return nil
}

// finish is the rest of a Ready after the sync: promises leave, committed entries are applied, readers go on.
func (r *Replica) finish() error {
	if !raft.IsEmptySnap(r.ready.Snapshot) {
		return r.beginIngest()
	}
	return r.finishReady()
}

func (r *Replica) finishReady() error {
	r.sendAll(true)
	if err := r.apply(r.ready.CommittedEntries); err != nil {
		return err
	}
	r.reads.indexed(r.ready.ReadStates)
	r.rn.Advance(r.ready)
	r.ready = raft.Ready{}
	r.maybeServe()
	if r.rn.HasReady() || len(r.waiting) > 0 && r.serving {
		r.host.mark(r)
	}
	return nil
}

// maybeServe begins to serve once the first entry of our term is applied (I8, I18).
func (r *Replica) maybeServe() {
	if !r.leading || r.serving || r.termStart == 0 || r.at.index < r.termStart || r.clockAhead() {
		return
	}
	r.serving = true
	r.mergeClock()
	r.pub.serving.Store(true)
	r.extendLease()
	r.announce()
	r.host.mark(r)
	r.host.opt.OnLeader(r, true)
}

// stopWith answers all who wait; the host has stopped or r leaves.
func (r *Replica) stopWith(err error) {
	r.running = false
	r.pub.running.Store(false)
	if r.leading {
		r.loseLead()
	}
	r.refuseWaiting(ErrNotLeader)
	r.reads.fail(ErrNotLeader)
	r.host.opt.Mesh.remove(r.rng, r.id, r.host)
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	r.pub.stopped = err
	for _, w := range r.pub.waits {
		close(w.done)
	}
	r.pub.waits = nil
	close(r.pub.changed)
	r.pub.changed = make(chan struct{})
}
