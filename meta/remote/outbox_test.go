package remote

import (
	"context"
	"sync"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc"

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// slowStream takes pieces one by one, as the test wants them, and takes them apart.
type slowStream struct {
	grpc.ClientStream
	t      *testing.T
	pieces chan struct{}
	mu     sync.Mutex
	bulk   splitter
	got    []replica.Envelope
	most   int // bytes in one piece
}

func (s *slowStream) CloseAndRecv() (*remotepb.Ack, error) { return nil, nil }

func (s *slowStream) Send(f *remotepb.Frames) error {
	<-s.pieces
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, len(f.Data)+len(f.Urgent))
	take := func(b []byte) error {
		e, err := decodeEnvelope(b)
		s.got = append(s.got, e)
		return err
	}
	var urgent splitter
	check(s.t, urgent.split(f.Urgent, take))
	check(s.t, s.bulk.split(f.Data, take))
	return nil
}

func appendTo(rng uint64, index uint64, bytes int) replica.Envelope {
	return replica.Envelope{Range: 1, From: 1, To: 2, Msg: &pb.Message{
		Type: pb.MsgApp.Enum(), Term: new(rng), Index: new(index),
		Entries: []*pb.Entry{{Term: new(uint64(1)), Index: new(index), Data: make([]byte, bytes)}},
	}}
}

func heartbeat(rng uint64) replica.Envelope {
	return replica.Envelope{Range: 2, From: 1, To: 2, Msg: &pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(rng)}}
}

// Heartbeats pass appends that wait, also in the middle of a long one; appends keep their order.
func TestHeartbeatsPassLongAppends(t *testing.T) {
	s := &slowStream{t: t, pieces: make(chan struct{})}
	o := newOutbox(s, 64<<20)
	ctx, cancel := context.WithCancel(context.Background())
	var sender sync.WaitGroup
	sender.Go(func() { _ = o.send(ctx) }) // ends with ctx
	o.put(appendTo(1, 1, 5<<20))
	for i := range uint64(20) {
		o.put(appendTo(1, i+2, 300<<10))
	}
	s.pieces <- struct{}{} // the first piece of the long one is out, the second made
	o.put(heartbeat(1))
	s.pieces <- struct{}{}
	s.pieces <- struct{}{}
	s.pieces <- struct{}{}
	s.mu.Lock()
	if len(s.got) != 1 || s.got[0].Msg.GetType() != pb.MsgHeartbeat {
		t.Errorf("after four pieces of 1 MiB: %d messages", len(s.got))
	}
	s.mu.Unlock()
	go func() {
		for {
			select {
			case s.pieces <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	poll.True(t, poll.Within, "all messages", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.got) == 22
	})
	cancel()
	sender.Wait()
	last := uint64(0)
	for _, e := range s.got {
		if e.Msg.GetType() == pb.MsgApp {
			if e.Msg.GetIndex() != last+1 {
				t.Fatalf("append %d after %d", e.Msg.GetIndex(), last)
			}
			last++
		}
	}
	if s.most > pieceBytes+1000 {
		t.Errorf("a piece of %d bytes", s.most)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes wait in an empty queue", o.bytes)
	}
}

// What does not fit is dropped, and putting it does not block.
func TestFullOutboxDrops(t *testing.T) {
	o := newOutbox(nil, 1<<20)
	for i := range uint64(1000) {
		o.put(appendTo(1, i+1, 10<<10))
	}
	if o.bytes > 1<<20 || len(o.bulk) < 90 || len(o.bulk) > 110 {
		t.Errorf("%d bytes, %d messages wait", o.bytes, len(o.bulk))
	}
}
