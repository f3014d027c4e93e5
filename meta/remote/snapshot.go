package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// Snapshot implements replica.Transport.
func (p *peer) Snapshot(ctx context.Context, h replica.SnapshotHeader) (replica.SnapshotSink, error) {
	l := p.line.Load()
	if l == nil {
		p.connect()
		return nil, fmt.Errorf("%w: %s is not connected", replica.ErrNoReplica, p.node)
	}
	head, err := headMessage(h)
	if err != nil {
		return nil, err
	}
	s := &sink{stall: p.all.opt.StallMax}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if s.stream, err = remotepb.NewRecordsClient(l.conn).Snapshot(s.ctx); err == nil {
		err = s.send(&remotepb.SnapshotPart{Head: head})
	}
	if err != nil {
		s.Abort()
		return nil, err
	}
	return s, nil
}

// sink sends one snapshot.
type sink struct {
	ctx    context.Context // of the stream
	cancel context.CancelFunc
	stream grpc.ClientStreamingClient[remotepb.SnapshotPart, remotepb.Ack]
	stall  time.Duration
	parts  uint64 // with rows
}

// Write implements replica.SnapshotSink.
func (s *sink) Write(ctx context.Context, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	part := &remotepb.SnapshotPart{Rows: b, Sum: partSum(b, s.parts)}
	s.parts++
	return s.send(part)
}

// Commit implements replica.SnapshotSink.
func (s *sink) Commit(ctx context.Context) error {
	defer s.cancel()
	if err := s.send(&remotepb.SnapshotPart{End: true, Parts: s.parts}); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, s.cancel)()
	_, err := s.stream.CloseAndRecv()
	return sinkError(err)
}

// Abort implements replica.SnapshotSink: the stream ends without its last part.
func (s *sink) Abort() { s.cancel() }

// send sends one part, while the other side makes room within stall.
func (s *sink) send(part *remotepb.SnapshotPart) error {
	late := time.AfterFunc(s.stall, s.cancel)
	defer late.Stop()
	if err := s.stream.Send(part); err != nil {
		_, err = s.stream.CloseAndRecv() // it says why
		return sinkError(err)
	}
	return nil
}

func sinkError(err error) error {
	if status.Code(err) == codes.NotFound {
		return fmt.Errorf("%w: %w", replica.ErrNoReplica, err)
	}
	return err
}

func partSum(rows []byte, before uint64) uint64 { return xxh3.HashSeed(rows, before) }

func headMessage(h replica.SnapshotHeader) (*remotepb.SnapshotHead, error) {
	raw, err := proto.Marshal(h.Msg)
	return &remotepb.SnapshotHead{
		Range: uint64(h.Range), Generation: h.Generation, From: uint64(h.From), To: uint64(h.To),
		Message: raw, Start: h.Start, End: h.End,
	}, err
}

var errSnapshot = errors.New("remote: bad snapshot")

// headOf is headMessage's inverse.
func headOf(m *remotepb.SnapshotHead) (h replica.SnapshotHeader, err error) {
	msg := &pb.Message{}
	if err := proto.Unmarshal(m.GetMessage(), msg); err != nil {
		return h, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if msg.GetType() != pb.MsgSnap || msg.GetSnapshot().GetMetadata().GetConfState() == nil ||
		msg.GetFrom() != m.GetFrom() || msg.GetTo() != m.GetTo() {
		return h, fmt.Errorf("%w: no snapshot's message", errSnapshot)
	}
	return replica.SnapshotHeader{
		Envelope: replica.Envelope{
			Range: ids.Range(m.GetRange()), Generation: m.GetGeneration(),
			From: ids.Replica(m.GetFrom()), To: ids.Replica(m.GetTo()), Msg: msg,
		},
		Start: m.GetStart(), End: m.GetEnd(),
	}, nil
}
