package plan

import (
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Promise is how many drives may be lost, at once and whichever they are, before something acknowledged is gone: now, with
// what is lost or not yet rebuilt taken off.
type Promise struct {
	Data     int // least over all PGs of parity that is left; below 0: data is out of reach
	Metadata int // least over all ranges
	Control  int // of the embedded etcd; Unbounded with an external one
	Nominal  int // m, of the pool with the least: what the cluster gives when all is well
}

// Unbounded stands for what does not depend on the drives.
const Unbounded = 1 << 30

// PromiseOf computes the promise of a map (I3). members is how many members the embedded etcd has, and ready how many of
// them serve; members 0: an external etcd.
func PromiseOf(m *placement.Map, members, ready int) Promise {
	p := Promise{Data: Unbounded, Metadata: Unbounded, Control: Unbounded, Nominal: Unbounded}
	for _, pool := range m.Pools {
		p.Nominal = min(p.Nominal, pool.M)
		for _, pg := range pool.PGs {
			if pg.Vacant() {
				continue
			}
			p.Data = min(p.Data, pool.M-missing(m, pg))
		}
	}
	for _, r := range m.Ranges {
		voters, live := 0, 0
		for _, rep := range r.Replicas {
			if rep.Joining {
				continue
			}
			voters++
			if up(m, rep.Drive) {
				live++
			}
		}
		p.Metadata = min(p.Metadata, voters/2-(voters-live))
	}
	if members > 0 {
		p.Control = members/2 - (members - ready)
	}
	return p
}

// Drives is the promise to people: the least of its parts.
func (p Promise) Drives() int { return min(p.Data, p.Metadata, p.Control) }

// Short reports that more is lost than may be: something is out of reach until drives come back.
func (p Promise) Short() bool { return p.Drives() < 0 }

// String says it in words: "any 2 drives".
func (p Promise) String() string {
	switch n := p.Drives(); {
	case n == Unbounded:
		return "nothing stored yet"
	case n < 0:
		return fmt.Sprintf("no drive (%d too many are lost already)", -n)
	case n == 0:
		return "no drive"
	case n == 1:
		return "any 1 drive"
	default:
		return fmt.Sprintf("any %d drives", n)
	}
}

// missing counts the slots of pg that would not serve if they were needed.
func missing(m *placement.Map, pg *placement.PG) (n int) {
	for _, s := range pg.Slots {
		if !s.Complete && s.From.IsZero() || !up(m, s.Drive) && !up(m, s.From) {
			n++
		}
	}
	return n
}

// up reports whether a drive counts: one that is suspect has missed writes (I2).
func up(m *placement.Map, id ids.Drive) bool {
	d := m.Drives[id]
	return d != nil && d.State == placement.DriveUp
}
