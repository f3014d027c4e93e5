package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/state"
)

// ErrOther reports that the drive holds another replica of the range.
var ErrOther = errors.New("replica: another replica of the range is here")

// Spec says what replica to make.
type Spec struct {
	Range      ids.Range
	Replica    ids.Replica
	Generation uint64
	Start, End []byte // the range's span
	// Voters are all replicas of a range that begins. None: the replica joins a range, blank, as a learner, and
	// learns the configuration from the leader (I10).
	Voters []ids.Replica
}

// firstID is where the log of a range begins.
var firstID = entryID{index: state.FirstIndex, term: state.FirstTerm}

// Create makes a replica, durably. It takes part after Start. It is idempotent.
// Errors: ErrOther, ErrOverlap, ErrStopped, ctx's.
func (h *Host) Create(ctx context.Context, s Spec) error {
	return h.do(ctx, func() error {
		if r := h.Replica(s.Range); r != nil {
			if r.id != s.Replica {
				return fmt.Errorf("%w: range %d: %d, wanted %d", ErrOther, s.Range, r.id, s.Replica)
			}
			return nil
		}
		return h.create(s)
	})
}

func (h *Host) create(s Spec) error {
	span := state.Span{ID: s.Range, Start: s.Start, End: s.End}
	if err := h.vacant(&span); err != nil { // its rows are cleared
		return err
	}
	var voters []uint64
	for _, id := range s.Voters {
		voters = append(voters, uint64(id))
	}
	c := &conf{
		gen:   s.Generation,
		span:  span,
		state: &pb.ConfState{Voters: voters},
	}
	start := entryID{}
	if len(voters) > 0 {
		start = firstID
	}
	r := h.newReplica(s.Range, s.Replica)
	r.store.hard = &pb.HardState{Term: new(start.term), Vote: new(uint64(0)), Commit: new(start.index)}
	pos, err := h.appendSync([][]byte{r.resetRecord(created, start, c, nil)})
	if err != nil {
		h.fail(err)
		return err
	}
	if err := r.store.reset(start, nil, pos[0]); err != nil {
		return err
	}
	if err := r.layRows(start, c); err != nil {
		h.fail(err)
		return err
	}
	if err := r.start(); err != nil {
		return err
	}
	h.mu.Lock()
	h.byRange[s.Range] = r
	h.mu.Unlock()
	return nil
}

func (h *Host) newReplica(rng ids.Range, id ids.Replica) *Replica {
	r := &Replica{
		host: h, rng: rng, id: id,
		inflight: map[uint64]*proposal{},
		rounds:   map[ids.Replica]round{},
		answers:  answers{},
	}
	r.pub.changed, r.pub.deposed = make(chan struct{}), make(chan struct{})
	r.pub.ownKey = keys.AppendOwn(nil, rng, id, ownConf)
	r.store = &store{log: h.opt.Log, applied: func() entryID { return r.at }}
	return r
}

// layRows makes the rows of a replica that begins at start: whatever lay there is not its own.
func (r *Replica) layRows(start entryID, c *conf) error {
	b := r.host.opt.Rows.NewIndexedBatch()
	defer b.Close()
	if err := clearRows(b, c.span); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	machine, err := state.Load(r.host.opt.Rows, c.span)
	if err != nil {
		return err
	}
	// A second batch, for Load must not see the old rows; between the two there is no own row, and so no replica.
	own := r.host.opt.Rows.NewIndexedBatch()
	defer own.Close()
	if start.index > 0 {
		if _, err := machine.Finish(own, start.index, start.term); err != nil {
			return err
		}
	}
	if err := own.Set(c.key(r.rng, r.id), c.append(nil), nil); err != nil {
		return err
	}
	if err := own.Commit(pebble.NoSync); err != nil {
		return err
	}
	r.machine, r.at = machine, start
	r.setConf(c)
	return nil
}

// clearRows deletes a range's rows, and all replicas' own rows of it.
func clearRows(b *pebble.Batch, span state.Span) error {
	for _, s := range append(span.Spans(), ownSpan(span.ID)) {
		if err := b.DeleteRange(s.Start, s.End, nil); err != nil {
			return err
		}
	}
	return nil
}

