package segment

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// Options configures Create and Open. A zero field means the default given here.
type Options struct {
	FS           vfs.FS        // vfs.Default
	Dir          string        // must exist
	ID           [16]byte      // the log's identity; segments of another are refused
	SegmentBytes int64         // 256 MiB; at least 64 KiB, under 4 GiB
	PrefillBytes int           // 1 MiB: zeros written ahead of small groups, so that their sync changes no file metadata; < 0: none
	GroupBytes   int           // 4 MiB: a group ends when it holds this much
	QueueRecords int           // 65,536: appends beyond are refused
	OpenFiles    int           // 256: segments kept open for reading
	Prefix       bool          // a torn group counts up to its first bad record only: for logs whose order matters
	Buffered     bool          // do not try O_DIRECT
	Buffers      *bufpool.Pool // a pool of its own
	Logger       *slog.Logger  // slog.Default()
	First        uint64        // Create: 1, the first segment's number
	// Proven is where the owner knows the log to have been synced up to; an offset of 0 proves nothing.
	Proven Pos

	// The hooks run on the log's goroutine, in the order of the records.

	// Begin is called when a group is begun.
	Begin func()
	// Admit is asked right before e joins a group. An error refuses e: Done is called with it.
	Admit func(e *Entry) error
	// Admitted is called when all of a group were asked for.
	Admitted func()
	// Synced is called when a group is on stable storage, before any Done. An error fails the log.
	Synced func(group []*Entry) error
	// NoSpace is called when there is none for a group with an essential entry; true: some was made, try again.
	NoSpace func() bool
	// Rolled is called when a further segment exists durably, before the first record in it. An error fails the group.
	Rolled func(segment uint64) error
	// Failed is called once, when the log takes no more.
	Failed func(error)
}

func (o *Options) validate() error {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Buffers == nil {
		o.Buffers = new(bufpool.Pool)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.SegmentBytes = defaulted(o.SegmentBytes, 256<<20)
	o.PrefillBytes = max(0, defaulted(o.PrefillBytes, 1<<20)) // sums with it must not come out short
	o.GroupBytes = defaulted(o.GroupBytes, 4<<20)
	o.QueueRecords = defaulted(o.QueueRecords, 1<<16)
	o.OpenFiles = defaulted(o.OpenFiles, 256)
	if o.SegmentBytes < 64<<10 || o.SegmentBytes >= 4<<30 || o.SegmentBytes%blockBytes != 0 {
		return fmt.Errorf("segment: SegmentBytes %d is not a multiple of %d from 64 KiB to 4 GiB", o.SegmentBytes, blockBytes)
	}
	o.GroupBytes = min(o.GroupBytes, int(o.SegmentBytes)/2)
	return nil
}

func defaulted[T int | int64](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Entry is one record to append. From Submit until Done it is the log's; after ErrAbandoned for ever.
type Entry struct {
	Head []byte // copied when its group is built
	// Body follows the head, unchecked. Its pieces are read until Done. Pieces in memory on a border of 4,096 bytes
	// and of a multiple of 4,096 bytes, but the last, are written without a copy if they are 64 KiB or more together.
	Body [][]byte
	Done func(e *Entry, err error) // called exactly once, from the log's goroutine, Submit or Abandon; it must not block
	User any                       // the submitter's

	// Essential entries get another try after Options.NoSpace.
	Essential bool

	// Set before Synced and Done.
	Pos    Pos
	Seq    uint64
	BodyAt uint32 // offset of the body in the segment; 0 if there is none

	bodyBytes int
	aligned   bool  // the body is written from where it is
	refused   error // by Admit
}

// BodyBytes is the length of the body.
func (e *Entry) BodyBytes() int { return e.bodyBytes }

// Log is an append-only log. Its methods may be called together.
type Log struct {
	opt   Options
	files *fileCache

	mu         sync.Mutex
	wake       *sync.Cond
	queue      []*Entry
	inflight   []*Entry // the group being written; nil when Abandon took it
	segments   []info   // ordered by number, live ones only
	damages    []Damage
	openedLast uint64 // the newest segment when Open returned
	err        error  // why nothing more is taken
	closing    bool

	encoding  sync.Mutex   // held while the group's memory is read; never while the file system is waited for
	busySince atomic.Int64 // when the group in hand was begun, in Unix nanoseconds; 0: idle
	stopped   chan struct{}
	w         writer // the goroutine's own
	stats     stats
}

// info is what is known of a segment.
type info struct {
	header
	end      int64 // of what exists; 0: not known, the file's length bounds it
	safe     int64 // proven to be synced up to here, if end is known
	headless bool  // the header is damaged: only what the name tells is known
	bytes    int64 // file length when it was opened, or written so far
}

// Segment describes a segment.
type Segment struct {
	Number uint64
	Bytes  int64 // of its file
}

// Damage is a part of the log that should be there and is not.
type Damage struct {
	Segment uint64
	Offset  int64
	Bytes   int64
	Reason  string
}

func (d Damage) String() string {
	return fmt.Sprintf("segment %d at %d, %d bytes: %s", d.Segment, d.Offset, d.Bytes, d.Reason)
}

// Create makes the log's first segment in opt.Dir, durably. The directory itself is the caller's to sync.
func Create(opt Options) error {
	if err := opt.validate(); err != nil {
		return err
	}
	h := header{segment: max(opt.First, 1), salt: newSalt(), id: opt.ID, firstSeq: 1}
	h.firstSeq = h.segment << 32 // above those of lost segments with lower numbers
	f, err := createFile(&opt, &h)
	if err != nil {
		return err
	}
	return f.Close()
}

// Open opens the log in opt.Dir. Segments of another log give ErrForeign, none at all ErrNoSegment.
// It reads the last segment only, makes durable what it found there, and changes nothing else.
func Open(opt Options) (*Log, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	l := &Log{opt: opt, stopped: make(chan struct{}), files: newFileCache(opt.FS, opt.Dir, opt.OpenFiles)}
	l.wake = sync.NewCond(&l.mu)
	if err := l.load(); err != nil {
		l.files.close()
		return nil, err
	}
	go l.run()
	return l, nil
}

// Submit queues e. Done may be called before Submit returns if e is refused at once.
func (l *Log) Submit(e *Entry) { l.submit(e) }

func (l *Log) submit(es ...*Entry) {
	var tooLarge bool
	for _, e := range es {
		e.measure()
		tooLarge = tooLarge || int64(e.spaceBytes()) > l.opt.SegmentBytes-HeaderBytes
	}
	l.mu.Lock()
	err := l.err
	switch {
	case err != nil:
	case l.closing:
		err = ErrClosed
	case tooLarge:
		err = fmt.Errorf("%w: record for segments of %d bytes", ErrTooLarge, l.opt.SegmentBytes)
	case len(l.queue)+len(es) > l.opt.QueueRecords:
		err = fmt.Errorf("%w: %d records wait", ErrTooLarge, len(l.queue))
	}
	if err == nil {
		l.queue = append(l.queue, es...)
		l.wake.Signal()
	}
	l.mu.Unlock()
	if err != nil {
		for _, e := range es {
			e.Done(e, err)
		}
	}
}

// Append appends recs in order and calls done when all are on stable storage, or with the first error, after which any of
// them may or may not be there. recs are read until done.
func (l *Log) Append(recs [][]byte, done func([]Pos, error)) {
	if len(recs) == 0 {
		done(nil, nil)
		return
	}
	a := &appending{left: len(recs), pos: make([]Pos, len(recs)), done: done}
	es := make([]Entry, len(recs))
	ptrs := make([]*Entry, len(recs))
	for i := range es {
		es[i] = Entry{Head: recs[i], User: i, Done: a.entryDone, Essential: true}
		ptrs[i] = &es[i]
	}
	l.submit(ptrs...)
}

// appending gathers the answers of one Append's entries.
type appending struct {
	done func([]Pos, error)

	mu   sync.Mutex // Abandon answers for what waits while the log's goroutine answers for what is written
	left int
	pos  []Pos
	err  error
}

func (a *appending) entryDone(e *Entry, err error) {
	a.mu.Lock()
	if err == nil { // of an entry that was abandoned the log may still write the position
		a.pos[e.User.(int)] = e.Pos
	}
	if a.err == nil {
		a.err = err
	}
	a.left--
	last := a.left == 0
	a.mu.Unlock()
	if !last {
		return
	}
	if a.err != nil {
		a.pos = nil
	}
	a.done(a.pos, a.err)
}

// Err is why the log takes no more, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Busy is for how long the group in hand has been in hand; 0 when idle.
func (l *Log) Busy() time.Duration {
	since := l.busySince.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - since)
}

// Abandon fails everything that waits, and the log, without waiting for the file system: with an error that is ErrAbandoned
// and err. What it was writing may still reach the disk; bodies of that group that are written from where they are may still be
// read by the kernel.
func (l *Log) Abandon(err error) {
	err = fmt.Errorf("%w: %w", ErrAbandoned, err)
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = err
	}
	l.wake.Signal()
	l.mu.Unlock()
	es := l.takeBack()
	for _, e := range es {
		e.Done(e, err)
	}
	if first && l.opt.Failed != nil {
		l.opt.Failed(err)
	}
}

