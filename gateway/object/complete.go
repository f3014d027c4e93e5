package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

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
	WantParts int               // the number of parts behind Want's value; 0: not said
	Composite *bool             // the checksum's type as the client thinks; nil: not said
	Condition *metapb.Condition // nil: none
}

// Complete makes one version of the named parts; parts not named die with the upload (I21). Again with
// the same parts, it gives the same answer for seven days.
//
// Errors: ErrPartOrder, ErrInvalidPart, ErrPartTooSmall (as PartError), ErrTooLarge, ErrSizeMismatch (as SizeError), ErrBadDigest,
// ErrChecksumType, ErrChecksumMode, ErrChecksumMissing (as ChecksumError); meta's.
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
	upload, parts, err := s.allParts(ctx, c.Bucket, c.Key, c.ID)
	if err != nil {
		return s.repeatComplete(ctx, c, err)
	}
	asked := upload.GetDetails().GetChecksum()
	chosen, err := s.choose(asked, c.Parts, parts)
	if err != nil {
		return nil, err
	}
	v, err := finished(upload, chosen)
	if err != nil {
		return nil, err
	}
	if err := c.verify(asked, v); err != nil {
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

// allParts reads an unfinished upload with all its parts.
func (s *Store) allParts(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload) (upload *metapb.Upload, parts []*metapb.Extent, err error) {
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
func (s *Store) choose(asked *metapb.Checksum, named []CompletePart, have []*metapb.Extent) ([]*metapb.Extent, error) {
	chosen := make([]*metapb.Extent, 0, len(named))
	var tag [2 * md5.Size]byte
	for i, n := range named {
		at, found := slices.BinarySearchFunc(have, n.Part, func(e *metapb.Extent, part int) int { return int(e.Part) - part })
		if !found || string(AppendETag(tag[:0], have[at].Md5, 0)) != n.ETag {
			return nil, &PartError{Err: ErrInvalidPart, Part: n.Part, ETag: n.ETag}
		}
		e := have[at]
		if err := n.check(asked, e); err != nil {
			return nil, err
		}
		if i < len(named)-1 && int64(e.Size) < s.opt.PartBytesMin {
			return nil, &PartError{Err: ErrPartTooSmall, Part: n.Part, ETag: n.ETag, Size: int64(e.Size)}
		}
		chosen = append(chosen, e)
	}
	return chosen, nil
}

// check compares the checksum that Complete gives of a part with the part's own. An upload that asked for none has the default's, which no
// client knows but from UploadPart's answer: any other is no checksum of that part. Source: CompleteMultipartUpload, and what AWS answers.
func (n *CompletePart) check(asked *metapb.Checksum, e *metapb.Extent) error {
	switch have := e.Checksum; {
	case n.Checksum == nil && asked.GetComposite():
		return &ChecksumError{Err: ErrChecksumMissing, Upload: asked, Part: n.Part}
	case n.Checksum == nil, n.Algorithm == have.GetAlgorithm() && bytes.Equal(n.Checksum, have.GetValue()):
		return nil
	case asked != nil && n.Algorithm != asked.Algorithm:
		return &ChecksumError{Err: ErrBadDigest, Upload: asked, Given: n.Algorithm, Part: n.Part}
	}
	return &PartError{Err: ErrInvalidPart, Part: n.Part, ETag: n.ETag}
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
	algorithm, composite := algorithmOf(upload), details.Checksum.GetComposite()
	details.Checksum, details.Initiator = nil, ""
	if value := combineParts(algorithm, composite, chosen); value != nil {
		details.Checksum = &metapb.Checksum{Algorithm: algorithm, Composite: composite, Value: value}
	}
	return &metapb.Version{Size: size, Md5: h.Sum(nil), Parts: uint32(len(chosen)), Details: details}, nil
}

// verify compares what the client said of the whole with what the parts make.
func (c *Complete) verify(asked *metapb.Checksum, v *metapb.Version) error {
	if c.Size >= 0 && uint64(c.Size) != v.Size {
		return &SizeError{Said: c.Size, Computed: int64(v.Size)}
	}
	have := v.Details.Checksum
	if c.Composite != nil && have != nil && *c.Composite != have.Composite {
		return &ChecksumError{Err: ErrChecksumMode, Upload: have}
	}
	if c.Want.Value == nil || have == nil {
		return nil
	}
	if c.Want.Algorithm != have.Algorithm {
		return &ChecksumError{Err: ErrChecksumType, Upload: asked, Given: c.Want.Algorithm}
	}
	if !bytes.Equal(c.Want.Value, have.Value) || c.WantParts > 0 && (!have.Composite || c.WantParts != int(v.Parts)) {
		return &DigestError{Algorithm: strings.ToLower(AlgorithmName(have.Algorithm)), Given: c.Want.Value, Computed: have.Value}
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
