package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// start is when time begins in tests.
var start = hlc.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// openRows opens rows as a drive does: no WAL, bloom filters.
func openRows(t testing.TB) *pebble.DB {
	t.Helper()
	cache := pebble.NewCache(512 << 20)
	defer cache.Unref()
	o := &pebble.Options{
		FS:           vfs.NewMem(),
		Comparer:     keys.Comparer,
		DisableWAL:   true,
		Logger:       silent{},
		MemTableSize: 16 << 20,
		Cache:        cache,
	}
	o.FormatMajorVersion = pebble.FormatNewest
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err) // not Fatal: it would hide a panic
		}
	})
	return db
}

// seeds is how many histories a test makes by itself: all, or a tenth under -short, for the race detector has little to find where one
// goroutine works. make test runs both.
func seeds(all uint64) uint64 {
	if testing.Short() {
		return all / 10
	}
	return all
}

type silent struct{}

func (silent) Infof(string, ...any)      {}
func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func check0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// replica is a Machine over rows of its own, as meta/replica keeps it.
type replica struct {
	t     testing.TB
	db    *pebble.DB
	m     *Machine
	span  Span
	index uint64
}

func newReplica(t testing.TB, span Span) *replica {
	t.Helper()
	r := &replica{t: t, db: openRows(t), span: span}
	r.load()
	return r
}

func (r *replica) load() {
	r.t.Helper()
	m, err := Load(r.db, r.span)
	check0(r.t, err)
	r.m = m
}

// apply applies cmds as one batch.
func (r *replica) apply(cmds ...*metapb.Command) []*metapb.Result {
	r.t.Helper()
	results, _, _ := r.batch(cmds...)
	return results
}

// batch applies cmds as one batch and returns what another replica follows by.
func (r *replica) batch(cmds ...*metapb.Command) ([]*metapb.Result, Effect, []byte) {
	r.t.Helper()
	b := r.db.NewIndexedBatch()
	var results []*metapb.Result
	for _, c := range cmds {
		res, err := r.m.Apply(b, c)
		check0(r.t, err)
		results = append(results, res)
		r.index++
	}
	e, err := r.m.Finish(b, r.index, 1)
	check0(r.t, err)
	repr := append([]byte(nil), b.Repr()...)
	check0(r.t, b.Commit(pebble.NoSync))
	return results, e, repr
}

// follow commits another replica's batch.
func (r *replica) follow(repr []byte, e Effect) {
	r.t.Helper()
	b := r.db.NewBatch()
	check0(r.t, b.SetRepr(repr))
	check0(r.t, b.Commit(pebble.NoSync))
	r.m.Follow(e)
	r.index, _ = r.m.Applied()
}

// walk calls fn with all that rows refer to, max at a time, table by table.
func (r *replica) walk(max int, fn func(WalkItem)) {
	r.t.Helper()
	for _, table := range Walked() {
		for next := append([]byte{byte(table)}, r.span.Start...); next != nil; {
			items, after, err := Walk(r.db, r.span, next, max)
			check0(r.t, err)
			for _, i := range items {
				fn(i)
			}
			next = after
		}
	}
}

func (r *replica) hash() [16]byte {
	r.t.Helper()
	sum, err := Hash(r.db, r.span)
	check0(r.t, err)
	return sum
}

// maker makes commands with ids that are the same in every run.
type maker struct {
	now hlc.Stamp
	n   uint64
}

// id is a fresh upload or request id that carries the present.
func (k *maker) id() ids.Upload {
	k.n++
	id := leastID(k.now)
	for i := range 8 {
		id[15-i] = byte(k.n >> (8 * i))
	}
	return id
}

func (k *maker) command() *metapb.Command {
	k.now += 1 << 16 // a millisecond
	id := k.id()
	return &metapb.Command{Request: id[:], Ts: uint64(k.now)}
}

func (k *maker) put(p *metapb.PutVersion) *metapb.Command {
	c := k.command()
	c.Op = &metapb.Command_Put{Put: p}
	return c
}

func (k *maker) extent(size uint64) *metapb.Extent {
	id := k.id()
	e := &metapb.Extent{Upload: id[:], Pool: 1, Size: size, BlobSize: 64 << 20}
	if size > 0 {
		e.Pgs = make([]byte, 2*blobs(e))
	}
	return e
}

// object is a put of a body in blobs.
func (k *maker) object(bucket uint64, key string, size uint64) *metapb.PutVersion {
	e := k.extent(size)
	md5 := make([]byte, 16)
	copy(md5, e.Upload[8:])
	return &metapb.PutVersion{
		Bucket: bucket,
		Key:    key,
		Version: &metapb.Version{
			Size: size,
			Md5:  md5,
			Details: &metapb.Details{
				Headers:  []*metapb.Header{{Name: "content-type", Value: "application/octet-stream"}},
				Checksum: &metapb.Checksum{Algorithm: metapb.ChecksumAlgorithm_CRC64NVME, Value: make([]byte, 8)},
				Extent:   e,
				Owner:    "root",
			},
		},
	}
}
