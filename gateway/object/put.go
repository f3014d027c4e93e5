package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Put is one body on its way to become a version.
type Put struct {
	Bucket ids.Bucket
	Rules  int64    // revision of the bucket's rules, as the request found it (I11)
	Pool   ids.Pool // of the bucket; that of the object's storage class is used in its stead
	Key    string
	Size   int64     // of the body, 0 to BodyBytesMax
	Body   io.Reader // gives Size bytes, then io.EOF if they are genuine; other errors come back unchanged

	Details    *metapb.Details // Put owns it and sets Checksum and Extent
	ContentMD5 []byte          // raw, or nil
	Want       Want
	Condition  *metapb.Condition // nil: none

	// Real is nil but where Size is a guess, of a body whose length shows at its end only. Body gives Size bytes all the same, and says io.EOF
	// when its own end was found; then Real says how long the body is, and what of it comes behind the Size bytes. If it is not Size, the
	// body is stored a second time, from the first.
	Real func() (size int64, more []byte)
}

// poolOf is where a body of a storage class goes in a bucket of the given pool.
func (s *Store) poolOf(class string, bucket ids.Pool) ids.Pool {
	if s.opt.ClassPool != nil && class != "" {
		if pool, ok := s.opt.ClassPool(class); ok {
			return pool
		}
	}
	return bucket
}

// Put stores a body and commits it as the newest version of its key.
//
// Errors: Body's and Want.Trailer's own; ErrIncompleteBody, ErrBodyTooLong, ErrBadDigest, ErrTooSlow; erasure's and
// meta's. After an error nothing is stored, but after meta.ErrUnavailable that is unknown (I1).
func (s *Store) Put(ctx context.Context, p Put) (*metapb.Version, error) {
	if err := s.precheck(ctx, p.Bucket, p.Key, p.Condition); err != nil {
		return nil, err
	}
	if p.Details == nil {
		p.Details = new(metapb.Details)
	}
	p.Pool = s.poolOf(p.Details.StorageClass, p.Pool)
	algorithm := p.Want.Algorithm
	if row(algorithm).bytes == 0 {
		algorithm = DefaultAlgorithm
	}
	b := s.newBody(p.Body, p.Size, algorithm)
	defer b.close()

	cmd := &metapb.PutVersion{Bucket: uint64(p.Bucket), Key: p.Key, Condition: p.Condition}
	var written erasure.Written
	var err error
	if p.Size <= max(int64(s.opt.InlineBytes), 0) && p.Real == nil { // an empty body is no blob, whatever may be inline
		cmd.Inline, err = readInline(b, p.Size)
		cmd.HasInline = p.Size > 0
	} else {
		written, err = s.write(ctx, p.target(s.opt.Clock, 0), p.Size, b)
		cmd.Missed = MissedPB(written.Missed)
		p.Details.Extent = ExtentPB(written.Extent)
	}
	if err == nil {
		err = b.finish()
	}
	if err == nil && p.Real != nil {
		if size, more := p.Real(); size != p.Size {
			return s.putAgain(ctx, p, written.Extent, size, more)
		}
	}
	if err == nil {
		err = b.check(p.ContentMD5, p.Want)
	}
	if err != nil {
		s.discard(ctx, written.Extent)
		return nil, err
	}
	p.Details.Checksum = &metapb.Checksum{Algorithm: algorithm, Value: b.sum(algorithm)}
	cmd.Version = &metapb.Version{Size: uint64(p.Size), Md5: b.md5Sum(), Details: p.Details}
	err = s.commit(ctx, p.Bucket, p.Rules, func(rules int64) (err error) {
		cmd.Version.Ts, cmd.Version.Versioned = 0, false
		made, err := s.opt.Records.PutVersion(ctx, rules, cmd)
		cmd.Version.Ts, cmd.Version.Versioned = uint64(made.TS), made.Versioned
		return err
	})
	if err != nil {
		s.discardRefused(ctx, err, written.Extent)
		return nil, err
	}
	return cmd.Version, nil
}

// putAgain is Put of a body that was stored with a wrong length: in e, but for more.
func (s *Store) putAgain(ctx context.Context, p Put, e erasure.Extent, size int64, more []byte) (*metapb.Version, error) {
	defer s.discard(ctx, e)
	stored := pull(func(w io.Writer) error {
		_, err := s.opt.Blobs.Read(ctx, e, 0, size-int64(len(more)), w)
		return err
	})
	defer stored.Close()
	p.Size, p.Body, p.Real = size, io.MultiReader(stored, bytes.NewReader(more)), nil
	p.Details.Extent = nil
	return s.Put(ctx, p)
}

