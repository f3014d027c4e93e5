package plan

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// place is a drive as the planner sees it.
type place struct {
	id         ids.Drive
	node, zone int // dense numbers, so that counting per domain is an array
	weight     float64
	taker      bool // answers, so it can be given more
	target     int  // slots (or replicas) it should hold
	count      int  // that it holds
}

// layout is the drives that may own slots of one pool, with their domains and targets.
type layout struct {
	places  []place
	index   map[ids.Drive]int
	nodes   []int // node number to zone number
	zones   int
	nodeCap int // how many slots of one PG a node may hold
	zoneCap int
}

// newLayout takes the drives that usable accepts, in the order of their ids.
func newLayout(drives map[ids.Drive]*placement.Drive, nodes map[string]*placement.Node, usable func(*placement.Drive) bool) *layout {
	l := &layout{index: make(map[ids.Drive]int)}
	sorted := make([]*placement.Drive, 0, len(drives))
	for _, d := range drives {
		if usable(d) {
			sorted = append(sorted, d)
		}
	}
	slices.SortFunc(sorted, func(a, b *placement.Drive) int { return slices.Compare(a.ID[:], b.ID[:]) })
	nodeNumber, zoneNumber := map[string]int{}, map[string]int{}
	for _, d := range sorted {
		zone := ""
		if n := nodes[d.Node]; n != nil {
			zone = n.Zone
		}
		z := number(zoneNumber, zone)
		n := number(nodeNumber, d.Node)
		if n == len(l.nodes) {
			l.nodes = append(l.nodes, z)
		}
		l.index[d.ID] = len(l.places)
		l.places = append(l.places, place{id: d.ID, node: n, zone: z, weight: max(d.Weight, 0), taker: d.Up()})
	}
	l.zones = len(zoneNumber)
	return l
}

func number(of map[string]int, name string) int {
	n, ok := of[name]
	if !ok {
		n = len(of)
		of[name] = n
	}
	return n
}

// setCaps finds the least caps under which n slots of one PG fit: zones first, then nodes.
// There must be at least n drives.
func (l *layout) setCaps(n int) {
	perNode := make([]int, len(l.nodes))
	perZone := make([]int, l.zones)
	for _, p := range l.places {
		perNode[p.node]++
		perZone[p.zone]++
	}
	l.zoneCap = 1
	for fit(perZone, l.zoneCap) < n && l.zoneCap < n {
		l.zoneCap++
	}
	for l.nodeCap = 1; l.nodeCap < n; l.nodeCap++ {
		clear(perZone)
		for node, drives := range perNode {
			perZone[l.nodes[node]] += min(drives, l.nodeCap)
		}
		if fit(perZone, l.zoneCap) >= n {
			return
		}
	}
}

func fit(sizes []int, limit int) (sum int) {
	for _, s := range sizes {
		sum += min(s, limit)
	}
	return sum
}

// setTargets shares groups*n slots out by weight, within the caps of drives, nodes and zones.
func (l *layout) setTargets(groups, n int) {
	perDrive := groups
	if len(l.places) > n { // some PGs do without each drive (I19)
		perDrive = groups - (groups+2*len(l.places)-1)/(2*len(l.places))
	}
	if perDrive*len(l.places) < groups*n {
		perDrive = groups
	}
	byZone := make([][]int, l.zones)
	for node, zone := range l.nodes {
		byZone[zone] = append(byZone[zone], node)
	}
	byNode := make([][]int, len(l.nodes))
	for i, p := range l.places {
		byNode[p.node] = append(byNode[p.node], i)
	}
	nodes := make([]bin, len(l.nodes))
	for node, drives := range byNode {
		nodes[node] = bin{weight: l.weight(drives), limit: min(groups*l.nodeCap, perDrive*len(drives))}
	}
	zones := make([]bin, l.zones)
	for z, list := range byZone {
		for _, node := range list {
			zones[z].weight += nodes[node].weight
			zones[z].limit += nodes[node].limit
		}
		zones[z].limit = min(zones[z].limit, groups*l.zoneCap)
	}
	share(zones, float64(groups*n))
	for z, list := range byZone {
		pour(nodes, list, zones[z].amount)
	}
	drives := make([]bin, len(l.places))
	for i, p := range l.places {
		drives[i] = bin{weight: p.weight, limit: perDrive}
	}
	for node, list := range byNode {
		pour(drives, list, nodes[node].amount)
	}
	for i, whole := range roundSum(drives, groups*n) {
		l.places[i].target = whole
	}
}

