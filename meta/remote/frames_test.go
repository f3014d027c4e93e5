package remote

import (
	"bytes"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// carried are the fields of raftpb.Message that an envelope carries, and those that no message between nodes sets.
var carried = []protoreflect.Name{
	"type", "to", "from", "term", "logTerm", "index", "entries", "commit", "vote", "reject", "rejectHint", "context",
	"snapshot", "responses",
}

// A field that a newer Raft adds would be lost on the way: this test fails then.
func TestEnvelopeKnowsEveryFieldOfRaft(t *testing.T) {
	for message, names := range map[protoreflect.ProtoMessage][]protoreflect.Name{
		&pb.Message{}: carried,
		&pb.Entry{}:   {"Term", "Index", "Type", "Data"},
	} {
		fields := message.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			known := false
			for _, n := range names {
				known = known || n == fields.Get(i).Name()
			}
			if !known {
				t.Errorf("%T.%s is not in an envelope", message, fields.Get(i).Name())
			}
		}
	}
}

func testEnvelope(rng *rand.Rand) replica.Envelope {
	small := func() *uint64 { return new(uint64(rng.IntN(1 << rng.IntN(40)))) }
	kinds := []pb.MessageType{pb.MsgApp, pb.MsgAppResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgTimeoutNow}
	m := &pb.Message{
		Type: kinds[rng.IntN(len(kinds))].Enum(), From: small(), To: small(), Term: small(), LogTerm: small(), Index: small(),
		Commit: small(), Vote: small(), RejectHint: small(), Reject: new(rng.IntN(2) == 0),
	}
	if rng.IntN(2) == 0 {
		m.Context = []byte("context")
	}
	for range rng.IntN(4) {
		e := &pb.Entry{Term: small(), Index: small(), Type: pb.EntryConfChangeV2.Enum()}
		if rng.IntN(4) > 0 {
			e.Data = bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(100)+1)
		}
		m.Entries = append(m.Entries, e)
	}
	return replica.Envelope{
		Range: 7, Generation: 2, From: ids.Replica(*m.From), To: ids.Replica(*m.To), Msg: m,
		Round: int64(*small()), Wall: int64(*small()), Lazy: rng.IntN(2) == 0,
	}
}

func TestEnvelopeReturnsWhatWasSent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		e := testEnvelope(rng)
		raw := appendEnvelope(nil, &e)
		got, err := decodeEnvelope(raw)
		check(t, err)
		clear(raw) // nothing may lie in it
		if !proto.Equal(got.Msg, e.Msg) {
			t.Fatalf("%v\n%v", got.Msg, e.Msg)
		}
		got.Msg = e.Msg
		if got != e {
			t.Fatalf("%+v\n%+v", got, e)
		}
	}
}

func TestEnvelopeRefusesWhatIsNoneOfAPeersBusiness(t *testing.T) {
	for _, kind := range []pb.MessageType{pb.MsgHup, pb.MsgProp, pb.MsgSnap, pb.MsgTransferLeader, pb.MsgForgetLeader, pb.MsgStorageApply, 63, 64, 1 << 20} {
		e := testEnvelope(rand.New(rand.NewPCG(1, 2)))
		e.Msg.Type = kind.Enum()
		if _, err := decodeEnvelope(appendEnvelope(nil, &e)); err == nil {
			t.Errorf("message of type %v taken", kind)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		e := testEnvelope(rng)
		f.Add(appendEnvelope(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := decodeEnvelope(appendEnvelope(nil, &e))
		check(t, err)
		if !proto.Equal(again.Msg, e.Msg) {
			t.Fatalf("%v\n%v", again.Msg, e.Msg)
		}
	})
}

// The pieces of a stream may be cut anywhere.
func TestSplitterTakesAnyPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var stream []byte
	var want [][]byte
	for i := range 200 {
		m := bytes.Repeat([]byte{byte(i)}, rng.IntN(300))
		stream, want = appendFrame(stream, m), append(want, m)
	}
	for pieceMax := 1; pieceMax < 700; pieceMax += 13 {
		var s splitter
		var got [][]byte
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(pieceMax))
			check(t, s.split(bytes.Clone(rest[:n]), func(m []byte) error {
				got = append(got, bytes.Clone(m))
				return nil
			}))
			rest = rest[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d messages, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("message %d differs", i)
			}
		}
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, []byte("abc")), nil), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		var whole, pieces splitter
		count := [2]int{}
		errWhole := whole.split(b, func([]byte) error { count[0]++; return nil })
		n := min(int(cut), len(b))
		errPieces := pieces.split(b[:n], func([]byte) error { count[1]++; return nil })
		if errPieces == nil {
			errPieces = pieces.split(b[n:], func([]byte) error { count[1]++; return nil })
		}
		if (errWhole == nil) != (errPieces == nil) || count[0] != count[1] {
			t.Fatalf("%v and %v, %v messages", errWhole, errPieces, count)
		}
	})
}

// What a peer sends is decoded, or refused.
func FuzzRequest(f *testing.F) {
	raw, err := (&remotepb.Request{Id: 1, Range: 1, Op: &remotepb.Request_Get{Get: &remotepb.Get{Bucket: 1, Key: "k"}}}).MarshalVT()
	check(f, err)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		var req remotepb.Request
		_ = req.UnmarshalVT(b) // it may be anything
		var resp remotepb.Response
		_ = resp.UnmarshalVT(b)
		if head := new(remotepb.SnapshotHead); head.UnmarshalVT(b) == nil {
			_, _ = headOf(head)
		}
	})
}
