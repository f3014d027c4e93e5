package state

import (
	"bytes"
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// createUpload applies CreateUpload.
func (m *Machine) createUpload(c *metapb.CreateUpload, ts hlc.Stamp) (*metapb.Result, error) {
	if c == nil || !validKey(c.Bucket, c.Key) || len(c.Id) != len(ids.Upload{}) || c.Details.GetExtent() != nil {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket, id := ids.Bucket(c.Bucket), ids.Upload(c.Id)
	if code := m.admits(bucket, c.Key); code != metapb.Code_OK {
		return refuse(code)
	}
	if !m.lockable(bucket, c.Details) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	for _, table := range [...]keys.Table{keys.Done, keys.Uploads} { // ids are never used again
		m.key = keys.AppendUpload(m.key[:0], table, bucket, c.Key, id)
		if used, err := has(m.b, m.key); used || err != nil {
			return &metapb.Result{Code: metapb.Code_BAD_COMMAND}, err
		}
	}
	if err := setMessage(m.b, m.key, &metapb.Upload{Details: c.Details, Initiated: uint64(ts)}); err != nil {
		return nil, err
	}
	return &metapb.Result{Ts: uint64(ts)}, m.count(bucket, c.Key, keys.Counters{Uploads: 1})
}

// putPart applies PutPart. A part that was there under the number is reclaimed.
func (m *Machine) putPart(p *metapb.PutPart, ts hlc.Stamp) (*metapb.Result, error) {
	if !validPart(p) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket, id, e := ids.Bucket(p.Bucket), ids.Upload(p.Id), p.Extent
	if c := m.admits(bucket, p.Key); c != metapb.Code_OK {
		return refuse(c)
	}
	m.key = keys.AppendUpload(m.key[:0], keys.Uploads, bucket, p.Key, id)
	if open, err := has(m.b, m.key); !open || err != nil {
		return &metapb.Result{Code: metapb.Code_NO_SUCH_UPLOAD}, err
	}
	if c, err := m.takes(bucket, p.Key, e); c != metapb.Code_OK || err != nil {
		return &metapb.Result{Code: c}, err
	}
	row := keys.AppendPart(nil, bucket, p.Key, id, e.Part)
	if c, err := m.dropPart(bucket, p.Key, row, e.Upload, ts); c != metapb.Code_OK || err != nil {
		return &metapb.Result{Code: c}, err
	}
	if err := m.count(bucket, p.Key, keys.Counters{UploadSize: int64(e.Size)}); err != nil {
		return nil, err
	}
	if err := m.addMissed(bucket, p.Key, e, p.Missed, ts); err != nil {
		return nil, err
	}
	return &metapb.Result{Ts: uint64(ts)}, setMessage(m.b, row, e)
}

// dropPart reclaims the part under row, if there is one, unless it is the body that comes (I7).
func (m *Machine) dropPart(bucket ids.Bucket, key string, row, coming []byte, ts hlc.Stamp) (metapb.Code, error) {
	var old []byte
	if _, err := get(m.b, row, func(v []byte) error { old = bytes.Clone(v); return nil }); err != nil || old == nil {
		return metapb.Code_OK, err
	}
	id, err := uploadOf(old)
	if err != nil {
		return metapb.Code_OK, err
	}
	if bytes.Equal(id[:], coming) {
		return metapb.Code_BAD_COMMAND, nil
	}
	return metapb.Code_OK, m.reclaimPart(bucket, key, old, ts)
}

// reclaimPart uncounts an encoded part and hands it to the reclaimer; the row is the caller's to remove.
func (m *Machine) reclaimPart(bucket ids.Bucket, key string, part []byte, ts hlc.Stamp) error {
	var e metapb.Extent
	if err := e.UnmarshalVT(part); err != nil {
		return corrupt(err)
	}
	if err := m.count(bucket, key, keys.Counters{UploadSize: -int64(e.Size)}); err != nil {
		return err
	}
	return m.reclaim(bucket, key, part, ts)
}

// completeUpload applies CompleteUpload: the named parts become the extents of a version, the rest are reclaimed.
func (m *Machine) completeUpload(c *metapb.CompleteUpload, ts hlc.Stamp) (*metapb.Result, error) {
	if !validComplete(c) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket, id := ids.Bucket(c.Bucket), ids.Upload(c.Id)
	if !m.inSpan(bucket, c.Key) {
		return refuse(metapb.Code_STALE_RANGE)
	}
	upload := keys.AppendUpload(nil, keys.Uploads, bucket, c.Key, id)
	if open, err := has(m.b, upload); err != nil {
		return nil, err
	} else if !open {
		return m.completed(c)
	}
	if code := m.admits(bucket, c.Key); code != metapb.Code_OK {
		return refuse(code)
	}
	var sum PartsSum
	if refused, err := m.checkParts(c, &sum); refused != nil || err != nil {
		return refused, err
	}
	old, err := m.newest(bucket, c.Key)
	if err != nil {
		return nil, err
	}
	if code := check(c.Condition, &old); code != metapb.Code_OK {
		return refuse(code)
	}
	room, code, err := m.makeRoom(bucket, c.Key, &old, ts)
	if code != metapb.Code_OK || err != nil {
		return &metapb.Result{Code: code}, err
	}
	if err := m.moveParts(c, ts); err != nil {
		return nil, err
	}
	if err := m.addVersion(bucket, c.Key, c.Version, room, room.flags|keys.HasExtents, ts); err != nil {
		return nil, err
	}
	if err := m.count(bucket, c.Key, keys.Counters{Uploads: -1}); err != nil {
		return nil, err
	}
	if err := m.b.Delete(upload, nil); err != nil {
		return nil, err
	}
	return m.finishUpload(c, room.flags, sum.Sum(), ts)
}

// PartsSum is over the numbers and MD5s of the parts that a Complete names: it tells one Complete from another.
type PartsSum struct{ h xxh3.Hasher }

// Add takes the next part; md5 has 16 bytes.
func (s *PartsSum) Add(part uint32, md5 []byte) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], part)
	s.h.Write(b[:]) // never fails, as the next
	s.h.Write(md5)
}

