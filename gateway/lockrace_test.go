package gateway

import (
	"context"
	"encoding/xml"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

var soak = flag.Bool("soak", false, "full counts")

// lagging is the map as a gateway has it that hears of a change some requests later.
type lagging struct {
	*buckets
	rng *rand.Rand

	mu   sync.Mutex
	seen *placement.Map
}

func (l *lagging) Map() *placement.Map {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || l.rng.IntN(50) == 0 {
		l.seen = l.buckets.Map()
	}
	return l.seen
}

func (l *lagging) Sync(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = l.buckets.Map()
	return nil
}

// lockRace is many clients, and what goes on beside them, at the few keys of one bucket.
type lockRace struct {
	*ledger
	t      *testing.T
	seed   uint64
	gates  []*kit // gateways of one cluster
	passed *atomic.Int64
	bucket string
}

// locker is one of the clients.
type locker struct {
	*lockRace
	name string // his user's
	k    *kit
	rng  *rand.Rand
	puts int
}

// clerk may do all but bypass a retention in governance mode.
const clerk = "clerk"

const bypassHeader = "X-Amz-Bypass-Governance-Retention"

// ask sends a request, again if the clock leapt on while it was under way.
func (c *locker) ask(q call) *answerTo {
	c.passed.Add(c.rng.Int64N(400))
	q.credentials = as(c.name)
	for {
		if a := c.k.do(q); a.code() != "RequestTimeTooSkewed" {
			return a
		}
	}
}

// wrong reports what must not be.
func (r *lockRace) wrong(v *knownVersion, what string) {
	if what != "" {
		r.t.Errorf("seed %d at %d: %s: %s", r.seed, r.moment, what, v.tell())
	}
}

// any is some version that a client was told of; nil if there is none yet.
func (c *locker) any() *knownVersion {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.versions) == 0 {
		return nil
	}
	return c.versions[c.rng.IntN(len(c.versions))]
}

// retention is one that ends soon; or, if it may be, none.
func (c *locker) retention(none bool) *retained {
	n := c.rng.IntN(3)
	if n == 0 && none {
		return new(retained)
	}
	until := c.now().Add(time.Duration(500+c.rng.IntN(30_000)) * time.Millisecond)
	return &retained{mode: [...]string{placement.LockCompliance, placement.LockGovernance}[n%2], until: until}
}

func (r *retained) time() string { return string(s3xml.AppendTime(nil, r.until)) }

// lock is what headers of a new version say of its lock.
func (c *locker) lock(d *deed) (header []string) {
	if c.rng.IntN(2) == 0 {
		d.retention = c.retention(false)
		header = append(header, "X-Amz-Object-Lock-Mode", d.retention.mode, "X-Amz-Object-Lock-Retain-Until-Date", d.retention.time())
	}
	if c.rng.IntN(8) == 0 {
		d.hold = "ON"
		header = append(header, "X-Amz-Object-Lock-Legal-Hold", "ON")
	}
	return header
}

// text is a body that no other version has, in the range or in blobs.
func (c *locker) text() string {
	c.puts++
	return fmt.Sprintf("%d %s %d %s", c.seed, c.name, c.puts, strings.Repeat(".", c.rng.IntN(2)*4000))
}

