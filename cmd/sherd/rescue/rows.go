package rescue

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/pebbleguard"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
)

// record is one object as the rows have it.
type record struct {
	bucket  ids.Bucket
	key     string
	version *metapb.Version
	inline  []byte // not nil: the body
	extents []*metapb.Extent
}

// ranges are, of each range, the rows of the drives that have it, the one that has most of it first.
type ranges struct {
	copies []*rowsCopy
	held   map[ids.Range][]heldRange
}

type heldRange struct {
	replica.SalvagedRange
	rows *rowsCopy
}

// openRows copies the rows of every drive to work, opens them, and applies what the drives' Raft logs hold beyond.
// A drive whose rows cannot be opened is told and left out.
func openRows(drives []string, work string, log *slog.Logger) *ranges {
	r := &ranges{held: map[ids.Range][]heldRange{}}
	for i, drive := range drives {
		c := newRowsCopy(drive)
		err := c.guard(func() error { return c.open(filepath.Join(work, fmt.Sprint(i))) })
		if err != nil {
			log.Warn("rows cannot be used", "drive", drive, "err", err)
			continue
		}
		r.copies = append(r.copies, c)
		var found []replica.SalvagedRange
		err = c.guard(func() (err error) {
			found, err = replica.Salvage(c.db, readLog(drive, log))
			return err
		})
		if err != nil {
			log.Warn("rows and Raft log cannot be read whole", "drive", drive, "err", err)
		}
		if c.gone.Load() {
			continue
		}
		for _, f := range found {
			r.held[f.Span.ID] = append(r.held[f.Span.ID], heldRange{f, c})
		}
		log.Info("rows read", "drive", drive, "ranges", len(found))
	}
	for _, held := range r.held {
		slices.SortStableFunc(held, func(a, b heldRange) int {
			return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index))
		})
	}
	return r
}

func (r *ranges) close() {
	for _, c := range r.copies {
		c.close()
	}
}

// rowsCopy is a copy of a drive's rows. Whatever is wrong with them, the process goes on.
type rowsCopy struct {
	drive string
	db    *pebble.DB
	fatal chan error
	gone  atomic.Bool // Pebble gave up: nothing of it may be called any more
}

func newRowsCopy(drive string) *rowsCopy { return &rowsCopy{drive: drive, fatal: make(chan error, 1)} }

// guard runs f, which uses the rows. After a fatal error its goroutine, and what Pebble holds, stay until the process ends.
func (c *rowsCopy) guard(f func() error) error {
	if c.gone.Load() {
		return errors.New("given up")
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case err := <-c.fatal:
		c.gone.Store(true)
		return err
	}
}

func (c *rowsCopy) close() {
	if !c.gone.Load() {
		c.guard(c.db.Close) // a copy: its errors do not matter
	}
}

// open copies the drive's rows and opens the copy. Tables are linked where that can be: they are never changed.
func (c *rowsCopy) open(to string) (err error) {
	from := filepath.Join(c.drive, "rows")
	names, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, n := range names {
		if n.Name() == "LOCK" || !n.Type().IsRegular() || strings.HasPrefix(n.Name(), "OPTIONS-") { // ours are given
			continue
		}
		target, place := filepath.Join(from, n.Name()), filepath.Join(to, n.Name())
		if ext := filepath.Ext(place); (ext == ".sst" || ext == ".blob") && os.Link(target, place) == nil {
			continue
		}
		if err := copyFile(target, place); err != nil {
			return err
		}
	}
	blobs, err := pebbleguard.Blobs(vfs.Default, to)
	if err != nil {
		return err
	}
	c.db, err = pebbleguard.Open(to, &pebble.Options{
		FS:       pebbleguard.Guard(vfs.Default, func(string, error) {}), // the reader is told
		Comparer: keys.Comparer, DisableWAL: true, ErrorIfNotExists: true,
		FormatMajorVersion: pebble.FormatValueSeparation, Logger: rowsLogger{c},
		DisableAutomaticCompactions: true, DisableTableStats: true, // they are read once
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}},
	})
	if err != nil {
		return err
	}
	return pebbleguard.CheckBlobs(c.db, blobs)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// rowsLogger takes what Pebble says of a copy. Fatalf never returns: Pebble's state is not to be trusted past it.
type rowsLogger struct{ c *rowsCopy }

func (rowsLogger) Infof(string, ...any)  {}
func (rowsLogger) Errorf(string, ...any) {}
func (l rowsLogger) Fatalf(format string, args ...any) {
	select {
	case l.c.fatal <- fmt.Errorf(format, args...):
	default:
	}
	select {}
}

