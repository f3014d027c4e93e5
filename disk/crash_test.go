package disk_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
)

// model is what was acknowledged by a drive, and what is on its way.
type model struct {
	mu      sync.Mutex
	samples map[ids.Chunk]*disktest.Sample
	stored  map[ids.Chunk]bool // Put returned nil
	dying   map[ids.Chunk]bool // Delete was called
	dead    map[ids.Chunk]bool // Delete returned nil
	epochs  map[ids.PG]uint64
}

func newModel() *model {
	return &model{
		samples: make(map[ids.Chunk]*disktest.Sample), stored: make(map[ids.Chunk]bool), dying: make(map[ids.Chunk]bool),
		dead: make(map[ids.Chunk]bool), epochs: make(map[ids.PG]uint64),
	}
}

func (m *model) clone() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newModel()
	for k, v := range m.samples {
		c.samples[k] = v
	}
	for _, p := range []struct{ to, from map[ids.Chunk]bool }{{c.stored, m.stored}, {c.dying, m.dying}, {c.dead, m.dead}} {
		for k := range p.from {
			p.to[k] = true
		}
	}
	for k, v := range m.epochs {
		c.epochs[k] = v
	}
	return c
}

func (m *model) put(d *disk.Drive, s *disktest.Sample) error {
	m.mu.Lock()
	m.samples[s.Header.Key] = s
	m.mu.Unlock()
	err := put(d, s)
	if err == nil {
		m.mu.Lock()
		m.stored[s.Header.Key] = true
		m.mu.Unlock()
	}
	return err
}

func (m *model) delete(d *disk.Drive, keys ...ids.Chunk) error {
	m.mu.Lock()
	for _, k := range keys {
		m.dying[k] = true
	}
	m.mu.Unlock()
	err := remove(d, keys...)
	if err == nil {
		m.mu.Lock()
		for _, k := range keys {
			m.dead[k] = true
		}
		m.mu.Unlock()
	}
	return err
}

func remove(d *disk.Drive, keys ...ids.Chunk) error {
	return disktest.Delete(disktest.Local(d), keys...)
}

// check compares a reopened drive with what must, may and must not be there.
func (m *model) check(d *disk.Drive, replicasLost bool) error {
	ctx := context.Background()
	listed := make(map[ids.Chunk]bool)
	infos, err := d.AllChunks(ctx, nil, 1<<20)
	if err != nil {
		return err
	}
	for _, info := range infos {
		listed[info.Key] = true
	}
	for key, s := range m.samples {
		r, err := d.Open(ctx, key)
		found := err == nil
		switch {
		case err != nil && !errors.Is(err, disk.ErrNotFound):
			return fmt.Errorf("%v: %w", key, err)
		case found != listed[key]:
			return fmt.Errorf("%v: found %v, listed %v", key, found, listed[key])
		case !found && m.stored[key] && !m.dying[key]:
			return fmt.Errorf("%v of %d bytes: acknowledged, and lost", key, len(s.Payload))
		case found && m.dead[key]:
			return fmt.Errorf("%v: deleted, and found", key)
		}
		if found {
			b, err := r.Read(ctx, 0, r.Size())
			if err != nil {
				return fmt.Errorf("%v: %w", key, err)
			}
			if string(b.B) != string(s.Payload) || r.Header() != s.Header {
				return fmt.Errorf("%v: wrong bytes", key)
			}
			b.Release()
			r.Close()
		}
	}
	for pg, e := range m.epochs {
		if got := d.Epoch(1, pg); got < e {
			return fmt.Errorf("pg %d: epoch %d, acknowledged %d", pg, got, e)
		}
	}
	lost := d.Lost()
	if lost.Chunks > 0 || (lost.Replicas != "") != replicasLost || d.ReplicasLost() != replicasLost || len(lost.Damages) > 0 {
		return fmt.Errorf("reports losses: %+v", lost)
	}
	return nil
}

// adopt takes what a drive has for acknowledged: it was read once.
func (m *model) adopt(d *disk.Drive) error {
	infos, err := d.AllChunks(context.Background(), nil, 1<<20)
	if err != nil {
		return err
	}
	for key := range m.samples {
		m.stored[key] = false
	}
	for _, info := range infos {
		m.stored[info.Key] = true
		if m.dying[info.Key] {
			delete(m.dying, info.Key) // it did not die
		}
	}
	return nil
}

func crashOptions(fs vfs.FS) disk.Options {
	opt := options(fs, "/disks/d1")
	opt.SegmentBytes, opt.LogSegmentBytes, opt.PrefillBytes = 256<<10, 256<<10, 16<<10
	opt.MemtableBytes, opt.IndexTail = 64<<10, 50
	opt.NoReclaim = true
	opt.TombstoneKeep = time.Nanosecond
	return opt
}

