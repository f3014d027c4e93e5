package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/poll"
)

func sha(b string) string {
	sum := sha256.Sum256([]byte(b))
	return hex.EncodeToString(sum[:])
}

// nothing fails the test if anything is stored.
func (k *kit) nothing() {
	k.t.Helper()
	if n := k.blobs.count(); n != 0 {
		k.t.Errorf("%d bodies are stored", n)
	}
	if d := k.list(nil); len(d.Contents) != 0 {
		k.t.Errorf("%d keys are listed", len(d.Contents))
	}
}

// Source: sig-v4-authenticating-requests; "Error responses". For each: the code, and that nothing is stored.
func TestBadRequestsStoreNothing(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	small, large := text(100), text(100_000)
	put := call{method: "PUT", path: "/bucket/key", body: []byte(large)}
	with := func(change func(*call)) call {
		c := put
		change(&c)
		return c
	}
	for _, c := range []struct {
		name, want string
		call       call
	}{
		{"anonymous", "AccessDenied", with(func(c *call) { c.anonymous = true })},
		{"not root", "AccessDenied", with(func(c *call) { c.credentials = &sigv4.Credentials{AccessKey: "guest", Secret: "guestsecret"} })},
		{"unknown key", "InvalidAccessKeyId", with(func(c *call) { c.credentials = &sigv4.Credentials{AccessKey: "nobody", Secret: "x"} })},
		{"wrong secret", "SignatureDoesNotMatch", with(func(c *call) { c.credentials = &sigv4.Credentials{AccessKey: rootKey, Secret: "x"} })},
		{"session token", "InvalidToken", with(func(c *call) {
			c.credentials = &sigv4.Credentials{AccessKey: rootKey, Secret: rootSecret, SessionToken: "x"}
		})},
		{"changed path", "SignatureDoesNotMatch", with(func(c *call) { c.change = func(r *http.Request) { r.URL.Path += "x" } })},
		{"changed query", "SignatureDoesNotMatch", with(func(c *call) { c.change = func(r *http.Request) { r.URL.RawQuery = "acl" } })},
		{"unsigned header", "AccessDenied", with(func(c *call) { c.change = func(r *http.Request) { r.Header.Set("x-amz-meta-a", "b") } })},
		{"changed header", "SignatureDoesNotMatch", with(func(c *call) {
			c.header = map[string]string{"x-amz-meta-a": "b"}
			c.change = func(r *http.Request) { r.Header.Set("x-amz-meta-a", "c") }
		})},
		{"malformed authorization", "AuthorizationHeaderMalformed", with(func(c *call) {
			c.change = func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 nonsense") }
		})},
		{"signed body changed", "XAmzContentSHA256Mismatch", with(func(c *call) { c.payload = sha("other") })},
		{"small signed body changed", "XAmzContentSHA256Mismatch", with(func(c *call) { c.payload, c.body = sha("other"), []byte(small) })},
		{"no length", "MissingContentLength", with(func(c *call) { c.length = -1 })},
		{"key too long", "KeyTooLongError", with(func(c *call) { c.path = "/bucket/" + strings.Repeat("k", 1025) })},
		{"not UTF-8", "InvalidURI", with(func(c *call) { c.path = "/bucket/%ff%fe" })},
		{"bad bucket", "InvalidBucketName", with(func(c *call) { c.path = "/..%2f/key" })},
		{"no bucket", "NoSuchBucket", with(func(c *call) { c.path = "/absent/key" })},
		{"method", "MethodNotAllowed", with(func(c *call) { c.method = "PATCH" })},
		{"long header", "431", with(func(c *call) { c.header = map[string]string{"x-amz-meta-a": strings.Repeat("x", 40<<10)} })},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := k.do(c.call)
			if a.code() != c.want && !(c.name == "long header" && a.err != nil) {
				t.Errorf("got %s (%v), want %s: %s", a.code(), a.err, c.want, a.body)
			}
			k.nothing()
		})
	}
	a := k.do(call{method: "PUT", path: "/bucket/key", body: []byte("x"), credentials: &sigv4.Credentials{AccessKey: rootKey, Secret: "x"}})
	if !strings.Contains(string(a.body), "<StringToSign>") || !strings.Contains(string(a.body), "<CanonicalRequest>") {
		t.Errorf("a mismatch does not say what was signed: %s", a.body)
	}
	res, err := k.raw(k.head(put, 5<<30+1, "Expect", "100-continue"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), "EntityTooLarge") {
		t.Errorf("too large: %s", body)
	}
	skewed := k.request(put)
	skewed.Header.Del("Authorization")
	sigv4.Sign(skewed, rootCredentials, sigv4.UnsignedPayload, "us-east-1", time.Now().Add(-time.Hour))
	if a := k.send(skewed); a.code() != "RequestTimeTooSkewed" {
		t.Errorf("skewed: %s", a.code())
	}
	k.nothing()
}

