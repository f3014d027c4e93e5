package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
)

// Drive is an open drive. Its methods may be called together, and after Close, when they return ErrUnavailable.
type Drive struct {
	opt  Options
	id   Identity
	here identities // what was opened, for Check
	lock io.Closer
	rows *pebble.DB

	chunks atomic.Pointer[segment.Log]
	raft   atomic.Pointer[segment.Log]

	health  atomic.Pointer[Health]
	down    chan struct{} // closed when the drive failed
	closing chan struct{} // closed when Close begins
	drained chan struct{} // closed when no more tasks come
	ended   chan struct{} // closed when Close is done waiting
	close   sync.Once

	tasks      chan *task
	gate       sync.RWMutex // guards noTasks
	noTasks    bool
	spare      sync.Pool // of *task
	ops        sync.Pool // of *op
	busy       []atomic.Int64
	working    sync.WaitGroup // workers
	background sync.WaitGroup // watch, housekeeping

	epochs epochTable
	segs   segStats
	dead   deadFiles
	space  space
	stats  counters
	files  atomic.Uint64 // the highest file number used
	poke   chan struct{} // wakes housekeeping

	idMu         sync.Mutex // guards id, and the file of it
	discard      sync.Once
	aside        sync.Mutex // one chunk is put aside at a time
	opening      atomic.Bool
	rowsBad      atomic.Pointer[string] // why, if rows were found corrupt while opening
	rowsFatal    atomic.Bool            // Pebble gave up: its handle is not to be touched
	rowsTold     atomic.Int64           // when an error of Pebble's background work was logged last, in ns since 1970; 0: never
	replicasLost atomic.Bool
	lost         Loss

	reclaiming  sync.Mutex           // one reclaim at a time
	unreadable  map[uint64]time.Time // under reclaiming: segments that could not be read, or hold chunks that could not, and when
	reclaimStep atomic.Int64         // when its step under way began, in Unix nanoseconds; 0: none

	// The chunk log's goroutine's own, and recovery's before it.
	recent    recentKeys
	probe     *pebble.Iterator // see lookupNew
	lastPut   atomic.Int64     // when a chunk was last stored, in Unix nanoseconds
	touched   []uint64         // segments whose stat the batch in hand changes
	value     []byte
	unflushed int // records since the index was last told to flush
}

// Loss is what an opening found gone.
type Loss struct {
	Replicas string // why all range replicas here are lost (I10); empty if they are not
	Chunks   int64  // chunks whose segment or file is gone
	ChunkLog bool   // all segments are gone, with what the index did not know of yet
	Damages  []segment.Damage
}

func (o *Options) chunkLog(id ids.Drive) segment.Options {
	return segment.Options{
		FS: o.FS, Dir: o.FS.PathJoin(o.Path, chunksName), ID: id, SegmentBytes: o.SegmentBytes, PrefillBytes: o.PrefillBytes,
		Buffered: o.Buffered, Buffers: o.Buffers, Logger: o.Logger,
	}
}

func (o *Options) raftLog(id [16]byte) segment.Options {
	return segment.Options{
		FS: o.FS, Dir: o.FS.PathJoin(o.Path, logName), ID: id, SegmentBytes: o.LogSegmentBytes, PrefillBytes: o.PrefillBytes,
		Prefix: true, Buffered: o.Buffered, Buffers: o.Buffers, Logger: o.Logger,
	}
}

// Open locks, recovers and starts the drive at opt.Path. Errors: ErrLocked, ErrNotDrive, and the file system's.
// A drive whose rows or Raft log are lost opens with new ones; see ReplicasLost.
func Open(opt Options) (*Drive, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	id, state, err := Probe(opt.FS, opt.Path)
	if err == nil && state != Formatted {
		err = fmt.Errorf("%w: %s is %s", ErrNotDrive, opt.Path, state)
	}
	if err != nil {
		return nil, &Error{"open", opt.Path, err}
	}
	opt.fit()
	d := &Drive{
		opt: opt, id: id,
		down: make(chan struct{}), closing: make(chan struct{}), drained: make(chan struct{}), ended: make(chan struct{}), poke: make(chan struct{}, 1),
		tasks: make(chan *task, opt.QueueReads), busy: make([]atomic.Int64, opt.Workers),
	}
	d.health.Store(&Health{Since: time.Now()})
	d.segs.m, d.unreadable = make(map[uint64]segStat), make(map[uint64]time.Time)
	if err := d.start(); err != nil {
		d.release()
		return nil, &Error{"open", opt.Path, err}
	}
	return d, nil
}

