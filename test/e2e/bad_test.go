package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// badRequest is one that must be refused, with S3's code.
type badRequest struct {
	name   string
	codes  string // those allowed, separated by spaces; "-": any refusal without a body, or a closed connection
	status int    // 0: any from 400 to 499
	make   func(c *s3) *http.Request
}

// signed makes a request whose parts change may bend before it is signed, and after.
func signed(c *s3, method, path string, body []byte, before, after func(*http.Request)) *http.Request {
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	if before != nil {
		before(req)
	}
	sum := sha256.Sum256(body)
	sigv4.Sign(req, c.cred, hex.EncodeToString(sum[:]), "us-east-1", time.Now())
	if after != nil {
		after(req)
	}
	return req
}

func signedAt(c *s3, at time.Time) *http.Request {
	req := signed(c, "PUT", "/bad/k", nil, nil, nil)
	req.Header.Del("Authorization")
	sigv4.Sign(req, c.cred, sigv4.EmptySHA256, "us-east-1", at)
	return req
}

func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// plainPut is a PUT of a small body with one header more.
func plainPut(name, value string) func(c *s3) *http.Request {
	return func(c *s3) *http.Request {
		return signed(c, "PUT", "/bad/k", []byte("body"), setHeader(name, value), nil)
	}
}

func get(path string) func(c *s3) *http.Request {
	return func(c *s3) *http.Request { return signed(c, "GET", path, nil, nil, nil) }
}

func putTo(path string) func(c *s3) *http.Request {
	return func(c *s3) *http.Request { return signed(c, "PUT", path, []byte("x"), nil, nil) }
}

func post(path, body string) func(c *s3) *http.Request {
	sum := md5.Sum([]byte(body))
	withMD5 := setHeader("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	return func(c *s3) *http.Request { return signed(c, "POST", path, []byte(body), withMD5, nil) }
}

// tampered is an aws-chunked upload with one byte of its second chunk changed.
func tampered(c *s3) *http.Request {
	body := content(4, 200_000)
	req, _ := http.NewRequest("PUT", c.base+"/bad/k", nil)
	signer := sigv4.SignChunks(req, c.cred, sigv4.PayloadChunks, int64(len(body)), nil, "us-east-1", time.Now())
	var wire []byte
	for off := 0; off < len(body); off += 64 << 10 {
		wire = signer.AppendChunk(wire, body[off:min(off+64<<10, len(body))])
	}
	wire = signer.AppendEnd(wire, nil)
	wire[100_000] ^= 1
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(wire)), int64(len(wire))
	return req
}

