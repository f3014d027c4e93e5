package erasure

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Reencode writes the body that e has as new blobs where t says, and says where. Every blob of e is read whole, so that nothing is
// written of one whose checksum is wrong (I22). Nothing refers to the new blobs yet; e stays.
//
// Memory: that of a read and of a write, whatever the body's size. Errors: as Store.Read's and Store.Write's; after one nothing is left but
// what the scrubber finds.
func (m *Mender) Reencode(ctx context.Context, e Extent, t Target) (Written, error) {
	if e.Size <= 0 {
		return Written{}, fmt.Errorf("erasure: a body of %d bytes has no blobs", e.Size)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := m.s.read(ctx, e, 0, e.Size, &pacedWriter{ctx: ctx, w: pw, pace: m.pace})
		pw.CloseWithError(err) // io.EOF after a whole body
	}()
	w, err := m.s.write(ctx, t, e.Size, pipeSource{pr})
	pr.Close()
	cancel()
	<-done
	return w, err
}

// pacedWriter hands bytes on at a pace: what is asked to pause is the time between two stripes, which has both the read and the write.
type pacedWriter struct {
	ctx  context.Context
	w    io.Writer
	pace Pace
	last time.Time // when the pause before ended
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	if p.last.IsZero() {
		p.last = time.Now()
	}
	n, err := p.w.Write(b)
	if err == nil {
		err = p.pace(p.ctx, int64(n), time.Since(p.last))
	}
	p.last = time.Now()
	return n, err
}

// pipeSource is a body out of a pipe: nobody reads what it has filled.
type pipeSource struct{ io.Reader }

func (pipeSource) Settle() error { return nil }
