package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// Read sends bytes [off, off+n) of e, verified, in order, to w as soon as each stripe is. It returns how many went out.
//
// A range that covers a whole blob is checked against the blob's checksum before the blob's last stripe goes out (I22).
// An error after bytes went out leaves the receiver with a part: the caller must end the connection.
//
// Errors: ErrUnavailable, ErrLost, ErrCorrupt, ErrNoPool, w's own, ctx's.
func (s *Store) Read(ctx context.Context, e Extent, off, n int64, w io.Writer) (int64, error) {
	s.traffic.enter()
	defer s.traffic.leave()
	return s.read(ctx, e, off, n, w)
}

// read is Read for whoever is no request.
func (s *Store) read(ctx context.Context, e Extent, off, n int64, w io.Writer) (int64, error) {
	if off < 0 || n < 0 || off > e.Size-n {
		return 0, fmt.Errorf("erasure: range %d+%d of %d bytes", off, n, e.Size)
	}
	if n == 0 {
		return 0, nil
	}
	if int64(len(e.PGs)) != (e.Size+e.BlobBytes-1)/e.BlobBytes {
		return 0, fmt.Errorf("%w: %d blobs for %d bytes", ErrNoPool, len(e.PGs), e.Size)
	}
	by := s.farBy()
	if sent, done, err := s.readUnit(ctx, e, off, n, by, w); done {
		return sent, err
	}
	r := &reading{s: s, e: e, pos: off, end: off + n, by: by}
	defer r.close()
	p, err := r.next(ctx)
	if err != nil {
		return 0, err
	}
	if r.pos == r.end { // one stripe: no goroutine
		return r.send(p, w)
	}
	return r.pipeline(ctx, p, w)
}

// reading is one Read: a cursor over stripes.
type reading struct {
	s        *Store
	e        Extent
	pos, end int64     // of what is still to be fetched
	by       time.Time // until when other nodes are waited for with the stripe at hand; of the first, from the read's beginning on

	blob  int // of shards
	b     *shards
	whole bool         // the range covers the blob: its checksum is computed
	hash  *xxh3.Hasher // if whole and of more than one piece
}

// piece is the wanted bytes of one stripe, in order.
type piece struct {
	bufs []*bufpool.Buf
	err  error
}

func (p piece) release() {
	for _, buf := range p.bufs {
		buf.Release()
	}
}

func (r *reading) close() {
	if r.b != nil {
		r.b.close()
	}
}

// next fetches and checks the next stripe.
func (r *reading) next(ctx context.Context) (piece, error) {
	if r.b != nil {
		r.by = r.s.farBy()
	}
	blob := int(r.pos / r.e.BlobBytes)
	if r.b == nil || blob != r.blob {
		if err := r.enter(blob); err != nil {
			return piece{}, err
		}
	}
	at := r.pos - int64(blob)*r.e.BlobBytes
	i := r.b.lay.StripeOf(at)
	from := int(at - r.b.lay.StripeStart(i))
	to := int(min(int64(r.b.lay.StripeBytes(i)), r.end-r.pos+int64(from)))
	bufs, err := r.fetch(ctx, i, from, to)
	if err != nil {
		return piece{}, err
	}
	p := piece{bufs: bufs}
	r.pos += int64(to - from)
	last := i == r.b.lay.Stripes()-1
	if r.whole && !r.right(p, last) {
		p.release()
		if i > 0 {
			r.s.opt.Report(BadShard{Kind: Unsound, Ref: r.b.ref, Err: ErrCorrupt})
			return piece{}, fmt.Errorf("%w: %v", ErrCorrupt, r.b.ref.Blob)
		}
		r.b.by = time.Time{} // the search takes its time
		if err := r.b.search(ctx, make([]bool, len(r.b.slots))); err != nil {
			return piece{}, err
		}
		r.b.by = r.s.farBy()
		p.bufs, err = r.b.stripe(ctx, i, from, to)
		return p, err
	}
	return p, nil
}

// enter goes on to another blob.
func (r *reading) enter(blob int) error {
	b, err := r.s.open(r.e.Blob(blob))
	if err != nil {
		return err
	}
	r.close()
	start := int64(blob) * r.e.BlobBytes
	r.b, r.blob, r.hash = b, blob, nil
	r.whole = r.pos == start && r.end >= start+b.lay.Size
	return nil
}

// fetch is shards.stripe, tried again if the owners have changed meanwhile (I5).
func (r *reading) fetch(ctx context.Context, i, from, to int) ([]*bufpool.Buf, error) {
	for {
		r.b.by = r.by
		bufs, err := r.b.stripe(ctx, i, from, to)
		switch {
		case err == nil:
			return bufs, nil
		case r.b.stale() && !r.b.stuck:
			if r.b.stuck = !r.s.Renewed(ctx, r.b.ref.Pool, r.b.ref.PG, r.b.pg.Epoch); r.b.stuck {
				continue
			}
		case !errors.Is(err, ErrLost) && !errors.Is(err, ErrUnavailable) || r.s.opt.Map() == r.b.m:
			return nil, err
		}
		b, again := r.s.open(r.b.ref)
		if again != nil {
			return nil, err
		}
		r.b.close()
		r.b = b
	}
}

// right adds p to the blob's checksum and, at the last piece, compares.
func (r *reading) right(p piece, last bool) bool {
	var sum [16]byte
	if last && r.hash == nil && len(p.bufs) == 1 {
		sum = sumBytes(p.bufs[0].B)
	} else {
		if r.hash == nil {
			r.hash = xxh3.New()
		}
		for _, buf := range p.bufs {
			r.hash.Write(buf.B)
		}
		if !last {
			return true
		}
		sum = sumOf(r.hash)
	}
	f, ok := r.b.footer()
	return ok && f.BlobSum == sum
}

func (r *reading) send(p piece, w io.Writer) (sent int64, err error) {
	defer p.release()
	for _, buf := range p.bufs {
		n, err := w.Write(buf.B)
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// pipeline fetches the next stripe while the one before goes out.
func (r *reading) pipeline(ctx context.Context, p piece, w io.Writer) (sent int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	pieces := make(chan piece)
	go func() {
		defer close(pieces)
		for r.pos < r.end {
			p, err := r.next(ctx)
			p.err = err
			select {
			case pieces <- p:
			case <-ctx.Done():
				p.release()
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() { // wait for the goroutine: it uses r
		cancel()
		for p := range pieces {
			p.release()
		}
	}()
	for {
		n, err := r.send(p, w)
		sent += n
		if err != nil {
			return sent, err
		}
		var more bool
		if p, more = <-pieces; !more {
			return sent, ctx.Err()
		}
		if p.err != nil {
			return sent, p.err
		}
	}
}
