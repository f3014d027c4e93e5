package sigv4

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// An aws-chunked body is
//
//	chunk   = hex-size [";chunk-signature=" 64 hex] CRLF bytes CRLF, the last one of size 0
//	trailer = name ":" value LF or CRLF                    after the last chunk, in the trailer modes
//	          [CRLF] "x-amz-trailer-signature:" 64 hex     where chunks are signed
//	end     = CRLF, which some clients leave out, and others write twice
//
// Each signature covers the one before it, the first one the request's.
//
// Source: sigv4-streaming, sigv4-streaming-trailers. Clients differ in the blank line before the trailer's
// signature (minio-go sends it, the AWS SDKs do not) and in the last one.
const (
	chunkLineMax  = 256     // bytes of a chunk's header line
	trailerMax    = 8 << 10 // bytes of all trailers
	signatureName = "x-amz-trailer-signature"
)

// chunkState is where in the body a reader is.
type chunkState struct {
	left      int64    // bytes of the present chunk still to read
	open      bool     // in a chunk: its end is not checked yet
	signature [64]byte // announced for it
	previous  [32]byte // what the next signature covers
}

// readChunks fills p. After the last byte it reads on to the end at once, so that what it returns is final.
func (b *BodyReader) readChunks(p []byte) (n int, err error) {
	c := &b.chunk
	for n < len(p) || b.left == 0 {
		if !c.open {
			if err := b.nextChunk(); err != nil {
				return n, err // io.EOF if that was the end
			}
			continue // its size may be all there is, or nothing
		}
		if c.left == 0 {
			if err := b.endChunk(); err != nil {
				return n, err
			}
			continue
		}
		m := int(min(int64(len(p)-n), c.left))
		m, err := b.st.br.Read(p[n : n+m])
		if b.auth.Payload.signed() {
			b.st.hash.Write(p[n : n+m])
		}
		n, c.left, b.left = n+m, c.left-int64(m), b.left-int64(m)
		if err != nil {
			return n, cut(err)
		}
	}
	return n, nil
}

// nextChunk reads a chunk's header. It returns io.EOF if that was the last chunk and all that follows held.
func (b *BodyReader) nextChunk() error {
	line, err := readLine(b.st.br, chunkLineMax)
	if err != nil {
		return err
	}
	size, extension, ok := parseChunkLine(line)
	if !ok {
		return badChunk("a chunk's header is malformed")
	}
	c := &b.chunk
	if b.auth.Payload.signed() {
		sig, ok := bytes.CutPrefix(extension, []byte("chunk-signature="))
		if !ok || len(sig) != len(c.signature) {
			return badChunk("a chunk has no signature")
		}
		copy(c.signature[:], sig)
	}
	if size > b.left || size == 0 && b.left > 0 {
		return incomplete(nil)
	}
	if size > 0 {
		c.open, c.left = true, size
		return nil
	}
	if err := b.checkChunk(); err != nil {
		return err
	}
	if b.auth.Payload.trailer() {
		err = b.readTrailers()
	} else {
		err = b.endLine()
	}
	if err != nil {
		return err
	}
	return b.end()
}

// endChunk checks what comes after a chunk's bytes.
func (b *BodyReader) endChunk() error {
	line, err := readLine(b.st.br, chunkLineMax)
	if err != nil {
		return err
	}
	if len(line) != 0 {
		return badChunk("a chunk is longer than its header says")
	}
	b.chunk.open = false
	return b.checkChunk()
}

// checkChunk compares the signature of the chunk whose bytes were hashed.
func (b *BodyReader) checkChunk() error {
	if !b.auth.Payload.signed() {
		return nil
	}
	b.startString("AWS4-HMAC-SHA256-PAYLOAD\n")
	b.st.buf = append(b.st.buf, EmptySHA256+"\n"...)
	return b.checkString(b.chunk.signature[:])
}

// startString begins a string to sign.
func (b *BodyReader) startString(kind string) {
	s := append(b.st.buf[:0], kind...)
	s = append(s, b.auth.amzDate...)
	s = append(s, '\n')
	s = append(s, b.auth.scope...)
	s = append(s, '\n')
	s = appendHex(s, b.chunk.previous[:])
	b.st.buf = append(s, '\n')
}

// checkString ends the string to sign with the digest of what was hashed, and compares.
func (b *BodyReader) checkString(signature []byte) error {
	st := b.st
	st.buf = appendHex(st.buf, st.hash.Sum(st.sum[:0]))
	st.hash.Reset()
	want := mac(b.auth.key[:], st.buf)
	if !sameHex(want, signature) {
		return mismatch(b.auth.AccessKey, string(signature), st.buf, nil)
	}
	b.chunk.previous = want
	return nil
}

