package state

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// placed is the row that refers to a body, and all that is in it.
type placed struct {
	head    keys.Head
	details *metapb.Details // of a version with one body; nil: row is of table Extents
	row     []byte
	extent  *metapb.Extent // nil: there is no such body
	raw     []byte         // extent as it was stored
}

// reencode applies Reencode. Only the row that it names changes: a version that was overwritten, deleted or revised since it was read
// has another stamp, and one that another conversion was quicker with refers to another body (I14).
func (m *Machine) reencode(c *metapb.Reencode, ts hlc.Stamp) (*metapb.Result, error) {
	if !validReencode(c) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket := ids.Bucket(c.Bucket)
	if !m.inSpan(bucket, c.Key) {
		return refuse(metapb.Code_STALE_RANGE)
	}
	if code, err := m.takes(bucket, c.Key, c.Extent); code != metapb.Code_OK || err != nil {
		return &metapb.Result{Code: code}, err
	}
	p, err := m.placed(c)
	if err != nil {
		return nil, err
	}
	if p.extent == nil || !bytes.Equal(p.extent.Upload, c.Upload) || p.extent.Size != c.Extent.Size {
		return refuse(metapb.Code_PRECONDITION_FAILED)
	}
	e := p.extent
	e.Upload, e.Pool, e.BlobSize, e.Pgs = c.Extent.Upload, c.Extent.Pool, c.Extent.BlobSize, c.Extent.Pgs
	if err := m.place(c, p); err != nil {
		return nil, err
	}
	if err := m.reclaim(bucket, c.Key, p.raw, ts); err != nil {
		return nil, err
	}
	return &metapb.Result{Ts: uint64(ts)}, m.addMissed(bucket, c.Key, e, c.Missed, ts)
}

// placed looks up what a Reencode names.
func (m *Machine) placed(c *metapb.Reencode) (p placed, err error) {
	bucket, at := ids.Bucket(c.Bucket), hlc.Stamp(c.Ts)
	var details []byte
	found, err := get(m.b, keys.AppendVersion(nil, keys.Versions, bucket, c.Key, at), func(v []byte) error {
		rest, err := p.head.Decode(v)
		details = bytes.Clone(rest)
		return corrupt(err)
	})
	switch {
	case err != nil || !found:
		return p, err
	case p.head.Flags&keys.HasExtents != 0:
		p.row = keys.AppendExtent(nil, bucket, c.Key, at, c.Offset)
		_, err = get(m.b, p.row, func(v []byte) error { p.raw = bytes.Clone(v); return nil })
	default:
		p.details = new(metapb.Details)
		if err := p.details.UnmarshalVT(details); err != nil {
			return p, corrupt(err)
		}
		p.raw, err = field(details, detailsExtent)
	}
	if err != nil || p.raw == nil {
		return p, err
	}
	p.extent = new(metapb.Extent)
	return p, corrupt(p.extent.UnmarshalVT(p.raw))
}

// place writes p.extent to the row that it came from.
func (m *Machine) place(c *metapb.Reencode, p placed) error {
	if p.details == nil {
		return setMessage(m.b, p.row, p.extent)
	}
	p.details.Extent = p.extent
	return m.setVersion(ids.Bucket(c.Bucket), c.Key, &p.head, p.details, hlc.Stamp(c.Ts))
}

// Pools that are closed refuse bodies: they are about to be removed, and a write that began before must not commit into one (I15).
// A range holds them for ever, for ids of pools are never used again.

type poolChange struct {
	pool   ids.Pool
	closed bool
}

func (m *Machine) loadPools(r pebble.Reader) error {
	prefix := keys.AppendRange(nil, keys.Pools, m.span.ID)
	return scan(r, prefix, func(k, _ []byte) error {
		pool, err := parsePool(k[len(prefix):])
		m.setPool(poolChange{pool, true})
		return err
	})
}

// closePool applies ClosePool.
func (m *Machine) closePool(c *metapb.ClosePool) (*metapb.Result, error) {
	if c == nil || c.Pool == 0 || c.Pool > poolMax {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	change := poolChange{ids.Pool(c.Pool), !c.Off}
	m.setPool(change)
	m.closedPools = append(m.closedPools, change)
	m.key = keys.AppendPool(m.key[:0], m.span.ID, change.pool)
	if change.closed {
		return new(metapb.Result), m.b.Set(m.key, nil, nil)
	}
	return new(metapb.Result), m.b.Delete(m.key, nil)
}

func (m *Machine) setPool(c poolChange) {
	if c.closed {
		m.pools[c.pool] = true
	} else {
		delete(m.pools, c.pool)
	}
}

func parsePool(b []byte) (ids.Pool, error) {
	if len(b) != 2 {
		return 0, ErrCorrupt
	}
	return ids.Pool(b[0])<<8 | ids.Pool(b[1]), nil
}
