package segment

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fileCache keeps segments open for reading, at most max of them beside those in use.
type fileCache struct {
	fs  vfs.FS
	dir string
	max int

	mu     sync.RWMutex
	names  map[uint64]string
	open   map[fileKey]*openFile
	closed bool
}

type fileKey struct {
	segment uint64
	direct  bool
}

type openFile struct {
	vfs.File
	refs atomic.Int32 // the cache holds one; the last to leave closes
}

func (f *openFile) release() {
	if f.refs.Add(-1) == 0 {
		f.Close()
	}
}

func newFileCache(fs vfs.FS, dir string, max int) *fileCache {
	return &fileCache{fs: fs, dir: dir, max: max, names: make(map[uint64]string), open: make(map[fileKey]*openFile)}
}

// add makes a segment known.
func (c *fileCache) add(segment uint64, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[segment] = name
}

// drop forgets a segment, and returns its name. Reads under way finish.
func (c *fileCache) drop(segment uint64) (name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name = c.names[segment]
	delete(c.names, segment)
	for _, direct := range []bool{false, true} {
		c.evictLocked(fileKey{segment, direct})
	}
	return name
}

func (c *fileCache) evictLocked(k fileKey) {
	if f := c.open[k]; f != nil {
		delete(c.open, k)
		f.release()
	}
}

// get returns an open file with a reference, which the caller releases.
func (c *fileCache) get(k fileKey) (*openFile, error) {
	c.mu.RLock()
	f := c.open[k]
	if f != nil {
		f.refs.Add(1)
	}
	c.mu.RUnlock()
	if f != nil {
		return f, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name, known := c.names[k.segment]
	switch f := c.open[k]; {
	case c.closed:
		return nil, ErrClosed
	case !known:
		return nil, fmt.Errorf("%w: %d", ErrNoSegment, k.segment)
	case f != nil:
		f.refs.Add(1)
		return f, nil
	}
	option := vfs.RandomReadsOption
	if k.direct {
		option = Direct
	}
	file, err := c.fs.Open(c.fs.PathJoin(c.dir, name), option)
	if err != nil {
		return nil, err
	}
	for other := range c.open {
		if len(c.open) < c.max {
			break
		}
		c.evictLocked(other) // any: maps are walked in random order
	}
	f = &openFile{File: file}
	f.refs.Store(2)
	c.open[k] = f
	return f, nil
}

func (c *fileCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for k := range c.open {
		c.evictLocked(k)
	}
}
