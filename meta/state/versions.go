package state

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// prior is a version of a key as a command finds it.
type prior struct {
	found   bool
	newest  bool
	ts      hlc.Stamp
	head    keys.Head
	details []byte // m.details of the newest, m.named of another: until the next look-up of that kind
}

// exists reports whether a reader would see an object.
func (p *prior) exists() bool { return p.found && p.head.Flags&keys.DeleteMarker == 0 }

// null reports whether it is the key's null version.
func (p *prior) null() bool { return p.found && p.head.Flags&keys.Versioned == 0 }

// iter returns the batch's iterator, without bounds, seeing all that is in the batch.
func (m *Machine) iter() (*pebble.Iterator, error) {
	if m.it == nil {
		it, err := m.b.NewIter(&m.options)
		if err != nil {
			return nil, err
		}
		m.it, m.seen = it, m.b.Len()
	}
	if m.seen != m.b.Len() {
		m.it.SetOptions(&m.options)
		m.seen = m.b.Len()
	}
	return m.it, nil
}

// newest looks up the newest version of key: one seek.
func (m *Machine) newest(bucket ids.Bucket, key string) (p prior, err error) {
	it, err := m.iter()
	if err != nil {
		return p, err
	}
	m.key = keys.AppendTable(m.key[:0], keys.Versions, bucket, key)
	if !it.SeekPrefixGE(m.key) {
		return p, it.Error()
	}
	return m.read(it, len(m.key))
}

// read takes the newest version, which it stands on; its key's first prefixBytes are the table and the route.
func (m *Machine) read(it *pebble.Iterator, prefixBytes int) (p prior, err error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return p, err
	}
	p.found, p.newest, p.ts = true, true, keys.Stamp(it.Key()[prefixBytes:])
	details, err := p.head.Decode(v)
	if err != nil {
		return p, corrupt(err)
	}
	m.details = append(m.details[:0], details...)
	p.details = m.details
	return p, nil
}

// at looks up the version of key with the stamp ts, which is not the newest: one seek.
func (m *Machine) at(bucket ids.Bucket, key string, ts hlc.Stamp) (p prior, err error) {
	m.key = keys.AppendVersion(m.key[:0], keys.Versions, bucket, key, ts)
	p.ts = ts
	p.found, err = get(m.b, m.key, func(v []byte) error {
		details, err := p.head.Decode(v)
		m.named = append(m.named[:0], details...)
		return corrupt(err)
	})
	p.details = m.named
	return p, err
}

// nullBelow looks up the null version of a key whose newest version has an id: two seeks.
func (m *Machine) nullBelow(bucket ids.Bucket, key string) (p prior, err error) {
	var ts hlc.Stamp
	m.key = keys.AppendNull(m.key[:0], bucket, key)
	found, err := get(m.b, m.key, func(v []byte) (err error) {
		ts, err = keys.NullStamp(v)
		return corrupt(err)
	})
	if !found || err != nil {
		return p, err
	}
	if p, err = m.at(bucket, key, ts); err == nil && !p.null() {
		err = ErrCorrupt
	}
	return p, err
}

// find looks up the version with an id, or the null version, of a key whose newest version is newest.
func (m *Machine) find(bucket ids.Bucket, key string, id hlc.Stamp, null bool, newest *prior) (p prior, err error) {
	switch {
	case null && (newest.null() || !newest.found):
		return *newest, nil
	case null:
		return m.nullBelow(bucket, key)
	case newest.ts == id:
		p = *newest
	case newest.ts > id:
		p, err = m.at(bucket, key, id)
	}
	if p.null() { // its stamp is not an id
		return prior{}, err
	}
	return p, err
}

// beneath is the version that comes after the newest.
type beneath struct {
	found bool
	flags keys.Flags
}

// below looks up what comes after the newest version. It goes right after the newest was looked up.
func (m *Machine) below() (b beneath, err error) {
	if !m.it.Next() { // within the key: newest sought by prefix
		return b, m.it.Error()
	}
	v, err := m.it.ValueAndErr()
	if err != nil {
		return b, err
	}
	var h keys.Head
	if _, err := h.Decode(v); err != nil {
		return b, corrupt(err)
	}
	return beneath{true, h.Flags}, nil
}

// marks reports whether a key, whose newest version is old, is deleted by a marker: where versioning is on or was. Rules that were
// restored from a time before it do not make versions go that have ids.
func (m *Machine) marks(bucket ids.Bucket, old *prior) bool {
	return m.rules[bucket].GetVersioning() != metapb.Versioning_NEVER || old.found && !old.null()
}

// victim is the version that a new one takes the place of: where versioning is on, none, else the null version.
func (m *Machine) victim(bucket ids.Bucket, key string, old *prior) (prior, error) {
	switch {
	case m.rules[bucket].GetVersioning() == metapb.Versioning_ENABLED:
		return prior{}, nil
	case !old.found || old.null():
		return *old, nil
	}
	return m.nullBelow(bucket, key)
}

// room is where a new version goes.
type room struct {
	flags   keys.Flags // Versioned: it has an id; none: it is the null version
	covered bool       // the newest version before is an object, and stays
}

// makeRoom prepares a key, whose newest version is old, for one that comes on top.
// Code: LOCKED; then nothing is changed.
func (m *Machine) makeRoom(bucket ids.Bucket, key string, old *prior, ts hlc.Stamp) (r room, code metapb.Code, err error) {
	v, err := m.victim(bucket, key, old)
	if err != nil {
		return r, code, err
	}
	if code, err = m.remove(bucket, key, &v, ts, false); code != metapb.Code_OK || err != nil {
		return r, code, err
	}
	r.covered = old.exists() && !v.newest
	if m.rules[bucket].GetVersioning() != metapb.Versioning_ENABLED {
		return r, code, nil
	}
	r.flags = keys.Versioned
	if old.null() {
		m.key = keys.AppendNull(m.key[:0], bucket, key)
		err = m.b.Set(m.key, keys.AppendNullStamp(nil, old.ts), nil)
	}
	return r, code, err
}

