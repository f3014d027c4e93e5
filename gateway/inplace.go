package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// permitted reads the version that the request names, if the caller may do what the operation's row says. Where that depends on the
// object it is asked about what was read.
func (r *request) permitted() (*metapb.Version, error) {
	on := r.subject()
	asks := r.dependsOnObject(on)
	if !asks {
		if err := r.authorize(r.op.actionOn(on), on); err != nil {
			return nil, err
		}
	}
	ref, err := r.version()
	if err != nil {
		return nil, err
	}
	v, err := r.s.opt.Objects.Stat(r.ctx, r.bucket.ID, r.key, ref)
	if err != nil {
		return nil, r.withKey(r.marked(r.hidden(err, on), on))
	}
	if asks {
		on.object = v
		if err := r.authorize(r.op.actionOn(on), on); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// toPermitted is err if the caller may do what the operation's row says, else the refusal. It is for faults of a document that has to be read before
// the caller is authorized, because policies may ask for what is in it (tags, a retention): a stranger is to hear of the refusal only.
func (r *request) toPermitted(err error) error {
	on := r.subject()
	if denied := r.authorize(r.op.actionOn(on), on); denied != nil {
		return denied
	}
	return err
}

// update changes the version that the request names, in place; set says how. What was permitted is what is changed: where somebody comes
// between, it is read and asked for again.
func (r *request) update(set func(*metapb.UpdateVersion) error) error {
	const tries = 5
	for try := 1; ; try++ {
		v, err := r.permitted()
		if err != nil {
			return err
		}
		cmd := &metapb.UpdateVersion{
			Bucket: uint64(r.bucket.ID), Key: r.key, Null: !v.Versioned,
			Expect: &metapb.Expect{Ts: v.Ts, Changed: v.Details.GetChanged()},
		}
		if v.Versioned {
			cmd.Version = v.Ts
		}
		if err := set(cmd); err != nil {
			return err
		}
		_, err = r.s.opt.Objects.Update(r.ctx, r.bucket.Rules, cmd)
		switch between := errors.Is(err, meta.ErrPrecondition) || errors.Is(err, meta.ErrNoSuchKey); {
		case err == nil:
			r.showVersion(v)
			return nil
		case between && try == tries:
			return errOperationAborted
		case !between:
			return err
		}
	}
}

// getObjectTagging serves GetObjectTagging (S3 API reference).
func (r *request) getObjectTagging() error {
	v, err := r.permitted()
	if err != nil {
		return err
	}
	r.showVersion(v)
	return r.sendXML(http.StatusOK, s3xml.AppendTagging(nil, tagList(v.Details.GetTags())))
}

// putObjectTagging serves PutObjectTagging (S3 API reference).
func (r *request) putObjectTagging() error {
	tags, err := readConfig(r, func(doc io.Reader) ([]s3xml.Tag, error) { return s3xml.ReadTagging(doc, s3xml.ObjectTagsMax) })
	r.giveTags(tags)
	if err != nil {
		return r.toPermitted(err)
	}
	if err := r.setTags(r.givenTags.Encode()); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// giveTags makes tags those that policies see as the request's.
func (r *request) giveTags(tags []s3xml.Tag) { r.givenTags = tagValues(tags) }

// deleteObjectTagging serves DeleteObjectTagging (S3 API reference).
func (r *request) deleteObjectTagging() error {
	if err := r.setTags(""); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusNoContent)
}

func (r *request) setTags(tags string) error {
	return r.update(func(cmd *metapb.UpdateVersion) error {
		cmd.Change = &metapb.UpdateVersion_Tags{Tags: tags}
		return nil
	})
}

// tagList is a record's tags, in its order. What cannot be read is left out: it was checked when it was written.
func tagList(record string) []s3xml.Tag {
	var tags []s3xml.Tag
	for pair := range strings.SplitSeq(record, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil || key == "" {
			continue
		}
		if value, err = url.QueryUnescape(value); err == nil {
			tags = append(tags, s3xml.Tag{Key: key, Value: value})
		}
	}
	return tags
}
