package replica

import (
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

const (
	// clockAheadMax is how far before the median of the range's clocks a stamp may be to be taken into a clock, and a clock
	// to be a leader's (I18).
	clockAheadMax = 10 * time.Second
	// clockDelayMax is how old an answer may be to tell its sender's clock.
	clockDelayMax = 2 * time.Second
)

// clocks is what a replica knows of the wall clocks of its range's voters (I18). Answers to heartbeats and votes tell
// their senders' clocks; heartbeats tell the median, as the leader knows it.
//
// A clock is kept as what it showed, in ns since 1970, less what the host's monotonic clock showed then.
type clocks struct {
	told   map[uint64]int64 // by voter, as its last answer told
	median int64            // of the voters' clocks
	known  bool             // median is
	quiet  int              // ticks since the last heartbeat
}

// wallOf is what an envelope tells of its sender's clock; 0 where nothing needs it.
func (r *Replica) wallOf(t pb.MessageType) int64 {
	switch t {
	case pb.MsgHeartbeatResp, pb.MsgVoteResp, pb.MsgPreVoteResp:
		return r.host.opt.Clock.Wall().UnixMilli()
	case pb.MsgHeartbeat:
		if r.clocks.known {
			return r.medianNow().UnixMilli()
		}
	}
	return 0
}

// ownClock is our clock as clocks keeps one.
func (r *Replica) ownClock() int64 { return r.host.opt.Clock.Wall().UnixNano() - r.host.now() }

// noteWall takes what e tells of clocks.
func (r *Replica) noteWall(e *Envelope) {
	c, t := &r.clocks, e.Msg.GetType()
	if t == pb.MsgHeartbeat {
		c.quiet = 0
	}
	if e.Wall == 0 {
		return
	}
	now := r.host.now()
	wall := e.Wall*int64(time.Millisecond) - now
	switch t {
	case pb.MsgHeartbeat:
		r.setMedian(wall)
		return
	case pb.MsgHeartbeatResp:
		delay := time.Duration(now - e.Round)
		if e.Round == 0 || delay > clockDelayMax || delay < 0 {
			return
		}
		wall += int64(delay / 2)
	case pb.MsgVoteResp, pb.MsgPreVoteResp:
	default:
		return
	}
	if c.told == nil {
		c.told = map[uint64]int64{}
	}
	c.told[uint64(e.From)] = wall
	r.findMedian()
}

// findMedian computes the median from what the voters told, if that is most of them. What some did not tell leaves room,
// and so do two clocks in the middle: within it the median stays what it was known to be. If it was not, and the room is
// wide, it is not known: of two clocks that differ nobody can tell which is wrong.
func (r *Replica) findMedian() {
	c, voters := &r.clocks, r.conf.state.GetVoters()
	told := make([]int64, 0, 8)
	for _, v := range voters {
		if v == uint64(r.id) {
			told = append(told, r.ownClock())
		} else if wall, ok := c.told[v]; ok {
			told = append(told, wall)
		}
	}
	all, untold := len(voters), len(voters)-len(told)
	if len(told) <= all/2 {
		return
	}
	slices.Sort(told)
	least, most := told[(all-1)/2-untold], told[all/2] // were all others behind, or before
	if !c.known {
		if most-least > int64(clockAheadMax) {
			return
		}
		c.median = most
	}
	r.setMedian(min(max(c.median, least), most))
}

func (r *Replica) setMedian(m int64) {
	r.clocks.median, r.clocks.known = m, true
	r.pub.median.Store(&m)
}

// medianNow is what the median of the clocks should show now; it is known.
func (r *Replica) medianNow() time.Time { return time.Unix(0, r.clocks.median+r.host.now()) }

// clockAhead reports whether our clock is so far before the others that we must not lead, as far as is known.
func (r *Replica) clockAhead() bool {
	return r.clocks.known && r.ownClock()-r.clocks.median > int64(clockAheadMax)
}

// clockPatience is for how many election time-outs a follower whose clock is ahead lets the others elect one of them.
const clockPatience = 4

// tickRaft counts one tick, but for a follower whose clock is ahead: it lets its time-out all but pass, and then waits
// for another's candidacy, free to vote. It has waited the lease out by then, as tick says. If nobody comes it campaigns
// after all: the others may lack what only its log has. It hands that and the leadership over, and serves nothing.
func (r *Replica) tickRaft() {
	c, election := &r.clocks, r.host.opt.ElectionTicks
	c.quiet++
	if r.leading || !r.clockAhead() || c.quiet < election || c.quiet > clockPatience*election {
		r.rn.Tick()
		return
	}
	if c.quiet == election {
		r.host.opt.Logger.Warn("replica waits for others to lead: its node's clock is ahead", "range", uint64(r.rng), "replica", uint64(r.id))
		_ = r.rn.ForgetLeader() // refused only where leases are Raft's
	}
}

// resign ends serving and hands leadership to the voter with most of the log whose clock is right. It goes on trying,
// tick by tick.
func (r *Replica) resign() {
	if r.serving {
		r.host.opt.Logger.Warn("leader resigns: its node's clock is ahead", "range", uint64(r.rng), "replica", uint64(r.id),
			"by", r.host.opt.Clock.Wall().Sub(r.medianNow()))
		r.serving = false
		r.pub.serving.Store(false)
		r.host.opt.OnLeader(r, false)
	}
	r.transferring = true
	r.pub.leaseUntil.Store(0)
	r.refuseWaiting(ErrNotLeader)
	r.reads.fail(ErrNotLeader)
	if r.rn.BasicStatus().LeadTransferee != 0 {
		return
	}
	if to := r.rightest(); to != 0 {
		r.rn.TransferLeader(uint64(to))
	}
}

// rightest is the voter with most of the log, of those whose clocks are not ahead.
func (r *Replica) rightest() (best ids.Replica) {
	most := uint64(0)
	r.rn.WithProgress(func(id uint64, _ progressType, pr progress) {
		clock, told := r.clocks.told[id]
		right := told && clock-r.clocks.median <= int64(clockAheadMax)
		if id != uint64(r.id) && !pr.IsLearner && pr.RecentActive && right && (best == 0 || pr.Match > most) {
			best, most = ids.Replica(id), pr.Match
		}
	})
	return best
}

// Mergeable reports whether a stamp of r's range may be taken into a clock: it is not ahead of what the range's clocks
// show (I18). It is safe for concurrent use.
func (r *Replica) Mergeable(s hlc.Stamp) bool {
	now := r.host.opt.Clock.Wall()
	if m := r.pub.median.Load(); m != nil {
		now = time.Unix(0, *m+r.host.now())
	}
	return s < hlc.At(now.Add(clockAheadMax))
}

// mergeClock takes the range's last stamp into our clock, if it may be.
func (r *Replica) mergeClock() {
	if last := r.machine.Last(); r.Mergeable(last) {
		r.host.opt.Clock.Merge(last)
	}
}
