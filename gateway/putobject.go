package gateway

import (
	"net/http"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/meta/metapb"
)

// putObject serves PutObject (S3 API reference).
func (r *request) putObject() error {
	p, err := r.newObject()
	if err != nil {
		return err
	}
	if err := r.digestForLock(&p); err != nil {
		return err
	}
	body, size, err := r.openBody()
	if err != nil {
		return err
	}
	defer body.Close()
	bindTrailer(&p.Want, body)
	p.Body, p.Size = body, size
	if _, err := r.makeVersion(p); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// newObject is what the request's headers say of the object that it makes: all but the body.
func (r *request) newObject() (p object.Put, err error) {
	p = object.Put{Bucket: r.bucket.ID, Rules: r.bucket.Rules, Pool: r.bucket.Pool, Key: r.key}
	if p.Details, err = r.details(); err != nil {
		return p, err
	}
	if p.Condition, err = r.writeCondition(); err != nil {
		return p, err
	}
	p.ContentMD5, p.Want, err = r.digests()
	return p, err
}

// makeVersion stores an object and sets the headers that tell of it.
func (r *request) makeVersion(p object.Put) (*metapb.Version, error) {
	v, err := r.s.opt.Objects.Put(r.ctx, p)
	if err != nil {
		return nil, r.withKey(err)
	}
	r.header.set("ETag", quoted(v))
	r.showVersion(v)
	r.showChecksum(v.Details.Checksum, 0, true)
	return v, nil
}
