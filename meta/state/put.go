package state

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// inSpan reports whether (bucket, key) is this range's.
func (m *Machine) inSpan(bucket ids.Bucket, key string) bool {
	if len(m.span.Start) == 0 && len(m.span.End) == 0 {
		return true
	}
	m.key = keys.AppendRoute(m.key[:0], bucket, key)
	return m.span.Contains(m.key)
}

// put applies PutVersion.
func (m *Machine) put(p *metapb.PutVersion, ts hlc.Stamp) (*metapb.Result, error) {
	if !validPut(p) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket := ids.Bucket(p.Bucket)
	if c := m.admits(bucket, p.Key); c != metapb.Code_OK {
		return refuse(c)
	}
	if !m.lockable(bucket, p.Version.Details) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	extent := p.Version.Details.GetExtent()
	if extent != nil && p.Revises == 0 {
		if c, err := m.takes(bucket, p.Key, extent); c != metapb.Code_OK || err != nil {
			return &metapb.Result{Code: c}, err
		}
	}
	old, err := m.newest(bucket, p.Key)
	if err != nil {
		return nil, err
	}
	if c := check(p.Condition, &old); c != metapb.Code_OK {
		return refuse(c)
	}
	if p.Revises != 0 {
		return m.revise(p, &old, ts)
	}
	if reused, err := old.has(extent); reused || err != nil {
		return &metapb.Result{Code: metapb.Code_BAD_COMMAND}, err
	}
	room, code, err := m.makeRoom(bucket, p.Key, &old, ts)
	if code != metapb.Code_OK || err != nil {
		return &metapb.Result{Code: code}, err
	}
	if err := m.addMissed(bucket, p.Key, extent, p.Missed, ts); err != nil {
		return nil, err
	}
	if p.HasInline {
		m.key = keys.AppendVersion(m.key[:0], keys.Inline, bucket, p.Key, ts)
		if err := m.b.Set(m.key, p.Inline, nil); err != nil {
			return nil, err
		}
	}
	flags := room.flags
	if p.HasInline {
		flags |= keys.HasInline
	}
	res := &metapb.Result{Ts: uint64(ts), Versioned: flags&keys.Versioned != 0}
	return res, m.addVersion(bucket, p.Key, p.Version, room, flags, ts)
}

// has reports whether the version's body is e already: no two rows may refer to it (I7, I14).
func (p *prior) has(e *metapb.Extent) (bool, error) {
	if e == nil || !p.found {
		return false, nil
	}
	raw, err := field(p.details, detailsExtent)
	if err != nil || raw == nil {
		return false, err
	}
	id, err := uploadOf(raw)
	return bytes.Equal(id[:], e.Upload), err
}

// admits reports whether rows may be added under (bucket, key).
func (m *Machine) admits(bucket ids.Bucket, key string) metapb.Code {
	switch {
	case !m.inSpan(bucket, key):
		return metapb.Code_STALE_RANGE
	case !m.current(bucket):
		return metapb.Code_STALE_RULES
	case m.seals[bucket]:
		return metapb.Code_SEALED
	}
	return metapb.Code_OK
}

// takes reports whether a row may begin to refer to a body (I1, I6). One without chunks is in no pool.
func (m *Machine) takes(bucket ids.Bucket, key string, e *metapb.Extent) (metapb.Code, error) {
	upload := ids.Upload(e.Upload)
	switch {
	case upload.Stamp() < m.applied.Closed:
		return metapb.Code_TOO_OLD, nil
	case e.Size > 0 && m.pools[ids.Pool(e.Pool)]:
		return metapb.Code_POOL_CLOSED, nil
	}
	if dead, err := m.reclaimed(bucket, key, upload); dead || err != nil {
		return metapb.Code_RECLAIMED, err
	}
	return metapb.Code_OK, nil
}

func (m *Machine) reclaimed(bucket ids.Bucket, key string, upload ids.Upload) (bool, error) {
	if bytes.Compare(upload[:], m.applied.Reclaimed[:]) > 0 {
		return false, nil // greater than all that ever were: so most bodies cost no look-up
	}
	m.key = keys.AppendUpload(m.key[:0], keys.Reclaims, bucket, key, upload)
	return has(m.b, m.key)
}

// check evaluates a condition against a version, as S3 does: what has to match and is absent is an error of its own.
func check(c *metapb.Condition, p *prior) metapb.Code {
	if c == nil {
		return metapb.Code_OK
	}
	if c.IfMatch != "" || c.IfModified != 0 || c.HasIfSize {
		if !p.exists() {
			return metapb.Code_NO_SUCH_KEY
		}
		if !matches(c, p) {
			return metapb.Code_PRECONDITION_FAILED
		}
	}
	if c.IfNoneMatch != "" && p.exists() && (c.IfNoneMatch == "*" || isETag(c.IfNoneMatch, &p.head)) {
		return metapb.Code_PRECONDITION_FAILED
	}
	return metapb.Code_OK
}

