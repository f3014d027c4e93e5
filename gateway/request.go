package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
)

// request is one S3 request under way. Handlers answer through it, or return an error before anything was sent.
type request struct {
	s      *Server
	w      http.ResponseWriter // net/http's own
	http   *http.Request
	ctx    context.Context
	began  time.Time
	id     string
	op     *op
	auth   sigv4.Auth
	caller *caller
	query  params
	host   string            // as the client knew it
	name   string            // of the bucket
	bucket *placement.Bucket // nil where there need be none
	key    string

	on      subject // see (*request).subject
	reading reading // of a GetObject or HeadObject

	givenTags url.Values // that the body, or the source of a copy, gives; nil: a header may
	givenLock *givenLock // that the body gives; nil: headers may

	givenRegion string // that the body of CreateBucket gives; "": none

	header responseHeader
	status int   // 0: nothing sent yet
	out    int64 // bytes of body sent
	in     int64 // bytes of body read
	read   bool  // the body, to its end
	weight int64 // held of the admission
	write  deadline
}

// responseHeader sets headers of a response, one value each, with one allocation for all.
type responseHeader struct {
	h      http.Header
	values []string
}

// headersTypical is what an answer to GetObject has, with a checksum, a version and some of the client's own. More are no fault: they
// are put elsewhere.
const headersTypical = 12

func (r *responseHeader) begin(h http.Header) {
	r.h, r.values = h, make([]string, 0, headersTypical) // not pooled: net/http reads it after the handler
}

// set sets name, spelled as it is to be sent.
func (r *responseHeader) set(name, value string) {
	r.values = append(r.values, value)
	n := len(r.values)
	r.h[name] = r.values[n-1 : n : n]
}

// serveS3 serves one S3 request, whatever comes of it.
func (s *Server) serveS3(w http.ResponseWriter, hr *http.Request) {
	r, _ := s.requests.Get().(*request)
	if r == nil {
		r = new(request)
	}
	*r = request{s: s, w: w, http: hr, ctx: hr.Context(), began: time.Now(), query: r.query[:0]}
	r.write.moved = r.began
	defer s.finish(r)
	r.id = s.ids.next()
	r.header.begin(w.Header())
	r.header.set("x-amz-request-id", r.id)
	r.header.set("x-amz-id-2", s.ids.node)
	r.header.set("Server", s.server)
	r.limitBody()
	if err := r.serve(); err != nil {
		r.fail(err)
	}
}

// finish ends what serveS3 began, also after a panic, which it answers if nothing was sent yet.
func (s *Server) finish(r *request) {
	p := recover()
	if p != nil && p != http.ErrAbortHandler {
		s.metrics.panics.Inc()
		s.opt.Logger.Error("panic", "request", r.id, "op", r.opName(), "panic", p, "stack", string(debug.Stack()))
		if r.status == 0 {
			r.fail(errInternal)
			p = nil
		} else {
			p = http.ErrAbortHandler
		}
	}
	s.admit.release(r.weight)
	s.metrics.done(r)
	query := r.query
	*r = request{query: query[:0]}
	clear(query[:cap(query)])
	s.requests.Put(r)
	if p != nil {
		panic(p)
	}
}

func (r *request) opName() string {
	if r.op == nil {
		return "Unknown"
	}
	return r.op.name
}

// serve goes through the steps of DESIGN §8 in order.
func (r *request) serve() error {
	if err := r.target(); err != nil {
		return err
	}
	var err error
	if r.query, err = parseQuery(r.query, r.http.URL.RawQuery); err != nil {
		return err
	}
	if r.op = r.s.ops.find(r); r.op == nil {
		return errMethodNotAllowed.with(s3xml.Extra{Name: "Method", Value: r.http.Method}, s3xml.Extra{Name: "ResourceType", Value: r.scope().resource()})
	}
	r.s.metrics.begin(r.op)
	if r.op.method == http.MethodOptions {
		return r.preflight()
	}
	r.allowOrigin()
	if r.weight, err = r.s.admit.acquire(r.ctx, smallBytes); err != nil {
		return err
	}
	if r.op.scope == service && r.op.asks {
		return r.op.handle(r) // which knows callers in its own way
	}
	if err := r.authenticate(); err != nil {
		return err
	}
	if err := r.resolve(); err != nil {
		return err
	}
	err = r.perform()
	switch {
	case errors.Is(err, meta.ErrSealed): // it is being deleted, or was
		return r.goneOr(errOperationAborted)
	case errors.Is(err, meta.ErrNoSuchBucket): // or the source of a copy
		return r.goneOr(err)
	}
	return err
}

