package gateway

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// records is meta.Node without Raft: the real state machine over rows in memory.
type records struct {
	clock *hlc.Clock

	mu      sync.Mutex
	db      *pebble.DB
	machine *state.Machine
	index   uint64
	fail    func(*metapb.Command) error // before a command is applied; nil: none
	lose    func(*metapb.Command) error // after it was applied
	away    error                       // of Get; nil: it answers
	deleted ids.Bucket                  // meta.Node finds out that it is no more
	paged   func()                      // before a page of extents is read
}

var span1 = state.Span{ID: 1}

func newRecords(t testing.TB, clock *hlc.Clock) *records {
	t.Helper()
	db, err := pebble.Open("", &pebble.Options{
		FS: vfs.NewMem(), Comparer: keys.Comparer, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{},
		MemTableSize: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	m, err := state.Load(db, span1)
	if err != nil {
		t.Fatal(err)
	}
	return &records{clock: clock, db: db, machine: m}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (r *records) do(cmd *metapb.Command) (*metapb.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(cmd); err != nil {
			return nil, err
		}
	}
	id := ids.NewUpload(r.clock.Now())
	cmd.Request, cmd.Ts = id[:], uint64(r.clock.Now())
	b := r.db.NewIndexedBatch()
	res, err := r.machine.Apply(b, cmd)
	if err != nil {
		return nil, err
	}
	r.index++
	if _, err := r.machine.Finish(b, r.index, 1); err != nil {
		return nil, err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return nil, err
	}
	if r.lose != nil {
		if err := r.lose(cmd); err != nil {
			return nil, err
		}
	}
	return res, codes[res.Code]
}

// restart has the range know what its rows say, and nothing else.
func (r *records) restart() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, err := state.Load(r.db, span1)
	r.machine = m
	return err
}

// reclaim deletes all bodies that are dead, as heal does, but does not wait for reads that go on.
func (r *records) reclaim(b *blobs) error {
	rows, _, err := state.ReclaimRows(r.db, span1, r.clock.Now(), nil, 1000)
	if err != nil || len(rows) == 0 {
		return err
	}
	for _, row := range rows {
		_ = b.Delete(context.Background(), erasure.BlobRef{Blob: ids.Blob{Upload: ids.Upload(row.Extent.Upload)}})
	}
	_, err = r.do(&metapb.Command{Op: &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: rows}}})
	return err
}

var codes = map[metapb.Code]error{
	metapb.Code_PRECONDITION_FAILED: meta.ErrPrecondition, metapb.Code_NO_SUCH_KEY: meta.ErrNoSuchKey,
	metapb.Code_NO_SUCH_VERSION: meta.ErrNoSuchVersion, metapb.Code_LOCKED: meta.ErrLocked,
	metapb.Code_NO_SUCH_UPLOAD: meta.ErrNoSuchUpload, metapb.Code_PART_CHANGED: meta.ErrPartChanged,
	metapb.Code_TOO_OLD: meta.ErrTooOld, metapb.Code_RECLAIMED: meta.ErrReclaimed, metapb.Code_SEALED: meta.ErrSealed,
	metapb.Code_STALE_RULES: meta.ErrStaleRules, metapb.Code_BAD_COMMAND: meta.ErrBadCommand, metapb.Code_STALE_RANGE: meta.ErrUnavailable,
}

func (r *records) PutVersion(_ context.Context, rules int64, c *metapb.PutVersion) (meta.Made, error) {
	res, err := r.do(&metapb.Command{Rules: rules, Op: &metapb.Command_Put{Put: c}})
	return meta.Made{TS: hlc.Stamp(res.GetTs()), Versioned: res.GetVersioned()}, err
}

func (r *records) UpdateVersion(_ context.Context, rules int64, c *metapb.UpdateVersion) (meta.Made, error) {
	res, err := r.do(&metapb.Command{Rules: rules, Op: &metapb.Command_Update{Update: c}})
	return meta.Made{TS: hlc.Stamp(res.GetTs()), Versioned: res.GetVersioned()}, err
}

func (r *records) DeleteVersions(_ context.Context, rules int64, c *metapb.DeleteVersions) ([]*metapb.DeleteResult, error) {
	if ids.Bucket(c.Bucket) == r.deleted {
		return nil, meta.ErrNoSuchBucket
	}
	res, err := r.do(&metapb.Command{Rules: rules, Op: &metapb.Command_Delete{Delete: c}})
	return res.GetDeleted(), err
}

