package sigv4

import (
	"bufio"
	"errors"
	"hash"
	"io"
	"net/http"

	"github.com/minio/sha256-simd"
)

// ErrUnread is what Finish says of a body that the caller did not read to its end. It is the caller's mistake.
var ErrUnread = errors.New("sigv4: body not read to its end")

// errClosed is what Read says after Close.
var errClosed = errors.New("sigv4: body read after Close")

// bufferBytes is read ahead of chunk headers. A chunk's data goes around the buffer once it is empty.
const bufferBytes = 16 << 10

// BodyReader hands out a request's body as the client meant it: without chunk headers, its digest or its
// chunks' signatures checked on the way.
//
// Nothing it has handed out is to be trusted before Read returned io.EOF or Finish nil. An error stays:
// every later call returns it. It is not safe for concurrent use.
//
// Invariant: with an announced length, DecodedBytes == handed out + left.
type BodyReader struct {
	src     io.Reader
	auth    Auth
	st      *bodyState // nil after Close
	left    int64      // bytes still to hand out, or -1: unknown
	err     error      // sticky; io.EOF once everything held
	sum     [32]byte   // PayloadSHA256: the body's digest, at the end
	chunk   chunkState
	trailer http.Header
}

// bodyState is what is worth keeping from one body to the next.
type bodyState struct {
	br   *bufio.Reader // chunked modes only
	hash hash.Hash     // of the body or of the chunk, where signed
	buf  []byte        // strings to sign
	sum  [32]byte      // room for a digest
}

// Body wraps the body of the request that a is of. Close gives back its buffers, and closes src if it can be.
//
// Errors: MissingContentLength if an aws-chunked body does not announce its length.
func (a *Auth) Body(src io.Reader) (*BodyReader, error) {
	if a.Payload.Chunked() && a.DecodedBytes < 0 {
		return nil, fail(MissingContentLength, "You must provide the Content-Length HTTP header.")
	}
	b := &BodyReader{src: src, auth: *a, left: a.DecodedBytes, st: a.v.bodyState()}
	b.st.hash.Reset()
	if a.Payload.Chunked() {
		if b.st.br == nil {
			b.st.br = bufio.NewReaderSize(src, bufferBytes)
		}
		b.st.br.Reset(src)
		b.chunk.previous = a.seed
	}
	return b, nil
}

func (v *Verifier) bodyState() *bodyState {
	if v != nil {
		if st, ok := v.bodies.Get().(*bodyState); ok {
			return st
		}
	}
	return &bodyState{hash: sha256.New()}
}

// Size is how many bytes Read hands out in all, or -1 if that was not announced.
func (b *BodyReader) Size() int64 { return b.auth.DecodedBytes }

// Trailers are the trailers of an aws-chunked body, complete once Read returned io.EOF or Finish nil; nil if
// there were none. Keys are canonical.
func (b *BodyReader) Trailers() http.Header { return b.trailer }

// SHA256 is the digest of the body, which was computed anyway if the client signed it.
// ok is false for other payloads, and before the end.
func (b *BodyReader) SHA256() (sum [32]byte, ok bool) {
	return b.sum, b.err == io.EOF && b.auth.Payload == PayloadSHA256
}

// Read reads straight into p, and hashes there. In chunked modes it fills p unless the body ends or fails.
// The last bytes may come together with io.EOF, or with the error that makes them void.
//
// Errors: *Error with SignatureDoesNotMatch, XAmzContentSHA256Mismatch, IncompleteBody, InvalidRequest or
// MalformedTrailer; others are src's own, unchanged.
func (b *BodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	if b.auth.Payload.Chunked() {
		n, b.err = b.readChunks(p)
	} else {
		n, b.err = b.readPlain(p)
	}
	if b.err != io.EOF && errors.Is(b.err, io.EOF) {
		b.err = incomplete(nil) // an end that src wrapped is not the end: no caller may take it for one
	}
	return n, b.err
}

// Finish tells whether the whole body was read and everything about it held: nil is what a caller that
// reads an exact number of bytes must see before it commits them (io.ReadFull drops the error that came
// with the last byte).
func (b *BodyReader) Finish() error {
	if b.err == nil && b.left <= 0 {
		var one [1]byte
		if n, err := b.Read(one[:]); n > 0 || err == nil {
			return ErrUnread
		}
	}
	switch b.err {
	case io.EOF:
		return nil
	case nil:
		return ErrUnread
	}
	return b.err
}

// Close gives back the buffers. It is idempotent. Trailers, SHA256 and Finish still answer.
func (b *BodyReader) Close() error {
	if b.st == nil {
		return nil
	}
	if b.err == nil {
		b.err = errClosed
	}
	if b.st.br != nil {
		b.st.br.Reset(nil)
	}
	if b.auth.v != nil {
		b.auth.v.bodies.Put(b.st)
	}
	b.st = nil
	if c, ok := b.src.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// readPlain reads a body that is sent as it is.
func (b *BodyReader) readPlain(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.endPlain()
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.src.Read(p)
	if b.auth.Payload == PayloadSHA256 {
		b.st.hash.Write(p[:n])
	}
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case b.left == 0 && (err == nil || err == io.EOF):
		return n, b.endPlain()
	case err == io.EOF && b.left < 0:
		return n, b.endPlain()
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return n, incomplete(err)
	}
	return n, err
}

// endPlain checks the digest; io.EOF means that it held.
func (b *BodyReader) endPlain() error {
	if b.auth.Payload != PayloadSHA256 {
		return io.EOF
	}
	b.st.hash.Sum(b.sum[:0])
	if b.sum != b.auth.PayloadSHA256 {
		return fail(XAmzContentSHA256Mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.",
			Fact{"ClientComputedContentSHA256", string(appendHex(nil, b.auth.PayloadSHA256[:]))},
			Fact{"S3ComputedContentSHA256", string(appendHex(nil, b.sum[:]))})
	}
	return io.EOF
}

// incomplete is the error of a body that is shorter or longer than announced.
func incomplete(cause error) error {
	e := fail(IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	if cause != nil && cause != io.EOF {
		e.Cause = cause
	}
	return e
}
