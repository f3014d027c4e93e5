package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// Records is what a Server serves: its own node's part of the object records. *meta.Node is one.
type Records interface {
	// Answer answers one request, from what is here. It ends with ctx.
	Answer(ctx context.Context, req *remotepb.Request) *remotepb.Response
	// Receive takes a Raft message. It does not block.
	Receive(e replica.Envelope)
	// ReceiveSnapshot takes a snapshot. Errors: replica.ErrNoReplica, replica.ErrSnapshot.
	ReceiveSnapshot(ctx context.Context, h replica.SnapshotHeader) (replica.SnapshotSink, error)
}

// ServerOptions configures a Server. A zero field means the default given here.
type ServerOptions struct {
	Records Records // needed

	RequestsMax  int           // 4096: of one node, under way at once; more are refused as BUSY
	SnapshotsMax int           // 4: that come in at once; more are refused, and sent again later
	StallMax     time.Duration // 30s: for one part of a snapshot
	RequestMax   time.Duration // 30s: for one request, whatever it asks for
	Logger       *slog.Logger
}

// Server answers other nodes. It is safe for concurrent use.
type Server struct {
	remotepb.UnimplementedRecordsServer
	opt       ServerOptions
	snapshots chan struct{} // a place for each that comes in
}

// NewServer returns a Server.
func NewServer(opt ServerOptions) *Server {
	setDefault(&opt.RequestsMax, 4096)
	setDefault(&opt.SnapshotsMax, 4)
	setDefault(&opt.StallMax, 30*time.Second)
	setDefault(&opt.RequestMax, 30*time.Second)
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{opt: opt, snapshots: make(chan struct{}, opt.SnapshotsMax)}
}

// Register has a gRPC server, made with GRPCOptions, serve s. The connections it accepts must be authenticated: whoever is on
// one may read and write everything.
func (s *Server) Register(r grpc.ServiceRegistrar) { remotepb.RegisterRecordsServer(r, s) }

// GRPCOptions are what a gRPC server needs that serves a Server.
func GRPCOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.MaxRecvMsgSize(4 * pieceBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	}
}

