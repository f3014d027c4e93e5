package disk

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/ids"
)

// epochTable holds the least epoch of each PG under which chunks are sealed (I5).
type epochTable struct {
	mu sync.RWMutex
	m  map[pgKey]uint64
}

func (t *epochTable) get(k pgKey) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.m[k]
}

func (t *epochTable) raise(e chunk.Epoch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[pgKey]uint64)
	}
	k := pgKey{e.Pool, e.PG}
	t.m[k] = max(t.m[k], e.Epoch)
}

// segStats keeps the accounts of the chunk log's segments.
type segStats struct {
	mu sync.Mutex
	m  map[uint64]segStat
}

func (s *segStats) get(segment uint64) segStat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[segment]
}

func (s *segStats) add(segment uint64, bytes, live int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.m[segment]
	st.bytes += bytes
	st.live += live
	s.m[segment] = st
}

func (s *segStats) setMoving(segment uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.m[segment]
	st.moving = true
	s.m[segment] = st
}

// othersMoving tells whether a rewrite of another segment began and did not end.
func (s *segStats) othersMoving(segment uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, st := range s.m {
		if st.moving && n != segment {
			return true
		}
	}
	return false
}

func (s *segStats) set(segment uint64, st segStat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[segment] = st
}

func (s *segStats) drop(segment uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, segment)
}

// deadFiles are the chunk files that no index row names any more, to be unlinked once such an index is flushed (I16).
type deadFiles struct {
	unlinking sync.Mutex // before mu: held while a file is unlinked, which may hang, and while one is revived

	mu    sync.Mutex // held for a moment only: the chunk log's goroutine and Stats wait for it
	files map[uint64]bool
}

func (f *deadFiles) add(file uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files == nil {
		f.files = map[uint64]bool{}
	}
	f.files[file] = true
}

// list is those that are dead now.
func (f *deadFiles) list() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.files))
}

// bury calls unlink if file is dead still. Meanwhile it cannot be revived.
func (f *deadFiles) bury(file uint64, unlink func() error) error {
	f.unlinking.Lock()
	defer f.unlinking.Unlock()
	if !f.has(file) {
		return nil
	}
	if err := unlink(); err != nil {
		return err
	}
	f.remove(file)
	return nil
}

// revive takes a file off the list, because a row is to name it again: it is there still, or gone for good, when revive returns.
func (f *deadFiles) revive(file uint64) {
	f.unlinking.Lock()
	defer f.unlinking.Unlock()
	f.remove(file)
}

func (f *deadFiles) has(file uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files[file]
}

func (f *deadFiles) remove(file uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, file)
}

func (f *deadFiles) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.files)
}

func (f *deadFiles) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.files)
}

// recentKeys remembers which keys were changed by which group of the chunk log, for the last of them. Only now may be called from
// elsewhere than the log's goroutine.
type recentKeys struct {
	group  atomic.Uint64        // in hand
	in     map[ids.Chunk]uint64 // the group that changed a key last
	floor  uint64               // changes by groups before this one may be forgotten
	newest uint64               // the greatest upload stamp of a key in the index
	known  uint64               // keys in the index that are not in "in" have no greater stamp
}

const recentMax = 4096

// begin starts the next group. The one before is in the index.
func (r *recentKeys) begin() {
	g := r.group.Add(1)
	if r.in == nil || len(r.in) > recentMax {
		r.in = make(map[ids.Chunk]uint64)
		r.floor, r.known = g, r.newest
	}
}

func (r *recentKeys) add(k ids.Chunk) { r.in[k] = r.group.Load() }

// indexed hears of each key that gets a row in the index.
func (r *recentKeys) indexed(k ids.Chunk) { r.newest = max(r.newest, uint64(k.Blob.Upload.Stamp())) }

// isNew tells that the index has no row of k. Most keys that are written are: uploads come in the order of their stamps, nearly.
func (r *recentKeys) isNew(k ids.Chunk) bool {
	_, changed := r.in[k]
	return !changed && uint64(k.Blob.Upload.Stamp()) > r.known
}

// inHand tells whether the group in hand changes k.
func (r *recentKeys) inHand(k ids.Chunk) bool { return r.in[k] == r.group.Load() }

// now is the group in hand: it, and later ones, may change what is read of the index after this call.
func (r *recentKeys) now() uint64 { return r.group.Load() }

// unchanged tells whether what was read of k since now returned asked still holds.
func (r *recentKeys) unchanged(k ids.Chunk, asked uint64) bool {
	return asked > 0 && asked >= r.floor && r.in[k] < asked
}
