package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// nodes is a cluster of several nodes with two drives each, whose control state is in one etcd.
type nodes struct {
	t       *testing.T
	ctx     context.Context
	s       *store.Store
	cluster ids.Cluster
	hosts   [][]member.Host // by node: n1 is the first
}

func newNodes(t *testing.T, count int) *nodes {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	t.Cleanup(cancel)
	n := &nodes{t: t, ctx: ctx, cluster: ids.NewCluster(), hosts: make([][]member.Host, count)}
	in := plan.InitialOptions{Cluster: n.cluster}
	for i := range n.hosts {
		name := fmt.Sprintf("n%d", i+1)
		in.Nodes = append(in.Nodes, placement.Node{Name: name})
		for range 2 {
			d := &placement.Drive{ID: ids.NewDrive(), Node: name, Path: t.TempDir(), State: placement.DriveUp, Bytes: 1 << 40}
			in.Drives = append(in.Drives, d)
			n.hosts[i] = append(n.hosts[i], member.Host{Drive: d.ID, Path: d.Path})
		}
	}
	first, err := plan.Initial(in)
	must(t, err)
	etcd := external(t)
	etcd.Cluster = n.cluster
	n.s, err = store.Open(ctx, *etcd)
	must(t, err)
	t.Cleanup(func() { n.s.Close() })
	must(t, n.s.Bootstrap(ctx, first))
	return n
}

// bucket makes a bucket and has some nodes' drives have a copy with it.
func (n *nodes) bucket(name string, copied ...int) {
	n.t.Helper()
	_, _, err := n.s.CreateBucket(n.ctx, placement.Bucket{Name: name, Owner: "sherd", Pool: 1})
	must(n.t, err)
	for _, i := range copied {
		_, err := n.s.WriteCopies(n.ctx, pathsOf(n.hosts[i]), nil)
		must(n.t, err)
	}
}

// give is what a node gives, as its file has it.
func (n *nodes) give(i int, to string) (*Given, error) {
	n.t.Helper()
	g, err := Give(n.ctx, n.cluster, n.hosts[i], to)
	if err != nil {
		return nil, err
	}
	b, err := g.Encode()
	must(n.t, err)
	return ParseGiven(b)
}

func (n *nodes) prepare(i int, given ...*Given) (*Plan, error) {
	return Prepare(n.ctx, Options{Cluster: n.cluster, Hosts: n.hosts[i], Given: given, Etcd: external(n.t)})
}

// TestI9_NewerCopyOnAMajority: a node whose own copies are old takes what others gave, and nothing without a majority. What was given
// cannot grow old, nor be given to two.
func TestI9_NewerCopyOnAMajority(t *testing.T) {
	n := newNodes(t, 3)
	n.bucket("old", 0, 1, 2)
	n.bucket("new", 1, 2)
	if _, err := n.prepare(0); !errors.Is(err, ErrMinority) {
		t.Fatalf("a third of the drives: %v", err)
	}
	second, err := n.give(1, "n1")
	must(t, err)
	if _, err := n.prepare(2, second); !errors.Is(err, ErrGiven) {
		t.Fatalf("given to another node: %v", err)
	}
	if _, err := n.give(1, "n3"); !errors.Is(err, store.ErrPromised) {
		t.Fatalf("given to a second node: %v", err)
	}
	if _, err := n.prepare(1); !errors.Is(err, store.ErrPromised) {
		t.Fatalf("a restore on a node that gave its copies away: %v", err)
	}
	p, err := n.prepare(0, second, second)
	must(t, err)
	if p.Map.Buckets["new"] == nil || p.Drives != 6 || p.Readable != 4 || p.Same != 2 || p.Generation != 2 {
		t.Fatalf("%v, %d drives, %d readable, %d the same, generation %d", p.Map.Buckets, p.Drives, p.Readable, p.Same, p.Generation)
	}
	if at := store.KnownPosition(n.ctx, n.cluster, pathsOf(n.hosts[1])); at != (store.Position{Generation: 2}) {
		t.Fatalf("n2 believes what is at %s", at)
	}
	_, err = p.Run(n.ctx)
	must(t, err)
	if at := store.KnownPosition(n.ctx, n.cluster, pathsOf(n.hosts[0])); at.Generation != 2 {
		t.Fatalf("n1 believes what is at %s", at)
	}
}

