package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Headers of DeleteObject's own.
const (
	ifModifiedAt = "X-Amz-If-Match-Last-Modified-Time"
	ifSize       = "X-Amz-If-Match-Size"
)

// deleteObject serves DeleteObject (S3 API reference). An absent key is deleted already.
func (r *request) deleteObject() error {
	ref, err := r.version()
	if err != nil {
		return err
	}
	if err := r.allSupported(ifModifiedAt, ifSize); err != nil {
		return err
	}
	condition, err := r.deleteCondition()
	if err != nil {
		return err
	}
	on := r.subject()
	target := &metapb.DeleteTarget{Key: r.key, Version: uint64(ref.ID), Null: ref.Null, Condition: condition, BypassGovernance: r.bypasses(on)}
	results, err := r.s.opt.Objects.Delete(r.ctx, r.bucket.Rules, &metapb.DeleteVersions{Bucket: uint64(r.bucket.ID), Owner: r.markerOwner(), Targets: []*metapb.DeleteTarget{target}})
	if err == nil {
		err = notDeleted(results[0], condition)
	}
	if err != nil {
		return r.withKey(err)
	}
	d := deletedXML(on.key, on.version, results[0])
	if d.DeleteMarker {
		r.header.set("x-amz-delete-marker", "true")
	}
	if id := cmp.Or(d.VersionID, d.DeleteMarkerVersionID); id != "" {
		r.header.set("x-amz-version-id", id)
	}
	return r.sendEmpty(http.StatusNoContent)
}

// notDeleted is why a target was not deleted; nil if it was, or need not be. That any object be there is a condition like others, of a
// certain one it is said that it is absent; a time or a size holds of what is not there.
// Source: S3 User Guide, "How to perform conditional deletes"; DeleteObject, x-amz-if-match-size.
func notDeleted(result *metapb.DeleteResult, c *metapb.Condition) error {
	err := meta.DeleteError(result)
	if !errors.Is(err, meta.ErrNoSuchKey) {
		return err
	}
	switch c.GetIfMatch() {
	case "":
		return nil
	case "*":
		return meta.ErrPrecondition
	}
	return err
}

// deletedXML is what became of a deletion, as answers tell it.
func deletedXML(key, version string, result *metapb.DeleteResult) s3xml.Deleted {
	d := s3xml.Deleted{Key: key, VersionID: version, DeleteMarker: result.MarkerMade || result.MarkerRemoved}
	if d.DeleteMarker {
		d.DeleteMarkerVersionID = string(object.AppendVersionID(nil, hlc.Stamp(result.Version), result.Versioned))
	}
	return d
}

// bypasses reports whether a retention in governance mode is to be passed over: the caller asks for it, and may.
func (r *request) bypasses(on *subject) bool {
	return strings.EqualFold(r.in1("X-Amz-Bypass-Governance-Retention"), "true") && r.may("s3:BypassGovernanceRetention", on)
}

// deleteCondition reads the conditions of a DeleteObject; nil if there is none.
func (r *request) deleteCondition() (*metapb.Condition, error) {
	c, err := r.writeCondition()
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = new(metapb.Condition)
	}
	if err := conditionOn(c, r.in1(ifModifiedAt), r.in1(ifSize)); err != nil {
		return nil, err
	}
	if c.IfMatch == "" && c.IfNoneMatch == "" && c.IfModified == 0 && !c.HasIfSize {
		return nil, nil
	}
	return c, nil
}

// conditionOn adds the conditions on time and size that only deletions have. The time is in HTTP's form, or in XML's.
func conditionOn(c *metapb.Condition, modified, size string) error {
	if modified != "" {
		t, ok := httpTime(modified)
		if !ok {
			var err error
			if t, err = time.Parse(time.RFC3339, modified); err != nil {
				return badArgument("x-amz-if-match-last-modified-time", modified, "The last modified time is not a valid date")
			}
		}
		c.IfModified = max(t.Unix(), 1) // 0 means any; nothing is as old as either
	}
	if size != "" {
		n, err := strconv.ParseUint(size, 10, 63)
		if err != nil {
			return badArgument("x-amz-if-match-size", size, "The size is not a number of bytes")
		}
		c.IfSize, c.HasIfSize = n, true
	}
	return nil
}

