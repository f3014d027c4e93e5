package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Errors of reads. Any other is the drive's.
var (
	ErrNoSuchKey    = errors.New("state: no such key")
	ErrNoSuchUpload = errors.New("state: no such upload")
	ErrCorrupt      = keys.ErrCorrupt // present but wrong: the replica is damaged

	// ErrNoSuchVersion is ErrNoSuchKey of a version that was named.
	ErrNoSuchVersion = fmt.Errorf("%w in the version that is named", ErrNoSuchKey)
)

// VersionRef names a version of a key. The zero VersionRef is the newest.
type VersionRef struct {
	ID   hlc.Stamp // the version whose id is this stamp; never the null version
	Null bool      // the null version
}

// GetOptions chooses what Get reads.
type GetOptions struct {
	Inline  bool // the body too, if it lives in the range
	Version VersionRef
	AsOf    hlc.Stamp // not 0: not the newest version but the newest that is not newer than this; without a Version only
}

// Get returns a version of key; a delete marker is returned as such. With opt.Inline, the body is returned too if it lives in
// the range (nil if it does not).
//
// Version.Details.Extent is set for a body from one PutObject; a multipart body (Version.Parts > 0) has Extents.
// Errors: ErrNoSuchKey, ErrNoSuchVersion.
func Get(r pebble.Reader, bucket ids.Bucket, key string, opt GetOptions) (v *metapb.Version, body []byte, err error) {
	it, err := r.NewIter(nil)
	if err != nil {
		return nil, nil, err
	}
	defer closeInto(it, &err)
	row := make([]byte, 0, len(key)+32)
	row = keys.AppendTable(row, keys.Versions, bucket, key)
	prefixBytes := len(row)
	found := false
	switch {
	case opt.Version.Null:
		found, err = seekNull(it, row)
	case opt.Version.ID != 0:
		row = keys.AppendStamp(row, opt.Version.ID)
		found = it.SeekPrefixGE(row) && bytes.Equal(it.Key(), row)
	case opt.AsOf != 0:
		found = it.SeekPrefixGE(keys.AppendStamp(row, opt.AsOf))
	default:
		found = it.SeekPrefixGE(row)
	}
	if !found || err != nil {
		return nil, nil, opt.Version.absent(errors.Join(err, it.Error()))
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, nil, err
	}
	ts := keys.Stamp(it.Key()[prefixBytes:])
	v, flags, err := decodeVersion(value, ts)
	if err == nil && opt.Version.ID != 0 && flags&keys.Versioned == 0 { // a null version's stamp is not an id
		return nil, nil, ErrNoSuchVersion
	}
	if err != nil || !opt.Inline || flags&keys.HasInline == 0 {
		return v, nil, err
	}
	row = keys.AppendStamp(row[:prefixBytes], ts)
	row[0] = byte(keys.Inline)
	// Through the iterator: it sees the same state of the rows, where r may have changed meanwhile.
	if !it.SeekPrefixGE(row) || !bytes.Equal(it.Key(), row) {
		return nil, nil, errors.Join(ErrCorrupt, it.Error())
	}
	value, err = it.ValueAndErr()
	if err != nil {
		return nil, nil, err
	}
	return v, append(make([]byte, 0, len(value)), value...), nil // not nil, even if empty
}

// seekNull seeks the null version of the key with prefix, its table and route in Versions.
func seekNull(it *pebble.Iterator, prefix []byte) (found bool, err error) {
	null, err := newestIsNull(it, prefix)
	if null || err != nil {
		return null, err
	}
	row := bytes.Clone(prefix)
	row[0] = byte(keys.Nulls)
	if !it.SeekPrefixGE(row) {
		return false, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return false, err
	}
	ts, err := keys.NullStamp(value)
	if err != nil {
		return false, err
	}
	row[0] = byte(keys.Versions)
	row = keys.AppendStamp(row, ts)
	if !it.SeekPrefixGE(row) || !bytes.Equal(it.Key(), row) {
		return false, ErrCorrupt
	}
	return true, nil
}

