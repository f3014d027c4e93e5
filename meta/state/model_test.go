package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// model is the second implementation: maps, and nothing that is not said in the package's promises.
type model struct {
	last, closed hlc.Stamp
	answers      map[ids.Upload]string     // by request
	objects      map[string][]*modelObject // versions of each key, newest first
	uploads      map[string]*modelUpload
	done         map[string]string // the answer to the same Complete
	reclaims     map[string]bool   // key, body
	repairs      map[string]bool   // key, body, blob.slot
	sealed       bool
	rules        int64
	set          *metapb.Rules   // of revision rules; nil: none
	built        int64           // of the command under way
	pools        map[uint32]bool // closed
}

type modelObject struct {
	etag   string
	size   uint64
	bodies []string
	inline string
	ts     hlc.Stamp

	versioned, marker bool
	details           modelDetails
}

// modelDetails are what UpdateVersion changes.
type modelDetails struct {
	tags, acl string
	mode      metapb.LockMode
	until     int64
	hold      bool
	changed   hlc.Stamp
}

type modelUpload struct {
	parts map[uint32]*metapb.Extent
}

func newModel() *model {
	return &model{
		answers: map[ids.Upload]string{}, objects: map[string][]*modelObject{}, uploads: map[string]*modelUpload{},
		done: map[string]string{}, reclaims: map[string]bool{}, repairs: map[string]bool{}, pools: map[uint32]bool{},
	}
}

// answer is a result as the model puts it.
func answer(r *metapb.Result) string {
	text := r.Code.String()
	if r.Versioned || r.Version.GetVersioned() {
		text += fmt.Sprintf(" id=%d", r.Ts)
	}
	for _, d := range r.Deleted {
		text += fmt.Sprintf(" (%v made=%v removed=%v version=%d versioned=%v)", d.Code, d.MarkerMade, d.MarkerRemoved, d.Version, d.Versioned)
	}
	return text
}

// apply returns the answer, as text.
func (m *model) apply(c *metapb.Command) string {
	id := ids.Upload(c.Request)
	if int64(id.Stamp()) < int64(m.last)-int64(hlc.Stamp(0).Add(requestKept)) {
		return "TOO_OLD"
	}
	if a, known := m.answers[id]; known {
		return a
	}
	ts := max(hlc.Stamp(c.Ts), m.last+1)
	m.last, m.built = ts, c.Rules
	a := m.do(c, ts)
	m.answers[id] = a
	return a
}

func (m *model) do(c *metapb.Command, ts hlc.Stamp) string {
	switch op := c.Op.(type) {
	case *metapb.Command_Put:
		return m.put(op.Put, ts)
	case *metapb.Command_Delete:
		if m.built != m.rules {
			return "STALE_RULES"
		}
		return m.delete(op.Delete, ts)
	case *metapb.Command_Update:
		return m.update(op.Update, ts)
	case *metapb.Command_CreateUpload:
		if m.built != m.rules {
			return "STALE_RULES"
		}
		if m.sealed {
			return "SEALED"
		}
		m.uploads[name(op.CreateUpload)] = &modelUpload{map[uint32]*metapb.Extent{}}
	case *metapb.Command_PutPart:
		return m.part(op.PutPart)
	case *metapb.Command_CompleteUpload:
		return m.complete(op.CompleteUpload, ts)
	case *metapb.Command_AbortUpload:
		u := m.uploads[name(op.AbortUpload)]
		if u == nil {
			return "NO_SUCH_UPLOAD"
		}
		for _, e := range u.parts {
			m.reclaim(op.AbortUpload.Key, string(e.Upload))
		}
		delete(m.uploads, name(op.AbortUpload))
	case *metapb.Command_AckReclaim:
		for _, r := range op.AckReclaim.Rows {
			delete(m.reclaims, r.Key+string(r.Extent.Upload))
		}
	case *metapb.Command_AckRepair:
		for _, r := range op.AckRepair.Rows {
			delete(m.repairs, repairName(r.Key, r.Upload, r.Blob, r.Slot))
		}
	case *metapb.Command_RaiseClosed:
		if hlc.Stamp(op.RaiseClosed.Closed) > ts {
			return "BAD_COMMAND"
		}
		m.closed = max(m.closed, hlc.Stamp(op.RaiseClosed.Closed))
	case *metapb.Command_Seal:
		m.sealed = !op.Seal.Off
	case *metapb.Command_Reencode:
		return m.reencode(op.Reencode)
	case *metapb.Command_ClosePool:
		m.pools[op.ClosePool.Pool] = !op.ClosePool.Off
	case *metapb.Command_SetRules:
		if op.SetRules.Rules.Revision < m.rules {
			return "STALE_RULES"
		}
		if m.rules < op.SetRules.Rules.Revision {
			m.rules, m.set = op.SetRules.Rules.Revision, op.SetRules.Rules
		}
	}
	return "OK"
}

