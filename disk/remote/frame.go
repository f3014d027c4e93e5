package remote

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// A frame: a header, then arguments, then payload. Integers are little-endian.
//
//	offset  bytes  field
//	0       4      "shf1": the protocol and its version
//	4       1      op
//	5       1      status; 0 in a request
//	6       2      0
//	8       8      id: the request's, and its reply's
//	16      16     drive; zeros where a request is of no drive. In a reply: the epoch that the drive has of the PG that the
//	               call was about (8; 0: of none), then zeros
//	32      4      milliseconds the client will wait; 0 in a reply
//	36      4      bytes of arguments, at most 64 KiB
//	40      4      bytes of payload, at most 16 MiB
//	44      4      CRC-32C of the arguments
//	48      8      xxh3-64 of the payload, seeded with the id
//	56      4      CRC-32C of the 56 bytes before
const (
	headerBytes = 60
	argsMax     = 64 << 10
	payloadMax  = 16 << 20
)

var magic = [4]byte{'s', 'h', 'f', '1'}

// errFrame reports bytes that are no frame: the connection is of no use any more.
var errFrame = errors.New("remote: malformed frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type op uint8

// The requests. "Record" is a chunk.AppendFile record: a number, a header and a footer.
const (
	opHello  op = 1 + iota // cluster (16), client (16); reply: empty
	opStat                 // reply payload: JSON of all drives' health and space
	opPut                  // record; payload: the shard
	opDelete               // chunk.AppendKeys record; reply: chunk.AppendEpochs record of the keys' PGs
	opOpen                 // key (25), or key, offset (8), bytes (8) of what is read first; reply: record whose number is the reader, with
	// those bytes, as far as there are any, as payload; or 0 with the whole shard
	opRead        // reader (8), offset (8), bytes (8); reply payload: them
	opCloseReader // reader (8); no reply
	opCreate      // expected shard bytes (8), record; reply: writer (8)
	opWrite       // writer (8); payload: the unit
	opSeal        // record whose number is the writer, whose epoch is the newest the client knows
	opAbort       // writer (8); no reply
	opChunks      // pool (2), PG (2), after (25), most (4); reply payload: records, each after its length (4)
	opAllChunks   // most (4), after (25) or nothing; reply as opChunks
	opVerify      // key (25); reply: record
	opQuarantine  // key (25), reason
	opQuarantined // reply payload: JSON
	opRestore     // key (25)
	opExpire      // wall time in milliseconds (8); reply: count (8)
	opEpoch       // chunk.AppendEpochs record of one
	opDrop        // epoch (8), chunk.AppendKeys record of one PG's
	opLast
)

// frame is one of either kind. payload is of several pieces only where it is sent.
type frame struct {
	op      op
	status  status
	id      uint64
	drive   ids.Drive
	millis  uint32
	args    []byte
	payload [][]byte
}

// epoch is a reply's.
func (f *frame) epoch() uint64 { return binary.LittleEndian.Uint64(f.drive[:]) }

func (f *frame) setEpoch(epoch uint64) { binary.LittleEndian.PutUint64(f.drive[:], epoch) }

func (f *frame) payloadBytes() (n int) {
	for _, p := range f.payload {
		n += len(p)
	}
	return n
}

// payloadSum is the xxh3-64 of all pieces one after the other.
func payloadSum(id uint64, pieces [][]byte) uint64 {
	if len(pieces) == 1 {
		return xxh3.HashSeed(pieces[0], id)
	}
	h := xxh3.NewSeed(id)
	for _, p := range pieces {
		h.Write(p) // never fails
	}
	return h.Sum64()
}

// appendHeader appends the header of f.
func appendHeader(b []byte, f *frame) []byte {
	at := len(b)
	b = append(b, magic[:]...)
	b = append(b, byte(f.op), byte(f.status), 0, 0)
	b = binary.LittleEndian.AppendUint64(b, f.id)
	b = append(b, f.drive[:]...)
	b = binary.LittleEndian.AppendUint32(b, f.millis)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.args)))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.payloadBytes()))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(f.args, castagnoli))
	b = binary.LittleEndian.AppendUint64(b, payloadSum(f.id, f.payload))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// header is what precedes a frame's bytes.
type header struct {
	frame
	argsLen, payloadLen int
	argsSum             uint32
	payloadSum          uint64
}

// parseHeader decodes headerBytes. The only error is errFrame.
func parseHeader(b []byte) (h header, err error) {
	if len(b) != headerBytes || [4]byte(b) != magic || crc32.Checksum(b[:56], castagnoli) != binary.LittleEndian.Uint32(b[56:]) {
		return h, errFrame
	}
	h.op, h.status = op(b[4]), status(b[5])
	h.id = binary.LittleEndian.Uint64(b[8:])
	h.drive = ids.Drive(b[16:32])
	h.millis = binary.LittleEndian.Uint32(b[32:])
	args, payload := binary.LittleEndian.Uint32(b[36:]), binary.LittleEndian.Uint32(b[40:])
	if h.op == 0 || h.op >= opLast || args > argsMax || payload > payloadMax {
		return h, errFrame
	}
	h.argsLen, h.payloadLen = int(args), int(payload)
	h.argsSum, h.payloadSum = binary.LittleEndian.Uint32(b[44:]), binary.LittleEndian.Uint64(b[48:])
	return h, nil
}

// readHeader reads a header and the arguments. Errors: errFrame, the connection's.
func readHeader(r *bufio.Reader) (h header, err error) {
	b, err := r.Peek(headerBytes)
	if err != nil {
		return h, err
	}
	if h, err = parseHeader(b); err != nil {
		return h, err
	}
	r.Discard(headerBytes) // it was peeked at
	h.args = make([]byte, h.argsLen)
	if _, err := io.ReadFull(r, h.args); err != nil {
		return h, err
	}
	if crc32.Checksum(h.args, castagnoli) != h.argsSum {
		return h, fmt.Errorf("%w: arguments", errFrame)
	}
	return h, nil
}

// readPayload reads the payload that follows h into a buffer of pool, which the caller releases; nil if there is none.
func readPayload(r *bufio.Reader, h *header, pool *bufpool.Pool) (*bufpool.Buf, error) {
	if h.payloadLen == 0 {
		return nil, nil
	}
	buf := pool.Get(h.payloadLen)
	_, err := io.ReadFull(r, buf.B)
	if err == nil && xxh3.HashSeed(buf.B, h.id) != h.payloadSum {
		err = fmt.Errorf("%w: payload", errFrame)
	}
	if err != nil {
		buf.Release()
		return nil, err
	}
	return buf, nil
}