// Sum returns what Upload.PartsSum has.
func (s *PartsSum) Sum() []byte {
	sum := s.h.Sum128().Bytes()
	return sum[:]
}

// completed answers a Complete of an upload that is not open: the result, if it is the same Complete (I21).
func (m *Machine) completed(c *metapb.CompleteUpload) (*metapb.Result, error) {
	var u metapb.Upload
	m.key = keys.AppendUpload(m.key[:0], keys.Done, ids.Bucket(c.Bucket), c.Key, ids.Upload(c.Id))
	found, err := get(m.b, m.key, func(v []byte) error { return corrupt(u.UnmarshalVT(v)) })
	if err != nil {
		return nil, err
	}
	var sum PartsSum
	for _, p := range c.Parts {
		sum.Add(p.Part, p.Md5)
	}
	if !found || !bytes.Equal(sum.Sum(), u.PartsSum) {
		return refuse(metapb.Code_NO_SUCH_UPLOAD)
	}
	return &metapb.Result{Ts: u.CompletedAt, Version: u.Completed}, nil
}

// checkParts compares what Complete names with the rows, and sums it. It returns the refusal, or nil.
func (m *Machine) checkParts(c *metapb.CompleteUpload, sum *PartsSum) (*metapb.Result, error) {
	rest, size := c.Parts, uint64(0)
	var refused *metapb.Result
	err := m.eachPart(c.Bucket, c.Key, c.Id, func(_ []byte, part uint32, v []byte) error {
		if len(rest) == 0 || part < rest[0].Part {
			return nil // not named
		}
		if part > rest[0].Part {
			return errStop // a named one is not there
		}
		var e metapb.Extent
		if err := e.UnmarshalVT(v); err != nil {
			return corrupt(err)
		}
		if !bytes.Equal(e.Upload, rest[0].Upload) || rest[0].Md5 != nil && !bytes.Equal(e.Md5, rest[0].Md5) {
			refused = &metapb.Result{Code: metapb.Code_PART_CHANGED, Part: part, Upload: e.Upload}
			return errStop
		}
		sum.Add(part, e.Md5)
		rest, size = rest[1:], size+e.Size
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		return refused, nil
	case len(rest) > 0:
		return &metapb.Result{Code: metapb.Code_PART_CHANGED, Part: rest[0].Part}, nil
	case size != c.Version.Size:
		return refuse(metapb.Code_BAD_COMMAND)
	}
	return nil, nil
}

// moveParts turns the named parts, which are there, into extents of version ts and reclaims the others.
func (m *Machine) moveParts(c *metapb.CompleteUpload, ts hlc.Stamp) error {
	bucket, rest, offset := ids.Bucket(c.Bucket), c.Parts, uint64(0)
	var row []byte
	return m.eachPart(c.Bucket, c.Key, c.Id, func(k []byte, part uint32, v []byte) error {
		if err := m.b.Delete(k, nil); err != nil {
			return err
		}
		if len(rest) == 0 || part != rest[0].Part {
			return m.reclaimPart(bucket, c.Key, v, ts)
		}
		var e metapb.Extent
		if err := e.UnmarshalVT(v); err != nil {
			return corrupt(err)
		}
		e.Offset = offset
		// Only a part without bytes, and so without chunks, can have the offset of the next.
		row = keys.AppendExtent(row[:0], bucket, c.Key, ts, offset)
		rest, offset = rest[1:], offset+e.Size
		if err := m.count(bucket, c.Key, keys.Counters{UploadSize: -int64(e.Size)}); err != nil {
			return err
		}
		return setMessage(m.b, row, &e)
	})
}

// eachPart calls fn with the parts of an upload, ascending.
func (m *Machine) eachPart(bucket uint64, key string, id []byte, fn func(row []byte, part uint32, extent []byte) error) error {
	prefix := keys.AppendUpload(nil, keys.Parts, ids.Bucket(bucket), key, ids.Upload(id))
	return scan(m.b, prefix, func(k, v []byte) error {
		if len(k) != len(prefix)+4 {
			return ErrCorrupt
		}
		return fn(k, binary.BigEndian.Uint32(k[len(prefix):]), v)
	})
}

// finishUpload leaves the result for 7 days (I21).
func (m *Machine) finishUpload(c *metapb.CompleteUpload, flags keys.Flags, sum []byte, ts hlc.Stamp) (*metapb.Result, error) {
	v := &metapb.Version{
		Size:      c.Version.Size,
		Md5:       c.Version.Md5,
		Parts:     c.Version.Parts,
		Ts:        uint64(ts),
		Versioned: flags&keys.Versioned != 0,
		Details:   &metapb.Details{Checksum: c.Version.Details.GetChecksum()},
	}
	bucket, id := ids.Bucket(c.Bucket), ids.Upload(c.Id)
	m.key = keys.AppendUpload(m.key[:0], keys.Done, bucket, c.Key, id)
	err := setMessage(m.b, m.key, &metapb.Upload{Completed: v, CompletedAt: uint64(ts), PartsSum: sum})
	if err != nil {
		return nil, err
	}
	m.oldest = min(m.oldest, ts)
	m.key = keys.AppendExpiry(m.key[:0], m.span.ID, ts, bucket, c.Key, id)
	return &metapb.Result{Ts: uint64(ts), Version: v}, m.b.Set(m.key, nil, nil)
}

// expire drops results that were kept for their time, a few with each command.
func (m *Machine) expire(ts hlc.Stamp) error {
	if m.oldest >= before(ts, doneKept) {
		return nil
	}
	m.oldest = stampMax
	dropped := 0
	return scan(m.b, keys.AppendRange(nil, keys.Expiry, m.span.ID), func(k, _ []byte) error {
		finished, done, err := parseExpiry(k)
		if err != nil {
			return err
		}
		if finished >= before(ts, doneKept) || dropped == expirePerStep {
			m.oldest = finished
			return errStop
		}
		dropped++
		if err := m.b.Delete(k, nil); err != nil {
			return err
		}
		if len(done) < len(ids.Upload{}) {
			return ErrCorrupt
		}
		if !m.span.Contains(done[:len(done)-len(ids.Upload{})]) {
			return nil // a split took it over: the child has a row of its own for it
		}
		return m.b.Delete(append([]byte{byte(keys.Done)}, done...), nil)
	})
}

// abortUpload applies AbortUpload: all parts are reclaimed.
func (m *Machine) abortUpload(a *metapb.AbortUpload, ts hlc.Stamp) (*metapb.Result, error) {
	if a == nil || !validKey(a.Bucket, a.Key) || len(a.Id) != len(ids.Upload{}) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket := ids.Bucket(a.Bucket)
	if !m.inSpan(bucket, a.Key) {
		return refuse(metapb.Code_STALE_RANGE)
	}
	upload := keys.AppendUpload(nil, keys.Uploads, bucket, a.Key, ids.Upload(a.Id))
	if open, err := has(m.b, upload); !open || err != nil {
		return &metapb.Result{Code: metapb.Code_NO_SUCH_UPLOAD}, err
	}
	err := m.eachPart(a.Bucket, a.Key, a.Id, func(k []byte, _ uint32, v []byte) error {
		if err := m.b.Delete(k, nil); err != nil {
			return err
		}
		return m.reclaimPart(bucket, a.Key, v, ts)
	})
	if err != nil {
		return nil, err
	}
	if err := m.count(bucket, a.Key, keys.Counters{Uploads: -1}); err != nil {
		return nil, err
	}
	return &metapb.Result{Ts: uint64(ts)}, m.b.Delete(upload, nil)
}