// newestIsNull seeks the newest version of a key, and reports whether it is its null version.
func newestIsNull(it *pebble.Iterator, prefix []byte) (bool, error) {
	if !it.SeekPrefixGE(prefix) {
		return false, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return false, err
	}
	var h keys.Head
	_, err = h.Decode(value)
	return h.Flags&keys.Versioned == 0, err
}

// absent is what is wrong where there is no version, or err.
func (v VersionRef) absent(err error) error {
	switch {
	case err != nil:
		return err
	case v != VersionRef{}:
		return ErrNoSuchVersion
	}
	return ErrNoSuchKey
}

// decodeVersion builds what readers get of a row of Versions. Nothing aliases value.
func decodeVersion(value []byte, ts hlc.Stamp) (*metapb.Version, keys.Flags, error) {
	var h keys.Head
	details, err := h.Decode(value)
	if err != nil {
		return nil, 0, err
	}
	var all struct { // one allocation for three that live and die together
		version metapb.Version
		details metapb.Details
		md5     [16]byte
	}
	all.md5 = h.MD5
	v := &all.version
	v.Size, v.Md5, v.Parts, v.Ts, v.Details = h.Size, all.md5[:], h.Parts, uint64(ts), &all.details
	v.DeleteMarker, v.Versioned = h.Flags&keys.DeleteMarker != 0, h.Flags&keys.Versioned != 0
	return v, h.Flags, corrupt(v.Details.UnmarshalVT(details))
}

// Extents returns at most max extents of the multipart version ts of key, ascending, from the one that holds byte
// off on, empty ones too. Extent.Offset is set. None means that the version is gone, or off is past its end.
func Extents(r pebble.Reader, bucket ids.Bucket, key string, ts hlc.Stamp, off uint64, max int) (found []*metapb.Extent, err error) {
	prefix := keys.AppendStamp(keys.AppendTable(nil, keys.Extents, bucket, key), ts)
	start := binary.BigEndian.AppendUint64(slices.Clone(prefix), off)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: keys.Successor(slices.Clone(prefix))})
	if err != nil {
		return nil, err
	}
	defer closeInto(it, &err)
	ok := it.SeekGE(start)
	if !ok || !bytes.Equal(it.Key(), start) {
		ok = it.SeekLT(start) // the one that begins before off
	}
	for ; ok && len(found) < max; ok = it.Next() {
		e, err := valueOf(it, new(metapb.Extent))
		if err != nil {
			return nil, err
		}
		if e.Offset+e.Size > off || e.Offset >= off {
			found = append(found, e)
		}
	}
	return found, nil
}

type decoder interface{ UnmarshalVT([]byte) error }

// valueOf decodes the value that it stands on into v.
func valueOf[T decoder](it *pebble.Iterator, v T) (T, error) {
	b, err := it.ValueAndErr()
	if err != nil {
		return v, err
	}
	return v, corrupt(v.UnmarshalVT(b))
}

// ListParts returns the unfinished upload and at most max of its parts with numbers greater than after, ascending.
// Errors: ErrNoSuchUpload.
func ListParts(r pebble.Reader, bucket ids.Bucket, key string, id ids.Upload, after uint32, max int) (u *metapb.Upload, parts []*metapb.Extent, err error) {
	span := KeyRange{
		Start: keys.AppendPart(nil, bucket, key, id, min(after, partMax)+1),
		End:   keys.Successor(keys.AppendUpload(nil, keys.Parts, bucket, key, id)),
	}
	err = scanRange(r, span, func(_, v []byte) error {
		if len(parts) >= max {
			return errStop
		}
		e := new(metapb.Extent)
		parts = append(parts, e)
		return corrupt(e.UnmarshalVT(v))
	})
	if err != nil {
		return nil, nil, err
	}
	// The upload after its parts: if it was completed meanwhile, it is not there, rather than without parts.
	u, err = upload(r, keys.Uploads, bucket, key, id)
	if err != nil {
		return nil, nil, err
	}
	return u, parts, nil
}

