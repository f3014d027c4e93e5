package gateway

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta/metapb"
)

// errTagHeader is AWS's answer to a set of tags that it cannot take apart.
var errTagHeader = badArgument("x-amz-tagging", "", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")

const (
	metaPrefix         = "X-Amz-Meta-"
	userBytesMax       = 2 << 10 // of names, without the prefix, and values
	redirectHeader     = "X-Amz-Website-Redirect-Location"
	redirectRecord     = "x-amz-website-redirect-location" // its name in records, and in answers
	redirectBytesMax   = 2 << 10
	defaultContentType = "binary/octet-stream"
)

// kept are the system headers that an object keeps, in canonical form, with the names that records hold.
var kept = [...]struct{ header, record string }{
	{"Cache-Control", "cache-control"},
	{"Content-Disposition", "content-disposition"},
	{"Content-Encoding", "content-encoding"},
	{"Content-Language", "content-language"},
	{"Content-Type", "content-type"},
	{"Expires", "expires"},
}

// details reads what an object keeps of the request's headers, and refuses what asks for more than there is.
func (r *request) details() (*metapb.Details, error) {
	if id, ok := r.query.look("versionId"); ok {
		return nil, badArgument("versionId", id, "This operation does not accept a version-id.")
	}
	if err := r.permitGiven(); err != nil {
		return nil, err
	}
	d := new(metapb.Details)
	for _, k := range kept {
		v := r.in1(k.header)
		if k.header == "Content-Encoding" {
			v = withoutChunked(v)
		}
		if v != "" {
			d.Headers = append(d.Headers, &metapb.Header{Name: k.record, Value: v})
		}
	}
	if err := r.redirect(d); err != nil {
		return nil, err
	}
	if err := r.userMetadata(d); err != nil {
		return nil, err
	}
	err := r.giveOwner(d)
	if err != nil {
		return nil, err
	}
	if d.StorageClass, err = r.storageClass(); err != nil {
		return nil, err
	}
	if d.Lock, err = r.lock(); err != nil {
		return nil, err
	}
	d.Tags, err = tags(r.in1("X-Amz-Tagging"))
	return d, err
}

// withoutChunked takes aws-chunked, which is about the request and not the object, out of a list of codings.
func withoutChunked(v string) string {
	if !strings.Contains(v, "aws-chunked") {
		return v
	}
	var rest []string
	for coding := range strings.SplitSeq(v, ",") {
		if coding = strings.TrimSpace(coding); coding != "aws-chunked" && coding != "" {
			rest = append(rest, coding)
		}
	}
	return strings.Join(rest, ",")
}

// redirect keeps where a website would send those who ask for the object. There are no websites here: it is kept and shown.
//
// Source: "Configuring a webpage redirect", S3 user guide.
func (r *request) redirect(d *metapb.Details) error {
	v := r.in1(redirectHeader)
	switch {
	case v == "":
		return nil
	case len(v) > redirectBytesMax:
		return errInvalidRedirect.say("The length of website redirect location cannot exceed 2,048 characters.")
	case !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "http://") && !strings.HasPrefix(v, "https://"):
		return errInvalidRedirect
	}
	d.Headers = append(d.Headers, &metapb.Header{Name: redirectRecord, Value: v})
	return nil
}

func isRedirect(h *metapb.Header) bool { return h.Name == redirectRecord }

// withoutRedirect is headers as a copy has them: where a website redirects to is not copied. Source: CopyObject, x-amz-website-redirect-location.
func withoutRedirect(headers []*metapb.Header) []*metapb.Header {
	if !slices.ContainsFunc(headers, isRedirect) {
		return headers
	}
	return slices.DeleteFunc(slices.Clone(headers), isRedirect) // they are a record's, which others read
}