func (r *records) CreateUpload(_ context.Context, rules int64, c *metapb.CreateUpload) error {
	_, err := r.do(&metapb.Command{Rules: rules, Op: &metapb.Command_CreateUpload{CreateUpload: c}})
	return err
}

func (r *records) PutPart(_ context.Context, rules int64, c *metapb.PutPart) error {
	_, err := r.do(&metapb.Command{Rules: rules, Op: &metapb.Command_PutPart{PutPart: c}})
	return err
}

func (r *records) CompleteUpload(_ context.Context, rules int64, c *metapb.CompleteUpload) (*metapb.Version, error) {
	res, err := r.do(&metapb.Command{Rules: rules, Op: &metapb.Command_CompleteUpload{CompleteUpload: c}})
	return res.GetVersion(), err
}

func (r *records) AbortUpload(_ context.Context, c *metapb.AbortUpload) error {
	if ids.Bucket(c.Bucket) == r.deleted {
		return meta.ErrNoSuchBucket
	}
	_, err := r.do(&metapb.Command{Op: &metapb.Command_AbortUpload{AbortUpload: c}})
	return err
}

func (r *records) Seal(_ context.Context, bucket ids.Bucket, off bool) error {
	_, err := r.do(&metapb.Command{Op: &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: uint64(bucket), Off: off}}})
	return err
}

func (r *records) Get(_ context.Context, bucket ids.Bucket, key string, opt meta.GetOptions) (*metapb.Version, []byte, error) {
	if r.away != nil {
		return nil, nil, r.away
	}
	if bucket == r.deleted {
		return nil, nil, meta.ErrNoSuchBucket
	}
	return state.Get(r.db, bucket, key, opt)
}

func (r *records) Extents(_ context.Context, bucket ids.Bucket, key string, ts hlc.Stamp, off int64, max int) ([]*metapb.Extent, error) {
	if r.paged != nil {
		r.paged()
	}
	return state.Extents(r.db, bucket, key, ts, uint64(off), max)
}

func (r *records) ListParts(_ context.Context, bucket ids.Bucket, key string, id ids.Upload, after uint32, max int) (*metapb.Upload, []*metapb.Extent, error) {
	if bucket == r.deleted {
		return nil, nil, meta.ErrNoSuchBucket
	}
	return state.ListParts(r.db, bucket, key, id, after, max)
}

func (r *records) Completed(_ context.Context, bucket ids.Bucket, key string, id ids.Upload) (*metapb.Upload, error) {
	return state.Completed(r.db, bucket, key, id)
}

func (r *records) List(_ context.Context, req meta.ListRequest, buf []byte) (meta.ListPage, error) {
	if req.Bucket == r.deleted {
		return meta.ListPage{}, meta.ErrNoSuchBucket
	}
	return state.List(r.db, span1, req, buf)
}

func (r *records) ListVersions(_ context.Context, req meta.ListVersionsRequest, buf []byte) (meta.ListVersionsPage, error) {
	if req.Bucket == r.deleted {
		return meta.ListVersionsPage{}, meta.ErrNoSuchBucket
	}
	return state.ListVersions(r.db, span1, req, buf)
}

// setRules gives the range the rules of a bucket, as node.rules does.
func (r *records) setRules(b *placement.Bucket) error {
	rules := &metapb.Rules{Revision: b.Rules, Versioning: map[string]metapb.Versioning{
		placement.VersioningEnabled: metapb.Versioning_ENABLED, placement.VersioningSuspended: metapb.Versioning_SUSPENDED}[b.Versioning]}
	if l := b.Lock; l != nil {
		rules.Lock, rules.DefaultDays, rules.DefaultYears = true, uint32(l.Days), uint32(l.Years)
		rules.DefaultMode = metapb.LockMode(metapb.LockMode_value[l.Mode])
	}
	_, err := r.do(&metapb.Command{Op: &metapb.Command_SetRules{SetRules: &metapb.SetRules{Bucket: uint64(b.ID), Rules: rules}}})
	return err
}

func (r *records) ListUploads(_ context.Context, req meta.ListUploadsRequest) (meta.ListUploadsPage, error) {
	if req.Bucket == r.deleted {
		return meta.ListUploadsPage{}, meta.ErrNoSuchBucket
	}
	return state.ListUploads(r.db, span1, req)
}