// TestI9_TakenBack: who takes back what he gave goes on with the state that there was; what is restored later has a generation
// that nobody was promised before.
func TestI9_TakenBack(t *testing.T) {
	n := newNodes(t, 3)
	n.bucket("b", 0, 1, 2)
	if _, err := n.give(1, "n1"); err != nil {
		t.Fatal(err)
	}
	for _, h := range n.hosts[1] {
		must(t, store.TakeBack(h.Path, n.cluster))
		must(t, store.TakeBack(h.Path, n.cluster))
	}
	if at := store.KnownPosition(n.ctx, n.cluster, pathsOf(n.hosts[1])); at.Generation != 1 {
		t.Fatalf("still at %s", at)
	}
	n.bucket("later", 0, 1, 2) // the node went on
	again, err := n.give(1, "n3")
	must(t, err)
	p, err := n.prepare(2, again)
	must(t, err)
	if p.Generation != 3 || p.Map.Buckets["later"] == nil {
		t.Fatalf("generation %d, %v", p.Generation, p.Map.Buckets)
	}
	if p, err = n.prepare(1); !errors.Is(err, store.ErrPromised) {
		t.Fatalf("%+v, %v", p, err)
	}
}

// TestI9_NobodyKnows: nodes that gave nothing are named, also where a person goes on without them.
func TestI9_NobodyKnows(t *testing.T) {
	n := newNodes(t, 2)
	n.bucket("b", 0, 1)
	if _, err := n.prepare(0); !errors.Is(err, ErrMinority) {
		t.Fatalf("half of the drives: %v", err)
	}
	p, err := Prepare(n.ctx, Options{Cluster: n.cluster, Hosts: n.hosts[0], Etcd: external(t), Force: true})
	must(t, err)
	if len(p.Silent) != 1 || p.Silent[0] != "n2" {
		t.Fatalf("nothing is known of %q", p.Silent)
	}
	all := slices.Concat(n.hosts...)
	if _, err := Prepare(n.ctx, Options{Cluster: n.cluster, Hosts: all}); !errors.Is(err, ErrNodes) {
		t.Fatalf("drives of two nodes, and none is named: %v", err)
	}
	if p, err = Prepare(n.ctx, Options{Cluster: n.cluster, Hosts: all, Node: "n2", Force: true}); err != nil || p.Node != "n2" || p.Readable != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestGivenDamaged(t *testing.T) {
	n := newNodes(t, 2)
	n.bucket("b", 0, 1)
	g, err := n.give(1, "n1")
	must(t, err)
	whole, err := g.Encode()
	must(t, err)
	for i := 0; i < len(whole); i += 997 {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := ParseGiven(bad); !errors.Is(err, ErrBadGiven) {
			t.Fatalf("a flipped bit at %d: %v", i, err)
		}
		if _, err := ParseGiven(whole[:i]); !errors.Is(err, ErrBadGiven) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// TestI9_MembersElsewhere: an etcd counts as lost only where it cannot have a quorum any more, whatever is on nodes that gave nothing.
func TestI9_MembersElsewhere(t *testing.T) {
	five := func(node string, here ...string) member.Survey {
		s := member.Survey{Node: node}
		for i, name := range []string{"a", "b", "c", "d", "e"} {
			on := []string{"n1", "n1", "n2", "n3", "n4"}[i]
			left := member.Left{Name: name, Node: on}
			for _, h := range here {
				left.Here = left.Here || on == node && h == name
			}
			s.Members = append(s.Members, left)
		}
		return s
	}
	for _, c := range []struct {
		what string
		all  left
		want error
		most Left
	}{
		{"all members lost", left{five("n1"), five("n2"), five("n3"), five("n4")}, nil, Left{5, 0, 0}},
		{"two are left", left{five("n1", "a", "b"), five("n2"), five("n3"), five("n4")}, nil, Left{5, 2, 0}},
		{"three are left", left{five("n1", "a", "b"), five("n2", "c"), five("n3"), five("n4")}, ErrNotLost, Left{5, 3, 0}},
		{"two may be left", left{five("n1"), five("n2")}, nil, Left{5, 0, 2}},
		{"one is left and two may be", left{five("n1", "a"), five("n2")}, ErrElsewhere, Left{5, 1, 2}},
		{"nothing is known of most", left{five("n2"), five("n3")}, ErrElsewhere, Left{5, 0, 3}},
		{"no record", left{{Node: "n1"}, {Node: "n2"}}, nil, Left{}},
	} {
		if err := c.all.lost(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if got := c.all.most(); got != c.most {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.most)
		}
	}
}
