package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// reading is what a GetObject or HeadObject asks for, and what came of it.
type reading struct {
	r          *request
	conditions readConditions
	rangeSpec  string
	ifRange    string
	part       int
	partial    bool
	on         *subject
	ref        meta.VersionRef // that on names
	asks       bool            // whether the caller may read depends on the object
	seen       *metapb.Version // that pick was asked about last; nil: none
}

// newReading reads the request's parameters. A request has one reading.
func (r *request) newReading() (*reading, error) {
	g := &r.reading
	*g = reading{r: r, conditions: r.readConditions(""), rangeSpec: r.in1("Range"), ifRange: r.in1("If-Range"), on: r.subject()}
	if g.asks = r.dependsOnObject(g.on); !g.asks {
		if err := r.authorize(r.op.actionOn(g.on), g.on); err != nil {
			return nil, err
		}
	}
	if len(r.query) == 0 {
		return g, nil
	}
	var err error
	if g.ref, err = r.version(); err != nil {
		return nil, err
	}
	if v, ok := r.query.look("partNumber"); ok {
		n, err := partNumber(v)
		if err != nil {
			return nil, err
		}
		if g.rangeSpec != "" {
			return nil, errInvalidRequest.say("Cannot specify both Range header and partNumber query parameter")
		}
		g.part = n
	}
	if r.auth.Kind == sigv4.KindNone {
		for _, o := range overrides {
			if r.query.has(o.param) {
				return nil, errInvalidRequest.say("Request specific response headers cannot be used for anonymous GET requests.")
			}
		}
	}
	return g, nil
}

func partNumber(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > object.PartsMax {
		return 0, badArgument("partNumber", v, "Part number must be an integer between 1 and 10000, inclusive")
	}
	return n, nil
}

// pick decides on a version which bytes to read.
func (g *reading) pick(v *metapb.Version) (object.Span, error) {
	g.seen = v
	size := int64(v.Size)
	whole := object.Span{N: size}
	if g.asks {
		g.on.object = v
		if err := g.r.authorize(g.r.op.actionOn(g.on), g.on); err != nil {
			return whole, err
		}
	}
	if err := g.conditions.check(v); err != nil {
		return whole, err
	}
	if g.part > 0 {
		g.partial = true
		return object.Span{Part: g.part}, nil
	}
	if g.rangeSpec == "" || g.ifRange != "" && !g.fresh(v) {
		return whole, nil
	}
	off, n, partial, err := span(g.rangeSpec, size)
	g.partial = partial
	return object.Span{Off: off, N: n}, err
}

// fresh reports whether If-Range holds. Source: RFC 9110, 13.1.5.
func (g *reading) fresh(v *metapb.Version) bool {
	if t, ok := httpTime(g.ifRange); ok {
		return modified(v).Equal(t)
	}
	return etagIn(g.ifRange, v)
}

// getObject serves GetObject (S3 API reference).
func (r *request) getObject() error {
	g, err := r.newReading()
	if err != nil {
		return err
	}
	o, err := r.s.opt.Objects.Open(r.ctx, r.bucket.ID, r.key, g.ref, g.pick)
	if err != nil {
		return r.notRead(g.seen, err)
	}
	defer o.Close()
	if err := r.admitBody(o.Span.N); err != nil {
		return err
	}
	status := g.describe(o.Version, o.Span)
	if o.Span.N == 0 {
		r.send(status)
		return nil
	}
	out := answer{r: r, status: status}
	if _, err = o.WriteTo(r.ctx, &out); out.gone {
		return nil // net/http ends the connection, since the body is short
	}
	return err
}

// headObject serves HeadObject (S3 API reference).
func (r *request) headObject() error {
	g, err := r.newReading()
	if err != nil {
		return err
	}
	if g.part > 0 {
		return r.headPart(g)
	}
	v, err := r.s.opt.Objects.Stat(r.ctx, r.bucket.ID, r.key, g.ref)
	if err != nil {
		return r.notRead(nil, err)
	}
	at, err := g.pick(v)
	if err != nil {
		return r.notRead(v, err)
	}
	r.send(g.describe(v, at))
	return nil
}

// headPart is headObject of one part, which needs the extents' rows.
func (r *request) headPart(g *reading) error {
	o, err := r.s.opt.Objects.Open(r.ctx, r.bucket.ID, r.key, g.ref, g.pick)
	if err != nil {
		return r.notRead(g.seen, err)
	}
	defer o.Close()
	r.send(g.describe(o.Version, o.Span))
	return nil
}

