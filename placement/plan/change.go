package plan

import (
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Change is a new value for one row of the map: exactly one of PG, Range and Drive is set. The store writes it in one
// transaction, guarded by the revision of the row it was planned on (I19).
type Change struct {
	Why string // for people: "drive 3f… is out"

	Pool ids.Pool // with PG
	ID   ids.PG   // with PG
	PG   *placement.PG

	Range *placement.Range
	Drive *placement.Drive
}

// String says what c does in one line.
func (c Change) String() string {
	switch {
	case c.PG != nil:
		return fmt.Sprintf("pool %d pg %d epoch %d: %s", c.Pool, c.ID, c.PG.Epoch, c.Why)
	case c.Range != nil:
		return fmt.Sprintf("range %d: %s", c.Range.ID, c.Why)
	case c.Drive != nil:
		return fmt.Sprintf("drive %s: %s", c.Drive.ID, c.Why)
	}
	return "nothing"
}

// Apply returns m with changes made, sharing what they do not touch: what a plan would lead to. It does not check.
func Apply(m *placement.Map, changes []Change) *placement.Map {
	next := *m
	next.Pools = copyPools(m.Pools, changes)
	next.Ranges = append([]*placement.Range(nil), m.Ranges...)
	next.Drives = make(map[ids.Drive]*placement.Drive, len(m.Drives))
	for id, d := range m.Drives {
		next.Drives[id] = d
	}
	for _, c := range changes {
		switch {
		case c.PG != nil:
			next.Pools[c.Pool].PGs[c.ID] = c.PG
		case c.Range != nil:
			for i, r := range next.Ranges {
				if r.ID == c.Range.ID {
					next.Ranges[i] = c.Range
				}
			}
		case c.Drive != nil:
			next.Drives[c.Drive.ID] = c.Drive
		}
	}
	return &next
}

func copyPools(pools map[ids.Pool]*placement.Pool, changes []Change) map[ids.Pool]*placement.Pool {
	next := make(map[ids.Pool]*placement.Pool, len(pools))
	for id, p := range pools {
		next[id] = p
	}
	for _, c := range changes {
		if p := next[c.Pool]; c.PG != nil && p == pools[c.Pool] {
			own := *p
			own.PGs = append([]*placement.PG(nil), p.PGs...)
			next[c.Pool] = &own
		}
	}
	return next
}
