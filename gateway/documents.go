package gateway

import (
	"bytes"
	"errors"
	"io"

	"github.com/sherd-io/sherd/gateway/s3xml"
)

// readXML parses a document that was read whole.
func readXML[T any](doc []byte, parse func(io.Reader) (T, error)) (T, error) {
	v, err := parse(bytes.NewReader(doc))
	switch {
	case errors.Is(err, s3xml.ErrTooLarge):
		return v, errRequestTooLarge
	case errors.Is(err, s3xml.ErrPeriod):
		return v, errRetentionPeriod
	case err == nil, tagError(err) != nil:
		return v, err
	}
	return v, errMalformedXML
}

// bufferKept is up to which size a document's buffer is worth keeping.
const bufferKept = 1 << 20

// buffer lends a buffer for a document.
func (s *Server) buffer() *[]byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 16<<10)
	return &b
}

func (s *Server) giveBack(b *[]byte) {
	if cap(*b) <= bufferKept {
		*b = (*b)[:0]
		s.buffers.Put(b)
	}
}
