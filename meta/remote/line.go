package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sherd-io/sherd/meta/remote/remotepb"
)

// line is one connection to a node, with its two streams. All of it ends together, and is not used again.
type line struct {
	peer     *peer
	raw      net.Conn
	conn     *grpc.ClientConn
	ctx      context.Context // ends with the line
	cancel   context.CancelCauseFunc
	messages *outbox
	calls    *calls
}

const (
	streamWindow = 1 << 20
	connWindow   = 8 << 20
)

var errSilent = errors.New("remote: the node says nothing")

// dialLine connects to p's node and waits for its first word.
func dialLine(p *peer) (_ *line, err error) {
	opt := &p.all.opt
	l := &line{peer: p}
	l.ctx, l.cancel = context.WithCancelCause(p.all.ctx)
	within := time.AfterFunc(opt.DialTimeout, func() { l.cancel(errSilent) })
	defer within.Stop()
	defer func() {
		if err != nil {
			l.close(err)
		}
	}()
	if l.raw, err = opt.Dial(l.ctx, p.node); err != nil {
		return nil, err
	}
	if l.conn, err = clientOver(l.raw); err != nil {
		return nil, err
	}
	client := remotepb.NewRecordsClient(l.conn)
	messages, err := client.Messages(l.ctx)
	if err != nil {
		return nil, l.cause(err)
	}
	stream, err := client.Calls(l.ctx)
	if err != nil {
		return nil, l.cause(err)
	}
	l.messages = newOutbox(messages, opt.QueueBytes)
	l.calls = newCalls(l, stream)
	if err := l.calls.greet(); err != nil {
		return nil, l.cause(err)
	}
	return l, nil
}

// clientOver is a gRPC client over one connection. It makes no other.
func clientOver(conn net.Conn) (*grpc.ClientConn, error) {
	var once sync.Once
	dial := func(context.Context, string) (net.Conn, error) {
		var c net.Conn
		once.Do(func() { c = conn })
		if c == nil {
			return nil, errors.New("remote: the connection ended")
		}
		return c, nil
	}
	return grpc.NewClient("passthrough:///node",
		grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the connection is what it should be already
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
	)
}

// run serves the line until it ends, and tells its peer why.
func (l *line) run() {
	var wg sync.WaitGroup
	for _, f := range []func() error{
		func() error { return l.messages.send(l.ctx) }, l.messages.ended,
		l.calls.send, l.calls.receive, l.calls.watch,
	} {
		wg.Go(func() { l.cancel(f()) })
	}
	<-l.ctx.Done()
	err := context.Cause(l.ctx)
	l.peer.ended(l, err)
	l.close(err)
	wg.Wait()
}

// close ends all that the line has.
func (l *line) close(err error) {
	l.cancel(err)
	if l.raw != nil {
		_ = l.raw.Close() // first: gRPC would wait seconds for its farewell to go out
	}
	if l.conn != nil {
		_ = l.conn.Close() // it is of no more use, whatever it says
	}
}

// cause is why the line ended, where that is why err came.
func (l *line) cause(err error) error {
	if cause := context.Cause(l.ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
