package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// Options configures Format and Open. A zero field means the default given here.
type Options struct {
	FS       vfs.FS           // vfs.Default
	Path     string           // the drive's directory; required
	Comparer *pebble.Comparer // of rows/; pebble.DefaultComparer. Keys below 0x10 must order as bytes
	Cache    *pebble.Cache    // shared by all drives; 8 MiB of its own
	Buffers  *bufpool.Pool    // a pool of its own
	Logger   *slog.Logger     // slog.Default()

	SegmentBytes    int64 // of chunk segments: 256 MiB, less on a small file system
	LogSegmentBytes int64 // of Raft log segments: 16 MiB, less on a small file system
	PrefillBytes    int   // see segment.Options
	MemtableBytes   int   // of rows/: 8 MiB
	ReserveBytes    int64 // free space under which data is refused: 1 % of the file system, 256 MiB to 4 GiB, less on a small one
	BallastBytes    int64 // kept back in a file, given up when even the reserve is gone: as ReserveBytes; < 0: none
	IndexTail       int   // 16,384: records after which the index is flushed, which bounds what an opening reads
	Workers         int   // 16: reads under way at once
	QueueReads      int   // 1,024: reads that wait for a worker

	HangAfter     time.Duration // 15s: a call that takes longer makes the drive suspect
	SlowAfter     time.Duration // 1s: a call that takes longer is counted as slow
	TombstoneKeep time.Duration // 48h: at least how long a deleted key refuses writes
	Buffered      bool          // do without O_DIRECT
	Rest          time.Duration // 30s: a drive that stored no chunk for so long is at rest
	NoReclaim     bool          // leave dead segments alone, but for Reclaim

	// OnHealth is called on every change, from any goroutine; it must not block or call the drive.
	OnHealth func(Health)
}

func (o *Options) validate() error {
	if o.Path == "" {
		return errors.New("disk: no path")
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Comparer == nil {
		o.Comparer = pebble.DefaultComparer
	}
	if o.Buffers == nil {
		o.Buffers = new(bufpool.Pool)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("drive", o.Path)
	o.MemtableBytes = defaulted(o.MemtableBytes, 8<<20)
	o.IndexTail = defaulted(o.IndexTail, 16384)
	o.Workers = defaulted(o.Workers, 16)
	o.QueueReads = defaulted(o.QueueReads, 1024)
	o.HangAfter = defaulted(o.HangAfter, 15*time.Second)
	o.SlowAfter = defaulted(o.SlowAfter, time.Second)
	o.Rest = defaulted(o.Rest, 30*time.Second)
	o.TombstoneKeep = defaulted(o.TombstoneKeep, 48*time.Hour)
	if o.Workers < 1 || o.QueueReads < 1 || o.HangAfter < 0 {
		return fmt.Errorf("disk: negative option: %d workers, %d queued reads, hang after %v", o.Workers, o.QueueReads, o.HangAfter)
	}
	return nil
}

// fit fills the options that follow the file system's size.
func (o *Options) fit() {
	total := int64(0)
	if usage, err := o.FS.GetDiskUsage(o.Path); err == nil {
		total = int64(usage.TotalBytes)
	}
	keep := min(max(total/100, 256<<20), 4<<30)
	small := int64(4 << 30)
	if total > 0 && total < 64<<30 {
		small = total / 16
		keep = min(keep, total/16)
	}
	if total <= 0 {
		keep = 0 // nothing is known of the file system
	}
	o.ReserveBytes = defaulted(o.ReserveBytes, keep)
	o.BallastBytes = defaulted(o.BallastBytes, keep/4)
	o.SegmentBytes = defaulted(o.SegmentBytes, segmentBytes(256<<20, small))
	o.LogSegmentBytes = defaulted(o.LogSegmentBytes, segmentBytes(16<<20, small))
}

// segmentBytes is want, or less where the file system is small; never less than holds the largest chunk.
func segmentBytes(want, most int64) int64 {
	return max(min(want, most)&^4095, 4<<20)
}

func defaulted[T int | int64 | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}
