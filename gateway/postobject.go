package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sherd-io/sherd/gateway/form"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta/metapb"
)

// formFileHeld is up to which size a form's file is held in memory whole, so that its length is known before it is stored.
const formFileHeld = 1 << 20

// postObject serves PostObject (S3 API reference, RESTObjectPOST): an upload that a browser sends as a form. Its fields say who it is of
// and what the object is to have, as the headers of a PutObject do.
func (r *request) postObject() error {
	switch {
	case !r.auth.Anonymous:
		return errAccessDenied.say("A form is signed by its own fields, not by the request's header or query.")
	case r.http.ContentLength < 0:
		return errMissingContentLength
	}
	f, err := form.Read(r.in1("Content-Type"), &liveBody{r: r, moved: r.began})
	if err != nil {
		return err
	}
	allowed, err := r.acceptForm(f)
	if err != nil {
		return err
	}
	p, err := r.newObject()
	if err != nil {
		return err
	}
	if err := r.takeFile(&p, f, allowed); err != nil {
		return err
	}
	v, err := r.makeVersion(p)
	if err != nil {
		return err
	}
	return r.sendPosted(f, v)
}

// acceptForm finds out whose the form is and whether he, and the policy that he signed, allow it. allowed is how long the file may be.
func (r *request) acceptForm(f *form.Form) (allowed form.Range, err error) {
	if r.auth, err = r.s.verifier.VerifyPost(f.Fields); err != nil {
		return allowed, err
	}
	if err := r.identify(); err != nil {
		return allowed, err
	}
	allowed = form.AnyLength()
	if !r.auth.Anonymous {
		policy, err := form.ParsePolicy(f.Fields["policy"])
		if err != nil {
			return allowed, err
		}
		if allowed, err = policy.Check(r.s.opt.Now(), r.name, f.Fields); err != nil {
			return allowed, err
		}
	}
	if err := r.adoptFields(f); err != nil {
		return allowed, err
	}
	if err := r.ownedBy(r.in1("X-Amz-Expected-Bucket-Owner"), r.bucket); err != nil {
		return allowed, err
	}
	return allowed, r.authorize(r.op.action, r.subject())
}

// adoptFields takes the form's fields for the request's key and headers.
func (r *request) adoptFields(f *form.Form) error {
	r.key = f.Fields["key"]
	if r.key == "" {
		return errKeyMissing
	}
	if err := checkKey(r.key); err != nil {
		return err
	}
	h := r.http.Header
	dropObjectHeaders(h)
	for name, values := range f.Header() {
		if !headerLike(name, values[0]) {
			return badArgument(strings.ToLower(name), values[0], "The field cannot be a header of the object.")
		}
		h[name] = values
	}
	delete(h, "X-Amz-Trailer") // a form has none
	if f.Fields["tagging"] == "" {
		return nil
	}
	set, err := readXML([]byte(f.Fields["tagging"]), func(doc io.Reader) ([]s3xml.Tag, error) { return s3xml.ReadTagging(doc, s3xml.ObjectTagsMax) })
	if err != nil {
		return err
	}
	h["X-Amz-Tagging"] = []string{tagValues(set).Encode()}
	return nil
}

// dropObjectHeaders removes what a request's own headers say of an object: a browser has set them for the form, and no policy has allowed them.
func dropObjectHeaders(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-") {
			delete(h, name)
		}
	}
	for i := range kept {
		delete(h, kept[i].header)
	}
	delete(h, "Content-Md5")
}

// headerLike reports whether a field could have come as a header: as such it goes out again with the object. Source: RFC 9110, 5.1 and 5.5.
func headerLike(name, value string) bool {
	return !strings.ContainsFunc(name, notOfToken) && utf8.ValidString(value) && !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

func notOfToken(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
}

// takeFile makes the form's file the body of p. No form says how long its file is: that is what the request's length leaves for it, if it is the
// last field and the form ends as browsers end it. A small file is read ahead. Of a large one that is taken for its length, and where something
// follows it, as a browser's submit button may and S3 allows, object.Put gets to know at its end.
func (r *request) takeFile(p *object.Put, f *form.Form, allowed form.Range) error {
	size := f.FileBytes(r.http.ContentLength)
	if size > object.BodyBytesMax {
		return errEntityTooLarge.with(extra("ProposedSize", size), extra("MaxSizeAllowed", int64(object.BodyBytesMax)))
	}
	file := f.File(allowed)
	if size > formFileHeld {
		g := &guessed{file: file, left: size}
		p.Body, p.Size, p.Real = g, size, g.real
		return r.admitBody(size)
	}
	if err := r.admitBody(2 * size); err != nil { // it is held besides its stripes
		return err
	}
	var held bytes.Buffer
	held.Grow(int(max(size, 0)) + bytes.MinRead)
	if _, err := held.ReadFrom(file); err != nil {
		return err
	}
	p.Body, p.Size = &held, int64(held.Len())
	return nil
}

// guessed reads a file that may be shorter than was guessed, by what follows it in its form, or longer, by the line end that the form does
// not end with. It gives zeros in the place of what is missing.
type guessed struct {
	file  io.Reader
	left  int64 // of the bytes to be given
	size  int64 // of the file, so far
	ended bool  // the file
	more  []byte
}

func (g *guessed) real() (size int64, more []byte) { return g.size, g.more }

func (g *guessed) Read(p []byte) (n int, err error) {
	if g.left == 0 {
		return 0, g.rest()
	}
	p = p[:min(int64(len(p)), g.left)]
	if !g.ended {
		n, err = g.file.Read(p)
		g.size += int64(n)
		g.ended = errors.Is(err, io.EOF)
	}
	if g.ended {
		clear(p[n:])
		n, err = len(p), nil
	}
	g.left -= int64(n)
	return n, err
}

// rest reads on to the end of the file, which is near.
func (g *guessed) rest() error {
	if g.ended {
		return io.EOF
	}
	more, err := io.ReadAll(io.LimitReader(g.file, int64(len("\r\n"))+1))
	if err != nil {
		return err
	}
	if len(more) > len("\r\n") {
		return errIncompleteBody // there is more than the request's length had room for
	}
	g.more, g.size, g.ended = more, g.size+int64(len(more)), true
	return io.EOF
}

// sendPosted answers an upload as the form wants it.
func (r *request) sendPosted(f *form.Form, v *metapb.Version) error {
	tag := quoted(v)
	if target, ok := f.Redirect(r.name, r.key, tag); ok {
		r.header.set("Location", target)
		return r.sendEmpty(http.StatusSeeOther)
	}
	location := strings.TrimSuffix(r.location(), "/") + (&url.URL{Path: "/" + r.key}).EscapedPath()
	r.header.set("Location", location)
	if f.Status() != http.StatusCreated {
		return r.sendEmpty(f.Status())
	}
	doc := s3xml.Posted{Location: location, Bucket: r.name, Key: r.key, ETag: xmlETag(v.Md5, v.Parts)}
	return r.sendXML(http.StatusCreated, doc.Append(nil))
}