func (c *locker) put() {
	v, d := &knownVersion{key: c.bucket + "/" + pick(c.rng, "a", "b", "d/c")}, new(deed)
	header, at := c.lock(d), c.now()
	c.mu.Lock()
	c.begin(d)
	c.mu.Unlock()
	how, a := "", (*answerTo)(nil)
	switch n, from := c.rng.IntN(6), c.any(); {
	case n == 0:
		how, v.body = "uploaded in parts", text(1500)+c.text()
		a = c.multipart(v, header)
	case n == 1 && from != nil:
		how, v.body = "copied", from.body
		a = c.ask(call{method: "PUT", path: "/" + v.key, header: pairs(append(header, "X-Amz-Copy-Source", from.path()))})
	case n == 2:
		how, v.body = "posted", c.text()
		a = c.post(v, header)
	default:
		how, v.body = "put", c.text()
		a = c.ask(call{method: "PUT", path: "/" + v.key, header: pairs(append(header, "Content-MD5", md5Of(v.body))), body: []byte(v.body)})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end(d, a); d.outcome != done {
		// The retention would end in the past, the source is gone, the form is old, an answer was lost, a dead source's body is.
		mayBe := []string{"InvalidArgument", "NoSuchVersion", "AccessDenied", "RequestTimeTooSkewed", "ServiceUnavailable"}
		if !slices.Contains(mayBe, a.code()) && how != "copied" {
			c.t.Errorf("seed %d: what is %s with %q is not stored: %s %v", c.seed, how, header, a.body, a.err)
		}
		return
	}
	if d.retention == nil {
		d.retention = c.defaultRetention(d.began, at)
	}
	d.text = fmt.Sprintf("%s with %q by %s: %v", how, header, c.name, d.retention)
	if v.id, v.deeds = a.version(), []*deed{d}; len(v.id) != 32 {
		c.t.Errorf("seed %d: a new version's id is %q", c.seed, v.id)
	}
	c.versions = append(c.versions, v)
}

func (c *locker) multipart(v *knownVersion, header []string) *answerTo {
	a := c.ask(call{method: "POST", path: "/" + v.key + "?uploads", header: pairs(header)})
	if a.status != 200 {
		return a
	}
	id := between(string(a.body), "<UploadId>", "</UploadId>")
	parts := "<CompleteMultipartUpload>"
	for n, body := range []string{v.body[:1500], v.body[1500:]} {
		a := c.ask(call{method: "PUT", path: fmt.Sprintf("/%s?partNumber=%d&uploadId=%s", v.key, n+1, id), body: []byte(body)})
		if a.status != 200 {
			return a
		}
		parts += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n+1, a.header.Get("ETag"))
	}
	return c.ask(call{method: "POST", path: "/" + v.key + "?uploadId=" + id, body: []byte(parts + "</CompleteMultipartUpload>")})
}

func (c *locker) post(v *knownVersion, header []string) *answerTo {
	_, key, _ := strings.Cut(v.key, "/")
	f := browserForm{who: c.name, at: c.now(), bucket: c.bucket, fields: append([]string{"key", key}, header...), name: "f", file: v.body}
	return c.k.do(call{method: "POST", path: "/" + c.bucket, body: []byte(f.body()), header: pairs([]string{"Content-Type", formType}), anonymous: true})
}

// bypasses has d pass over governance, if he may, and says so to the server, sometimes.
func (c *locker) bypasses(d *deed) (header map[string]string) {
	if c.rng.IntN(3) > 0 {
		return nil
	}
	d.text += ", bypassing,"
	d.bypass = c.name != clerk
	return map[string]string{bypassHeader: "true"}
}

func (c *locker) retain(v *knownVersion) {
	d := &deed{retention: c.retention(true)}
	d.text = "retention " + d.retention.String()
	header, body := c.bypasses(d), "<Retention/>"
	if d.retention.mode != "" {
		body = "<Retention><Mode>" + d.retention.mode + "</Mode><RetainUntilDate>" + d.retention.time() + "</RetainUntilDate></Retention>"
	}
	d.text += " by " + c.name
	c.on(v, d)
	a := c.ask(call{method: "PUT", path: v.path() + "&retention", header: header, body: []byte(body)})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end(d, a); d.outcome == done {
		c.wrong(v, c.judgeRetention(v, d))
	}
}

func (c *locker) hold(v *knownVersion) {
	d := &deed{hold: pick(c.rng, "ON", "OFF")}
	d.text = "hold " + d.hold + " by " + c.name
	c.on(v, d)
	a := c.ask(call{method: "PUT", path: v.path() + "&legal-hold", body: []byte("<LegalHold><Status>" + d.hold + "</Status></LegalHold>")})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(d, a)
}

func (c *locker) remove(v *knownVersion) {
	d := &deed{text: "deletion", removes: true}
	header := c.bypasses(d)
	d.text += " by " + c.name
	c.on(v, d)
	c.removed(v, d, c.ask(call{method: "DELETE", path: v.path(), header: header}))
}

// removed writes down what became of a deletion.
func (c *locker) removed(v *knownVersion, d *deed, a *answerTo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(d, a)
	c.wrong(v, c.judgeRemovals(v))
	switch d.outcome {
	case done:
		c.gone++
	case refused:
		c.held++
	}
}

