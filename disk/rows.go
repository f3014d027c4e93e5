package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/pebbleguard"
)

// The tables that disk keeps in rows/, by the first byte of the key; from 0x10 on they are meta's.
// Integers in keys are big-endian, in values little-endian.
//
//	0x00 "incarnation"           → 32 hexadecimal digits, as in sherd.json (I10)
//	0x01 chunk key (25 bytes)    → where the chunk is, or why it is not: see row
//	0x02 segment (8 bytes)       → 8: bytes of records, 8: of live ones, 1: being rewritten; see segStat
//	0x03                         → 8 bytes of segment, 4 of offset: the index is complete up to there
//	0x04 pool (2), PG (2)        → 8 bytes: the least epoch under which chunks are sealed (I5)
//	0x05 file number (8 bytes)   → chunk key: the chunk files that are in use
const (
	tableIncarnation = 0x00
	tableChunk       = 0x01
	tableSegment     = 0x02
	tablePosition    = 0x03
	tableEpoch       = 0x04
	tableFile        = 0x05
	// TableMeta is the first byte from which keys of Rows() are meta's.
	TableMeta = 0x10
)

var errIncarnation = errors.New("disk: rows are of another incarnation")

func incarnationKey() []byte { return []byte("\x00incarnation") }

// rowsOptions are Pebble's for d; d is nil while formatting.
func (o *Options) rowsOptions(d *Drive, fatal func(error)) *pebble.Options {
	ours, corrupt := func() error { return nil }, func(string, error) {}
	if d != nil {
		ours, corrupt = d.ours, d.rowsCorrupt
	}
	po := &pebble.Options{
		FS:                          &rowsFS{pebbleguard.Guard(o.FS, corrupt), fatal, ours, d != nil},
		Comparer:                    o.Comparer,
		Cache:                       o.Cache,
		DisableWAL:                  true, // the chunk log and the Raft log replay what is not flushed (I17)
		MemTableSize:                uint64(o.MemtableBytes),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                512,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		Logger:                      rowsLogger{log: o.Logger, fatal: fatal},
	}
	po.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 1 << 10, MaxBlobReferenceDepth: 8, TargetGarbageRatio: 0.3}
	}
	po.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	for i := range po.Levels {
		po.Levels[i].BlockSize = 16 << 10
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		po.Levels[i].FilterType = pebble.TableFilter
	}
	if d != nil {
		po.EventListener = &pebble.EventListener{
			BackgroundError: func(err error) { d.rowsTrouble(err) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { corrupt(info.Path, info.Details) },
		}
	}
	return po
}

// rowsLogger keeps Pebble's fatal errors from ending the process (I12).
type rowsLogger struct {
	log   *slog.Logger
	fatal func(error)
}

// Infof drops what Pebble tells of its daily work.
func (l rowsLogger) Infof(string, ...any) {}

// Errorf logs.
func (l rowsLogger) Errorf(format string, args ...any) {
	l.log.Warn("rows: " + fmt.Sprintf(format, args...))
}

// Fatalf reports and never returns: Pebble's state is not to be trusted past this call, and unwinding
// would run its deferred functions over it. The goroutine, and whatever waits for locks it holds,
// stays until the process ends: there is one such handle at most for each opening of a drive.
func (l rowsLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("%w: rows: %s", ErrUnavailable, fmt.Sprintf(format, args...))
	l.log.Error("rows failed; the handle is given up", "err", err)
	l.fatal(err)
	select {}
}

// guarded runs f, which uses rows with the options it is given, in a goroutine that a fatal error or a hang may keep for ever.
func (o *Options) guarded(d *Drive, f func(*pebble.Options) (*pebble.DB, error)) (*pebble.DB, error) {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 2)
	po := o.rowsOptions(d, func(err error) {
		select {
		case done <- result{err: err}:
		default:
		}
		if d != nil {
			d.rowsFatal.Store(true)
			d.fail(err)
		}
	})
	go func() {
		db, err := f(po)
		done <- result{db, err}
	}()
	r := <-done
	return r.db, r.err
}

