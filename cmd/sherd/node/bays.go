package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
)

// bay is one path, given on the command line or added since, and the drive that is there now. Its own goroutine looks after it, so
// that a path that hangs holds up no other (I12).
type bay struct {
	path string
	kick chan struct{} // look now, do not wait for the second's tick

	dropped chan struct{} // closed when the path is looked after no more

	work    sync.Mutex  // held while a drive is taken out or put in
	calls   calls       // under work
	opening chan opened // under work: a drive that is being opened; nil: none is

	mu      sync.Mutex
	drive   *disk.Drive // nil: nothing is open
	last    ids.Drive   // the drive that was here last; zero: none yet
	problem string      // why nothing is open, for people
	doubt   error       // what others found wrong with drive
	served  time.Time   // since when drive is in service
	looked  time.Time   // when the path last answered
	blank   time.Time   // since when the path is seen to be blank; zero: it is not, as far as one knows
	silent  bool        // the path does not answer
	holds   ids.Drive   // the drive that the path was last seen to hold, open or not; zero: none
	device  string      // major:minor of its file system; empty: not known
	tally   tally       // of the drive, as last counted
	errors  int64       // of handles that were given up since
}

// opened is what disk.Open gave.
type opened struct {
	drive  *disk.Drive
	device string
	err    error
}

// bays is all of them; drive looks one up by id without a lock, on every request.
type bays struct {
	all  atomic.Pointer[[]*bay] // never changed: add and drop make another
	byID atomic.Pointer[map[ids.Drive]*disk.Drive]

	mu     sync.Mutex         // orders writers of all and byID
	missed map[ids.Drive]bool // drives that were away, and the map does not know
}

func newBays(paths []string) *bays {
	b := &bays{missed: map[ids.Drive]bool{}}
	b.byID.Store(&map[ids.Drive]*disk.Drive{})
	b.all.Store(&[]*bay{})
	for _, p := range paths {
		b.add(p)
	}
	return b
}

// list is all bays at this moment.
func (b *bays) list() []*bay { return *b.all.Load() }

// add makes a bay for one path more.
func (b *bays) add(path string) *bay {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := &bay{path: path, kick: make(chan struct{}, 1), dropped: make(chan struct{})}
	all := append(slices.Clone(b.list()), fresh)
	b.all.Store(&all)
	return fresh
}

// drop takes a bay away whose drive is closed: its watcher ends. It is harmless to do it again.
func (b *bays) drop(gone *bay) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(b.list()), func(o *bay) bool { return o == gone })
	if len(rest) < len(b.list()) {
		close(gone.dropped)
	}
	b.all.Store(&rest)
}

// wasDropped reports whether the path is looked after no more.
func (b *bay) wasDropped() bool {
	select {
	case <-b.dropped:
		return true
	default:
		return false
	}
}

// drive is the open drive with that id, or nil.
func (b *bays) drive(id ids.Drive) *disk.Drive { return (*b.byID.Load())[id] }

// open is how many drives are open.
func (b *bays) open() int { return len(*b.byID.Load()) }

// twins are the other bays whose path holds the drive with that id, too; in service: one of them has it open.
func (b *bays) twins(but *bay, id ids.Drive) (twins []*bay, inService bool) {
	for _, bay := range b.list() {
		if bay == but {
			continue
		}
		bay.mu.Lock()
		open := bay.drive != nil && bay.drive.ID() == id
		if open || bay.drive == nil && bay.holds == id {
			twins, inService = append(twins, bay), inService || open
		}
		bay.mu.Unlock()
	}
	return twins, inService
}

// at finds a bay by its path; nil if there is none.
func (b *bays) at(path string) *bay {
	for _, bay := range b.list() {
		if bay.path == path {
			return bay
		}
	}
	return nil
}

// bayOf finds the bay that the drive with that id is or was last in; nil if there is none.
func (b *bays) bayOf(id ids.Drive) *bay {
	for _, bay := range b.list() {
		if _, last, _ := bay.current(); last == id {
			return bay
		}
	}
	return nil
}

// doubtsAfter is how long after a drive was put in service doubts of it count for nothing: they are about the handle
// before it, most likely, and what it missed then it counts as suspect for already.
const doubtsAfter = 3 * time.Second

