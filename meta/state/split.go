package state

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// FirstIndex and FirstTerm are where a range's log begins: its first rows are the effect of that entry. They are past 0, so
// that a blank replica always gets a snapshot, with the configuration.
const (
	FirstIndex = 1
	FirstTerm  = 1
)

// splitState is what a Machine knows of splits: table Splits.
type splitState struct {
	prepared *prepared // nil: no split is under way
	// unexpiring is behind which row key of table Done the rows still lack their row in Expiry; nil: none do.
	unexpiring   []byte
	splitChanged bool // in this batch
}

// prepared is a split under way: what has changed at and behind at since begun.
type prepared struct {
	at                []byte // never changed
	begun             hlc.Stamp
	bucket            ids.Bucket    // that at is in
	counters          keys.Counters // of bucket
	repairs, reclaims int64         // of all
}

func (s *splitState) copy() *splitState {
	c := *s
	if c.prepared != nil {
		p := *c.prepared
		c.prepared = &p
	}
	return &c
}

func (m *Machine) loadSplit(r pebble.Reader) error {
	row, err := readSplit(r, m.span.ID)
	if err != nil {
		return err
	}
	if len(row.Unexpiring) > 0 {
		m.unexpiring = row.Unexpiring
	}
	m.prepared, err = preparedOf(row)
	return err
}

func readSplit(r pebble.Reader, id ids.Range) (*metapb.SplitState, error) {
	row := new(metapb.SplitState)
	_, err := get(r, keys.AppendRange(nil, keys.Splits, id), func(v []byte) error { return corrupt(row.UnmarshalVT(v)) })
	return row, err
}

// preparedOf returns the split that a row says is prepared, or nil.
func preparedOf(row *metapb.SplitState) (*prepared, error) {
	if len(row.At) == 0 {
		return nil, nil
	}
	bucket, ok := keys.BorderBucket(row.At)
	if !ok {
		return nil, ErrCorrupt
	}
	return &prepared{
		at: row.At, begun: hlc.Stamp(row.Begun), bucket: bucket,
		counters: keys.CountersOf(row.Counters), repairs: row.Repairs, reclaims: row.Reclaims,
	}, nil
}

func (m *Machine) writeSplit(b *pebble.Batch) error {
	m.key = keys.AppendRange(m.key[:0], keys.Splits, m.span.ID)
	if m.prepared == nil && m.unexpiring == nil {
		return b.Delete(m.key, nil)
	}
	row := &metapb.SplitState{Unexpiring: m.unexpiring}
	if p := m.prepared; p != nil {
		row.At, row.Begun = p.at, uint64(p.begun)
		row.Counters, row.Repairs, row.Reclaims = p.counters.Proto(), p.repairs, p.reclaims
	}
	return setMessage(b, m.key, row)
}

// behindSplit reports whether key's rows are the child's once the prepared split is made; its counters change then.
func (m *Machine) behindSplit(bucket ids.Bucket, key string) bool {
	if m.prepared == nil {
		return false
	}
	m.route = keys.AppendRoute(m.route[:0], bucket, key)
	if bytes.Compare(m.route, m.prepared.at) < 0 {
		return false
	}
	m.splitChanged = true
	return true
}

// divides reports whether at may become a border inside of the span.
func (m *Machine) divides(at []byte) bool {
	_, ok := keys.BorderBucket(at)
	return ok && m.span.Contains(at) && !bytes.Equal(at, m.span.Start)
}