func badRequests() []badRequest {
	long := strings.Repeat("x", 1025)
	return []badRequest{
		{"wrong signature", "SignatureDoesNotMatch", 403, func(c *s3) *http.Request {
			return signed(c, "PUT", "/bad/k", []byte("x"), nil, func(r *http.Request) { r.URL.Path = "/bad/other" })
		}},
		{"unknown key", "InvalidAccessKeyId", 403, func(c *s3) *http.Request {
			d := *c
			d.cred.AccessKey = "NOBODY"
			return signed(&d, "PUT", "/bad/k", nil, nil, nil)
		}},
		{"anonymous", "AccessDenied", 403, func(c *s3) *http.Request {
			return signed(c, "PUT", "/bad/k", nil, nil, func(r *http.Request) { r.Header = http.Header{} })
		}},
		{"clock in the past", "RequestTimeTooSkewed", 403, func(c *s3) *http.Request { return signedAt(c, time.Now().Add(-time.Hour)) }},
		{"clock in the future", "RequestTimeTooSkewed", 403, func(c *s3) *http.Request { return signedAt(c, time.Now().Add(time.Hour)) }},
		{"expired link", "AccessDenied", 403, func(c *s3) *http.Request {
			req, _ := http.NewRequest("GET", c.base+"/bad/k", nil)
			sigv4.Presign(req, c.cred, "us-east-1", time.Second, time.Now().Add(-time.Minute))
			return req
		}},
		{"half an authorization", "AuthorizationHeaderMalformed InvalidArgument AccessDenied", 0, func(c *s3) *http.Request {
			return signed(c, "PUT", "/bad/k", nil, nil, setHeader("Authorization", "AWS4-HMAC-SHA256 Credential="))
		}},
		{"tampered chunk", "SignatureDoesNotMatch", 403, tampered},
		{"other body", "XAmzContentSHA256Mismatch", 400, func(c *s3) *http.Request {
			return signed(c, "PUT", "/bad/k", []byte("body"), nil, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("ydob")) })
		}},
		{"bad Content-MD5", "BadDigest", 400, plainPut("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")},
		{"no Content-MD5", "InvalidDigest", 400, plainPut("Content-MD5", "nonsense")},
		{"bad checksum", "BadDigest", 400, plainPut("x-amz-checksum-crc32", "AAAAAA==")},
		{"no checksum", "InvalidRequest", 400, plainPut("x-amz-checksum-crc32", "AA")},
		{"no such bucket", "NoSuchBucket", 404, putTo("/nowhere/k")},
		{"bucket name", "InvalidBucketName", 400, putTo("/Bad_Name")},
		{"short bucket name", "InvalidBucketName", 400, putTo("/ab")},
		{"key too long", "KeyTooLongError", 400, putTo("/bad/" + long)},
		{"key no UTF-8", "InvalidURI InvalidArgument", 400, putTo("/bad/%ff%fe")},
		{"metadata too large", "MetadataTooLarge", 400, plainPut("x-amz-meta-a", strings.Repeat("x", 3000))},
		{"malformed delete", "MalformedXML", 400, post("/bad?delete=", "<Delete><Object>")},
		{"delete of nothing", "MalformedXML", 400, post("/bad?delete=", "<Delete></Delete>")},
		{"not XML", "MalformedXML", 400, post("/bad?delete=", "{}")},
		{"entities", "MalformedXML", 400, post("/bad?delete=", `<!DOCTYPE d [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>`)},
		{"no such upload", "NoSuchUpload", 404, post("/bad/k?uploadId=none", "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>")},
		{"no parts", "MalformedXML NoSuchUpload", 0, post("/bad/k?uploadId=none", "<CompleteMultipartUpload></CompleteMultipartUpload>")},
		{"part 0", "InvalidArgument", 400, putTo("/bad/k?partNumber=0&uploadId=x")},
		{"part 10001", "InvalidArgument", 400, putTo("/bad/k?partNumber=10001&uploadId=x")},
		{"part NaN", "InvalidArgument", 400, putTo("/bad/k?partNumber=one&uploadId=x")},
		{"max-keys", "InvalidArgument", 400, get("/bad?list-type=2&max-keys=-1")},
		{"token", "InvalidArgument", 400, get("/bad?continuation-token=!&list-type=2")},
		{"encoding-type", "InvalidArgument", 400, get("/bad?encoding-type=rot13&list-type=2")},
		{"no such key", "NoSuchKey", 404, get("/bad/none")},
		{"too large", "EntityTooLarge", 400, func(c *s3) *http.Request {
			return signed(c, "PUT", "/bad/k", nil, nil, func(r *http.Request) {
				r.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
				sigv4.Sign(r, c.cred, sigv4.UnsignedPayload, "us-east-1", time.Now())
				r.ContentLength = 6 << 40
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), never{}))
				r.Header.Set("Expect", "100-continue")
			})
		}},
		{"not there yet", "NotImplemented", 501, get("/bad?analytics=&id=x")},
		{"unknown method", "MethodNotAllowed", 405, func(c *s3) *http.Request { return signed(c, "PATCH", "/bad/k", nil, nil, nil) }},
		{"if-match of nothing", "NoSuchKey PreconditionFailed", 0, plainPut("If-Match", `"0123"`)},
		{"bad copy source", "InvalidArgument NoSuchBucket", 0, plainPut("x-amz-copy-source", "%zz")},
	}
}

// never is a body that does not end and gives nothing.
type never struct{}

func (never) Read([]byte) (int, error) { return 0, io.EOF }

// refuse does b and says what is wrong with the refusal.
func (b *badRequest) refuse(c *s3) error {
	res, err := c.http.Do(b.make(c))
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	got := parseError(res.StatusCode, body)
	fits := res.StatusCode == b.status || (b.status == 0 && res.StatusCode >= 400 && res.StatusCode < 500)
	if !fits || code(got) == "" || !strings.Contains(" "+b.codes+" ", " "+code(got)+" ") {
		return fmt.Errorf("%s: %w, want %d %s", b.name, got, b.status, b.codes)
	}
	return nil
}

