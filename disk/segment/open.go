package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// load finds the segments and where the log ends.
func (l *Log) load() error {
	segments, damages, err := list(&l.opt)
	if err != nil {
		return err
	}
	l.segments = segments
	for _, d := range damages {
		l.damaged(d)
	}
	for i := range segments {
		l.files.add(segments[i].segment, segments[i].name())
	}
	last := &l.segments[len(l.segments)-1]
	out, err := l.scanSegment(last, true, HeaderBytes, nil)
	if err != nil {
		return err
	}
	if err := l.settle(last); err != nil {
		return err
	}
	for _, d := range out.Bad {
		l.damaged(d)
	}
	if out.Torn > 0 {
		l.opt.Logger.Info("log has a torn tail", "dir", l.opt.Dir, "segment", last.segment, "end", out.End, "bytes", out.Torn)
	}
	last.end, last.safe = out.End, out.Safe
	l.openedLast = last.segment
	l.w.cur, l.w.off, l.w.safe = last.header, out.End, out.Safe
	l.w.seq = max(out.LastSeq, last.firstSeq-min(last.firstSeq, 1))
	return nil
}

// settle syncs a segment that a crash may have left half synced, before anybody builds on what was read of it.
func (l *Log) settle(s *info) error {
	f, err := l.opt.FS.OpenReadWrite(l.opt.FS.PathJoin(l.opt.Dir, s.name()), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncDir(l.opt.FS, l.opt.Dir))
}

// list reads the headers of all segments in opt.Dir, oldest first, and joins them.
func list(opt *Options) ([]info, []Damage, error) {
	names, err := opt.FS.List(opt.Dir)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	var segments []info
	for _, name := range names {
		number, salt, ok := parseName(name)
		if !ok {
			continue
		}
		s, err := readHeader(opt, name, number, salt)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, nil, err
		}
		s.headless = err != nil
		if n := len(segments); n > 0 && segments[n-1].segment == number {
			if segments[n-1], err = better(opt, segments[n-1], s); err != nil {
				return nil, nil, err
			}
			continue
		}
		segments = append(segments, s)
	}
	if segments, err = dropLate(opt, segments); err != nil {
		return nil, nil, err
	}
	if segments, err = dropUnborn(opt, segments); err != nil {
		return nil, nil, err
	}
	var damages []Damage
	for i := range segments {
		if segments[i].headless {
			damages = append(damages, Damage{Segment: segments[i].segment, Bytes: HeaderBytes, Reason: "header"})
		}
	}
	if len(segments) == 0 {
		return nil, nil, fmt.Errorf("%w in %s", ErrNoSegment, opt.Dir)
	}
	for i := range segments[:len(segments)-1] {
		this, next := &segments[i], &segments[i+1]
		switch {
		case next.segment != this.segment+1 && opt.Prefix: // only such a log is released strictly from its start
			damages = append(damages, Damage{Segment: this.segment + 1, Reason: fmt.Sprintf("segments %d to %d are missing", this.segment+1, next.segment-1)})
		case next.prev == this.segment:
			this.end, this.safe = int64(next.prevEnd), int64(next.prevSafe)
		}
	}
	return segments, damages, nil
}

// better tells a segment whose creation failed or came too late from the one that took its number: that has records, or at least a header.
func better(opt *Options, a, b info) (info, error) {
	emptyA, err := isEmpty(opt, a.name())
	if err != nil {
		return a, err
	}
	emptyB, err := isEmpty(opt, b.name())
	if emptyA && !emptyB || emptyA == emptyB && a.headless {
		return b, err
	}
	return a, err
}

// dropLate removes what a log made when it had been abandoned, and the log that took its place had released its own segment of that number:
// one without a record, before the oldest. The segment that Create made holds none either, but names none before it: what is missing after that
// is missing.
func dropLate(opt *Options, segments []info) ([]info, error) {
	for opt.Prefix && len(segments) > 1 && segments[0].prev != 0 && segments[1].segment != segments[0].segment+1 {
		empty, err := isEmpty(opt, segments[0].name())
		if err != nil || !empty {
			return segments, err
		}
		if err := opt.FS.Remove(opt.FS.PathJoin(opt.Dir, segments[0].name())); err != nil {
			return segments, err
		}
		segments = segments[1:]
	}
	return segments, nil
}

// dropUnborn removes the newest segment if a crash in its creation left it without a header, and so without a record.
func dropUnborn(opt *Options, segments []info) ([]info, error) {
	n := len(segments) - 1
	if n < 0 || !segments[n].headless {
		return segments, nil
	}
	empty, err := isEmpty(opt, segments[n].name())
	if err != nil || !empty {
		return segments, err
	}
	return segments[:n], opt.FS.Remove(opt.FS.PathJoin(opt.Dir, segments[n].name()))
}