func (d *Drive) start() (err error) {
	d.opening.Store(true)
	if d.lock, err = lock(d.opt.FS, d.opt.Path); err != nil {
		return err
	}
	if err := mendIdentity(d.opt.FS, d.opt.Path, d.id); err != nil {
		return err
	}
	d.space.open(d)
	if err := d.openOrRenew(); err != nil {
		return err
	}
	d.opening.Store(false)
	if err := d.here.refresh(d); err != nil {
		return err
	}
	d.working.Add(len(d.busy))
	for i := range d.busy {
		go d.work(&d.busy[i])
	}
	d.background.Add(1)
	go d.watch()
	go d.keepHouse()
	if !d.opt.NoReclaim {
		d.background.Add(1)
		go d.keepReclaiming()
	}
	return nil
}

// release gives back what start took, as far as it came.
func (d *Drive) release() {
	for _, l := range []*segment.Log{d.chunks.Load(), d.raft.Load()} {
		if l != nil {
			l.Close()
		}
	}
	if d.rows != nil && !d.rowsFatal.Load() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			if l := d.chunks.Load(); l != nil {
				l.Wait() // its goroutine reads rows: Pebble panics over a call after Close
			}
			d.working.Wait()
			if err := d.rows.Close(); err != nil {
				d.opt.Logger.Warn("closing rows", "err", err)
			}
		}()
		select {
		case <-closed:
		case <-d.down: // it may not end, if what it waits for was given up
		}
	}
	if d.lock != nil {
		d.lock.Close()
	}
}

// Close finishes what is under way, flushes the index and releases the drive. Nobody may use Rows any more, or Log. A failed drive is
// let go of without waiting for it: what hangs in it goes when it comes back. Idempotent.
func (d *Drive) Close() error {
	var err error
	d.close.Do(func() { err = d.shut() })
	return d.fault("close", err)
}

func (d *Drive) shut() error {
	close(d.closing)
	done := make(chan error, 1)
	go func() {
		d.background.Wait()
		close(d.drained)
		d.working.Wait()
		d.dropTasks()
		d.log().Close()
		d.log().Wait() // a failed one's goroutine may still be about to write rows
		var err error
		if d.Health().State != Failed {
			err = errors.Join(d.rows.Flush(), d.endLog())
		}
		done <- err
	}()
	defer close(d.ended)
	go d.checkUntilEnded()
	select {
	case err := <-done:
		d.release()
		return err
	case <-d.down:
	}
	d.log().Abandon(d.unavailable())
	d.Log().Abandon(d.unavailable())
	d.lock.Close()
	d.lock = nil
	go func() {
		<-done
		d.release()
	}()
	return nil
}

// endLog ends the Raft log, and notes where that is.
func (d *Drive) endLog() error {
	l := d.Log()
	err := errors.Join(l.Err(), l.Close())
	l.Wait()
	if err != nil {
		return err
	}
	return d.noteLogEnd(l.End())
}

// noteLogEnd makes a later opening miss what is not there of the log up to p.
func (d *Drive) noteLogEnd(p segment.Pos) error {
	end := LogEnd{p.Segment, p.Offset}
	if d.Identity().LogEnd == end {
		return nil
	}
	return d.editIdentity(func(id *Identity) { id.LogEnd = end })
}

// checkUntilEnded looks after a drive that is being closed, for whoever called Check may have stopped: Pebble flushes into a
// directory that was removed for ever.
func (d *Drive) checkUntilEnded() {
	for d.Check() == nil {
		select {
		case <-d.ended:
			return
		case <-time.After(time.Second):
		}
	}
}

func (d *Drive) log() *segment.Log { return d.chunks.Load() }

// ID is the drive's id.
func (d *Drive) ID() ids.Drive { return d.Identity().Drive }

// Identity is what sherd.json said when the drive was opened, or says since.
func (d *Drive) Identity() Identity {
	d.idMu.Lock()
	defer d.idMu.Unlock()
	return d.id
}

