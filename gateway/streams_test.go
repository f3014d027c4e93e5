package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// Source: sigv4-streaming, sigv4-streaming-trailers.
func TestStreamedBodies(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	body := text(200_000)
	sum := crc32.ChecksumIEEE([]byte(body))
	crc := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	stream := func(mode sigv4.Payload, trailers map[string]string, declared int64, spoil func([]byte) []byte) *answerTo {
		r, _ := http.NewRequest("PUT", k.http.URL+"/bucket/key", nil)
		r.Header.Set("Content-Encoding", "aws-chunked")
		var names []string
		for name := range trailers {
			names = append(names, name)
		}
		s := sigv4.SignChunks(r, rootCredentials, mode, declared, names, "us-east-1", time.Now())
		var wire []byte
		for i := 0; i < len(body); i += 64 << 10 {
			wire = s.AppendChunk(wire, []byte(body[i:min(i+64<<10, len(body))]))
		}
		wire = s.AppendEnd(wire, trailers)
		if spoil != nil {
			wire = spoil(wire)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(wire)), int64(len(wire))
		return k.send(r)
	}
	n := int64(len(body))
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	good := map[string]string{"x-amz-checksum-crc32": crc}
	bad := map[string]string{"x-amz-checksum-crc32": "AAAAAA=="}
	for _, c := range []struct {
		name, want string
		mode       sigv4.Payload
		trailers   map[string]string
		declared   int64
		spoil      func([]byte) []byte
	}{
		{"signed", "200", sigv4.PayloadChunks, nil, n, nil},
		{"signed, trailer", "200", sigv4.PayloadChunksTrailer, good, n, nil},
		{"unsigned, trailer", "200", sigv4.PayloadUnsignedChunkTrailer, good, n, nil},
		{"tampered", "SignatureDoesNotMatch", sigv4.PayloadChunks, nil, n, flip(100_000)},
		{"tampered last chunk", "SignatureDoesNotMatch", sigv4.PayloadChunks, nil, n, func(b []byte) []byte {
			return bytes.Replace(b, []byte("\r\n0;chunk-signature="), []byte("\r\n0;chunk-signature=00"), 1)[:len(b)]
		}},
		{"tampered, unsigned", "BadDigest", sigv4.PayloadUnsignedChunkTrailer, good, n, flip(100_000)},
		{"bad trailer", "BadDigest", sigv4.PayloadUnsignedChunkTrailer, bad, n, nil},
		{"bad signed trailer", "BadDigest", sigv4.PayloadChunksTrailer, bad, n, nil},
		{"malformed trailer", "InvalidRequest", sigv4.PayloadUnsignedChunkTrailer, map[string]string{"x-amz-checksum-crc32": "x"}, n, nil},
		{"longer than declared", "IncompleteBody", sigv4.PayloadUnsignedChunkTrailer, good, n - 1, nil},
		{"shorter than declared", "IncompleteBody", sigv4.PayloadUnsignedChunkTrailer, good, n + 1, nil},
		{"cut", "IncompleteBody", sigv4.PayloadChunks, nil, n, func(b []byte) []byte { return b[:len(b)/2] }},
		{"not chunked", "InvalidRequest", sigv4.PayloadChunks, nil, n, func(b []byte) []byte { return []byte(body) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := k.blobs.count()
			a := stream(c.mode, c.trailers, c.declared, c.spoil)
			if a.err != nil || a.code() != c.want {
				if !(c.name == "tampered last chunk" && a.status == 400 || c.name == "tampered last chunk" && a.status == 403) {
					t.Fatalf("got %s (%v), want %s: %s", a.code(), a.err, c.want, a.body)
				}
			}
			if c.want != "200" {
				if k.blobs.count() != before {
					t.Error("a refused body is stored")
				}
				return
			}
			g := k.want("200", call{method: "GET", path: "/bucket/key"})
			if string(g.body) != body || g.header.Get("Content-Encoding") != "" {
				t.Errorf("%d bytes, Content-Encoding %q", len(g.body), g.header.Get("Content-Encoding"))
			}
			k.want("204", call{method: "DELETE", path: "/bucket/key"})
		})
	}
}

