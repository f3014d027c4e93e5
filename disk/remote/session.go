package remote

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/sherd-io/sherd/disk"
)

// session is what a client has open here.
type session struct {
	conns int // under Server.mu

	mu    sync.Mutex
	ended bool
	last  uint64 // number given; never 0
	most  int
	open  map[uint64]*handle
}

// handle is a reader or a writer. Both are for one goroutine.
type handle struct {
	group // of the chunk
	sync.Mutex
	reader *disk.Reader
	writer *disk.Writer
}

// newSession begins with a number that no session of before has come near: a client that was cut off, or whose node was started again,
// may still use what it had open, and must not be given another chunk's bytes for it.
func newSession(most int) *session {
	return &session{most: most, last: rand.Uint64() >> 1, open: map[uint64]*handle{}}
}

// add gives h a number. Errors: disk.ErrUnavailable if the client has too many open, or is gone: h is closed then.
func (s *session) add(h *handle) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.open) >= s.most {
		h.close()
		return 0, fmt.Errorf("%w: %d readers and writers are open for this node", disk.ErrUnavailable, len(s.open))
	}
	s.last++
	s.open[s.last] = h
	return s.last, nil
}

// get finds a handle. Error: disk.ErrInvalid.
func (s *session) get(number uint64) (*handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.open[number]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("%w: no reader or writer %d", disk.ErrInvalid, number)
}

// remove closes a handle, if it is there.
func (s *session) remove(number uint64) {
	s.mu.Lock()
	h := s.open[number]
	delete(s.open, number)
	s.mu.Unlock()
	if h != nil {
		h.close()
	}
}

// end closes all.
func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	open := s.open
	s.open = map[uint64]*handle{}
	s.mu.Unlock()
	for _, h := range open {
		h.close()
	}
}

// close waits for the call that has h.
func (h *handle) close() {
	h.Lock()
	defer h.Unlock()
	if h.reader != nil {
		h.reader.Close()
	}
	if h.writer != nil {
		h.writer.Abort()
	}
}
