package s3

import (
	"net/http"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// streamed sends the body aws-chunked.
func (q *request) streamed(by func(r *http.Request, c sigv4.Credentials, body string) []byte) *request {
	q.stream = by
	return q
}

// onWire has the request written by hand: by gets its head without the empty line that ends it.
func (q *request) onWire(by func(head string) string) *request { q.wire = by; return q }

// piece is the size of a chunk: bodies of cases are longer, so that there are several.
const piece = 4

// inChunks makes an aws-chunked body in a mode of Signature V4, with trailers.
func inChunks(mode sigv4.Payload, trailers map[string]string) func(*http.Request, sigv4.Credentials, string) []byte {
	return func(r *http.Request, c sigv4.Credentials, body string) (wire []byte) {
		var names []string
		for name := range trailers {
			names = append(names, name)
		}
		s := sigv4.SignChunks(r, c, mode, int64(len(body)), names, "us-east-1", time.Now())
		for rest := body; rest != ""; rest = rest[min(piece, len(rest)):] {
			wire = s.AppendChunk(wire, []byte(rest[:min(piece, len(rest))]))
		}
		return s.AppendEnd(wire, trailers)
	}
}

// signedChunks is STREAMING-AWS4-HMAC-SHA256-PAYLOAD.
func signedChunks(r *http.Request, c sigv4.Credentials, body string) []byte {
	return inChunks(sigv4.PayloadChunks, nil)(r, c, body)
}
