package node

import (
	"testing"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
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
