package disk

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/segment"
)

// HealthState is how far a drive is to be trusted.
type HealthState int32

const (
	OK      HealthState = iota
	Suspect             // a write, sync or read failed: it takes no more chunks, but what it has may still be read
	Failed              // it answers nothing
)

func (s HealthState) String() string { return [...]string{"ok", "suspect", "failed"}[s] }

// Health is a drive's state and why. It never gets better: trust returns by opening the drive again (I12).
type Health struct {
	State  HealthState
	Reason string
	Since  time.Time
}

// Health is the drive's health. It never blocks.
func (d *Drive) Health() Health { return *d.health.Load() }

// Down is closed when the drive failed: calls return ErrUnavailable, and calls into Rows may never return.
func (d *Drive) Down() <-chan struct{} { return d.down }

// worsen moves health to state, unless it is there or beyond.
func (d *Drive) worsen(state HealthState, err error) bool {
	for {
		old := d.health.Load()
		if old.State >= state {
			return false
		}
		next := &Health{State: state, Reason: err.Error(), Since: time.Now()}
		if d.health.CompareAndSwap(old, next) {
			d.opt.Logger.Warn("drive "+state.String(), "reason", next.Reason)
			if d.opt.OnHealth != nil {
				d.opt.OnHealth(*next)
			}
			return true
		}
	}
}

// suspect notes an I/O error.
func (d *Drive) suspect(err error) { d.worsen(Suspect, err) }

// fail gives the drive up: everybody who waits is told, whatever the file system does.
func (d *Drive) fail(err error) {
	if !d.worsen(Failed, err) {
		return
	}
	close(d.down)
	err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	// In a goroutine of its own, one for each opening: the caller may be inside the file system or Pebble.
	go func() {
		if l := d.chunks.Load(); l != nil {
			l.Abandon(err)
		}
		if l := d.raft.Load(); l != nil {
			l.Abandon(err)
		}
		d.dropTasks()
	}()
}

// watch looks for calls that hang, until the drive is closed or failed.
func (d *Drive) watch() {
	tick := time.NewTicker(max(d.opt.HangAfter/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-d.ended:
			return
		case <-d.down:
			return
		case <-tick.C:
		}
		if what, since := d.longest(); since > d.opt.HangAfter {
			d.stats.hangs.Add(1)
			d.fail(fmt.Errorf("%s takes longer than %v", what, d.opt.HangAfter))
			return
		}
	}
}

// longest is the call under way that began first.
func (d *Drive) longest() (what string, since time.Duration) {
	if l := d.chunks.Load(); l != nil {
		what, since = "an append to "+chunksName, l.Busy()
	}
	if l := d.raft.Load(); l != nil && l.Busy() > since {
		what, since = "an append to "+logName, l.Busy()
	}
	now := time.Now().UnixNano()
	if began := d.reclaimStep.Load(); began != 0 && time.Duration(now-began) > since {
		what, since = "a step of reclaim", time.Duration(now-began)
	}
	for i := range d.busy {
		if began := d.busy[i].Load(); began != 0 && time.Duration(now-began) > since {
			what, since = "a call", time.Duration(now-began)
		}
	}
	return what, since
}

// readError judges an error that the file system gave to a read: nil and errors of ours pass, others make the drive suspect.
// A part of a chunk that cannot be read is as good as wrong, unless it is for the want of open files or memory.
func (d *Drive) readError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrCorrupt), errors.Is(err, ErrNotFound), errors.Is(err, ErrUnavailable),
		errors.Is(err, ErrDeleted), errors.Is(err, segment.ErrNoSegment):
		return err
	case isPassing(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, segment.ErrDamaged):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	d.stats.ioErrors.Add(1)
	d.suspect(err)
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// writeError judges an error of a write.
func (d *Drive) writeError(err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, segment.ErrClosed), errors.Is(err, segment.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for _, ours := range []error{ErrExists, ErrEpoch, ErrDeleted, ErrUnavailable, ErrInvalid, errMoved} {
		if errors.Is(err, ours) {
			return err
		}
	}
	d.stats.ioErrors.Add(1)
	d.suspect(err)
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func isFull(err error) bool {
	return errors.Is(err, segment.ErrFull) || errors.Is(err, ErrFull) || vfs.IsNoSpaceError(err)
}

// counters are a drive's, since it was opened.
type counters struct {
	puts, deletes, opens, reads, readBytes, writtenBytes  atomic.Int64
	corrupt, ioErrors, hangs, slow, lostChunks, reclaimed atomic.Int64
}

// Stats counts what a drive did since it was opened.
type Stats struct {
	Puts, Deletes, Opens, Reads, BytesRead, BytesWritten int64
	Corrupt, IOErrors, Hangs, Slow                       int64
	LostChunks                                           int64 // found gone at the opening
	Reclaimed                                            int64 // segments removed
	DeadFiles                                            int   // chunk files to be unlinked
	Segments                                             int
	RecordBytes, LiveBytes                               int64 // of the chunk log
	Chunks, Raft                                         segment.Stats
}

// Stats returns the drive's counters.
func (d *Drive) Stats() Stats {
	c := &d.stats
	s := Stats{
		Puts: c.puts.Load(), Deletes: c.deletes.Load(), Opens: c.opens.Load(), Reads: c.reads.Load(),
		BytesRead: c.readBytes.Load(), BytesWritten: c.writtenBytes.Load(),
		Corrupt: c.corrupt.Load(), IOErrors: c.ioErrors.Load(), Hangs: c.hangs.Load(), Slow: c.slow.Load(),
		LostChunks: c.lostChunks.Load(), Reclaimed: c.reclaimed.Load(), DeadFiles: d.dead.len(),
		Chunks: d.log().Stats(), Raft: d.Log().Stats(),
	}
	d.segs.mu.Lock()
	defer d.segs.mu.Unlock()
	s.Segments = len(d.segs.m)
	for _, st := range d.segs.m {
		s.RecordBytes += st.bytes
		s.LiveBytes += st.live
	}
	return s
}
