package sigv4

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ChunkSigner writes an aws-chunked body, chunk by chunk. `sherd doctor` and tests use it.
type ChunkSigner struct {
	auth     Auth
	previous [32]byte
}

// SignChunks signs r for a body of size bytes that comes in chunks made by the ChunkSigner. mode is one of the
// streaming payloads; trailers are the names that follow the last chunk in the trailer modes. The caller sets
// r.Body and, if it can tell, r.ContentLength.
func SignChunks(r *http.Request, c Credentials, mode Payload, size int64, trailers []string, region string, now time.Time) *ChunkSigner {
	r.Header["Content-Encoding"] = append([]string{"aws-chunked"}, r.Header["Content-Encoding"]...)
	r.Header["X-Amz-Decoded-Content-Length"] = []string{strconv.FormatInt(size, 10)}
	hash := StreamingPayload
	switch mode {
	case PayloadChunksTrailer:
		hash = StreamingPayloadTrailer
	case PayloadUnsignedChunkTrailer:
		hash = StreamingUnsignedTrailer
	}
	if mode.trailer() {
		r.Header["X-Amz-Trailer"] = []string{strings.ToLower(strings.Join(trailers, ","))}
	}
	a := sign(r, c, hash, s3, region, now)
	a.Payload = mode
	return &ChunkSigner{auth: a, previous: a.seed}
}

// AppendChunk appends data, which is not empty, as one chunk.
func (s *ChunkSigner) AppendChunk(dst, data []byte) []byte {
	dst = s.appendHeader(dst, data)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendEnd appends the last chunk and the trailers, whose names were announced.
func (s *ChunkSigner) AppendEnd(dst []byte, trailers map[string]string) []byte {
	dst = s.appendHeader(dst, nil)
	if s.auth.Payload.trailer() {
		dst = s.appendTrailers(dst, trailers)
	}
	return append(dst, "\r\n"...)
}

func (s *ChunkSigner) appendHeader(dst, data []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(data)), 16)
	if s.auth.Payload.signed() {
		dst = append(dst, ";chunk-signature="...)
		dst = s.appendSignature(dst, "AWS4-HMAC-SHA256-PAYLOAD\n", EmptySHA256+"\n", data)
	}
	return append(dst, "\r\n"...)
}

func (s *ChunkSigner) appendTrailers(dst []byte, trailers map[string]string) []byte {
	var lines []string
	for name, value := range trailers {
		lines = append(lines, strings.ToLower(name)+":"+value)
	}
	slices.Sort(lines)
	var signed []byte
	for _, l := range lines {
		dst = append(append(dst, l...), "\r\n"...)
		signed = append(append(signed, l...), '\n')
	}
	if s.auth.Payload.signed() {
		dst = append(dst, signatureName+":"...)
		dst = s.appendSignature(dst, "AWS4-HMAC-SHA256-TRAILER\n", "", signed)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// appendSignature signs data after what was signed before.
func (s *ChunkSigner) appendSignature(dst []byte, kind, middle string, data []byte) []byte {
	sum := sha256.Sum256(data)
	sts := []byte(kind + s.auth.amzDate + "\n" + s.auth.scope + "\n")
	sts = append(appendHex(sts, s.previous[:]), '\n')
	sts = appendHex(append(sts, middle...), sum[:])
	s.previous = mac(s.auth.key[:], sts)
	return appendHex(dst, s.previous[:])
}