// prepareSplit applies PrepareSplit.
func (m *Machine) prepareSplit(s *metapb.PrepareSplit, ts hlc.Stamp) (*metapb.Result, error) {
	bucket, ok := keys.BorderBucket(s.GetAt())
	if !ok {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	if !m.divides(s.At) {
		return refuse(metapb.Code_STALE_RANGE)
	}
	m.prepared, m.splitChanged = &prepared{at: bytes.Clone(s.At), begun: ts, bucket: bucket}, true
	return &metapb.Result{Ts: uint64(ts)}, nil
}

// splitAt applies Split: the span ends at the border, and what is behind it is the child's, which gets its own rows. No row
// keyed by route moves. The command must be alone in its batch.
func (m *Machine) splitAt(s *metapb.Split, ts hlc.Stamp) (*metapb.Result, error) {
	p := m.prepared
	if s == nil || s.Child == 0 || ids.Range(s.Child) == m.span.ID || len(s.Replicas) == 0 {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	if p == nil || !bytes.Equal(p.at, s.At) || uint64(p.begun) != s.Begun {
		return refuse(metapb.Code_PRECONDITION_FAILED)
	}
	c := child{m: m, id: ids.Range(s.Child), bucket: p.bucket, parted: !bytes.Equal(p.at, keys.AppendPrefix(nil, p.bucket, ""))}
	c.counters = keys.CountersOf(s.Counters)
	c.counters.Add(p.counters)
	c.repairs, c.reclaims = s.Repairs+p.repairs, s.Reclaims+p.reclaims
	ok, err := c.plausible()
	if err != nil {
		return nil, err
	}
	if !ok {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	if err := c.take(ts); err != nil {
		return nil, err
	}
	m.span.End, m.prepared, m.splitChanged = p.at, nil, true
	return &metapb.Result{Ts: uint64(ts)}, nil
}

// child is a range that begins: what it takes over of m's own rows.
type child struct {
	m                 *Machine
	id                ids.Range
	bucket            ids.Bucket    // the first that it may have keys of
	parted            bool          // the range keeps keys of bucket
	counters          keys.Counters // of bucket
	repairs, reclaims int64
}

// keeps reports whether the range goes on to have keys of a bucket.
func (c *child) keeps(bucket ids.Bucket) bool { return c.parted && bucket == c.bucket }

// plausible reports whether the range has what the child is to take: it has, unless who counted made a mistake.
func (c *child) plausible() (bool, error) {
	whole, err := c.m.countersOf(c.bucket)
	if err != nil {
		return false, err
	}
	rest := whole.Minus(c.counters)
	return !rest.Negative() && !c.counters.Negative() &&
		0 <= c.repairs && c.repairs <= int64(min(c.m.applied.Repairs, math.MaxInt64)) &&
		0 <= c.reclaims && c.reclaims <= int64(min(c.m.applied.Reclaims, math.MaxInt64)), nil
}

func (c *child) take(ts hlc.Stamp) error {
	if err := c.takeCounters(); err != nil {
		return err
	}
	if err := c.takeSeals(); err != nil {
		return err
	}
	if err := c.takeRules(); err != nil {
		return err
	}
	if err := c.takePools(); err != nil {
		return err
	}
	m := c.m
	// Done rows get their rows in Expiry a few at a time, with the child's commands: there may be many.
	unexpiring := append([]byte{byte(keys.Done)}, m.prepared.at...)
	key := keys.AppendRange(nil, keys.Splits, c.id)
	if err := setMessage(m.b, key, &metapb.SplitState{Unexpiring: unexpiring}); err != nil {
		return err
	}
	a := keys.Applied{
		Index: FirstIndex, Term: FirstTerm, TS: ts, Closed: m.applied.Closed, Reclaimed: m.applied.Reclaimed,
		Repairs: uint64(c.repairs), Reclaims: uint64(c.reclaims),
	}
	m.applied.Repairs -= a.Repairs
	m.applied.Reclaims -= a.Reclaims
	return m.b.Set(keys.AppendRange(nil, keys.Applieds, c.id), a.Append(nil), nil)
}

// takeCounters divides those of the bucket that the border is in, and moves those of later ones.
func (c *child) takeCounters() error {
	m := c.m
	whole, err := m.countersOf(c.bucket)
	if err != nil {
		return err
	}
	whole.Counters = whole.Minus(c.counters)
	if err := c.set(keys.Counts, c.bucket, c.counters.Append(nil), c.counters == (keys.Counters{})); err != nil {
		return err
	}
	return c.each(keys.Counts, func(bucket ids.Bucket, k, v []byte) error {
		if bucket == c.bucket {
			return nil
		}
		delete(m.counters, bucket)
		if err := c.set(keys.Counts, bucket, v, false); err != nil {
			return err
		}
		return m.b.Delete(k, nil)
	})
}

// takeSeals copies the seal of the bucket that the border is in, and moves those of later ones.
func (c *child) takeSeals() error {
	return c.each(keys.Seals, func(bucket ids.Bucket, k, v []byte) error {
		if err := c.set(keys.Seals, bucket, v, false); err != nil || c.keeps(bucket) {
			return err
		}
		delete(c.m.seals, bucket)
		return c.m.b.Delete(k, nil)
	})
}

// takeRules copies the rules of the bucket that the border is in, and moves those of later ones (I11).
func (c *child) takeRules() error {
	return c.each(keys.Rules, func(bucket ids.Bucket, k, v []byte) error {
		if err := c.set(keys.Rules, bucket, v, false); err != nil || c.keeps(bucket) {
			return err
		}
		delete(c.m.rules, bucket)
		return c.m.b.Delete(k, nil)
	})
}

// takePools copies which pools are closed.
func (c *child) takePools() error {
	for _, pool := range slices.Sorted(maps.Keys(c.m.pools)) {
		if err := c.m.b.Set(keys.AppendPool(nil, c.id, pool), nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// set writes one of the child's rows, unless there is no need of it.
func (c *child) set(t keys.Table, bucket ids.Bucket, value []byte, none bool) error {
	if none {
		return nil
	}
	return c.m.b.Set(keys.AppendBucket(nil, t, c.id, bucket), value, nil)
}

// each calls fn with the range's rows in a table keyed by bucket, from the child's first bucket on.
func (c *child) each(t keys.Table, fn func(bucket ids.Bucket, k, v []byte) error) error {
	prefix := keys.AppendRange(nil, t, c.m.span.ID)
	rows := KeyRange{keys.AppendBucket(nil, t, c.m.span.ID, c.bucket), keys.Successor(bytes.Clone(prefix))}
	return scanRange(c.m.b, rows, func(k, v []byte) error {
		bucket, err := parseBucket(k[len(prefix):])
		if err != nil {
			return err
		}
		return fn(bucket, bytes.Clone(k), bytes.Clone(v))
	})
}

// letExpire gives a few done rows that came by a split their rows in Expiry.
func (m *Machine) letExpire() error {
	if m.unexpiring == nil {
		return nil
	}
	m.splitChanged = true
	rows := m.span.clip(keys.Done, KeyRange{Start: append(bytes.Clone(m.unexpiring), 0)})
	m.unexpiring = nil
	seen := 0
	return scanRange(m.b, rows, func(k, v []byte) error {
		if seen++; seen > expirePerStep {
			return errStop
		}
		var u metapb.Upload
		if err := u.UnmarshalVT(v); err != nil {
			return corrupt(err)
		}
		if seen == expirePerStep {
			m.unexpiring = bytes.Clone(k)
		}
		m.oldest = min(m.oldest, hlc.Stamp(u.CompletedAt))
		m.key = binary.BigEndian.AppendUint64(keys.AppendRange(m.key[:0], keys.Expiry, m.span.ID), u.CompletedAt)
		m.key = append(m.key, k[1:]...)
		return m.b.Set(m.key, nil, nil)
	})
}
