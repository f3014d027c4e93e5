package object

import (
	"bytes"
	"crypto/md5"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/sherd-io/sherd/meta/metapb"
)

const (
	// asyncFrom is from which size on hashes slower than the network get a goroutine of their own.
	asyncFrom = 64 << 10
	// pieceBytes is how much of contiguous input is gathered before it is handed to such a goroutine.
	pieceBytes = 128 << 10
	// piecesMax bounds what waits for one; more makes Read wait.
	piecesMax = 32
)

// Want is the checksum that a client asked for.
type Want struct {
	Algorithm Algorithm // NONE: nothing is compared
	Value     []byte    // raw; nil if it was not given in a header
	// Trailer gives the raw value after the body's end, or nil if none came. Nil: there is no trailer.
	Trailer func() ([]byte, error)
}

// Given is the value that came: in the header, or behind the body, which must have been read to its end. Nil: none did.
// Errors: Trailer's own.
func (w *Want) Given() ([]byte, error) {
	if w.Trailer != nil {
		if v, err := w.Trailer(); err != nil || v != nil {
			return v, err
		}
	}
	return w.Value, nil
}

// body reads one body of a known length and computes its digests on the way. It implements
// erasure.Source. Its methods are for one goroutine at a time.
type body struct {
	r    io.Reader
	left int64
	dead time.Time // when the request has taken too long

	md5  *pump
	crcs []crcSum
	shas []*pump

	pool *md5Pool
}

type crcSum struct {
	algorithm Algorithm
	sum       uint64
}

// newBody begins the body r of size bytes. It computes MD5 and every algorithm of sums. close must be called.
func (s *Store) newBody(r io.Reader, size int64, sums ...Algorithm) *body {
	b := &body{r: r, left: size, dead: time.Now().Add(s.opt.WriteMax)}
	async := size >= asyncFrom
	if async {
		b.pool = &s.md5
		h, lane := b.pool.get()
		b.md5 = newPump(h, 0, lane == nil)
		b.md5.lane = lane
	} else {
		b.md5 = newPump(md5.New(), 0, false)
	}
	for _, a := range sums {
		switch {
		case row(a).bytes == 0 || b.has(a) || a == metapb.ChecksumAlgorithm_MD5: // that one there is anyway
		case row(a).crc:
			b.crcs = append(b.crcs, crcSum{algorithm: a})
		default:
			b.shas = append(b.shas, newPump(newHash(a), a, async))
		}
	}
	return b
}

func (b *body) has(a Algorithm) bool {
	for _, c := range b.crcs {
		if c.algorithm == a {
			return true
		}
	}
	for _, p := range b.shas {
		if p.algorithm == a {
			return true
		}
	}
	return false
}

// Read fills p, and may go on reading it until Settle.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	b.digest(p[:n])
	switch {
	case err == nil && b.pool != nil && time.Now().After(b.dead):
		return n, ErrTooSlow
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.left == 0:
		return n, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, ErrIncompleteBody
	}
	return n, err
}

func (b *body) digest(p []byte) {
	if len(p) == 0 {
		return
	}
	for i := range b.crcs {
		c := &b.crcs[i]
		c.sum = crcUpdate(c.algorithm, c.sum, p)
	}
	b.md5.write(p)
	for _, s := range b.shas {
		s.write(p)
	}
}

// Settle waits until nothing reads what Read filled.
func (b *body) Settle() error {
	b.md5.settle()
	for _, s := range b.shas {
		s.settle()
	}
	return nil
}

// finish reads the end of the stream: only there does its own check (signature, trailer) speak.
func (b *body) finish() error {
	if b.left > 0 {
		return ErrIncompleteBody
	}
	var one [1]byte
	for {
		n, err := b.r.Read(one[:])
		switch {
		case n > 0:
			return ErrBodyTooLong
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// md5Sum is the MD5 of what was read.
func (b *body) md5Sum() []byte { return b.md5.sum() }

// sum is the value of algorithm a, one that newBody was given.
func (b *body) sum(a Algorithm) []byte {
	if a == metapb.ChecksumAlgorithm_MD5 {
		return b.md5Sum()
	}
	for _, c := range b.crcs {
		if c.algorithm == a {
			return crcBytes(row(a), c.sum)
		}
	}
	for _, p := range b.shas {
		if p.algorithm == a {
			return p.sum()
		}
	}
	return nil
}

// check compares what the client gave with what came.
func (b *body) check(contentMD5 []byte, want Want) error {
	if contentMD5 != nil && !bytes.Equal(contentMD5, b.md5Sum()) {
		return &DigestError{Algorithm: "Content-MD5", Given: contentMD5, Computed: b.md5Sum()}
	}
	given, err := want.Given()
	if err != nil {
		return err
	}
	if given == nil || want.Algorithm == metapb.ChecksumAlgorithm_NONE {
		return nil
	}
	if got := b.sum(want.Algorithm); !bytes.Equal(got, given) {
		return &DigestError{Algorithm: AlgorithmName(want.Algorithm), Given: given, Computed: got}
	}
	return nil
}

// close ends the goroutines and gives the hasher back. It may be called twice.
func (b *body) close() {
	b.md5.close()
	for _, s := range b.shas {
		s.close()
	}
	if b.pool != nil {
		b.pool.put(b.md5.h, b.md5.lane != nil, b.md5.done != nil)
		b.pool = nil
	}
}

// pump feeds a hash, on a goroutine of its own if it is slow.
type pump struct {
	algorithm Algorithm
	h         hash.Hash
	done      []byte // the sum, once asked for

	lane    chan<- laneJob // not nil: h is written to through it
	work    chan []byte    // h has a goroutine of its own; both nil: hash at once
	pending []byte         // contiguous input not handed over yet
	busy    sync.WaitGroup
	ended   chan struct{}
}

func newPump(h hash.Hash, a Algorithm, async bool) *pump {
	p := &pump{algorithm: a, h: h}
	if !async {
		return p
	}
	p.work, p.ended = make(chan []byte, piecesMax), make(chan struct{})
	go func() {
		defer close(p.ended)
		for piece := range p.work {
			p.h.Write(piece)
			p.busy.Done()
		}
	}()
	return p
}

func (p *pump) write(b []byte) {
	if p.work == nil && p.lane == nil {
		p.h.Write(b)
		return
	}
	n := len(p.pending)
	if n == 0 || cap(p.pending) < n+len(b) || &p.pending[:n+1][n] != &b[0] {
		p.flush(n)
		p.pending = b
	} else {
		p.pending = p.pending[: n+len(b) : cap(p.pending)]
	}
	if n = len(p.pending); n >= pieceBytes {
		p.flush(n &^ (md5.BlockSize - 1)) // a rest of a block costs as much as a block
	}
}

// flush hands over the first n bytes of what is pending.
func (p *pump) flush(n int) {
	if n == 0 {
		return
	}
	piece := p.pending[:n]
	if p.pending = p.pending[n:]; p.lane != nil {
		p.busy.Wait()
		p.busy.Add(1)
		p.lane <- laneJob{p.h, piece, &p.busy}
		return
	}
	p.busy.Add(1)
	p.work <- piece
}

func (p *pump) settle() {
	if p.work != nil || p.lane != nil {
		p.flush(len(p.pending))
		p.busy.Wait()
	}
}

func (p *pump) sum() []byte {
	if p.done == nil {
		p.settle()
		p.done = p.h.Sum(nil)
	}
	return p.done
}

func (p *pump) close() {
	p.pending = nil
	p.busy.Wait()
	if p.work != nil {
		close(p.work)
		<-p.ended
		p.work = nil
	}
}