// Start lets the replica of a range take part. With grace it gives no vote within an election time-out: it may have
// confirmed a leader's lease just before it was stopped (I8). Without, no such leader can be alive.
func (h *Host) Start(ctx context.Context, rng ids.Range, grace bool) error {
	return h.do(ctx, func() error {
		r := h.Replica(rng)
		if r == nil {
			return ErrNoReplica
		}
		if r.running {
			return nil
		}
		if r.unborn {
			return fmt.Errorf("%w: range %d", ErrUnborn, rng)
		}
		h.start(r, grace)
		return nil
	})
}

func (h *Host) start(r *Replica, grace bool) {
	if grace {
		r.votesAfter = h.now() + int64(h.opt.election())
	}
	r.running = true
	r.pub.running.Store(true)
	h.loop.replicas = append(h.loop.replicas, r)
	h.opt.Mesh.add(r.rng, r.id, h)
	h.mark(r)
}

// Campaign has the replica ask for leadership now, not at its time-out.
func (r *Replica) Campaign(ctx context.Context) error {
	return r.host.do(ctx, func() error {
		if !r.running || r.busy || r.removed {
			return ErrNotLeader
		}
		r.host.mark(r)
		return r.rn.Campaign()
	})
}

// Transfer begins to hand leadership to another voter. From then on r has no lease in this term (I8).
func (r *Replica) Transfer(ctx context.Context, to ids.Replica) error {
	return r.host.do(ctx, func() error {
		if !r.serving {
			return ErrNotLeader
		}
		r.transferring = true
		r.pub.leaseUntil.Store(0)
		r.rn.TransferLeader(uint64(to))
		r.host.mark(r)
		return nil
	})
}

// Remove ends a replica for ever and deletes its rows. It is idempotent.
// Errors: ErrBusy if that must wait, ErrStopped, ctx's.
func (h *Host) Remove(ctx context.Context, rng ids.Range, id ids.Replica) error {
	return h.do(ctx, func() error {
		r := h.Replica(rng)
		if r == nil || r.id != id {
			return nil
		}
		if r.busy || r.unborn {
			return ErrBusy
		}
		if err := h.remove(r); err != nil {
			return err
		}
		return h.dropUnborn()
	})
}

