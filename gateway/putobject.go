package gateway

import (
	"net/http"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta/metapb"
)

// putObject serves PutObject (S3 API reference).
func (r *request) putObject() error {
	details, err := r.details()
	if err != nil {
		return err
	}
	condition, err := r.writeCondition()
	if err != nil {
		return err
	}
	contentMD5, want, err := r.digests()
	if err != nil {
		return err
	}
	body, size, err := r.openBody()
	if err != nil {
		return err
	}
	defer body.Close()
	bindTrailer(&want, body)
	v, err := r.s.opt.Objects.Put(r.ctx, object.Put{
		Bucket: r.bucket.ID, Rules: r.bucket.Rules, Pool: r.bucket.Pool, Key: r.key, Size: size, Body: body,
		Details: details, ContentMD5: contentMD5, Want: want, Condition: condition,
	})
	if err != nil {
		return r.withKey(err)
	}
	r.header.set("ETag", quoted(v))
	r.showChecksum(v.Details.Checksum, 0, true)
	return r.sendEmpty(http.StatusOK)
}

// deleteObject serves DeleteObject (S3 API reference). An absent key is deleted already.
func (r *request) deleteObject() error {
	if err := r.nullVersion(r.query.get("versionId")); err != nil {
		return err
	}
	if err := r.allSupported(); err != nil {
		return err
	}
	condition, err := r.writeCondition()
	if err != nil {
		return err
	}
	cmd := &metapb.DeleteVersions{Bucket: uint64(r.bucket.ID), Keys: []string{r.key}, Condition: condition}
	if _, err := r.s.opt.Objects.Delete(r.ctx, r.bucket.Rules, cmd); err != nil {
		return r.withKey(err)
	}
	return r.sendEmpty(http.StatusNoContent)
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
	failed, err := r.deleteAll(req.Objects)
	if err != nil {
		return err
	}
	buf := r.s.buffer()
	defer r.s.giveBack(buf)
	b := s3xml.BeginDeleted((*buf)[:0])
	for i := range req.Objects {
		o := &req.Objects[i]
		if e := failed[i]; e != nil {
			b = s3xml.AppendDeleteError(b, o.Key, o.VersionID, e.code, e.message)
		} else if !req.Quiet {
			b = s3xml.AppendDeleted(b, &s3xml.Deleted{Key: o.Key, VersionID: o.VersionID})
		}
	}
	*buf = s3xml.EndDeleted(b)
	return r.sendXML(http.StatusOK, *buf)
}

// deleteAll deletes what can be, in one command for all that have no condition of their own.
// failed[i] says why objects[i] was not; err is of the whole request.
func (r *request) deleteAll(objects []s3xml.DeleteObject) (failed map[int]*apiError, err error) {
	failed = map[int]*apiError{}
	batch := &metapb.DeleteVersions{Bucket: uint64(r.bucket.ID), Keys: make([]string, 0, len(objects))}
	for i := range objects {
		o := &objects[i]
		e := refuseDelete(o)
		if e == nil {
			e = r.mayDelete(o)
		}
		if e != nil {
			failed[i] = e
			continue
		}
		if o.ETag == "" {
			batch.Keys = append(batch.Keys, o.Key)
			continue
		}
		one := &metapb.DeleteVersions{Bucket: batch.Bucket, Keys: []string{o.Key}, Condition: &metapb.Condition{IfMatch: bareETag(o.ETag)}}
		if _, err := r.s.opt.Objects.Delete(r.ctx, r.bucket.Rules, one); err != nil {
			failed[i] = toAPI(err)
		}
	}
	if len(batch.Keys) == 0 {
		return failed, nil
	}
	_, err = r.s.opt.Objects.Delete(r.ctx, r.bucket.Rules, batch)
	return failed, err
}

// mayDelete is why the caller must not delete o; nil if he may.
func (r *request) mayDelete(o *s3xml.DeleteObject) *apiError {
	action := "s3:DeleteObject"
	if o.VersionID != "" {
		action = "s3:DeleteObjectVersion"
	}
	on := &subject{bucket: r.bucket, name: r.name, key: o.Key, version: o.VersionID}
	if err := r.authorize(action, on); err != nil {
		return toAPI(err)
	}
	return nil
}

func refuseDelete(o *s3xml.DeleteObject) *apiError {
	switch {
	case o.Key == "":
		return newError(400, "UserKeyMustBeSpecified", "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.")
	case len(o.Key) > keyBytesMax:
		return errKeyTooLong
	case o.VersionID != "" && o.VersionID != "null":
		return errNoSuchVersion
	case o.LastModifiedTime != "" || o.Size != "":
		return errNotImplemented
	}
	return nil
}
