package codec

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLocatorTellsWhatIsWrong spoils words of every shape: what is wrong each in its own way is seen at once; what is wrong in the same
// way is explained by the set that is wrong and by no other of its size.
func TestLocatorTellsWhatIsWrong(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, p := range [][3]int{{1, 2, 0}, {2, 2, 0}, {4, 2, 0}, {4, 4, 1}, {6, 3, 0}, {16, 8, 0}, {16, 8, 3}, {20, 12, 0}} {
		k, m, away := p[0], p[1], p[2]
		for wrong := 0; wrong <= m-away; wrong++ {
			for _, alike := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d+%d/away=%d/wrong=%d/alike=%v", k, m, away, wrong, alike), func(t *testing.T) {
					order := rnd.Perm(k + m)
					have := make([]bool, k+m)
					for _, slot := range order[away:] {
						have[slot] = true
					}
					bad := slices.Sorted(slices.Values(order[away:][:wrong]))
					l := located(t, rnd, k, m, have, bad, alike)
					checkLocator(t, l, bad, order[away:], alike)
				})
			}
		}
	}
}

// located is what a locator says of two words in which bad are wrong, all by the same bytes if alike.
func located(t *testing.T, rnd *rand.Rand, k, m int, have []bool, bad []int, alike bool) *Locator {
	c, err := New(k, m, 4096)
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Locator(have)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	for range 2 {
		units := make([][]byte, k+m)
		for i := range units {
			units[i] = make([]byte, n)
			for x := range units[i] {
				units[i][x] = byte(rnd.Uint32())
			}
		}
		if err := c.Encode(units); err != nil {
			t.Fatal(err)
		}
		same := byte(1 + rnd.IntN(255))
		for _, slot := range bad {
			units[slot][7] ^= same
			for x := 10; x < 50 && !alike; x++ {
				units[slot][x] = byte(rnd.Uint32())
			}
		}
		for slot := range units {
			if !have[slot] {
				units[slot] = nil
			}
		}
		if err := l.Add(units); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func checkLocator(t *testing.T, l *Locator, bad, there []int, alike bool) {
	if len(bad) == 0 {
		if l.Rank() != 0 {
			t.Errorf("rank %d with nothing wrong", l.Rank())
		}
		return
	}
	if !l.Explains(bad) {
		t.Errorf("%v does not explain what is wrong in it", bad)
	}
	if alike && l.Rank() != 1 || !alike && l.Rank() != len(bad) {
		t.Errorf("rank %d with %d units wrong, alike: %v", l.Rank(), len(bad), alike)
	}
	if len(bad) >= l.Checks() {
		return // nothing can be told
	}
	if !alike && !slices.Equal(l.Visible(), bad) {
		t.Errorf("visible: %v, want %v", l.Visible(), bad)
	}
	for _, slot := range there { // each other set of that size
		for i := range bad {
			other := slices.Clone(bad)
			if other[i] = slot; !slices.Contains(bad, slot) && l.Explains(other) {
				t.Errorf("%v is said to explain what is wrong in %v", other, bad)
			}
		}
	}
}

func TestLocatorRefuses(t *testing.T) {
	c, err := New(2, 1, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Locator([]bool{true, false, false}); !errors.Is(err, ErrTooFew) {
		t.Errorf("one unit of 2+1: %v", err)
	}
	if _, err := c.Locator([]bool{true, true}); !errors.Is(err, ErrShape) {
		t.Errorf("two entries for 2+1: %v", err)
	}
	l, err := c.Locator([]bool{true, true, true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Add([][]byte{{1}, {2}, {1, 2}}); !errors.Is(err, ErrShape) {
		t.Errorf("units of different lengths: %v", err)
	}
}

// BenchmarkLocator is the worst there is for 16+8: all columns wrong in seven units.
func BenchmarkLocator(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	c, err := New(16, 8, 64<<10)
	if err != nil {
		b.Fatal(err)
	}
	have, units := make([]bool, 24), make([][]byte, 24)
	for i := range units {
		have[i], units[i] = true, make([]byte, 64<<10)
		for x := range units[i] {
			if i < 7 {
				units[i][x] = byte(rnd.Uint32())
			}
		}
	}
	l, err := c.Locator(have)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(16 * 64 << 10)
	for b.Loop() {
		if err := l.Add(units); err != nil {
			b.Fatal(err)
		}
	}
	if l.Rank() != 7 {
		b.Fatal("rank", l.Rank())
	}
}