const deleteBytesMax = 8 << 20 // s3xml's own bound

// deleteObjects serves DeleteObjects (S3 API reference).
func (r *request) deleteObjects() error {
	doc, err := r.readDocument(deleteBytesMax, digestRequired)
	if err != nil {
		return err
	}
	req, err := readXML(doc, s3xml.ReadDelete)
	if err != nil {
		return err
	}
	all, err := r.deleteAll(req.Objects)
	if err != nil {
		return err
	}
	buf := r.s.buffer()
	defer r.s.giveBack(buf)
	b := s3xml.BeginDeleted((*buf)[:0])
	for i := range all {
		d := &all[i]
		if e := d.failed; e != nil {
			b = s3xml.AppendDeleteError(b, d.object.Key, d.object.VersionID, e.code, e.message)
		} else if !req.Quiet {
			answer := deletedXML(d.object.Key, d.object.VersionID, d.result)
			b = s3xml.AppendDeleted(b, &answer)
		}
	}
	*buf = s3xml.EndDeleted(b)
	return r.sendXML(http.StatusOK, *buf)
}

// deletion is one object of a DeleteObjects.
type deletion struct {
	object *s3xml.DeleteObject
	failed *apiError            // why it was not deleted
	result *metapb.DeleteResult // if it was
}

// deleteAll deletes what can be, in one command. An error is of the whole request.
func (r *request) deleteAll(objects []s3xml.DeleteObject) ([]deletion, error) {
	all := make([]deletion, len(objects))
	cmd := &metapb.DeleteVersions{Bucket: uint64(r.bucket.ID), Owner: r.markerOwner(), Targets: make([]*metapb.DeleteTarget, 0, len(objects))}
	places := make([]int, 0, len(objects)) // of the command's targets
	targets := make([]metapb.DeleteTarget, len(objects))
	for i := range objects {
		d, t := &all[i], &targets[i]
		d.object = &objects[i]
		if err := r.deleteTarget(t, d.object); err != nil {
			d.failed = toAPI(err)
			continue
		}
		cmd.Targets, places = append(cmd.Targets, t), append(places, i)
	}
	if len(places) == 0 {
		return all, nil
	}
	results, err := r.s.opt.Objects.Delete(r.ctx, r.bucket.Rules, cmd)
	known := false
	for i, result := range results {
		d := &all[places[i]]
		d.result, known = result, known || result != nil
		why := err // of one that nothing is known of
		if result != nil {
			why = notDeleted(result, cmd.Targets[i].Condition)
		}
		if why != nil {
			d.failed = toAPI(why)
		}
	}
	if !known {
		return nil, err
	}
	return all, nil
}

// deleteTarget makes t, which is empty, what a DeleteObjects says of one object, if the caller may delete it.
func (r *request) deleteTarget(t *metapb.DeleteTarget, o *s3xml.DeleteObject) error {
	switch {
	case o.Key == "":
		return errKeyMissing
	case len(o.Key) > keyBytesMax:
		return errKeyTooLong
	}
	on := r.subject()
	on.key, on.version, on.listed = o.Key, o.VersionID, o
	ref, err := on.ref()
	if err != nil {
		return errNoSuchVersion
	}
	t.Key, t.Version, t.Null = o.Key, uint64(ref.ID), ref.Null
	if o.ETag != "" || o.LastModifiedTime != "" || o.Size != "" {
		t.Condition = &metapb.Condition{IfMatch: wantedETag(o.ETag)}
		if err := conditionOn(t.Condition, o.LastModifiedTime, o.Size); err != nil {
			return err
		}
	}
	action := "s3:DeleteObject"
	if o.VersionID != "" {
		action = "s3:DeleteObjectVersion"
	}
	if err := r.authorize(action, on); err != nil {
		return err
	}
	t.BypassGovernance = r.bypasses(on)
	return nil
}
