package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// version is one state that a key can be in. The zero version is "absent".
type version struct {
	seed  uint64
	size  int
	there bool
}

func (v version) body() []byte { return content(v.seed, v.size) }

func (v version) String() string {
	if !v.there {
		return "absent"
	}
	return fmt.Sprintf("seed %d, %d bytes", v.seed, v.size)
}

// model knows, for each key, which states it may be in: one after an acknowledged write; the old and the new
// after a write whose outcome nobody told. Each key is written by one worker, one write at a time.
type model struct {
	bucket string
	// late is how long a write whose outcome nobody told may still be under way: its client gave up, and it takes effect after a read
	// that did not see it, or after the next write. Zero where the server that had it is gone before the next operation.
	late time.Duration
	mu   sync.Mutex
	keys map[string][]version
	open map[string][]openWrite
	last map[string]time.Time // the newest write, whatever came of it
	past map[string][]string  // what was done to each key and seen of it, to be read when something is wrong
}

// openWrite is one that may take effect until a time.
type openWrite struct {
	version
	until time.Time
}

func newModel(bucket string) *model {
	return &model{bucket: bucket, keys: map[string][]version{}, open: map[string][]openWrite{}, last: map[string]time.Time{}, past: map[string][]string{}}
}

func (m *model) states(key string) []version {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.keys[key]; ok {
		return slices.Clone(s)
	}
	return []version{{}}
}

// wrote notes the end of a write: acknowledged, or unknown.
func (m *model) wrote(key string, v version, acked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.keys[key]
	if !ok {
		old = []version{{}}
	}
	m.last[key] = time.Now()
	if acked {
		m.note(key, "acknowledged", v)
		m.settle(key, v)
		return
	}
	m.note(key, "asked for, outcome unknown", v)
	m.keys[key] = append(slices.Clone(old), v)
	if m.late > 0 {
		m.open[key] = append(m.open[key], openWrite{v, time.Now().Add(m.late)})
	}
}

// saw narrows key to the state that was read.
func (m *model) saw(key string, v version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(key, "read", v)
	m.settle(key, v)
}

func (m *model) note(key, what string, v version) {
	m.past[key] = append(m.past[key], fmt.Sprintf("%s %s: %s", time.Now().Format("15:04:05.000"), what, v))
}

// wrongBytes is a read that gave something else than what was written.
type wrongBytes struct{ error }

// wrong is a wrongBytes that tells the end of what was done to key.
func (m *model) wrong(key, format string, args ...any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	past := m.past[key]
	past = past[max(0, len(past)-8):]
	return wrongBytes{fmt.Errorf("%s %s\n\t%s", key, fmt.Sprintf(format, args...), strings.Join(past, "\n\t"))}
}

// settle has key in v, and in nothing else but what open writes may make of it. v is first of its states.
func (m *model) settle(key string, v version) {
	now := time.Now()
	m.open[key] = slices.DeleteFunc(m.open[key], func(w openWrite) bool { return now.After(w.until) })
	m.keys[key] = []version{v}
	for _, w := range m.open[key] {
		if !slices.Contains(m.keys[key], w.version) {
			m.keys[key] = append(m.keys[key], w.version)
		}
	}
}