type named interface {
	GetKey() string
	GetId() []byte
}

func name(c named) string { return c.GetKey() + string(c.GetId()) }

func repairName(key string, upload []byte, blob, slot uint32) string {
	return fmt.Sprintf("%s%s%d.%d", key, upload, blob, slot)
}

// check evaluates a condition against a version; nil is none.
func (m *model) check(o *modelObject, c *metapb.Condition) string {
	if o != nil && o.marker {
		o = nil
	}
	switch {
	case (c.GetIfMatch() != "" || c.GetIfModified() != 0 || c.GetHasIfSize()) && o == nil:
		return "NO_SUCH_KEY"
	case c.GetIfModified() != 0 && o.ts.Time().Unix() != c.IfModified, c.GetHasIfSize() && c.IfSize != o.size:
		return "PRECONDITION_FAILED"
	case c.GetIfMatch() != "" && c.IfMatch != "*" && c.IfMatch != o.etag:
		return "PRECONDITION_FAILED"
	case c.GetIfNoneMatch() != "" && o != nil && (c.IfNoneMatch == "*" || c.IfNoneMatch == o.etag):
		return "PRECONDITION_FAILED"
	}
	return ""
}

// takes says why a body is refused.
func (m *model) takes(key string, e *metapb.Extent) string {
	switch {
	case e == nil:
		return ""
	case ids.Upload(e.Upload).Stamp() < m.closed:
		return "TOO_OLD"
	case m.pools[e.Pool]:
		return "POOL_CLOSED"
	case m.reclaims[key+string(e.Upload)]:
		return "RECLAIMED"
	}
	return ""
}

func (m *model) miss(key string, e *metapb.Extent, missed []*metapb.Missed) {
	for _, s := range missed {
		m.repairs[repairName(key, e.Upload, s.Blob, s.Slot)] = true
	}
}

func (m *model) put(p *metapb.PutVersion, ts hlc.Stamp) string {
	e := p.Version.Details.GetExtent()
	if m.built != m.rules {
		return "STALE_RULES"
	}
	if m.sealed {
		return "SEALED"
	}
	if p.Version.Details.GetLock() != nil && !m.set.GetLock() {
		return "BAD_COMMAND"
	}
	if a := m.takes(p.Key, e); a != "" {
		return a
	}
	if a := m.check(m.newest(p.Key), p.Condition); a != "" {
		return a
	}
	if o := m.newest(p.Key); o != nil && e != nil && slices.Contains(o.bodies, string(e.Upload)) {
		return "BAD_COMMAND"
	}
	o := &modelObject{etag: fmt.Sprintf("%x", p.Version.Md5), size: p.Version.Size, ts: ts, inline: string(p.Inline)}
	if l := p.Version.Details.GetLock(); l != nil {
		o.details = modelDetails{mode: l.Mode, until: l.Until, hold: l.LegalHold}
	}
	if a := m.add(p.Key, o); a != "" {
		return a
	}
	if e != nil {
		o.bodies = []string{string(e.Upload)}
	}
	m.miss(p.Key, e, p.Missed)
	return "OK" + o.id()
}

func (m *model) reencode(c *metapb.Reencode) string {
	if a := m.takes(c.Key, c.Extent); a != "" {
		return a
	}
	o := m.at(c.Key, hlc.Stamp(c.Ts))
	if o == nil || !slices.Contains(o.bodies, string(c.Upload)) {
		return "PRECONDITION_FAILED"
	}
	o.bodies[slices.Index(o.bodies, string(c.Upload))] = string(c.Extent.Upload)
	m.reclaim(c.Key, string(c.Upload))
	m.miss(c.Key, c.Extent, c.Missed)
	return "OK"
}

func (m *model) part(p *metapb.PutPart) string {
	u := m.uploads[name(p)]
	if m.built != m.rules {
		return "STALE_RULES"
	}
	if m.sealed {
		return "SEALED"
	}
	if u == nil {
		return "NO_SUCH_UPLOAD"
	}
	if a := m.takes(p.Key, p.Extent); a != "" {
		return a
	}
	if old := u.parts[p.Extent.Part]; old != nil {
		m.reclaim(p.Key, string(old.Upload))
	}
	m.miss(p.Key, p.Extent, p.Missed)
	u.parts[p.Extent.Part] = p.Extent
	return "OK"
}

