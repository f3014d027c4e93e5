package state

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// divided is one replica of each of several ranges, on the same rows, that came by splits from one.
type divided struct {
	t      *testing.T
	db     *pebble.DB
	ranges []*replica // by start
}

func newDivided(t *testing.T) *divided {
	r := newReplica(t, Span{ID: 1})
	return &divided{t: t, db: r.db, ranges: []*replica{r}}
}

// of is the range of a key.
func (d *divided) of(bucket ids.Bucket, key string) *replica {
	route := keys.Route(bucket, key)
	for _, r := range d.ranges {
		if r.span.Contains(route) {
			return r
		}
	}
	d.t.Fatalf("no range has %d/%q", bucket, key)
	return nil
}

// splitAt has r apply s, and takes the child in.
func (d *divided) splitAt(r *replica, s *metapb.Command) *metapb.Result {
	d.t.Helper()
	end := r.span.End
	res := r.apply(s)[0]
	if res.Code != metapb.Code_OK {
		return res
	}
	op := s.GetSplit()
	r.span = r.m.Span()
	c := &replica{t: d.t, db: d.db, span: Span{ID: ids.Range(op.Child), Start: op.At, End: end}, index: FirstIndex}
	c.load()
	i := slices.Index(d.ranges, r)
	d.ranges = slices.Insert(d.ranges, i+1, c)
	return res
}

func (d *divided) load() {
	for _, r := range d.ranges {
		r.load()
	}
}

func prepare(k *maker, at []byte) *metapb.Command {
	c := k.command()
	c.Op = &metapb.Command_PrepareSplit{PrepareSplit: &metapb.PrepareSplit{At: at}}
	return c
}

// counted is the Split of what is prepared in r, as r is now.
func counted(r *replica, k *maker, child ids.Range) *metapb.Command {
	r.t.Helper()
	snap := r.db.NewSnapshot()
	defer snap.Close()
	s, err := CountBehind(context.Background(), snap, r.span)
	check0(r.t, err)
	s.Child, s.Generation, s.Replicas = uint64(child), 1, []uint64{1, 2, 3}
	c := k.command()
	c.Op = &metapb.Command_Split{Split: s}
	return c
}

// recount counts a bucket's keys, versions and uploads within r in the way of a client.
func (r *replica) recount(bucket ids.Bucket) *metapb.Counters {
	r.t.Helper()
	page, err := ListVersions(r.db, r.span, ListVersionsRequest{Bucket: bucket, Max: 1 << 20}, nil)
	check0(r.t, err)
	c := &metapb.Counters{Versions: int64(page.Count)}
	for rest := page.Entries; ; {
		var e Entry
		next, ok := NextEntry(rest, &e)
		if !ok {
			break
		}
		if e.Latest && !e.Marker {
			c.Objects++
		}
		c.Size, rest = c.Size+int64(e.Size), next
	}
	uploads, err := ListUploads(r.db, r.span, ListUploadsRequest{Bucket: bucket, Max: 1 << 20})
	check0(r.t, err)
	for _, u := range uploads.Entries {
		_, parts, err := ListParts(r.db, bucket, u.Key, u.ID, 0, partMax)
		check0(r.t, err)
		c.Uploads++
		for _, e := range parts {
			c.UploadSize += int64(e.Size)
		}
	}
	return c
}

// check compares each range's counters with its rows, and their sums with the model.
func (d *divided) check(m *model) {
	d.t.Helper()
	sum := &metapb.Counters{}
	var repairs, reclaims int
	for _, r := range d.ranges {
		for bucket := range ids.Bucket(5) {
			got, err := CountersOf(r.db, r.span.ID, bucket)
			check0(d.t, err)
			if want := r.recount(bucket); !equalMessages(got, want) {
				d.t.Fatalf("I20: range %d counts %v of bucket %d, its rows are %v", r.span.ID, got, bucket, want)
			}
			if bucket == 1 {
				sum.Objects, sum.Size = sum.Objects+got.Objects, sum.Size+got.Size
				sum.Uploads, sum.UploadSize = sum.Uploads+got.Uploads, sum.UploadSize+got.UploadSize
			}
		}
		a, _, err := RepairRows(r.db, r.span, nil, 1<<20)
		check0(d.t, err)
		b, _, err := ReclaimRows(r.db, r.span, stampMax, nil, 1<<20)
		check0(d.t, err)
		if x, y := r.m.Queued(); int(x) != len(a) || int(y) != len(b) {
			d.t.Fatalf("range %d has %d and %d rows queued and counts %d and %d", r.span.ID, len(a), len(b), x, y)
		}
		repairs, reclaims = repairs+len(a), reclaims+len(b)
	}
	var size int64
	var objects int64
	for key, all := range m.objects {
		size += m.compareVersions(d.t, d.db, key, all)
		if !all[0].marker {
			objects++
		}
	}
	if sum.Objects != objects || sum.Size != size || int(sum.Uploads) != len(m.uploads) ||
		repairs != len(m.repairs) || reclaims != len(m.reclaims) {
		d.t.Fatalf("I20: all ranges have %v, %d repairs, %d reclaims; want %d objects of %d, %d uploads, %d, %d",
			sum, repairs, reclaims, objects, size, len(m.uploads), len(m.repairs), len(m.reclaims))
	}
}

