package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement"
)

// ErrInUse reports a drive or a node that holds something still, or may come to hold something.
var ErrInUse = errors.New("plan: still in use")

// Holding is what a drive has by the map.
type Holding struct {
	Slots    int  // that it owns
	Source   int  // slots of others that are filled from it
	Replicas int  // of ranges
	Etcd     bool // a member of the embedded etcd
}

// Empty reports that nothing would be missed.
func (h Holding) Empty() bool { return h == Holding{} }

// String says it for people: "12 slots, 1 replica, an etcd member".
func (h Holding) String() string {
	var parts []string
	if n := h.Slots + h.Source; n > 0 {
		parts = append(parts, plural.Of(n, "slot"))
	}
	if h.Replicas > 0 {
		parts = append(parts, plural.Of(h.Replicas, "replica"))
	}
	if h.Etcd {
		parts = append(parts, "an etcd member")
	}
	switch len(parts) {
	case 0:
		return "nothing"
	case 1:
		return parts[0]
	}
	text := parts[0]
	for _, p := range parts[1:] {
		text += ", " + p
	}
	return text
}

// Holdings is what every drive has, also those that are not in the map any more. members are the drives with a member of the
// embedded etcd.
func Holdings(m *placement.Map, members []ids.Drive) map[ids.Drive]Holding {
	all := make(map[ids.Drive]Holding, len(m.Drives))
	add := func(id ids.Drive, change func(*Holding)) {
		if !id.IsZero() {
			h := all[id]
			change(&h)
			all[id] = h
		}
	}
	for _, pool := range m.Pools {
		for _, pg := range pool.PGs {
			for _, s := range pg.Slots {
				add(s.Drive, func(h *Holding) { h.Slots++ })
				add(s.From, func(h *Holding) { h.Source++ })
			}
		}
	}
	for _, r := range m.Ranges {
		for _, rep := range r.Replicas {
			add(rep.Drive, func(h *Holding) { h.Replicas++ })
		}
	}
	for _, id := range members {
		add(id, func(h *Holding) { h.Etcd = true })
	}
	return all
}

// MayRemoveDrive reports why a drive cannot be taken out of the map yet: it must be out, or be draining, so that nobody gives it
// anything, and hold nothing. Errors: ErrInUse.
func MayRemoveDrive(m *placement.Map, id ids.Drive, members []ids.Drive) error {
	return mayRemove(m, m.Drives[id], Holdings(m, members)[id])
}

func mayRemove(m *placement.Map, d *placement.Drive, holds Holding) error {
	switch {
	case !holds.Empty():
		remedy := "drain it first"
		if d.State == placement.DriveDown {
			remedy = fmt.Sprintf("if it is gone for good, `sherd drive remove --lost %s:%s`", d.Node, d.Path)
		}
		return fmt.Errorf("%w: drive %s (%s on %s) has %s: %s", ErrInUse, d.ID, d.Path, d.Node, holds, remedy)
	case d.State != placement.DriveOut && !m.Draining(d):
		return fmt.Errorf("%w: drive %s (%s on %s) is neither drained nor given up", ErrInUse, d.ID, d.Path, d.Node)
	}
	return nil
}

// MayRemoveNode reports why a node cannot be taken out of the map yet: it must be dead, and its drives removable.
// Errors: ErrInUse.
func MayRemoveNode(m *placement.Map, name string, members []ids.Drive) error {
	if m.Alive[name] {
		return fmt.Errorf("%w: node %s is running: stop it first", ErrInUse, name)
	}
	holds := Holdings(m, members)
	for _, d := range drivesOf(m, name) {
		if err := mayRemove(m, d, holds[d.ID]); err != nil {
			return err
		}
	}
	return nil
}

// bucketsNamed is how many buckets MayRemovePool names.
const bucketsNamed = 5

// MayRemovePool reports what a pool is used by that the map knows of, and what to do about it. What objects have in it, the ranges know.
// Errors: ErrInUse.
func MayRemovePool(m *placement.Map, p *placement.Pool) error {
	if m.DefaultPool() == p {
		return fmt.Errorf("%w: pool %s is the one of new buckets: choose another (`sherd pool set NAME --default`)", ErrInUse, p.Name)
	}
	if p.StorageClass != "" {
		return fmt.Errorf("%w: pool %s has storage class %s: take it away (`sherd pool set %s --storage-class \"\"`), or give it to another; its objects go to their buckets' pools then",
			ErrInUse, p.Name, p.StorageClass, p.Name)
	}
	var names []string
	for name, b := range m.Buckets {
		if b.Pool == p.ID {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	more := ""
	if n := len(names) - bucketsNamed; n > 0 {
		names, more = names[:bucketsNamed], fmt.Sprintf(" and %s", plural.Of(n, "other"))
	}
	return fmt.Errorf("%w: pool %s is the one of bucket %s%s: give them another (`sherd bucket set-pool BUCKET POOL`)", ErrInUse, p.Name,
		strings.Join(names, ", "), more)
}

// drivesOf are the drives of a node, by id.
func drivesOf(m *placement.Map, node string) (out []*placement.Drive) {
	for _, d := range m.Drives {
		if d.Node == node {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, compareDrives)
	return out
}

func compareDrives(a, b *placement.Drive) int { return slices.Compare(a.ID[:], b.ID[:]) }
