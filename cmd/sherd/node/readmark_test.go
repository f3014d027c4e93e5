package node

import (
	"context"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// I13: what died may be reclaimed when every read has ended that was open on some gateway when it was dead already; whatever the clocks say.
func TestI13_ReadPeriods(t *testing.T) {
	var p readPeriods
	last := func(at hlc.Stamp) map[ids.Range]hlc.Stamp { return map[ids.Range]hlc.Stamp{1: at} }
	open := func(a, b object.OpenReads) map[string]object.OpenReads {
		return map[string]object.OpenReads{"a": a, "b": b}
	}
	want := func(what string, at hlc.Stamp) {
		t.Helper()
		if p.over[1] != at {
			t.Errorf("%s: what died up to %d may go, want %d", what, p.over[1], at)
		}
	}
	p.advance(last(10), open(object.OpenReads{Oldest: 5, Next: 9}, object.OpenReads{Oldest: 3, Next: 3}))
	want("nothing is known yet", 0)
	p.advance(last(20), open(object.OpenReads{Oldest: 5, Next: 12}, object.OpenReads{Oldest: 7, Next: 8}))
	want("a read of a's is still open", 0)
	p.advance(last(30), open(object.OpenReads{Oldest: 9, Next: 15}, object.OpenReads{Oldest: 7, Next: 9}))
	want("those of the first period have ended, not those of the second", 10)
	p.advance(last(40), open(object.OpenReads{Oldest: 15, Next: 15}, object.OpenReads{Oldest: 9, Next: 9}))
	want("none is open any more", 30)
	p.advance(last(50), map[string]object.OpenReads{"a": {Oldest: 16, Next: 16}, "c": {Oldest: 1, Next: 4}})
	want("b is dead, c is new", 40)
}

// A read that never ends holds what it may need, and the list does not grow.
func TestI13_ReadPeriodsAreBounded(t *testing.T) {
	var p readPeriods
	for i := range 100 {
		p.advance(map[ids.Range]hlc.Stamp{1: hlc.Stamp(10 + i)}, map[string]object.OpenReads{"a": {Oldest: 1, Next: uint64(2 + i)}})
	}
	if len(p.begun) > readPeriodsMax || p.over != nil {
		t.Errorf("%d periods, over: %v", len(p.begun), p.over)
	}
	p.advance(map[ids.Range]hlc.Stamp{1: 500}, map[string]object.OpenReads{"a": {Oldest: 200, Next: 200}})
	if p.over[1] != 109 {
		t.Errorf("after it ended what died up to %d may go", p.over[1])
	}
}

// I13: reclaim waits while nobody knows who reads, for etcd is away, and for a node that was removed though it may only be cut off.
func TestI13_ReclaimWaits(t *testing.T) {
	r := newRig(t, 3, profile(2, 1))
	r.start()
	first := r.n.store.Map().Ranges[0].ID
	known := func(ctx context.Context) bool {
		_, ok := r.n.readMark(ctx, first)
		return ok
	}
	poll.True(t, within, "a read mark", func() bool { return known(t.Context()) })
	away, cancel := context.WithCancel(t.Context())
	cancel() // whatever is asked of etcd now fails
	poll.True(t, within, "the read mark to be unknown", func() bool { return !known(away) })
	poll.True(t, within, "a read mark again", func() bool { return known(t.Context()) })
	r.n.periods.mu.Lock()
	r.n.periods.begun = append(r.n.periods.begun, readPeriod{next: map[string]uint64{"removed/1": 7}})
	r.n.periods.mu.Unlock()
	poll.True(t, within, "the read mark to be unknown", func() bool { return !known(t.Context()) })
	r.n.silent.mu.Lock()
	r.n.silent.since["removed"] = time.Now().Add(-goneAfter)
	r.n.silent.mu.Unlock()
	poll.True(t, within, "a read mark after it has ended its reads for sure", func() bool { return known(t.Context()) })
}