// TestBadRequests sends 10,000 of them: S3's code for each, nothing stored, nothing leaked.
func TestBadRequests(t *testing.T) {
	s := start(t, options{})
	c := s.client()
	must(t, c.makeBucket("bad"))
	all := badRequests()
	for i := range all {
		if err := all[i].refuse(c); err != nil {
			t.Error(err)
		}
	}
	if res, err := c.http.Get(s.url() + "/_/admin/v1/status"); err != nil || res.StatusCode != 403 {
		t.Errorf("the admin API without a signature: %v, %v", res, err)
	}
	rawRefusals(t, s)
	if t.Failed() {
		t.FailNow()
	}
	c.http.CloseIdleConnections()
	before := settled(t, s)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			c := s.client()
			defer c.http.CloseIdleConnections()
			for i := w; i < 10_000; i += 16 {
				if err := all[i%len(all)].refuse(c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	release := slowLoris(t, s, 300)
	wg.Wait()
	must(t, c.put("bad", "good", []byte("good"))) // served beside them
	must(t, c.remove("bad", "good"))
	release()
	c.http.CloseIdleConnections()
	eventually(t, 60*time.Second, "goroutines back at their level", func() error {
		now, err := s.metric("go_goroutines")
		if err == nil && now > before.goroutines+20 {
			err = fmt.Errorf("%.0f goroutines, %.0f before", now, before.goroutines)
		}
		return err
	})
	after := settled(t, s)
	if grown := after.memory - before.memory; grown > 96<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	listed, err := c.list("bad", "")
	must(t, err)
	st, err := s.status()
	must(t, err)
	if len(listed) > 0 || st.Usage.Objects != 0 || st.Usage.Uploads != 0 {
		t.Errorf("something was stored: %v, %+v", listed, st.Usage)
	}
}

// level is what must not grow.
type level struct {
	goroutines float64
	memory     int64
}

func settled(t *testing.T, s *server) level {
	t.Helper()
	var l level
	last := -1.0
	eventually(t, 20*time.Second, "a steady number of goroutines", func() error {
		now, err := s.metric("go_goroutines")
		if err != nil {
			return err
		}
		same := now == last
		last = now
		if !same {
			return fmt.Errorf("%.0f now", now)
		}
		return nil
	})
	l.goroutines, l.memory = last, s.memory()
	return l
}

// rawRefusals sends what no HTTP client sends.
func rawRefusals(t *testing.T, s *server) {
	t.Helper()
	c := s.client()
	head := func(extra string, length int) string {
		req := signed(c, "PUT", "/bad/k", bytes.Repeat([]byte("x"), 10), nil, nil)
		var b strings.Builder
		fmt.Fprintf(&b, "PUT /bad/k HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", req.URL.Host, length)
		for k, v := range req.Header {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v[0])
		}
		return b.String() + extra + "\r\n"
	}
	for name, r := range map[string]struct{ send, want string }{
		"short body":       {head("", 10) + "xxx", ""},
		"huge header":      {"GET /bad/k HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 4<<20) + "\r\n\r\n", " 4"},
		"many headers":     {"GET /bad/k HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 1<<20) + "\r\n", " 4"},
		"no length":        {strings.Replace(head("", 10), "Content-Length: 10\r\n", "", 1), " 4"},
		"two lengths":      {head("Content-Length: 11\r\n", 10), " 400"},
		"length and TE":    {head("Transfer-Encoding: chunked\r\n", 10) + "zz\r\n", ""},
		"not HTTP":         {"\x16\x03\x01\x02\x00", ""},
		"bad request line": {"GET\r\n\r\n", " 400"},
		"bad escape":       {"GET /bad/%zz HTTP/1.1\r\nHost: x\r\n\r\n", " 400"},
		"null byte":        {"GET /bad/\x00 HTTP/1.1\r\nHost: x\r\n\r\n", " 400"},
	} {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		must(t, err)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		go io.Copy(conn, strings.NewReader(r.send))
		if r.want == "" { // what matters is that nothing is stored and nothing stays
			await(20 * time.Millisecond)
			conn.Close()
			continue
		}
		first := make([]byte, 64)
		n, _ := io.ReadAtLeast(conn, first, 13)
		if !strings.Contains(string(first[:n]), r.want) {
			t.Errorf("%s: answer %q, want%s", name, first[:n], r.want)
		}
		conn.Close()
	}
}

// slowLoris holds n connections that send a header without end; release closes them.
func slowLoris(t *testing.T, s *server, n int) (release func()) {
	t.Helper()
	var conns []net.Conn
	for range n {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "GET /bad/k HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		conns = append(conns, conn)
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}