func (m *model) complete(c *metapb.CompleteUpload, ts hlc.Stamp) string {
	u := m.uploads[name(c)]
	again := fmt.Sprint(name(c), c.Parts)
	if u == nil {
		if a, known := m.done[again]; known {
			return a
		}
		return "NO_SUCH_UPLOAD"
	}
	if m.built != m.rules {
		return "STALE_RULES"
	}
	if m.sealed {
		return "SEALED"
	}
	o := &modelObject{etag: fmt.Sprintf("%x-%d", c.Version.Md5, len(c.Parts)), ts: ts}
	for _, p := range c.Parts {
		e := u.parts[p.Part]
		if e == nil || string(e.Upload) != string(p.Upload) {
			return "PART_CHANGED"
		}
		o.bodies = append(o.bodies, string(e.Upload))
		o.size += e.Size
	}
	if a := m.check(m.newest(c.Key), c.Condition); a != "" {
		return a
	}
	if a := m.add(c.Key, o); a != "" {
		return a
	}
	for _, e := range u.parts {
		if !slices.Contains(o.bodies, string(e.Upload)) {
			m.reclaim(c.Key, string(e.Upload))
		}
	}
	delete(m.uploads, name(c))
	m.done[again] = "OK" + o.id()
	return m.done[again]
}

func (m *model) reclaim(key, body string) {
	m.reclaims[key+body] = true
	for r := range m.repairs {
		if len(r) > len(key+body) && r[:len(key+body)] == key+body {
			delete(m.repairs, r)
		}
	}
}

