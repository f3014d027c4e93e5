package codec

import (
	"fmt"
	"slices"
)

// Locator finds which units of a code word are wrong, from how those that are there contradict each other.
//
// The first k units that are there give the others; the p that are there besides are checks. Per byte column, what the checks differ by
// is a vector of p bytes, the syndrome: a sum of one fixed vector for each wrong unit, times what is wrong with it. Any p of those vectors
// are linearly independent. So units that are wrong in the same places all along show as the span of few vectors, and a set of at most
// p−1 units explains all that was seen if its vectors span it. Nothing is read or decoded to try a set.
//
// Source: Reed-Solomon decoding of interleaved words by the column space of their syndromes; Metzner and Kapturowski 1990.
type Locator struct {
	c     *Codec
	have  []bool   // by slot
	basis []bool   // the k slots that the others are computed from
	check []int    // the p other slots
	sees  [][]byte // by slot: what a 1 in it does to the checks; nil if it is not there
	gf    field
	seen  span // of all syndromes so far
}

// Locator returns a locator of errors in words of which the units in have are there. have has n entries.
// Errors: ErrShape, ErrTooFew if fewer than k are there.
func (c *Codec) Locator(have []bool) (*Locator, error) {
	if len(have) != c.k+c.m {
		return nil, ErrShape
	}
	l := &Locator{c: c, have: have, basis: make([]bool, len(have)), sees: make([][]byte, len(have)), gf: newField()}
	rank := 0
	for slot, there := range have {
		switch {
		case there && rank < c.k:
			l.basis[slot] = true
			rank++
		case there:
			l.check = append(l.check, slot)
		}
	}
	if rank < c.k {
		return nil, ErrTooFew
	}
	for slot, there := range have {
		if there {
			if err := l.probe(slot); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// probe sets sees[slot], by coding a word of one column that is zero but for slot.
func (l *Locator) probe(slot int) error {
	units := make([][]byte, len(l.have))
	for i, there := range l.have {
		if there {
			units[i] = []byte{0}
		}
	}
	units[slot][0] = 1
	diff, err := l.contradictions(units)
	if err != nil {
		return err
	}
	l.sees[slot] = make([]byte, len(diff))
	for i := range diff {
		l.sees[slot][i] = diff[i][0]
	}
	return nil
}

// Checks is p, the number of units that are there beyond k. What p−1 wrong units do can be told from what others do.
func (l *Locator) Checks() int { return len(l.check) }

// Rank is the dimension of what was seen: at least so many units are wrong, or p if it says no more. 0: no unit contradicts another.
func (l *Locator) Rank() int { return len(l.seen) }

// Add takes one word. It costs p² steps for a byte column in which units contradict each other.
//
// Shapes: units holds n units of one length; those not in have are not looked at. Memory: read only.
// Errors: ErrShape.
func (l *Locator) Add(units [][]byte) error {
	if len(l.seen) == len(l.check) {
		return nil // nothing can be learned any more
	}
	diff, err := l.contradictions(units)
	if err != nil {
		return err
	}
	column := make([]byte, len(diff))
	for x := range len(diff[0]) {
		var any byte
		for i := range diff {
			column[i] = diff[i][x]
			any |= column[i]
		}
		if any != 0 && l.seen.add(&l.gf, column) && len(l.seen) == len(l.check) {
			return nil
		}
	}
	return nil
}

// contradictions gives for each check what it differs by from what the basis says.
func (l *Locator) contradictions(units [][]byte) ([][]byte, error) {
	if len(units) != len(l.have) {
		return nil, ErrShape
	}
	word, want := make([][]byte, len(units)), make([]bool, len(units))
	for slot := range units {
		if l.basis[slot] {
			word[slot] = units[slot]
		}
	}
	for _, slot := range l.check {
		want[slot] = true
	}
	if err := l.c.Reconstruct(word, want); err != nil {
		return nil, err
	}
	diff := make([][]byte, len(l.check))
	for i, slot := range l.check {
		diff[i] = word[slot]
		if len(units[slot]) != len(diff[i]) {
			return nil, fmt.Errorf("%w: unit %d", ErrShape, slot)
		}
		for x, b := range units[slot] {
			diff[i][x] ^= b
		}
	}
	return diff, nil
}

// Explains reports whether all that was seen can come from the units in slots, which are there. If so, all others that are there agree.
func (l *Locator) Explains(slots []int) bool {
	var s span
	for _, slot := range slots {
		s.add(&l.gf, l.sees[slot])
	}
	for _, v := range l.seen {
		if s.add(&l.gf, v) {
			return false
		}
	}
	return true
}

// Visible lists the units that are wrong if each is wrong in its own way: those whose vector lies in what was seen. It is all of them
// for as many as Rank says, if they are fewer than p.
func (l *Locator) Visible() (slots []int) {
	for slot, v := range l.sees {
		if s := slices.Clone(l.seen); v != nil && !s.add(&l.gf, v) {
			slots = append(slots, slot)
		}
	}
	return slots
}

// span is a basis of a vector space, each vector with a 1 at its lead, where those after it have 0.
type span [][]byte

// add widens s by v, which it does not keep, and reports whether v was outside.
func (s *span) add(gf *field, v []byte) bool {
	var buf [256]byte
	r := buf[:copy(buf[:], v)]
	for _, b := range *s {
		lead := leadOf(b)
		if f := r[lead]; f != 0 {
			for i := lead; i < len(r); i++ {
				r[i] ^= gf.mul(f, b[i])
			}
		}
	}
	lead := leadOf(r)
	if lead == len(r) {
		return false
	}
	f := gf.inverse(r[lead])
	kept := make([]byte, len(r))
	for i := range r {
		kept[i] = gf.mul(f, r[i])
	}
	*s = append(*s, kept)
	return true
}

func leadOf(v []byte) int {
	for i, b := range v {
		if b != 0 {
			return i
		}
	}
	return len(v)
}

// field is GF(2^8) as reedsolomon has it: polynomial 0x11D, generator 2.
type field struct {
	exp [510]byte
	log [256]uint16
}

func newField() (f field) {
	x := 1
	for i := range 255 {
		f.exp[i], f.exp[i+255], f.log[x] = byte(x), byte(x), uint16(i)
		if x <<= 1; x > 255 {
			x ^= 0x11D
		}
	}
	return f
}

func (f *field) mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return f.exp[f.log[a]+f.log[b]]
}

func (f *field) inverse(a byte) byte { return f.exp[255-f.log[a]] }
