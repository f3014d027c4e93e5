package disk

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/errors/oserror"
)

const houseEvery = time.Second

// keepHouse does what nobody waits for, until the drive is closed.
func (d *Drive) keepHouse() {
	defer d.background.Done()
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.closing:
			return
		case <-d.down:
			return
		case <-d.poke:
		case <-tick.C:
		}
		// On a worker, so that a file system that hangs is noticed, and does not hold up Close.
		done := make(chan struct{})
		if !d.async(func() { defer close(done); d.housekeeping() }, func() { close(done) }) {
			continue
		}
		select {
		case <-done:
		case <-d.down:
			return
		}
	}
}

func (d *Drive) housekeeping() {
	if d.ours() != nil { // the dead files' names, and the ballast's, may be another drive's
		return
	}
	if d.Health().State == OK {
		if err := d.keepIdentity(); err != nil {
			d.opt.Logger.Warn("writing "+identityName+" again", "err", err)
		}
		if err := d.unlinkDead(); err != nil {
			d.opt.Logger.Warn("unlinking dead chunk files", "err", err)
		}
	}
	d.space.keep()
}

// keepIdentity writes sherd.json again if what is there is damaged: others than this process go by it.
func (d *Drive) keepIdentity() error {
	_, err := readIdentityFile(d.opt.FS, d.opt.FS.PathJoin(d.opt.Path, identityName))
	if !errors.Is(err, ErrNotDrive) {
		return nil
	}
	d.opt.Logger.Error(identityName+" is damaged; it is written again", "err", err)
	return d.editIdentity(func(*Identity) {})
}

// turn is how long one task goes on with many small calls: all of them together may take longer than a call that hangs, on a drive that
// is well.
func (d *Drive) turn() time.Duration { return d.opt.HangAfter / 32 }

// unlinkDead removes the chunk files that no index row names, after such an index is flushed (I16). Those for which its turn is too
// short, as after a bucket was emptied, have the next one, at once.
func (d *Drive) unlinkDead() error {
	files := d.dead.list()
	if len(files) == 0 {
		return nil
	}
	if err := d.rows.Flush(); err != nil {
		return err
	}
	until := time.Now().Add(d.turn())
	for i, n := range files {
		if i > 0 && time.Now().After(until) {
			d.wakeHouse()
			break
		}
		err := d.dead.bury(n, func() error {
			if err := d.opt.FS.Remove(d.filePath(n)); err != nil && !oserror.IsNotExist(err) {
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	// Not for safety, since a file that comes back is named by nothing and goes with the next opening: ext4 counts the
	// space as free only then.
	return syncDir(d.opt.FS, d.opt.FS.PathJoin(d.opt.Path, chunksName))
}

func (d *Drive) wakeHouse() {
	select {
	case d.poke <- struct{}{}:
	default: // it is awake
	}
}

// Housekeep does now what is done each second: space is looked at, dead files are unlinked, or, of very many, the first.
func (d *Drive) Housekeep(ctx context.Context) error {
	return d.fault("housekeep", d.do(ctx, d.housekeeping, nil))
}
