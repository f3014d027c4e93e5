package state

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// prior is the newest version of a key as a command finds it.
type prior struct {
	found   bool
	ts      hlc.Stamp
	head    keys.Head
	details []byte // m.details: until the next look-up
}

// exists reports whether a reader would see an object.
func (p *prior) exists() bool { return p.found && p.head.Flags&keys.DeleteMarker == 0 }

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

// read takes the version that it stands on; its key's first prefixBytes are the table and the route.
func (m *Machine) read(it *pebble.Iterator, prefixBytes int) (p prior, err error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return p, err
	}
	p.found, p.ts = true, keys.Stamp(it.Key()[prefixBytes:])
	details, err := p.head.Decode(v)
	if err != nil {
		return p, corrupt(err)
	}
	m.details = append(m.details[:0], details...)
	p.details = m.details
	return p, nil
}

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
	if err := m.supersede(bucket, p.Key, &old, ts); err != nil {
		return nil, err
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
	var flags keys.Flags
	if p.HasInline {
		flags |= keys.HasInline
	}
	return &metapb.Result{Ts: uint64(ts)}, m.addVersion(bucket, p.Key, p.Version, flags, ts)
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

// check evaluates a condition against the newest version, as S3 does: If-Match of an absent key is its own error.
func check(c *metapb.Condition, p *prior) metapb.Code {
	if c == nil {
		return metapb.Code_OK
	}
	if c.IfMatch != "" {
		if !p.exists() {
			return metapb.Code_NO_SUCH_KEY
		}
		if c.IfMatch != "*" && !isETag(c.IfMatch, &p.head) {
			return metapb.Code_PRECONDITION_FAILED
		}
	}
	if c.IfNoneMatch != "" && p.exists() && (c.IfNoneMatch == "*" || isETag(c.IfNoneMatch, &p.head)) {
		return metapb.Code_PRECONDITION_FAILED
	}
	return metapb.Code_OK
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

// addVersion writes the row of a new newest version and counts it.
func (m *Machine) addVersion(bucket ids.Bucket, key string, v *metapb.Version, flags keys.Flags, ts hlc.Stamp) error {
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
	if err := m.count(bucket, key, more); err != nil {
		return err
	}
	return m.setVersion(bucket, key, &h, v.Details, ts)
}

func (m *Machine) setVersion(bucket ids.Bucket, key string, h *keys.Head, d *metapb.Details, ts hlc.Stamp) error {
	var head [keys.HeadBytes]byte
	m.key = keys.AppendVersion(m.key[:0], keys.Versions, bucket, key, ts)
	return setHeaded(m.b, m.key, h.Append(head[:0]), d)
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

// supersede removes the newest version and hands its body to the reclaimer. What comes next is the caller's to count:
// the key counts as absent now.
func (m *Machine) supersede(bucket ids.Bucket, key string, old *prior, ts hlc.Stamp) error {
	if !old.found {
		return nil
	}
	less := keys.Counters{Versions: -1, Size: -int64(old.head.Size)}
	if old.exists() {
		less.Objects = -1
	}
	if err := m.count(bucket, key, less); err != nil {
		return err
	}
	m.key = keys.AppendVersion(m.key[:0], keys.Versions, bucket, key, old.ts)
	if err := m.b.Delete(m.key, nil); err != nil {
		return err
	}
	if old.head.Flags&keys.HasInline != 0 {
		m.key[0] = byte(keys.Inline)
		if err := m.b.Delete(m.key, nil); err != nil {
			return err
		}
	}
	if old.head.Flags&keys.HasExtents != 0 {
		return m.reclaimExtents(bucket, key, old.ts, ts)
	}
	extent, err := field(old.details, detailsExtent)
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

// revise gives the newest version new headers and a new stamp; its body stays (I14).
func (m *Machine) revise(p *metapb.PutVersion, old *prior, ts hlc.Stamp) (*metapb.Result, error) {
	switch {
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
	d.Headers, d.Tags, d.StorageClass = given.GetHeaders(), given.GetTags(), given.GetStorageClass()
	bucket := ids.Bucket(p.Bucket)
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
