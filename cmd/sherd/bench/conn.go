package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// errTransport is a connection that failed, or an answer that is not HTTP.
var errTransport = errors.New("bench: connection failed")

// StatusError is an answer other than 2xx.
type StatusError struct {
	Status int
	Code   string // S3's, or "HTTP 404" where there was no body
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Code, e.Status) }

// target is where requests go.
type target struct {
	addr    string // host:port to dial
	host    string // as in the Host header
	tls     *tls.Config
	timeout time.Duration // of one request
}

func newTarget(endpoint string, timeout time.Duration, insecure bool) (*target, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("bench: endpoint %q is not http://host:port", endpoint)
	}
	t := &target{addr: u.Host, host: u.Host, timeout: timeout}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
		t.tls = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: insecure, NextProtos: []string{"http/1.1"}}
	}
	if u.Port() == "" {
		t.addr = net.JoinHostPort(u.Hostname(), port)
	}
	return t, nil
}

func (t *target) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: t.timeout}
	if t.tls != nil {
		return tls.DialWithDialer(&d, "tcp", t.addr, t.tls)
	}
	return d.Dial("tcp", t.addr)
}

const (
	readBytes  = 64 << 10
	errorBytes = 64 << 10 // of an error's XML that are read
)

// request is one S3 request. Path and Query are in canonical form: what is signed is what is sent.
type request struct {
	method, path, query string
	extra               []byte // further header lines, each ended by CRLF
	body                *Body  // or
	payload             []byte
	unsigned            bool
}

// response is the head of an answer.
type response struct {
	status  int
	length  int64 // of the body; -1 while chunked or until the connection ends
	chunked bool
	closed  bool // the server will close
	etag    []byte
}

// conn is one connection of one worker, with everything that it reuses.
type conn struct {
	to     *target
	sign   *signer
	hash   *Hasher
	nc     net.Conn
	in     *bufio.Reader
	out    []byte
	hex    [64]byte
	etag   [128]byte
	big    []byte
	expiry time.Time
}

func newConn(to *target, cred Credentials) *conn {
	return &conn{to: to, sign: newSigner(cred, to.host), hash: NewHasher(), in: bufio.NewReaderSize(nil, readBytes), out: make([]byte, 0, 16<<10)}
}

// close drops the connection; the next request dials again.
func (c *conn) close() {
	if c.nc != nil {
		c.nc.Close()
		c.nc = nil
	}
}

// do sends q and gives the answer's body to sink as it comes in, in pieces that are valid during the call.
// An answer other than 2xx is a *StatusError. Other errors wrap errTransport, or are sink's own, and the
// connection is dropped.
func (c *conn) do(q *request, sink func(p []byte) error) (response, error) {
	var res response
	sendErr := c.send(q)
	if c.nc == nil {
		return res, sendErr
	}
	// A server may refuse a body before it read it all: its answer says more than our broken pipe.
	res, err := c.readHead()
	if err == nil {
		err = c.readBody(q, res, sink)
	} else if sendErr != nil {
		err = sendErr
	}
	var status *StatusError
	if res.closed || sendErr != nil || (err != nil && !errors.As(err, &status)) {
		c.close()
	}
	return res, err
}

func (c *conn) send(q *request) error {
	now := time.Now()
	if c.nc == nil {
		nc, err := c.to.dial()
		if err != nil {
			return fmt.Errorf("%w: %w", errTransport, err)
		}
		c.nc, c.expiry = nc, time.Time{}
		c.in.Reset(nc)
	}
	// Moving the deadline for each request would cost more than it tells.
	if left := c.expiry.Sub(now); left < c.to.timeout {
		c.expiry = now.Add(c.to.timeout + time.Second)
		c.nc.SetDeadline(c.expiry)
	}
	b := c.head(now, q)
	b = append(b, q.payload...)
	off, size := int64(0), int64(0)
	if q.body != nil {
		size = q.body.Size
		for int64(cap(b)-len(b)) >= size-off && off < size { // small: one write for all
			span := q.body.Span(off)
			b = append(b, span...)
			off += int64(len(span))
		}
	}
	c.out = b[:0]
	if _, err := c.nc.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errTransport, err)
	}
	for off < size {
		span := q.body.Span(off)
		if _, err := c.nc.Write(span); err != nil {
			return fmt.Errorf("%w: %w", errTransport, err)
		}
		off += int64(len(span))
	}
	return nil
}