// history is commands to ranges, in order.
type history struct {
	t       *testing.T
	g       *generator
	d       *divided
	other   *divided             // applies the same, reloaded now and then
	sent    map[string]ids.Range // which range took a request
	pending map[ids.Range]*metapb.Split
	last    ids.Range
}

// send applies c to range id on both, and compares rows (I17).
func (h *history) send(id ids.Range, c *metapb.Command) *metapb.Result {
	h.t.Helper()
	var res [2]*metapb.Result
	for i, d := range []*divided{h.d, h.other} {
		r := d.ranges[slices.IndexFunc(d.ranges, func(r *replica) bool { return r.span.ID == id })]
		if c.GetSplit() != nil {
			res[i] = d.splitAt(r, c)
		} else {
			res[i] = r.apply(c)[0]
		}
	}
	if !equalMessages(res[0], res[1]) {
		h.t.Fatalf("replicas answer %v and %v", res[0], res[1])
	}
	return res[0]
}

func (h *history) same() {
	h.t.Helper()
	for i, r := range h.d.ranges {
		if o := h.other.ranges[i]; o.span.ID != r.span.ID || !bytes.Equal(o.span.End, r.span.End) || o.hash() != r.hash() {
			h.t.Fatalf("I17: replicas of range %d differ", r.span.ID)
		}
	}
}

// step sends one command of the generator to where it belongs.
func (h *history) step() {
	h.t.Helper()
	h.g.r = h.d.ranges[h.g.rng.IntN(len(h.d.ranges))]
	now := h.g.k.now
	c := h.g.next()
	if h.g.k.now.Time().Sub(now.Time()) >= requestKept {
		h.g.past = nil // they are too old for some ranges only
	}
	if id, again := h.sent[string(c.Request)]; again { // a request is its range's for ever
		h.want(c, h.send(id, c))
		return
	}
	c.Ts = uint64(h.g.k.now)
	switch op := c.Op.(type) {
	case *metapb.Command_Seal, *metapb.Command_SetRules, *metapb.Command_RaiseClosed, *metapb.Command_ClosePool:
		want := h.g.m.apply(c)
		for _, r := range h.d.ranges {
			if bytes.Compare(r.span.Start, keys.AppendPrefix(nil, 2, "")) >= 0 {
				break // of other buckets
			}
			if end := r.span.End; len(end) > 0 && bytes.Compare(end, keys.AppendPrefix(nil, 1, "")) <= 0 {
				continue // of none
			}
			each := &metapb.Command{Request: c.Request, Ts: c.Ts, Rules: c.Rules, Op: c.Op, From: r.span.Start}
			res := h.send(r.span.ID, each)
			if res.Code.String() != want || !bytes.Equal(res.End, r.span.End) {
				h.t.Fatalf("%v: %v up to %x, want %s up to %x", c, res, res.End, want, r.span.End)
			}
		}
		h.g.past = slices.DeleteFunc(h.g.past, func(p *metapb.Command) bool { return p == c })
		return
	case *metapb.Command_AckReclaim, *metapb.Command_AckRepair:
		h.to(h.g.r.span.ID, c)
		return
	case *metapb.Command_Delete:
		if len(op.Delete.Targets) > 0 { // all of one key
			h.to(h.d.of(1, op.Delete.Targets[0].Key).span.ID, c)
			return
		}
		first := h.d.of(1, op.Delete.Keys[0])
		op.Delete.Keys = slices.DeleteFunc(op.Delete.Keys, func(k string) bool { return h.d.of(1, k) != first })
		h.to(first.span.ID, c)
		return
	}
	key := c.GetPut().GetKey() + c.GetCreateUpload().GetKey() + c.GetPutPart().GetKey() +
		c.GetCompleteUpload().GetKey() + c.GetAbortUpload().GetKey() + c.GetReencode().GetKey() +
		c.GetUpdate().GetKey()
	h.to(h.d.of(1, key).span.ID, c)
}

