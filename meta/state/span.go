package state

import (
	"bytes"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
)

// Span is a range as the directory has it: what rows are its own.
type Span struct {
	ID    ids.Range
	Start []byte // a route (keys.Route), inclusive; empty is the least
	End   []byte // exclusive; empty is past the greatest
}

// Contains reports whether rows of route are s's.
func (s *Span) Contains(route []byte) bool {
	return bytes.Compare(route, s.Start) >= 0 && (len(s.End) == 0 || bytes.Compare(route, s.End) < 0)
}

// KeyRange is a span of row keys.
type KeyRange struct {
	Start []byte // inclusive
	End   []byte // exclusive
}

// Spans lists, ascending, all spans of row keys that hold s's replicated rows and none of another range's: what a
// snapshot copies, and what is deleted before one is ingested. A replica's own rows (keys.Owns) are not among them.
func (s *Span) Spans() []KeyRange {
	all := s.ByRoute()
	for _, t := range keys.ByRange() {
		start := keys.AppendRange(nil, t, s.ID)
		all = append(all, KeyRange{start, keys.Successor(bytes.Clone(start))})
	}
	return all
}

// ByRoute lists, ascending, the spans of row keys that s has in the tables keyed by route.
func (s *Span) ByRoute() []KeyRange {
	var all []KeyRange
	for _, t := range keys.ByRoute() {
		all = append(all, s.table(t))
	}
	return all
}

// table is the part of a table keyed by route that is s's.
func (s *Span) table(t keys.Table) KeyRange {
	r := KeyRange{Start: append([]byte{byte(t)}, s.Start...)}
	if len(s.End) == 0 {
		r.End = []byte{byte(t) + 1}
	} else {
		r.End = append([]byte{byte(t)}, s.End...)
	}
	return r
}

// clip narrows r to s's part of table t.
func (s *Span) clip(t keys.Table, r KeyRange) KeyRange {
	all := s.table(t)
	if bytes.Compare(r.Start, all.Start) < 0 {
		r.Start = all.Start
	}
	if r.End == nil || bytes.Compare(r.End, all.End) > 0 {
		r.End = all.End
	}
	if bytes.Compare(r.Start, r.End) > 0 {
		r.Start = r.End
	}
	return r
}