func (l *layout) weight(places []int) (sum float64) {
	for _, i := range places {
		sum += l.places[i].weight
	}
	return sum
}

// bin takes part of an amount, by weight up to a limit.
type bin struct {
	weight, amount float64
	limit          int
}

func pour(bins []bin, which []int, amount float64) {
	sub := make([]bin, len(which))
	for i, b := range which {
		sub[i] = bins[b]
	}
	share(sub, amount)
	for i, b := range which {
		bins[b].amount = sub[i].amount
	}
}

// share divides amount over bins by weight; what a full bin cannot take goes to the others. Bins without any weight
// count only when the rest is full.
func share(bins []bin, amount float64) {
	full := make([]bool, len(bins))
	for amount > 1e-9 {
		weight, open := 0.0, 0
		for i, b := range bins {
			if !full[i] {
				weight += b.weight
				open++
			}
		}
		if open == 0 {
			return
		}
		overflow := 0.0
		for i := range bins {
			b := &bins[i]
			if full[i] {
				continue
			}
			part := amount / float64(open)
			if weight > 0 {
				part = amount * b.weight / weight
			}
			b.amount += part
			if over := b.amount - float64(b.limit); over >= 0 {
				overflow += over
				b.amount, full[i] = float64(b.limit), true
			}
		}
		amount = overflow
	}
}

// roundSum rounds the amounts to whole numbers of the given sum, largest remainders up.
func roundSum(bins []bin, sum int) []int {
	whole := make([]int, len(bins))
	order := make([]int, len(bins))
	for i, b := range bins {
		whole[i] = int(b.amount + 1e-6)
		sum -= whole[i]
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(bins[b].amount-float64(whole[b]), bins[a].amount-float64(whole[a]))
	})
	for range 2 {
		for _, i := range order {
			if sum > 0 && whole[i] < bins[i].limit {
				whole[i]++
				sum--
			}
		}
	}
	return whole
}

// group is the drives of one PG or range, while it is put together.
type group struct {
	l       *layout
	seed    uint64
	members []int
	perNode map[int]int
	perZone map[int]int
}

func (l *layout) newGroup(seed uint64) *group {
	return &group{l: l, seed: seed, perNode: map[int]int{}, perZone: map[int]int{}}
}

func (g *group) add(i int) {
	g.members = append(g.members, i)
	g.perNode[g.l.places[i].node]++
	g.perZone[g.l.places[i].zone]++
}

func (g *group) remove(i int) {
	g.members = slices.DeleteFunc(g.members, func(m int) bool { return m == i })
	g.perNode[g.l.places[i].node]--
	g.perZone[g.l.places[i].zone]--
}

func (g *group) allows(i int) bool {
	p := &g.l.places[i]
	return !slices.Contains(g.members, i) && g.perNode[p.node] < g.l.nodeCap && g.perZone[p.zone] < g.l.zoneCap
}

// pick chooses the drive that is furthest behind its target, equal ones by hash; -1 if none is allowed.
// remaining is how many groups, this one included, are still to be filled: a drive that needs all of them goes first.
func (g *group) pick(remaining int) int {
	best, bestFill, bestForced := -1, 0.0, false
	var bestHash uint64
	for i := range g.l.places {
		p := &g.l.places[i]
		if !p.taker || !g.allows(i) {
			continue
		}
		forced := p.target-p.count >= remaining
		fill := p.fill()
		if best >= 0 && (bestForced && !forced || bestForced == forced && fill > bestFill) {
			continue
		}
		h := rendezvous(g.seed, p.id)
		if best < 0 || forced && !bestForced || fill < bestFill || h > bestHash {
			best, bestFill, bestForced, bestHash = i, fill, forced, h
		}
	}
	return best
}

// fill is how far p would be with one more, relative to its target: 1 is exactly there.
func (p *place) fill() float64 {
	if p.target == 0 {
		return float64(1e9 + p.count)
	}
	return float64(p.count+1) / float64(p.target)
}

// rendezvous is the rank of a drive for a group: independent of all other drives.
func rendezvous(seed uint64, drive ids.Drive) uint64 {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	copy(b[8:], drive[:])
	return xxh3.Hash(b[:])
}

func seedOf(pool ids.Pool, pg ids.PG) uint64 { return uint64(pool)<<16 | uint64(pg) }

func rangeSeed(id ids.Range) uint64 { return 1<<63 | uint64(id) }
