package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// profiles are all codes up to 6+3.
func profiles() (all [][2]int) {
	for k := 1; k <= 6; k++ {
		for m := 0; m <= 3; m++ {
			all = append(all, [2]int{k, m})
		}
	}
	return all
}

// edges are sizes near every border of a layout of k units.
func edges(k, unit int) (sizes []int64) {
	seen := map[int64]bool{}
	add := func(n int64) {
		for _, d := range []int64{-1, 0, 1} {
			if n+d > 0 && !seen[n+d] {
				seen[n+d] = true
				sizes = append(sizes, n+d)
			}
		}
	}
	for j := range k + 1 {
		add(int64(j * MinUnit))
		add(int64(j * unit))
		add(int64(k*unit + j*MinUnit))
	}
	add(int64(2 * k * unit))
	add(int64(3*k*unit + unit/2))
	return sizes
}

func TestLayoutHoldsEveryByteOnce(t *testing.T) {
	const unit = 4 * MinUnit
	for _, p := range profiles() {
		k, m := p[0], p[1]
		for _, size := range edges(k, unit) {
			l := NewLayout(size, k, m, unit)
			var sum int64
			chunks := 0
			for slot := range l.N() {
				var shard int64
				for i := range l.Stripes() {
					n := l.UnitBytes(i, slot)
					if n > l.UnitLen(i) || l.UnitLen(i)%MinUnit != 0 || l.UnitLen(i) > unit {
						t.Fatalf("%+v: slot %d stripe %d has %d of %d", l, slot, i, n, l.UnitLen(i))
					}
					if slot >= k && n != l.UnitLen(i) {
						t.Fatalf("%+v: short parity unit", l)
					}
					if i < l.Stripes()-1 && n != unit {
						t.Fatalf("%+v: a unit before the last is short", l)
					}
					shard += int64(n)
				}
				if shard != l.ShardBytes(slot) || (shard > 0) != l.Stored(slot) || shard > l.MaxShardBytes() {
					t.Fatalf("%+v: slot %d has %d bytes, says %d", l, slot, shard, l.ShardBytes(slot))
				}
				if l.Stored(slot) {
					chunks++
				}
				if slot < k {
					sum += shard
				}
			}
			if sum != size || chunks != l.Chunks() {
				t.Fatalf("%+v: %d bytes in %d chunks, says %d", l, sum, chunks, l.Chunks())
			}
			var stripes int64
			for i := range l.Stripes() {
				if l.StripeStart(i) != stripes || l.StripeOf(stripes) != i {
					t.Fatalf("%+v: stripe %d begins at %d", l, i, l.StripeStart(i))
				}
				stripes += int64(l.StripeBytes(i))
			}
			if stripes != size {
				t.Fatalf("%+v: stripes hold %d", l, stripes)
			}
		}
	}
}

func TestLayoutOfSmallBlobs(t *testing.T) {
	for _, c := range []struct {
		size             int64
		chunks, tailUnit int
	}{
		{1, 3, 4 << 10}, {4 << 10, 3, 4 << 10}, {4<<10 + 1, 4, 4 << 10}, {16 << 10, 6, 4 << 10},
		{20 << 10, 5, 8 << 10}, {64 << 10, 6, 16 << 10}, {1 << 20, 6, 0},
	} {
		l := NewLayout(c.size, 4, 2, 256<<10)
		if l.Chunks() != c.chunks || l.tailUnit != c.tailUnit {
			t.Errorf("%d bytes at 4+2: %d chunks with units of %d, want %d of %d", c.size, l.Chunks(), l.tailUnit, c.chunks, c.tailUnit)
		}
	}
}

// cut spreads blob over the units of each stripe, as a writer does.
func cut(l Layout, c *Codec, blob []byte, i int) [][]byte {
	units := make([][]byte, l.N())
	rest := blob[l.StripeStart(i):][:l.StripeBytes(i)]
	for slot := range units {
		units[slot] = make([]byte, l.UnitLen(i))
		if slot < l.K {
			rest = rest[copy(units[slot], rest):]
		}
	}
	return units
}

