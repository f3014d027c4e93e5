package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// reply is what came of a call. payload is the taker's to release; nil if there is none.
type reply struct {
	args    []byte
	payload *bufpool.Buf
	err     error
}

// call is a request that waits for its reply. done is called once: after the reply came, the deadline passed or the connection ended,
// and after the request's bytes are not used any more.
type call struct {
	done  func(reply)
	timer *time.Timer

	mu       sync.Mutex
	sent     bool
	answered bool
	reply    reply
}

// answer notes the outcome; the first one counts.
func (c *call) answer(r reply) {
	c.mu.Lock()
	if c.answered {
		c.mu.Unlock()
		r.payload.Release()
		return
	}
	c.answered, c.reply = true, r
	ready := c.sent
	c.mu.Unlock()
	if ready {
		c.finish()
	}
}

// written notes that the request's bytes are free.
func (c *call) written() {
	c.mu.Lock()
	c.sent = true
	ready := c.answered
	c.mu.Unlock()
	if ready {
		c.finish()
	}
}

func (c *call) finish() {
	c.timer.Stop()
	c.done(c.reply)
}

// conn is a client's end of a connection.
type conn struct {
	send *sender
	pool *bufpool.Pool
	next atomic.Uint64

	mu      sync.Mutex
	pending map[uint64]*call
	err     error
	ended   chan struct{} // closed when nothing is read any more
}

func newConn(nc net.Conn, pool *bufpool.Pool, writeTimeout time.Duration) *conn {
	c := &conn{
		send: newSender(nc, writeTimeout), pool: pool,
		pending: map[uint64]*call{}, ended: make(chan struct{}),
	}
	go c.read(nc)
	return c
}

// close ends the connection and waits for its goroutines. What was not answered fails.
func (c *conn) close(err error) {
	c.send.fail(err)
	<-c.ended
	<-c.send.ended
}

// alive reports whether calls can be made.
func (c *conn) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

func (c *conn) read(nc net.Conn) {
	r := bufio.NewReaderSize(nc, 64<<10)
	var err error
	for err == nil {
		err = c.readReply(r)
	}
	c.send.fail(err)
	c.mu.Lock()
	c.err = err
	left := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, call := range left {
		call.answer(reply{err: unanswered(err)})
	}
	close(c.ended)
}

func (c *conn) readReply(r *bufio.Reader) error {
	h, err := readHeader(r)
	if err != nil {
		return err
	}
	payload, err := readPayload(r, &h, c.pool)
	if err != nil {
		return err
	}
	c.mu.Lock()
	call := c.pending[h.id]
	delete(c.pending, h.id)
	c.mu.Unlock()
	if call == nil { // its deadline passed
		payload.Release()
		return nil
	}
	if h.status != statusOK {
		payload.Release()
		call.answer(reply{err: errorOf(h.status, h.args)})
		return nil
	}
	call.answer(reply{args: h.args, payload: payload})
	return nil
}

// request is what to send.
type request struct {
	op      op
	drive   ids.Drive
	args    []byte
	payload [][]byte // borrowed until done is called
}

var errDeadline = errors.New("no answer in time")

// start makes a call, and does not block. done is called once, from any goroutine.
func (c *conn) start(q request, timeout time.Duration, done func(reply)) {
	id := c.next.Add(1)
	call := &call{done: done}
	call.timer = time.AfterFunc(timeout, func() {
		c.forget(id)
		call.answer(reply{err: fmt.Errorf("%w: %w", disk.ErrUnavailable, errDeadline)})
	})
	c.mu.Lock()
	err := c.err
	if err == nil {
		c.pending[id] = call
	}
	c.mu.Unlock()
	if err != nil {
		call.written()
		call.answer(reply{err: unanswered(err)})
		return
	}
	c.send.send(outgoing{
		frame: frame{op: q.op, id: id, drive: q.drive, millis: millis(timeout), args: q.args, payload: q.payload},
		sent: func(err error) {
			if err != nil {
				call.answer(reply{err: unanswered(err)})
			}
			call.written()
		},
	})
}

func (c *conn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// do makes a call and waits for it, or for ctx: then the request's payload may still be read.
func (c *conn) do(ctx context.Context, q request, timeout time.Duration) (reply, error) {
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(end))
	}
	if err := ctx.Err(); err != nil {
		return reply{}, unanswered(err)
	}
	got := make(chan reply, 1)
	c.start(q, timeout, func(r reply) { got <- r })
	select {
	case r := <-got:
		return r, r.err
	case <-ctx.Done():
		go func() { (<-got).payload.Release() }() // ends with the call's deadline
		return reply{}, unanswered(ctx.Err())
	}
}

// tell sends what wants no reply.
func (c *conn) tell(q request) {
	c.send.send(outgoing{frame: frame{op: q.op, id: c.next.Add(1), drive: q.drive, args: q.args}, sent: func(error) {}})
}

func millis(d time.Duration) uint32 { return uint32(max(d.Milliseconds(), 1)) }