// doubt has the drive with that id taken out of service and opened again, if that goes: for errors that it does not see
// itself.
func (b *bays) doubt(id ids.Drive, cause error) {
	bay := b.bayOf(id)
	if bay == nil {
		return
	}
	bay.mu.Lock()
	if bay.drive != nil && bay.doubt == nil && time.Since(bay.served) > doubtsAfter {
		bay.doubt = cause
	}
	bay.mu.Unlock()
	bay.look()
}

// problemOf says why the drive with that id is not open.
func (b *bays) problemOf(id ids.Drive) string {
	for _, bay := range b.list() {
		if _, last, problem := bay.current(); last == id && problem != "" {
			return problem
		}
	}
	return "not here"
}

func (b *bays) insert(bay *bay, d *disk.Drive) {
	now := time.Now()
	bay.mu.Lock()
	bay.drive, bay.last, bay.problem, bay.doubt, bay.served = d, d.ID(), "", nil, now
	bay.looked, bay.blank, bay.silent = now, time.Time{}, false
	bay.mu.Unlock()
	b.update(func(m map[ids.Drive]*disk.Drive) { m[d.ID()] = d })
}

// remove takes the drive out of bay; nobody finds it afterwards. The caller closes it.
func (b *bays) remove(bay *bay, problem string) *disk.Drive {
	bay.mu.Lock()
	d := bay.drive
	bay.drive, bay.problem = nil, problem
	if d != nil {
		bay.errors += failures(d)
	}
	bay.mu.Unlock()
	if d != nil {
		b.update(func(m map[ids.Drive]*disk.Drive) { delete(m, d.ID()) })
	}
	return d
}

func (b *bays) update(change func(map[ids.Drive]*disk.Drive)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := map[ids.Drive]*disk.Drive{}
	for id, d := range *b.byID.Load() {
		next[id] = d
	}
	change(next)
	b.byID.Store(&next)
}

func (b *bays) setMissed(id ids.Drive, missed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if missed {
		b.missed[id] = true
	} else {
		delete(b.missed, id)
	}
}

func (b *bays) hasMissed(id ids.Drive) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.missed[id]
}

// blank counts the bays whose path is blank. sure is false while some path was not looked at since the given time, though
// it answers: it may be blank too.
func (b *bays) blank(since time.Time) (count int, sure bool) {
	sure = true
	for _, bay := range b.list() {
		bay.mu.Lock()
		switch {
		case !bay.blank.IsZero():
			count++
		case !bay.silent && !bay.looked.After(since):
			sure = false
		}
		bay.mu.Unlock()
	}
	return count, sure
}

// lookAtOthers has all bays looked at soon, but for one.
func (b *bays) lookAtOthers(but *bay) {
	for _, bay := range b.list() {
		if bay != but {
			bay.look()
		}
	}
}

func (b *bay) look() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

func (b *bay) current() (*disk.Drive, ids.Drive, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.drive, b.last, b.problem
}

func (b *bay) doubted() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doubt
}

// answered notes that the path was looked at, and whether it is blank. It gives the time since when it is.
func (b *bay) answered(blank bool) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked, b.silent = time.Now(), false
	switch {
	case !blank:
		b.blank = time.Time{}
	case b.blank.IsZero():
		b.blank = b.looked
	}
	return b.blank
}

func (b *bay) setHolds(id ids.Drive) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds = id
}

func (b *bay) setDevice(device string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.device = device
}

func (b *bay) setTally(t tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tally = t
}

// counts gives what status shows of the bay.
func (b *bay) counts() (device string, t tally, errors int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t = b.tally; t.drive != b.last {
		t = tally{} // of the drive before
	}
	errors = b.errors
	if b.drive != nil {
		errors += failures(b.drive)
	}
	return b.device, t, errors
}

// failures counts what a drive could not do since it was opened.
func failures(d *disk.Drive) int64 {
	s := d.Stats()
	return s.IOErrors + s.Corrupt + s.Hangs
}

func (b *bay) setSilent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = true
}

func (b *bay) setLast(id ids.Drive) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = id
}

// lately is the path of the drive in b if it is open and was found in order within the given time.
func (b *bay) lately(within time.Duration) (path string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.path, b.drive != nil && b.doubt == nil && !b.silent && time.Since(b.looked) < within && b.drive.Health().State == disk.OK
}