// removeMany deletes some versions by one request.
func (c *locker) removeMany() {
	of := map[*knownVersion]*deed{}
	like := new(deed)
	header := c.bypasses(like)
	doc := "<Delete>"
	for range 1 + c.rng.IntN(4) {
		v := c.any()
		if v == nil || of[v] != nil {
			continue
		}
		of[v] = c.on(v, &deed{text: "deletion with others" + like.text + " by " + c.name, removes: true, bypass: like.bypass})
		_, key, _ := strings.Cut(v.key, "/")
		doc += "<Object><Key>" + key + "</Key><VersionId>" + v.id + "</VersionId></Object>"
	}
	q := deleteObjects(c.bucket, doc+"</Delete>")
	maps.Copy(q.header, header)
	a := c.ask(q)
	var results struct {
		Deleted []struct{ Key, VersionId string }
		Error   []struct{ Key, VersionId, Code string }
	}
	if a.status == 200 {
		check(c.t, xml.Unmarshal(a.body, &results))
	}
	for v, d := range of {
		one := *a
		if a.status == 200 {
			one.status = 500
		}
		for _, r := range results.Deleted {
			if c.bucket+"/"+r.Key == v.key && r.VersionId == v.id {
				one.status = 204
			}
		}
		for _, r := range results.Error {
			if c.bucket+"/"+r.Key == v.key && r.VersionId == v.id && r.Code == "AccessDenied" {
				one.status = 403
			}
		}
		c.removed(v, d, &one)
	}
}

// deleteObjects deletes what a document names.
func deleteObjects(bucket, doc string) call {
	return call{method: "POST", path: "/" + bucket + "?delete", body: []byte(doc), header: map[string]string{"Content-MD5": md5Of(doc)}}
}

// look reads a version, and fails the test if it is not what was promised.
func (c *locker) look(v *knownVersion) {
	c.mu.Lock()
	c.moment++
	began := c.moment
	c.mu.Unlock()
	a := c.ask(call{method: "GET", path: v.path()})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong(v, c.judgeLook(v, began, a))
}

// configure changes the bucket's default retention.
func (c *locker) configure() {
	d := &deed{retention: &retained{mode: pick(c.rng, "", placement.LockGovernance, placement.LockCompliance), period: 24 * time.Hour}}
	rule := ""
	if d.retention.mode != "" {
		rule = "<Rule><DefaultRetention><Mode>" + d.retention.mode + "</Mode><Days>1</Days></DefaultRetention></Rule>"
	}
	c.mu.Lock()
	c.defaults = append(c.defaults, c.begin(d))
	c.mu.Unlock()
	a := c.ask(lockConfig(c.bucket, rule))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(d, a)
}

func lockConfig(bucket, rule string) call {
	return call{method: "PUT", path: "/" + bucket + "?object-lock", body: []byte("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>" + rule + "</ObjectLockConfiguration>")}
}

// administer does what gets around nothing.
func (c *locker) administer() {
	switch key := "/" + c.bucket + "/" + pick(c.rng, "a", "b", "d/c"); c.rng.IntN(8) {
	case 0, 1:
		c.configure()
	case 2:
		a := c.ask(call{method: "PUT", path: "/" + c.bucket + "?versioning", body: []byte("<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>")})
		if a.code() != "InvalidBucketState" {
			c.t.Errorf("seed %d: a bucket with object lock is to keep no versions any more: %s", c.seed, a.code())
		}
	case 3:
		if a := c.ask(call{method: "DELETE", path: "/" + c.bucket}); a.status < 300 {
			c.t.Errorf("seed %d: a bucket with a locked version was deleted", c.seed)
		}
	case 4:
		check(c.t, c.k.records.restart())
	case 5:
		check(c.t, c.k.records.reclaim(c.k.blobs))
	case 6:
		if c.rng.IntN(5) == 0 {
			c.passed.Add((25 * time.Hour).Milliseconds())
		}
	default:
		if a := c.ask(call{method: "DELETE", path: key}); a.status < 300 && c.rng.IntN(2) == 0 {
			c.ask(call{method: "DELETE", path: key + "?versionId=" + a.version()}) // the marker
		}
	}
}