func (h *Host) remove(r *Replica) error {
	// What a split made must be there before its parent or its child goes: a crash that takes it back would leave the child
	// without parent, or have the parent's log bring the child again, without its votes (I10).
	if h.loop.splits {
		if err := h.opt.Rows.Flush(); err != nil {
			return err
		}
		h.loop.splits = false
	}
	rec := record{kind: kindRemove, rng: r.rng, id: r.id}
	if _, err := h.appendSync([][]byte{rec.append(nil)}); err != nil {
		h.fail(err)
		return err
	}
	r.stopWith(ErrNoReplica)
	r.removed = true
	r.dropStaged()
	h.loop.replicas = slices.DeleteFunc(h.loop.replicas, func(o *Replica) bool { return o == r })
	h.mu.Lock()
	delete(h.byRange, r.rng)
	h.mu.Unlock()
	if r.unborn { // it has no rows
		return nil
	}
	b := h.opt.Rows.NewBatch()
	defer b.Close()
	if err := clearRows(b, r.conf.span); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

// Adopt puts the replica, stopped or not, under a greater generation and the configuration that the directory gives it
// (I4). Its log and rows stay. It is idempotent; an older generation than its own is refused.
func (h *Host) Adopt(ctx context.Context, rng ids.Range, gen uint64, voters, learners []ids.Replica) error {
	return h.do(ctx, func() error {
		r := h.Replica(rng)
		if r == nil {
			return ErrNoReplica
		}
		if r.conf.gen >= gen {
			if r.conf.gen > gen {
				return fmt.Errorf("replica: range %d has generation %d, not %d", rng, r.conf.gen, gen)
			}
			return nil
		}
		if r.busy || r.unborn {
			return ErrBusy
		}
		return r.adopt(gen, voters, learners)
	})
}

func (r *Replica) adopt(gen uint64, voters, learners []ids.Replica) error {
	if r.leading {
		r.loseLead()
	}
	cs := &pb.ConfState{}
	for _, id := range voters {
		cs.Voters = append(cs.Voters, uint64(id))
	}
	for _, id := range learners {
		cs.Learners = append(cs.Learners, uint64(id))
	}
	c := r.conf.with(cs)
	c.gen = gen
	if err := r.rewrite(adopted, c); err != nil {
		r.host.fail(err)
		return err
	}
	b := r.host.opt.Rows.NewBatch()
	defer b.Close()
	if err := b.Set(c.key(r.rng, r.id), c.append(nil), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	r.setConf(c)
	r.removed = false
	r.rounds, r.answers = map[ids.Replica]round{}, answers{}
	r.ready.Snapshot = nil
	if err := r.start(); err != nil {
		return err
	}
	r.announce()
	return nil
}

// rewriteBytesMax is how much log a rewrite copies. One record has to hold it, and a log's segments bound what a record is (disk: 16 MiB).
const rewriteBytesMax = 8 << 20

// rewrite copies what the replica needs of its log forward, under c. Of a long log that is what its rows on stable storage lack.
func (r *Replica) rewrite(because resetReason, c *conf) error {
	es, err := r.store.all(rewriteBytesMax)
	if err != nil {
		return err
	}
	if es == nil {
		if err := r.shorten(); err != nil {
			return err
		}
		if es, err = r.store.all(math.MaxUint64); err != nil {
			return err
		}
	}
	pos, err := r.host.appendSync([][]byte{r.resetRecord(because, r.store.start, c, es)})
	if err != nil {
		return err
	}
	return r.store.reset(r.store.start, es, pos[0])
}

// shorten drops the entries whose effect is on stable storage, once all that is applied is there.
func (r *Replica) shorten() error {
	if err := r.host.opt.Rows.Flush(); err != nil {
		return err
	}
	durable, own, err := r.host.durableApplied(r)
	if err != nil || !own {
		return err
	}
	r.store.cut(min(durable, r.store.lastIndex()))
	return nil
}

// Change proposes a change of the configuration and returns when the leader has taken it into its log or refused it
// without a word, as Raft does: the caller awaits the status that it wants, and asks again.
//
// fit, if not nil, says whether the changes go with the configuration; else they are dropped likewise. Raft takes none while another is under
// way, so that what fit has seen is what they change.
func (r *Replica) Change(ctx context.Context, fit func(*pb.ConfState) bool, changes ...*pb.ConfChangeSingle) error {
	return r.host.do(ctx, func() error {
		if !r.serving {
			return ErrNotLeader
		}
		if fit != nil && !fit(r.conf.state) {
			return nil
		}
		cc := &pb.ConfChangeV2{
			Changes: changes,
			Context: binary.BigEndian.AppendUint64(nil, r.conf.gen),
		}
		r.host.mark(r)
		if err := r.rn.ProposeConfChange(cc); err != nil {
			return ErrBusy
		}
		return nil
	})
}

// AddLearner, Promote and Drop are the changes that Change takes.
func AddLearner(id ids.Replica) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: pb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(id))}
}

// Promote makes a learner a voter.
func Promote(id ids.Replica) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: pb.ConfChangeAddNode.Enum(), NodeId: new(uint64(id))}
}

// Drop takes a replica out.
func Drop(id ids.Replica) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: pb.ConfChangeRemoveNode.Enum(), NodeId: new(uint64(id))}
}

// TakeOver makes r ask for leadership in place of old, a leader here that is halted: it serves no read any more.
// Followers grant it without waiting for old's time-out.
func (r *Replica) TakeOver(old *Replica) {
	if !old.host.halted.Load() {
		return
	}
	s := old.Status()
	r.host.Receive(Envelope{
		Range: r.rng, Generation: s.Generation, From: old.id, To: r.id,
		Msg: &pb.Message{Type: pb.MsgTimeoutNow.Enum(), From: new(uint64(old.id)), To: new(uint64(r.id)), Term: new(s.Term)},
	})
}

// Running reports whether r takes part.
func (r *Replica) Running() bool { return r.pub.running.Load() }

// Blank reports whether r has no history: no vote, no entry but what its range began with.
func (r *Replica) Blank() bool {
	s := r.Status()
	return s.Term <= firstID.term && s.LastIndex <= firstID.index
}

// Single is one change of a configuration; Members is a configuration.
type (
	Single  = pb.ConfChangeSingle
	Members = pb.ConfState
)
