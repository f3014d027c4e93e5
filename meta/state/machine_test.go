package state

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

func TestI18_StampsIncrease(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	rng := rand.New(rand.NewPCG(3, 4))
	last := hlc.Stamp(0)
	for range 200 {
		c := k.put(k.object(1, "k", 5))
		c.Ts = uint64(start) + uint64(rng.IntN(50))
		ts := hlc.Stamp(r.apply(c)[0].Ts)
		if want := max(hlc.Stamp(c.Ts), last+1); ts != want {
			t.Fatalf("ts %d after %d, %d proposed", ts, last, c.Ts)
		}
		if last = ts; r.m.Last() != ts {
			t.Fatalf("the last stamp is %d, not %d", r.m.Last(), ts)
		}
	}
	c := k.put(k.object(1, "k", 5))
	c.Ts = uint64(stampMax)
	if code := r.apply(c)[0].Code; code != metapb.Code_BAD_COMMAND {
		t.Fatalf("the end of time is %v", code)
	}
}

func TestI7_BodyHasOneRow(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	p := k.object(1, "k", 5)
	if res := r.apply(k.put(p), k.put(p)); res[1].Code != metapb.Code_BAD_COMMAND {
		t.Fatalf("a body is taken twice: %v", res)
	}
}

// TestOlderVersionsShow: rows of several versions of a key, as versioned buckets will have them.
func TestOlderVersionsShow(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	h := keys.Head{Size: 9}
	check0(t, r.db.Set(keys.AppendVersion(nil, keys.Versions, 1, "k", 7), h.Append(nil), pebble.NoSync))
	c := keys.Counters{Objects: 1, Versions: 1, Size: 9}
	check0(t, r.db.Set(keys.AppendBucket(nil, keys.Counts, 1, 1), c.Append(nil), pebble.NoSync))
	marker := &metapb.PutVersion{Bucket: 1, Key: "k", Version: &metapb.Version{DeleteMarker: true}}
	del := func() *metapb.Command {
		c := k.command()
		c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: 1, Keys: []string{"k"}}}
		return c
	}
	h.Flags = keys.DeleteMarker
	check0(t, r.db.Set(keys.AppendVersion(nil, keys.Versions, 1, "k", 8), h.Append(nil), pebble.NoSync))
	c = keys.Counters{Objects: 0, Versions: 2, Size: 18}
	check0(t, r.db.Set(keys.AppendBucket(nil, keys.Counts, 1, 1), c.Append(nil), pebble.NoSync))
	for _, step := range []struct {
		cmd  *metapb.Command
		want keys.Counters
	}{
		{k.put(marker), keys.Counters{Objects: 0, Versions: 2, Size: 9}},
		{del(), keys.Counters{Objects: 1, Versions: 1, Size: 9}},
		{del(), keys.Counters{}},
	} {
		r.apply(step.cmd)
		got, err := CountersOf(r.db, 1, 1)
		check0(t, err)
		if !equalMessages(got, step.want.Proto()) {
			t.Fatalf("counters are %v, want %v", got, step.want)
		}
	}
}

// TestPagesOverVersions: a cursor inside a key's versions, in memory and in a table.
func TestPagesOverVersions(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	const versions = 300
	for ts := range hlc.Stamp(versions) {
		h := keys.Head{Size: 9}
		d := &metapb.Details{Extent: k.extent(9)}
		b, err := d.MarshalVT()
		check0(t, err)
		// Stamps whose ends look like terminators, and like nothing.
		row := keys.AppendVersion(nil, keys.Versions, 1, "k", ^(ts<<8 | ts&1))
		check0(t, r.db.Set(row, append(h.Append(nil), b...), pebble.NoSync))
	}
	for range 2 {
		seen := map[string]bool{}
		r.walk(2, func(i WalkItem) { seen[string(i.Extent.Upload)] = true })
		if len(seen) != versions {
			t.Fatalf("%d of %d extents are seen", len(seen), versions)
		}
		check0(t, r.db.Flush())
	}
}

