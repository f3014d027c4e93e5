package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// startHeal makes the healer and lets it run.
func (n *Node) startHeal(loops context.Context) (err error) {
	n.heal, err = heal.New(heal.Options{
		Map:      n.store.Map,
		Drive:    n.drive,
		Store:    n.blobs,
		Records:  healRecords{n.records},
		Planner:  healPlanner{n},
		Clock:    n.clock,
		ReadMark: n.readMark,
		Name:     n.shareName(),
		Share:    func(m *placement.Map) []*placement.Range { return share(m, n.cfg.Name) },
		Mine:     n.mine,
		Lead:     func() bool { return n.planner.lead.Load() != nil },
		Held:     func() bool { _, held := n.held(n.cfg.Now()); return held },
		Version:  n.changes,
		Logger:   n.log,

		Reading:   func() func() { return n.objects.Hold() },
		Reencodes: func() bool { return floor(n.store.Map()) >= levelPools },

		GarbageAge: n.cfg.CollectAfter,
		HealBytes:  n.cfg.HealBytes,
		ScrubEvery: n.cfg.ScrubEvery,

		Tick:         n.cfg.HealEvery,
		DrainedAfter: n.cfg.DrainedAfter,

		QuarantineTerm: n.cfg.QuarantineTerm,
		VerifyState:    n.verifyState,
	})
	if err != nil {
		return err
	}
	n.loops.Go(func() {
		if err := n.heal.Run(loops); err != nil && !errors.Is(err, context.Canceled) {
			n.log.Error("the healer ended", "err", err)
		}
	})
	return nil
}

// shareName is what this node's healer keeps its own settings under; those of a cluster of one have no name.
func (n *Node) shareName() string {
	if n.peers == nil {
		return ""
	}
	return n.cfg.Name
}

func (n *Node) mine(id ids.Drive) bool {
	d := n.store.Map().Drives[id]
	return d != nil && d.Node == n.cfg.Name
}

// healPlanner writes what the healer found out to the map.
type healPlanner struct{ n *Node }

// SlotComplete implements heal.Planner.
func (p healPlanner) SlotComplete(ctx context.Context, pool ids.Pool, pg ids.PG, slot uint8, owner ids.Drive, since uint64) error {
	c, ok := plan.SlotComplete(p.n.store.Map(), pool, pg, int(slot), owner, since)
	if !ok {
		return nil
	}
	return p.n.store.Apply(ctx, c)
}

// Missed implements heal.Planner.
func (p healPlanner) Missed(ctx context.Context, id ids.Drive) error {
	return p.n.distrust(ctx, id, "missed writes that cannot be repaired yet")
}

// Remember implements heal.Planner.
func (p healPlanner) Remember(ctx context.Context, name, value string) error {
	return p.n.store.PutSetting(ctx, name, value)
}

// drainedDrive is a suspect drive that no repair waits for.
type drainedDrive struct {
	Drive ids.Drive `json:"drive"`
	Since time.Time `json:"since"` // since when it was suspect
}

// Drained implements heal.Planner. The drive's own node says whether it is up again.
func (p healPlanner) Drained(ctx context.Context, id ids.Drive, since time.Time) error {
	rec := p.n.store.Map().Drives[id]
	switch {
	case rec == nil:
		return nil
	case rec.Node == p.n.cfg.Name:
		return p.n.drained(ctx, drainedDrive{id, since})
	case p.n.peers == nil:
		return nil
	}
	_, err := call[any](ctx, p.n.peers, rec.Node, "POST", "/drained", drainedDrive{id, since})
	return err
}

// drained has the map say that a drive here is up again, if it is suspect as it was then, and healthy.
func (n *Node) drained(ctx context.Context, was drainedDrive) error {
	id, since := was.Drive, was.Since
	d := n.bays.drive(id)
	if d == nil || usable(d) != nil || d.ChunksLost() { // what it lacks no repair row may name yet
		return nil
	}
	return n.store.EditDrive(ctx, id, func(r *placement.Drive) error {
		if r.State != placement.DriveSuspect || !r.Since.Equal(since) {
			return fmt.Errorf("%w: drive %s is %s since %s", store.ErrConflict, id, r.State, r.Since)
		}
		r.State, r.Reason, r.Since = placement.DriveUp, "", n.cfg.Now().UTC().Truncate(time.Millisecond)
		return nil
	})
}

// healRecords presents meta.Node to the healer.
type healRecords struct{ *meta.Node }

