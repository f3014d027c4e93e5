package state

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// A cursor of RepairRows, ReclaimRows and Walk is the key of the last row that was read; nil is before the first.

// rowsPerItem bounds how many rows one call reads for each item that it may return.
const rowsPerItem = 16

// visit calls fn with the rows of tables, in order, that come after the cursor, until it took max of them or read
// rowsPerItem times as many. next is the cursor of the next call, nil at the end.
func visit(r pebble.Reader, span Span, tables []keys.Table, after []byte, max int, fn func(row keys.Row, v []byte) (took bool, err error)) (next []byte, err error) {
	read, took := 0, 0
	for len(tables) > 0 && len(after) > 0 && after[0] != byte(tables[0]) {
		tables = tables[1:]
	}
	for _, t := range tables {
		bounds := span.table(t)
		if len(after) > 0 && after[0] == byte(t) {
			bounds = span.clip(t, KeyRange{Start: after}) // which is passed over: no other key may stand in for the next
		}
		full, from := false, after
		err := scanRange(r, bounds, func(k, v []byte) error {
			if bytes.Equal(k, from) {
				return nil
			}
			if full = took >= max || read >= max*rowsPerItem; full {
				return errStop
			}
			row, err := keys.ParseRow(k)
			if err != nil {
				return err
			}
			ok, err := fn(row, v)
			if ok {
				took++
			}
			read++
			after = append(after[:0:0], k...)
			return err
		})
		if full || err != nil {
			return after, err
		}
	}
	return nil, nil
}

// RepairRows returns at most max repair rows of span that come after the cursor. next is the cursor of the next call,
// nil at the end.
func RepairRows(r pebble.Reader, span Span, after []byte, max int) (rows []*metapb.Repair, next []byte, err error) {
	next, err = visit(r, span, []keys.Table{keys.Repairs}, after, max, func(row keys.Row, v []byte) (bool, error) {
		p := new(metapb.Repair)
		if err := p.UnmarshalVT(v); err != nil {
			return false, corrupt(err)
		}
		p.Bucket, p.Key, p.Upload = uint64(row.Bucket), row.Key, row.ID[:]
		p.Blob, p.Slot = row.Blob, uint32(row.Slot)
		rows = append(rows, p)
		return true, nil
	})
	return rows, next, err
}

// ReclaimRows returns at most max reclaim rows of span that died before below and come after the cursor. next is the
// cursor of the next call, nil at the end; a page may be empty before the end.
func ReclaimRows(r pebble.Reader, span Span, below hlc.Stamp, after []byte, max int) (rows []*metapb.Reclaim, next []byte, err error) {
	next, err = visit(r, span, []keys.Table{keys.Reclaims}, after, max, func(row keys.Row, v []byte) (bool, error) {
		if len(v) < diedBytes {
			return false, ErrCorrupt
		}
		died := binary.BigEndian.Uint64(v)
		if hlc.Stamp(died) >= below {
			return false, nil
		}
		p := &metapb.Reclaim{Bucket: uint64(row.Bucket), Key: row.Key, Extent: new(metapb.Extent), Died: died}
		rows = append(rows, p)
		return true, corrupt(p.Extent.UnmarshalVT(v[diedBytes:]))
	})
	return rows, next, err
}

// WalkItem is an extent that some row refers to.
type WalkItem struct {
	Bucket       ids.Bucket
	Key          string
	Extent       *metapb.Extent
	TS           hlc.Stamp // of the version; 0: a part of an unfinished upload
	StorageClass string    // of the version
}

// Walked are the tables that are to be walked one after the other, each through all ranges: what an upload's completion moves
// meanwhile is seen once at least then; what a revision moves may be missed: Walk does not decide what is garbage.
func Walked() []keys.Table { return walked[:] }

// Walk returns at most max extents that rows of span in the cursor's table refer to, after the cursor. next is the cursor of
// the next call, nil at the table's end; a page may be empty before the end.
func Walk(r pebble.Reader, span Span, after []byte, max int) (items []WalkItem, next []byte, err error) {
	if len(after) == 0 || !slices.Contains(walked[:], keys.Table(after[0])) {
		return nil, nil, nil
	}
	classes := classes{r: r}
	next, err = visit(r, span, []keys.Table{keys.Table(after[0])}, after, max, func(row keys.Row, v []byte) (bool, error) {
		raw, err := extentIn(row.Table, v)
		if err != nil || raw == nil {
			return false, err
		}
		class, err := classes.of(row, v)
		if err != nil {
			return false, err
		}
		e := new(metapb.Extent)
		items = append(items, WalkItem{Bucket: row.Bucket, Key: row.Key, Extent: e, TS: row.TS, StorageClass: class})
		return true, corrupt(e.UnmarshalVT(raw))
	})
	return items, next, err
}

// classes finds the storage classes of versions. It remembers the last, for the extents of one version follow each other.
type classes struct {
	r     pebble.Reader
	last  keys.Row
	class string
}

// of is the class of the version that row, with value v, belongs to; empty for a part of an unfinished upload.
func (c *classes) of(row keys.Row, v []byte) (string, error) {
	switch row.Table {
	case keys.Versions:
		return storageClass(v)
	case keys.Extents:
	default:
		return "", nil
	}
	if c.last.TS == row.TS && c.last.Bucket == row.Bucket && c.last.Key == row.Key {
		return c.class, nil
	}
	c.last, c.class = row, ""
	_, err := get(c.r, keys.AppendVersion(nil, keys.Versions, row.Bucket, row.Key, row.TS), func(v []byte) (err error) {
		c.class, err = storageClass(v)
		return err
	})
	return c.class, err
}

// storageClass is that of the value of a row of Versions.
func storageClass(v []byte) (string, error) {
	var h keys.Head
	details, err := h.Decode(v)
	if err != nil {
		return "", corrupt(err)
	}
	class, err := field(details, detailsStorageClass)
	return string(class), err
}

// Hash is a 128-bit xxh3 over all replicated rows of span: equal for replicas at equal applied index (I17).
func Hash(r pebble.Reader, span Span) (sum [16]byte, err error) {
	h := xxh3.New()
	var lengths [16]byte
	for _, s := range span.Spans() {
		err := scanRange(r, s, func(k, v []byte) error {
			binary.BigEndian.PutUint64(lengths[:], uint64(len(k)))
			binary.BigEndian.PutUint64(lengths[8:], uint64(len(v)))
			h.Write(lengths[:]) // never fails, as the next two
			h.Write(k)
			h.Write(v)
			return nil
		})
		if err != nil {
			return sum, err
		}
	}
	return h.Sum128().Bytes(), nil
}
