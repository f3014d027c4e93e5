package remote

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// outbox is the queue of Raft messages to one node, and the stream that they go out on. Appends wait in one line, in
// order; what is short and urgent in another, which goes first.
type outbox struct {
	stream   grpc.ClientStreamingClient[remotepb.Frames, remotepb.Ack]
	bytesMax int
	wake     chan struct{} // capacity 1

	mu     sync.Mutex
	bytes  int
	urgent []replica.Envelope
	bulk   []replica.Envelope

	// Of the sender.
	hurry   []replica.Envelope
	taken   []replica.Envelope
	encoded []byte // frames of appends; encoded[sent:] are not sent
	sent    int
	frames  remotepb.Frames
	scratch []byte
}

func newOutbox(stream grpc.ClientStreamingClient[remotepb.Frames, remotepb.Ack], bytesMax int) *outbox {
	return &outbox{stream: stream, bytesMax: bytesMax, wake: make(chan struct{}, 1)}
}

// put queues e, or drops it if too much waits already. It does not block.
func (o *outbox) put(e replica.Envelope) {
	n := envelopeBytes(&e)
	o.mu.Lock()
	full := o.bytes+n > o.bytesMax
	if !full {
		o.bytes += n
		if e.Msg.GetType() == pb.MsgApp {
			o.bulk = append(o.bulk, e)
		} else {
			o.urgent = append(o.urgent, e)
		}
	}
	o.mu.Unlock()
	if full || e.Lazy {
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send sends what is put until ctx ends or the stream does.
func (o *outbox) send(ctx context.Context) error {
	for {
		select {
		case <-o.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for o.fill() {
			if err := o.stream.Send(&o.frames); err != nil {
				return err
			}
		}
	}
}

// fill makes the next piece; false if there is nothing.
func (o *outbox) fill() bool {
	o.mu.Lock()
	if o.sent == len(o.encoded) {
		o.encoded, o.sent = reuse(o.encoded), 0
		o.takeBulk()
	}
	o.urgent, o.hurry = o.hurry, o.urgent
	for i := range o.hurry {
		o.bytes -= envelopeBytes(&o.hurry[i])
	}
	o.mu.Unlock()
	for i := range o.taken {
		o.encoded = o.frame(o.encoded, &o.taken[i])
	}
	o.frames.Urgent = reuse(o.frames.Urgent)
	for i := range o.hurry {
		o.frames.Urgent = o.frame(o.frames.Urgent, &o.hurry[i])
	}
	o.taken, o.hurry = empty(o.taken), empty(o.hurry)
	end := min(len(o.encoded), o.sent+pieceBytes)
	o.frames.Data, o.sent = o.encoded[o.sent:end], end
	return len(o.frames.Data)+len(o.frames.Urgent) > 0
}

// takeBulk takes the appends of about one piece. mu is held.
func (o *outbox) takeBulk() {
	n, bytes := 0, 0
	for n < len(o.bulk) && bytes < pieceBytes {
		bytes += envelopeBytes(&o.bulk[n])
		n++
	}
	o.taken = append(o.taken, o.bulk[:n]...)
	rest := copy(o.bulk, o.bulk[n:])
	clear(o.bulk[rest:])
	o.bulk = o.bulk[:rest]
	o.bytes -= bytes
}

func (o *outbox) frame(b []byte, e *replica.Envelope) []byte {
	o.scratch = appendEnvelope(o.scratch[:0], e)
	return appendFrame(b, o.scratch)
}

// empty keeps the room of a queue, unless it is long, and nothing that it pointed to.
func empty(q []replica.Envelope) []replica.Envelope {
	if cap(q) > 4096 {
		return nil
	}
	clear(q)
	return q[:0]
}

// reuse is b, empty, unless it is long.
func reuse(b []byte) []byte {
	if cap(b) > 2*pieceBytes {
		return nil
	}
	return b[:0]
}

// ended waits for the other side to end the stream, which it does only if it cannot go on.
func (o *outbox) ended() error {
	err := o.stream.RecvMsg(&remotepb.Ack{})
	if err == nil || errors.Is(err, io.EOF) {
		err = errors.New("remote: the node ended the stream")
	}
	return err
}
