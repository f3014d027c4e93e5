package node

import (
	"cmp"
	"context"
	"slices"

	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/plural"
)

// convertShare is what this node converts to other pools.
func (n *Node) convertShare(s *heal.Status) adminapi.Conversion {
	out := adminapi.Conversion{
		Buckets: stored(s.Ledger.Convert), Pools: stored(s.Ledger.Pools), Leaving: stored(s.Ledger.Leaving), Exact: !s.Ledger.At.IsZero(),
		Done: s.Convert.Bodies, DoneBytes: s.Convert.Bytes, Failed: s.Convert.Failed, Rate: s.Convert.Rate, Reason: s.Convert.Err,
	}
	for _, t := range out.Buckets {
		out.Left.Add(t)
	}
	out.State = "idle"
	switch {
	case out.Left.Objects == 0:
	case s.Paused:
		out.State = "paused"
	case s.Convert.Running:
		out.State = "running"
	default:
		out.State = "waiting"
	}
	return out
}

func stored[K ids.Bucket | ids.Pool](in map[K]heal.Tally) map[uint64]adminapi.Stored {
	out := make(map[uint64]adminapi.Stored, len(in))
	for k, t := range in {
		out[uint64(k)] = adminapi.Stored{Objects: t.Objects, Bytes: t.Bytes}
	}
	return out
}

// sumConversion puts two nodes' shares together.
func sumConversion(a, b adminapi.Conversion) adminapi.Conversion {
	a.State, a.Reason, a.Exact = louder(a.State, b.State), cmp.Or(a.Reason, b.Reason), a.Exact && b.Exact
	a.Left.Add(b.Left)
	a.Buckets, a.Pools, a.Leaving = sumStored(a.Buckets, b.Buckets), sumStored(a.Pools, b.Pools), sumStored(a.Leaving, b.Leaving)
	a.Done, a.DoneBytes, a.Failed, a.Rate = a.Done+b.Done, a.DoneBytes+b.DoneBytes, a.Failed+b.Failed, a.Rate+b.Rate
	return a
}

func sumStored(a, b map[uint64]adminapi.Stored) map[uint64]adminapi.Stored {
	sum := map[uint64]adminapi.Stored{}
	for _, part := range []map[uint64]adminapi.Stored{a, b} {
		for k, t := range part {
			all := sum[k]
			all.Add(t)
			sum[k] = all
		}
	}
	return sum
}

// convertProblems tells of a conversion that makes no way.
func convertProblems(c *adminapi.Conversion) (out []adminapi.Problem) {
	if c.Left.Objects > 0 && c.Reason != "" {
		out = append(out, adminapi.Problem{
			Severity: adminapi.SeverityWarning, Text: plural.Of(c.Left.Objects, "object") + " cannot be moved to another pool yet: " + c.Reason,
			Remedy: "it is tried again; see `sherd bucket ls`",
		})
	}
	return out
}

// bucketRows are all buckets, by name, with what they have and what is still to go to another pool.
func (n *Node) bucketRows(ctx context.Context) ([]adminapi.BucketRow, error) {
	usage, err := n.records.Usage(ctx)
	if err != nil {
		return nil, err
	}
	convert := n.healStatus(ctx).Convert
	m := n.store.Map()
	rows := make([]adminapi.BucketRow, 0, len(m.Buckets))
	for _, b := range m.Buckets {
		row := adminapi.BucketRow{Name: b.Name, Created: b.Created, ToConvert: convert.Buckets[uint64(b.ID)], Exact: convert.Exact}
		if p := m.Pools[b.Pool]; p != nil {
			row.Pool = p.Name
		}
		if u := usage[b.ID]; u != nil {
			row.Stored = adminapi.Stored{Objects: u.Objects, Bytes: u.Size}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b adminapi.BucketRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows, nil
}
