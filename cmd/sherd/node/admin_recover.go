package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
)

// leadsWithin is how long a range that was recovered may take to have a leader: an election time-out and some.
const leadsWithin = 30 * time.Second

// lostRanges lists the ranges that no majority can serve (`sherd meta recover`).
func (a admin) lostRanges(ctx context.Context) (any, error) {
	losses, err := a.n.records.Losses(ctx)
	if err != nil {
		return nil, err
	}
	m := a.n.store.Map()
	out := make([]adminapi.LostRange, 0, len(losses))
	for i := range losses {
		out = append(out, lostRange(m, &losses[i]))
	}
	return out, nil
}

func lostRange(m *placement.Map, l *meta.Loss) adminapi.LostRange {
	row := adminapi.LostRange{
		ID: uint64(l.Row.ID), Generation: l.Row.Generation, Whole: l.Whole, Refused: whyNot(l),
		Start: borderText(m, l.Row.Start), End: borderText(m, l.Row.End), Buckets: bucketsOf(m, l.Row),
		Survivors: []adminapi.SurvivingReplica{}, Lost: []adminapi.LostReplica{},
	}
	for _, s := range l.Survivors {
		left := adminapi.SurvivingReplica{ID: uint64(s.ID), Drive: s.Drive.String(), Term: s.Term, Index: s.Index, Commit: s.Commit}
		if s.Last != 0 {
			left.Last = s.Last.Time()
		}
		if d := m.Drives[s.Drive]; d != nil {
			left.Node, left.Path = d.Node, d.Path
		}
		row.Survivors = append(row.Survivors, left)
	}
	for _, r := range l.Lost {
		gone := adminapi.LostReplica{ID: uint64(r.ID), Drive: r.Drive.String()}
		if d := m.Drives[r.Drive]; d != nil {
			gone.Node, gone.Path, gone.State, gone.Since = d.Node, d.Path, string(d.State), d.Since
		}
		row.Lost = append(row.Lost, gone)
	}
	return row
}

// whyNot says why a range cannot be recovered now; empty if it can.
func whyNot(l *meta.Loss) string {
	switch {
	case len(l.Silent) > 0:
		return "node " + strings.Join(l.Silent, ", ") + " lives, or was just lost, and does not say what it has: wait for it, or stop it and wait until its drives are down"
	case len(l.Survivors) == 0:
		return "no replica is left: bring one back; or `sherd rescue --unlisted` reads the objects of more than 2 KiB from bare drives"
	}
	return ""
}

// bucketsOf are the buckets that a range has keys of, or would have, by name.
func bucketsOf(m *placement.Map, r *placement.Range) []string {
	names := []string{}
	for name, b := range m.Buckets {
		first, past := keys.AppendPrefix(nil, b.ID, ""), keys.AppendPrefix(nil, b.ID+1, "")
		if bytes.Compare(r.Start, past) < 0 && (len(r.End) == 0 || bytes.Compare(first, r.End) < 0) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// recoverRanges has ranges go on with their survivors under the next generation: a person has said that the others are gone for
// good (I4). All are checked before the first is written.
func (a admin) recoverRanges(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.RecoverRequest](body)
	if err != nil {
		return nil, err
	}
	losses, err := a.n.records.Losses(ctx)
	if err != nil {
		return nil, err
	}
	var agreed []*meta.Loss
	for _, want := range req.Ranges {
		l, err := agreedOn(losses, want)
		if err != nil {
			return nil, err
		}
		agreed = append(agreed, l)
	}
	for _, l := range agreed {
		if err := a.n.continueRange(ctx, l); err != nil {
			return nil, err
		}
	}
	return a.n.awaitLed(ctx, req.Ranges)
}

// continueRange writes the range's next row, unless one of those that count as lost was heard of since.
func (n *Node) continueRange(ctx context.Context, l *meta.Loss) error {
	next := l.Continued()
	lost := make([]ids.Drive, 0, len(l.Lost))
	for _, r := range l.Lost {
		lost = append(lost, r.Drive)
	}
	n.log.Warn("a range goes on with its survivors, by a person's word", "range", uint64(next.ID),
		"generation", next.Generation, "survivors", len(next.Replicas))
	if err := n.store.ContinueRange(ctx, next, l.Map, lost); err != nil {
		return refusal(err)
	}
	return nil
}

// agreedOn is the loss of a range that a person has seen as it is, and that can be recovered. Errors: gateway.ErrConflict.
func agreedOn(losses []meta.Loss, want adminapi.RecoverRange) (*meta.Loss, error) {
	i := slices.IndexFunc(losses, func(l meta.Loss) bool { return l.Row.ID == ids.Range(want.ID) })
	if i < 0 {
		return nil, fmt.Errorf("%w: range %d has a majority of its replicas, or there is none of that id", gateway.ErrConflict, want.ID)
	}
	l := &losses[i]
	switch {
	case l.Continued() == nil:
		return nil, fmt.Errorf("%w: range %d: %s", gateway.ErrConflict, want.ID, whyNot(l))
	case l.Row.Generation != want.Generation, uint64(l.Survivors[0].ID) != want.From, l.Survivors[0].Index != want.Index:
		return nil, fmt.Errorf("%w: range %d is not what it was when it was shown: look again", gateway.ErrConflict, want.ID)
	}
	return l, nil
}

// awaitLed waits until ranges have leaders, and lists them.
func (n *Node) awaitLed(ctx context.Context, want []adminapi.RecoverRange) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, leadsWithin)
	defer cancel()
	for {
		out := []adminapi.Range{}
		led := true
		for _, r := range n.rangeList(ctx) {
			if slices.ContainsFunc(want, func(w adminapi.RecoverRange) bool { return w.ID == r.ID }) {
				out = append(out, r)
				led = led && r.Leader != ""
			}
		}
		if led {
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the directory has the survivors alone, but not all ranges have a leader yet: `sherd range ls` shows them: %w", ctx.Err())
		}
		pause(ctx, 100*time.Millisecond)
	}
}