// createRows makes rows/ with the incarnation in it.
func createRows(opt *Options, incarnation string) error {
	_, err := opt.guarded(nil, func(po *pebble.Options) (*pebble.DB, error) {
		db, err := pebbleguard.Open(opt.FS.PathJoin(opt.Path, rowsName), po)
		if err != nil {
			return nil, err
		}
		err = db.Set(incarnationKey(), []byte(incarnation), pebble.NoSync)
		if err == nil {
			err = db.Flush()
		}
		return nil, errors.Join(err, db.Close())
	})
	return err
}

// openRows opens rows/ and checks its incarnation.
func (d *Drive) openRows() (*pebble.DB, error) {
	return d.opt.guarded(d, func(po *pebble.Options) (*pebble.DB, error) {
		po.ErrorIfNotExists = true
		dir := d.opt.FS.PathJoin(d.opt.Path, rowsName)
		blobs, err := pebbleguard.Blobs(d.opt.FS, dir)
		if err != nil {
			return nil, err
		}
		db, err := pebbleguard.Open(dir, po)
		if err != nil {
			return nil, err
		}
		if err := pebbleguard.CheckBlobs(db, blobs); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		v, closer, err := db.Get(incarnationKey())
		if err == nil {
			if string(v) != d.id.Incarnation {
				err = errIncarnation
			}
			closer.Close()
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return db, nil
	})
}

// rowsWrong tells rows that are refused for what they hold, of which Pebble marks only a part as corruption, from those that cannot be
// used just now: they are refused read-only too, though every byte of them can be read.
func (d *Drive) rowsWrong() bool {
	dir := d.opt.FS.PathJoin(d.opt.Path, rowsName)
	_, err := d.opt.guarded(nil, func(po *pebble.Options) (*pebble.DB, error) {
		po.ErrorIfNotExists, po.ReadOnly = true, true
		db, err := pebbleguard.Open(dir, po)
		if err != nil {
			return nil, err
		}
		return nil, db.Close()
	})
	return err != nil && !isScarce(err) && !errors.Is(err, ErrUnavailable) && readAll(d.opt.FS, dir) == nil
}

// readAll reads every file in a directory.
func readAll(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// rowsTrouble hears of errors in Pebble's background work.
func (d *Drive) rowsTrouble(err error) {
	if err == nil || errors.Is(err, pebble.ErrClosed) {
		return
	}
	if last, now := d.rowsTold.Load(), time.Now().UnixNano(); d.Health().State == OK && (last == 0 || now-last > int64(rowsToldEvery)) {
		d.rowsTold.Store(now)
		d.opt.Logger.Error("rows: background error; more are not logged for a while", "err", err)
	}
	if isFull(err) {
		d.space.makeRoom()
	} else {
		d.suspect(fmt.Errorf("rows: %w", err))
	}
	time.Sleep(rowsRetryPause)
}

// rowsToldEvery keeps Pebble, which tries again for ever, from filling the log while a drive is full.
const rowsToldEvery = time.Minute

// rowsRetryPause keeps Pebble, which tries again at once whatever the error was, from spinning.
const rowsRetryPause = 100 * time.Millisecond

// rowsCorrupt hears that a file of rows/ is damaged. Every replica on the drive is lost with it (I10): the next opening puts
// rows and log aside.
func (d *Drive) rowsCorrupt(path string, err error) {
	d.opt.Logger.Error("rows are corrupt", "file", path, "err", err)
	why := fmt.Sprintf("rows: %s is corrupt", path)
	if d.opening.Load() {
		d.rowsBad.Store(&why)
		return
	}
	go d.DiscardReplicas(why) // Pebble waits for this call
}

// DiscardReplicas fails the drive, and notes that its next opening is to put rows and Raft log aside as lost: for whoever finds that
// they are not what was written.
func (d *Drive) DiscardReplicas(why string) {
	d.discard.Do(func() {
		if err := d.editIdentity(func(id *Identity) { id.Discard = why }); err != nil {
			d.opt.Logger.Error("cannot note that the replicas are lost", "err", err)
		}
		d.fail(errors.New(why))
	})
}