func (r *records) Counters(_ context.Context, bucket ids.Bucket) (*metapb.Counters, error) {
	return state.CountersOf(r.db, span1.ID, bucket)
}

// blobs keeps bodies in memory. It reads and writes in pieces, as the real store does.
type blobs struct {
	mu      sync.Mutex
	bodies  map[ids.Upload][]byte
	deleted map[ids.Upload]bool
	piece   int
	failPut error
	failGet func(sent int64) error // asked before each piece; nil: none
}

func newBlobs() *blobs {
	return &blobs{bodies: map[ids.Upload][]byte{}, deleted: map[ids.Upload]bool{}, piece: 64 << 10}
}

func (b *blobs) Write(_ context.Context, t erasure.Target, size int64, src erasure.Source) (erasure.Written, error) {
	if b.failPut != nil {
		return erasure.Written{}, b.failPut
	}
	body := make([]byte, size)
	for off := 0; off < len(body); off += b.piece {
		if _, err := io.ReadFull(src, body[off:min(off+b.piece, len(body))]); err != nil {
			if settled := src.Settle(); settled != nil {
				return erasure.Written{}, settled
			}
			return erasure.Written{}, err
		}
		if err := src.Settle(); err != nil {
			return erasure.Written{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bodies[t.Upload] = body
	e := erasure.Extent{Pool: t.Pool, Upload: t.Upload, Size: size, BlobBytes: erasure.BlobBytes}
	for n := int64(0); n < size; n += e.BlobBytes {
		e.PGs = append(e.PGs, ids.PG(len(e.PGs)+1))
	}
	return erasure.Written{Extent: e}, nil
}

func (b *blobs) Read(_ context.Context, e erasure.Extent, off, n int64, w io.Writer) (int64, error) {
	b.mu.Lock()
	body, ok := b.bodies[e.Upload]
	fail := b.failGet
	b.mu.Unlock()
	if !ok || int64(len(body)) != e.Size {
		return 0, erasure.ErrLost
	}
	var sent int64
	for sent < n {
		if fail != nil {
			if err := fail(sent); err != nil {
				return sent, err
			}
		}
		m, err := w.Write(body[off+sent : off+min(n, sent+int64(b.piece))])
		sent += int64(m)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (b *blobs) Delete(_ context.Context, ref erasure.BlobRef) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.bodies, ref.Blob.Upload)
	b.deleted[ref.Blob.Upload] = true
	return nil
}

func (b *blobs) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bodies)
}

// buckets is the map in memory. Made is what only Sync shows, as a watch that lags would.
type buckets struct {
	mu    sync.Mutex
	m     *placement.Map
	late  map[string]*placement.Bucket
	next  ids.Bucket
	locks map[ids.Bucket]*sync.Mutex
	mark  func() // before a bucket is marked as being deleted; nil: nothing
}

var testAccount = placement.NewDefaultAccount(ids.Cluster{1})

func newBuckets() *buckets {
	return &buckets{next: 1, late: map[string]*placement.Bucket{}, m: &placement.Map{
		Buckets:        map[string]*placement.Bucket{},
		Pools:          map[ids.Pool]*placement.Pool{1: {ID: 1}, 2: {ID: 2, StorageClass: "ARCHIVE"}},
		Identities:     map[string]*placement.Identity{rootKey: {AccessKey: rootKey, Secret: rootSecret, Root: true}, "guest": {AccessKey: "guest", Secret: "guestsecret", Account: testAccount.ID, User: "guest"}},
		DefaultAccount: testAccount,
		Users:          map[placement.Name]*placement.User{placement.NameOf(testAccount.ID, "guest"): {Account: testAccount.ID, Name: "guest", Path: "/", ID: "AIDAGUEST"}},
	}}
}

func (b *buckets) Map() *placement.Map {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m
}

func (b *buckets) Sync(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	late := b.late
	b.late = map[string]*placement.Bucket{}
	b.change(func(all map[string]*placement.Bucket) {
		for name, bucket := range late {
			all[name] = bucket
		}
	})
	return nil
}

func (b *buckets) change(fn func(map[string]*placement.Bucket)) {
	next := *b.m
	next.Buckets = map[string]*placement.Bucket{}
	for name, bucket := range b.m.Buckets {
		next.Buckets[name] = bucket
	}
	fn(next.Buckets)
	b.m = &next
}

// now is the bucket of that name as the control store has it, which a map that lags does not show. b.mu is held.
func (b *buckets) now(of *placement.Bucket) *placement.Bucket {
	if late := b.late[of.Name]; late != nil {
		return late
	}
	return b.m.Buckets[of.Name]
}

func (b *buckets) CreateBucket(_ context.Context, want placement.Bucket) (made *placement.Bucket, created bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(func(all map[string]*placement.Bucket) {
		if made = all[want.Name]; made == nil {
			want.ID, want.Created = b.next, time.Now()
			if want.Versioning != "" {
				want.Rules = 1
			}
			made, created = &want, true
			all[want.Name] = made
			b.next++
		}
	})
	return made, created, nil
}

func (b *buckets) LockBucket(_ context.Context, id ids.Bucket) (func(), error) {
	b.mu.Lock()
	if b.locks == nil {
		b.locks = map[ids.Bucket]*sync.Mutex{}
	}
	if b.locks[id] == nil {
		b.locks[id] = new(sync.Mutex)
	}
	l := b.locks[id]
	b.mu.Unlock()
	l.Lock()
	return l.Unlock, nil
}

// EditIAM is placement/store's, for users only.
func (b *buckets) EditIAM(_ context.Context, edit func(*placement.Map) ([]placement.IAMChange, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	changes, err := edit(b.m)
	if err != nil {
		return err
	}
	next := *b.m
	next.IAM++
	next.Users = maps.Clone(b.m.Users)
	for _, c := range changes {
		next.Users[placement.NameOf(c.User.Account, c.User.Name)] = c.User
	}
	b.m = &next
	return nil
}

func (b *buckets) SetBucketConfig(_ context.Context, of *placement.Bucket, kind string, doc json.RawMessage) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now(of)
	if now == nil || now.ID != of.ID {
		return errors.New("not found")
	}
	c := *now
	c.Config = maps.Clone(c.Config)
	if c.Config == nil {
		c.Config = placement.BucketConfig{}
	}
	if c.Config[kind] = doc; doc == nil {
		delete(c.Config, kind)
	}
	b.change(func(all map[string]*placement.Bucket) { all[of.Name] = &c })
	return nil
}

func (b *buckets) ReviseBucket(_ context.Context, of *placement.Bucket, change func(*placement.Bucket) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now(of)
	if now == nil || now.ID != of.ID {
		return errors.New("not found")
	}
	c := *now
	if err := change(&c); err != nil {
		return err
	}
	c.Rules++
	b.change(func(all map[string]*placement.Bucket) { all[of.Name] = &c })
	return nil
}

func (b *buckets) SetDeleting(_ context.Context, of *placement.Bucket, deleting bool) (uint64, error) {
	if b.mark != nil && deleting {
		b.mark()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now(of)
	if now == nil || now.ID != of.ID {
		return 0, errors.New("not found")
	}
	c := *now
	if c.Deleting = deleting; deleting {
		c.Marks++
	}
	b.change(func(all map[string]*placement.Bucket) { all[of.Name] = &c })
	return c.Marks, nil
}

func (b *buckets) DeleteBucket(_ context.Context, of *placement.Bucket, mark uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(of); now == nil || now.ID != of.ID || !now.Deleting || now.Marks != mark {
		return errors.New("not marked")
	}
	b.change(func(all map[string]*placement.Bucket) { delete(all, of.Name) })
	return nil
}

const (
	rootKey    = "AKIDROOT"
	rootSecret = "rootsecretrootsecret"
)

var rootCredentials = sigv4.Credentials{AccessKey: rootKey, Secret: rootSecret}

// kit is a server with everything behind it in memory, and a client that signs.
type kit struct {
	t       testing.TB
	now     func() time.Time // the server's and the client's
	clock   *hlc.Clock       // the records' and the objects'
	server  *Server
	http    *httptest.Server
	records *records
	blobs   *blobs
	buckets *buckets
	objects *object.Store
}

func newKit(t testing.TB, change ...func(*Options, *object.Options)) *kit {
	t.Helper()
	return newKitAt(t, time.Now, change...)
}

// newKitAt is newKit by another clock.
func newKitAt(t testing.TB, now func() time.Time, change ...func(*Options, *object.Options)) *kit {
	t.Helper()
	k := &kit{t: t, now: now, clock: hlc.New(now), blobs: newBlobs(), buckets: newBuckets()}
	k.records = newRecords(t, k.clock)
	k.serve(change...)
	return k
}

// another is one more gateway to what k has.
func (k *kit) another(change ...func(*Options, *object.Options)) *kit {
	k.t.Helper()
	c := *k
	c.serve(change...)
	return &c
}

// serve starts k's server.
func (k *kit) serve(change ...func(*Options, *object.Options)) {
	k.t.Helper()
	objects := object.Options{Records: k.records, Blobs: k.blobs, Clock: k.clock, PartBytesMin: 1 << 10, SealWait: 100 * time.Millisecond}
	opt := Options{Records: k.records, Buckets: k.buckets, Version: "test", Now: k.now}
	objects.Rules = func(_ context.Context, id ids.Bucket) (int64, error) {
		b := k.buckets.Map().BucketByID(id)
		return b.Rules, k.records.setRules(b)
	}
	for _, fn := range change {
		fn(&opt, &objects)
	}
	k.objects = object.New(objects)
	opt.Objects = k.objects
	server, err := New(opt)
	if err != nil {
		k.t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(nil)
	front.Config = server.HTTPServer()
	front.Start()
	k.t.Cleanup(func() {
		front.Close()
		server.Close()
	})
	k.server, k.http = server, front
}

// call is one request of a test.
type call struct {
	method, path string // path with its query, escaped
	header       map[string]string
	body         []byte
	host         string
	anonymous    bool
	presign      bool // the signature is in the query
	credentials  *sigv4.Credentials
	payload      string // x-amz-content-sha256; "": UNSIGNED-PAYLOAD
	length       int64  // Content-Length if not that of body; -1: chunked
	change       func(*http.Request)
}

type answerTo struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// code is the error's code in the body, or the status.
func (a *answerTo) code() string {
	var e struct{ Code string }
	if a.status >= 300 && xml.Unmarshal(a.body, &e) == nil && e.Code != "" {
		return e.Code
	}
	return fmt.Sprint(a.status)
}

func (k *kit) request(c call) *http.Request {
	k.t.Helper()
	r, err := http.NewRequest(c.method, k.http.URL+c.path, bytes.NewReader(c.body))
	if err != nil {
		k.t.Fatal(err)
	}
	if c.host != "" {
		r.Host = c.host
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	if c.length != 0 {
		r.ContentLength = c.length
	}
	switch {
	case c.presign:
		sigv4.Presign(r, rootCredentials, "us-east-1", time.Minute, k.now())
	case !c.anonymous:
		credentials := rootCredentials
		if c.credentials != nil {
			credentials = *c.credentials
		}
		payload := c.payload
		if payload == "" {
			payload = sigv4.UnsignedPayload
		}
		sigv4.Sign(r, credentials, payload, "us-east-1", k.now())
	}
	if c.change != nil {
		c.change(r)
	}
	return r
}

func (k *kit) do(c call) *answerTo {
	k.t.Helper()
	return k.send(k.request(c))
}

func (k *kit) send(r *http.Request) *answerTo {
	k.t.Helper()
	res, err := k.http.Client().Do(r)
	if err != nil {
		return &answerTo{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return &answerTo{status: res.StatusCode, header: res.Header, body: body, err: err}
}

// want fails the test if the answer has not that code (an error's, or a status).
func (k *kit) want(code string, c call) *answerTo {
	k.t.Helper()
	a := k.do(c)
	if a.err != nil || a.code() != code {
		k.t.Fatalf("%s %s: got %s, want %s (%v) %s", c.method, c.path, a.code(), code, a.err, a.body)
	}
	return a
}

func (k *kit) makeBucket(name string) {
	k.t.Helper()
	k.want("200", call{method: "PUT", path: "/" + name})
}

func (k *kit) put(path string, body string, header ...string) *answerTo {
	k.t.Helper()
	header = append([]string{"Content-MD5", md5Of(body)}, header...) // without one, nothing is locked
	return k.want("200", call{method: "PUT", path: path, body: []byte(body), header: pairs(header)})
}

// md5Of is a body's Content-MD5.
func md5Of(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func pairs(kv []string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

// text is n bytes that differ from place to place.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%07d\n", i)
	}
	return b.String()[:n]
}
