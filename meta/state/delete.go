package state

import (
	"bytes"
	"encoding/binary"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// deleteVersions applies DeleteVersions: all keys or, if a condition fails for one, none.
func (m *Machine) deleteVersions(d *metapb.DeleteVersions, ts hlc.Stamp) (*metapb.Result, error) {
	if !validDelete(d) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket := ids.Bucket(d.Bucket)
	for _, key := range d.Keys {
		if !m.inSpan(bucket, key) {
			return refuse(metapb.Code_STALE_RANGE)
		}
		if !m.current(bucket) {
			return refuse(metapb.Code_STALE_RULES)
		}
		if d.Condition == nil {
			continue
		}
		p, err := m.newest(bucket, key)
		if err != nil {
			return nil, err
		}
		if c := check(d.Condition, &p); c != metapb.Code_OK {
			return refuse(c)
		}
	}
	for _, key := range d.Keys {
		if err := m.deleteVersion(bucket, key, ts); err != nil {
			return nil, err
		}
	}
	return &metapb.Result{Ts: uint64(ts)}, nil
}

// deleteVersion removes the newest version of key, if there is one; an older one becomes the newest.
func (m *Machine) deleteVersion(bucket ids.Bucket, key string, ts hlc.Stamp) error {
	old, err := m.newest(bucket, key)
	if err != nil || !old.found {
		return err
	}
	if m.it.Next() { // within the key: newest sought by prefix
		v, err := m.it.ValueAndErr()
		if err != nil {
			return err
		}
		var h keys.Head
		if _, err := h.Decode(v); err != nil {
			return corrupt(err)
		}
		if h.Flags&keys.DeleteMarker == 0 {
			if err := m.count(bucket, key, keys.Counters{Objects: 1}); err != nil {
				return err
			}
		}
	} else if err := m.it.Error(); err != nil {
		return err
	}
	return m.supersede(bucket, key, &old, ts)
}

// reclaim queues an encoded extent that nothing refers to from ts on, and drops its repairs.
func (m *Machine) reclaim(bucket ids.Bucket, key string, extent []byte, ts hlc.Stamp) error {
	if pgs, err := field(extent, extentPGs); err != nil || len(pgs) == 0 {
		return err // an empty part has no chunks
	}
	upload, err := uploadOf(extent)
	if err != nil {
		return err
	}
	if err := m.dropRepairs(bucket, key, upload); err != nil {
		return err
	}
	if bytes.Compare(upload[:], m.applied.Reclaimed[:]) > 0 {
		m.applied.Reclaimed = upload
	}
	m.queue(bucket, key, 0, 1)
	m.key = keys.AppendUpload(m.key[:0], keys.Reclaims, bucket, key, upload)
	op := m.b.SetDeferred(len(m.key), diedBytes+len(extent))
	copy(op.Key, m.key)
	binary.BigEndian.PutUint64(op.Value, uint64(ts))
	copy(op.Value[diedBytes:], extent)
	return op.Finish()
}

// diedBytes is the stamp before the extent in a row of Reclaims.
const diedBytes = 8

// dropRepairs forgets what a dead body misses.
func (m *Machine) dropRepairs(bucket ids.Bucket, key string, upload ids.Upload) error {
	if m.applied.Repairs == 0 {
		return nil
	}
	prefix := keys.AppendUpload(nil, keys.Repairs, bucket, key, upload)
	return scan(m.b, prefix, func(k, _ []byte) error {
		m.queue(bucket, key, -1, 0)
		return m.b.Delete(k, nil)
	})
}