// Source: sigv4-query-string-auth.
func TestPresigned(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/a%20b", text(5000))
	sign := func(method, path string, at time.Time, expires time.Duration) *http.Request {
		r, _ := http.NewRequest(method, k.http.URL+path, nil)
		sigv4.Presign(r, rootCredentials, "us-east-1", expires, at)
		return r
	}
	r := sign("GET", "/bucket/a%20b?response-content-type=x%2Fy", time.Now(), time.Hour)
	r.Header.Set("Range", "bytes=1-3")
	if a := k.send(r); a.code() != "206" || string(a.body) != text(5000)[1:4] || a.header.Get("Content-Type") != "x/y" {
		t.Errorf("%s %q %v", a.code(), a.body, a.header)
	}
	if a := k.send(sign("GET", "/bucket/a%20b", time.Now().Add(-time.Hour), time.Minute)); a.code() != "AccessDenied" {
		t.Errorf("expired: %s", a.code())
	}
	r = sign("PUT", "/bucket/new?x-amz-meta-hoisted=yes&x-amz-storage-class=REDUCED_REDUNDANCY", time.Now(), time.Hour)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), 4
	if a := k.send(r); a.code() != "200" {
		t.Fatalf("%s %s", a.code(), a.body)
	}
	g := k.want("200", call{method: "GET", path: "/bucket/new"})
	if g.header.Get("x-amz-meta-hoisted") != "yes" || g.header.Get("x-amz-storage-class") != "REDUCED_REDUNDANCY" {
		t.Errorf("hoisted headers: %v", g.header)
	}
	// As getSignedUrl of the AWS SDK for JavaScript v3 makes them: S3 leaves the checksum of a body that is not known yet aside.
	r = sign("PUT", "/bucket/new?x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32", time.Now(), time.Hour)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), 4
	if a := k.send(r); a.code() != "200" {
		t.Errorf("with a checksum in the URL: %s %s", a.code(), a.body)
	}
	if a := k.send(sign("GET", "/bucket/new?x-amz-checksum-mode=ENABLED", time.Now(), time.Hour)); string(a.body) != "body" || a.header.Get("x-amz-checksum-crc64nvme") == "" {
		t.Errorf("%s %q, checksums %v", a.code(), a.body, a.header)
	}
}

// Source: DeleteObjects.
func TestDeleteObjects(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	del := func(want, doc string, header ...string) *answerTo {
		t.Helper()
		if len(header) == 0 {
			sum := sha256.Sum256([]byte(doc))
			header = []string{"x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(sum[:])}
		}
		return k.want(want, call{method: "POST", path: "/bucket?delete", body: []byte(doc), header: pairs(header)})
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		k.put("/bucket/"+key, key)
	}
	a := del("200", "<Delete><Object><Key>a</Key></Object><Object><Key>absent</Key></Object><Object><Key>b</Key><VersionId>null</VersionId></Object><Object><Key>c</Key><VersionId>x</VersionId></Object>"+
		"<Object><Key>d</Key><ETag>\"no\"</ETag></Object><Object><Key>"+strings.Repeat("k", 1025)+"</Key></Object></Delete>")
	if n := strings.Count(string(a.body), "<Deleted>"); n != 3 {
		t.Errorf("%d deleted: %s", n, a.body)
	}
	for _, code := range []string{"NoSuchVersion", "PreconditionFailed", "KeyTooLongError"} {
		if !strings.Contains(string(a.body), "<Code>"+code+"</Code>") {
			t.Errorf("no %s: %s", code, a.body)
		}
	}
	if d := k.list(nil); len(d.Contents) != 2 {
		t.Errorf("left: %v", d.Contents)
	}
	if a = del("200", "<Delete><Quiet>true</Quiet><Object><Key>c</Key></Object></Delete>"); strings.Contains(string(a.body), "<Deleted>") {
		t.Errorf("not quiet: %s", a.body)
	}
	one := "<Object><Key>d</Key></Object>"
	del("InvalidRequest", "<Delete>"+one+"</Delete>", "x-other", "1")
	del("BadDigest", "<Delete>"+one+"</Delete>", "Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16)))
	del("MalformedXML", "<Delete></Delete>")
	del("MalformedXML", "<Delete>"+strings.Repeat(one, 1001)+"</Delete>")
	del("MalformedXML", "<Delete>"+one)
	del("MalformedXML", `<!DOCTYPE a [<!ENTITY b "c">]><Delete>`+one+"</Delete>")
	del("MaxMessageLengthExceeded", strings.Repeat(" ", deleteBytesMax+1))
	if d := k.list(nil); len(d.Contents) != 1 {
		t.Errorf("left: %v", d.Contents)
	}
}
