package state

import (
	"bytes"
	"encoding/binary"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// outcome is what became of one deletion: what a DeleteResult says.
type outcome struct {
	code          metapb.Code
	made, removed bool      // a delete marker
	version       hlc.Stamp // that was made or removed; 0: none
	versioned     bool
}

func (o outcome) result() *metapb.DeleteResult {
	return &metapb.DeleteResult{
		Code: o.code, MarkerMade: o.made, MarkerRemoved: o.removed, Version: uint64(o.version), Versioned: o.versioned,
	}
}

// deleteVersions applies DeleteVersions.
func (m *Machine) deleteVersions(d *metapb.DeleteVersions, ts hlc.Stamp) (*metapb.Result, error) {
	if !validDelete(d) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	if len(d.Targets) > 0 {
		return m.deleteTargets(d, ts)
	}
	return m.deleteKeys(d, ts)
}

// deleteKeys deletes all keys or, if one is refused, none.
func (m *Machine) deleteKeys(d *metapb.DeleteVersions, ts hlc.Stamp) (*metapb.Result, error) {
	bucket := ids.Bucket(d.Bucket)
	for _, key := range d.Keys {
		if c := m.mine(bucket, key); c != metapb.Code_OK {
			return refuse(c)
		}
		if d.Condition == nil && m.rules[bucket] == nil {
			continue // nothing can be refused
		}
		p, err := m.newest(bucket, key)
		if err != nil {
			return nil, err
		}
		if c := check(d.Condition, &p); c != metapb.Code_OK {
			return refuse(c)
		}
		if c, err := m.keepsKey(bucket, key, &p, ts); c != metapb.Code_OK || err != nil {
			return &metapb.Result{Code: c}, err
		}
	}
	for _, key := range d.Keys {
		if _, err := m.deleteKey(bucket, key, nil, d.Owner, ts); err != nil {
			return nil, err
		}
	}
	return &metapb.Result{Ts: uint64(ts)}, nil
}

// keepsKey says why the deletion of a key, whose newest version is old, is refused.
func (m *Machine) keepsKey(bucket ids.Bucket, key string, old *prior, ts hlc.Stamp) (metapb.Code, error) {
	if m.seals[bucket] && m.marks(bucket, old) {
		return metapb.Code_SEALED, nil
	}
	v, err := m.victim(bucket, key, old)
	if err != nil {
		return metapb.Code_OK, err
	}
	if locked, err := v.locked(ts, false); locked || err != nil {
		return metapb.Code_LOCKED, err
	}
	return metapb.Code_OK, nil
}

// mine reports whether versions of a key may be removed here.
func (m *Machine) mine(bucket ids.Bucket, key string) metapb.Code {
	switch {
	case !m.inSpan(bucket, key):
		return metapb.Code_STALE_RANGE
	case !m.current(bucket):
		return metapb.Code_STALE_RULES
	}
	return metapb.Code_OK
}

// deleteTargets deletes each target by itself: one that is refused does not matter to the others.
func (m *Machine) deleteTargets(d *metapb.DeleteVersions, ts hlc.Stamp) (*metapb.Result, error) {
	bucket := ids.Bucket(d.Bucket)
	for _, t := range d.Targets {
		if c := m.mine(bucket, t.Key); c != metapb.Code_OK {
			return refuse(c)
		}
	}
	res := &metapb.Result{Ts: uint64(ts), Deleted: make([]*metapb.DeleteResult, len(d.Targets))}
	for i, t := range d.Targets {
		o, err := m.deleteTarget(bucket, t, d.Owner, ts)
		if err != nil {
			return nil, err
		}
		res.Deleted[i] = o.result()
	}
	return res, nil
}

func (m *Machine) deleteTarget(bucket ids.Bucket, t *metapb.DeleteTarget, owner string, ts hlc.Stamp) (outcome, error) {
	if t.Version == 0 && !t.Null {
		return m.deleteKey(bucket, t.Key, t.Condition, owner, ts)
	}
	p, err := m.newest(bucket, t.Key)
	if err != nil {
		return outcome{}, err
	}
	if p, err = m.find(bucket, t.Key, hlc.Stamp(t.Version), t.Null, &p); err != nil {
		return outcome{}, err
	}
	if c := check(t.Condition, &p); c != metapb.Code_OK {
		return outcome{code: c}, nil
	}
	return m.take(bucket, t.Key, &p, ts, t.BypassGovernance)
}

// deleteKey deletes a key as the bucket's versioning has it: with a marker on top, or by removing the newest version.
func (m *Machine) deleteKey(bucket ids.Bucket, key string, c *metapb.Condition, owner string, ts hlc.Stamp) (outcome, error) {
	old, err := m.newest(bucket, key)
	if err != nil {
		return outcome{}, err
	}
	if code := check(c, &old); code != metapb.Code_OK {
		return outcome{code: code}, nil
	}
	if m.marks(bucket, &old) {
		return m.mark(bucket, key, &old, owner, ts)
	}
	o, err := m.take(bucket, key, &old, ts, false)
	return outcome{code: o.code}, err // what is not versioned shows no versions
}

// mark puts a delete marker on top of a key, whose newest version is old. A command that names a key twice makes one.
func (m *Machine) mark(bucket ids.Bucket, key string, old *prior, owner string, ts hlc.Stamp) (outcome, error) {
	if m.seals[bucket] {
		return outcome{code: metapb.Code_SEALED}, nil
	}
	if old.found && old.ts == ts {
		return outcome{made: true, version: ts, versioned: !old.null()}, nil
	}
	r, code, err := m.makeRoom(bucket, key, old, ts)
	if code != metapb.Code_OK || err != nil {
		return outcome{code: code}, err
	}
	v := &metapb.Version{DeleteMarker: true, Details: &metapb.Details{Owner: owner}}
	o := outcome{made: true, version: ts, versioned: r.flags&keys.Versioned != 0}
	return o, m.addVersion(bucket, key, v, r, r.flags, ts)
}

// take removes a version. If it was the newest, an older one becomes that.
func (m *Machine) take(bucket ids.Bucket, key string, p *prior, ts hlc.Stamp, bypass bool) (o outcome, err error) {
	if !p.found {
		return o, nil
	}
	var next beneath
	if p.newest {
		if next, err = m.below(); err != nil {
			return o, err
		}
	}
	if o.code, err = m.remove(bucket, key, p, ts, bypass); o.code != metapb.Code_OK || err != nil {
		return o, err
	}
	o.removed, o.version, o.versioned = !p.exists(), p.ts, !p.null()
	return o, m.uncover(bucket, key, next)
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
