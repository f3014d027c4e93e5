package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

var (
	errFailed    = errors.New("meta: drive of the leader failed")
	errElsewhere = errors.New("meta: range is not led here")
)

// ask has the leader of a range, here or on another node, answer a request that may be done twice, and asks until one
// answers. With ErrNoSuchKey and ErrNoSuchUpload there is an answer, too.
// Errors: those, ErrUnavailable; the leader's version does not know the request: both ErrBadCommand and ErrUnavailable.
func (n *Node) ask(ctx context.Context, which finder, req *remotepb.Request) (*remotepb.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, n.opt.CommandTimeout)
	defer cancel()
	s := search{n: n}
	for {
		row := which.in(n.directory())
		if row == nil {
			return nil, fmt.Errorf("%w: no range in the map", ErrUnavailable)
		}
		to, err := s.next(ctx, row)
		if err != nil {
			return nil, fmt.Errorf("%w: range %d: no leader: %w", ErrUnavailable, row.ID, err)
		}
		req.Range, req.Generation, req.Place = uint64(row.ID), row.Generation, which.place
		resp, err := n.askOne(ctx, to, req)
		if err == nil {
			err = answerError(resp)
		}
		switch {
		case err == nil, errors.Is(err, ErrNoSuchKey), errors.Is(err, ErrNoSuchUpload):
			s.found(to, row.ID)
			return resp, err
		case ctx.Err() != nil, errors.Is(err, errFailed), errors.Is(err, ErrBadCommand), errors.Is(err, replica.ErrBusy):
			return nil, fmt.Errorf("%w: range %d: %w", ErrUnavailable, row.ID, err)
		case errors.Is(err, errStaleRange):
			s.stale(ctx, to)
		case errors.Is(err, errSplit):
			n.awaitSplit(ctx, row)
			s = search{n: n}
		default:
			s.missed(to, row, ids.Replica(resp.GetLeader()))
		}
	}
}

// askOne asks t once.
func (n *Node) askOne(ctx context.Context, t target, req *remotepb.Request) (*remotepb.Response, error) {
	if t.lead != nil {
		return n.answerAt(ctx, t.lead, req), nil
	}
	p := n.opt.Peers(t.node)
	if p == nil {
		return nil, fmt.Errorf("%w: %s is not known", ErrUnreachable, t.node)
	}
	ctx, cancel := context.WithTimeout(ctx, n.opt.AttemptTimeout)
	defer cancel()
	return p.Call(ctx, req)
}
