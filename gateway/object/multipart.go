package object

import (
	"context"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// CreateUpload begins a multipart upload and returns its id. details.Checksum holds the algorithm and
// type asked for; nil: none was, and the object gets the default, of the whole.
func (s *Store) CreateUpload(ctx context.Context, bucket ids.Bucket, rules int64, key string, details *metapb.Details) (ids.Upload, error) {
	id := ids.NewUpload(s.opt.Clock.Now())
	cmd := &metapb.CreateUpload{Bucket: uint64(bucket), Key: key, Id: id[:], Details: details}
	return id, s.commit(ctx, bucket, rules, func(rules int64) error { return s.opt.Records.CreateUpload(ctx, rules, cmd) })
}

// PutPart stores a body as part number part of upload id; p.Details and p.Condition are not used.
// The extent returned has the part's MD5 and checksum: of the upload's algorithm, whatever p.Want is.
//
// Errors: as Put's; meta.ErrNoSuchUpload; ErrChecksumType (as ChecksumError).
func (s *Store) PutPart(ctx context.Context, id ids.Upload, part uint32, p Put) (*metapb.Extent, error) {
	upload, err := s.upload(ctx, id, &p)
	if err != nil {
		return nil, err
	}
	if err := fits(upload.GetDetails().GetChecksum(), p.Want.Algorithm); err != nil {
		return nil, err
	}
	return s.putPart(ctx, upload, id, part, p)
}

// CopyPart is PutPart of bytes that a store has already: their checksum is computed here, also where a client would have to give it.
func (s *Store) CopyPart(ctx context.Context, id ids.Upload, part uint32, p Put) (*metapb.Extent, error) {
	upload, err := s.upload(ctx, id, &p)
	if err != nil {
		return nil, err
	}
	return s.putPart(ctx, upload, id, part, p)
}

// upload reads the upload id of p's key.
func (s *Store) upload(ctx context.Context, id ids.Upload, p *Put) (*metapb.Upload, error) {
	upload, _, err := s.opt.Records.ListParts(ctx, p.Bucket, p.Key, id, PartsMax, 1)
	return upload, err
}

// fits refuses a part with another checksum than its upload asked for, and one without where the object's is made of what the client says of
// its parts. Where none was asked for, any is verified, and not kept. Source: UploadPart, and what AWS answers.
func fits(asked *metapb.Checksum, given Algorithm) error {
	if asked == nil || given == asked.Algorithm || given == metapb.ChecksumAlgorithm_NONE && !asked.Composite {
		return nil
	}
	return &ChecksumError{Err: ErrChecksumType, Upload: asked, Given: given}
}

// algorithmOf is that of the checksum which the parts of u have, and the object will.
func algorithmOf(u *metapb.Upload) Algorithm {
	if a := u.GetDetails().GetChecksum().GetAlgorithm(); row(a).bytes > 0 {
		return a
	}
	return DefaultAlgorithm
}

func (s *Store) putPart(ctx context.Context, upload *metapb.Upload, id ids.Upload, part uint32, p Put) (*metapb.Extent, error) {
	p.Pool = s.poolOf(upload.GetDetails().GetStorageClass(), p.Pool)
	algorithm := algorithmOf(upload)
	b := s.newBody(p.Body, p.Size, algorithm, p.Want.Algorithm)
	defer b.close()
	t := p.target(s.opt.Clock, part)
	written := erasure.Written{Extent: erasure.Extent{Pool: p.Pool, Upload: t.Upload}}
	var err error
	if p.Size > 0 {
		written, err = s.write(ctx, t, p.Size, b)
	}
	if err == nil {
		err = b.finish()
	}
	if err == nil {
		err = b.check(p.ContentMD5, p.Want)
	}
	if err != nil {
		s.discard(ctx, written.Extent)
		return nil, err
	}
	e := ExtentPB(written.Extent)
	e.Part, e.Md5 = part, b.md5Sum()
	e.Checksum = &metapb.Checksum{Algorithm: algorithm, Value: b.sum(algorithm)}
	e.Modified = uint64(s.opt.Clock.Now())
	cmd := &metapb.PutPart{Bucket: uint64(p.Bucket), Key: p.Key, Id: id[:], Extent: e, Missed: MissedPB(written.Missed)}
	err = s.commit(ctx, p.Bucket, p.Rules, func(rules int64) error { return s.opt.Records.PutPart(ctx, rules, cmd) })
	if err != nil {
		s.discardRefused(ctx, err, written.Extent)
		return nil, err
	}
	return e, nil
}

// Abort ends an upload and gives its parts to the reclaimer. Errors: meta.ErrNoSuchUpload, meta.ErrNoSuchBucket.
func (s *Store) Abort(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload) error {
	return s.opt.Records.AbortUpload(ctx, &metapb.AbortUpload{Bucket: uint64(bucket), Key: key, Id: id[:]})
}

// Parts reads an unfinished upload and at most max of its parts after a part number, ascending.
// Errors: meta.ErrNoSuchUpload, meta.ErrNoSuchBucket.
func (s *Store) Parts(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload, after uint32, max int) (*metapb.Upload, []*metapb.Extent, error) {
	return s.opt.Records.ListParts(ctx, bucket, key, id, after, max)
}

// Extents reads at most max extents of a multipart version, ascending, from the one that holds off. None: the version is gone.
// Errors: meta's.
func (s *Store) Extents(ctx context.Context, bucket ids.Bucket, key string, v *metapb.Version, off int64, max int) ([]*metapb.Extent, error) {
	return s.opt.Records.Extents(ctx, bucket, key, hlc.Stamp(v.Ts), off, max)
}