func TestOtherRangesAreRefused(t *testing.T) {
	span := Span{ID: 1, Start: keys.Route(1, "b"), End: keys.Route(1, "d")}
	r, k := newReplica(t, span), maker{now: start}
	id := k.id()
	for _, key := range []string{"a", "b", "c", "d"} {
		want := metapb.Code_OK
		if key == "a" || key == "d" {
			want = metapb.Code_STALE_RANGE
		}
		repair := &metapb.Repair{Bucket: 1, Key: key, Upload: id[:]}
		reclaim := &metapb.Reclaim{Bucket: 1, Key: key, Extent: &metapb.Extent{Upload: id[:]}}
		for _, op := range []*metapb.Command{
			{Op: &metapb.Command_Put{Put: k.object(1, key, 5)}},
			{Op: &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: 1, Keys: []string{"c", key}}}},
			{Op: &metapb.Command_CreateUpload{CreateUpload: &metapb.CreateUpload{Bucket: 1, Key: key, Id: id[:]}}},
			{Op: &metapb.Command_AbortUpload{AbortUpload: &metapb.AbortUpload{Bucket: 1, Key: key, Id: id[:]}}},
			{Op: &metapb.Command_AddRepair{AddRepair: &metapb.AddRepair{Rows: []*metapb.Repair{repair}}}},
			{Op: &metapb.Command_AckRepair{AckRepair: &metapb.AckRepair{Rows: []*metapb.Repair{repair}}}},
			{Op: &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: []*metapb.Reclaim{reclaim}}}},
		} {
			c := k.command()
			c.Op = op.Op
			if got := r.apply(c)[0].Code; got != want {
				t.Errorf("%v: %v, want %v", c, got, want)
			}
		}
	}
}

