package gateway

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// subject is what an action is done to.
type subject struct {
	bucket  *placement.Bucket // nil: there is none, or not yet
	name    string            // the bucket's
	key     string            // "": the bucket itself
	version string            // as the client names it; "": the newest
	object  *metapb.Version   // as it was read; nil: it was not
	unread  error             // why it could not be read though a policy asked for it; nil: it could, or is not there
	made    bool              // object is what the caller is about to write, and to own
	copied  bool              // it is the source of a copy: the request's headers and tags are about the target

	listed *s3xml.DeleteObject // what a DeleteObjects says of it, whose headers do not; nil: it is not of one
}

// arn is the subject's Amazon Resource Name.
func (s *subject) arn() string {
	switch {
	case s.name == "":
		return "arn:aws:s3:::*" // all buckets
	case s.key == "":
		return "arn:aws:s3:::" + s.name
	}
	return "arn:aws:s3:::" + s.name + "/" + s.key
}

// situation is what policies may ask of a request, about one subject: a policy.Context.
//
// Source: "AWS global condition context keys" (IAM User Guide); "Condition keys for Amazon S3" (Service Authorization Reference).
type situation struct {
	r  *request
	on *subject
}

// Values gives the values of a key, which is in lower case. ok is false where the request has none.
func (s situation) Values(key string) (values []string, ok bool) {
	if rest, global := strings.CutPrefix(key, "aws:"); global {
		return s.global(rest)
	}
	rest, _ := strings.CutPrefix(key, "s3:")
	return s.ofS3(rest)
}

func (s situation) global(key string) ([]string, bool) {
	r := s.r
	switch key {
	case "currenttime":
		return one(r.s.opt.Now().UTC().Format(time.RFC3339))
	case "epochtime":
		return one(strconv.FormatInt(r.s.opt.Now().Unix(), 10))
	case "securetransport":
		return one(strconv.FormatBool(r.secure()))
	case "sourceip":
		return given(sourceIP(r.s.clientAddr(r.http)))
	case "useragent":
		return given(r.http.UserAgent())
	case "referer":
		return given(r.http.Referer())
	case "principalisawsservice", "viaawsservice":
		return one("false")
	case "requestedregion":
		return one(r.s.opt.Region)
	case "resourceaccount":
		return s.resourceAccount()
	case "tagkeys":
		return keysOf(s.requestTags())
	}
	if tag, ok := strings.CutPrefix(key, "requesttag/"); ok {
		return tagIn(s.requestTags(), tag)
	}
	if tag, ok := strings.CutPrefix(key, "principaltag/"); ok {
		return tagIn(r.caller.tags(), tag)
	}
	return nil, false // the principal's other keys are the policy engine's
}

func (s situation) resourceAccount() ([]string, bool) {
	if s.on.bucket == nil {
		return nil, false
	}
	return one(s.r.s.ownerID(s.on.bucket))
}

func (s situation) ofS3(key string) ([]string, bool) {
	r := s.r
	switch key {
	case "authtype":
		return given(authTypes[r.auth.Kind])
	case "signatureversion":
		return s.signatureVersion()
	case "signatureage":
		if r.auth.Time.IsZero() {
			return nil, false
		}
		return one(strconv.FormatInt(max(0, r.s.opt.Now().Sub(r.auth.Time).Milliseconds()), 10))
	case "tlsversion":
		return s.tlsVersion()
	case "resourceaccount":
		return s.resourceAccount()
	case "prefix", "delimiter", "max-keys":
		v, ok := r.query.look(key)
		return []string{v}, ok
	case "versionid":
		return given(s.on.version)
	case "existingobjecttag":
		return nil, false
	case "objectcreationoperation":
		return s.creation()
	case "requestobjecttagkeys":
		return keysOf(s.requestTags())
	case "object-lock-remaining-retention-days", "object-lock-mode", "object-lock-retain-until-date", "object-lock-legal-hold":
		return s.lock(key)
	case "x-amz-copy-source":
		return s.copySource()
	case "locationconstraint":
		return given(r.givenRegion)
	case "if-match", "if-none-match":
		if s.on.listed != nil {
			return s.listed(key)
		}
	}
	if tag, ok := strings.CutPrefix(key, "existingobjecttag/"); ok {
		return s.existingTag(tag)
	}
	if tag, ok := strings.CutPrefix(key, "requestobjecttag/"); ok {
		return tagIn(s.requestTags(), tag)
	}
	if header := conditionHeaders[key]; header != "" && !s.on.copied {
		return given(r.in1(header))
	}
	return nil, false
}

// creation is s3:ObjectCreationOperation: whether the request makes an object if it succeeds. The calls of a multipart upload make none before the
// last, and take no conditions; requests that write nothing do not have the key. Source: S3 User Guide, "Enforce conditional writes on Amazon S3 buckets".
func (s situation) creation() ([]string, bool) {
	if s.on.copied {
		return nil, false
	}
	switch s.r.op.name {
	case "PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload":
		return one("true")
	case "CreateMultipartUpload", "UploadPart", "UploadPartCopy":
		return one("false")
	}
	return nil, false
}