func (h *history) to(id ids.Range, c *metapb.Command) {
	h.t.Helper()
	h.sent[string(c.Request)] = id
	h.want(c, h.send(id, c))
}

func (h *history) want(c *metapb.Command, res *metapb.Result) {
	h.t.Helper()
	if got, want := answer(res), h.g.m.apply(c); got != want {
		h.t.Fatalf("%v: %s, want %s", c, got, want)
	}
}

// split prepares, counts or makes a split somewhere.
func (h *history) split() {
	h.t.Helper()
	r := h.d.ranges[h.g.rng.IntN(len(h.d.ranges))]
	id := r.span.ID
	switch {
	case h.pending[id] != nil:
		c := h.g.k.command()
		c.Op = &metapb.Command_Split{Split: h.pending[id]}
		delete(h.pending, id)
		if res := h.send(id, c); res.Code != metapb.Code_OK {
			h.t.Fatalf("split of range %d: %v", id, res)
		}
	case r.m.prepared != nil && h.g.rng.IntN(2) == 0:
		h.last++
		h.pending[id] = counted(r, &h.g.k, h.last).GetSplit()
	default:
		at := keys.Route(1, h.g.key())
		if h.g.rng.IntN(5) == 0 {
			at = keys.AppendPrefix(nil, ids.Bucket(h.g.rng.IntN(4)), "")
		}
		want := metapb.Code_OK
		if !r.span.Contains(at) || bytes.Equal(at, r.span.Start) {
			want = metapb.Code_STALE_RANGE
		}
		if res := h.send(id, prepare(&h.g.k, at)); res.Code != want {
			h.t.Fatalf("preparing a split of range %d at %x: %v, want %v", id, at, res, want)
		}
	}
}

// TestI20_SplitsAreExact applies random commands while ranges split and split again: every counter of every range is what
// its rows are, the sums are the model's, and replicas have equal rows.
func TestI20_SplitsAreExact(t *testing.T) {
	most := 0
	for seed := range seeds(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { most = max(most, runSplits(t, seed, 600)) })
	}
	if most < 5 {
		t.Errorf("no history made more than %d ranges", most)
	}
}

func runSplits(t *testing.T, seed uint64, steps int) (ranges int) {
	h := &history{
		t: t, d: newDivided(t), other: newDivided(t), last: 1,
		sent: map[string]ids.Range{}, pending: map[ids.Range]*metapb.Split{},
	}
	h.g = &generator{
		rng: rand.New(rand.NewPCG(seed, 5)), k: maker{now: start}, m: newModel(),
		keys: []string{"a", "a/b", "a\x00", "b", "c", "c\xff", "d/1", "d/2", "e"},
	}
	for bucket := uint64(2); bucket < 5; bucket++ { // others, that only move
		h.send(1, h.g.k.put(h.g.k.object(bucket, "k", 100*bucket)))
	}
	sealed := h.g.k.command()
	sealed.Op = &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: 3}}
	h.send(1, sealed)
	h.g.m.reclaims = map[string]bool{}
	for n := range steps {
		h.step()
		if h.g.rng.IntN(12) == 0 {
			h.split()
		}
		if n%50 == 49 {
			h.same()
			h.d.check(h.g.m)
			h.other.load()
		}
	}
	for _, r := range h.d.ranges { // the seal went where the bucket's keys are
		if on, has := slices.Contains(r.m.Sealed(), 3), r.span.Contains(keys.Route(3, "k")); on != has {
			t.Fatalf("range %d: bucket 3 sealed is %v", r.span.ID, on)
		}
	}
	return len(h.d.ranges)
}

