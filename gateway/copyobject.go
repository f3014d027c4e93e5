package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

const taggingDirective = "X-Amz-Tagging-Directive"

// source is what x-amz-copy-source names.
type source struct {
	on         subject
	conditions readConditions
	ref        meta.VersionRef // that on names
	asks       bool            // whether the caller may read it depends on the object
}

// parseSource splits x-amz-copy-source: /bucket/key or bucket/key, URL-encoded, perhaps with ?versionId=…
func parseSource(raw string) (on subject, err error) {
	path, query, _ := strings.Cut(strings.TrimPrefix(raw, "/"), "?")
	path, err = url.PathUnescape(path)
	name, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || name == "" || key == "" || !utf8.ValidString(key) {
		return on, badArgument("x-amz-copy-source", raw, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if len(key) > keyBytesMax {
		return on, errKeyTooLong
	}
	version, ok := strings.CutPrefix(query, "versionId=")
	if ok && version == "" {
		return on, badArgument("x-amz-copy-source", raw, "Version id cannot be the empty string")
	}
	return subject{name: name, key: key, version: version, copied: true}, nil
}

// source reads x-amz-copy-source, finds the bucket, and checks that the caller may read what it names.
func (r *request) source() (*source, error) {
	on, err := parseSource(r.in1(copySource))
	if err != nil {
		return nil, err
	}
	s := &source{on: on, conditions: r.readConditions("X-Amz-Copy-Source-")}
	if on.version != "" {
		if s.ref, err = s.on.ref(); err != nil {
			return nil, err
		}
	}
	if s.on.bucket, err = r.s.bucket(r.ctx, on.name); err != nil {
		return nil, err
	}
	if err := r.ownedBy(r.in1("X-Amz-Source-Expected-Bucket-Owner"), s.on.bucket); err != nil {
		return nil, err
	}
	if s.asks = r.dependsOnObject(&s.on); !s.asks {
		return s, r.authorize(s.action(), &s.on)
	}
	return s, nil
}

// action is the permission that reading the source needs.
func (s *source) action() string {
	if s.on.version != "" {
		return "s3:GetObjectVersion"
	}
	return "s3:GetObject"
}

// permitSource checks that the caller may read v, where that depends on it.
func (r *request) permitSource(s *source, v *metapb.Version) error {
	if !s.asks {
		return nil
	}
	s.on.object = v
	return r.authorize(s.action(), &s.on)
}

// check holds a source to the x-amz-copy-source-if-… conditions. Where a read would be answered with 304, a copy fails.
func (s *source) check(v *metapb.Version) error {
	err := s.conditions.check(v)
	if errors.Is(err, errNotModified) {
		return errPreconditionFailed
	}
	return err
}

// permitTags checks that the caller may copy the tags of v, if the copy is to have them: that is to read and to put them, and makes the copy
// an object with these tags. Source: "Troubleshoot Amazon S3 copying" (AWS re:Post); "Actions, resources, and condition keys for Amazon S3".
func (r *request) permitTags(c *copying, v *metapb.Version) error {
	if c.replaceTags || v.Details.GetTags() == "" {
		return nil
	}
	set, err := url.ParseQuery(v.Details.GetTags())
	if err != nil {
		return err
	}
	read := c.from.on // by now with the object, if that matters
	read.object = v
	action := "s3:GetObjectTagging"
	if read.version != "" {
		action = "s3:GetObjectVersionTagging"
	}
	if err := r.authorize(action, &read); err != nil {
		return err
	}
	r.givenTags = set
	for _, action := range [...]string{"s3:PutObjectTagging", "s3:PutObject"} {
		if err := r.authorize(action, r.subject()); err != nil {
			return err
		}
	}
	return nil
}

// open opens what is to be copied. pick says which bytes.
func (r *request) openSource(s *source, pick func(*metapb.Version) (object.Span, error)) (*object.Reading, error) {
	o, err := r.s.opt.Objects.Open(r.ctx, s.on.bucket.ID, s.on.key, s.ref, func(v *metapb.Version) (object.Span, error) {
		if err := r.permitSource(s, v); err != nil {
			return object.Span{}, err
		}
		if err := s.check(v); err != nil {
			return object.Span{}, err
		}
		at, err := pick(v)
		if err == nil && at.N > object.BodyBytesMax {
			err = errInvalidRequest.say("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(object.BodyBytesMax))
		}
		return at, err
	})
	if err != nil {
		return nil, r.notCopied(err, s)
	}
	if err := r.admitBody(o.Span.N); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// notCopied is the answer to a copy whose source could not be opened: err with the source's key and version. Source: CopyObject, "If the source
// object version is a delete marker".
func (r *request) notCopied(err error, s *source) error {
	err = r.hidden(err, &s.on)
	if _, marker := errors.AsType[*object.MarkerError](err); marker && s.on.version != "" {
		return errInvalidRequest.say("The source of a copy request may not specifically refer to a delete marker by version id.")
	}
	key := s3xml.Extra{Name: "Key", Value: s.on.key}
	switch api := toAPI(err); api.code {
	case errNoSuchKey.code:
		return api.with(key)
	case errNoSuchVersion.code:
		return api.with(key, s3xml.Extra{Name: "VersionId", Value: s.on.version})
	}
	return err
}

// showSource tells which version of the source was copied, in buckets that have such.
func (r *request) showSource(s *source, v *metapb.Version) {
	if id := versionHeader(s.on.bucket, v); id != "" {
		r.header.set("x-amz-copy-source-version-id", id)
	}
}

// directive reads COPY or REPLACE; COPY is the default.
func (r *request) directive(header, what string) (replace bool, err error) {
	switch v := r.in1(header); v {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, badArgument(strings.ToLower(header), v, "Unknown "+what+" directive.")
	}
}

// copying is a CopyObject's parameters.
type copying struct {
	from                     *source
	replaceMeta, replaceTags bool
	self                     bool // onto itself
	given                    *metapb.Details
	want                     object.Want // only the algorithm
	condition                *metapb.Condition
}

func (r *request) newCopying() (c *copying, err error) {
	c = new(copying)
	if c.replaceMeta, err = r.directive("X-Amz-Metadata-Directive", "metadata"); err != nil {
		return nil, err
	}
	if c.replaceTags, err = r.directive(taggingDirective, "tagging"); err != nil {
		return nil, err
	}
	if c.given, err = r.details(); err != nil {
		return nil, err
	}
	if c.condition, err = r.writeCondition(); err != nil {
		return nil, err
	}
	if name := r.in1("X-Amz-Checksum-Algorithm"); name != "" {
		if c.want.Algorithm = object.AlgorithmNamed(name); c.want.Algorithm == noAlgorithm {
			return nil, errChecksumAlgorithm
		}
	}
	if c.from, err = r.source(); err != nil {
		return nil, err
	}
	c.self = c.from.on.bucket.ID == r.bucket.ID && c.from.on.key == r.key
	if c.self && c.from.on.version == "" && !c.replaceMeta && !c.replaceTags && r.in1("X-Amz-Storage-Class") == "" && r.in1(redirectHeader) == "" && c.want.Algorithm == noAlgorithm {
		return nil, errInvalidRequest.say("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	return c, nil
}

// details are the copy's: its own where they replace, the source's else.
func (c *copying) details(v *metapb.Version) *metapb.Details {
	d := &metapb.Details{Owner: c.given.Owner, Acl: c.given.Acl, StorageClass: c.given.StorageClass, Lock: c.given.Lock}
	d.Headers, d.Tags = c.given.Headers, v.Details.GetTags()
	if !c.replaceMeta {
		d.Headers = withoutRedirect(v.Details.GetHeaders())
		if i := slices.IndexFunc(c.given.Headers, isRedirect); i >= 0 {
			d.Headers = append(slices.Clip(d.Headers), c.given.Headers[i])
		}
	}
	if c.replaceTags {
		d.Tags = c.given.Tags
	}
	return d
}

// copyObject serves CopyObject (S3 API reference). The bytes are stored anew, for a blob has one home (I14); but
// of an object that is copied onto itself in a bucket without versions only the record changes, unless its storage class means another pool now.
func (r *request) copyObject() error {
	c, err := r.newCopying()
	if err != nil {
		return err
	}
	if c.self && r.bucket.Versioning == "" {
		v, err := r.s.opt.Objects.Stat(r.ctx, r.bucket.ID, r.key, c.from.ref)
		if err != nil {
			return r.notCopied(err, c.from)
		}
		if r.samePool(c.given.StorageClass, v.Details.GetStorageClass()) && (c.want.Algorithm == noAlgorithm || c.want.Algorithm == v.Details.GetChecksum().GetAlgorithm()) {
			if err := r.revise(c, v); !errors.Is(err, meta.ErrBadCommand) { // it has versions, and this gateway does not know it yet
				return err
			}
		}
	}
	o, err := r.openSource(c.from, func(v *metapb.Version) (object.Span, error) {
		return object.Span{N: int64(v.Size)}, r.permitTags(c, v)
	})
	if err != nil {
		return err
	}
	defer o.Close()
	body := o.Reader(r.ctx)
	defer body.Close()
	if c.want.Algorithm == noAlgorithm {
		c.want.Algorithm = o.Version.Details.GetChecksum().GetAlgorithm()
	}
	v, err := r.s.opt.Objects.Put(r.ctx, object.Put{
		Bucket: r.bucket.ID, Rules: r.bucket.Rules, Pool: r.bucket.Pool, Key: r.key, Size: o.Span.N, Body: body,
		Details: c.details(o.Version), Want: c.want, Condition: c.condition,
	})
	if err != nil {
		return r.withKey(err)
	}
	r.showSource(c.from, o.Version)
	return r.sendCopied(v)
}

// samePool reports whether bodies of two storage classes go to one pool.
func (r *request) samePool(a, b string) bool {
	m := r.s.opt.Buckets.Map()
	x, _ := m.ClassPool(a)
	y, _ := m.ClassPool(b)
	return x == y // 0: the bucket's
}

// revise is copyObject of an object onto itself.
func (r *request) revise(c *copying, v *metapb.Version) error {
	const tries = 5 // somebody else may write in between
	for try := 1; ; try++ {
		if err := r.permitSource(c.from, v); err != nil {
			return err
		}
		if err := c.from.check(v); err != nil {
			return err
		}
		if err := r.permitTags(c, v); err != nil {
			return err
		}
		made, err := r.s.opt.Objects.Revise(r.ctx, r.bucket.ID, r.bucket.Rules, r.key, v, c.details(v), c.condition)
		if err == nil {
			made.Details.Checksum = v.Details.GetChecksum()
			return r.sendCopied(made)
		}
		if !errors.Is(err, meta.ErrPrecondition) || c.condition != nil || try == tries {
			return r.withKey(err)
		}
		if v, err = r.s.opt.Objects.Stat(r.ctx, r.bucket.ID, r.key, meta.VersionRef{}); err != nil {
			return r.withKey(err)
		}
	}
}

func (r *request) sendCopied(v *metapb.Version) error {
	r.showVersion(v)
	doc := s3xml.Copied{Modified: hlc.Stamp(v.Ts).Time(), ETag: xmlETag(v.Md5, v.Parts), Checksums: checksumXML(v.Details.GetChecksum(), v.Parts, true)}
	return r.sendXML(http.StatusOK, doc.AppendObject(nil))
}

func xmlETag(md5 []byte, parts uint32) (e s3xml.ETag) {
	copy(e.MD5[:], md5)
	e.Parts = parts
	return e
}

// uploadPartCopy serves UploadPartCopy (S3 API reference).
func (r *request) uploadPartCopy() error {
	part, id, err := r.partTarget()
	if err != nil {
		return err
	}
	from, err := r.source()
	if err != nil {
		return err
	}
	o, err := r.openSource(from, func(v *metapb.Version) (object.Span, error) {
		return copyRange(r.in1("X-Amz-Copy-Source-Range"), int64(v.Size))
	})
	if err != nil {
		return err
	}
	defer o.Close()
	r.showSource(from, o.Version)
	return r.storeCopiedPart(o, id, part)
}

func (r *request) storeCopiedPart(o *object.Reading, id ids.Upload, part int) error {
	body := o.Reader(r.ctx)
	defer body.Close()
	e, err := r.s.opt.Objects.CopyPart(r.ctx, id, uint32(part), object.Put{
		Bucket: r.bucket.ID, Rules: r.bucket.Rules, Pool: r.bucket.Pool, Key: r.key, Size: o.Span.N, Body: body,
	})
	if err != nil {
		return r.withUpload(err, r.query.get("uploadId"))
	}
	doc := s3xml.Copied{Modified: hlc.Stamp(e.Modified).Time(), ETag: xmlETag(e.Md5, 0), Checksums: checksumXML(e.Checksum, 0, false)}
	return r.sendXML(http.StatusOK, doc.AppendPart(nil))
}

// copyRange reads x-amz-copy-source-range, which must be bytes=first-last and lie in the source.
func copyRange(header string, size int64) (object.Span, error) {
	if header == "" {
		return object.Span{N: size}, nil
	}
	spec, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	first, ok1 := position(from)
	last, ok2 := position(to)
	if !ok || !dash || !ok1 || !ok2 || last < first {
		return object.Span{}, badArgument("x-amz-copy-source-range", header, "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	if last >= size {
		return object.Span{}, badArgument("x-amz-copy-source-range", header, "Range specified is not valid for source object of size: "+itoa(size))
	}
	return object.Span{Off: first, N: last - first + 1}, nil
}