// Revise gives the version ts of a key new headers, tags, ACL and storage class; its body stays (I14). It is for buckets that
// never were versioned: in others the object is to be put again, as another version (meta.ErrBadCommand).
//
// Errors: meta.ErrPrecondition if ts is not the newest version, or condition does not hold.
func (s *Store) Revise(ctx context.Context, bucket ids.Bucket, rules int64, key string, v *metapb.Version, details *metapb.Details, c *metapb.Condition) (*metapb.Version, error) {
	cmd := &metapb.PutVersion{
		Bucket: uint64(bucket), Key: key, Revises: v.Ts, Condition: c,
		Version: &metapb.Version{Size: v.Size, Md5: v.Md5, Parts: v.Parts, Details: details},
	}
	out := &metapb.Version{Size: v.Size, Md5: v.Md5, Parts: v.Parts, Details: details}
	err := s.commit(ctx, bucket, rules, func(rules int64) error {
		made, err := s.opt.Records.PutVersion(ctx, rules, cmd)
		out.Ts = uint64(made.TS)
		return err
	})
	return out, err
}

// precheck refuses early what the range would refuse after the whole body. Only the range's word counts.
func (s *Store) precheck(ctx context.Context, bucket ids.Bucket, key string, c *metapb.Condition) error {
	if c == nil {
		return nil
	}
	v, err := s.Stat(ctx, bucket, key, meta.VersionRef{})
	switch {
	case errors.Is(err, meta.ErrNoSuchKey):
		if c.IfMatch != "" {
			return err
		}
		return nil
	case err != nil:
		return err
	}
	tag := ETag(v)
	if c.IfMatch != "" && c.IfMatch != "*" && c.IfMatch != tag ||
		c.IfNoneMatch == "*" || c.IfNoneMatch != "" && c.IfNoneMatch == tag {
		return meta.ErrPrecondition
	}
	return nil
}

func (p *Put) target(clock *hlc.Clock, part uint32) erasure.Target {
	stamp := clock.Now()
	return erasure.Target{Pool: p.Pool, Bucket: p.Bucket, Object: p.Key, Part: part, Upload: ids.NewUpload(stamp), Stamp: stamp}
}

// write stores size > 0 bytes as blobs. A body that failed on its own part keeps its own error.
func (s *Store) write(ctx context.Context, t erasure.Target, size int64, b *body) (erasure.Written, error) {
	w, err := s.opt.Blobs.Write(ctx, t, size, b)
	if settled := b.Settle(); err == nil {
		err = settled
	}
	return w, err
}

func readInline(b *body, size int64) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	buf := make([]byte, size) // not pooled: the log may hold on to it after an unknown outcome
	if _, err := io.ReadFull(b, buf); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = ErrIncompleteBody
		}
		return nil, err
	}
	return buf, nil
}

// Delete deletes what cmd names, as the bucket's versioning has it. Of targets, the i-th result is the i-th's, nil if it is not
// known: see meta.DeleteError. Keys have no results.
//
// Errors: meta's; with results, they are of those that have none.
func (s *Store) Delete(ctx context.Context, rules int64, cmd *metapb.DeleteVersions) ([]*metapb.DeleteResult, error) {
	results := make([]*metapb.DeleteResult, len(cmd.Targets))
	left := cmd
	var places []int // of left's targets in cmd's; nil: the same
	err := s.commit(ctx, ids.Bucket(cmd.Bucket), rules, func(rules int64) error {
		some, err := s.opt.Records.DeleteVersions(ctx, rules, left)
		for i, r := range some {
			if r.GetCode() == metapb.Code_SEALED { // for a moment, perhaps
				err = errors.Join(err, meta.ErrSealed)
				continue
			}
			if r != nil && places != nil {
				results[places[i]] = r
			} else if r != nil {
				results[i] = r
			}
		}
		if err != nil && len(results) > 0 { // what is done is not done again, for a marker would be made twice
			left, places = remaining(cmd, results)
		}
		return err
	})
	return results, err
}

// remaining is cmd with the targets that have no result yet, and where they are in cmd.
func remaining(cmd *metapb.DeleteVersions, results []*metapb.DeleteResult) (left *metapb.DeleteVersions, places []int) {
	left = &metapb.DeleteVersions{Bucket: cmd.Bucket, Owner: cmd.Owner}
	for i, r := range results {
		if r == nil {
			left.Targets = append(left.Targets, cmd.Targets[i])
			places = append(places, i)
		}
	}
	return left, places
}

// Update changes tags, ACL or lock of a version, in place, and returns what it is. Errors: meta's.
func (s *Store) Update(ctx context.Context, rules int64, cmd *metapb.UpdateVersion) (made meta.Made, err error) {
	err = s.commit(ctx, ids.Bucket(cmd.Bucket), rules, func(rules int64) (err error) {
		made, err = s.opt.Records.UpdateVersion(ctx, rules, cmd)
		return err
	})
	return made, err
}

// ruleReads is how often a command is built again for rules that changed meanwhile.
const ruleReads = 3

// commit proposes a command for a bucket, built with the given revision of its rules. It reads the rules again where a range
// holds others (I11), and waits a little for a bucket that is sealed while somebody tries to delete it (I20).
func (s *Store) commit(ctx context.Context, bucket ids.Bucket, rules int64, propose func(rules int64) error) (err error) {
	for read := 0; ; read++ {
		err = s.outwaitSeal(ctx, func() error { return propose(rules) })
		if !errors.Is(err, meta.ErrStaleRules) || s.opt.Rules == nil || read == ruleReads {
			return err
		}
		fresh, readErr := s.opt.Rules(ctx, bucket)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		rules = fresh
	}
}