// TestMeaninglessCommandsAreRefused, and never panic: each would be applied by all replicas.
func TestMeaninglessCommandsAreRefused(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	id := k.id()
	missed := []*metapb.Missed{{}}
	put := func(change func(*metapb.PutVersion)) *metapb.Command {
		p := k.object(1, "k", 5)
		change(p)
		return k.put(p)
	}
	part := func(change func(*metapb.PutPart)) *metapb.Command {
		e := k.extent(5)
		e.Part, e.Md5 = 1, make([]byte, 16)
		p := &metapb.PutPart{Bucket: 1, Key: "k", Id: id[:], Extent: e}
		change(p)
		c := k.command()
		c.Op = &metapb.Command_PutPart{PutPart: p}
		return c
	}
	complete := func(change func(*metapb.CompleteUpload)) *metapb.Command {
		p := &metapb.CompleteUpload{Bucket: 1, Key: "k", Id: id[:], Parts: []*metapb.PartRef{{Part: 1}}, Version: &metapb.Version{Md5: make([]byte, 16), Parts: 1}}
		change(p)
		c := k.command()
		c.Op = &metapb.Command_CompleteUpload{CompleteUpload: p}
		return c
	}
	with := func(c *metapb.Command) *metapb.Command { d := k.command(); d.Op = c.Op; return d }
	repair := func(row *metapb.Repair) *metapb.Command {
		return with(&metapb.Command{Op: &metapb.Command_AddRepair{AddRepair: &metapb.AddRepair{Rows: []*metapb.Repair{row}}}})
	}
	for i, c := range []*metapb.Command{
		nil, {}, k.command(),
		with(&metapb.Command{Op: &metapb.Command_Put{}}),
		with(&metapb.Command{Op: &metapb.Command_Delete{}}),
		with(&metapb.Command{Op: &metapb.Command_CreateUpload{}}),
		with(&metapb.Command{Op: &metapb.Command_PutPart{}}),
		with(&metapb.Command{Op: &metapb.Command_CompleteUpload{}}),
		with(&metapb.Command{Op: &metapb.Command_AbortUpload{}}),
		with(&metapb.Command{Op: &metapb.Command_RaiseClosed{}}),
		with(&metapb.Command{Op: &metapb.Command_Seal{}}),
		repair(nil), repair(&metapb.Repair{Bucket: 1, Key: "k"}), repair(&metapb.Repair{Bucket: 1, Key: "k", Upload: id[:], Slot: 256}),
		with(&metapb.Command{Op: &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: []*metapb.Reclaim{nil}}}}),
		put(func(p *metapb.PutVersion) { p.Version = nil }),
		put(func(p *metapb.PutVersion) { p.Version.Md5 = nil }),
		put(func(p *metapb.PutVersion) { p.Version.Size = 1 << 63 }),
		put(func(p *metapb.PutVersion) { p.Key = string(make([]byte, 1025)) }),
		put(func(p *metapb.PutVersion) { p.HasInline = true }),
		put(func(p *metapb.PutVersion) { p.Version.DeleteMarker = true }),
		put(func(p *metapb.PutVersion) { p.Version.Details = nil }),
		put(func(p *metapb.PutVersion) { p.Version.Details.Extent.BlobSize, p.Missed = 0, missed }),
		put(func(p *metapb.PutVersion) { p.Version.Details.Extent.Size, p.Missed = 0, missed }),
		put(func(p *metapb.PutVersion) { p.Version.Details.Extent.BlobSize = 1 }),
		put(func(p *metapb.PutVersion) { p.Version.Details.Extent.Upload = nil }),
		put(func(p *metapb.PutVersion) { p.Version.Details.Extent.Pool = 1 << 16 }),
		put(func(p *metapb.PutVersion) { p.Missed = []*metapb.Missed{nil} }),
		put(func(p *metapb.PutVersion) { p.Missed = []*metapb.Missed{{Blob: 1}} }),
		put(func(p *metapb.PutVersion) { p.Missed = []*metapb.Missed{{Slot: 256}} }),
		put(func(p *metapb.PutVersion) { p.Revises, p.Missed = 1, missed }),
		part(func(p *metapb.PutPart) { p.Extent = nil }),
		part(func(p *metapb.PutPart) { p.Extent.Size, p.Missed = 0, missed }),
		part(func(p *metapb.PutPart) { p.Extent.Pgs = nil }),
		part(func(p *metapb.PutPart) { p.Extent.Md5 = nil }),
		part(func(p *metapb.PutPart) { p.Id = nil }),
		complete(func(p *metapb.CompleteUpload) { p.Parts[0] = nil }),
		complete(func(p *metapb.CompleteUpload) { p.Version = nil }),
		complete(func(p *metapb.CompleteUpload) { p.Version.Parts = 2 }),
		complete(func(p *metapb.CompleteUpload) { p.Version.Details = &metapb.Details{Extent: k.extent(1)} }),
	} {
		if code := r.apply(c)[0].Code; code != metapb.Code_BAD_COMMAND {
			t.Errorf("command %d, %v: %v", i, c, code)
		}
	}
	if page, err := List(r.db, r.span, ListRequest{Bucket: 1, Max: 1}, nil); err != nil || page.Count != 0 {
		t.Errorf("listing %+v, %v", page, err)
	}
}

// TestSpansAreWhole: what Spans copies is all that another replica needs, and none of another range's rows.
func TestSpansAreWhole(t *testing.T) {
	g := &generator{rng: rand.New(rand.NewPCG(5, 6)), k: maker{now: start}, m: newModel(), r: newReplica(t, Span{ID: 4})}
	for range 300 {
		c := g.next()
		g.r.apply(c)
		g.m.apply(c)
	}
	own := keys.AppendOwn(nil, 4, 9, 1)
	check0(t, g.r.db.Set(own, []byte("mine"), pebble.NoSync))
	other := newReplica(t, g.r.span)
	for _, s := range g.r.span.Spans() {
		check0(t, scanRange(g.r.db, s, func(k, v []byte) error { return other.db.Set(k, v, pebble.NoSync) }))
	}
	other.load()
	other.index = g.r.index
	if has, err := has(other.db, own); has || err != nil {
		t.Fatal("a replica's own row was copied")
	}
	for range 100 {
		c := g.next()
		if a, b := g.r.apply(c)[0], other.apply(c)[0]; !equalMessages(a, b) {
			t.Fatalf("%v: %v, the copy says %v", c, a, b)
		}
		g.m.apply(c)
	}
	if g.r.hash() != other.hash() {
		t.Fatal("I17: the copy differs")
	}
	if a, err := ReadApplied(other.db, 4); err != nil || a.Index != g.r.index || a.Repairs != g.r.m.applied.Repairs {
		t.Fatalf("applied is %+v, %v", a, err)
	}
	found := 0
	check0(t, Usage(other.db, 4, func(b ids.Bucket, _ *metapb.Counters) error { found += int(b); return nil }))
	if found != 1 {
		t.Fatalf("usage of bucket %d", found)
	}
}