// userMetadata collects x-amz-meta-…, and looks at every other x-amz- header on the way.
func (r *request) userMetadata(d *metapb.Details) error {
	size, first := 0, len(d.Headers)
	for name, values := range r.http.Header {
		if !strings.HasPrefix(name, "X-Amz-") || len(values) == 0 {
			continue
		}
		if user, ok := strings.CutPrefix(name, metaPrefix); ok {
			value := strings.Join(values, ",")
			size += len(user) + len(value)
			d.Headers = append(d.Headers, &metapb.Header{Name: strings.ToLower(name), Value: value})
			continue
		}
		if err := supported(name, values[0]); err != nil {
			return err
		}
	}
	if size > userBytesMax {
		return errMetadataTooLarge.with(extra("Size", int64(size)), extra("MaxSizeAllowed", userBytesMax))
	}
	slices.SortFunc(d.Headers[first:], func(a, b *metapb.Header) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// supported refuses headers that ask for what is not there yet: ignoring one could mean that something is
// public, unencrypted or deletable against its owner's will.
func supported(name, value string) error {
	refused := false
	switch rest := name[len("X-Amz-"):]; {
	case strings.HasPrefix(rest, "Server-Side-Encryption"),
		strings.HasPrefix(rest, "Copy-Source-Server-Side-Encryption"):
		refused = true
	case strings.HasPrefix(rest, "Object-Lock-"):
		refused = name != lockMode && name != lockUntil && name != lockHold
	case rest == "Write-Offset-Bytes", strings.HasPrefix(rest, "If-Match-"):
		refused = true
	case strings.HasPrefix(rest, "Checksum-"):
		refused = !knownChecksum(name)
	case rest == "Bucket-Object-Lock-Enabled":
		refused = !strings.EqualFold(value, "false")
	}
	if refused {
		return errNotImplemented.with(s3xml.Extra{Name: "Header", Value: strings.ToLower(name)})
	}
	return nil
}

// knownChecksum reports whether a header that says something of a checksum is understood: of an algorithm that is not,
// the value could not be checked.
func knownChecksum(name string) bool {
	switch name {
	case "X-Amz-Checksum-Algorithm", "X-Amz-Checksum-Type", "X-Amz-Checksum-Mode":
		return true
	}
	return trailerAlgorithm(name) != noAlgorithm
}

// allSupported is supported of every header but the operation's own, in canonical form, for operations that keep none.
func (r *request) allSupported(own ...string) error {
	for name, values := range r.http.Header {
		if strings.HasPrefix(name, "X-Amz-") && len(values) > 0 && !slices.Contains(own, name) {
			if err := supported(name, values[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// storageClass accepts the names that mean what there is, and those that a pool has. STANDARD is kept as "".
func (r *request) storageClass() (string, error) {
	v := r.in1("X-Amz-Storage-Class")
	switch v {
	case "", "STANDARD":
		return "", nil
	case "REDUCED_REDUNDANCY":
		return v, nil
	}
	if _, ok := r.s.opt.Buckets.Map().ClassPool(v); ok {
		return v, nil
	}
	return "", errInvalidStorageClass
}

// tags checks a URL-encoded set of tags, and gives it in the form that records have. Source: PutObject, x-amz-tagging.
func tags(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	set, err := url.ParseQuery(v)
	if err != nil {
		return "", errTagHeader
	}
	list := make([]s3xml.Tag, 0, len(set))
	for name, values := range set {
		if len(values) != 1 || name == "" {
			return "", errTagHeader
		}
		list = append(list, s3xml.Tag{Key: name, Value: values[0]})
	}
	if err := s3xml.CheckTags(list, s3xml.ObjectTagsMax); err != nil {
		return "", err
	}
	return set.Encode(), nil
}

// tagValues are tags as url.Values, which records and policies have them in.
func tagValues(tags []s3xml.Tag) url.Values {
	v := make(url.Values, len(tags))
	for _, t := range tags {
		v.Set(t.Key, t.Value)
	}
	return v
}

func tagCount(tags string) int { return strings.Count(tags, "=") }

// writeCondition reads If-Match and If-None-Match of a write; nil if there is none.
func (r *request) writeCondition() (*metapb.Condition, error) {
	for _, name := range [...]string{"If-Modified-Since", "If-Unmodified-Since"} {
		if r.in1(name) != "" { // S3 too refuses what it would have to ignore
			return nil, errNotImplemented.with(s3xml.Extra{Name: "Header", Value: name})
		}
	}
	match, none := r.in1("If-Match"), r.in1("If-None-Match")
	if match == "" && none == "" {
		return nil, nil
	}
	if none != "" && none != "*" {
		return nil, errNotImplemented.with(s3xml.Extra{Name: "Header", Value: "If-None-Match"})
	}
	return &metapb.Condition{IfMatch: wantedETag(match), IfNoneMatch: none}, nil
}

// wantedETag is the tag that a write asks for, as metapb.Condition has it. There "" means that nothing is asked: an empty tag, which no object has, keeps
// its quotes, so that it matches nothing.
func wantedETag(v string) string { return cmp.Or(bareETag(v), v) }

// bareETag is an entity tag without its quotes, and without the mark of a weak one.
func bareETag(v string) string {
	v = strings.TrimSpace(v)
	v = strings.TrimPrefix(v, "W/")
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	return v
}

// adoptHoisted takes x-amz- parameters of a presigned URL for headers, as S3 does: signers move headers there. Checksums
// of the body are left out, also as S3 does: who signs does not know the body, and the AWS SDK for JavaScript v3 puts the
// checksum of none into every URL. What could not have come as a header is refused: it could not go out again as one, so an object would
// lose what its upload was told is kept.
func (r *request) adoptHoisted() error {
	if r.auth.Kind != sigv4.KindQuery {
		return nil
	}
	for _, p := range r.query {
		if len(p.name) < 6 || !strings.EqualFold(p.name[:6], "x-amz-") {
			if r.auth.Version2 && strings.EqualFold(p.name, "content-type") && !headerLike("Content-Type", p.value) {
				return badArgument(p.name, p.value, "The parameter cannot be a header.")
			}
			continue
		}
		if !headerLike(http.CanonicalHeaderKey(p.name), p.value) {
			return badArgument(p.name, p.value, "The parameter cannot be a header.")
		}
		switch name := http.CanonicalHeaderKey(p.name); name {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Signedheaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
			"X-Amz-Sdk-Checksum-Algorithm":
		default:
			if isChecksumValue(name) {
				continue
			}
			if _, there := r.http.Header[name]; !there {
				r.http.Header[name] = []string{p.value}
			}
		}
	}
	return nil
}

// isChecksumValue reports whether a header, given in canonical form, has a body's checksum for its value, whatever the
// algorithm.
func isChecksumValue(header string) bool {
	of, found := strings.CutPrefix(header, "X-Amz-Checksum-")
	return found && of != "Algorithm" && of != "Mode" && of != "Type"
}
