package meta

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// WantedSplit is a range that should split, and where.
type WantedSplit struct {
	Range *placement.Range
	At    []byte // a border, as Middle gives
	Why   string // for people
}

// sustained is how long a range must take SplitRate commands a second before it splits.
const sustained = 10 * time.Second

// loadMarks are the ranges' numbers of commands at the beginning of the time that is looked at. It is safe for concurrent use.
type loadMarks struct {
	mu  sync.Mutex
	all map[ids.Range]loadMark // guarded by mu
}

type loadMark struct {
	lead     *replica.Replica
	at       time.Time
	commands uint64
}

// SplitsWanted lists the ranges that are led here and too large or too busy. It is to be called every few seconds.
func (n *Node) SplitsWanted(ctx context.Context) (all []WantedSplit) {
	for _, row := range n.opt.Map().Ranges {
		lead, err := n.led(row.ID)
		if err != nil || !row.Begun || !row.Settled() {
			continue
		}
		at, why := n.tooBusy(row.ID, lead, time.Now())
		if at == nil {
			at, why = n.tooLarge(ctx, lead)
		}
		if at != nil && lead.Covers(at) && !bytes.Equal(at, row.Start) {
			all = append(all, WantedSplit{row, at, why})
		}
	}
	return all
}

func (n *Node) tooLarge(ctx context.Context, lead *replica.Replica) (at []byte, why string) {
	size, err := lead.Bytes()
	if err != nil || n.opt.SplitBytes < 0 || size <= uint64(n.opt.SplitBytes) {
		return nil, ""
	}
	if at, err = lead.Middle(ctx); err != nil {
		return nil, ""
	}
	return at, fmt.Sprintf("it has %d MiB", size>>20)
}

// tooBusy decides once every sustained.
func (n *Node) tooBusy(id ids.Range, lead *replica.Replica, now time.Time) (at []byte, why string) {
	commands, routes := lead.Load()
	n.loads.mu.Lock()
	defer n.loads.mu.Unlock()
	mark, known := n.loads.all[id]
	if known && mark.lead == lead && now.Sub(mark.at) < sustained {
		return nil, ""
	}
	n.loads.all[id] = loadMark{lead, now, commands}
	if !known || mark.lead != lead || n.opt.SplitRate < 0 {
		return nil, ""
	}
	rate := float64(commands-mark.commands) / now.Sub(mark.at).Seconds()
	if rate < float64(n.opt.SplitRate) {
		return nil, ""
	}
	return busyBorder(routes), fmt.Sprintf("it takes %.0f commands a second", rate)
}

const (
	bordersNeed = 32   // samples
	leastShare  = 0.25 // of the load that each side of a border must have
)

// busyBorder is where the load divides: the middle of the older half of the samples, if the newer half divides there too. Keys
// that only ever rise do not: all that comes goes behind any border, and a split would help nobody.
func busyBorder(routes [][]byte) []byte {
	if len(routes) < bordersNeed {
		return nil
	}
	older, newer := slices.Clone(routes[:len(routes)/2]), routes[len(routes)/2:]
	slices.SortFunc(older, bytes.Compare)
	border := older[len(older)/2]
	left := 0
	for _, r := range newer {
		if bytes.Compare(r, border) < 0 {
			left++
		}
	}
	if share := float64(left) / float64(len(newer)); share < leastShare || share > 1-leastShare {
		return nil
	}
	return border
}

// Middle is a border that divides a range's rows about evenly. Errors: ErrNotLeading, ErrUnavailable.
func (n *Node) Middle(ctx context.Context, id ids.Range) ([]byte, error) {
	lead, err := n.led(id)
	if err != nil {
		return nil, err
	}
	at, err := lead.Middle(ctx)
	if err == nil && at == nil {
		err = fmt.Errorf("range %d has fewer than two keys", id)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return at, nil
}