// notRead answers a read that did not come to its body.
func (r *request) notRead(v *metapb.Version, err error) error {
	if !errors.Is(err, errNotModified) {
		on := r.subject()
		return r.withKey(r.marked(r.hidden(err, on), on))
	}
	r.header.set("ETag", quoted(v))
	r.header.set("Last-Modified", lastModified(v))
	r.showVersion(v)
	return r.sendEmpty(http.StatusNotModified)
}

// withKey adds the key to NoSuchKey and NoSuchVersion, and to PreconditionFailed of a write the header that asked for it, as S3 does.
func (r *request) withKey(err error) error {
	key := s3xml.Extra{Name: "Key", Value: r.key}
	switch api := toAPI(err); {
	case api.code == errNoSuchKey.code:
		return api.with(key)
	case api.code == errNoSuchVersion.code:
		return api.with(key, s3xml.Extra{Name: "VersionId", Value: r.query.get("versionId")})
	case api.code == errPreconditionFailed.code && len(api.extra) == 0:
		for _, name := range [...]string{"If-Match", "If-None-Match", ifModifiedAt, ifSize} {
			if r.in1(name) != "" {
				return api.with(s3xml.Extra{Name: "Condition", Value: name})
			}
		}
	}
	return err
}

func quoted(v *metapb.Version) string {
	b := append(make([]byte, 0, 48), '"')
	return string(append(object.AppendETag(b, v.Md5, v.Parts), '"'))
}

// describe sets the headers of an object and returns the status.
func (g *reading) describe(v *metapb.Version, at object.Span) (status int) {
	r, h := g.r, &g.r.header
	status = http.StatusOK
	h.set("ETag", quoted(v))
	h.set("Last-Modified", lastModified(v))
	h.set("Accept-Ranges", "bytes")
	r.showVersion(v)
	h.set("Content-Length", itoa(at.N))
	if g.partial && (g.part == 0 || at.N > 0) {
		status = http.StatusPartialContent
		h.set("Content-Range", contentRange(at, v.Size))
	}
	if g.part > 0 && v.Parts > 0 {
		h.set("x-amz-mp-parts-count", itoa(v.Parts))
	}
	typed := false
	for _, kv := range v.Details.GetHeaders() {
		typed = typed || kv.Name == "content-type"
		h.set(headerName(kv.Name), kv.Value)
	}
	if !typed {
		h.set("Content-Type", defaultContentType)
	}
	if d := v.Details; d != nil {
		if d.StorageClass != "" {
			h.set("x-amz-storage-class", d.StorageClass)
		}
		if d.Tags != "" {
			h.set("x-amz-tagging-count", itoa(tagCount(d.Tags)))
		}
		r.showLock(d.Lock, g.on)
		if (g.part > 0 || at.N == int64(v.Size)) && strings.EqualFold(r.in1("X-Amz-Checksum-Mode"), "ENABLED") {
			r.showChecksum(d.Checksum, v.Parts*boolBit(g.part == 0), true)
		}
	}
	if len(r.query) > 0 {
		for _, o := range overrides {
			if value, ok := r.query.look(o.param); ok {
				h.set(o.header, value)
			}
		}
	}
	return status
}

func boolBit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func contentRange(at object.Span, size uint64) string {
	b := append(make([]byte, 0, 64), "bytes "...)
	b = strconv.AppendInt(b, at.Off, 10)
	b = strconv.AppendInt(append(b, '-'), at.Off+at.N-1, 10)
	return string(strconv.AppendUint(append(b, '/'), size, 10))
}

// headerName is a record's name of a header as answers spell it.
func headerName(record string) string {
	for i := range kept {
		if kept[i].record == record {
			return kept[i].header
		}
	}
	return record // x-amz-meta-… in lower case, as S3 sends it
}

// overrides are the parameters by which a signed GET sets headers of its answer.
var overrides = [...]struct{ param, header string }{
	{"response-cache-control", "Cache-Control"},
	{"response-content-disposition", "Content-Disposition"},
	{"response-content-encoding", "Content-Encoding"},
	{"response-content-language", "Content-Language"},
	{"response-content-type", "Content-Type"},
	{"response-expires", "Expires"},
}

// answer is the body of a GetObject on its way out. The header is sent with the first byte, so that a fault
// before it is still answered as one.
type answer struct {
	r      *request
	status int
	gone   bool // the client is, or takes nothing any more
}

func (a *answer) Write(p []byte) (int, error) {
	r := a.r
	if r.status == 0 {
		r.send(a.status)
	}
	r.write.extend(r.w, r.s.opt.IdleTimeout, len(p))
	n, err := r.w.Write(p)
	r.out += int64(n)
	a.gone = a.gone || err != nil
	return n, err
}
