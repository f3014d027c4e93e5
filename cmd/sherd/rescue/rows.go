package rescue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
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

// ranges are, of each range, the rows of the drive that has most of it.
type ranges struct {
	dbs  []*pebble.DB
	best map[ids.Range]bestRange
}

type bestRange struct {
	replica.SalvagedRange
	db *pebble.DB
}

// openRows copies the rows of every drive to work, opens them, and applies what the drives' Raft logs hold beyond.
// A drive whose rows cannot be opened is told and left out.
func openRows(drives []string, work string, log *slog.Logger) *ranges {
	r := &ranges{best: map[ids.Range]bestRange{}}
	for i, drive := range drives {
		db, err := copyRows(drive, filepath.Join(work, fmt.Sprint(i)))
		if err != nil {
			log.Warn("rows cannot be used", "drive", drive, "err", err)
			continue
		}
		r.dbs = append(r.dbs, db)
		found, err := replica.Salvage(db, readLog(drive, log))
		if err != nil {
			log.Warn("Raft log cannot be applied whole", "drive", drive, "err", err)
		}
		for _, f := range found {
			have, ok := r.best[f.Span.ID]
			if !ok || f.Term > have.Term || (f.Term == have.Term && f.Index > have.Index) {
				r.best[f.Span.ID] = bestRange{f, db}
			}
		}
		log.Info("rows read", "drive", drive, "ranges", len(found))
	}
	return r
}

func (r *ranges) close() {
	for _, db := range r.dbs {
		db.Close()
	}
}

// copyRows opens a copy of a drive's rows. Tables are linked where that can be: they are never changed.
func copyRows(drive, to string) (*pebble.DB, error) {
	from := filepath.Join(drive, "rows")
	names, err := os.ReadDir(from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.Name() == "LOCK" || !n.Type().IsRegular() {
			continue
		}
		target, place := filepath.Join(from, n.Name()), filepath.Join(to, n.Name())
		if ext := filepath.Ext(place); (ext == ".sst" || ext == ".blob") && os.Link(target, place) == nil {
			continue
		}
		if err := copyFile(target, place); err != nil {
			return nil, err
		}
	}
	return pebble.Open(to, &pebble.Options{
		FS: vfs.Default, Comparer: keys.Comparer, DisableWAL: true, ErrorIfNotExists: true,
		FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{},
	})
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

// quiet is a Pebble logger. A fatal error panics: openRows's drive is then left out.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }

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

// each calls fn for the newest version of every object, by bucket and key. fn's error ends it.
func (r *ranges) each(fn func(record) error) error {
	var order []ids.Range
	for id := range r.best {
		order = append(order, id)
	}
	slices.Sort(order)
	for _, id := range order {
		if err := eachOf(r.best[id], fn); err != nil {
			return err
		}
	}
	return nil
}

func eachOf(r bestRange, fn func(record) error) error {
	table := r.Span.Spans()[0] // of table Versions
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: table.Start, UpperBound: table.End})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		row, err := keys.ParseRow(it.Key())
		if err != nil {
			ok = it.Next()
			continue
		}
		rec, err := readRecord(r.db, row)
		if err != nil {
			return fmt.Errorf("bucket %d, %q: %w", row.Bucket, row.Key, err)
		}
		if !rec.version.DeleteMarker {
			if err := fn(rec); err != nil {
				return err
			}
		}
		// Past all versions of this key.
		past := keys.Successor(bytes.Clone(keys.AppendTable(nil, keys.Versions, row.Bucket, row.Key)))
		ok = it.SeekGE(past)
	}
	return it.Error()
}

func readRecord(db *pebble.DB, row keys.Row) (record, error) {
	rec := record{bucket: row.Bucket, key: row.Key}
	var err error
	if rec.version, rec.inline, err = state.Get(db, row.Bucket, row.Key, 0, true); err != nil {
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
