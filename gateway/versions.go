package gateway

import (
	"errors"
	"net/http"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// errVersions refuses what needs versions as long as a node of the cluster is of a release that does not know them.
var errVersions = errUnavailable.say("Not all nodes of the cluster know versions of objects yet. Please try again when they have been updated.")

// ref is the version that the subject names. Errors: InvalidArgument.
func (s *subject) ref() (meta.VersionRef, error) {
	if s.version == "" {
		return meta.VersionRef{}, nil
	}
	ref, err := object.ParseVersionID(s.version)
	if err != nil {
		return ref, badArgument("versionId", s.version, "Invalid version id specified")
	}
	return ref, nil
}

// version is the version that the request's versionId names; none is the newest. Unlike a subject's, it may not be empty. Errors: InvalidArgument.
func (r *request) version() (meta.VersionRef, error) {
	on := subject{}
	if id, given := r.query.look("versionId"); given {
		if id == "" {
			return meta.VersionRef{}, badArgument("versionId", "", "Version id cannot be the empty string")
		}
		on.version = id
	}
	return on.ref()
}

// versionHeader is the id of v as answers of a bucket tell it; "" where no version was ever kept.
func versionHeader(b *placement.Bucket, v *metapb.Version) string {
	if b.Versioning == "" && !v.Versioned {
		return ""
	}
	return object.VersionID(v)
}

// showVersion tells v's id, in buckets that have such.
func (r *request) showVersion(v *metapb.Version) {
	if id := versionHeader(r.bucket, v); id != "" {
		r.header.set("x-amz-version-id", id)
	}
}

// marked turns the error of a read that met a delete marker into S3's answer, headers included: 405 if the client named the marker's version,
// else the 404 that it is. Other errors stay as they are.
func (r *request) marked(err error, on *subject) error {
	marker, ok := errors.AsType[*object.MarkerError](err)
	if !ok {
		return err
	}
	r.header.set("x-amz-delete-marker", "true")
	r.header.set("x-amz-version-id", object.VersionID(marker.Version))
	if on.version == "" {
		return err
	}
	r.header.set("Last-Modified", lastModified(marker.Version))
	r.header.set("Allow", http.MethodDelete)
	return errMethodNotAllowed.with(s3xml.Extra{Name: "Method", Value: r.http.Method}, s3xml.Extra{Name: "ResourceType", Value: "DeleteMarker"})
}

// reviseBucket changes what decides the fate of the bucket's data, and returns when each of its ranges knows it (I11). change may
// return errUnchanged.
func (r *request) reviseBucket(change func(*placement.Bucket) error) error {
	if !r.s.opt.Versions() {
		return errVersions
	}
	err := r.s.opt.Buckets.ReviseBucket(r.ctx, r.bucket, change)
	if refused, ok := errors.AsType[*apiError](err); ok {
		return refused
	}
	if err != nil && !errors.Is(err, errUnchanged) {
		return r.goneOr(controlError(err))
	}
	return r.s.opt.Objects.BringRules(r.ctx, r.bucket.ID) // also of who made the change before, and did not come that far
}

// errUnchanged is returned by a change of reviseBucket that finds the bucket as it is to be: nothing is written.
var errUnchanged = errors.New("gateway: the bucket is so already")

// getVersioning serves GetBucketVersioning (S3 API reference).
func (r *request) getVersioning() error {
	v := s3xml.Versioning{Status: r.bucket.Versioning}
	return r.sendXML(http.StatusOK, v.Append(nil))
}

// putVersioning serves PutBucketVersioning (S3 API reference).
func (r *request) putVersioning() error {
	v, err := readConfig(r, s3xml.ReadVersioning)
	switch {
	case err != nil:
		return err
	case v.Status == "":
		return newError(400, "IllegalVersioningConfigurationException", "The Versioning element must be specified")
	case v.MFADelete == "Enabled" || r.in1("X-Amz-Mfa") != "":
		return errNotImplemented.say("Deletion with multi-factor authentication is not implemented.")
	}
	err = r.reviseBucket(func(b *placement.Bucket) error {
		switch {
		case b.Versioning == v.Status:
			return errUnchanged
		case b.Lock != nil:
			return newError(409, "InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
		}
		b.Versioning = v.Status
		return nil
	})
	if err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// listVersions serves ListObjectVersions (S3 API reference).
func (r *request) listVersions() error {
	l, err := r.newListing()
	if err != nil {
		return err
	}
	head := s3xml.VersionsHead{
		Bucket: r.name, Prefix: l.head.Prefix, Delimiter: l.head.Delimiter, URL: l.head.URL, MaxKeys: l.head.MaxKeys,
		KeyMarker: r.query.get("key-marker"), VersionIDMarker: r.query.get("version-id-marker"),
	}
	req := meta.ListVersionsRequest{Bucket: r.bucket.ID, Prefix: head.Prefix, Delimiter: head.Delimiter, KeyMarker: head.KeyMarker, Max: head.MaxKeys}
	if err := r.versionMarker(&head, &req); err != nil {
		return err
	}
	entries, doc := r.s.buffer(), r.s.buffer()
	defer r.s.giveBack(entries)
	defer r.s.giveBack(doc)
	page, err := r.s.opt.Records.ListVersions(r.ctx, req, *entries)
	if err != nil {
		return err
	}
	*entries = page.Entries
	if head.Truncated = page.Truncated; page.Truncated {
		head.NextKeyMarker = page.NextKey
		if page.NextVersion != 0 {
			head.NextVersionIDMarker = lastVersionID(page.Entries)
		}
	}
	b := s3xml.BeginListVersions((*doc)[:0], &head)
	b = r.appendVersions(b, page.Entries, head.URL)
	*doc = s3xml.EndListVersions(b)
	return r.sendXML(http.StatusOK, *doc)
}

// lastVersionID is the id of the version that a page ends with.
func lastVersionID(entries []byte) string {
	var e, last meta.Entry
	for rest, ok := meta.NextEntry(entries, &e); ok; rest, ok = meta.NextEntry(rest, &e) {
		last = e
	}
	return string(object.AppendVersionID(nil, last.TS, last.Versioned))
}

// versionMarker reads version-id-marker, which belongs to a key-marker.
func (r *request) versionMarker(head *s3xml.VersionsHead, req *meta.ListVersionsRequest) error {
	id, given := r.query.look("version-id-marker")
	switch {
	case !given:
		return nil
	case id == "":
		return badArgument("version-id-marker", "", "A version-id marker cannot be empty.")
	case head.KeyMarker == "":
		return badArgument("version-id-marker", id, "A version-id marker cannot be specified without a key marker.")
	}
	ref, err := object.ParseVersionID(id)
	if err != nil {
		return badArgument("version-id-marker", id, "Invalid version id specified")
	}
	req.VersionMarker, req.NullMarker = ref.ID, ref.Null
	return nil
}

// appendVersions appends the versions of a page, then its common prefixes.
func (r *request) appendVersions(b, entries []byte, url bool) []byte {
	whose := r.newOwners()
	var id [32]byte
	var e meta.Entry
	var v s3xml.Version
	prefixes := false
	for p, ok := meta.NextEntry(entries, &e); ok; p, ok = meta.NextEntry(p, &e) {
		switch {
		case e.Prefix:
			prefixes = true
		case e.Marker:
			m := s3xml.DeleteMarker{Key: e.Key, VersionID: object.AppendVersionID(id[:0], e.TS, e.Versioned), Latest: e.Latest, Modified: e.TS.Time(), Owner: whose.of(&e)}
			b = s3xml.AppendDeleteMarker(b, &m, url)
		default:
			describeEntry(&v.Object, &e)
			v.VersionID, v.Latest, v.Owner = object.AppendVersionID(id[:0], e.TS, e.Versioned), e.Latest, whose.of(&e)
			b = s3xml.AppendVersion(b, &v, url)
		}
	}
	if !prefixes {
		return b
	}
	return appendPrefixes(b, entries, url)
}
