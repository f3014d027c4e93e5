package erasure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/placement"
)

// wideBytes is a blob of 16+8 with two stripes, the second of which is short.
const wideBytes = 16*4<<10 + 9000

func wide(t testing.TB) (*cluster, BlobRef) {
	c := newCluster(t, 16, 8, 4<<10, 0, nil)
	return c, c.mustPut("x", wideBytes).Blob(0)
}

// ownWay spoils a shard as no other is.
func ownWay(rnd *rand.Rand) func([]byte) {
	return func(b []byte) {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
	}
}

// passes runs VerifyBlob and says how often it read the blob.
func (c *cluster) passes(ctx context.Context, ref BlobRef) (st BlobState, passes int, err error) {
	first := 0
	st, err = c.store.verify(ctx, ref, func(context.Context, int64, time.Duration) error {
		first++
		return ctx.Err()
	})
	l := c.m.Load().Pools[ref.Pool]
	return st, first / layout(l, ref.Size).Stripes(), err
}

func mustBlame(t *testing.T, st BlobState, err error, want []int) {
	t.Helper()
	var bad []int
	for slot, kind := range st.Bad {
		if kind != 0 {
			bad = append(bad, slot)
		}
	}
	if err != nil || !st.Sum || !slices.Equal(bad, want) {
		t.Errorf("%v: sum right: %v, blamed %v, want %v", err, st.Sum, bad, want)
	}
}

// TestI22_WrongShardsAreFoundWhateverTheCode: in 16+8, up to seven shards that are wrong unnoticed, each in its own way, or six in the
// same, are found in a few readings of the blob.
func TestI22_WrongShardsAreFoundWhateverTheCode(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for wrong := 1; wrong <= 7; wrong++ {
		for name, spoil := range map[string]func([]byte){"own": ownWay(rnd), "same": func(b []byte) { b[5] ^= 9 }} {
			if name == "same" && wrong == 7 {
				continue // a thousand other sets explain it by chance
			}
			t.Run(fmt.Sprintf("%d/%s", wrong, name), func(t *testing.T) {
				c, ref := wide(t)
				bad := rnd.Perm(16 + 8)[:wrong]
				slices.Sort(bad)
				for _, slot := range bad {
					c.spoil(ref, slot, spoil)
				}
				st, passes, err := c.passes(t.Context(), ref)
				mustBlame(t, st, err, bad)
				if passes > 10 {
					t.Errorf("%d readings of the blob", passes)
				}
			})
		}
	}
}

// TestI22_AllPatternsOfASmallCode: whichever m shards are wrong, they are found, also where the k others cannot contradict each other.
func TestI22_AllPatternsOfASmallCode(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	slots := []int{0, 1, 2, 3, 4, 5}
	for size := range 3 {
		for bad := range subsets(slots, size) {
			c := newCluster(t, 4, 2, 8<<10, 0, nil)
			ref := c.mustPut("x", 50_000).Blob(0)
			for _, slot := range bad {
				c.spoil(ref, slot, ownWay(rnd))
			}
			st, err := c.store.VerifyBlob(t.Context(), ref)
			mustBlame(t, st, err, bad)
		}
	}
}

// TestI22_ANodeThatWritesNonsense holds all the parity that there is: its shards are the first eight that are left out.
func TestI22_ANodeThatWritesNonsense(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	c, ref := wide(t)
	c.change(func(m *placement.Map) {
		for i, id := range c.ids {
			m.Drives[id].Node = fmt.Sprint("n", i%3)
		}
	})
	var bad []int
	for slot, sl := range c.m.Load().Pools[testPool].PGs[ref.PG].Slots {
		if c.m.Load().Drives[sl.Drive].Node == "n1" {
			bad = append(bad, slot)
			c.spoil(ref, slot, ownWay(rnd))
		}
	}
	st, passes, err := c.passes(t.Context(), ref)
	if mustBlame(t, st, err, bad); passes > 6 {
		t.Errorf("%d readings of the blob", passes)
	}
}

// TestTheHuntIsBounded: a blob of 16+8 of which nine shards are wrong cannot be had. C(24,8) choices would take for ever.
func TestTheHuntIsBounded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	c, ref := wide(t)
	for _, slot := range rnd.Perm(24)[:9] {
		c.spoil(ref, slot, ownWay(rnd))
	}
	st, passes, err := c.passes(t.Context(), ref)
	if err != nil || st.Sum {
		t.Fatalf("%v, sum right: %v", err, st.Sum)
	}
	if passes < triesMax/2 || passes > triesMax+4 {
		t.Errorf("%d readings of the blob, of at most %d", passes, triesMax+4)
	}

	// Away, a drive may hold what is lacking: nothing is said to be damaged for good.
	c.on(ref, 0).set(func() { c.on(ref, 0).health = disk.Failed })
	if st, err := c.store.VerifyBlob(t.Context(), ref); !errors.Is(err, ErrUnavailable) {
		t.Errorf("with a drive away: %v, sum right: %v", err, st.Sum)
	}
}

// TestTheHuntEndsWithItsRequest: it can be called off between two readings.
func TestTheHuntEndsWithItsRequest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	c, ref := wide(t)
	for _, slot := range rnd.Perm(24)[:9] {
		c.spoil(ref, slot, ownWay(rnd))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stripes := 0
	_, err := c.store.verify(ctx, ref, func(ctx context.Context, _ int64, _ time.Duration) error {
		if stripes++; stripes == 20 {
			cancel()
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || stripes > 20 {
		t.Errorf("%v after %d stripes", err, stripes)
	}
}

// TestI22_AgreementIsNotTried: shards that do not contradict each other give the same bytes whichever are left out.
func TestI22_AgreementIsNotTried(t *testing.T) {
	c, ref := wide(t)
	for slot := range 24 {
		c.on(ref, slot).set(func() { c.on(ref, slot).chunks[ref.Chunk(slot)].f.BlobSum[0] ^= 1 })
	}
	st, passes, err := c.passes(t.Context(), ref)
	if err != nil || st.Sum || passes > 2 {
		t.Errorf("%v, sum right: %v, after %d readings", err, st.Sum, passes)
	}
}
