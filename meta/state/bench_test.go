package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/meta/metapb"
)

// BenchmarkApplyPut is a put of a 4 KiB object, in batches of 16 commands: fresh keys, and overwrites.
func BenchmarkApplyPut(b *testing.B) {
	for _, overwrite := range []bool{false, true} {
		b.Run(fmt.Sprintf("overwrite=%v", overwrite), func(b *testing.B) {
			r := newReplica(b, Span{ID: 1})
			k := maker{now: start}
			cmds := make([]*metapb.Command, b.N)
			for i := range cmds {
				n := i
				if overwrite {
					n %= 1000
				}
				cmds[i] = k.put(k.object(1, fmt.Sprintf("some/prefix/object-%09d", n), 4096))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for len(cmds) > 0 {
				n := min(16, len(cmds))
				r.benchBatch(cmds[:n])
				cmds = cmds[n:]
			}
		})
	}
}

func (r *replica) benchBatch(cmds []*metapb.Command) {
	b := r.db.NewIndexedBatch()
	for _, c := range cmds {
		if _, err := r.m.Apply(b, c); err != nil {
			r.t.Fatal(err)
		}
		r.index++
	}
	if _, err := r.m.Finish(b, r.index, 1); err != nil {
		r.t.Fatal(err)
	}
	check0(r.t, b.Commit(pebble.NoSync))
	check0(r.t, b.Close())
}

// BenchmarkFollow is the same put as another replica of the process takes it.
func BenchmarkFollow(b *testing.B) {
	r, f := newReplica(b, Span{ID: 1}), newReplica(b, Span{ID: 1})
	k := maker{now: start}
	type group struct {
		repr []byte
		e    Effect
	}
	var groups []group
	for i := 0; i < b.N; i += 16 {
		var cmds []*metapb.Command
		for j := range 16 {
			cmds = append(cmds, k.put(k.object(1, fmt.Sprintf("some/prefix/object-%09d", i+j), 4096)))
		}
		_, e, repr := r.batch(cmds...)
		groups = append(groups, group{repr, e})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, g := range groups {
		f.follow(g.repr, g.e)
	}
}

const benchObjects = 1_000_000

// filled is a replica with many objects, compacted.
func filled(b *testing.B, n int) *replica {
	b.Helper()
	r := newReplica(b, Span{ID: 1})
	k := maker{now: start}
	for i := 0; i < n; i += 1000 {
		var cmds []*metapb.Command
		for j := range 1000 {
			cmds = append(cmds, k.put(k.object(1, benchKey(i+j), 4096)))
		}
		r.benchBatch(cmds)
	}
	check0(b, r.db.Flush())
	check0(b, r.db.Compact(b.Context(), []byte{0}, []byte{0xFF}, true))
	return r
}

func benchKey(i int) string { return fmt.Sprintf("p%04d/object-%09d", i/1250, i) }

func BenchmarkReads(b *testing.B) {
	r := filled(b, benchObjects)
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n = (n + 7919) % benchObjects
			if _, _, err := Get(r.db, 1, benchKey(n), GetOptions{Inline: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("GetWarm", func(b *testing.B) { // of 1,000 objects
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n = (n + 7919) % 1000
			if _, _, err := Get(r.db, 1, benchKey(n), GetOptions{Inline: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("GetAbsent", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n = (n + 7919) % benchObjects
			if _, _, err := Get(r.db, 1, benchKey(n)+"x", GetOptions{Inline: true}); err != ErrNoSuchKey {
				b.Fatal(err)
			}
		}
	})
	for _, delimiter := range []string{"", "/"} {
		b.Run("List1000/delimiter="+delimiter, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			keys, after := 0, ""
			for b.Loop() {
				page, err := List(r.db, r.span, ListRequest{Bucket: 1, Delimiter: delimiter, After: after, Max: 1000}, buf[:0])
				if err != nil {
					b.Fatal(err)
				}
				keys += page.Count
				buf, after = page.Entries, page.Next
				if !page.Truncated {
					after = ""
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(keys), "ns/key")
		})
	}
}

// BenchmarkApplyDelete is one command for 100 keys; the figure is for a key.
func BenchmarkApplyDelete(b *testing.B) {
	r := newReplica(b, Span{ID: 1})
	k := maker{now: start}
	var dels []*metapb.Command
	for i := 0; i < b.N; i += 100 {
		var names []string
		var puts []*metapb.Command
		for j := range 100 {
			name := benchKey(i + j)
			names = append(names, name)
			puts = append(puts, k.put(k.object(1, name, 4096)))
		}
		r.benchBatch(puts)
		c := k.command()
		c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: 1, Keys: names}}
		dels = append(dels, c)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, c := range dels {
		r.benchBatch([]*metapb.Command{c})
	}
}

// BenchmarkWalk is the ledger's walk over all rows, a page at a time: an operation is one whole walk.
func BenchmarkWalk(b *testing.B) {
	r := filled(b, benchObjects)
	for b.Loop() {
		r.walk(512, func(WalkItem) {})
	}
}
