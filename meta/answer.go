package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// Answer answers another node's request, from the replicas here alone: it is never passed on. A request is answered
// whatever its bytes say.
func (n *Node) Answer(ctx context.Context, req *remotepb.Request) *remotepb.Response {
	if _, ok := req.Op.(*remotepb.Request_Survey); ok {
		return n.surveyHere()
	}
	rng := ids.Range(req.Range)
	lead, _ := n.leaderNow(rng, nil)
	if lead == nil {
		resp := failed(remotepb.Code_NOT_LEADER, nil)
		if row := n.directory().rows[rng]; row != nil {
			resp.Leader = uint64(n.raftLeader(row))
		}
		return resp
	}
	if lead.Generation() != req.Generation {
		return failed(remotepb.Code_STALE, nil)
	}
	return n.answerAt(ctx, lead, req)
}

// answerAt has lead, a replica here, answer req.
func (n *Node) answerAt(ctx context.Context, lead *replica.Replica, req *remotepb.Request) *remotepb.Response {
	switch op := req.Op.(type) {
	case *remotepb.Request_Do:
		return n.answerDo(ctx, lead, op.Do)
	case *remotepb.Request_Status:
		if s := lead.Status(); s.Serving {
			return &remotepb.Response{Replicas: []*remotepb.ReplicaStatus{statusMessage(lead)}}
		}
		return failed(remotepb.Code_NOT_LEADER, nil)
	case *remotepb.Request_Change:
		return n.answerChange(ctx, lead, op.Change)
	case *remotepb.Request_Transfer:
		return done(lead.Transfer(ctx, ids.Replica(op.Transfer.To)))
	case nil:
		return failed(remotepb.Code_BAD_REQUEST, errors.New("no operation that is known here"))
	}
	return n.answerRead(ctx, lead, req)
}

// answerChange proposes a change of the configuration that goes with the directory: a replica becomes a member only while it is ordered to
// join, and one that was to join is taken out only while it does not vote. So whoever calls a join off and whoever goes on with it, on an
// older map, do not both have their way. What does not fit is dropped without a word, as Raft does: the map here may be the older one.
func (n *Node) answerChange(ctx context.Context, lead *replica.Replica, c *remotepb.Change) *remotepb.Response {
	row := n.directory().rows[lead.Range()]
	if row == nil {
		return failed(remotepb.Code_STALE, nil)
	}
	return done(lead.Change(ctx, func(now *replica.Members) bool { return fits(row, now, c) }, singles(c)...))
}

func fits(row *placement.Range, now *replica.Members, c *remotepb.Change) bool {
	for _, m := range c.GetChanges() {
		i := slices.IndexFunc(row.Replicas, func(rep placement.Replica) bool { return uint64(rep.ID) == m.GetReplica() })
		joining := i >= 0 && row.Replicas[i].Joining
		switch m.GetKind() {
		case remotepb.MemberChange_ADD_LEARNER, remotepb.MemberChange_PROMOTE:
			if !joining || row.Replicas[i].Leaving {
				return false
			}
		case remotepb.MemberChange_DROP:
			if joining && slices.Contains(now.GetVoters(), m.GetReplica()) {
				return false
			}
		}
	}
	return true
}

// answerDo proposes a command of another node, with a stamp of this one (I18).
func (n *Node) answerDo(ctx context.Context, lead *replica.Replica, do *remotepb.Do) *remotepb.Response {
	cmd := do.GetCommand()
	if cmd == nil {
		return failed(remotepb.Code_BAD_REQUEST, errors.New("no command"))
	}
	if row := n.directory().rows[lead.Range()]; row != nil && !do.Retry && addsData(cmd) && n.low(row) {
		return failed(remotepb.Code_FULL, nil)
	}
	cmd.Ts, cmd.Generation = uint64(n.opt.Clock.Now()), lead.Generation()
	result, err := lead.Propose(ctx, cmd)
	if err != nil {
		return done(err)
	}
	resp := &remotepb.Response{Result: result}
	if lead.Mergeable(hlc.Stamp(result.GetTs())) {
		resp.Clock = result.GetTs()
	}
	return resp
}

