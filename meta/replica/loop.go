package replica

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// loopState belongs to the host's goroutine.
type loopState struct {
	replicas []*Replica // all that take part
	marked   []*Replica // those that have something to do
	lastTick int64
	appended chan appended // capacity 1
	recs     [][]byte
	owners   []*Replica // of recs

	logBytes   map[uint64]int64 // by segment: bytes appended
	sinceCut   int64            // bytes appended since the log was looked at
	lastAppend int64            // when
	trimmed    bool             // the log was cut short since
	keepBytes  int64            // how long a log the cut under way leaves
	flushing   <-chan struct{}  // a flush that a cut waits for
	lowestCut  uint64           // segments below were released
	splits     bool             // one was applied, and may not be on stable storage
}

const (
	tickShare  = 0.93 // a ticker that is late once must not cost the next tick
	leaseShare = 0.8
)

// appended is the outcome of a log append.
type appended struct {
	pos []Pos
	err error
}

// run is the host's goroutine.
func (h *Host) run() {
	defer close(h.stopped)
	defer h.stopReplicas()
	ticker := time.NewTicker(h.opt.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-h.wake:
		case <-ticker.C:
		}
		for again := true; again; {
			runtime.Gosched() // those who are about to propose do so first: larger batches on busy cores
			var err error
			if again, err = h.guardedPass(); err != nil {
				if h.halted.Load() { // what it was doing was cut short
					return
				}
				h.fail(lostIfCorrupt(err))
				return
			}
			select {
			case <-h.stop:
				return
			default:
			}
		}
	}
}

// guardedPass turns a panic of Raft, which is how it reports storage that contradicts itself, into a failed drive.
func (h *Host) guardedPass() (again bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.opt.Logger.Error("metadata replica panicked", "drive", h.opt.Drive, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("replica: panic: %v", p)
		}
	}()
	return h.pass()
}

// pass steps everything that waits, appends what results with one sync, applies, and answers. There is no
// timer in it: while it runs, the next batch gathers.
func (h *Host) pass() (again bool, err error) {
	w := h.take()
	for _, f := range w.control {
		f()
	}
	h.tick()
	for i := range w.envelopes {
		h.step(&w.envelopes[i])
	}
	for _, p := range w.proposals {
		p.r.enqueue(p)
	}
	for _, q := range w.reads {
		q.r.stepRead(q)
	}
	h.giveBack(w)
	if err := h.handleMarked(); err != nil {
		return false, err
	}
	if err := h.maybeCut(); err != nil {
		return false, err
	}
	return len(h.loop.marked) > 0 || h.waiting(), nil
}

// take swaps the inbox for an empty one.
func (h *Host) take() work {
	h.inbox.mu.Lock()
	defer h.inbox.mu.Unlock()
	w := h.inbox.work
	h.inbox.work, h.inbox.spare = h.inbox.spare, work{}
	return w
}

func (h *Host) giveBack(w work) {
	clear(w.envelopes)
	clear(w.proposals)
	clear(w.reads)
	clear(w.control)
	h.inbox.mu.Lock()
	defer h.inbox.mu.Unlock()
	h.inbox.spare = work{w.envelopes[:0], w.proposals[:0], w.reads[:0], w.control[:0]}
}

// waiting reports whether there is more than lazy messages in the inbox.
func (h *Host) waiting() bool {
	h.inbox.mu.Lock()
	defer h.inbox.mu.Unlock()
	w := &h.inbox.work
	if len(w.proposals)+len(w.reads)+len(w.control) > 0 {
		return true
	}
	for i := range w.envelopes {
		if !w.envelopes[i].Lazy {
			return true
		}
	}
	return false
}

// tick counts time for all replicas. Ticks are at least tickShare of Tick apart and never made up for. So a follower
// that counted ElectionTicks since a heartbeat has waited (ElectionTicks−1) × tickShare × Tick at least: for 10 that is
// 0.837 of the election time-out, and a lease is leaseShare = 0.8 of it (I8).
func (h *Host) tick() {
	now := h.now()
	if now-h.loop.lastTick < int64(tickShare*float64(h.opt.Tick)) {
		return
	}
	h.loop.lastTick = now
	for _, r := range h.loop.replicas {
		r.tick()
	}
}

func (h *Host) mark(r *Replica) {
	if !r.marked {
		r.marked = true
		h.loop.marked = append(h.loop.marked, r)
	}
}

// step gives a message to its replica.
func (h *Host) step(e *Envelope) {
	r := h.Replica(e.Range)
	if r == nil || r.id != e.To || !r.running {
		return
	}
	r.step(e)
}

// handleMarked runs one Ready of each marked replica: early messages, one append for all, the rest.
func (h *Host) handleMarked() error {
	l := &h.loop
	ready := l.marked
	l.marked = nil
	l.recs, l.owners = l.recs[:0], l.owners[:0]
	n := 0
	for _, r := range ready {
		r.marked = false
		if !r.begin() {
			continue
		}
		if rec := r.record(); rec != nil {
			l.recs, l.owners = append(l.recs, rec), append(l.owners, r)
		}
		ready[n] = r
		n++
	}
	if err := h.append(); err != nil {
		return err
	}
	for _, r := range ready[:n] {
		if err := r.finish(); err != nil {
			return err
		}
	}
	return nil
}

// append writes the gathered records, waits for their sync, and tells their owners where they lie.
func (h *Host) append() error {
	l := &h.loop
	if len(l.recs) == 0 {
		return nil
	}
	pos, err := h.appendSync(l.recs)
	if err != nil {
		return err
	}
	for i, r := range l.owners {
		if err := r.recorded(pos[i]); err != nil {
			return err
		}
	}
	return nil
}

// appendSync appends recs and waits until they are on stable storage, or until the host is stopped.
func (h *Host) appendSync(recs [][]byte) ([]Pos, error) {
	h.opt.Log.Append(recs, func(pos []Pos, err error) {
		h.loop.appended <- appended{append([]Pos(nil), pos...), err}
	})
	select {
	case a := <-h.loop.appended:
		if a.err != nil {
			return nil, a.err
		}
		for i, p := range a.pos {
			h.noteAppended(p, len(recs[i]))
		}
		return a.pos, nil
	case <-h.stop:
		return nil, ErrStopped
	}
}

// stopReplicas answers all who wait.
func (h *Host) stopReplicas() {
	err := h.err()
	for _, r := range h.Replicas() {
		r.stopWith(err)
	}
	w := h.take()
	for _, p := range w.proposals {
		p.finish(nil, ErrNotLeader)
	}
	for _, q := range w.reads {
		q.finish(0, ErrNotLeader)
	}
}

// raftConfig is the same for all replicas but for who they are.
func (h *Host) raftConfig(r *Replica) *raft.Config {
	return &raft.Config{
		ID:                        uint64(r.id),
		ElectionTick:              h.opt.ElectionTicks,
		HeartbeatTick:             1,
		Storage:                   r.store,
		Applied:                   r.at.index,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  4 << 20,
		MaxUncommittedEntriesSize: 16 << 20,
		MaxInflightMsgs:           256,
		MaxInflightBytes:          8 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		StepDownOnRemoval:         true,
		DisableProposalForwarding: true, // a stamp is proposed by the leader's own process only
		Logger:                    raftLogger{h.opt.Logger, h.opt.Drive, r.rng},
	}
}

// afterSync reports whether a message promises what this Ready makes durable (I17). All others may leave before:
// the leader's appends do (Raft thesis, 10.2.1).
func afterSync(t pb.MessageType) bool {
	return t == pb.MsgAppResp || t == pb.MsgVoteResp || t == pb.MsgPreVoteResp
}