func TestHashSeesEveryRow(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	r.apply(k.put(k.object(1, "k", 5)))
	before := r.hash()
	for _, s := range r.span.Spans() {
		extra := append(s.Start[:len(s.Start):len(s.Start)], 1)
		check0(t, r.db.Set(extra, nil, pebble.NoSync))
		if r.hash() == before {
			t.Errorf("a row in %x is not seen", s.Start)
		}
		check0(t, r.db.Delete(extra, pebble.NoSync))
	}
	if r.hash() != before {
		t.Error("the same rows, another hash")
	}
}

// TestCorruptRowsAreErrors: a row that cannot be read is the drive's failure, not a panic and not an answer.
func TestCorruptRowsAreErrors(t *testing.T) {
	r, k := newReplica(t, Span{ID: 1}), maker{now: start}
	row := keys.AppendVersion(nil, keys.Versions, 1, "k", 7)
	h := keys.Head{Size: 9}
	for _, v := range [][]byte{nil, {1}, append(h.Append(nil), 0xFF), append(h.Append(nil), 0x1A, 0x02, 0x0A, 0x01)} {
		check0(t, r.db.Set(row, v, pebble.NoSync))
		b := r.db.NewIndexedBatch()
		if _, err := r.m.Apply(b, k.put(k.object(1, "k", 5))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("apply over %x: %v", v, err)
		}
		r.m.Abandon()
		check0(t, b.Close())
		r.load()
		if _, _, err := Get(r.db, 1, "k", GetOptions{Inline: true}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("get of %x: %v", v, err)
		}
	}
	if _, err := List(r.db, r.span, ListRequest{Bucket: 1, Max: 1}, nil); err != nil {
		t.Errorf("a listing reads heads only: %v", err)
	}
	check0(t, r.db.Set(row, []byte{1, 2}, pebble.NoSync))
	if _, err := List(r.db, r.span, ListRequest{Bucket: 1, Max: 1}, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("list: %v", err)
	}
}

// FuzzApply applies any bytes as commands: never a panic or an error, and the same on each replica.
func FuzzApply(f *testing.F) {
	g := &generator{rng: rand.New(rand.NewPCG(8, 9)), k: maker{now: start}, m: newModel(), r: newReplica(f, Span{ID: 4})}
	for range 20 {
		var log []byte
		for range 12 {
			c := g.next()
			g.m.apply(c)
			b, err := c.MarshalVT()
			check0(f, err)
			log = append(binary.BigEndian.AppendUint16(log, uint16(len(b))), b...)
		}
		f.Add(log)
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		var cmds []*metapb.Command
		for len(log) > 2 {
			n := min(int(binary.BigEndian.Uint16(log)), len(log)-2)
			c := new(metapb.Command)
			if c.UnmarshalVT(log[2:2+n]) != nil {
				c = nil
			}
			cmds, log = append(cmds, c), log[2+n:]
		}
		span := Span{ID: 4}
		together, alone := newReplica(t, span), newReplica(t, span)
		together.apply(cmds...)
		alone.apply()
		for _, c := range cmds {
			alone.apply(c)
			alone.load()
		}
		if together.hash() != alone.hash() {
			t.Fatal("I17: replicas differ")
		}
	})
}
