package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
)

// errStop ends a scan early, without an error.
var errStop = errors.New("state: stop")

// get calls fn with the value of key, if there is one. The value is fn's only until it returns.
func get(r pebble.Reader, key []byte, fn func(value []byte) error) (found bool, err error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(fn(v), closer.Close())
}

func has(r pebble.Reader, key []byte) (bool, error) {
	return get(r, key, func([]byte) error { return nil })
}

// scan calls fn with each row whose key begins with prefix, ascending, until fn fails; errStop ends it well.
// Keys and values are fn's only until it returns. A prefix in Versions or Inline must not go beyond the route: bounds
// that cut a stamp short are not keys that keys.Comparer can split.
func scan(r pebble.Reader, prefix []byte, fn func(key, value []byte) error) error {
	return scanRange(r, KeyRange{prefix, keys.Successor(bytes.Clone(prefix))}, fn)
}

func scanRange(r pebble.Reader, span KeyRange, fn func(key, value []byte) error) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer closeInto(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key(), v); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil // the iterator's own error comes with its Close
}

func closeInto(c io.Closer, err *error) {
	if e := c.Close(); *err == nil {
		*err = e
	}
}

// message is what vtprotobuf generates.
type message interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

// setMessage encodes v straight into the batch.
func setMessage(b *pebble.Batch, key []byte, v message) error {
	return setHeaded(b, key, nil, v)
}

// setHeaded sets key to head followed by the encoded v.
func setHeaded(b *pebble.Batch, key, head []byte, v message) error {
	op := b.SetDeferred(len(key), len(head)+v.SizeVT())
	copy(op.Key, key)
	copy(op.Value, head)
	if _, err := v.MarshalToSizedBufferVT(op.Value[len(head):]); err != nil {
		return err
	}
	return op.Finish()
}

// field returns the bytes of the last field num of an encoded message; nil if it has none.
func field(b []byte, num protowire.Number) (val []byte, err error) {
	for len(b) > 0 {
		n, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return nil, ErrCorrupt
		}
		size := protowire.ConsumeFieldValue(n, typ, b[tag:])
		if size < 0 {
			return nil, ErrCorrupt
		}
		if n == num && typ == protowire.BytesType {
			val, _ = protowire.ConsumeBytes(b[tag:])
		}
		b = b[tag+size:]
	}
	return val, nil
}

// Field numbers that are read without decoding the rest.
const (
	detailsExtent       = 3
	detailsOwner        = 4
	detailsStorageClass = 5
	detailsLock         = 7
	extentUpload        = 1
	extentPGs           = 5
)

// uploadOf reads the upload id of an encoded Extent.
func uploadOf(extent []byte) (id ids.Upload, err error) {
	b, err := field(extent, extentUpload)
	if err != nil || len(b) != len(id) {
		return id, ErrCorrupt
	}
	return ids.Upload(b), nil
}

// parseExpiry splits a key of table Expiry. rest is the route and the upload id.
func parseExpiry(k []byte) (finished hlc.Stamp, rest []byte, err error) {
	const head = 1 + 8
	if len(k) < head+8 {
		return 0, nil, ErrCorrupt
	}
	return hlc.Stamp(binary.BigEndian.Uint64(k[head:])), k[head+8:], nil
}

func parseBucket(b []byte) (ids.Bucket, error) {
	if len(b) != 8 {
		return 0, ErrCorrupt
	}
	return ids.Bucket(binary.BigEndian.Uint64(b)), nil
}