// Repairs implements heal.Records.
func (h healRecords) Repairs(ctx context.Context, r *placement.Range, after []byte, max int) ([]heal.Repair, []byte, error) {
	rows, next, err := h.Node.Repairs(ctx, r, after, max)
	out := make([]heal.Repair, len(rows))
	for i, row := range rows {
		out[i] = heal.Repair{
			Home: heal.Home{Bucket: ids.Bucket(row.Bucket), Key: row.Key},
			Ref: erasure.BlobRef{
				Pool: ids.Pool(row.Pool), PG: ids.PG(row.Pg), Size: int64(row.Size),
				Blob: ids.Blob{Upload: ids.Upload(row.Upload), Index: row.Blob},
			},
			Slot: uint8(row.Slot), Since: hlc.Stamp(row.Since),
		}
	}
	return out, next, err
}

func repairRows(rows []heal.Repair) []*metapb.Repair {
	out := make([]*metapb.Repair, len(rows))
	for i, row := range rows {
		out[i] = &metapb.Repair{
			Bucket: uint64(row.Bucket), Key: row.Key, Upload: row.Ref.Blob.Upload[:], Blob: row.Ref.Blob.Index,
			Slot: uint32(row.Slot), Pool: uint32(row.Ref.Pool), Pg: uint32(row.Ref.PG), Size: uint64(row.Ref.Size),
			Since: uint64(row.Since),
		}
	}
	return out
}

// AckRepair implements heal.Records.
func (h healRecords) AckRepair(ctx context.Context, rows []heal.Repair) error {
	return h.Node.AckRepair(ctx, repairRows(rows))
}

// AddRepair implements heal.Records.
func (h healRecords) AddRepair(ctx context.Context, rows []heal.Repair) error {
	return h.Node.AddRepair(ctx, repairRows(rows))
}

// Reclaims implements heal.Records.
func (h healRecords) Reclaims(ctx context.Context, r *placement.Range, below hlc.Stamp, after []byte, max int) ([]heal.Reclaim, []byte, error) {
	rows, next, err := h.Node.Reclaims(ctx, r.ID, below, after, max)
	out := make([]heal.Reclaim, len(rows))
	for i, row := range rows {
		e, bad := object.ExtentOf(row.Extent)
		out[i] = heal.Reclaim{
			Home:   heal.Home{Bucket: ids.Bucket(row.Bucket), Key: row.Key},
			Extent: e, Died: hlc.Stamp(row.Died), Row: row, Bad: bad,
		}
	}
	return out, next, err
}

// AckReclaim implements heal.Records.
func (h healRecords) AckReclaim(ctx context.Context, rows []heal.Reclaim) error {
	out := make([]*metapb.Reclaim, len(rows))
	for i, row := range rows {
		out[i] = row.Row.(*metapb.Reclaim)
	}
	return h.Node.AckReclaim(ctx, out)
}

// Referenced implements heal.Records.
func (h healRecords) Referenced(ctx context.Context, home heal.Home, upload ids.Upload) (heal.Reference, error) {
	ref, err := h.Node.Referenced(ctx, home.Bucket, home.Key, upload)
	if err != nil {
		return heal.Unknown, err
	}
	switch ref {
	case meta.Live:
		return heal.Live, nil
	case meta.Reclaiming:
		return heal.Reclaiming, nil
	case meta.Absent:
		return heal.Absent, nil
	}
	return heal.Unknown, nil
}

// Walk implements heal.Records.
func (h healRecords) Walk(ctx context.Context, r *placement.Range, after []byte, max int) ([]heal.Item, []byte, error) {
	items, next, err := h.Node.Walk(ctx, r, after, max)
	out := make([]heal.Item, len(items))
	for i, item := range items {
		e, bad := object.ExtentOf(item.Extent)
		out[i] = heal.Item{
			Home: heal.Home{Bucket: item.Bucket, Key: item.Key}, Extent: e, Bad: bad,
			Version: item.TS, Class: item.StorageClass, Part: item.Extent.GetPart(), Row: item.Extent,
		}
	}
	return out, next, err
}

// Reencode implements heal.Records.
func (h healRecords) Reencode(ctx context.Context, item heal.Item, to erasure.Written) (bool, error) {
	was := item.Row.(*metapb.Extent)
	err := h.Node.Reencode(ctx, &metapb.Reencode{
		Bucket: uint64(item.Bucket), Key: item.Key, Ts: uint64(item.Version), Upload: was.Upload, Offset: was.Offset,
		Extent: object.ExtentPB(to.Extent), Missed: object.MissedPB(to.Missed),
	})
	switch {
	case errors.Is(err, meta.ErrPrecondition):
		return false, nil
	case errors.Is(err, meta.ErrPoolClosed):
		return false, fmt.Errorf("%w: %w", heal.ErrRefused, err)
	}
	return err == nil, err
}
