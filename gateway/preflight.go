package gateway

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/gateway/cors"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
)

// allowOrigin sets the headers by which a browser lets a page of another origin read the answer, errors too. A bucket that the map does not
// have yet is not waited for.
func (r *request) allowOrigin() {
	if r.http.Header["Origin"] == nil {
		return
	}
	c := r.rulesForOrigins()
	if c == nil {
		return
	}
	if q, ok := cors.Read(r.http.Method, r.http.Header); ok {
		c.Match(q).Each(r.header.set)
	}
}

// exposeChecksum lets a page that sees a part's ETag see the checksum that it sent with it as answered: it is the page that completes the
// upload, and the JavaScript SDK asks for checksums of parts, which Complete needs, unless told otherwise. AWS hides what the rules do not
// name, and refuses the Complete of pages whose rules were written before SDKs did so.
func (r *request) exposeChecksum(algorithm object.Algorithm) {
	name := strings.ToLower(object.ChecksumHeader(algorithm))
	const exposeHeaders = "Access-Control-Expose-Headers"
	exposed := r.header.h.Get(exposeHeaders)
	has := func(name string) bool {
		return slices.ContainsFunc(strings.Split(exposed, ", "), func(s string) bool { return strings.EqualFold(s, name) })
	}
	if has("ETag") && !has(name) {
		r.header.set(exposeHeaders, exposed+", "+name)
	}
}

// rulesForOrigins are the bucket's; nil: it has none, or is not there.
func (r *request) rulesForOrigins() *cors.Config {
	b := r.s.opt.Buckets.Map().Buckets[r.name]
	if b == nil {
		return nil
	}
	docs, err := r.s.documents.get(b)
	if err != nil {
		return nil // a document is not understood: the bucket is closed
	}
	return docs.cors
}

// preflight serves what a browser asks before a page's request: OPTIONS (S3 API reference, RESTOPTIONSobject). It carries no signature of its
// own, and may carry that of the request to come.
func (r *request) preflight() error {
	if r.name != "" && r.s.opt.Buckets.Map().Buckets[r.name] == nil {
		return r.refusePreflight(cors.ErrNoBucket)
	}
	grant, err := r.rulesForOrigins().Preflight(r.http.Header)
	if err != nil {
		return r.refusePreflight(err)
	}
	grant.Each(r.header.set)
	return r.sendEmpty(http.StatusOK)
}

func (r *request) refusePreflight(err error) error {
	fault, ok := errors.AsType[*cors.Error](err)
	if !ok {
		return err
	}
	if fault.Code == "BadRequest" {
		return newError(400, fault.Code, fault.Message)
	}
	method, resource := r.http.Header.Get("Access-Control-Request-Method"), r.scope().resource()
	if fault == cors.ErrNotEnabled || fault == cors.ErrNoBucket {
		method, resource = http.MethodOptions, ofBucket.resource()
	}
	return newError(403, fault.Code, fault.Message).with(s3xml.Extra{Name: "Method", Value: method}, s3xml.Extra{Name: "ResourceType", Value: resource})
}