// conditionHeaders are the headers that are condition keys, in canonical form, by the key without its prefix.
var conditionHeaders = map[string]string{
	"x-amz-acl":                                       "X-Amz-Acl",
	"x-amz-content-sha256":                            "X-Amz-Content-Sha256",
	"x-amz-grant-full-control":                        "X-Amz-Grant-Full-Control",
	"x-amz-grant-read":                                "X-Amz-Grant-Read",
	"x-amz-grant-read-acp":                            "X-Amz-Grant-Read-Acp",
	"x-amz-grant-write":                               "X-Amz-Grant-Write",
	"x-amz-grant-write-acp":                           "X-Amz-Grant-Write-Acp",
	"x-amz-metadata-directive":                        "X-Amz-Metadata-Directive",
	"x-amz-object-ownership":                          "X-Amz-Object-Ownership",
	"x-amz-server-side-encryption":                    "X-Amz-Server-Side-Encryption",
	"x-amz-server-side-encryption-aws-kms-key-id":     "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
	"x-amz-server-side-encryption-customer-algorithm": "X-Amz-Server-Side-Encryption-Customer-Algorithm",
	"x-amz-storage-class":                             "X-Amz-Storage-Class",
	"x-amz-website-redirect-location":                 "X-Amz-Website-Redirect-Location",
	"if-match":                                        "If-Match",
	"if-none-match":                                   "If-None-Match",
}

var authTypes = map[sigv4.Kind]string{
	sigv4.KindHeader: "REST-HEADER", sigv4.KindQuery: "REST-QUERY-STRING", sigv4.KindPost: "POST",
}

func (s situation) signatureVersion() ([]string, bool) {
	switch {
	case s.r.auth.Anonymous:
		return nil, false
	case s.r.auth.Version2:
		return one("AWS")
	}
	return one("AWS4-HMAC-SHA256")
}

func (s situation) tlsVersion() ([]string, bool) {
	state := s.r.http.TLS
	if state == nil || state.Version < 0x0301 {
		return nil, false
	}
	return one("1." + strconv.Itoa(int(state.Version)-0x0301)) // 0x0304 is TLS 1.3
}

// copySource is bucket/key, however the header spells it: a leading slash or an escaped letter is not to get around a denial.
func (s situation) copySource() ([]string, bool) {
	raw := s.r.in1(copySource)
	if raw == "" || s.on.copied {
		return nil, false
	}
	from, err := parseSource(raw)
	if err != nil {
		return one(raw) // it is refused when the source is looked for
	}
	return one(from.name + "/" + from.key)
}

// lock is what the request asks for of a lock.
func (s situation) lock(key string) ([]string, bool) {
	if s.on.copied {
		return nil, false
	}
	switch l := s.r.lockGiven(); key {
	case "object-lock-mode":
		return given(l.mode)
	case "object-lock-retain-until-date":
		return given(l.until)
	case "object-lock-legal-hold":
		return given(l.hold)
	default:
		until, ok := s3xml.ParseTime(l.until)
		if !ok {
			return nil, false
		}
		return one(strconv.Itoa(int(until.Sub(s.r.s.opt.Now()) / (24 * time.Hour))))
	}
}

// listed is the condition of an object that a DeleteObjects names.
func (s situation) listed(key string) ([]string, bool) {
	if key == "if-match" {
		return given(s.on.listed.ETag)
	}
	return nil, false
}

// existingTag is a tag of the object, which is read for it if it was not yet.
func (s situation) existingTag(name string) ([]string, bool) {
	if s.on.object == nil && s.on.key != "" && s.on.bucket != nil {
		v, err := s.r.stat(s.on)
		if err != nil && !errors.Is(err, meta.ErrNoSuchKey) && !errors.Is(err, meta.ErrNoSuchVersion) {
			s.on.unread = err // its tags may be what a policy forbids
		}
		s.on.object = v
	}
	if s.on.object == nil {
		return nil, false
	}
	set, err := url.ParseQuery(s.on.object.Details.GetTags())
	if err != nil {
		return nil, false
	}
	return tagIn(set, name)
}

// requestTags are the tags that the request gives what it makes.
func (s situation) requestTags() url.Values {
	if s.on.copied {
		return nil
	}
	if s.r.givenTags != nil {
		return s.r.givenTags
	}
	if s.r.op.name == "CopyObject" && s.r.in1(taggingDirective) != "REPLACE" {
		return nil // its tags are the source's
	}
	set, err := url.ParseQuery(s.r.in1("X-Amz-Tagging"))
	if err != nil {
		return nil
	}
	return set
}

// tagIn finds a tag by its name, without regard to case, as keys of conditions are. Of several it gives the values of all, in order: which
// one the policy means is not to be a matter of chance.
func tagIn(set url.Values, name string) (values []string, ok bool) {
	for k, v := range set {
		if strings.EqualFold(k, name) && len(v) > 0 {
			values = append(values, v[0])
		}
	}
	slices.Sort(values)
	return values, values != nil
}

func keysOf(set url.Values) ([]string, bool) {
	names := make([]string, 0, len(set))
	for k := range set {
		names = append(names, k)
	}
	return names, len(names) > 0
}

func one(v string) ([]string, bool) { return []string{v}, true }

func given(v string) ([]string, bool) { return []string{v}, v != "" }

// sourceIP takes the port off an address, and the zone of one that is of this link only: conditions know none.
func sourceIP(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap.Addr().Unmap().WithZone("").String()
	}
	return addr
}