// perform does what is asked for, if the caller may.
func (r *request) perform() error {
	if err := r.permit(); err != nil {
		return err
	}
	if r.op.handle == nil {
		return errNotImplemented.say("%s is not implemented.", r.op.name)
	}
	return r.op.handle(r)
}

// target finds the bucket and the key in the path, or in the host.
func (r *request) target() error {
	r.host = r.s.clientHost(r.http)
	path := strings.TrimPrefix(r.http.URL.Path, "/")
	if bucket, ok := r.s.bucketOfHost(r.host); ok {
		r.name, r.key = bucket, path
	} else {
		r.name, r.key, _ = strings.Cut(path, "/")
		if r.name == "" && path != "" { // //bucket/key is no question for the list of buckets
			return errInvalidURI
		}
	}
	return checkKey(r.key)
}

const keyBytesMax = 1024

// checkKey refuses what cannot be a key.
func checkKey(key string) error {
	if !utf8.ValidString(key) {
		return errInvalidURI
	}
	if len(key) > keyBytesMax {
		return errKeyTooLong.with(s3xml.Extra{Name: "Size", Value: itoa(len(key))}, s3xml.Extra{Name: "MaxSizeAllowed", Value: itoa(keyBytesMax)})
	}
	return nil
}

func itoa[T int | int64 | uint64 | uint32](n T) string { return strconv.FormatInt(int64(n), 10) }

func extra(name string, n int64) s3xml.Extra { return s3xml.Extra{Name: name, Value: itoa(n)} }

func (r *request) scope() scope {
	switch {
	case r.name == "":
		return service
	case r.key == "":
		return ofBucket
	}
	return ofObject
}

// authenticate checks the signature and finds out whose it is. Nobody's is fine here: what he may do is another question.
func (r *request) authenticate() (err error) {
	if r.auth, err = r.s.verifier.VerifyHost(r.http, r.host); err != nil {
		return err
	}
	if err := r.identify(); err != nil {
		return err
	}
	if r.s.opt.ControlAge() > r.s.opt.Staleness {
		return errUnavailable.say("This node has had no contact with the control store for too long.")
	}
	return r.adoptHoisted()
}

// resolve finds the bucket. That there is none is only said after a linearizable read.
func (r *request) resolve() (err error) {
	if r.name == "" {
		return nil
	}
	if r.op.scope != service && r.op.name != "CreateBucket" {
		if r.bucket, err = r.s.bucket(r.ctx, r.name); err != nil {
			return err
		}
	}
	return r.ownedBy(r.in1("X-Amz-Expected-Bucket-Owner"), r.bucket)
}

// ownedBy checks an expected-bucket-owner header; "" expects nobody.
func (r *request) ownedBy(want string, b *placement.Bucket) error {
	if want != "" && b != nil && want != r.s.ownerID(b) {
		return errAccessDenied
	}
	return nil
}

func (s *Server) bucket(ctx context.Context, name string) (*placement.Bucket, error) {
	if b := s.opt.Buckets.Map().Buckets[name]; b != nil {
		return b, nil
	}
	if !validBucketName(name) {
		return nil, errInvalidBucketName.with(s3xml.Extra{Name: "BucketName", Value: name[:min(len(name), 256)]})
	}
	if err := s.opt.Buckets.Sync(ctx); err != nil {
		return nil, controlError(err)
	}
	if b := s.opt.Buckets.Map().Buckets[name]; b != nil {
		return b, nil
	}
	return nil, errNoSuchBucket.with(s3xml.Extra{Name: "BucketName", Value: name[:min(len(name), 256)]})
}

