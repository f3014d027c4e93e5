package object

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Span is which bytes of an object to read.
type Span struct {
	Off, N int64
	Part   int // not 0: the Part-th part, counted from 1, whatever Off and N say
}

// Reading is an object held open. Its bytes can be read until Close even if it is overwritten or
// deleted meanwhile (I13).
type Reading struct {
	Version *metapb.Version
	Span    Span // resolved: of a part, Off and N are its own

	store   *Store
	open    openRead
	inline  []byte
	extents []located
}

// located is an extent at its place in the object.
type located struct {
	erasure.Extent
	off int64
}

// Stat reads a version's record. Errors: meta.ErrNoSuchKey, meta.ErrNoSuchVersion, meta.ErrNoSuchBucket; a *MarkerError for a delete marker.
func (s *Store) Stat(ctx context.Context, bucket ids.Bucket, key string, version meta.VersionRef) (*metapb.Version, error) {
	v, _, err := s.get(ctx, bucket, key, meta.GetOptions{Version: version})
	return v, err
}

func (s *Store) get(ctx context.Context, bucket ids.Bucket, key string, opt meta.GetOptions) (*metapb.Version, []byte, error) {
	v, body, err := s.opt.Records.Get(ctx, bucket, key, opt)
	if err == nil && v.DeleteMarker {
		err = &MarkerError{Version: v}
	}
	return v, body, err
}

// Open opens a version. pick looks at it and says which bytes to read, or refuses; it is called
// again if the object changed while it was opened. Close must be called if there was no error.
//
// Errors: pick's own, meta's, *MarkerError, ErrNoSuchPart.
func (s *Store) Open(ctx context.Context, bucket ids.Bucket, key string, version meta.VersionRef, pick func(*metapb.Version) (Span, error)) (*Reading, error) {
	const tries = 10
	r := &Reading{store: s}
	s.reads.begin(&r.open)
	var err error
	for range tries {
		if err = s.tryOpen(ctx, r, bucket, key, version, pick); !errors.Is(err, errChanged) {
			break
		}
	}
	if err != nil {
		r.Close()
		if errors.Is(err, errChanged) {
			err = meta.ErrUnavailable
		}
		return nil, err
	}
	return r, nil
}

func (s *Store) tryOpen(ctx context.Context, r *Reading, bucket ids.Bucket, key string, version meta.VersionRef, pick func(*metapb.Version) (Span, error)) (err error) {
	r.extents = nil // of a version that was overwritten meanwhile
	if r.Version, r.inline, err = s.get(ctx, bucket, key, meta.GetOptions{Inline: true, Version: version}); err != nil {
		return err
	}
	if r.Span, err = pick(r.Version); err != nil {
		return err
	}
	v := r.Version
	if v.Parts == 0 && r.Span.Part > 1 {
		return ErrNoSuchPart
	}
	if v.Parts == 0 && r.Span.Part == 1 {
		r.Span.Off, r.Span.N = 0, int64(v.Size)
	}
	switch {
	case v.Parts > 0:
		return s.openParts(ctx, r, bucket, key)
	case v.Details.GetExtent() != nil:
		e, err := ExtentOf(v.Details.Extent)
		if err == nil && e.Size != int64(v.Size) {
			err = errBadExtent
		}
		r.extents = []located{{Extent: e}}
		return err
	case uint64(len(r.inline)) != v.Size:
		return errBadExtent
	}
	return nil
}

// extentsPage is how many extents are read at a time.
const extentsPage = 1000

