package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
)

// calls are the requests to one node that are under way, and the stream that they and their answers share. What comes
// while a piece goes out makes the next one.
type calls struct {
	line   *line
	stream grpc.BidiStreamingClient[remotepb.Frames, remotepb.Frames]
	wake   chan struct{} // capacity 1
	heard  atomic.Int64  // when the node said something, as since epoch
	epoch  time.Time

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan *remotepb.Response
	out     []byte // frames to be sent
	spare   []byte
}

func newCalls(l *line, stream grpc.BidiStreamingClient[remotepb.Frames, remotepb.Frames]) *calls {
	return &calls{
		line: l, stream: stream, wake: make(chan struct{}, 1), epoch: time.Now(),
		pending: map[uint64]chan *remotepb.Response{},
	}
}

var errQueueFull = errors.New("remote: too much waits to be sent, or the request is too long")

// do has the node answer req.
func (c *calls) do(ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
	answer := make(chan *remotepb.Response, 1)
	id, err := c.begin(ctx, req, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", meta.ErrUnreachable, c.line.peer.node, err)
	}
	select {
	case resp := <-answer:
		return resp, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.line.ctx.Done():
		err = context.Cause(c.line.ctx)
	}
	c.mu.Lock()
	delete(c.pending, id)
	c.mu.Unlock()
	select { // it may have come meanwhile
	case resp := <-answer:
		return resp, nil
	default:
		return nil, fmt.Errorf("%w: %s: %w", meta.ErrUnreachable, c.line.peer.node, err)
	}
}

// begin encodes req and queues it.
func (c *calls) begin(ctx context.Context, req *remotepb.Request, answer chan *remotepb.Response) (id uint64, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		req.TimeoutMs = uint32(max(1, min(time.Until(deadline).Milliseconds(), 1<<31)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > c.line.peer.all.opt.RequestBytes || req.SizeVT() > messageMax {
		return 0, errQueueFull
	}
	c.last++
	req.Id = c.last
	kept := len(c.out)
	if c.out, err = appendMessage(c.out, req); err != nil {
		c.out = c.out[:kept]
		return 0, err
	}
	c.pending[c.last] = answer
	c.signal()
	return c.last, nil
}

func (c *calls) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// greet waits for the node's first word.
func (c *calls) greet() error {
	if err := c.stream.Send(&remotepb.Frames{Data: ping}); err != nil {
		return err
	}
	_, err := c.stream.Recv()
	c.hear()
	return err
}

// ping is a frame without a message. Whoever gets one as a request sends it back.
var ping = []byte{0}

func (c *calls) hear() { c.heard.Store(int64(time.Since(c.epoch))) }

// send sends what waits until the line ends.
func (c *calls) send() error {
	for {
		select {
		case <-c.wake:
		case <-c.line.ctx.Done():
			return context.Cause(c.line.ctx)
		}
		c.mu.Lock()
		out := c.out
		c.out, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		if err := sendPieces(c.stream, out); err != nil {
			return err
		}
		c.mu.Lock()
		c.spare = reuse(out)
		c.mu.Unlock()
	}
}

// watch asks the node to say something, and ends the line when it does not.
func (c *calls) watch() error {
	opt := &c.line.peer.all.opt
	tick := time.NewTicker(opt.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.line.ctx.Done():
			return context.Cause(c.line.ctx)
		}
		if time.Since(c.epoch)-time.Duration(c.heard.Load()) > opt.SilenceMax {
			return errSilent
		}
		c.mu.Lock()
		c.out = append(c.out, ping...)
		c.mu.Unlock()
		c.signal()
	}
}

// sendPieces sends b in pieces.
func sendPieces(stream interface{ Send(*remotepb.Frames) error }, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), pieceBytes)
		if err := stream.Send(&remotepb.Frames{Data: b[:n]}); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// receive gives answers to those who wait for them.
func (c *calls) receive() error {
	var s splitter
	for {
		f, err := c.stream.Recv()
		if err != nil {
			return err
		}
		c.hear()
		if err := s.split(f.GetData(), c.answer); err != nil {
			return err
		}
	}
}

func (c *calls) answer(message []byte) error {
	if len(message) == 0 {
		return nil // a ping that comes back
	}
	resp := &remotepb.Response{}
	if err := resp.UnmarshalVT(message); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	c.mu.Lock()
	answer := c.pending[resp.GetId()]
	delete(c.pending, resp.GetId())
	c.mu.Unlock()
	if answer != nil {
		answer <- resp
	}
	return nil
}
