package codec

import (
	"errors"
	"fmt"

	"github.com/klauspost/reedsolomon"
)

var (
	// ErrShape reports units of wrong number or length: a bug of the caller.
	ErrShape = errors.New("codec: units of unequal shape")
	// ErrTooFew reports that fewer than k units are present.
	ErrTooFew = errors.New("codec: fewer than k units")
)

// UnitMax is the longest unit, in bytes, that a Codec takes.
const UnitMax = 4 << 20

// Codec computes and restores parity for one profile. It is safe for concurrent use.
//
// Source: Reed-Solomon over GF(2^8), systematic; Plank 1997 as corrected in 2003.
type Codec struct {
	k, m  int
	enc   reedsolomon.Encoder // nil if m = 0
	zeros []byte              // never written
}

// New returns the codec of k data and m parity units of at most unitMax bytes.
// One stripe is encoded on the caller's goroutine: requests are what runs in parallel.
func New(k, m, unitMax int) (*Codec, error) {
	if k < 1 || m < 0 || k+m > 255 || unitMax < 1 || unitMax > UnitMax {
		return nil, fmt.Errorf("codec: no code has k=%d m=%d unit=%d", k, m, unitMax)
	}
	c := &Codec{k: k, m: m, zeros: make([]byte, unitMax)}
	if m == 0 {
		return c, nil
	}
	enc, err := reedsolomon.New(k, m, reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(true))
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	c.enc = enc
	return c, nil
}

// Zeros is the unit that stands for a slot with no bytes. It must not be written to.
func (c *Codec) Zeros(n int) []byte { return c.zeros[:n:n] }

// Encode computes the parity units of one stripe.
//
// Shapes: units holds k data then m parity units, all of one length n > 0, in bytes.
// Memory: data is read only, parity is overwritten.
// Errors: ErrShape if a length differs. There is no I/O, so there are no others.
func (c *Codec) Encode(units [][]byte) error {
	if len(units) != c.k+c.m {
		return ErrShape
	}
	if c.m == 0 {
		return nil
	}
	if err := c.enc.Encode(units); err != nil {
		return fmt.Errorf("%w: %v", ErrShape, err)
	}
	return nil
}

// Reconstruct makes the units that want names out of k others.
//
// Shapes: units holds n units; those present have one length, those missing have length 0 and, where wanted,
// room for that length (else a new slice is made). want has n entries.
// Memory: present units are read only.
// Errors: ErrTooFew if fewer than k are present, ErrShape if lengths differ.
func (c *Codec) Reconstruct(units [][]byte, want []bool) error {
	if len(units) != c.k+c.m || len(want) != c.k+c.m {
		return ErrShape
	}
	if c.m == 0 {
		return c.nothingWanted(units, want)
	}
	err := c.enc.ReconstructSome(units, want)
	if errors.Is(err, reedsolomon.ErrTooFewShards) || errors.Is(err, reedsolomon.ErrShardNoData) {
		return ErrTooFew
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrShape, err)
	}
	return nil
}

// Verify reports whether the parity units are those of the data units.
//
// Shapes: as Encode's. Memory: all units are read only.
func (c *Codec) Verify(units [][]byte) (bool, error) {
	if len(units) != c.k+c.m {
		return false, ErrShape
	}
	if c.m == 0 {
		return true, nil
	}
	ok, err := c.enc.Verify(units)
	if err != nil {
		return false, fmt.Errorf("%w: %v", ErrShape, err)
	}
	return ok, nil
}

func (c *Codec) nothingWanted(units [][]byte, want []bool) error {
	for i, w := range want {
		if w && len(units[i]) == 0 {
			return ErrTooFew
		}
	}
	return nil
}