// raw sends bytes over a connection of their own and returns the first answer.
func (k *kit) raw(request string, then func(net.Conn)) (*http.Response, error) {
	conn, err := net.Dial("tcp", k.http.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	k.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(poll.Within))
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, err
	}
	if then != nil {
		then(conn)
	}
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

// head is a signed request's head, as it goes over the wire.
func (k *kit) head(c call, length int64, header ...string) string {
	r := k.request(c)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.method, r.URL.RequestURI(), r.Host)
	_ = r.Header.Write(&b)
	if length >= 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	return b.String() + "\r\n"
}

func TestShortBody(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, n := range []int{100, 100_000} {
		res, err := k.raw(k.head(call{method: "PUT", path: "/bucket/key"}, int64(n))+text(n/2), func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() })
		if err == nil && res.StatusCode != http.StatusBadRequest {
			t.Errorf("%d bytes: status %d", n, res.StatusCode)
		}
		k.nothing()
	}
}

func TestStalledBodyIsCutOff(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IdleTimeout = 2 * time.Second })
	k.makeBucket("bucket")
	res, err := k.raw(k.head(call{method: "PUT", path: "/bucket/key"}, 100_000)+text(50_000), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if !strings.Contains(string(body), "RequestTimeout") {
		t.Errorf("status %d: %s", res.StatusCode, body)
	}
	k.nothing()
	// A body that nobody asked for is not waited for either.
	wrong := call{method: "PUT", path: "/bucket/key", credentials: &sigv4.Credentials{AccessKey: rootKey, Secret: "x"}}
	res, err = k.raw(k.head(wrong, 100_000)+text(1000), nil)
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("wrong signature and a stalled body: %v %v", res, err)
	}
	res, err = k.raw("GET / HTTP/1.1\r\nHost: x\r\n", nil) // the head never ends
	if err == nil && res.StatusCode < 400 {
		t.Errorf("half a head: %d", res.StatusCode)
	}
}

// A slow upload that goes on lives longer than the time-out.
func TestSlowBodySurvives(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IdleTimeout = 6 * time.Second })
	k.makeBucket("bucket")
	body := text(20 << 10)
	res, err := k.raw(k.head(call{method: "PUT", path: "/bucket/key"}, int64(len(body))), func(c net.Conn) {
		for i := 0; i < len(body); i += 2 << 10 {
			_, _ = io.WriteString(c, body[i:i+2<<10])
			time.Sleep(700 * time.Millisecond) // time is what is tested: a client that is slow
		}
	})
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", res, err)
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != body {
		t.Error("other bytes")
	}
}

// A body is not asked for before its request was allowed.
func TestContinueOnlyAfterAuthentication(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	wrong := call{method: "PUT", path: "/bucket/key", credentials: &sigv4.Credentials{AccessKey: rootKey, Secret: "x"}}
	res, err := k.raw(k.head(wrong, 1<<20, "Expect", "100-continue"), nil)
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("wrong signature: %v %v", res, err)
	}
	res, err = k.raw(k.head(call{method: "PUT", path: "/bucket/key"}, 5, "Expect", "100-continue"), func(c net.Conn) {
		line := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
		if _, err := io.ReadFull(c, line); err != nil || !bytes.HasPrefix(line, []byte("HTTP/1.1 100")) {
			t.Errorf("%q %v", line, err)
		}
		_, _ = io.WriteString(c, "hello")
	})
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("after 100: %v %v", res, err)
	}
	k.want("200", call{method: "GET", path: "/bucket/key"})
}

