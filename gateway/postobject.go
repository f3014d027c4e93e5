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

// formFileHeld is up to which size a form's file is held in memory whole, so that its length is known whatever follows it.
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
	if p.Body, p.Size, err = r.formFile(f, allowed); err != nil {
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
	h["X-Amz-Tagging"] = []string{encodeTags(set)}
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

// headerLike reports whether a field could have come as a header: as such it goes out again with the object. name is canonical if it can be.
func headerLike(name, value string) bool {
	return name[0] < 'a' && utf8.ValidString(value) && !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

func encodeTags(set []s3xml.Tag) string {
	v := url.Values{}
	for _, t := range set {
		v.Set(t.Key, t.Value)
	}
	return v.Encode()
}

// formFile is the form's file with its length, which no form says. It is what the body's length leaves for the file if that is the last field
// and the form ends as browsers end it. A small file is read ahead, and may be followed by what it likes; a large one's length has to be known
// before its first byte is stored, so that anything else at its end refuses the upload.
func (r *request) formFile(f *form.Form, allowed form.Range) (io.Reader, int64, error) {
	size := f.FileBytes(r.http.ContentLength)
	if size > object.BodyBytesMax {
		return nil, 0, errEntityTooLarge.with(extra("ProposedSize", size), extra("MaxSizeAllowed", int64(object.BodyBytesMax)))
	}
	file := f.File(allowed)
	if size > formFileHeld {
		return &lastField{file: file, left: size}, size, r.admitBody(size)
	}
	if err := r.admitBody(2 * size); err != nil { // it is held besides its stripes
		return nil, 0, err
	}
	var held bytes.Buffer
	held.Grow(int(max(size, 0)) + bytes.MinRead)
	if _, err := held.ReadFrom(file); err != nil {
		return nil, 0, err
	}
	return &held, int64(held.Len()), nil
}

// lastField reads a file that has to have the length that was left for it.
type lastField struct {
	file io.Reader
	left int64
}

func (l *lastField) Read(p []byte) (int, error) {
	n, err := l.file.Read(p)
	l.left -= int64(n)
	if l.left < 0 || l.left > 0 && errors.Is(err, io.EOF) {
		return 0, errFileNotLast
	}
	return n, err
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
