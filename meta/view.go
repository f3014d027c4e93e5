package meta

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// A split is made in the range's log, and recorded in the directory after that (I20). In between, or while etcd is away, the
// map has the range as it was, with the order to split: who learns that the split is made knows the child from that.

// directory is a map, with the splits carried out that this process knows to be made, and its ranges by id.
type directory struct {
	of   *placement.Map // as it came
	made *madeSplits
	m    *placement.Map
	rows map[ids.Range]*placement.Range
}

// directory indexes the newest map, once.
func (n *Node) directory() *directory {
	m, made := n.opt.Map(), n.splits.Load()
	if d := n.rows.Load(); d != nil && d.of == m && d.made == made {
		return d
	}
	d := newDirectory(m, made)
	n.rows.Store(d)
	return d
}

// view is the newest map with the splits carried out that this process knows to be made.
func (n *Node) view() *placement.Map { return n.directory().m }

func newDirectory(m *placement.Map, made *madeSplits) *directory {
	d := &directory{of: m, made: made, m: m, rows: make(map[ids.Range]*placement.Range, len(m.Ranges))}
	ranges := make([]*placement.Range, 0, len(m.Ranges))
	for _, r := range m.Ranges {
		if r.Splitting != nil && made.has(r.Splitting.Child) {
			parent, child := r.Divided()
			ranges = append(ranges, parent, child)
		} else {
			ranges = append(ranges, r)
		}
	}
	if len(ranges) > len(m.Ranges) {
		next := *m
		next.Ranges = ranges
		d.m = &next
	}
	for _, r := range ranges {
		d.rows[r.ID] = r
	}
	return d
}

// node names the node of a range's replica; "" if the map does not say.
func (d *directory) node(row *placement.Range, id ids.Replica) string {
	if row == nil {
		return ""
	}
	for i := range row.Replicas {
		if r := &row.Replicas[i]; r.ID == id {
			if drive := d.m.Drives[r.Drive]; drive != nil {
				return drive.Node
			}
		}
	}
	return ""
}

// madeSplits are the splits, by child, that are made though the directory may not say so yet. It is immutable; nil has none.
type madeSplits struct{ children map[ids.Range]bool }

func (s *madeSplits) has(child ids.Range) bool { return s != nil && s.children[child] }

// noteSplit takes a split for made. Those that the map has recorded are forgotten.
func (n *Node) noteSplit(child ids.Range) {
	for {
		old := n.splits.Load()
		if old.has(child) {
			return
		}
		next := &madeSplits{children: map[ids.Range]bool{child: true}}
		if old != nil {
			maps.Copy(next.children, old.children)
		}
		for _, r := range n.opt.Map().Ranges {
			delete(next.children, r.ID)
		}
		if n.splits.CompareAndSwap(old, next) {
			return
		}
	}
}

// noteChildren takes the splits for made whose children have replicas here: those outlived a restart.
func (n *Node) noteChildren() {
	for _, row := range n.opt.Map().Ranges {
		if row.Splitting != nil && slices.ContainsFunc(n.allHosts(), func(h *replica.Host) bool {
			return h.Replica(row.Splitting.Child) != nil
		}) {
			n.noteSplit(row.Splitting.Child)
		}
	}
}

// onChild learns of a split by the child's replica here, which takes part already. It runs on a host's goroutine.
func (n *Node) onChild(r *replica.Replica) {
	n.ran.add(rangeReplica{r.Range(), r.ID()})
	n.noteSplit(r.Range())
}

// awaitSplit is for who was told by row's leader that a place is not the range's any more: from now on the split that the row
// orders is taken for made; or else it waits for a newer map, for a time.
func (n *Node) awaitSplit(ctx context.Context, row *placement.Range) {
	if row.Splitting != nil {
		n.noteSplit(row.Splitting.Child)
		return
	}
	s := search{n: n}
	if n.opt.Next != nil {
		s.stale(ctx, target{})
		return
	}
	_ = s.pause(ctx, nil) // if ctx ends, who called sees that
}

// finder says which range is meant: the one of an id, or the one that has a place: a route, or where routes begin.
type finder struct {
	place []byte
	id    ids.Range // 0: by place
}

func findKey(bucket ids.Bucket, key string) finder { return finder{place: keys.Route(bucket, key)} }

func findPlace(place []byte) finder { return finder{place: place} }

func findRange(id ids.Range) finder { return finder{id: id} }

// in finds the range; nil if the directory has none.
func (f finder) in(d *directory) *placement.Range {
	if f.id != 0 {
		return d.rows[f.id]
	}
	return d.m.RangeFor(f.place)
}

// replicaSet is replicas that did something in this process. The zero value is empty; it is safe for concurrent use.
type replicaSet struct {
	mu  sync.Mutex
	all map[rangeReplica]bool // guarded by mu
}

func (s *replicaSet) add(r rangeReplica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[rangeReplica]bool{}
	}
	s.all[r] = true
}

func (s *replicaSet) has(r rangeReplica) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[r]
}
