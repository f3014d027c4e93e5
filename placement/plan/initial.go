package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Defaults of a first pool.
const (
	UnitBytes = 256 << 10
	PGCount   = 256
)

// ErrNodes reports founding nodes or drives that do not fit together.
var ErrNodes = errors.New("plan: bad founding nodes")

// InitialOptions says what a cluster begins with.
type InitialOptions struct {
	Cluster  ids.Cluster
	Nodes    []placement.Node   // the founding nodes, at least one
	Drives   []*placement.Drive // in state up; a weight of 0 is set to the drive's TiB, or 1 if its size is unknown
	Profile  Profile            // zero: DefaultProfile
	PGCount  int                // 0: 256
	Replicas int                // of range 1; 0: ReplicaCount
	Settings map[string]string
}

// Initial makes a cluster's first control state: one pool whose PGs are balanced over the drives, and range 1.
// Errors: ErrProfile if the drives cannot hold the profile; ErrNodes.
func Initial(opt InitialOptions) (placement.Initial, error) {
	if opt.Profile == (Profile{}) {
		opt.Profile = DefaultProfile(len(opt.Drives))
	}
	if opt.PGCount == 0 {
		opt.PGCount = PGCount
	}
	if err := opt.check(); err != nil {
		return placement.Initial{}, err
	}
	if opt.Replicas == 0 {
		opt.Replicas = ReplicaCount(opt.Profile.M, len(opt.Drives))
	}
	m := &placement.Map{
		Nodes:  make(map[string]*placement.Node, len(opt.Nodes)),
		Drives: make(map[ids.Drive]*placement.Drive, len(opt.Drives)),
	}
	for i := range opt.Nodes {
		m.Nodes[opt.Nodes[i].Name] = &opt.Nodes[i]
	}
	list := make([]*placement.Drive, 0, len(opt.Drives))
	for _, d := range opt.Drives {
		own := *d
		own.Weight = WeightOf(d)
		m.Drives[d.ID] = &own
		list = append(list, &own)
	}
	pool := &placement.Pool{
		ID: 1, Name: "default", K: opt.Profile.K, M: opt.Profile.M,
		UnitBytes: UnitBytes, PGCount: opt.PGCount,
	}
	pool.PGs = Table(m, pool)
	return placement.Initial{
		Cluster:  opt.Cluster,
		Nodes:    opt.Nodes,
		Drives:   list,
		Pool:     pool,
		Ranges:   []*placement.Range{firstRange(m, min(opt.Replicas, len(list)))},
		Settings: opt.Settings,
	}, nil
}

func (opt *InitialOptions) check() error {
	if err := opt.Profile.check(); err != nil {
		return err
	}
	if err := opt.Profile.Fits(len(opt.Drives)); err != nil {
		return err
	}
	if opt.PGCount&(opt.PGCount-1) != 0 || opt.PGCount < 1 || opt.PGCount > 1<<16 {
		return fmt.Errorf("%w: %d PGs: want a power of two up to 65536", ErrProfile, opt.PGCount)
	}
	return opt.checkNames()
}

func (opt *InitialOptions) checkNames() error {
	nodes := make(map[string]bool, len(opt.Nodes))
	for _, n := range opt.Nodes {
		if n.Name == "" || nodes[n.Name] {
			return fmt.Errorf("%w: node %q is given twice, or without a name", ErrNodes, n.Name)
		}
		nodes[n.Name] = true
	}
	seen := make(map[ids.Drive]bool, len(opt.Drives))
	for _, d := range opt.Drives {
		if seen[d.ID] {
			return fmt.Errorf("%w: drive %s is given twice", ErrNodes, d.ID)
		}
		if !nodes[d.Node] {
			return fmt.Errorf("%w: drive %s is on node %q, which is none of the founders", ErrNodes, d.ID, d.Node)
		}
		seen[d.ID] = true
	}
	return nil
}

// WeightMax is above every weight that a person may give a drive.
const WeightMax = 1_000_000

// WeightOf is the drive's weight: 1 a TiB unless it says otherwise.
func WeightOf(d *placement.Drive) float64 {
	switch {
	case d.Weight > 0:
		return d.Weight
	case d.Bytes > 0:
		return float64(d.Bytes) / (1 << 40)
	}
	return 1
}

func usable(d *placement.Drive) bool { return d.State != placement.DriveOut }

// Table lays a pool's PGs out over those of its drives that are neither out nor being drained; there must be at least pool.N() of them.
func Table(m *placement.Map, pool *placement.Pool) []*placement.PG {
	l := newLayout(m, func(d *placement.Drive) bool { return usable(d) && !m.Draining(d) && m.Uses(pool, d) })
	l.setCaps(pool.N(), pool.M)
	l.setTargets(pool.PGCount, pool.N())
	t := &table{l: l, pool: pool, pgs: make([]pgState, pool.PGCount), byPlace: make([][]ids.PG, len(l.places))}
	for i := range t.pgs {
		g := l.newGroup(seedOf(pool.ID, ids.PG(i)))
		g.without = [2]int{l.zones.tired(i+1, len(t.pgs)), l.nodes.tired(i+1, len(t.pgs))}
		for range pool.N() {
			if p := g.pick(len(t.pgs) - i); p >= 0 {
				g.add(p)
			}
		}
		t.pgs[i].members = g.members
		t.list(ids.PG(i))
	}
	t.balance(exactly)                // what picking one after another left uneven
	bySlot := make([][]int, pool.N()) // how often a drive has that slot number
	for i := range bySlot {
		bySlot[i] = make([]int, len(l.places))
	}
	out := make([]*placement.PG, pool.PGCount)
	for i := range out {
		out[i] = &placement.PG{Epoch: 1, Slots: l.number(t.pgs[i].members, bySlot)}
	}
	return out
}

// number gives members slot numbers so that each drive has each number about equally often: reads go to the data slots, those of
// small objects to slot 0.
func (l *layout) number(members []int, bySlot [][]int) []placement.Slot {
	slots := make([]placement.Slot, len(members))
	left := slices.Clone(members)
	for s := range slots {
		best := 0
		for i := range left {
			if bySlot[s][left[i]] < bySlot[s][left[best]] {
				best = i
			}
		}
		drive := left[best]
		bySlot[s][drive]++
		left = slices.Delete(left, best, best+1)
		slots[s] = placement.Slot{Drive: l.places[drive].id, Since: 1, Complete: true}
	}
	return slots
}

func firstRange(m *placement.Map, replicas int) *placement.Range {
	l := newLayout(m, usable)
	l.setCaps(replicas, 0)
	l.setTargets(1, replicas)
	r := &placement.Range{ID: 1, Generation: 1, NextReplica: 1}
	g := l.newGroup(rangeSeed(r.ID))
	for more := 0; len(g.members) < replicas; {
		// Each domain has one before any has another (I3), but for those that have no more drives.
		l.nodes.most, l.zones.most = len(g.members)/len(l.nodes.domains)+1+more, len(g.members)/len(l.zones.domains)+1+more
		l.nodes.least, l.zones.least = l.nodes.most, l.zones.most
		if i := g.pick(1); i >= 0 {
			g.add(i)
		} else if more++; more > replicas {
			break
		}
	}
	for _, i := range g.members {
		r.Replicas = append(r.Replicas, placement.Replica{ID: r.NextReplica, Drive: l.places[i].id})
		r.NextReplica++
	}
	return r
}
