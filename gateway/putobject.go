package gateway

import (
	"net/http"

	"github.com/sherd-io/sherd/gateway/object"
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
	r.showVersion(v)
	r.showChecksum(v.Details.Checksum, 0, true)
	return r.sendEmpty(http.StatusOK)
}
