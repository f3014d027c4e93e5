package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
)

// WriteCopy writes c into a drive's directory, in place of the one that is there unless that is newer (it is then left,
// which is no error: I9). key may be nil: see Copy.
func WriteCopy(drive string, c *Copy, key []byte) error {
	path := filepath.Join(drive, CopyFile)
	if old, err := readCopy(path); err == nil && old.Cluster == c.Cluster {
		if old.Newer(c) {
			return nil
		}
		if old.Promise.Generation > c.Generation { // it was taken back: its generation is not given again
			kept := *c
			kept.Promise = old.Promise
			c = &kept
		}
	}
	return writeCopy(path, c, key)
}

func writeCopy(path string, c *Copy, key []byte) error {
	b, err := encodeCopy(c, key)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b)
}

// ErrPromised reports a drive whose copy was given to a restore on another node.
var ErrPromised = errors.New("store: the drive's copy was given to a restore on another node")

// GiveCopy reads a drive's copy for a restore on a node, after the drive has promised to believe no older state from then on.
// No server may run on it. Giving it again to the same node is harmless. Errors: ErrPromised, ErrWrongCluster, ErrCorrupt, the drive's.
func GiveCopy(drive string, cluster ids.Cluster, to string) (*Copy, error) {
	path := filepath.Join(drive, CopyFile)
	c, err := readCopyOf(path, cluster)
	switch {
	case err != nil:
		return nil, err
	case c.Promise.Node == to && c.Promise.Generation > c.Generation:
		return c, nil
	case c.Promise.Node != "" && c.Promise.Node != to:
		return nil, fmt.Errorf("%w, %s", ErrPromised, c.Promise.Node)
	}
	c.Promise = Promise{Generation: max(c.Generation, c.Promise.Generation) + 1, Node: to}
	return c, writeCopy(path, c, nil)
}

// TakeBack ends a drive's promise: what was given must not be restored after that. Without one it does nothing.
// Errors: ErrWrongCluster, ErrCorrupt, the drive's.
func TakeBack(drive string, cluster ids.Cluster) error {
	path := filepath.Join(drive, CopyFile)
	c, err := readCopyOf(path, cluster)
	if err != nil || c.Promise.Node == "" {
		return err
	}
	c.Promise.Node = ""
	return writeCopy(path, c, nil)
}

// KnownPosition is how late a state the drives know of, by their copies and what they promised: an earlier one is not believed
// (I9). A drive that does not answer before ctx ends is passed over.
func KnownPosition(ctx context.Context, cluster ids.Cluster, drives []string) (latest Position) {
	found, _ := ReadCopies(ctx, cluster, drives)
	for _, f := range found {
		if f.Copy != nil {
			latest = latest.later(f.Copy.floor())
		}
	}
	return latest
}

// FoundCopy is what ReadCopies found on one drive: a copy, or why there is none.
type FoundCopy struct {
	Drive string // its directory
	Copy  *Copy
	Err   error
}

// ReadCopies reads the copies of a cluster, or of any if it is zero, on drives, side by side; one that does not answer before ctx ends is passed over.
// newest is the latest readable one, nil if there is none.
func ReadCopies(ctx context.Context, cluster ids.Cluster, drives []string) (found []FoundCopy, newest *Copy) {
	answers := make([]chan FoundCopy, len(drives))
	for i, d := range drives {
		answers[i] = make(chan FoundCopy, 1)
		go func() { // outlives the call only if the drive hangs
			c, err := readCopyOf(filepath.Join(d, CopyFile), cluster)
			answers[i] <- FoundCopy{d, c, err}
		}()
	}
	for i, d := range drives {
		f := answerOf(ctx, d, answers[i])
		found = append(found, f)
		if f.Copy != nil && (newest == nil || f.Copy.Newer(newest)) {
			newest = f.Copy
		}
	}
	return found, newest
}

// answerOf prefers an answer that is there to the end of ctx.
func answerOf(ctx context.Context, drive string, answer <-chan FoundCopy) FoundCopy {
	select {
	case f := <-answer:
		return f
	default:
	}
	select {
	case f := <-answer:
		return f
	case <-ctx.Done():
		return FoundCopy{Drive: drive, Err: ctx.Err()}
	}
}

// readCopyOf is readCopy of a cluster, or of any if it is zero.
func readCopyOf(path string, cluster ids.Cluster) (*Copy, error) {
	c, err := readCopy(path)
	if err == nil && cluster != (ids.Cluster{}) && c.Cluster != cluster {
		return nil, fmt.Errorf("%w: %s", ErrWrongCluster, c.Cluster)
	}
	return c, err
}