// isEmpty tells whether a segment holds no record at all.
func isEmpty(opt *Options, name string) (empty bool, err error) {
	empty = true
	_, err = ScanFile(opt.FS, opt.Dir, name, func(io.ReaderAt, Record) error { empty = false; return errStop })
	if errors.Is(err, errStop) {
		err = nil
	}
	return empty, err
}

// readHeader reads one segment's header. ErrDamaged comes with what the name tells.
func readHeader(opt *Options, name string, number, salt uint64) (info, error) {
	s := info{header: header{segment: number, salt: salt, id: opt.ID}}
	f, err := opt.FS.Open(opt.FS.PathJoin(opt.Dir, name))
	if err != nil {
		return s, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return s, err
	}
	s.bytes = stat.Size()
	b := opt.Buffers.Get(blockBytes)
	defer b.Release()
	n, err := f.ReadAt(b.B, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	h, err := decodeHeader(b.B[:n])
	if err != nil {
		return s, err
	}
	if h.id != opt.ID {
		return s, fmt.Errorf("%w: %s", ErrForeign, name)
	}
	if h.segment != number || h.salt != salt {
		return s, fmt.Errorf("%w: header of segment %d", ErrDamaged, h.segment)
	}
	s.header = h
	return s, nil
}

// scanSegment walks one segment from offset on.
func (l *Log) scanSegment(s *info, last bool, from int64, fn func(Record) error) (Scanned, error) {
	f, err := l.opt.FS.Open(l.opt.FS.PathJoin(l.opt.Dir, s.name()), l.readOption())
	if err != nil {
		return Scanned{}, err
	}
	defer f.Close()
	sc := scanner{
		f: f, seal: seal{segment: s.segment, salt: s.salt}, size: s.bytes, prefix: l.opt.Prefix, fn: fn,
		win: window{f: f, size: s.bytes, pool: l.opt.Buffers},
	}
	defer sc.win.close()
	if s.end > 0 && !last {
		sc.size, sc.ended, sc.proven = s.end, true, s.safe
	}
	if last && l.opt.Proven.Segment == s.segment {
		sc.proven = int64(l.opt.Proven.Offset)
	}
	if last && l.opt.Proven.Segment > s.segment {
		sc.proven = s.bytes
	}
	if from <= HeaderBytes {
		sc.nextSeq = s.firstSeq
	}
	err = sc.walk(max(from, HeaderBytes))
	return sc.out, err
}

// readOption is how scans open files: past the page cache where that is used for writing, since what counts
// is what the disk has.
func (l *Log) readOption() vfs.OpenOption {
	if l.opt.Buffered {
		return vfs.SequentialReadsOption
	}
	return Direct
}

// Records walks the log in order from a position that a record or an end had, or from the start for the zero Pos,
// up to where it ended when Open returned. fn gets each record; its error stops the walk and is returned.
// What it finds damaged is added to Damages.
func (l *Log) Records(from Pos, fn func(Record) error) error {
	l.mu.Lock()
	segments := slices.Clone(l.segments)
	opened := l.openedLast
	l.mu.Unlock()
	for i := range segments {
		s := &segments[i]
		if s.segment < from.Segment || s.segment > opened {
			continue
		}
		start := int64(HeaderBytes)
		if s.segment == from.Segment {
			start = roundUp(int64(from.Offset), recordAlign)
		}
		out, err := l.scanSegment(s, s.segment == opened, start, fn)
		for _, d := range out.Bad {
			l.damaged(d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SegmentRecords walks one segment, which is not the newest, as Records does.
func (l *Log) SegmentRecords(number uint64, fn func(Record) error) error {
	l.mu.Lock()
	segments := slices.Clone(l.segments)
	opened := l.openedLast
	l.mu.Unlock()
	for i := range segments[:len(segments)-1] {
		if s := &segments[i]; s.segment == number {
			out, err := l.scanSegment(s, s.segment == opened, HeaderBytes, fn)
			for _, d := range out.Bad {
				l.damaged(d)
			}
			return err
		}
	}
	return fmt.Errorf("%w: %d", ErrNoSegment, number)
}

// Scan calls fn with every record that was in the log when Open returned, oldest first. The bytes are valid during the call.
func (l *Log) Scan(fn func(Pos, []byte) error) error {
	return l.Records(Pos{}, func(r Record) error { return fn(r.Pos, r.Head) })
}

// End is where the log ends now: a Pos from which Records finds what comes later.
func (l *Log) End() Pos {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := &l.segments[len(l.segments)-1]
	return Pos{Segment: last.segment, Offset: uint32(max(last.end, HeaderBytes))}
}