// readLog reads a drive's Raft log, past damage.
func readLog(drive string, log *slog.Logger) *replica.SalvagedLog {
	out := &replica.SalvagedLog{}
	dir := filepath.Join(drive, "log")
	entries, err := os.ReadDir(dir) // by name, which is by number
	if err != nil {
		log.Warn("Raft log cannot be read", "drive", drive, "err", err)
	}
	for _, e := range entries {
		if !segment.IsSegment(e.Name()) {
			continue
		}
		_, err := segment.ScanFile(vfs.Default, dir, e.Name(), func(_ io.ReaderAt, r segment.Record) error {
			if err := out.Add(r.Head); err != nil {
				log.Warn("Raft log record passed over", "drive", drive, "at", r.Pos, "err", err)
			}
			return nil
		})
		if err != nil {
			log.Warn("Raft log segment cannot be read", "drive", drive, "segment", e.Name(), "err", err)
		}
	}
	return out
}

// each calls fn for the newest version of every object, by bucket and key. Where a drive's rows are damaged, the next best
// go on. Errors: fn's, which ends it; else that no drive's rows could be read to the end of a range.
func (r *ranges) each(log *slog.Logger, fn func(record) error) error {
	var unread error
	for _, id := range slices.Sorted(maps.Keys(r.held)) {
		held := r.held[id]
		from := held[0].Span.Spans()[0].Start // of table Versions
		var bad error
		for _, h := range held {
			var own error
			from, bad, own = h.each(from, fn)
			if own != nil {
				return own
			}
			if bad == nil {
				break
			}
			log.Warn("rows are damaged: older ones of another drive may have to do", "drive", h.rows.drive, "range", id, "err", bad)
		}
		if bad != nil {
			unread = errors.Join(unread, fmt.Errorf("range %d: no drive's rows can be read to the end: %w", id, bad))
		}
	}
	return unread
}

// recordsPage is how many records are read before fn sees them: it is not called while Pebble may give up.
const recordsPage = 64

// each calls fn for objects from a row on, and returns the row behind the last that could be read, why no more could, and fn's error.
func (h *heldRange) each(from []byte, fn func(record) error) (next []byte, bad, own error) {
	for {
		var page []record
		var more []byte
		bad = h.rows.guard(func() (err error) {
			page, more, err = h.page(from)
			return err
		})
		if h.rows.gone.Load() {
			return from, bad, nil // its goroutine may still write to page
		}
		for _, rec := range page {
			if err := fn(rec); err != nil {
				return from, nil, err
			}
		}
		if bad != nil || more == nil {
			return more, bad, nil
		}
		from = more
	}
}

// page reads records from a row on, and the row to go on from; nil: there are no more. With an error it is where the first that
// could not be read may begin.
func (h *heldRange) page(from []byte) (page []record, next []byte, err error) {
	it, err := h.rows.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: h.Span.Spans()[0].End})
	if err != nil {
		return nil, from, err
	}
	defer it.Close()
	next = from
	for ok := it.First(); ok; ok = it.SeekGE(next) {
		if len(page) == recordsPage {
			return page, next, nil
		}
		row, err := keys.ParseRow(it.Key())
		if err != nil {
			next = append(bytes.Clone(it.Key()), 0)
			continue
		}
		rec, err := readRecord(h.rows.db, row)
		if err != nil {
			return page, next, fmt.Errorf("bucket %d, %q: %w", row.Bucket, row.Key, err)
		}
		if !rec.version.DeleteMarker {
			page = append(page, rec)
		}
		next = keys.Successor(bytes.Clone(keys.AppendTable(nil, keys.Versions, row.Bucket, row.Key))) // past all its versions
	}
	if err := it.Error(); err != nil {
		return page, next, err
	}
	return page, nil, nil
}

func readRecord(db *pebble.DB, row keys.Row) (record, error) {
	rec := record{bucket: row.Bucket, key: row.Key}
	var err error
	if rec.version, rec.inline, err = state.Get(db, row.Bucket, row.Key, state.GetOptions{Inline: true}); err != nil {
		return rec, err
	}
	if e := rec.version.GetDetails().GetExtent(); e != nil {
		rec.extents = []*metapb.Extent{e}
		return rec, nil
	}
	for off := uint64(0); rec.version.Parts > 0 && off < rec.version.Size; {
		page, err := state.Extents(db, row.Bucket, row.Key, row.TS, off, 1000)
		if err != nil {
			return rec, err
		}
		if len(page) == 0 {
			return rec, fmt.Errorf("no extent holds byte %d", off)
		}
		rec.extents = append(rec.extents, page...)
		last := page[len(page)-1]
		off = last.Offset + last.Size
	}
	return rec, nil
}