// readTrailers reads the trailers, compares them with those announced and checks their signature.
func (b *BodyReader) readTrailers() error {
	signed := b.auth.Payload.signed()
	for total := 0; ; {
		line, err := readLine(b.st.br, trailerMax-total)
		if err == errEnd && !signed {
			break
		} else if err != nil {
			return err
		}
		total += len(line) + 1
		if len(line) == 0 {
			if signed {
				continue // before the signature
			}
			break
		}
		name, value, found := strings.Cut(string(line), ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !found || name == "" {
			return badTrailer()
		}
		if name == signatureName && signed {
			if err := b.checkTrailers([]byte(value)); err != nil {
				return err
			}
			break
		}
		if err := b.addTrailer(name, value); err != nil {
			return err
		}
	}
	if signed {
		if err := b.endLine(); err != nil {
			return err
		}
	}
	return b.allTrailers()
}

// checkTrailers compares the signature of the trailers hashed so far.
func (b *BodyReader) checkTrailers(signature []byte) error {
	b.startString("AWS4-HMAC-SHA256-TRAILER\n")
	return b.checkString(signature)
}

// addTrailer notes a trailer that was announced, and hashes it in canonical form.
func (b *BodyReader) addTrailer(name, value string) error {
	key := textproto.CanonicalMIMEHeaderKey(name)
	if !announced(b.auth.trailers, name) || b.trailer[key] != nil {
		return badTrailer()
	}
	if b.trailer == nil {
		b.trailer = make(http.Header)
	}
	b.trailer[key] = []string{value}
	if b.auth.Payload.signed() {
		_, _ = io.WriteString(b.st.hash, name+":"+value+"\n")
	}
	return nil
}

// allTrailers refuses a body that lacks a trailer it announced.
func (b *BodyReader) allTrailers() error {
	for name := range strings.SplitSeq(b.auth.trailers, ",") {
		if name = strings.TrimSpace(name); name != "" && b.trailer[textproto.CanonicalMIMEHeaderKey(name)] == nil {
			return badTrailer()
		}
	}
	return nil
}

func announced(names, name string) bool {
	for n := range strings.SplitSeq(names, ",") {
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return true
		}
	}
	return false
}

// endLine reads the blank line at the end, which may be missing.
func (b *BodyReader) endLine() error {
	line, err := readLine(b.st.br, chunkLineMax)
	if err == errEnd {
		return nil
	}
	if err == nil && len(line) != 0 {
		return badChunk("bytes follow the last chunk")
	}
	return err
}

// end makes sure that nothing follows but one more blank line: some clients count one too many.
// It returns io.EOF if so.
func (b *BodyReader) end() error {
	if err := b.endLine(); err != nil {
		return err
	}
	if _, err := b.st.br.ReadByte(); err != nil {
		return err
	}
	return badChunk("bytes follow the last chunk")
}

// errEnd is readLine's answer at the very end of a body, where a caller may take it for a blank line.
var errEnd error = incomplete(nil)

// readLine reads a line of at most most bytes, without its CRLF or LF. It is valid until the next read.
func readLine(br *bufio.Reader, most int) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, errEnd
	case err == bufio.ErrBufferFull:
		return nil, badChunk("a line is too long")
	case err != nil:
		return nil, cut(err)
	}
	line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
	if len(line) > most {
		return nil, badChunk("a line is too long")
	}
	return line, nil
}

// parseChunkLine reads hex-size[;extension]. The size is below 2^60.
func parseChunkLine(line []byte) (size int64, extension []byte, ok bool) {
	digits, extension, _ := bytes.Cut(line, []byte{';'})
	if len(digits) == 0 || len(digits) > 15 {
		return 0, nil, false
	}
	for _, c := range digits {
		d := unhex(c)
		if d > 15 {
			return 0, nil, false
		}
		size = size<<4 | int64(d)
	}
	return size, extension, true
}

// cut makes an error of reading in the middle of something: the end is IncompleteBody, others stay.
func cut(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return incomplete(err)
	}
	return err
}

func badChunk(what string) error {
	return fail(InvalidRequest, "The body is not well-formed aws-chunked: "+what+".")
}

func badTrailer() error {
	return fail(MalformedTrailer, "The request contained trailing data that was not well-formed or did not conform to our published schema.")
}