// Messages implements remotepb.RecordsServer.
func (s *Server) Messages(stream grpc.ClientStreamingServer[remotepb.Frames, remotepb.Ack]) error {
	var bulk splitter
	for {
		f, err := stream.Recv()
		if err != nil {
			return ended(err)
		}
		var urgent splitter // whole messages only
		if err := urgent.split(f.GetUrgent(), s.receive); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if err := bulk.split(f.GetData(), s.receive); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

func (s *Server) receive(message []byte) error {
	e, err := decodeEnvelope(message)
	if err == nil {
		s.opt.Records.Receive(e)
	}
	return err
}

// ended is nil at the regular end of a stream.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Calls implements remotepb.RecordsServer. It returns when all that it answers is done.
func (s *Server) Calls(stream grpc.BidiStreamingServer[remotepb.Frames, remotepb.Frames]) error {
	a := &answers{
		s: s, stream: stream, wake: make(chan struct{}, 1), done: make(chan struct{}),
		places: make(chan struct{}, s.opt.RequestsMax), sent: make(chan struct{}, 1),
	}
	var sender sync.WaitGroup
	sender.Go(a.send)
	var requests splitter
	var err error
	for err == nil {
		var f *remotepb.Frames
		if f, err = stream.Recv(); err == nil {
			if err = requests.split(f.GetData(), a.take); err != nil {
				err = status.Error(codes.InvalidArgument, err.Error())
			}
		}
	}
	a.under.Wait()
	close(a.done)
	sender.Wait()
	return ended(err)
}

// answers are one node's requests under way, and the stream that their answers go out on.
type answers struct {
	s      *Server
	stream grpc.BidiStreamingServer[remotepb.Frames, remotepb.Frames]
	wake   chan struct{} // capacity 1
	done   chan struct{} // closed when there will be no more
	places chan struct{} // one for each request under way
	sent   chan struct{} // capacity 1: answers went out
	under  sync.WaitGroup

	mu    sync.Mutex
	out   []byte // frames to be sent
	spare []byte
}

// take answers one request, on a goroutine of its own: it may have to wait. While too many answers wait to be sent,
// no request is taken.
func (a *answers) take(message []byte) error {
	for a.waiting() > answersMax {
		select {
		case <-a.sent:
		case <-a.stream.Context().Done():
			return a.stream.Context().Err()
		}
	}
	if len(message) == 0 {
		a.put(nil)
		return nil
	}
	req := &remotepb.Request{}
	if err := req.UnmarshalVT(message); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	select {
	case a.places <- struct{}{}:
	default:
		a.put(&remotepb.Response{Id: req.Id, Code: remotepb.Code_BUSY})
		return nil
	}
	a.under.Go(func() {
		defer func() { <-a.places }()
		within := a.s.opt.RequestMax
		if req.TimeoutMs > 0 {
			within = min(within, time.Duration(req.TimeoutMs)*time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(a.stream.Context(), within)
		defer cancel()
		resp := a.s.opt.Records.Answer(ctx, req)
		resp.Id = req.Id
		a.put(resp)
	})
	return nil
}

// answersMax is how many bytes of answers may wait before no request is taken any more.
const answersMax = 16 << 20

func (a *answers) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.out)
}

// put queues an answer; nil is the answer to a ping.
func (a *answers) put(resp *remotepb.Response) {
	if resp.SizeVT() > messageMax {
		resp = &remotepb.Response{Id: resp.Id, Code: remotepb.Code_FAILED, Detail: "the answer is too long"}
	}
	a.mu.Lock()
	if resp == nil {
		a.out = append(a.out, ping...)
	} else if out, err := appendMessage(a.out, resp); err == nil { // there is no answer without an encoding
		a.out = out
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// send sends answers until there will be no more. When the stream fails its context ends, and with it all that is under way.
func (a *answers) send() {
	for {
		select {
		case <-a.wake:
		case <-a.done:
			return
		}
		a.mu.Lock()
		out := a.out
		a.out, a.spare = a.spare[:0], nil
		a.mu.Unlock()
		if sendPieces(a.stream, out) != nil {
			return
		}
		a.mu.Lock()
		a.spare = reuse(out)
		a.mu.Unlock()
		select {
		case a.sent <- struct{}{}:
		default:
		}
	}
}

// Snapshot implements remotepb.RecordsServer.
func (s *Server) Snapshot(stream grpc.ClientStreamingServer[remotepb.SnapshotPart, remotepb.Ack]) error {
	select {
	case s.snapshots <- struct{}{}:
		defer func() { <-s.snapshots }()
	default:
		return status.Error(codes.ResourceExhausted, "too many snapshots come in")
	}
	taken := make(chan error, 1)
	progress := make(chan struct{}, 1)
	go func() { taken <- s.take(stream, progress) }() // it ends with the stream, at the latest
	for {
		stalled := time.NewTimer(s.opt.StallMax)
		select {
		case <-progress:
			stalled.Stop()
		case err := <-taken:
			stalled.Stop()
			if err != nil {
				s.opt.Logger.Warn("snapshot of a range not taken", "err", err)
				return snapshotStatus(err)
			}
			return stream.SendAndClose(&remotepb.Ack{})
		case <-stalled.C:
			return status.Error(codes.DeadlineExceeded, "the snapshot does not go on")
		}
	}
}

// take takes the parts of one snapshot. Unless the last has come it leaves nothing.
func (s *Server) take(stream grpc.ClientStreamingServer[remotepb.SnapshotPart, remotepb.Ack], progress chan<- struct{}) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head, err := headOf(first.GetHead())
	if err != nil {
		return err
	}
	sink, err := s.opt.Records.ReceiveSnapshot(stream.Context(), head)
	if err != nil {
		return err
	}
	defer sink.Abort() // after Commit it does nothing
	for parts := uint64(0); ; parts++ {
		part, err := stream.Recv()
		if err != nil {
			return err // io.EOF too: the last part is not missing without reason
		}
		if part.GetEnd() {
			if part.GetParts() != parts {
				return fmt.Errorf("%w: %d parts, not %d", errSnapshot, parts, part.GetParts())
			}
			return sink.Commit(stream.Context())
		}
		if partSum(part.GetRows(), parts) != part.GetSum() {
			return fmt.Errorf("%w: part %d is not what was sent", errSnapshot, parts)
		}
		if err := sink.Write(stream.Context(), part.GetRows()); err != nil {
			return err
		}
		select {
		case progress <- struct{}{}:
		default:
		}
	}
}

func snapshotStatus(err error) error {
	code := codes.Aborted
	switch {
	case errors.Is(err, replica.ErrNoReplica):
		code = codes.NotFound
	case errors.Is(err, errSnapshot), errors.Is(err, replica.ErrSnapshot):
		code = codes.InvalidArgument
	}
	return status.Error(code, err.Error())
}