// Thousands of bad requests leave no goroutine, no open read, no admitted byte and nothing stored.
func TestBadRequestsLeaveNothing(t *testing.T) {
	rounds := 300 // of ten; the soak test of the real binary does more
	if testing.Short() {
		rounds = 50
	}
	k := newKit(t)
	k.makeBucket("bucket")
	bad := []*http.Request{
		k.request(call{method: "PUT", path: "/bucket/key", body: []byte(text(100_000)), payload: sha("other")}),
		k.request(call{method: "PUT", path: "/bucket/key", body: []byte(text(100)), payload: sha("other")}),
		k.request(call{method: "PUT", path: "/bucket/key", body: []byte("x"), anonymous: true}),
		k.request(call{method: "PUT", path: "/bucket/key", body: []byte(text(300_000)), header: map[string]string{"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
		k.request(call{method: "GET", path: "/bucket/key"}),
		k.request(call{method: "GET", path: "/bucket?list-type=9"}),
		k.request(call{method: "POST", path: "/bucket?delete", body: []byte("<Delete>"), header: map[string]string{"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}}),
		k.request(call{method: "POST", path: "/bucket/key?uploadId=x", body: []byte("<a/>")}),
		k.request(call{method: "PUT", path: "/bucket/key?partNumber=99999&uploadId=x", body: []byte(text(70_000))}),
		k.request(call{method: "PUT", path: "/bucket/key?acl", body: []byte(text(70_000))}),
	}
	round := func() {
		for _, r := range bad {
			body, err := r.GetBody()
			check(t, err)
			r.Body = body
			if a := k.send(r); a.err == nil && a.status < 400 {
				t.Fatalf("%s %s: %d", r.Method, r.URL, a.status)
			}
		}
	}
	for range 5 {
		round()
	}
	before := runtime.NumGoroutine()
	for range rounds {
		round()
	}
	k.http.CloseClientConnections()
	poll.Nil(t, poll.Within, "the end of what they began", func() error {
		if n := runtime.NumGoroutine(); n > before {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return nil
	})
	if n := k.server.admit.held.Load(); n != 0 || k.objects.OpenReads().Count != 0 {
		t.Errorf("%d bytes held, %d reads open", n, k.objects.OpenReads().Count)
	}
	k.nothing()
}

// TestStrangersSendNoDocuments: a document is not waited for from nobody, where nobody may do anything with it.
func TestStrangersSendNoDocuments(t *testing.T) {
	k := newKit(t)
	for _, b := range []string{"closed", "open", "shared"} {
		k.makeBucket(b)
		k.put("/"+b+"/k", "body")
	}
	k.config("open", configPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:DeleteObjectVersion","s3:PutObjectTagging"],"Resource":"arn:aws:s3:::open/*"}]}`)
	k.config("shared", configOwnership, objectWriter)
	for _, c := range []struct {
		path   string
		status int // of the first answer to a head without its body
	}{
		{"POST /closed?delete", 403}, {"PUT /closed/k?tagging", 403}, {"PUT /closed/k?acl", 403}, {"PUT /closed/k?legal-hold", 403}, {"PUT /closed?tagging", 403}, {"PUT /new-bucket", 403},
		{"POST /open?delete", 100}, {"PUT /open/k?tagging", 100}, {"PUT /open?tagging", 403},
		{"POST /shared?delete", 403},
	} {
		res, err := k.raw(c.path+" HTTP/1.1\r\nHost: x\r\nContent-MD5: "+md5Of("")+"\r\nContent-Length: 8000\r\nExpect: 100-continue\r\n\r\n", nil)
		if err != nil || res.StatusCode != c.status {
			t.Errorf("%s: %v %v, want %d", c.path, res, err, c.status)
		}
	}
}