// Completed returns what a finished upload left, for 7 days: Completed, CompletedAt and PartsSum are set (I21).
// Errors: ErrNoSuchUpload.
func Completed(r pebble.Reader, bucket ids.Bucket, key string, id ids.Upload) (*metapb.Upload, error) {
	return upload(r, keys.Done, bucket, key, id)
}

func upload(r pebble.Reader, t keys.Table, bucket ids.Bucket, key string, id ids.Upload) (*metapb.Upload, error) {
	u := new(metapb.Upload)
	found, err := get(r, keys.AppendUpload(nil, t, bucket, key, id), func(v []byte) error {
		return corrupt(u.UnmarshalVT(v))
	})
	if err == nil && !found {
		err = ErrNoSuchUpload
	}
	return u, err
}

// Ref says what rows say of a body.
type Ref int

// Absent: no row. Reclaiming: dead, not yet deleted. Live: some version or part is made of it.
const (
	Absent Ref = iota
	Reclaiming
	Live
)

// Referenced looks for upload among the rows of (bucket, key), its home (I14).
func Referenced(r pebble.Reader, bucket ids.Bucket, key string, upload ids.Upload) (Ref, error) {
	for _, table := range walked {
		ref := Absent
		err := scan(r, keys.AppendTable(nil, table, bucket, key), func(_, v []byte) error {
			extent, err := extentIn(table, v)
			if err != nil || extent == nil {
				return err
			}
			id, err := uploadOf(extent)
			if err == nil && id == upload {
				ref, err = Live, errStop
			}
			return err
		})
		if ref != Absent || err != nil {
			return ref, err
		}
	}
	dead, err := has(r, keys.AppendUpload(nil, keys.Reclaims, bucket, key, upload))
	if dead {
		return Reclaiming, err
	}
	return Absent, err
}

// walked are the tables whose rows refer to bodies, in the order in which a body passes through them: a reader whose
// view moves on while it goes from one to the next may meet a body twice but does not miss it.
var walked = [...]keys.Table{keys.Parts, keys.Versions, keys.Extents}

// extentIn finds the encoded extent in the value of a row of a walked table; nil if it has none.
func extentIn(t keys.Table, value []byte) ([]byte, error) {
	if t != keys.Versions {
		return value, nil
	}
	var h keys.Head
	details, err := h.Decode(value)
	if err != nil {
		return nil, err
	}
	return field(details, detailsExtent)
}

// ReadApplied returns what the range's own row says; zeros for an empty range.
func ReadApplied(r pebble.Reader, id ids.Range) (a keys.Applied, err error) {
	_, err = get(r, keys.AppendRange(nil, keys.Applieds, id), a.Decode)
	return a, err
}

// CountersOf returns a bucket's counters in range id; zeros if it has none there.
func CountersOf(r pebble.Reader, id ids.Range, bucket ids.Bucket) (*metapb.Counters, error) {
	var c keys.Counters
	_, err := get(r, keys.AppendBucket(nil, keys.Counts, id, bucket), c.Decode)
	return c.Proto(), err
}

// Sealed reports whether range id has a bucket sealed.
func Sealed(r pebble.Reader, id ids.Range, bucket ids.Bucket) (bool, error) {
	return has(r, keys.AppendBucket(nil, keys.Seals, id, bucket))
}

// Usage calls fn with each bucket that has counters in range id, ascending, until fn fails.
func Usage(r pebble.Reader, id ids.Range, fn func(ids.Bucket, *metapb.Counters) error) error {
	prefix := keys.AppendRange(nil, keys.Counts, id)
	return scan(r, prefix, func(k, v []byte) error {
		bucket, err := parseBucket(k[len(prefix):])
		if err != nil {
			return err
		}
		var c keys.Counters
		if err := c.Decode(v); err != nil {
			return err
		}
		return fn(bucket, c.Proto())
	})
}
