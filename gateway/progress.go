package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
)

const (
	// slowest is the rate, in bytes a second, at which a client may take a large piece of an answer.
	slowest = 4 << 10
	// progressBytes is what must have come for a body to count as moving.
	progressBytes = 1 << 10
	largePiece    = 64 << 10
)

// deadline is a connection's deadline in one direction, moved forward by progress. Moving it costs some
// 0.2 µs, so it is moved eight times in its span at most.
type deadline struct{ moved time.Time }

// extend gives a write of n bytes its time.
func (d *deadline) extend(w http.ResponseWriter, idle time.Duration, n int) {
	now := time.Now()
	if n < largePiece && now.Sub(d.moved) < idle/8 {
		return
	}
	d.moved = now
	limit := now.Add(idle + time.Duration(n/slowest)*time.Second)
	_ = http.NewResponseController(w).SetWriteDeadline(limit) // where there is no connection there is no deadline
}

// lingerMax is how long a client may take to send the rest of a body that was refused.
const lingerMax = 2 * time.Second

// linger limits the time that net/http reads, and throws away, what is left of a small body so that its client sees the
// answer.
func (r *request) linger() {
	if r.http.ContentLength != 0 && !r.read {
		_ = http.NewResponseController(r.w).SetReadDeadline(time.Now().Add(min(lingerMax, r.s.opt.IdleTimeout/4)))
	}
}

// liveBody is a request's body on the wire. A client that sends nothing for the idle time-out is cut off;
// one that is slow but alive is not.
type liveBody struct {
	r     *request
	moved time.Time
	since int64 // bytes since moved
}

// limitBody gives the request's body its first deadline, whether anybody reads it or not: net/http reads what is left
// of a small body before it answers, and would wait for ever.
func (r *request) limitBody() {
	if r.http.ContentLength != 0 {
		_ = http.NewResponseController(r.w).SetReadDeadline(r.began.Add(r.s.opt.IdleTimeout))
	}
}

func (b *liveBody) Read(p []byte) (int, error) {
	idle := b.r.s.opt.IdleTimeout
	n, err := b.r.http.Body.Read(p)
	b.r.in += int64(n)
	b.since += int64(n)
	if err != nil {
		if errors.Is(err, io.EOF) {
			b.r.read = true
			// While the deadline stands, net/http takes its passing for the client's end.
			_ = http.NewResponseController(b.r.w).SetReadDeadline(time.Time{})
		}
		return n, err
	}
	if now := time.Now(); b.since >= progressBytes && now.Sub(b.moved) > idle/8 {
		b.moved, b.since = now, 0
		_ = http.NewResponseController(b.r.w).SetReadDeadline(now.Add(idle))
	}
	return n, nil
}

// Close does nothing: net/http closes the body.
func (b *liveBody) Close() error { return nil }

// openBody returns the body as the client meant it, and its size. The body must be closed.
func (r *request) openBody() (*sigv4.BodyReader, int64, error) {
	size := r.auth.DecodedBytes
	if size < 0 || r.unannounced() {
		return nil, 0, errMissingContentLength
	}
	if size > object.BodyBytesMax {
		return nil, 0, errEntityTooLarge.with(extra("ProposedSize", size), extra("MaxSizeAllowed", int64(object.BodyBytesMax)))
	}
	if err := r.admitBody(size); err != nil {
		return nil, 0, err
	}
	body, err := r.auth.Body(&liveBody{r: r, moved: r.began})
	return body, size, err
}

// unannounced reports whether the client says nothing of a body's length. HTTP/1.1 takes that for a body of none, S3 for a
// mistake: an object would be emptied by a client that lost the header on its way. In HTTP/2 an empty body needs none.
func (r *request) unannounced() bool {
	return r.http.ContentLength == 0 && r.http.ProtoMajor == 1 && len(r.http.Header["Content-Length"]) == 0
}

// docDigest is what the checksum headers of a request with a document mean.
type docDigest uint8

const (
	digestOptional docDigest = iota
	digestRequired           // Content-MD5 or a checksum of the document must be there
	digestOfObject           // the checksum headers are those of an object, not of the document
)

// readDocument reads a small body whole, with its digests checked.
func (r *request) readDocument(maxBytes int64, digest docDigest) ([]byte, error) {
	size := r.auth.DecodedBytes
	switch {
	case size < 0:
		return nil, errMissingContentLength
	case size > maxBytes:
		return nil, errRequestTooLarge.with(extra("MaxMessageLengthBytes", maxBytes))
	}
	contentMD5, err := r.contentMD5()
	if err != nil {
		return nil, err
	}
	var want object.Want
	if digest != digestOfObject {
		if want, err = r.checksumWanted(); err != nil {
			return nil, err
		}
	}
	if digest == digestRequired && contentMD5 == nil && want.Value == nil && want.Trailer == nil {
		return nil, errMissingMD5
	}
	if err := r.admitBody(size); err != nil {
		return nil, err
	}
	body, err := r.auth.Body(&liveBody{r: r, moved: r.began})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	bindTrailer(&want, body)
	return r.s.opt.Objects.ReadDocument(body, size, contentMD5, want)
}
