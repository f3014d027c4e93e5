package remote

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// outgoing is a frame on its way. sent is called once, when its bytes are not used any more.
type outgoing struct {
	frame
	sent func(error)
}

// sender writes frames to a connection: one goroutine takes all that wait and sends them with as few writes as it can.
type sender struct {
	conn    net.Conn
	timeout time.Duration // for the bytes of one frame
	ended   chan struct{} // closed when no frame is touched any more
	head    []byte        // run's: of the frame under way

	mu    sync.Mutex
	queue []outgoing
	err   error // why nothing is sent any more
	work  chan struct{}
}

func newSender(conn net.Conn, timeout time.Duration) *sender {
	s := &sender{conn: conn, timeout: timeout, ended: make(chan struct{}), work: make(chan struct{}, 1)}
	go s.run()
	return s
}

// send queues f and does not block. f.sent may be called before it returns.
func (s *sender) send(f outgoing) {
	s.mu.Lock()
	err := s.err
	if err == nil {
		s.queue = append(s.queue, f)
	}
	s.mu.Unlock()
	if err != nil {
		f.sent(err)
		return
	}
	s.wake()
}

func (s *sender) wake() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// fail ends the sender and closes the connection. The first error is kept.
func (s *sender) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.conn.Close()
	s.wake()
}

// take gives all that waits, and why nothing more is to be sent.
func (s *sender) take(into []outgoing) ([]outgoing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	into, s.queue = s.queue, into[:0]
	return into, s.err
}

func (s *sender) run() {
	defer close(s.ended)
	w := bufio.NewWriterSize(s.conn, recordBytes)
	var batch []outgoing
	for range s.work {
		var err error
		if batch, err = s.take(batch); err == nil {
			if err = s.together(func() error { return s.writeAll(w, batch) }); err != nil {
				s.fail(err)
			}
		}
		for i := range batch {
			batch[i].sent(err)
			batch[i] = outgoing{}
		}
		if err != nil {
			s.drop(err)
			return
		}
	}
}

// recordBytes is what a TLS record holds: short frames share one, longer ones are not copied to fill it.
const recordBytes = 16 << 10

// together has a connection that can send what write writes with few system calls.
func (s *sender) together(write func() error) error {
	if c, ok := s.conn.(interface{ Together(func() error) error }); ok {
		return c.Together(write)
	}
	return write()
}

func (s *sender) writeAll(w *bufio.Writer, batch []outgoing) error {
	for i := range batch {
		s.head = append(appendHeader(s.head[:0], &batch[i].frame), batch[i].args...)
		if err := s.write(w, s.head, batch[i].payload); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (s *sender) write(w *bufio.Writer, head []byte, payload [][]byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, p := range payload {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// drop tells those that still waited. None comes after: err is set.
func (s *sender) drop(err error) {
	rest, _ := s.take(nil)
	for _, f := range rest {
		f.sent(err)
	}
}
