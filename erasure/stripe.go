package erasure

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/bufpool"
)

// Source is a body. It may go on reading the bytes that it filled (digests) until Settle returns.
type Source interface {
	io.Reader
	// Settle waits for that. Its error fails the write. Reading may go on after it.
	Settle() error
}

// stripe is one encoded stripe in memory: one buffer of data, one of parity.
type stripe struct {
	refs         atomic.Int32
	data, parity *bufpool.Buf
	units        [][]byte // n, of UnitLen bytes each, or the codec's zeros; shortened to what is stored by unit
}

// unit is what slot stores of st.
func (st *stripe) unit(l codec.Layout, i, slot int) []byte {
	return st.units[slot][:l.UnitBytes(i, slot)]
}

func (st *stripe) retain() { st.refs.Add(1) }

func (st *stripe) release() {
	if st.refs.Add(-1) == 0 {
		st.data.Release()
		st.parity.Release()
	}
}

// newStripe lends the buffers of stripe i.
func newStripe(pool *bufpool.Pool, c *codec.Codec, l codec.Layout, i int) *stripe {
	u := l.UnitLen(i)
	used := (l.StripeBytes(i) + u - 1) / u
	st := &stripe{data: pool.Get(used * u), units: make([][]byte, l.N())}
	st.refs.Store(1)
	if l.M > 0 {
		st.parity = pool.Get(l.M * u)
	}
	for slot := range st.units {
		switch {
		case slot < used:
			st.units[slot] = st.data.B[slot*u:][:u:u]
		case slot < l.K:
			st.units[slot] = c.Zeros(u)
		default:
			st.units[slot] = st.parity.B[(slot-l.K)*u:][:u:u]
		}
	}
	return st
}

// feed reads a body into stripes, and keeps them until the source has done with their bytes.
type feed struct {
	src  Source
	held []*stripe
	err  error // Settle's first
}

// fill reads stripe i of a blob, encodes it, and holds on to it until it is settled.
func (f *feed) fill(ctx context.Context, st *stripe, c *codec.Codec, l codec.Layout, i int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := l.StripeBytes(i)
	st.retain()
	f.held = append(f.held, st)
	if _, err := io.ReadFull(f.src, st.data.B[:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	clear(st.data.B[n:])
	return c.Encode(st.units)
}

// settle gives up the stripes, if there are more than keep.
func (f *feed) settle(keep int) error {
	if len(f.held) > keep {
		return f.finish()
	}
	return f.err
}

// finish settles what was read so far and gives the stripes up.
func (f *feed) finish() error {
	if err := f.src.Settle(); f.err == nil {
		f.err = err
	}
	for _, st := range f.held {
		st.release()
	}
	f.held = f.held[:0]
	return f.err
}