// editIdentity changes sherd.json.
func (d *Drive) editIdentity(edit func(*Identity)) error {
	d.idMu.Lock()
	defer d.idMu.Unlock()
	id := d.id
	edit(&id)
	if err := d.ours(); err != nil { // or another drive would get this one's identity
		return err
	}
	return d.here.change(d, func() error {
		if err := writeIdentity(d.opt.FS, d.opt.Path, id); err != nil {
			return d.writeError(err)
		}
		d.id = id
		return nil
	})
}

// Path is the drive's directory.
func (d *Drive) Path() string { return d.opt.Path }

// Incarnation names the present rows and log; they get a new one when they were lost (I10).
func (d *Drive) Incarnation() string { return d.Identity().Incarnation }

// ReplicasLost reports that rows or log were missing, foreign or corrupt, in this opening or an earlier one that nobody took note of:
// every range replica on this drive is lost, and must be replaced under new ids (I10).
func (d *Drive) ReplicasLost() bool { return d.replicasLost.Load() }

// AckReplicasLost notes durably that the loss is known to those who replace the replicas.
func (d *Drive) AckReplicasLost() error {
	if err := d.editIdentity(func(id *Identity) { id.ReplicasLost = false }); err != nil {
		return d.fault("acknowledge", err)
	}
	d.replicasLost.Store(false)
	return nil
}

// ChunksLost reports that chunks were gone, or part of their log, in this opening or an earlier one that nobody took note of: some that
// the drive should have it may lack, and its index does not say which.
func (d *Drive) ChunksLost() bool { return d.Identity().ChunksLost }

// AckChunksLost notes durably that all the drive lacks is known to those who make it again.
func (d *Drive) AckChunksLost() error {
	return d.fault("acknowledge", d.editIdentity(func(id *Identity) { id.ChunksLost = false }))
}

// noteChunksLost has later openings tell of the loss too, until somebody took note. It comes before whatever makes the index, or a new
// chunk log, hide it from them.
func (d *Drive) noteChunksLost() error {
	d.idMu.Lock()
	defer d.idMu.Unlock()
	if d.id.ChunksLost {
		return nil
	}
	id := d.id
	id.ChunksLost = true
	if err := writeIdentity(d.opt.FS, d.opt.Path, id); err != nil {
		return d.writeError(err)
	}
	d.id = id
	return nil
}

// Lost is what opening the drive found gone.
func (d *Drive) Lost() Loss {
	l := d.lost
	l.Damages = d.log().Damages()
	return l
}

// Log is the drive's Raft log.
func (d *Drive) Log() *segment.Log { return d.raft.Load() }

// Rows is the drive's ordered rows. Keys from TableMeta on are meta's; nobody else writes below. It has no log of its own:
// after a crash it holds a prefix of the batches. Calls may never return once Down is closed.
func (d *Drive) Rows() *pebble.DB { return d.rows }

// Flush makes durable all that was written to Rows before the call.
func (d *Drive) Flush(ctx context.Context) error {
	var err error
	if e := d.do(ctx, func() { err = d.rows.Flush() }, nil); e != nil {
		return d.fault("flush", e)
	}
	return d.fault("flush", err)
}

// RaiseEpoch makes durable that no chunk of a PG is sealed any more under an epoch older than epoch (I5).
func (d *Drive) RaiseEpoch(ctx context.Context, pool ids.Pool, pg ids.PG, epoch uint64) error {
	o := d.newOp(chunk.KindEpoch, nil)
	o.epochs = []chunk.Epoch{{Pool: pool, PG: pg, Epoch: epoch}}
	o.head = chunk.AppendEpochs(o.head, o.epochs...)
	o.entry.Essential = true
	return d.fault("raise epoch", d.await(ctx, o))
}

// Epoch is the least epoch under which the drive seals chunks of a PG, 0 if it has seen none (I5).
func (d *Drive) Epoch(pool ids.Pool, pg ids.PG) uint64 { return d.epochs.get(pgKey{pool, pg}) }

// await submits o and waits for it.
func (d *Drive) await(ctx context.Context, o *op) error {
	done := make(chan error, 1)
	o.done = func(err error) { done <- err }
	d.submit(o)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func leUint64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