// TestModel applies random commands, some of them twice, to three replicas (one applies batches, one follows it, one
// applies by itself in batches of other sizes and is reloaded) and to the model.
func TestModel(t *testing.T) {
	for seed := range seeds(20) {
		runModel(t, seed, 400)
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	t.Helper()
	span := Span{ID: 4}
	r, follower, alone := newReplica(t, span), newReplica(t, span), newReplica(t, span)
	g := &generator{rng: rand.New(rand.NewPCG(seed, 1)), k: maker{now: start}, m: newModel(), r: r}
	var queue []*metapb.Command
	for n := 0; n < steps; {
		var cmds []*metapb.Command
		for range 1 + g.rng.IntN(8) {
			cmds = append(cmds, g.next())
		}
		if g.rng.IntN(8) == 0 {
			r, follower = follower, r
			g.r = r
		}
		results, e, repr := r.batch(cmds...)
		follower.follow(repr, e)
		for i, c := range cmds {
			if got, want := answer(results[i]), g.m.apply(c); got != want {
				t.Fatalf("seed %d: %v: %s, want %s", seed, c, got, want)
			}
		}
		if queue = append(queue, cmds...); g.rng.IntN(3) == 0 {
			for len(queue) > 0 {
				some := min(1+g.rng.IntN(5), len(queue))
				alone.apply(queue[:some]...)
				queue = queue[some:]
			}
			alone.load()
			if follower.hash() != r.hash() || alone.hash() != r.hash() {
				t.Fatalf("I17: seed %d: replicas differ", seed)
			}
			g.m.compare(t, r)
		}
		n += len(cmds)
	}
}

// compare reads everything back.
func (m *model) compare(t *testing.T, r *replica) {
	t.Helper()
	var size, uploadSize, parts int64
	var objects, versions int64
	for key, all := range m.objects {
		size += m.compareVersions(t, r.db, key, all)
		versions += int64(len(all))
		if !all[0].marker {
			objects++
		}
	}
	for id, u := range m.uploads {
		_, rows, err := ListParts(r.db, 1, id[:len(id)-16], ids.Upload([]byte(id[len(id)-16:])), 0, partMax)
		if err != nil || len(rows) != len(u.parts) {
			t.Fatalf("upload has parts %v, %v; want %v", rows, err, u.parts)
		}
		for _, e := range u.parts {
			uploadSize += int64(e.Size)
			parts++
		}
	}
	c, err := CountersOf(r.db, r.span.ID, 1)
	check0(t, err)
	if rules, err := RulesOf(r.db, r.span.ID, 1); err != nil || rules.Revision != m.rules {
		t.Fatalf("I11: the range holds rules %v, %v; want revision %d", rules, err, m.rules)
	}
	want := &metapb.Counters{Objects: objects, Versions: versions, Size: size, Uploads: int64(len(m.uploads)), UploadSize: uploadSize}
	if !equalMessages(c, want) {
		t.Fatalf("counters %v, want %v", c, want)
	}
	page, err := List(r.db, r.span, ListRequest{Bucket: 1, Max: 100}, nil)
	check0(t, err)
	if page.Count != int(objects) {
		t.Fatalf("%d keys are listed of %d", page.Count, objects)
	}
	m.compareQueues(t, r)
	m.compareListings(t, r)
}

// compareVersions reads all versions of a key, and returns their size.
func (m *model) compareVersions(t *testing.T, db *pebble.DB, key string, all []*modelObject) (size int64) {
	t.Helper()
	nulls := 0
	for i, o := range all {
		ref := VersionRef{ID: o.ts}
		if !o.versioned {
			ref = VersionRef{Null: true}
			nulls++
			if _, _, err := Get(db, 1, key, GetOptions{Version: VersionRef{ID: o.ts}}); err != ErrNoSuchVersion {
				t.Fatalf("the stamp of a null version is taken for its id: %v", err)
			}
		}
		m.compareObject(t, db, key, o, GetOptions{Inline: true, Version: ref})
		m.compareObject(t, db, key, o, GetOptions{Inline: true, AsOf: o.ts})
		if i == 0 {
			m.compareObject(t, db, key, o, GetOptions{Inline: true})
		}
		size += int64(o.size)
	}
	if _, _, err := Get(db, 1, key, GetOptions{Version: VersionRef{Null: true}}); nulls == 0 && err != ErrNoSuchVersion {
		t.Fatalf("a null version of %q that is not there: %v", key, err)
	}
	marked, err := has(db, keys.AppendNull(nil, 1, key))
	check0(t, err)
	if want := nulls == 1 && all[0].versioned; marked != want || nulls > 1 {
		t.Fatalf("%q has %d null versions and a row that names one: %v, want %v", key, nulls, marked, want)
	}
	return size
}

func (m *model) compareObject(t *testing.T, db *pebble.DB, key string, o *modelObject, opt GetOptions) {
	t.Helper()
	v, inline, err := Get(db, 1, key, opt)
	check0(t, err)
	d := v.Details
	details := modelDetails{
		tags: d.Tags, acl: d.Acl, mode: d.Lock.GetMode(), until: d.Lock.GetUntil(), hold: d.Lock.GetLegalHold(), changed: hlc.Stamp(d.Changed),
	}
	if v.DeleteMarker != o.marker || v.Versioned != o.versioned || details != o.details {
		t.Fatalf("%q is %v, want %+v", key, v, o)
	}
	var bodies []string
	if e := v.Details.Extent; e != nil {
		bodies = append(bodies, string(e.Upload))
	}
	extents, err := Extents(db, 1, key, hlc.Stamp(v.Ts), 0, partMax)
	check0(t, err)
	for _, e := range extents {
		bodies = append(bodies, string(e.Upload))
	}
	if hlc.Stamp(v.Ts) != o.ts || v.Size != o.size || !slices.Equal(bodies, o.bodies) || string(inline) != o.inline {
		t.Fatalf("%q is %v with %q, want %+v", key, v, bodies, o)
	}
	for _, b := range bodies {
		if ref, err := Referenced(db, 1, key, ids.Upload([]byte(b))); ref != Live || err != nil {
			t.Fatalf("a body of %q is %v, %v", key, ref, err)
		}
	}
}

func (m *model) compareQueues(t *testing.T, r *replica) {
	t.Helper()
	reclaims, _, err := ReclaimRows(r.db, r.span, stampMax, nil, 1<<20)
	check0(t, err)
	for _, row := range reclaims {
		if ref, err := Referenced(r.db, 1, row.Key, ids.Upload(row.Extent.Upload)); ref != Reclaiming || err != nil {
			t.Fatalf("I14: what is reclaimed is %v, %v", ref, err)
		}
		if !m.reclaims[row.Key+string(row.Extent.Upload)] {
			t.Fatalf("%v is reclaimed", row)
		}
	}
	repairs, _, err := RepairRows(r.db, r.span, nil, 1<<20)
	check0(t, err)
	for _, row := range repairs {
		if !m.repairs[repairName(row.Key, row.Upload, row.Blob, row.Slot)] {
			t.Fatalf("%v is to be repaired", row)
		}
	}
	if a, b := r.m.Queued(); int(a) != len(m.repairs) || int(b) != len(m.reclaims) || len(repairs) != int(a) || len(reclaims) != int(b) {
		t.Fatalf("%d and %d rows are queued, %d and %d counted; want %d and %d", len(repairs), len(reclaims), a, b, len(m.repairs), len(m.reclaims))
	}
}