// openParts loads the extents that the span touches.
func (s *Store) openParts(ctx context.Context, r *Reading, bucket ids.Bucket, key string) error {
	v := r.Version
	if r.Span.Part > int(v.Parts) {
		return ErrNoSuchPart
	}
	r.extents = r.extents[:0]
	off, end, max := r.Span.Off, r.Span.Off+r.Span.N, extentsPage
	if r.Span.Part > 0 {
		off, end = 0, int64(v.Size)
	} else {
		max = min(max, int(r.Span.N/s.opt.PartBytesMin)+2)
	}
	for seen := 0; off < end || seen < r.Span.Part; {
		page, err := s.opt.Records.Extents(ctx, bucket, key, hlc.Stamp(v.Ts), off, max)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return errChanged
		}
		for _, pb := range page {
			seen++
			if int64(pb.Offset) >= end && seen > r.Span.Part && len(r.extents) > 0 {
				return nil
			}
			if off = int64(pb.Offset + pb.Size); r.Span.Part > 0 && seen != r.Span.Part {
				continue
			}
			e, err := ExtentOf(pb)
			if err != nil {
				return err
			}
			r.extents = append(r.extents, located{Extent: e, off: int64(pb.Offset)})
			if seen == r.Span.Part {
				r.Span.Off, r.Span.N = int64(pb.Offset), e.Size
				r.Version.Details.Checksum = partChecksum(pb, v)
				return nil
			}
		}
	}
	return nil
}

// partChecksum is what a read of one part shows: the part's own checksum where the object's is made of such, else the object's, if that part is
// all of it. Source: what AWS answers, in localstack's tests of GetObject.
func partChecksum(pb *metapb.Extent, v *metapb.Version) *metapb.Checksum {
	whole := v.Details.GetChecksum()
	switch {
	case whole.GetComposite():
		return &metapb.Checksum{Algorithm: whole.Algorithm, Value: pb.GetChecksum().GetValue(), Composite: true}
	case pb.Size == v.Size:
		return whole
	}
	return nil
}

// WriteTo sends the span's bytes to w, in order, each verified before it is sent, and returns how many.
// After an error w has a prefix of the span.
func (r *Reading) WriteTo(ctx context.Context, w io.Writer) (int64, error) {
	off, end := r.Span.Off, r.Span.Off+r.Span.N
	if off == end {
		return 0, nil
	}
	if r.extents == nil {
		n, err := w.Write(r.inline[off:end])
		return int64(n), err
	}
	guard := guardedWriter{w: w, r: r}
	var sent int64
	for i := range r.extents {
		e := &r.extents[i]
		from, to := max(off, e.off), min(end, e.off+e.Size)
		if from >= to {
			continue
		}
		if from != off+sent {
			return sent, errBadExtent
		}
		n, err := r.store.opt.Blobs.Read(ctx, e.Extent, from-e.off, to-from, &guard)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	if sent != r.Span.N {
		return sent, errBadExtent
	}
	return sent, nil
}

// guardedWriter ends a read that is older than any may be (I13).
type guardedWriter struct {
	w io.Writer
	r *Reading
}

func (g *guardedWriter) Write(p []byte) (int, error) {
	if g.r.store.reads.expired(&g.r.open) || g.r.store.opt.Ended() {
		return 0, ErrTooSlow
	}
	return g.w.Write(p)
}

// Reader gives the span's bytes to somebody who pulls, as a copy does. Its Close must be called before r's.
func (r *Reading) Reader(ctx context.Context) io.ReadCloser {
	if r.extents == nil {
		return &pulled{Reader: bytes.NewReader(r.inline[r.Span.Off : r.Span.Off+r.Span.N])}
	}
	return pull(func(w io.Writer) error {
		_, err := r.WriteTo(ctx, w)
		return err
	})
}

// pull gives what write writes to somebody who pulls.
func pull(write func(io.Writer) error) *pulled {
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pw.CloseWithError(write(pw))
	}()
	return &pulled{Reader: pr, pipe: pr, done: done}
}

// pulled is what is pulled: closing it waits for the goroutine that fills it.
type pulled struct {
	io.Reader
	pipe *io.PipeReader
	done chan struct{}
}

func (p *pulled) Close() error {
	if p.pipe != nil {
		p.pipe.Close()
		<-p.done
	}
	return nil
}

// Close ends the read. It may be called twice.
func (r *Reading) Close() { r.store.reads.end(&r.open) }
