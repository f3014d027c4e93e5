package plan

import (
	"cmp"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// place is a drive as the planner sees it.
type place struct {
	id     ids.Drive
	hash   uint64 // of id
	node   int    // dense numbers, so that counting per domain is an array
	zone   int
	weight float64
	stays  bool    // it is not being drained, nor without any weight
	taker  bool    // answers and stays, so it can be given more
	sound  bool    // is up: what it has can be read, and moved for no need
	target int     // slots (or replicas) it should hold
	count  int     // that it holds
	full   float64 // fill of both
}

// layout is the drives that may own slots of one pool, with their domains and targets.
type layout struct {
	places []place
	index  map[ids.Drive]int
	nodes  level
	zones  level

	onNode, inZone []int // of the group that is picking: all 0 in between
}

// newLayout takes the drives that usable accepts, in the order of their ids. Those that are being drained are there to give.
func newLayout(m *placement.Map, usable func(*placement.Drive) bool) *layout {
	l := &layout{index: make(map[ids.Drive]int, len(m.Drives))}
	sorted := make([]*placement.Drive, 0, len(m.Drives))
	for _, d := range m.Drives {
		if usable(d) {
			sorted = append(sorted, d)
		}
	}
	slices.SortFunc(sorted, compareDrives)
	nodeNumber, zoneNumber := map[string]int{}, map[string]int{}
	for i, d := range sorted {
		zone := ""
		if n := m.Nodes[d.Node]; n != nil {
			zone = n.Zone
		}
		z := l.zones.number(zoneNumber, zone)
		n := l.nodes.number(nodeNumber, d.Node)
		l.nodes.domains[n].above = z
		p := place{id: d.ID, hash: xxh3.Hash(d.ID[:]), node: n, zone: z, stays: !m.Draining(d) && d.Weight > 0, sound: d.State == placement.DriveUp}
		if p.stays {
			p.weight, p.taker = d.Weight, d.Up()
			l.nodes.domains[n].stay++
			l.zones.domains[z].stay++
		}
		l.nodes.domains[n].places = append(l.nodes.domains[n].places, i)
		l.index[d.ID] = i
		l.places = append(l.places, p)
	}
	return l
}

// number is the dense number of a domain.
func (v *level) number(of map[string]int, name string) int {
	n, ok := of[name]
	if !ok {
		n = len(of)
		of[name] = n
		v.domains = append(v.domains, domain{})
	}
	return n
}

// staying counts the drives that are not being drained.
func (l *layout) staying() (n int) {
	for i := range l.places {
		if l.places[i].stays {
			n++
		}
	}
	return n
}

// setTargets shares groups*n slots out by weight, within the caps of drives, nodes and zones.
func (l *layout) setTargets(groups, n int) {
	l.zones.setTouches(groups)
	l.nodes.setTouches(groups)
	staying := l.staying()
	perDrive := groups
	if staying > n { // some PGs do without each drive (I19)
		perDrive = groups - (groups+2*staying-1)/(2*staying)
	}
	if perDrive*staying < groups*n {
		perDrive = groups
	}
	nodes := make([]bin, len(l.nodes.domains))
	for i := range nodes {
		d := &l.nodes.domains[i]
		nodes[i] = bin{weight: l.weight(d.places), limit: min(l.nodes.limit(d, groups), perDrive*d.stay)}
	}
	zones, byZone := make([]bin, len(l.zones.domains)), make([][]int, len(l.zones.domains))
	for i := range nodes {
		z := l.nodes.domains[i].above
		byZone[z] = append(byZone[z], i)
		zones[z].weight += nodes[i].weight
		zones[z].limit += nodes[i].limit
	}
	for z := range zones {
		zones[z].limit = min(zones[z].limit, l.zones.limit(&l.zones.domains[z], groups))
	}
	share(zones, float64(groups*n))
	for z, list := range byZone {
		pour(nodes, list, zones[z].amount)
	}
	drives := make([]bin, len(l.places))
	for i, p := range l.places {
		if p.stays {
			drives[i] = bin{weight: p.weight, limit: perDrive}
		}
	}
	for i := range nodes {
		pour(drives, l.nodes.domains[i].places, nodes[i].amount)
	}
	for i, whole := range roundSum(drives, groups*n) {
		p := &l.places[i]
		p.target = whole
		l.nodes.domains[p.node].target += whole
	}
	for i := range l.places {
		l.hold(i, 0)
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

// hold notes that a drive has n slots more.
func (l *layout) hold(i, n int) {
	p := &l.places[i]
	node := &l.nodes.domains[p.node]
	p.count += n
	node.count += n
	p.full, node.full = fill(p.count, p.target), fill(node.count, node.target)
}

// fill is how far something would be with one more, relative to its target: 1 is exactly there.
func fill(count, target int) float64 {
	if target == 0 {
		return float64(1e9 + count)
	}
	return float64(count+1) / float64(target)
}

// rank is the rank of a drive for a group: independent of all other drives.
func rank(seed, hash uint64) uint64 { // splitmix64's finish
	x := seed*0x9e3779b97f4a7c15 ^ hash
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func seedOf(pool ids.Pool, pg ids.PG) uint64 { return uint64(pool)<<16 | uint64(pg) }

func rangeSeed(id ids.Range) uint64 { return 1<<63 | uint64(id) }