// head is q's request line and headers, in c.out.
func (c *conn) head(now time.Time, q *request) []byte {
	b := append(c.out[:0], q.method...)
	b = append(append(b, ' '), q.path...)
	if q.query != "" {
		b = append(append(b, '?'), q.query...)
	}
	b = append(append(b, " HTTP/1.1\r\nHost: "...), c.to.host...)
	b = append(b, "\r\nUser-Agent: sherd-bench\r\n"...)
	size := int64(len(q.payload))
	if q.body != nil {
		size = q.body.Size
	}
	if q.method == "PUT" || q.method == "POST" {
		b = strconv.AppendInt(append(b, "Content-Length: "...), size, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, q.extra...)
	b = c.sign.appendHeaders(b, now, q.method, q.path, q.query, c.payloadHash(q))
	return append(b, "\r\n"...)
}

// readHead parses the status line and the headers that matter here.
func (c *conn) readHead() (response, error) {
	for {
		res, err := c.readOneHead()
		if err != nil || res.status >= 200 {
			return res, err
		}
	}
}

func (c *conn) readOneHead() (response, error) {
	res := response{length: -1}
	line, err := c.line()
	if err != nil {
		return res, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return res, fmt.Errorf("%w: status line %.40q", errTransport, line)
	}
	res.status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	for {
		if line, err = c.line(); err != nil {
			return res, err
		}
		if len(line) == 0 {
			return res, nil
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimSpace(value)
		switch {
		case foldEqual(name, "content-length"):
			res.length = atoi(value)
		case foldEqual(name, "etag"):
			res.etag = append(c.etag[:0], bytes.Trim(value, `"`)...)
		case foldEqual(name, "transfer-encoding"):
			res.chunked = foldEqual(value, "chunked")
		case foldEqual(name, "connection"):
			res.closed = foldEqual(value, "close")
		}
	}
}

// foldEqual is bytes.EqualFold without a conversion; lower is lower-case.
func foldEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, ch := range b {
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch != lower[i] {
			return false
		}
	}
	return true
}

func atoi(b []byte) int64 {
	n := int64(0)
	for _, ch := range b {
		if ch < '0' || ch > '9' || n > 1<<50 {
			return -1
		}
		n = n*10 + int64(ch-'0')
	}
	return n
}

func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTransport, err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// readBody hands the body to sink, or makes it the error it tells of.
func (c *conn) readBody(q *request, res response, sink func([]byte) error) error {
	var refusal []byte
	failed := res.status >= 300
	if failed {
		sink = func(p []byte) error {
			if len(refusal) < errorBytes {
				refusal = append(refusal, p...)
			}
			return nil
		}
	}
	var err error
	switch {
	case q.method == "HEAD" || res.status == 204 || res.status == 304:
	case res.chunked:
		err = c.readChunks(sink)
	case res.length >= 0:
		err = c.readN(res.length, sink)
	default:
		err = fmt.Errorf("%w: an answer without a length", errTransport)
	}
	if failed && err == nil {
		err = &StatusError{Status: res.status, Code: errorCode(res.status, refusal)}
	}
	return err
}

func errorCode(status int, xml []byte) string {
	if _, rest, ok := bytes.Cut(xml, []byte("<Code>")); ok {
		if code, _, ok := bytes.Cut(rest, []byte("</Code>")); ok && len(code) < 100 {
			return string(code)
		}
	}
	return "HTTP " + strconv.Itoa(status)
}

func (c *conn) readChunks(sink func([]byte) error) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte{';'})
		n, err := strconv.ParseInt(string(size), 16, 48)
		if err != nil {
			return fmt.Errorf("%w: chunk size %.40q", errTransport, line)
		}
		if err := c.readN(n, sink); err != nil {
			return err
		}
		if line, err = c.line(); err != nil || (n == 0 && len(line) == 0) {
			return err
		}
		for n == 0 && len(line) > 0 { // trailers
			if line, err = c.line(); err != nil {
				return err
			}
			if len(line) == 0 {
				return nil
			}
		}
	}
}

// readN hands n bytes to sink: large bodies past the bufio.Reader, so that they are not copied twice.
func (c *conn) readN(n int64, sink func([]byte) error) error {
	for n > 0 {
		var p []byte
		if buffered := c.in.Buffered(); buffered == 0 && n >= readBytes {
			if c.big == nil {
				c.big = make([]byte, spanBytes)
			}
			got, err := c.nc.Read(c.big[:min(n, spanBytes)])
			if got == 0 && err != nil {
				return fmt.Errorf("%w: %w", errTransport, noEOF(err))
			}
			p = c.big[:got]
		} else {
			if buffered == 0 {
				if _, err := c.in.Peek(1); err != nil {
					return fmt.Errorf("%w: %w", errTransport, noEOF(err))
				}
			}
			p, _ = c.in.Peek(int(min(n, int64(c.in.Buffered()))))
			c.in.Discard(len(p))
		}
		n -= int64(len(p))
		if sink == nil {
			continue
		}
		if err := sink(p); err != nil {
			return err
		}
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
