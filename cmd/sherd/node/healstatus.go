package node

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement"
)

func ledgerOf(l heal.Ledger) adminapi.Ledger {
	return adminapi.Ledger{Short: l.Short, Exact: !l.At.IsZero(), As: l.At}
}

// healStatus is what repair and rebuild do on all nodes, for `sherd heal status`.
func (n *Node) healStatus(ctx context.Context) adminapi.Heal { return sumHeal(n.nodeStates(ctx)) }

// sumHeal puts the shares of the nodes that live together. Of one that does not answer what it counted is not known.
func sumHeal(nodes []adminapi.NodeState) (sum adminapi.Heal) {
	sum.State, sum.Ledger.Exact = "idle", true
	sum.Convert = adminapi.Conversion{State: "idle", Exact: true}
	for i := range nodes {
		if !nodes[i].Alive {
			continue
		}
		h := &nodes[i].Heal
		sum.State, sum.Reason = louder(sum.State, h.State), cmp.Or(sum.Reason, h.Reason)
		sum.Ledger = sumLedger(sum.Ledger, h.Ledger)
		sum.Convert = sumConversion(sum.Convert, h.Convert)
		sum.Queued += h.Queued
		sum.QueuedBytes += h.QueuedBytes
		sum.Done += h.Done
		sum.DoneBytes += h.DoneBytes
		sum.Failed += h.Failed
		sum.Rate += h.Rate
		sum.ETASeconds = max(sum.ETASeconds, h.ETASeconds)
		sum.Tasks = append(sum.Tasks, h.Tasks...)
	}
	return sum
}

func sumLedger(a, b adminapi.Ledger) adminapi.Ledger {
	sum := adminapi.Ledger{Short: make([]int64, max(len(a.Short), len(b.Short))), Exact: a.Exact && b.Exact, As: a.As}
	copy(sum.Short, a.Short)
	for i, n := range b.Short {
		sum.Short[i] += n
	}
	if len(a.Short) == 0 || a.As.IsZero() || b.As.Before(a.As) {
		sum.As = b.As
	}
	return sum
}

// louder is the one of two states that a person should hear of first.
func louder(a, b string) string {
	for _, s := range []string{"paused", "stopped", "running", "waiting"} {
		if a == s || b == s {
			return s
		}
	}
	return a
}

// healShare is what this node does.
func (n *Node) healShare() adminapi.Heal {
	s := n.heal.Status()
	n.healedMu.Lock()
	base, baseBytes := n.healedBase, n.healedBaseBytes
	n.healedMu.Unlock()
	out := adminapi.Heal{
		State: "idle", Ledger: ledgerOf(s.Ledger),
		Queued: s.Ledger.Lacking() + int64(s.Reported),
		Done:   s.Healed - base, DoneBytes: s.HealedBytes - baseBytes, Failed: s.Failed,
		ETASeconds: s.ETA.Seconds(), Tasks: n.healTasks(), Convert: n.convertShare(&s),
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
				if d == nil || d.Node != n.cfg.Name {
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
			if d := m.Drives[rep.Drive]; rep.Joining && d != nil && d.Node == n.cfg.Name {
				out = append(out, adminapi.HealTask{Kind: "range", Drive: d.ID.String(), Path: d.Path, Total: 1, State: "running"})
			}
		}
	}
	for _, d := range m.Drives {
		if d.State == placement.DriveSuspect && d.Node == n.cfg.Name {
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

// scrubStatus is what the scrubbers of all nodes do, and found.
func (n *Node) scrubStatus(ctx context.Context) (sum adminapi.Scrub) {
	sum.State = "idle"
	for _, node := range n.nodeStates(ctx) {
		s := &node.Scrub
		if !node.Alive || s.State == "" {
			continue
		}
		sum.State, sum.Reason = louder(sum.State, s.State), cmp.Or(sum.Reason, s.Reason)
		if sum.Started.IsZero() || s.Started.Before(sum.Started) {
			sum.Started = s.Started
		}
		if sum.Finished.IsZero() || s.Finished.Before(sum.Finished) {
			sum.Finished = s.Finished
		}
		sum.Blobs += s.Blobs
		sum.Total += s.Total
		sum.Bytes += s.Bytes
		sum.Rate += s.Rate
		sum.Damaged += s.Damaged
		sum.Missing += s.Missing
		sum.Repaired += s.Repaired
		sum.Garbage += s.Garbage
		sum.Quarantined += s.Quarantined
	}
	return sum
}

// scrubShare is what this node's does.
func (n *Node) scrubShare() adminapi.Scrub {
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