// BringRules returns when every range of a bucket has its rules of today (I11). Errors: meta's.
func (s *Store) BringRules(ctx context.Context, bucket ids.Bucket) error {
	if s.opt.Rules == nil {
		return meta.ErrUnavailable
	}
	_, err := s.opt.Rules(ctx, bucket)
	return err
}

// outwaitSeal proposes again while the bucket is sealed, for SealWait at most, but nothing whose outcome is not known: it would be done
// twice (I1).
func (s *Store) outwaitSeal(ctx context.Context, propose func() error) error {
	const pause = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		err := propose()
		if !errors.Is(err, meta.ErrSealed) || errors.Is(err, meta.ErrUnavailable) || waited >= s.opt.SealWait {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// discardRefused deletes the blobs of a body that its range refused. Any other error leaves open whether
// the range has taken them: they stay, and the scrubber decides (I1, I6).
func (s *Store) discardRefused(ctx context.Context, err error, e erasure.Extent) {
	if errors.Is(err, meta.ErrUnavailable) { // also with a refusal, of a later try
		return
	}
	for _, refusal := range [...]error{
		meta.ErrPrecondition, meta.ErrNoSuchKey, meta.ErrNoSuchUpload, meta.ErrSealed, meta.ErrStaleRules, meta.ErrPoolClosed, meta.ErrLocked, meta.ErrFull,
	} {
		if errors.Is(err, refusal) {
			s.discard(ctx, e)
			return
		}
	}
}

// discard deletes blobs that were never proposed to a range. What it cannot delete the scrubber finds.
func (s *Store) discard(ctx context.Context, e erasure.Extent) {
	if len(e.PGs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	for i := range e.PGs {
		if err := s.opt.Blobs.Delete(ctx, e.Blob(i)); err != nil && ctx.Err() != nil {
			return
		}
	}
}

const discardTimeout = 10 * time.Second

// MissedPB is the slots that a body misses, as records hold them.
func MissedPB(in []erasure.Missed) []*metapb.Missed {
	if len(in) == 0 {
		return nil
	}
	out := make([]*metapb.Missed, len(in))
	for i, m := range in {
		out[i] = &metapb.Missed{Blob: m.Blob, Slot: uint32(m.Slot)}
	}
	return out
}

// ExtentPB is e as records hold it.
func ExtentPB(e erasure.Extent) *metapb.Extent {
	pgs := make([]byte, 0, 2*len(e.PGs))
	for _, pg := range e.PGs {
		pgs = binary.BigEndian.AppendUint16(pgs, uint16(pg))
	}
	return &metapb.Extent{
		Upload: slices.Clone(e.Upload[:]), Pool: uint32(e.Pool),
		Size: uint64(e.Size), BlobSize: uint64(e.BlobBytes), Pgs: pgs,
	}
}

// ExtentOf is ExtentPB's inverse. It does not trust e: meta.ErrCorrupt if it cannot be an extent.
func ExtentOf(e *metapb.Extent) (erasure.Extent, error) {
	out := erasure.Extent{Pool: ids.Pool(e.Pool), Size: int64(e.Size), BlobBytes: int64(e.BlobSize)}
	if len(e.Upload) != len(out.Upload) || len(e.Pgs)%2 != 0 || out.Size < 0 || e.Pool > 1<<16-1 {
		return out, errBadExtent
	}
	if out.Size > 0 && (out.BlobBytes <= 0 || (out.Size-1)/out.BlobBytes+1 != int64(len(e.Pgs)/2)) {
		return out, errBadExtent
	}
	copy(out.Upload[:], e.Upload)
	out.PGs = make([]ids.PG, len(e.Pgs)/2)
	for i := range out.PGs {
		out.PGs[i] = ids.PG(binary.BigEndian.Uint16(e.Pgs[2*i:]))
	}
	return out, nil
}

var errBadExtent = errors.New("object: extent of a record is malformed")

// ETag is v's entity tag without quotes: the body's MD5, or that of the parts' MD5s with their number.
func ETag(v *metapb.Version) string {
	var buf [2*md5.Size + 8]byte
	return string(AppendETag(buf[:0], v.Md5, v.Parts))
}

// AppendETag appends the entity tag without quotes.
func AppendETag(b, md5 []byte, parts uint32) []byte {
	b = hex.AppendEncode(b, md5)
	if parts > 0 {
		b = append(b, '-')
		b = strconv.AppendUint(b, uint64(parts), 10)
	}
	return b
}

// ReadDocument reads a small body of size bytes whole and checks its digests, without storing anything.
// Errors: as Put's.
func (s *Store) ReadDocument(r io.Reader, size int64, contentMD5 []byte, want Want) ([]byte, error) {
	b := s.newBody(r, min(size, asyncFrom-1), want.Algorithm)
	defer b.close()
	b.left = size
	doc, err := readInline(b, size)
	if err == nil {
		err = b.finish()
	}
	if err == nil {
		err = b.check(contentMD5, want)
	}
	return doc, err
}