func readCopy(path string) (*Copy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeCopy(b)
}

// KeepCopies keeps a copy of the newest state on each drive that drives names, until ctx ends: it looks at most once each
// interval, for a change of the map and for drives that lack the last copy; and once more when ctx has ended, within
// RequestTimeout and CopyTimeout, so that a stop leaves nothing behind. key is asked for each time and may give nil.
// A drive that cannot be written is logged and tried again; one that hangs holds up no other.
func (s *Store) KeepCopies(ctx context.Context, interval time.Duration, drives func() []string, key func() []byte) {
	k := keeper{s: s, drives: map[string]*kept{}}
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, interval)
		s.waitState(look, func(st *state) bool { return st.m.Revision != k.revision && st.m.Cluster != ids.Cluster{} })
		cancel()
		if ctx.Err() == nil {
			k.keep(ctx, drives(), key())
			pause(ctx, interval)
		}
	}
	k.keep(context.WithoutCancel(ctx), drives(), key())
}

// keeper remembers what KeepCopies has written.
type keeper struct {
	s        *Store
	copy     *Copy
	revision int64 // of the map that copy was made for
	drives   map[string]*kept
}

// kept is the copy on one drive. A drive is written by one goroutine at a time; what it wrote is the next one's.
type kept struct {
	busy  sync.Mutex
	copy  *Copy
	file  fs.FileInfo // as it was written
	fails string      // the error that was logged last
}

// keep brings the copies on drives up to the map, and waits for them at most CopyTimeout.
func (k *keeper) keep(ctx context.Context, drives []string, key []byte) {
	m := k.s.Map()
	if m.Cluster == (ids.Cluster{}) {
		return
	}
	if k.copy == nil || m.Revision != k.revision {
		c, err := k.s.Copy(ctx)
		if err != nil {
			k.s.opt.Logger.Warn("control copy not made", "error", err)
			return
		}
		k.copy, k.revision = c, m.Revision
	}
	var writes sync.WaitGroup
	for _, d := range drives {
		on := k.drives[d]
		if on == nil {
			on = &kept{}
			k.drives[d] = on
		}
		if !on.busy.TryLock() {
			continue // it hangs in an earlier one
		}
		c := k.copy
		writes.Go(func() { // outlives the call only if the drive hangs
			defer on.busy.Unlock()
			k.s.logCopy(d, on, on.write(d, c, key))
		})
	}
	if !waitFor(&writes, k.s.opt.CopyTimeout) {
		k.s.opt.Logger.Warn("control copy: a drive takes long", "after", k.s.opt.CopyTimeout)
	}
}

// write writes c to the drive unless it is there, as far as the file's identity tells. busy is held.
func (on *kept) write(drive string, c *Copy, key []byte) error {
	path := filepath.Join(drive, CopyFile)
	if now, err := os.Stat(path); err == nil && on.copy == c && os.SameFile(now, on.file) {
		return nil
	}
	err := WriteCopy(drive, c, key)
	if err == nil {
		on.copy = c
		on.file, err = os.Stat(path)
	}
	return err
}

// logCopy says once what is wrong with a drive's copy. on.busy is held.
func (s *Store) logCopy(drive string, on *kept, err error) {
	if err == nil {
		on.fails = ""
		return
	}
	if on.fails != err.Error() {
		on.fails = err.Error()
		s.opt.Logger.Warn("control copy not written", "drive", drive, "error", err)
	}
}

// waitFor reports whether g is done within d.
func waitFor(g *sync.WaitGroup, d time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with the last of g
		g.Wait()
		close(done)
	}()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// WriteCopies writes the present state to all drives, side by side, and says how many have it when ctx ends or all have
// answered. Errors: Copy's, and those of the drives.
func (s *Store) WriteCopies(ctx context.Context, drives []string, key []byte) (written int, err error) {
	c, err := s.Copy(ctx)
	if err != nil {
		return 0, err
	}
	results := make(chan error, len(drives))
	for _, d := range drives {
		go func() { results <- WriteCopy(d, c, key) }() // outlives the call only if the drive hangs
	}
	var errs []error
	for range drives {
		select {
		case err := <-results:
			if err == nil {
				written++
			}
			errs = append(errs, err)
		case <-ctx.Done():
			return written, errors.Join(append(errs, ctx.Err())...)
		}
	}
	return written, errors.Join(errs...)
}