// script works on a drive from several goroutines. Errors are the drive's to give.
func script(d *disk.Drive, m *model, seed uint64, steps int) {
	var wg sync.WaitGroup
	for g := range uint64(3) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, g))
			var mine []*disktest.Sample
			for i := range steps {
				switch p := rng.IntN(100); {
				case p < 60 || len(mine) == 0:
					size := []int{1, 100, 4096, 9000, 70000}[rng.IntN(5)]
					if rng.IntN(25) == 0 {
						size = 1<<20 + rng.IntN(10000)
					}
					s := disktest.NewSample(seed, g*100000+uint64(i), size)
					s.Header.Epoch = 1 << 40
					mine = append(mine, s)
					m.put(d, s)
				case p < 85:
					n := min(1+rng.IntN(3), len(mine))
					var keys []ids.Chunk
					for _, s := range mine[:n] {
						keys = append(keys, s.Header.Key)
					}
					mine = mine[n:]
					m.delete(d, keys...)
				case p < 90:
					pg, e := ids.PG(g), uint64(i)
					if d.RaiseEpoch(context.Background(), 1, pg, e) == nil {
						m.mu.Lock()
						m.epochs[pg] = max(m.epochs[pg], e)
						m.mu.Unlock()
					}
				case p < 93:
					d.Flush(context.Background())
				case p < 96 && g == 0:
					d.Reclaim(context.Background())
				case p < 98:
					d.Housekeep(context.Background())
				default:
					d.Rows().Set([]byte{disk.TableMeta, byte(i)}, make([]byte, 3000), pebble.NoSync)
				}
			}
		})
	}
	wg.Wait()
}

// soak makes the power cuts run their full count.
var soak = flag.Bool("soak", false, "full counts")

// The power goes at every sync that a drive makes, with all, none or some of the un-synced bytes lost: what was
// acknowledged is there, what was deleted is not, and no loss is reported.
func TestI16_PowerCut(t *testing.T) {
	lives := uint64(6)
	switch {
	case *soak:
		lives = 150
	case testing.Short():
		lives = 1
	}
	for seed := range lives {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { powerCuts(t, seed) })
	}
}

type cut struct {
	fs *vfs.MemFS
	m  *model
}

func powerCuts(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 99))
	mem := vfs.NewCrashableMem()
	opt := crashOptions(mem)
	if _, err := disk.Format(opt, ids.NewCluster()); err != nil {
		t.Fatal(err)
	}
	m := newModel()
	var mu sync.Mutex
	var cuts []cut
	every, step := 0, 3 // each third: the seeds together take every one
	if testing.Short() {
		step = 27
	}
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpRemove, errorfs.OpRename:
			mu.Lock()
			defer mu.Unlock()
			if every++; every%step == int(seed)%step {
				// What was acknowledged before the clone must be in it; what was begun after it may not be held against it.
				acked := m.clone()
				percent := []int{0, 50, 100}[rng.IntN(3)]
				clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
				acked.dying = m.clone().dying
				cuts = append(cuts, cut{clone, acked})
			}
		}
		return nil
	}))
	d, err := disk.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	script(d, m, seed, 60)
	d.Close()
	t.Logf("%d cuts", len(cuts))
	for i, c := range cuts {
		if err := c.check(seed); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
	}
}

// check opens the drive as the cut left it, twice, with more work between.
func (c *cut) check(seed uint64) error {
	opt := crashOptions(c.fs)
	d, err := disk.Open(opt)
	if err != nil {
		return err
	}
	defer d.Close()
	// What was being put or deleted at the cut may be either way.
	if err := c.m.check(d, false); err != nil {
		return err
	}
	if err := c.m.adopt(d); err != nil {
		return err
	}
	script(d, c.m, seed+1000, 4)
	if err := d.Close(); err != nil {
		return err
	}
	again, err := disk.Open(crashOptions(c.fs))
	if err != nil {
		return err
	}
	defer again.Close()
	if err := c.m.check(again, false); err != nil {
		return fmt.Errorf("second life: %w", err)
	}
	// The index is a cache: without it the log says the same.
	if err := again.Close(); err != nil {
		return err
	}
	if err := c.fs.RemoveAll("/disks/d1/rows"); err != nil {
		return err
	}
	rebuilt, err := disk.Open(crashOptions(c.fs))
	if err != nil {
		return err
	}
	defer rebuilt.Close()
	if err := c.m.check(rebuilt, true); err != nil {
		return fmt.Errorf("rebuilt: %w", err)
	}
	return nil
}