// TestEveryLoss tries every code up to 6+3, every pattern of lost slots and every length near a unit's edge.
func TestEveryLoss(t *testing.T) {
	const unit = 2 * MinUnit
	rnd := rand.NewChaCha8([32]byte{1})
	for _, p := range profiles() {
		k, m := p[0], p[1]
		t.Run(fmt.Sprintf("%d+%d", k, m), func(t *testing.T) {
			c, err := New(k, m, unit)
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range edges(k, unit) {
				if testing.Short() && size%MinUnit != 1 {
					continue
				}
				l := NewLayout(size, k, m, unit)
				blob := make([]byte, size)
				rnd.Read(blob)
				last := cut(l, c, blob, l.Stripes()-1)
				if err := c.Encode(last); err != nil {
					t.Fatal(err)
				}
				if ok, err := c.Verify(last); !ok || err != nil {
					t.Fatalf("verify: %v %v", ok, err)
				}
				loseAll(t, c, l, last)
			}
		})
	}
}

func loseAll(t *testing.T, c *Codec, l Layout, units [][]byte) {
	t.Helper()
	n := l.N()
	for lost := range 1 << n {
		got := make([][]byte, n)
		want := make([]bool, n)
		for i := range n {
			if want[i] = lost>>i&1 == 1; !want[i] {
				got[i] = units[i]
			}
		}
		err := c.Reconstruct(got, want)
		if bits.OnesCount(uint(lost)) > l.M {
			if !errors.Is(err, ErrTooFew) {
				t.Fatalf("%+v lost %b: %v", l, lost, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%+v lost %b: %v", l, lost, err)
		}
		for i := range n {
			if !bytes.Equal(got[i], units[i]) {
				t.Fatalf("%+v lost %b: slot %d differs", l, lost, i)
			}
		}
	}
}

func TestReconstructMakesOnlyWhatIsWanted(t *testing.T) {
	c, _ := New(4, 2, MinUnit)
	units := make([][]byte, 6)
	for i := range units {
		units[i] = bytes.Repeat([]byte{byte(i)}, MinUnit)
	}
	if err := c.Encode(units); err != nil {
		t.Fatal(err)
	}
	keep := units[5]
	units[1], units[5] = make([]byte, 0, MinUnit), nil
	room := units[1][:1]
	if err := c.Reconstruct(units, []bool{false, true, false, false, false, false}); err != nil {
		t.Fatal(err)
	}
	if &room[0] != &units[1][0] || units[5] != nil || units[1][7] != 1 {
		t.Fatal("not in the given room, or more than was wanted")
	}
	units[1], units[2] = nil, nil
	units[5] = keep
	if err := c.Reconstruct(units, []bool{0: false, 2: true, 5: false}); err != nil {
		t.Fatal(err)
	}
	if units[1] != nil || units[2][9] != 2 {
		t.Fatal("wanted slot 2 alone")
	}
}

func TestShapes(t *testing.T) {
	c, _ := New(2, 1, MinUnit)
	if err := c.Encode([][]byte{make([]byte, 5), make([]byte, 4), make([]byte, 5)}); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if err := c.Encode(nil); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if err := c.Reconstruct([][]byte{make([]byte, 5), make([]byte, 4), nil}, make([]bool, 3)); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	for _, bad := range [][3]int{{0, 1, 1}, {1, -1, 1}, {200, 56, 1}, {1, 1, 0}} {
		if _, err := New(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("New%v", bad)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{4 << 10, 256 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, _ := New(4, 2, n)
			units := make([][]byte, 6)
			for i := range units {
				units[i] = make([]byte, n)
			}
			b.SetBytes(int64(4 * n))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Encode(units); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
