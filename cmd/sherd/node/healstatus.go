package node

import (
	"fmt"

	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement"
)

func (n *Node) ledger() adminapi.Ledger { return ledgerOf(n.heal.Status().Ledger) }

func ledgerOf(l heal.Ledger) adminapi.Ledger {
	out := adminapi.Ledger{Short: l.Short, Exact: !l.At.IsZero(), As: l.At}
	if l.Lost > 0 {
		out.Short = append(append([]int64(nil), l.Short...), l.Lost)
	}
	return out
}

// healStatus is what repair and rebuild do, for `sherd heal status`.
func (n *Node) healStatus() adminapi.Heal {
	s := n.heal.Status()
	n.healedMu.Lock()
	base, baseBytes := n.healedBase, n.healedBaseBytes
	n.healedMu.Unlock()
	out := adminapi.Heal{
		State: "idle", Ledger: ledgerOf(s.Ledger),
		Queued: s.Ledger.Lacking() + int64(s.Reported),
		Done:   s.Healed - base, DoneBytes: s.HealedBytes - baseBytes, Failed: s.Failed,
		ETASeconds: s.ETA.Seconds(), Tasks: n.healTasks(),
	}
	if s.Ledger.Blobs > 0 {
		out.QueuedBytes = out.Queued * (s.Ledger.Bytes / s.Ledger.Blobs)
	}
	if s.Ledger.Blobs > 0 && s.Healed > 0 {
		out.Rate = s.Rate * float64(s.HealedBytes) / float64(s.Healed)
	}
	switch {
	case s.Paused:
		out.State = "paused"
	case s.Repairing || s.Rebuilding || s.Groups > 0:
		out.State = "running"
	case out.Queued > 0 && n.drivesAway() > 0:
		out.State = "waiting"
	}
	out.Reason = healReason(&s)
	if out.Reason == "" && out.State == "waiting" {
		out.Reason = "shards wait for " + plural.Of(n.drivesAway(), "drive") + " to come back or be replaced"
	}
	return out
}

// drivesAway counts drives that hold slots and are not there.
func (n *Node) drivesAway() (away int) {
	for _, d := range n.store.Map().Drives {
		if d.State == placement.DriveDown {
			away++
		}
	}
	return away
}

// healReason is what the last pass of something met; it is tried again.
func healReason(s *heal.Status) string {
	for _, e := range []struct{ what, err string }{
		{"repair", s.RepairErr}, {"rebuild", s.RebuildErr}, {"space of deleted objects is freed later", s.ReclaimErr}, {"the count of blobs", s.LedgerErr},
	} {
		if e.err != "" {
			return e.what + ": " + e.err
		}
	}
	return ""
}

// healTasks lists the drives whose slots are not complete, and the replicas that join.
func (n *Node) healTasks() (out []adminapi.HealTask) {
	m := n.store.Map()
	byDrive := map[string]*adminapi.HealTask{}
	for _, p := range m.Pools {
		for _, pg := range p.PGs {
			for _, sl := range pg.Slots {
				d := m.Drives[sl.Drive]
				if d == nil {
					continue
				}
				t := byDrive[d.Path]
				if t == nil {
					t = &adminapi.HealTask{Kind: "rebuild", Drive: d.ID.String(), Path: d.Path, State: "running"}
					byDrive[d.Path] = t
				}
				t.Total++
				if sl.Complete {
					t.Done++
				}
			}
		}
	}
	for _, b := range n.bays.list() {
		if t := byDrive[b.path]; t != nil && t.Done < t.Total {
			out = append(out, *t)
		}
	}
	for _, r := range m.Ranges {
		for _, rep := range r.Replicas {
			if d := m.Drives[rep.Drive]; rep.Joining && d != nil {
				out = append(out, adminapi.HealTask{Kind: "range", Drive: d.ID.String(), Path: d.Path, Total: 1, State: "running"})
			}
		}
	}
	for _, d := range m.Drives {
		if d.State == placement.DriveSuspect {
			out = append(out, adminapi.HealTask{Kind: "repair", Drive: d.ID.String(), Path: d.Path, Total: 1, State: "running"})
		}
	}
	return out
}

// healProblems are the healer's alarms.
func (n *Node) healProblems() (out []adminapi.Problem) {
	for _, a := range n.heal.Alarms() {
		out = append(out, adminapi.Problem{Severity: adminapi.SeverityError, Text: a})
	}
	return out
}

// scrubStatus is what the scrubber does, and found.
func (n *Node) scrubStatus() adminapi.Scrub {
	s := n.heal.ScrubStatus()
	out := adminapi.Scrub{
		State: "idle", Reason: s.Err, Started: s.Started, Finished: s.Ended,
		Blobs: s.Blobs, Total: s.Total, Bytes: s.Bytes, Damaged: s.Corrupt, Missing: s.Missing,
		Garbage: s.Strays, Quarantined: s.Quarantined,
	}
	if s.Running && s.Blobs > 0 {
		out.Rate = s.Rate * float64(s.Bytes) / float64(s.Blobs)
	}
	switch {
	case s.Running && s.Paused:
		out.State = "paused"
	case s.Running:
		out.State = "running"
	case s.Err != "":
		out.State = "stopped"
	}
	if s.Lost > 0 {
		out.Reason = fmt.Sprintf("%d blobs are beyond repair", s.Lost)
	}
	return out
}