// in1 is a request header by its canonical name. Several lines are one value, joined as the signature has them:
// who cuts a signed header in two on its way changes nothing.
func (r *request) in1(name string) string {
	switch v := r.http.Header[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	default:
		return strings.Join(v, ",")
	}
}

// send sends the header. It moves the write deadline: whatever was done before may have taken long.
func (r *request) send(status int) {
	r.status = status
	r.write.extend(r.w, r.s.opt.IdleTimeout, 0)
	r.w.WriteHeader(status)
}

// sendEmpty answers without a body.
func (r *request) sendEmpty(status int) error {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		r.header.set("Content-Length", "0")
	}
	r.send(status)
	return nil
}

// sendXML answers with a document of S3's.
func (r *request) sendXML(status int, doc []byte) error {
	return r.sendDocument(status, "application/xml", doc)
}

// sendDocument answers with a document, which it does not keep. A HEAD gets its headers alone.
func (r *request) sendDocument(status int, contentType string, doc []byte) error {
	r.header.set("Content-Type", contentType)
	r.header.set("Content-Length", itoa(len(doc)))
	r.send(status)
	if r.http.Method != http.MethodHead {
		n, _ := r.w.Write(doc) // the connection's end is the client's matter
		r.out += int64(n)
	}
	return nil
}

// fail answers with an error, or ends the connection if an answer has begun.
func (r *request) fail(err error) {
	if r.status != 0 {
		r.s.metrics.aborted.Inc()
		r.s.opt.Logger.Warn("answer cut short", "request", r.id, "op", r.opName(), "bucket", r.name, "key", r.key, "err", err)
		panic(http.ErrAbortHandler)
	}
	r.linger()
	api := toAPI(err)
	if api.status >= 500 && api.status != http.StatusNotImplemented {
		r.s.metrics.failed(api.code)
	}
	if api.status >= 500 && api != errSlowDown && api.status != http.StatusNotImplemented { // overload is counted: logging it would add to it
		r.s.opt.Logger.Warn("request failed", "request", r.id, "op", r.opName(), "bucket", r.name, "key", r.key, "code", api.code, "client", r.s.clientAddr(r.http), "err", err)
	}
	for _, name := range [...]string{"Content-Length", "ETag", "Content-Encoding", "Content-Disposition", "Cache-Control", "Accept-Ranges", "Content-Range", "Expires", "Content-Language"} {
		delete(r.header.h, name)
	}
	if api.retry {
		r.header.set("Retry-After", "1")
	}
	if api.status == http.StatusNotModified {
		r.send(api.status)
		return
	}
	if r.http.Method == http.MethodHead {
		r.send(api.status)
		return
	}
	doc := s3xml.Error{
		Code: api.code, Message: api.message, Extra: api.extra,
		Resource: r.http.URL.Path[:min(len(r.http.URL.Path), 2048)], RequestID: r.id, HostID: r.s.ids.node,
	}
	_ = r.sendXML(api.status, doc.Append(nil))
}

// idSource makes request ids: unique in the process, not guessable from outside it.
type idSource struct {
	node string // the x-amz-id-2
	base uint64
	n    atomic.Uint64
}

func (i *idSource) init() {
	var b [40]byte
	rand.Read(b[:]) // never fails
	i.base = binary.BigEndian.Uint64(b[:])
	i.node = hex.EncodeToString(b[8:])
}

func (i *idSource) next() string {
	const upper = "0123456789ABCDEF"
	v := (i.n.Add(1) + i.base) * 0x9e3779b97f4a7c15 // odd: a permutation
	var b [16]byte
	for j := range b {
		b[j] = upper[v>>60]
		v <<= 4
	}
	return string(b[:])
}