// takeBack takes all entries from the log, whose error is set: nobody is reading their memory, nor begins to.
func (l *Log) takeBack() []*Entry {
	l.encoding.Lock()
	defer l.encoding.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	es := slices.Concat(l.inflight, l.queue)
	l.inflight, l.queue = nil, nil
	return es
}

// Segments lists the segments there are, oldest first. The last one is being written.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Segment, len(l.segments))
	for i, s := range l.segments {
		out[i] = Segment{Number: s.segment, Bytes: s.bytes}
	}
	return out
}

// Damages lists what Open and scans found missing.
func (l *Log) Damages() []Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.damages)
}

func (l *Log) damaged(d Damage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.damages, d) {
		l.damages = append(l.damages, d)
		l.opt.Logger.Error("log segment damaged", "dir", l.opt.Dir, "damage", d.String())
	}
}

// Wait returns when the log's goroutine has ended, after Close or a failure: Options.Synced is not called any more. It lasts
// as long as the file system hangs.
func (l *Log) Wait() { <-l.stopped }

// Close lets what waits finish and closes the files. A log that failed closes them when its goroutine comes back. Idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closing = true
	failed := l.err
	l.wake.Signal()
	l.mu.Unlock()
	if failed == nil {
		<-l.stopped
	}
	l.files.close()
	return nil
}

func newSalt() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// createFile makes the segment of h, durably, and returns it open for writing.
func createFile(opt *Options, h *header) (vfs.File, error) {
	path := opt.FS.PathJoin(opt.Dir, h.name())
	var opts []vfs.OpenOption
	if !opt.Buffered {
		opts = append(opts, Direct)
	}
	f, err := opt.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified, opts...)
	if err != nil {
		return nil, err
	}
	b := opt.Buffers.Get(blockBytes)
	defer b.Release()
	h.encode(b.B)
	if err = WriteFirst(f, b.B, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(opt.FS, opt.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