// answerRead evaluates a read under lead's lease.
func (n *Node) answerRead(ctx context.Context, lead *replica.Replica, req *remotepb.Request) *remotepb.Response {
	resp := &remotepb.Response{}
	err := lead.Read(ctx, reading(lead, req, resp))
	switch {
	case err == nil:
		return resp
	case !answers(err) && ctx.Err() == nil:
		n.noteUnreadable(lead, err)
	}
	refused := done(err)
	refused.Sealed = resp.Sealed
	return refused
}

// reading answers req into resp from rows of lead's, if they are still its own (I15, I20).
func reading(lead *replica.Replica, req *remotepb.Request, resp *remotepb.Response) func(pebble.Reader) error {
	key := func(rows pebble.Reader) error {
		resp.Reset() // of a try that did not count
		err := evaluateKey(rows, lead.Range(), req, resp)
		if !lead.Covers(req.Place) { // after the rows were read: a split tells it before it changes them
			return errSplit
		}
		return err
	}
	switch req.Op.(type) {
	case *remotepb.Request_Get, *remotepb.Request_Extents, *remotepb.Request_Completed, *remotepb.Request_Sealed:
		return key // one row, or one iterator; of getRow two
	case *remotepb.Request_ListParts, *remotepb.Request_Referenced:
		return snapshotted(key)
	}
	return snapshotted(func(rows pebble.Reader) error {
		resp.Reset()
		span, err := lead.ReadSpan(rows)
		if err != nil {
			return err
		}
		if len(req.Place) > 0 && !span.Contains(req.Place) { // without a place the range itself is meant, whatever its span
			return errSplit
		}
		resp.End = span.End
		return evaluate(rows, span, req, resp)
	})
}

// answers reports whether an error of a read is an answer, or the replica's refusal, and not its drive's.
func answers(err error) bool {
	for _, is := range [...]error{
		ErrNoSuchKey, ErrNoSuchUpload, ErrBadCommand, errSplit, replica.ErrNotLeader, replica.ErrStopped,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// noteUnreadable reports rows that cannot be read, and whether another replica will lead soon, for they are damaged.
func (n *Node) noteUnreadable(lead *replica.Replica, err error) (damaged bool) {
	drive := lead.Host().Drive()
	n.opt.Logger.Error("rows of a range cannot be read", "range", uint64(lead.Range()), "drive", drive, "err", err)
	if pebble.IsCorruptionError(err) { // Pebble tells its listener of tables, but not of separated values
		go n.opt.OnFailed(drive, fmt.Errorf("%w: %w", replica.ErrLost, err))
		return true
	}
	return false
}

func failed(code remotepb.Code, err error) *remotepb.Response {
	resp := &remotepb.Response{Code: code}
	if err != nil {
		resp.Detail = err.Error()
	}
	return resp
}

// done is the answer to what ended with err.
func done(err error) *remotepb.Response {
	for _, c := range [...]struct {
		is   error
		code remotepb.Code
	}{
		{nil, remotepb.Code_OK},
		{ErrNoSuchVersion, remotepb.Code_NO_SUCH_VERSION}, // before what it is, too
		{ErrNoSuchKey, remotepb.Code_NO_SUCH_KEY},
		{ErrNoSuchUpload, remotepb.Code_NO_SUCH_UPLOAD},
		{ErrBadCommand, remotepb.Code_BAD_REQUEST},
		{errSplit, remotepb.Code_SPLIT},
		{replica.ErrNotLeader, remotepb.Code_NOT_LEADER},
		{replica.ErrStopped, remotepb.Code_NOT_LEADER},
		{replica.ErrBusy, remotepb.Code_BUSY},
		{replica.ErrUnknown, remotepb.Code_UNKNOWN},
		{context.Canceled, remotepb.Code_UNKNOWN},
		{context.DeadlineExceeded, remotepb.Code_UNKNOWN},
	} {
		if errors.Is(err, c.is) {
			return failed(c.code, nil)
		}
	}
	return failed(remotepb.Code_FAILED, err)
}

func singles(c *remotepb.Change) []*replica.Single {
	var all []*replica.Single
	for _, m := range c.GetChanges() {
		id := ids.Replica(m.GetReplica())
		switch m.GetKind() {
		case remotepb.MemberChange_ADD_LEARNER:
			all = append(all, replica.AddLearner(id))
		case remotepb.MemberChange_PROMOTE:
			all = append(all, replica.Promote(id))
		case remotepb.MemberChange_DROP:
			all = append(all, replica.Drop(id))
		}
	}
	return all
}
