package state

import (
	"encoding/binary"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// addMissed queues the slots that a body's blobs could not be written to.
func (m *Machine) addMissed(bucket ids.Bucket, key string, e *metapb.Extent, missed []*metapb.Missed, ts hlc.Stamp) error {
	for _, s := range missed {
		err := m.addRepair(&metapb.Repair{
			Bucket: uint64(bucket),
			Key:    key,
			Upload: e.Upload,
			Blob:   s.Blob,
			Slot:   s.Slot,
			Pool:   e.Pool,
			Pg:     uint32(binary.BigEndian.Uint16(e.Pgs[pgBytes*s.Blob:])),
			Size:   blobSize(e, s.Blob),
		}, ts)
		if err != nil {
			return err
		}
	}
	return nil
}

// addRepair queues r, or renews it: an ack of what was read before does not take it away.
func (m *Machine) addRepair(r *metapb.Repair, ts hlc.Stamp) error {
	m.key = repairKey(m.key[:0], r)
	known, err := has(m.b, m.key)
	if err != nil {
		return err
	}
	if !known {
		m.queue(ids.Bucket(r.Bucket), r.Key, 1, 0)
	}
	return setMessage(m.b, m.key, &metapb.Repair{Pool: r.Pool, Pg: r.Pg, Size: r.Size, Since: uint64(ts)})
}

func repairKey(b []byte, r *metapb.Repair) []byte {
	return keys.AppendRepair(b, ids.Bucket(r.Bucket), r.Key, ids.Upload(r.Upload), r.Blob, uint8(r.Slot))
}

// addRepairs applies AddRepair. What is dead already needs no repair.
func (m *Machine) addRepairs(a *metapb.AddRepair, ts hlc.Stamp) (*metapb.Result, error) {
	if c := m.validRepairs(a.GetRows()); c != metapb.Code_OK {
		return refuse(c)
	}
	for _, r := range a.GetRows() {
		dead, err := m.reclaimed(ids.Bucket(r.Bucket), r.Key, ids.Upload(r.Upload))
		if err != nil {
			return nil, err
		}
		if dead {
			continue
		}
		if err := m.addRepair(r, ts); err != nil {
			return nil, err
		}
	}
	return &metapb.Result{Ts: uint64(ts)}, nil
}

func (m *Machine) validRepairs(rows []*metapb.Repair) metapb.Code {
	for _, r := range rows {
		if !validRepair(r) {
			return metapb.Code_BAD_COMMAND
		}
		if !m.inSpan(ids.Bucket(r.Bucket), r.Key) {
			return metapb.Code_STALE_RANGE
		}
	}
	return metapb.Code_OK
}

// ackRepair applies AckRepair. A row that was renewed since it was read (another Since) stays; Since 0 takes any.
func (m *Machine) ackRepair(a *metapb.AckRepair) (*metapb.Result, error) {
	if c := m.validRepairs(a.GetRows()); c != metapb.Code_OK {
		return refuse(c)
	}
	for _, r := range a.GetRows() {
		var row metapb.Repair
		m.key = repairKey(m.key[:0], r)
		found, err := get(m.b, m.key, func(v []byte) error { return corrupt(row.UnmarshalVT(v)) })
		if err != nil {
			return nil, err
		}
		if !found || r.Since != 0 && r.Since != row.Since {
			continue
		}
		m.queue(ids.Bucket(r.Bucket), r.Key, -1, 0)
		if err := m.b.Delete(m.key, nil); err != nil {
			return nil, err
		}
	}
	return new(metapb.Result), nil
}

// ackReclaim applies AckReclaim: the chunks of these extents are gone.
func (m *Machine) ackReclaim(a *metapb.AckReclaim) (*metapb.Result, error) {
	for _, r := range a.GetRows() {
		if r == nil || !validKey(r.Bucket, r.Key) || len(r.Extent.GetUpload()) != len(ids.Upload{}) {
			return refuse(metapb.Code_BAD_COMMAND)
		}
		if !m.inSpan(ids.Bucket(r.Bucket), r.Key) {
			return refuse(metapb.Code_STALE_RANGE)
		}
	}
	for _, r := range a.GetRows() {
		m.key = keys.AppendUpload(m.key[:0], keys.Reclaims, ids.Bucket(r.Bucket), r.Key, ids.Upload(r.Extent.Upload))
		found, err := has(m.b, m.key)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		m.queue(ids.Bucket(r.Bucket), r.Key, 0, -1)
		if err := m.b.Delete(m.key, nil); err != nil {
			return nil, err
		}
	}
	return new(metapb.Result), nil
}

// raiseClosed applies RaiseClosed. It never falls, and never passes the range's own time, so that a wrong clock
// cannot shut out every write to come (I6).
func (m *Machine) raiseClosed(c *metapb.RaiseClosed, ts hlc.Stamp) (*metapb.Result, error) {
	if c == nil || hlc.Stamp(c.Closed) > ts {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	m.applied.Closed = max(m.applied.Closed, hlc.Stamp(c.Closed))
	return &metapb.Result{Ts: uint64(ts)}, nil
}

// seal applies Seal.
func (m *Machine) seal(s *metapb.Seal) (*metapb.Result, error) {
	if s == nil || s.Bucket == 0 {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	change := sealChange{ids.Bucket(s.Bucket), !s.Off}
	m.setSeal(change)
	m.sealed = append(m.sealed, change)
	m.key = keys.AppendBucket(m.key[:0], keys.Seals, m.span.ID, change.bucket)
	if change.on {
		return new(metapb.Result), m.b.Set(m.key, nil, nil)
	}
	return new(metapb.Result), m.b.Delete(m.key, nil)
}

func (m *Machine) setSeal(s sealChange) {
	if s.on {
		m.seals[s.bucket] = true
	} else {
		delete(m.seals, s.bucket)
	}
}
