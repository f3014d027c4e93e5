package state

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// ErrNotPrepared reports that no split is prepared in a range.
var ErrNotPrepared = errors.New("state: no split is prepared")

// CountBehind makes the Split that ends a prepared one: it counts the rows behind the border as r has them and takes away
// what has changed since the preparation, so that what the state machine adds gives the count at any later entry (I20). r is
// one state of the rows, a snapshot; counting may take as long as it will. Child, Generation and Replicas are the caller's.
//
// Errors: ErrNotPrepared; ctx's; the drive's.
func CountBehind(ctx context.Context, r pebble.Reader, span Span) (*metapb.Split, error) {
	row, err := readSplit(r, span.ID)
	if err != nil {
		return nil, err
	}
	p, err := preparedOf(row)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, ErrNotPrepared
	}
	c := counting{ctx: ctx, r: r, span: Span{ID: span.ID, Start: p.at, End: span.End}}
	if err := c.run(p.bucket); err != nil {
		return nil, err
	}
	counters := c.counters.Minus(p.counters)
	return &metapb.Split{
		At: p.at, Begun: uint64(p.begun), Counters: counters.Proto(),
		Repairs: c.repairs - p.repairs, Reclaims: c.reclaims - p.reclaims,
	}, nil
}

// counting counts the rows of span.
type counting struct {
	ctx               context.Context
	r                 pebble.Reader
	span              Span
	counters          keys.Counters
	repairs, reclaims int64
	seen              int
}

// checkEvery is after how many rows a long scan looks whether it is still wanted.
const checkEvery = 1024

func (c *counting) run(bucket ids.Bucket) error {
	of := keys.AppendPrefix(nil, bucket, "")
	end := keys.Successor(bytes.Clone(of))
	within := func(t keys.Table) KeyRange {
		return c.span.clip(t, KeyRange{append([]byte{byte(t)}, of...), append([]byte{byte(t)}, end...)})
	}
	return errors.Join(
		c.scan(within(keys.Versions), c.versions()),
		c.scan(within(keys.Uploads), func(_, _ []byte) error { c.counters.Uploads++; return nil }),
		c.scan(within(keys.Parts), c.part),
		c.scan(c.span.table(keys.Repairs), func(_, _ []byte) error { c.repairs++; return nil }),
		c.scan(c.span.table(keys.Reclaims), func(_, _ []byte) error { c.reclaims++; return nil }),
	)
}

func (c *counting) scan(rows KeyRange, fn func(k, v []byte) error) error {
	return scanRange(c.r, rows, func(k, v []byte) error {
		if c.seen++; c.seen%checkEvery == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		return fn(k, v)
	})
}

// versions counts versions, of which the first of each key is its newest.
func (c *counting) versions() func(k, v []byte) error {
	var last []byte
	return func(k, v []byte) error {
		var h keys.Head
		if _, err := h.Decode(v); err != nil {
			return err
		}
		c.counters.Versions++
		c.counters.Size += int64(h.Size)
		route := k[:keys.Comparer.Split(k)]
		if bytes.Equal(route, last) {
			return nil
		}
		last = append(last[:0], route...)
		if h.Flags&keys.DeleteMarker == 0 {
			c.counters.Objects++
		}
		return nil
	}
}

func (c *counting) part(_, v []byte) error {
	var e metapb.Extent
	if err := e.UnmarshalVT(v); err != nil {
		return corrupt(err)
	}
	c.counters.UploadSize += int64(e.Size)
	return nil
}