// matches reports whether p, which exists, is what c wants it to be.
func matches(c *metapb.Condition, p *prior) bool {
	return (c.IfMatch == "" || c.IfMatch == "*" || isETag(c.IfMatch, &p.head)) &&
		(c.IfModified == 0 || c.IfModified == p.ts.Time().Unix()) &&
		(!c.HasIfSize || c.IfSize == p.head.Size)
}

// isETag compares s with the ETag that S3 shows for h.
func isETag(s string, h *keys.Head) bool {
	var buf [2*md5Bytes + 1 + 10]byte
	tag := hex.AppendEncode(buf[:0], h.MD5[:])
	if h.Parts > 0 {
		tag = strconv.AppendUint(append(tag, '-'), uint64(h.Parts), 10)
	}
	return string(tag) == s
}

// count adds to the counters of a bucket what a change of key's rows makes.
func (m *Machine) count(bucket ids.Bucket, key string, more keys.Counters) error {
	c, err := m.countersOf(bucket)
	if err != nil {
		return err
	}
	c.Add(more)
	if m.behindSplit(bucket, key) && bucket == m.prepared.bucket {
		m.prepared.counters.Add(more)
	}
	return nil
}

// queue adds to the numbers of queue rows what a change of key's rows makes.
func (m *Machine) queue(bucket ids.Bucket, key string, repairs, reclaims int64) {
	m.applied.Repairs += uint64(repairs)
	m.applied.Reclaims += uint64(reclaims)
	if m.behindSplit(bucket, key) {
		m.prepared.repairs += repairs
		m.prepared.reclaims += reclaims
	}
}

// countersOf returns the bucket's counters, to be changed.
func (m *Machine) countersOf(bucket ids.Bucket) (*counters, error) {
	c := m.counters[bucket]
	if c == nil {
		c = new(counters)
		m.key = keys.AppendBucket(m.key[:0], keys.Counts, m.span.ID, bucket)
		if _, err := get(m.b, m.key, c.Decode); err != nil {
			return nil, corrupt(err)
		}
		m.counters[bucket] = c
	}
	if !c.dirty {
		c.dirty = true
		m.dirty = append(m.dirty, bucket)
	}
	return c, nil
}

// revise gives the newest version new headers and a new stamp; its body stays (I14). Where there are or were versions with
// ids, it would be another version under another id: refused.
func (m *Machine) revise(p *metapb.PutVersion, old *prior, ts hlc.Stamp) (*metapb.Result, error) {
	bucket := ids.Bucket(p.Bucket)
	locked, err := old.locked(ts, false)
	switch {
	case err != nil:
		return nil, err
	case m.marks(bucket, old):
		return refuse(metapb.Code_BAD_COMMAND)
	case locked:
		return refuse(metapb.Code_LOCKED)
	case !old.exists():
		return refuse(metapb.Code_NO_SUCH_KEY)
	case old.ts != hlc.Stamp(p.Revises):
		return refuse(metapb.Code_PRECONDITION_FAILED)
	}
	d := new(metapb.Details)
	if err := d.UnmarshalVT(old.details); err != nil {
		return nil, corrupt(err)
	}
	given := p.Version.GetDetails()
	d.Headers, d.Tags, d.Acl, d.StorageClass = given.GetHeaders(), given.GetTags(), given.GetAcl(), given.GetStorageClass()
	m.describe(&old.head, d)
	if err := m.setVersion(bucket, p.Key, &old.head, d, ts); err != nil {
		return nil, err
	}
	m.key = keys.AppendVersion(m.key[:0], keys.Versions, bucket, p.Key, old.ts)
	if err := m.b.Delete(m.key, nil); err != nil {
		return nil, err
	}
	return &metapb.Result{Ts: uint64(ts)}, m.moveBody(bucket, p.Key, old, ts)
}

// moveBody brings the rows of a version's body under another stamp.
func (m *Machine) moveBody(bucket ids.Bucket, key string, old *prior, ts hlc.Stamp) error {
	move := func(from, to, v []byte) error {
		if err := m.b.Set(to, v, nil); err != nil {
			return err
		}
		return m.b.Delete(from, nil)
	}
	switch {
	case old.head.Flags&keys.HasInline != 0:
		from := keys.AppendVersion(nil, keys.Inline, bucket, key, old.ts)
		_, err := get(m.b, from, func(v []byte) error {
			return move(from, keys.AppendVersion(nil, keys.Inline, bucket, key, ts), v)
		})
		return err
	case old.head.Flags&keys.HasExtents != 0:
		from := keys.AppendStamp(keys.AppendTable(nil, keys.Extents, bucket, key), old.ts)
		to := keys.AppendStamp(keys.AppendTable(nil, keys.Extents, bucket, key), ts)
		return scan(m.b, from, func(k, v []byte) error {
			return move(k, slices.Concat(to, k[len(from):]), v)
		})
	}
	return nil // the extent is in the details
}
