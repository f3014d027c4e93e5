package heal

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// TestThrottle: without a set rate healing takes a quarter of one worker's time while requests are served, and all of it else.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := false
		h := &Healer{opt: Options{Busy: func() bool { return busy }, Workers: 2}}
		took := func(pace erasure.Pace) time.Duration {
			began := time.Now()
			if err := pace(t.Context(), 1<<20, 10*time.Millisecond); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		h.scrub.pace.rate = 1 << 40
		for _, pace := range []erasure.Pace{h.paceHealing, h.paceScrub} {
			busy = false
			if got := took(pace); got > time.Millisecond {
				t.Errorf("idle, it rests %s", got)
			}
			busy = true
			if got := took(pace); got < 70*time.Millisecond || got > 71*time.Millisecond {
				t.Errorf("busy, it rests %s", got)
			}
		}
		h.opt.HealBytes, h.pace.rate = 1<<20, 1<<20
		began := time.Now()
		for range 11 {
			took(h.paceHealing)
		}
		if got := time.Since(began); got < 9*time.Second || got > 12*time.Second {
			t.Errorf("11 MiB at 1 MiB a second take %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if h.paceHealing(ctx, 1<<30, time.Hour) == nil || h.rest(ctx, time.Hour) == nil {
			t.Error("it goes on though its context has ended")
		}
	})
}

// TestEveryStripeIsPaced: what healing and scrubbing read is what they are held to, and none of it makes the store busy.
func TestEveryStripeIsPaced(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 1, nil)
	c.put("a", 550_000)
	ref := c.bodies["a"].item.Extent.Blob(0)
	var bytes, stripes int64
	m := c.store.Mender(func(_ context.Context, n int64, took time.Duration) error {
		bytes, stripes = bytes+n, stripes+1
		if took <= 0 {
			t.Error("a stripe that took no time")
		}
		return nil
	})
	time.Sleep(150 * time.Millisecond) // the put is over
	c.lose(ref, 2)
	if err := m.Rebuild(c.ctx, ref, []uint8{2}); err != nil || bytes != 550_000 || stripes != 3 {
		t.Errorf("%v: %d bytes in %d stripes", err, bytes, stripes)
	}
	if _, err := m.VerifyBlob(c.ctx, ref); err != nil || bytes != 1_100_000 {
		t.Errorf("%v: %d bytes", err, bytes)
	}
	if c.store.Busy() {
		t.Error("healing makes the store busy")
	}
	poll.True(t, poll.Within, "a read to make it busy", func() bool { c.checkAll(); return c.store.Busy() }) // it is so for a moment only
}

// BenchmarkForeground shows what requests meet of a rebuild, `-benchtime 400x`: latencies of 1 MiB gets, four at a time, while nothing is
// rebuilt, while it is by itself, and as fast as goes; and what the rebuild reaches meanwhile, and alone.
func BenchmarkForeground(b *testing.B) {
	for _, how := range []string{"alone", "throttled", "unthrottled"} {
		b.Run(how, func(b *testing.B) {
			c := newCluster(b, 4, 2, 1, 4, func(o *Options) {
				o.HealBytes = 0
				if how == "unthrottled" {
					o.Busy = func() bool { return false }
				}
			})
			for i := range 64 {
				c.put(fmt.Sprint("a", i), 1<<20)
			}
			ctx, cancel := context.WithCancel(c.ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for how != "alone" && ctx.Err() == nil {
					c.rebuildAll(ctx)
				}
			}()
			lat := foreground(b, c)
			cancel()
			<-done
			slices.Sort(lat)
			b.ReportMetric(float64(lat[len(lat)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(lat[len(lat)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(c.healer.counts.healedBytes.Load())/(1<<20)/b.Elapsed().Seconds(), "heal-MiB/s")
		})
	}
}

// rebuildAll drops the first shard of every blob and makes it anew.
func (c *cluster) rebuildAll(ctx context.Context) {
	for _, o := range c.bodies {
		for i := range o.item.Extent.PGs {
			ref := o.item.Extent.Blob(i)
			id, _ := owner(c.m.Load(), ref, 0)
			if ctx.Err() != nil || c.drive(id).Drop(ctx, []ids.Chunk{ref.Chunk(0)}, 1) != nil {
				return
			}
			c.healer.heal(ctx, &blobJob{ref: ref, slots: []uint8{0}}) // what fails is counted
		}
	}
}

// BenchmarkRebuild is the speed of one worker while nothing else goes on.
func BenchmarkRebuild(b *testing.B) {
	c := newCluster(b, 4, 2, 1, 4, func(o *Options) { o.HealBytes = 0 })
	for i := range 64 {
		c.put(fmt.Sprint("a", i), 1<<20)
	}
	time.Sleep(150 * time.Millisecond) // the puts are over
	b.SetBytes(64 << 20)
	for b.Loop() {
		c.rebuildAll(c.ctx)
	}
}

// foreground reads objects, four at a time, and gives how long each took.
func foreground(b *testing.B, c *cluster) (lat []time.Duration) {
	took := make(chan time.Duration, b.N)
	turns := make(chan struct{}, 4)
	b.ResetTimer()
	for i := range b.N {
		turns <- struct{}{}
		o := c.bodies[fmt.Sprint("a", i%64)]
		go func() {
			began := time.Now()
			if _, err := c.store.Read(c.ctx, o.item.Extent, 0, o.item.Extent.Size, discard{}); err != nil {
				b.Error(err)
			}
			took <- time.Since(began)
			<-turns
		}()
	}
	for range b.N {
		lat = append(lat, <-took)
	}
	b.StopTimer()
	return lat
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
