package remote

import (
	"bufio"
	"context"
	"encoding/binary"
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
	epoch   uint64 // that the drive has of the call's PG; 0: not said
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

// answer notes the outcome. False: there was one already, which counts, and r is the caller's to release.
func (c *call) answer(r reply) bool {
	c.mu.Lock()
	if c.answered {
		c.mu.Unlock()
		return false
	}
	c.answered, c.reply = true, r
	ready := c.sent
	c.mu.Unlock()
	if ready {
		c.finish()
	}
	return true
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
	send  *sender
	pool  *bufpool.Pool
	next  atomic.Uint64
	began time.Time
	heard atomic.Int64 // when the last bytes came, in nanoseconds after began

	mu      sync.Mutex
	pending map[uint64]*call
	err     error
	ended   chan struct{} // closed when nothing is read any more
}

func newConn(nc net.Conn, pool *bufpool.Pool, writeTimeout time.Duration) *conn {
	c := &conn{
		send: newSender(nc, writeTimeout), pool: pool, began: time.Now(),
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

// silentSince reports whether nothing came since then.
func (c *conn) silentSince(t time.Time) bool {
	return c.began.Add(time.Duration(c.heard.Load())).Before(t)
}

// listener is a connection that notes when bytes come.
type listener struct {
	net.Conn
	c *conn
}

func (l listener) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.c.heard.Store(int64(time.Since(l.c.began)))
	return n, err
}

func (c *conn) read(nc net.Conn) {
	r := bufio.NewReaderSize(listener{nc, c}, recordBytes)
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
	got := reply{args: h.args, payload: payload, epoch: h.epoch()}
	if h.status != statusOK {
		payload.Release()
		got = reply{epoch: h.epoch(), err: errorOf(h.status, h.args)}
	}
	if call == nil || !call.answer(got) { // its deadline passed
		c.disown(h.op, got)
	}
	return nil
}

// disown gives up a reply that nobody waits for any more, and closes what was opened there for it.
func (c *conn) disown(o op, r reply) {
	r.payload.Release()
	if r.err != nil {
		return
	}
	switch o {
	case opOpen:
		if rec, err := parseRecord(r.args); err == nil && rec.File != 0 {
			c.tell(closing(opCloseReader, rec.File))
		}
	case opCreate:
		if number, err := parseNumber(r.args); err == nil {
			c.tell(closing(opAbort, number))
		}
	}
}

// request is what to send.
type request struct {
	op      op
	drive   ids.Drive
	about   *group // nil: of no PG
	args    []byte
	payload [][]byte      // borrowed until done is called
	sent    func()        // if not nil, called once when payload is not read any more
	wait    time.Duration // how long the caller will, if that is less than the call's time-out; 0: it is not
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
	written := func() {
		if q.sent != nil {
			q.sent()
		}
		call.written()
	}
	if err != nil {
		written()
		call.answer(reply{err: unanswered(err)})
		return
	}
	c.send.send(outgoing{
		frame: frame{op: q.op, id: id, drive: q.drive, millis: q.millis(timeout), args: q.args, payload: q.payload},
		sent: func(err error) {
			if err != nil {
				call.answer(reply{err: unanswered(err)})
			}
			written()
		},
	})
}

func (c *conn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// do makes a call and waits for it, or for ctx, but until the request's payload is not read any more. That ctx has ended is its error,
// whoever noticed first: it says nothing of the drive (I23).
func (c *conn) do(ctx context.Context, q request, timeout time.Duration) (reply, error) {
	end, bounded := ctx.Deadline()
	if bounded {
		q.wait = time.Until(end)
	}
	if err := ctx.Err(); err != nil {
		return reply{}, unanswered(err)
	}
	got, sent := make(chan reply, 1), make(chan struct{})
	q.sent = func() { close(sent) }
	c.start(q, timeout, func(r reply) { got <- r })
	select {
	case r := <-got:
		if r.err != nil && bounded && !time.Now().Before(end) {
			<-ctx.Done()
			return reply{}, unanswered(ctx.Err())
		}
		return r, r.err
	case <-ctx.Done():
		go func() { c.disown(q.op, <-got) }() // ends with the call's deadline
		if len(q.payload) > 0 {
			<-sent // bounded by the connection's write time-out
		}
		return reply{}, unanswered(ctx.Err())
	}
}

// closing is what ends a reader or a writer there.
func closing(o op, number uint64) request {
	return request{op: o, args: binary.LittleEndian.AppendUint64(nil, number)}
}

// tell sends what wants no reply.
func (c *conn) tell(q request) {
	c.send.send(outgoing{frame: frame{op: q.op, id: c.next.Add(1), drive: q.drive, args: q.args}, sent: func(error) {}})
}

// millis is what the node is told: no less than the caller will wait, so that it does not give up first.
func (q *request) millis(timeout time.Duration) uint32 {
	if q.wait > 0 {
		timeout = min(timeout, q.wait)
	}
	return uint32(timeout.Milliseconds() + 1)
}
