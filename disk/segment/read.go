package segment

import (
	"errors"
	"fmt"
	"io"
)

// Read returns the head of the record at p, verified. It may be called for positions that Done or Scan gave.
func (l *Log) Read(p Pos) ([]byte, error) {
	b := make([]byte, recordBytes+int(p.Bytes))
	if err := l.ReadAt(p.Segment, b, int64(p.Offset), false); err != nil {
		return nil, err
	}
	return l.Decode(p, b)
}

// HeadOffset is how far a record's head stands behind its position.
const HeadOffset = recordBytes

// Decode checks the record at p, of which b holds at least header and head, and returns the head in b.
func (l *Log) Decode(p Pos, b []byte) ([]byte, error) {
	s, ok := l.find(p.Segment)
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrNoSegment, p.Segment)
	}
	r, ok := s.parse(b, int64(p.Offset), l.opt.SegmentBytes+int64(l.opt.PrefillBytes))
	if !ok || r.Pos != p {
		return nil, fmt.Errorf("%w: record %v", ErrDamaged, p)
	}
	return r.Head, nil
}

// Has tells whether a segment is there.
func (l *Log) Has(segment uint64) bool {
	_, ok := l.find(segment)
	return ok
}

func (l *Log) find(segment uint64) (seal, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Segments are numbered without gaps but for lost ones: guess, then search.
	if n := len(l.segments); n > 0 {
		if i := segment - l.segments[0].segment; i < uint64(n) && l.segments[i].segment == segment {
			return seal{segment: segment, salt: l.segments[i].salt}, true
		}
	}
	for i := range l.segments {
		if l.segments[i].segment == segment {
			return seal{segment: segment, salt: l.segments[i].salt}, true
		}
	}
	return seal{}, false
}

// ReadAt fills b from offset off of a segment. With direct, past the page cache: b and off are then on borders of 4,096 bytes.
// A segment too short gives ErrDamaged.
func (l *Log) ReadAt(segment uint64, b []byte, off int64, direct bool) error {
	f, err := l.files.get(fileKey{segment, direct && !l.opt.Buffered})
	if err != nil {
		return err
	}
	defer f.release()
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: segment %d ends at %d", ErrDamaged, segment, off+int64(n))
	}
	return err
}

// Direct tells whether the newest segment can be read past the page cache.
func (l *Log) Direct() bool {
	segments := l.Segments()
	f, err := l.files.get(fileKey{segments[len(segments)-1].Number, true})
	if err != nil {
		return false
	}
	defer f.release()
	return IsDirect(f.File)
}

// Release removes every segment numbered below n, oldest first, but never the newest.
func (l *Log) Release(n uint64) error {
	for _, s := range l.Segments() {
		if s.Number >= n {
			break
		}
		if err := l.Remove(s.Number); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes one segment. The newest one stays: it carries the log's identity and its last sequence number.
// The caller has made durable whatever no longer names it (I16).
func (l *Log) Remove(segment uint64) error {
	l.mu.Lock()
	at := -1
	for i := range l.segments[:len(l.segments)-1] {
		if l.segments[i].segment == segment {
			at = i
		}
	}
	if at >= 0 {
		l.segments = append(l.segments[:at], l.segments[at+1:]...)
	}
	l.mu.Unlock()
	if at < 0 {
		return nil
	}
	name := l.files.drop(segment)
	if err := l.opt.FS.Remove(l.opt.FS.PathJoin(l.opt.Dir, name)); err != nil {
		return err
	}
	return syncDir(l.opt.FS, l.opt.Dir)
}