// remove takes a version out of the rows and hands its body to the reclaimer. Nothing else does, so this is where a lock holds.
// If it was the newest, what comes next is the caller's to count: the key counts as absent now.
// Code: LOCKED; then nothing is changed.
func (m *Machine) remove(bucket ids.Bucket, key string, p *prior, ts hlc.Stamp, bypass bool) (metapb.Code, error) {
	if !p.found {
		return metapb.Code_OK, nil
	}
	if locked, err := p.locked(ts, bypass); locked || err != nil {
		return metapb.Code_LOCKED, err
	}
	less := keys.Counters{Versions: -1, Size: -int64(p.head.Size)}
	if p.newest && p.exists() {
		less.Objects = -1
	}
	if err := m.count(bucket, key, less); err != nil {
		return metapb.Code_OK, err
	}
	if p.null() && !p.newest {
		if err := m.forgetNull(bucket, key); err != nil {
			return metapb.Code_OK, err
		}
	}
	return metapb.Code_OK, m.removeRows(bucket, key, p, ts)
}

// forgetNull takes away the row that says which version is the null version.
func (m *Machine) forgetNull(bucket ids.Bucket, key string) error {
	m.key = keys.AppendNull(m.key[:0], bucket, key)
	return m.b.Delete(m.key, nil)
}

// removeRows removes a version's row and those of its body.
func (m *Machine) removeRows(bucket ids.Bucket, key string, p *prior, ts hlc.Stamp) error {
	m.key = keys.AppendVersion(m.key[:0], keys.Versions, bucket, key, p.ts)
	if err := m.b.Delete(m.key, nil); err != nil {
		return err
	}
	if p.head.Flags&keys.HasInline != 0 {
		m.key[0] = byte(keys.Inline)
		if err := m.b.Delete(m.key, nil); err != nil {
			return err
		}
	}
	if p.head.Flags&keys.HasExtents != 0 {
		return m.reclaimExtents(bucket, key, p.ts, ts)
	}
	extent, err := field(p.details, detailsExtent)
	if err != nil || extent == nil {
		return err
	}
	return m.reclaim(bucket, key, extent, ts)
}

// reclaimExtents hands the multipart body of version v to the reclaimer.
func (m *Machine) reclaimExtents(bucket ids.Bucket, key string, v, ts hlc.Stamp) error {
	prefix := keys.AppendStamp(keys.AppendTable(nil, keys.Extents, bucket, key), v)
	return scan(m.b, prefix, func(k, extent []byte) error {
		if err := m.b.Delete(k, nil); err != nil {
			return err
		}
		return m.reclaim(bucket, key, extent, ts)
	})
}

// uncover has the version after the one that went be the newest.
func (m *Machine) uncover(bucket ids.Bucket, key string, next beneath) error {
	if !next.found {
		return nil
	}
	if next.flags&keys.Versioned == 0 {
		if err := m.forgetNull(bucket, key); err != nil {
			return err
		}
	}
	if next.flags&keys.DeleteMarker != 0 {
		return nil
	}
	return m.count(bucket, key, keys.Counters{Objects: 1})
}

// addVersion writes the row of a new newest version and counts it.
func (m *Machine) addVersion(bucket ids.Bucket, key string, v *metapb.Version, r room, flags keys.Flags, ts hlc.Stamp) error {
	sum := v.Details.GetChecksum()
	h := keys.Head{Flags: flags, Algorithm: uint8(sum.GetAlgorithm()), Size: v.Size, Parts: v.Parts}
	copy(h.MD5[:], v.Md5)
	if v.DeleteMarker {
		h.Flags |= keys.DeleteMarker
	}
	if sum.GetComposite() {
		h.Flags |= keys.Composite
	}
	more := keys.Counters{Versions: 1, Size: int64(v.Size)}
	if !v.DeleteMarker {
		more.Objects = 1
	}
	if r.covered {
		more.Objects--
	}
	if err := m.count(bucket, key, more); err != nil {
		return err
	}
	details := m.withDefaultLock(bucket, v, ts)
	m.describe(&h, details)
	return m.setVersion(bucket, key, &h, details, ts)
}

func (m *Machine) setVersion(bucket ids.Bucket, key string, h *keys.Head, d *metapb.Details, ts hlc.Stamp) error {
	var head [keys.HeadBytes]byte
	m.key = keys.AppendVersion(m.key[:0], keys.Versions, bucket, key, ts)
	return setHeaded(m.b, m.key, h.Append(head[:0]), d)
}

// LevelVersions is the feature level from which on ranges know versions, locks and UpdateVersion, and heads say what listings show.
const LevelVersions = 3

// ownerBefore is what rows name as the owner that were written before there were accounts.
const ownerBefore = "sherd"

// describe says in a head what is in the details behind it.
func (m *Machine) describe(h *keys.Head, d *metapb.Details) {
	h.Flags &^= keys.Retained
	if d.GetLock() != nil {
		h.Flags |= keys.Retained
	}
	if m.level < LevelVersions {
		return
	}
	code, coded := keys.ClassCode(d.GetStorageClass())
	h.Class = code
	h.Flags &^= keys.Described
	if owner := d.GetOwner(); !coded || owner != "" && owner != ownerBefore {
		h.Flags |= keys.Described
	}
}
