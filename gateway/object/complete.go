package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// CompletePart is one part as Complete names it.
type CompletePart struct {
	Part      int
	ETag      string    // without quotes
	Algorithm Algorithm // of Checksum; NONE: none given
	Checksum  []byte
}

// Complete is how an upload becomes a version.
type Complete struct {
	Bucket    ids.Bucket
	Rules     int64 // as Put's
	Key       string
	ID        ids.Upload
	Parts     []CompletePart
	Size      int64             // of the finished object as the client counts it; negative: not said
	Want      Want              // of the finished object
	Composite *bool             // the checksum's type as the client thinks; nil: not said
	Condition *metapb.Condition // nil: none
}

// Complete makes one version of the named parts; parts not named die with the upload (I21). Again with
// the same parts, it gives the same answer for seven days.
//
// Errors: ErrPartOrder, ErrInvalidPart, ErrPartTooSmall (as PartError), ErrTooLarge, ErrSizeMismatch, ErrBadDigest,
// ErrChecksumType; meta's.
func (s *Store) Complete(ctx context.Context, c Complete) (*metapb.Version, error) {
	if len(c.Parts) == 0 {
		return nil, &PartError{Err: ErrInvalidPart}
	}
	for i := 1; i < len(c.Parts); i++ {
		if c.Parts[i].Part <= c.Parts[i-1].Part {
			return nil, &PartError{Err: ErrPartOrder, Part: c.Parts[i].Part}
		}
	}
	const tries = 3 // a part may be replaced between reading and committing
	for try := 1; ; try++ {
		v, err := s.tryComplete(ctx, &c)
		if !errors.Is(err, meta.ErrPartChanged) {
			return v, err
		}
		if try == tries {
			return nil, &PartError{Err: ErrInvalidPart}
		}
	}
}

func (s *Store) tryComplete(ctx context.Context, c *Complete) (*metapb.Version, error) {
	upload, parts, err := s.AllParts(ctx, c.Bucket, c.Key, c.ID)
	if err != nil {
		return s.repeatComplete(ctx, c, err)
	}
	chosen, err := s.choose(c.Parts, parts)
	if err != nil {
		return nil, err
	}
	v, err := finished(upload, chosen)
	if err != nil {
		return nil, err
	}
	if err := c.verify(v); err != nil {
		return nil, err
	}
	cmd := &metapb.CompleteUpload{Bucket: uint64(c.Bucket), Key: c.Key, Id: c.ID[:], Version: v, Condition: c.Condition}
	for _, e := range chosen {
		cmd.Parts = append(cmd.Parts, &metapb.PartRef{Part: e.Part, Upload: e.Upload, Md5: e.Md5})
	}
	err = s.commit(ctx, c.Bucket, c.Rules, func(rules int64) (err error) {
		v, err = s.opt.Records.CompleteUpload(ctx, rules, cmd)
		return err
	})
	return v, err
}

// AllParts reads an unfinished upload with all its parts.
func (s *Store) AllParts(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload) (upload *metapb.Upload, parts []*metapb.Extent, err error) {
	for after := uint32(0); ; {
		var page []*metapb.Extent
		upload, page, err = s.opt.Records.ListParts(ctx, bucket, key, id, after, extentsPage)
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, page...)
		if len(page) < extentsPage {
			return upload, parts, nil
		}
		after = page[len(page)-1].Part
	}
}

// choose finds the named parts among those that there are, which ascend.
func (s *Store) choose(named []CompletePart, have []*metapb.Extent) ([]*metapb.Extent, error) {
	chosen := make([]*metapb.Extent, 0, len(named))
	var tag [2 * md5.Size]byte
	for i, n := range named {
		at, found := slices.BinarySearchFunc(have, n.Part, func(e *metapb.Extent, part int) int { return int(e.Part) - part })
		if !found || string(AppendETag(tag[:0], have[at].Md5, 0)) != n.ETag {
			return nil, &PartError{Err: ErrInvalidPart, Part: n.Part, ETag: n.ETag}
		}
		e := have[at]
		if n.Checksum != nil && n.Algorithm == e.Checksum.GetAlgorithm() && !bytes.Equal(n.Checksum, e.Checksum.Value) {
			return nil, &PartError{Err: ErrInvalidPart, Part: n.Part, ETag: n.ETag}
		}
		if i < len(named)-1 && int64(e.Size) < s.opt.PartBytesMin {
			return nil, &PartError{Err: ErrPartTooSmall, Part: n.Part, ETag: n.ETag, Size: int64(e.Size)}
		}
		chosen = append(chosen, e)
	}
	return chosen, nil
}

// finished computes the version that the chosen parts make.
func finished(upload *metapb.Upload, chosen []*metapb.Extent) (*metapb.Version, error) {
	var size uint64
	h := md5.New()
	for _, e := range chosen {
		size += e.Size
		h.Write(e.Md5)
	}
	if size > ObjectBytesMax {
		return nil, ErrTooLarge
	}
	details := upload.GetDetails()
	if details == nil {
		details = new(metapb.Details)
	}
	asked := details.Checksum
	details.Checksum, details.Initiator = nil, ""
	if value := combineParts(asked.GetAlgorithm(), asked.GetComposite(), chosen); value != nil {
		details.Checksum = &metapb.Checksum{Algorithm: asked.Algorithm, Composite: asked.Composite, Value: value}
	}
	return &metapb.Version{Size: size, Md5: h.Sum(nil), Parts: uint32(len(chosen)), Details: details}, nil
}

// verify compares what the client said of the whole with what the parts make.
func (c *Complete) verify(v *metapb.Version) error {
	if c.Size >= 0 && uint64(c.Size) != v.Size {
		return ErrSizeMismatch
	}
	have := v.Details.Checksum
	if c.Composite != nil && have != nil && *c.Composite != have.Composite {
		return ErrChecksumType
	}
	if c.Want.Value == nil || have == nil {
		return nil
	}
	if c.Want.Algorithm != have.Algorithm {
		return ErrChecksumType
	}
	if !bytes.Equal(c.Want.Value, have.Value) {
		return &DigestError{Algorithm: AlgorithmName(have.Algorithm), Given: c.Want.Value, Computed: have.Value}
	}
	return nil
}

// repeatComplete answers a Complete of an upload that is not open: with the first answer, if its parts are
// those that the upload was finished with.
func (s *Store) repeatComplete(ctx context.Context, c *Complete, gone error) (*metapb.Version, error) {
	if !errors.Is(gone, meta.ErrNoSuchUpload) {
		return nil, gone
	}
	u, err := s.opt.Records.Completed(ctx, c.Bucket, c.Key, c.ID)
	if err != nil {
		return nil, err
	}
	var sum state.PartsSum
	for _, p := range c.Parts {
		tag, err := hex.DecodeString(p.ETag)
		if err != nil {
			return nil, gone
		}
		sum.Add(uint32(p.Part), tag)
	}
	if !bytes.Equal(sum.Sum(), u.PartsSum) {
		return nil, gone
	}
	return u.Completed, nil
}
