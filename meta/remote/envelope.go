package remote

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/replica"
)

// A Raft message between nodes. Integers are uvarints; what this format has no field for cannot be sent.
//
//	format      1 byte, now 1
//	flags       1 byte: lazy, reject
//	type        raftpb's number
//	range, generation, from, to
//	round       ns on the leader's monotonic clock (I8)
//	wall        ms since 1970 on the sender's clock; 0: not told (I18)
//	term, log term, index, commit, vote, reject hint
//	context     length, bytes
//	entries     how many; for each term, index, type, length of data, and the data
//
// It is an encoding of our own because raftpb's costs an allocation for each number.
const (
	envelopeFormat = 1
	flagLazy       = 1
	flagReject     = 2
	envelopeMin    = 2 + 1 + 4 + 2 + 6 + 1 + 1 // bytes
	entryMin       = 4                         // bytes
)

var errEnvelope = errors.New("remote: bad Raft message")

// sendable are the messages that go between nodes. Snapshots go by their own stream; others are none of a peer's business.
const sendable = 1<<pb.MsgApp | 1<<pb.MsgAppResp | 1<<pb.MsgVote | 1<<pb.MsgVoteResp | 1<<pb.MsgHeartbeat |
	1<<pb.MsgHeartbeatResp | 1<<pb.MsgTimeoutNow | 1<<pb.MsgPreVote | 1<<pb.MsgPreVoteResp

func isSendable(t pb.MessageType) bool { return uint64(t) < 64 && sendable>>uint64(t)&1 == 1 }

// envelopeBytes is about how long e is.
func envelopeBytes(e *replica.Envelope) int {
	n := 64 + len(e.Msg.Context)
	for _, entry := range e.Msg.Entries {
		n += 24 + len(entry.Data)
	}
	return n
}

// appendEnvelope encodes e.
func appendEnvelope(b []byte, e *replica.Envelope) []byte {
	m := e.Msg
	flags := byte(0)
	if e.Lazy {
		flags |= flagLazy
	}
	if m.GetReject() {
		flags |= flagReject
	}
	b = append(b, envelopeFormat, flags)
	for _, v := range [...]uint64{
		uint64(m.GetType()), uint64(e.Range), e.Generation, uint64(e.From), uint64(e.To), uint64(e.Round), uint64(e.Wall),
		m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetVote(), m.GetRejectHint(),
		uint64(len(m.Context)),
	} {
		b = binary.AppendUvarint(b, v)
	}
	b = append(b, m.Context...)
	b = binary.AppendUvarint(b, uint64(len(m.Entries)))
	for _, entry := range m.Entries {
		b = binary.AppendUvarint(b, entry.GetTerm())
		b = binary.AppendUvarint(b, entry.GetIndex())
		b = binary.AppendUvarint(b, uint64(entry.GetType()))
		b = binary.AppendUvarint(b, uint64(len(entry.Data)))
		b = append(b, entry.Data...)
	}
	return b
}

// message is a Raft message with all it points to.
type message struct {
	pb.Message
	kind                                                     pb.MessageType
	to, from, term, logTerm, index, commit, vote, rejectHint uint64
	reject                                                   bool
}

// entry is a log entry with all it points to.
type entry struct {
	pb.Entry
	kind        pb.EntryType
	term, index uint64
}

// decodeEnvelope is appendEnvelope's inverse. It copies what it keeps.
func decodeEnvelope(b []byte) (e replica.Envelope, err error) {
	if len(b) < envelopeMin || b[0] != envelopeFormat {
		return e, fmt.Errorf("%w: format", errEnvelope)
	}
	flags := b[1]
	d := decoder{b: b[2:]}
	m := &message{}
	kind := d.uvarint()
	m.kind = pb.MessageType(kind)
	e = replica.Envelope{
		Range: ids.Range(d.uvarint()), Generation: d.uvarint(),
		From: ids.Replica(d.uvarint()), To: ids.Replica(d.uvarint()),
		Round: int64(d.uvarint()), Wall: int64(d.uvarint()), Lazy: flags&flagLazy != 0,
	}
	m.from, m.to, m.reject = uint64(e.From), uint64(e.To), flags&flagReject != 0
	m.term, m.logTerm, m.index = d.uvarint(), d.uvarint(), d.uvarint()
	m.commit, m.vote, m.rejectHint = d.uvarint(), d.uvarint(), d.uvarint()
	m.Type, m.To, m.From, m.Term, m.LogTerm = &m.kind, &m.to, &m.from, &m.term, &m.logTerm
	m.Index, m.Commit, m.Vote, m.Reject, m.RejectHint = &m.index, &m.commit, &m.vote, &m.reject, &m.rejectHint
	e.Msg = &m.Message
	if kind >= 64 || !isSendable(m.kind) {
		return e, fmt.Errorf("%w: type %d", errEnvelope, kind)
	}
	if len(d.b) > 2 { // else there is neither context nor entry
		d.b = append(make([]byte, 0, len(d.b)), d.b...)
	}
	if context := d.bytes(); len(context) > 0 {
		m.Context = context
	}
	m.Entries = d.entries()
	if d.bad || len(d.b) > 0 {
		return e, fmt.Errorf("%w: truncated or overlong", errEnvelope)
	}
	return e, nil
}

// decoder reads fields and remembers the first failure.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) entries() []*pb.Entry {
	n := d.uvarint()
	if n == 0 || d.bad {
		return nil
	}
	if n > uint64(len(d.b)/entryMin) {
		d.bad = true
		return nil
	}
	all, refs := make([]entry, n), make([]*pb.Entry, n)
	for i := range all {
		e := &all[i]
		e.term, e.index, e.kind = d.uvarint(), d.uvarint(), pb.EntryType(d.uvarint())
		e.Term, e.Index, e.Type = &e.term, &e.index, &e.kind
		if data := d.bytes(); len(data) > 0 {
			e.Data = data
		}
		refs[i] = &e.Entry
	}
	return refs
}
