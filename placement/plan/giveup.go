package plan

import (
	"bytes"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Outlook is what the planner knows, besides the map, when it considers giving a drive up.
type Outlook struct {
	Now      time.Time
	Watching time.Duration // how long this process has watched the drives
	Etcd     time.Duration // how long etcd has answered without a break
	Held     bool          // the time after a restore, in which nothing is given up (I9)

	OutAfter  time.Duration // how long a drive may be down
	EtcdGrace time.Duration // how long after a break of etcd nothing is given up
}

// GiveUp chooses the drive that is put out next though nobody asked for it, the one that is down longest; zero if there is
// none (I19): not when more are gone than the pools can lose, nor soon after a start or a restart of etcd, when the map may
// not know yet who is back; and only one whose slots others can take: else it may as well come back.
func GiveUp(m *placement.Map, o Outlook) ids.Drive {
	if o.Held || o.Watching < o.OutAfter || o.Etcd < o.EtcdGrace || goneDrives(m) > leastParity(m) {
		return ids.Drive{}
	}
	var longest *placement.Drive
	for _, d := range m.Drives {
		if d.State == placement.DriveDown && o.Now.Sub(d.Since) >= o.OutAfter &&
			(longest == nil || downBefore(d, longest)) && len(DriveOut(m, d.ID)) > 0 {
			longest = d
		}
	}
	if longest == nil {
		return ids.Drive{}
	}
	return longest.ID
}

func downBefore(a, b *placement.Drive) bool {
	if !a.Since.Equal(b.Since) {
		return a.Since.Before(b.Since)
	}
	return bytes.Compare(a.ID[:], b.ID[:]) < 0
}

// goneDrives counts those that are down, or out with none in their place; not those that an operator took away.
func goneDrives(m *placement.Map) (n int) {
	for _, d := range m.Drives {
		if d.State == placement.DriveDown || d.State == placement.DriveOut && !d.Removed && Heir(m, d.ID) == nil {
			n++
		}
	}
	return n
}

// leastParity is how many drives every pool can lose.
func leastParity(m *placement.Map) int {
	least := 0
	for i, p := range sortedPools(m) {
		if i == 0 || p.M < least {
			least = p.M
		}
	}
	return least
}

// Heir is the drive in the place of one that is out, or of the one after it, and so on; nil if there is none.
func Heir(m *placement.Map, out ids.Drive) *placement.Drive {
	for range len(m.Drives) {
		var next *placement.Drive
		for _, d := range m.Drives {
			if d.Replaces == out {
				next = d
			}
		}
		if next == nil || next.State != placement.DriveOut {
			return next
		}
		out = next.ID
	}
	return nil
}