// names lists the keys in order.
func (m *model) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for k := range m.keys {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// check reads key and says if that is none of the states it may be in.
func (m *model) check(c *s3, key string) error {
	may := m.states(key)
	body, err := c.get(m.bucket, key)
	if code(err) == "NoSuchKey" {
		if slices.Contains(may, version{}) {
			m.saw(key, version{})
			return nil
		}
		return m.wrong(key, "is lost: want %v", may)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w", key, err)
	}
	for _, v := range may {
		if v.there && v.size == len(body) && bytes.Equal(v.body(), body) {
			m.saw(key, v)
			return nil
		}
	}
	return m.wrong(key, "holds %d bytes that are none of %v", len(body), may)
}

// checkAll reads every key, and compares the listing with what was read.
func (m *model) checkAll(t *testing.T, c *s3) {
	t.Helper()
	m.checkEach(t, func(key string) error { return m.check(c, key) })
	m.checkListing(t, c)
}

// checkEach has check look at every key, eight at a time.
func (m *model) checkEach(t *testing.T, check func(key string) error) {
	t.Helper()
	names := m.names()
	var wg sync.WaitGroup
	next := atomic.Int64{}
	for range 8 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				if err := check(names[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// writtenSince reports whether somebody tried to write key after a time.
func (m *model) writtenSince(key string, when time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last[key].After(when)
}

// checkListing wants exactly the keys that are there, with their sizes. Only after every key was narrowed.
func (m *model) checkListing(t *testing.T, c *s3) {
	t.Helper()
	listed, err := c.list(m.bucket, "")
	must(t, err)
	for _, key := range m.names() {
		may := m.states(key)
		size, there := listed[key]
		if !slices.ContainsFunc(may, func(v version) bool { return there == v.there && (!there || size == int64(v.size)) }) {
			t.Error(m.wrong(key, "is listed: %v with %d bytes; but it may be %v", there, size, may))
		}
		delete(listed, key)
	}
	for key := range listed {
		t.Errorf("%s is listed, but nobody wrote it", key)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// totals are the objects and bytes that are there.
func (m *model) totals() (objects, size int64) {
	for _, key := range m.names() {
		if v := m.states(key)[0]; v.there {
			objects++
			size += int64(v.size)
		}
	}
	return objects, size
}

// sizes are around every edge that the write path has: empty, inline, one record, one stripe, several.
var sizes = []int{0, 1, 100, 2048, 2049, 4096, 16 << 10, 70_000, 300_000, 1 << 20, 1<<20 + 1, 2_500_000}

// worker writes keys that are its own, as the model allows, until it is told to stop.
type writer struct {
	id    int
	m     *model
	c     *s3
	rng   *rand.Rand
	keys  int
	sizes []int
	acked atomic.Int64 // writes
	// refused is told of every failed request; nil is allowed.
	refused func(op, key string, err error)
	noReads bool
}

func (w *writer) key() string { return fmt.Sprintf("w%d/k%d", w.id, w.rng.IntN(w.keys)) }

// turn does one random operation: put, multipart, delete, or a read that is checked.
func (w *writer) turn() {
	key := w.key()
	roll := w.rng.IntN(100)
	switch {
	case roll < 50:
		v := version{seed: w.rng.Uint64(), size: w.sizes[w.rng.IntN(len(w.sizes))], there: true}
		w.done("put", key, v, w.c.put(w.m.bucket, key, v.body()))
	case roll < 53 && slices.Max(w.sizes) > 1<<20:
		v := version{seed: w.rng.Uint64(), size: 6<<20 + w.rng.IntN(1<<20), there: true}
		w.done("multipart", key, v, w.c.multipart(w.m.bucket, key, v.body(), 5<<20))
	case roll < 65:
		w.done("delete", key, version{}, w.c.remove(w.m.bucket, key))
	case !w.noReads:
		if err := w.read(key); err != nil && w.refused != nil {
			w.refused("get", key, err)
		}
	}
}

func (w *writer) done(op, key string, v version, err error) {
	w.m.wrote(key, v, err == nil)
	if err == nil {
		w.acked.Add(1)
	} else if w.refused != nil {
		w.refused(op, key, err)
	}
}

// read checks one key while the server is under load.
func (w *writer) read(key string) error {
	may := w.m.states(key)
	body, err := w.c.get(w.m.bucket, key)
	if code(err) == "NoSuchKey" {
		if slices.Contains(may, version{}) {
			return nil
		}
		return w.m.wrong(key, "is lost: want %v", may)
	}
	if err != nil {
		return err
	}
	for _, v := range may {
		if v.there && v.size == len(body) && bytes.Equal(v.body(), body) {
			return nil
		}
	}
	return w.m.wrong(key, "holds %d bytes that are none of %v", len(body), may)
}

// load runs n writers until stop is called, which waits for them.
func load(n int, m *model, newClient func() *s3, rng *rand.Rand, tune func(*writer)) (writers []*writer, stop func()) {
	var halt atomic.Bool
	var wg sync.WaitGroup
	for i := range n {
		w := &writer{id: i, m: m, c: newClient(), rng: rand.New(rand.NewPCG(rng.Uint64(), uint64(i))), keys: 12, sizes: sizes}
		if tune != nil {
			tune(w)
		}
		writers = append(writers, w)
		wg.Go(func() {
			for !halt.Load() {
				w.turn()
				rest()
			}
		})
	}
	return writers, func() { halt.Store(true); wg.Wait() }
}

// rest follows each operation of a load in make test, where what is disturbed matters and the cores are shared with three other tests. A soak
// drives the server as hard as it can.
func rest() {
	if !*soak {
		await(30 * time.Millisecond)
	}
}

// acked is how many writes were acknowledged.
func acked(writers []*writer) int64 {
	n := int64(0)
	for _, w := range writers {
		n += w.acked.Load()
	}
	return n
}