// TestI20_SplitThatIsNotPreparedIsRefused: nothing changes but the request row.
func TestI20_SplitThatIsNotPreparedIsRefused(t *testing.T) {
	d, k := newDivided(t), &maker{now: start}
	r := d.ranges[0]
	r.apply(k.put(k.object(1, "a", 1)), k.put(k.object(1, "b", 2)))
	old := func() *metapb.Command {
		check := func(res *metapb.Result) {
			if res.Code != metapb.Code_OK {
				t.Fatal(res)
			}
		}
		check(r.apply(prepare(k, keys.Route(1, "b")))[0])
		c := counted(r, k, 2)
		check(r.apply(prepare(k, keys.Route(1, "b")))[0]) // another one, which counts from here on
		return c
	}()
	if res := d.splitAt(r, old); res.Code != metapb.Code_PRECONDITION_FAILED {
		t.Fatalf("the count of an earlier preparation: %v", res)
	}
	wrong := counted(r, k, 2)
	wrong.GetSplit().Counters.Objects = 7
	if res := d.splitAt(r, wrong); res.Code != metapb.Code_BAD_COMMAND {
		t.Fatalf("a count that cannot be: %v", res)
	}
	for _, at := range [][]byte{nil, {1}, keys.Route(1, "b")[:9], append(keys.Route(1, "b"), 0)} {
		if res := r.apply(prepare(k, at))[0]; res.Code != metapb.Code_BAD_COMMAND {
			t.Fatalf("a border at %x: %v", at, res)
		}
	}
	if res := d.splitAt(r, counted(r, k, 2)); res.Code != metapb.Code_OK {
		t.Fatal(res)
	}
	if res := r.apply(k.put(k.object(1, "b", 2)))[0]; res.Code != metapb.Code_STALE_RANGE {
		t.Fatalf("a key of the child's: %v", res)
	}
	if res := d.of(1, "b").apply(k.put(k.object(1, "b", 2)))[0]; res.Code != metapb.Code_OK {
		t.Fatalf("the child refuses: %v", res)
	}
}

// TestI21_DoneRowsExpireOnBothSides: what a finished upload leaves goes after its term, whichever range has it by then.
func TestI21_DoneRowsExpireOnBothSides(t *testing.T) {
	d, k := newDivided(t), &maker{now: start}
	r := d.ranges[0]
	const uploads = 100
	for i := range uploads {
		id, key := k.id(), fmt.Sprintf("k%03d", i)
		create, part, complete := k.command(), k.command(), k.command()
		create.Op = &metapb.Command_CreateUpload{CreateUpload: &metapb.CreateUpload{Bucket: 1, Key: key, Id: id[:]}}
		e := k.extent(10)
		e.Part, e.Md5 = 1, make([]byte, 16)
		part.Op = &metapb.Command_PutPart{PutPart: &metapb.PutPart{Bucket: 1, Key: key, Id: id[:], Extent: e}}
		complete.Op = &metapb.Command_CompleteUpload{CompleteUpload: &metapb.CompleteUpload{
			Bucket: 1, Key: key, Id: id[:], Parts: []*metapb.PartRef{{Part: 1, Upload: e.Upload, Md5: e.Md5}},
			Version: &metapb.Version{Size: 10, Md5: make([]byte, 16), Parts: 1},
		}}
		for _, c := range []*metapb.Command{create, part, complete} {
			if res := r.apply(c)[0]; res.Code != metapb.Code_OK {
				t.Fatal(res)
			}
		}
	}
	r.apply(prepare(k, keys.Route(1, "k040")))
	d.splitAt(r, counted(r, k, 2))
	done := func(r *replica) (n int) {
		check0(t, scanRange(r.db, r.span.table(keys.Done), func(_, _ []byte) error { n++; return nil }))
		return n
	}
	expiry := func(r *replica) (n int) {
		check0(t, scan(r.db, keys.AppendRange(nil, keys.Expiry, r.span.ID), func(_, _ []byte) error { n++; return nil }))
		return n
	}
	if a, b := done(d.ranges[0]), done(d.ranges[1]); a != 40 || b != 60 {
		t.Fatalf("%d and %d done rows", a, b)
	}
	for i, r := range d.ranges {
		for n := range 2 * uploads / expirePerStep {
			r.apply(k.put(k.object(1, fmt.Sprintf("k%d00", 9*i), uint64(n+1))))
			if n%3 == 0 {
				r.load()
			}
		}
	}
	if a, b := expiry(d.ranges[0]), expiry(d.ranges[1]); a != uploads || b != 60 {
		t.Fatalf("%d and %d rows wait for their term", a, b)
	}
	k.now = k.now.Add(doneKept + requestKept)
	for i, r := range d.ranges {
		for n := range 2 * uploads / expirePerStep {
			r.apply(k.put(k.object(1, fmt.Sprintf("k%d00", 9*i), uint64(n+1))))
		}
	}
	for _, r := range d.ranges {
		if a, b := done(r), expiry(r); a != 0 || b != 0 {
			t.Errorf("range %d keeps %d done rows and %d of their terms", r.span.ID, a, b)
		}
		rows, err := readSplit(r.db, r.span.ID)
		check0(t, err)
		if len(rows.Unexpiring) > 0 {
			t.Errorf("range %d is not done with its done rows: %v", r.span.ID, rows)
		}
	}
}