func (c *locker) step() {
	v := c.any()
	n := c.rng.IntN(20)
	switch {
	case n < 5 || v == nil:
		c.put()
	case n < 8:
		c.retain(v)
	case n < 10:
		c.hold(v)
	case n < 13:
		c.remove(v)
	case n < 14:
		c.removeMany()
	case n < 15:
		c.ask(call{method: "PUT", path: v.path() + "&tagging", body: tagging("a", fmt.Sprint(c.rng.IntN(9)))})
	case n < 18:
		c.look(v)
	default:
		c.administer()
	}
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// prepare makes the bucket: with object lock from the start, or after null versions were put.
func (r *lockRace) prepare(late bool) {
	k := r.gates[0]
	if !late {
		k.locked(r.bucket)
	} else {
		k.makeBucket(r.bucket)
		for _, key := range []string{"a", "b"} {
			v := &knownVersion{key: r.bucket + "/" + key, id: "null", body: fmt.Sprint(r.seed, " before ", key)}
			k.put("/"+v.key, v.body)
			r.versions = append(r.versions, v)
		}
		k.versioning(r.bucket, "Enabled")
		k.want("200", lockConfig(r.bucket, ""))
	}
	v := &knownVersion{key: r.bucket + "/kept", body: "kept"}
	d := r.on(v, &deed{text: "put", retention: &retained{mode: placement.LockCompliance, until: r.now().AddDate(1, 0, 0)}})
	a := k.put("/"+v.key, v.body, "X-Amz-Object-Lock-Mode", d.retention.mode, "X-Amz-Object-Lock-Retain-Until-Date", d.retention.time())
	v.id = a.version()
	r.end(d, a)
	r.versions = append(r.versions, v)
}

// run lets the clients go at it side by side.
func (r *lockRace) run() {
	var clients sync.WaitGroup
	for i := range uint64(5) {
		rng := rand.New(rand.NewPCG(r.seed, i))
		c := &locker{lockRace: r, name: pick(rng, "root", "keeper", clerk, clerk), k: r.gates[i%uint64(len(r.gates))], rng: rng}
		clients.Go(func() {
			for range 14 {
				c.step()
			}
		})
	}
	clients.Wait()
}

// finish looks at every version, after what is dead was deleted.
func (r *lockRace) finish() {
	k := r.gates[0]
	check(r.t, k.records.restart())
	for range 5 {
		check(r.t, k.records.reclaim(k.blobs))
	}
	c := &locker{lockRace: r, name: "root", k: k, rng: rand.New(rand.NewPCG(r.seed, 99))}
	for _, v := range r.versions {
		c.look(v)
	}
}

// raceKit is two gateways by one clock, of which the second hears of changes late, and a range that sometimes does not answer.
func raceKit(t *testing.T, seed uint64) (gates []*kit, passed *atomic.Int64) {
	passed = new(atomic.Int64)
	began := time.Now().Truncate(time.Millisecond)
	now := func() time.Time { return began.Add(time.Duration(passed.Load()) * time.Millisecond) }
	k := newKitAt(t, now)
	k.users(map[string]string{
		"keeper": allowS3,
		clerk: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},
			{"Effect":"Deny","Action":"s3:BypassGovernanceRetention","Resource":"*"}]}`,
	})
	view := &lagging{buckets: k.buckets, rng: rand.New(rand.NewPCG(seed, 100))}
	rng := rand.New(rand.NewPCG(seed, 101)) // used by one request at a time: under the records' lock
	k.records.lose = func(c *metapb.Command) error {
		if rng.IntN(60) == 0 && c.GetAckReclaim() == nil {
			return meta.ErrUnavailable
		}
		return nil
	}
	return []*kit{k, k.another(func(o *Options, _ *object.Options) { o.Buckets = view })}, passed
}

// TestI11_LockedVersionsAreNeverLost lets clients put, lock, shorten, delete and bypass side by side, through gateways of which one lags, while
// answers are lost and the range is loaded anew: what a client was told to be locked before a deletion began is there, whatever is done.
func TestI11_LockedVersionsAreNeverLost(t *testing.T) {
	histories, together := uint64(40), uint64(100) // in one cluster
	switch {
	case *soak:
		histories = 10_000
	case testing.Short():
		histories = 8
	}
	var all ledger
	for first := uint64(1); first <= histories && !t.Failed(); first += together {
		t.Run(fmt.Sprintf("%d to %d", first, min(histories, first+together-1)), func(t *testing.T) {
			gates, passed := raceKit(t, first)
			lose := gates[0].records.lose
			for seed := first; seed < min(histories+1, first+together) && !t.Failed(); seed++ {
				r := &lockRace{ledger: &ledger{now: gates[0].now}, t: t, seed: seed, gates: gates, passed: passed, bucket: fmt.Sprint("race-", seed)}
				gates[0].records.lose = nil
				r.prepare(seed%2 == 0)
				gates[0].records.lose = lose
				r.run()
				gates[0].records.lose = nil
				r.finish()
				all.gone, all.held, all.looked = all.gone+r.gone, all.held+r.held, all.looked+r.looked
			}
		})
	}
	t.Logf("%d histories: %d versions deleted, %d deletions refused, %d versions seen to be there", histories, all.gone, all.held, all.looked)
	if all.gone < int(histories) || all.held < int(histories) || all.looked < int(histories) {
		t.Error("too little was tried to show anything")
	}
}
