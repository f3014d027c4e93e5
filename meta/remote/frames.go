package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	pieceBytes = 1 << 20  // at most in one gRPC message
	messageMax = 16 << 20 // a longer message is not taken
)

var errFrame = errors.New("remote: bad frame")

// appendFrame appends a message and its length.
func appendFrame(b, message []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(message)))
	return append(b, message...)
}

// marshaler is a message of remotepb.
type marshaler interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

// appendMessage is appendFrame of m.
func appendMessage(b []byte, m marshaler) ([]byte, error) {
	size := m.SizeVT()
	b = binary.AppendUvarint(b, uint64(size))
	begin := len(b)
	b = append(b, make([]byte, size)...)
	_, err := m.MarshalToSizedBufferVT(b[begin:])
	return b, err
}

// splitter takes a stream of frames apart that comes in pieces.
type splitter struct {
	rest []byte // of a frame that is not complete
}

// split calls fn with each message that p completes. The bytes are borrowed.
func (s *splitter) split(p []byte, fn func(message []byte) error) error {
	whole := len(s.rest) == 0
	if !whole {
		s.rest = append(s.rest, p...)
		p = s.rest
	}
	for len(p) > 0 {
		n, head := binary.Uvarint(p)
		if head < 0 || n > messageMax {
			return fmt.Errorf("%w: of %d bytes", errFrame, n)
		}
		if head == 0 || uint64(len(p)-head) < n {
			break
		}
		if err := fn(p[head : head+int(n)]); err != nil {
			return err
		}
		p = p[head+int(n):]
	}
	switch {
	case len(p) == 0:
		s.rest = nil // it may have been long
	case whole:
		s.rest = append([]byte(nil), p...)
	default:
		s.rest = append(s.rest[:0], p...)
	}
	return nil
}
