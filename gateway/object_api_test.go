package gateway

import (
	"encoding/base64"
	"hash/crc32"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// Source: GetObject, HeadObject (S3 API reference); RFC 9110, 13.2.2 and 14.2.
func TestReadConditionsAndRanges(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	body := text(10_000)
	put := k.put("/bucket/key", body)
	k.put("/bucket/empty", "")
	etag := put.header.Get("ETag")
	now := time.Now().UTC()
	past, future := now.Add(-time.Hour).Format(http.TimeFormat), now.Add(time.Hour).Format(http.TimeFormat)
	for _, c := range []struct {
		name   string
		path   string
		header []string
		want   string
		body   string
		extra  string // Content-Range
	}{
		{"if-match", "/bucket/key", []string{"If-Match", etag}, "200", body, ""},
		{"if-match bare", "/bucket/key", []string{"If-Match", strings.Trim(etag, `"`)}, "200", body, ""},
		{"if-match list", "/bucket/key", []string{"If-Match", `"x", ` + etag}, "200", body, ""},
		{"if-match star", "/bucket/key", []string{"If-Match", "*"}, "200", body, ""},
		{"if-match wrong", "/bucket/key", []string{"If-Match", `"x"`}, "PreconditionFailed", "", ""},
		{"if-none-match", "/bucket/key", []string{"If-None-Match", etag}, "304", "", ""},
		{"if-none-match other", "/bucket/key", []string{"If-None-Match", `"x"`}, "200", body, ""},
		{"modified since past", "/bucket/key", []string{"If-Modified-Since", past}, "200", body, ""},
		{"modified since future", "/bucket/key", []string{"If-Modified-Since", future}, "304", "", ""},
		{"modified since garbage", "/bucket/key", []string{"If-Modified-Since", "yesterday"}, "200", body, ""},
		{"unmodified since future", "/bucket/key", []string{"If-Unmodified-Since", future}, "200", body, ""},
		{"unmodified since past", "/bucket/key", []string{"If-Unmodified-Since", past}, "PreconditionFailed", "", ""},
		{"match beats unmodified", "/bucket/key", []string{"If-Match", etag, "If-Unmodified-Since", past}, "200", body, ""},
		{"none-match beats modified", "/bucket/key", []string{"If-None-Match", etag, "If-Modified-Since", past}, "304", "", ""},
		{"none-match other beats modified", "/bucket/key", []string{"If-None-Match", `"x"`, "If-Modified-Since", future}, "200", body, ""},

		{"range", "/bucket/key", []string{"Range", "bytes=10-19"}, "206", body[10:20], "bytes 10-19/10000"},
		{"range open", "/bucket/key", []string{"Range", "bytes=9990-"}, "206", body[9990:], "bytes 9990-9999/10000"},
		{"range past end", "/bucket/key", []string{"Range", "bytes=9990-99999999999999999999"}, "206", body[9990:], "bytes 9990-9999/10000"},
		{"range suffix", "/bucket/key", []string{"Range", "bytes=-5"}, "206", body[9995:], "bytes 9995-9999/10000"},
		{"range suffix too long", "/bucket/key", []string{"Range", "bytes=-50000"}, "206", body, "bytes 0-9999/10000"},
		{"range all", "/bucket/key", []string{"Range", "bytes=0-"}, "206", body, "bytes 0-9999/10000"},
		{"range beyond", "/bucket/key", []string{"Range", "bytes=10000-"}, "InvalidRange", "", ""},
		{"range suffix zero", "/bucket/key", []string{"Range", "bytes=-0"}, "InvalidRange", "", ""},
		{"range several", "/bucket/key", []string{"Range", "bytes=0-1,3-4"}, "200", body, ""},
		{"range reversed", "/bucket/key", []string{"Range", "bytes=5-1"}, "200", body, ""},
		{"range malformed", "/bucket/key", []string{"Range", "bytes=a-b"}, "200", body, ""},
		{"range with a space", "/bucket/key", []string{"Range", "bytes= -1"}, "200", body, ""},
		{"range other unit", "/bucket/key", []string{"Range", "lines=1-2"}, "200", body, ""},
		{"range of empty", "/bucket/empty", []string{"Range", "bytes=0-0"}, "InvalidRange", "", ""},
		{"if-range same", "/bucket/key", []string{"Range", "bytes=0-0", "If-Range", etag}, "206", body[:1], "bytes 0-0/10000"},
		{"if-range other", "/bucket/key", []string{"Range", "bytes=0-0", "If-Range", `"x"`}, "200", body, ""},
		{"if-range date", "/bucket/key", []string{"Range", "bytes=0-0", "If-Range", past}, "200", body, ""},

		{"part 1 of a single", "/bucket/key?partNumber=1", nil, "206", body, "bytes 0-9999/10000"},
		{"part 2 of a single", "/bucket/key?partNumber=2", nil, "InvalidPartNumber", "", ""},
		{"part and range", "/bucket/key?partNumber=1", []string{"Range", "bytes=0-1"}, "InvalidRequest", "", ""},
		{"part 0", "/bucket/key?partNumber=0", nil, "InvalidArgument", "", ""},
		{"part 10001", "/bucket/key?partNumber=10001", nil, "InvalidArgument", "", ""},
		{"null version", "/bucket/key?versionId=null", nil, "200", body, ""},
		{"other version", "/bucket/key?versionId=abc", nil, "InvalidArgument", "", ""},
		{"no bucket", "/nobucket/key", nil, "NoSuchBucket", "", ""},
		{"bad bucket", "/No_Bucket/key", nil, "InvalidBucketName", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := k.want(c.want, call{method: "GET", path: c.path, header: pairs(c.header)})
			if c.body != "" && string(a.body) != c.body {
				t.Errorf("got %d bytes, want %d", len(a.body), len(c.body))
			}
			if got := a.header.Get("Content-Range"); got != c.extra {
				t.Errorf("Content-Range %q, want %q", got, c.extra)
			}
			h := k.do(call{method: "HEAD", path: c.path, header: pairs(c.header)})
			if h.status != a.status || len(h.body) != 0 || (a.status < 300 && h.header.Get("Content-Length") != a.header.Get("Content-Length")) {
				t.Errorf("HEAD: status %d, %s bytes, body %q; GET: %d, %s bytes", h.status, h.header.Get("Content-Length"), h.body, a.status, a.header.Get("Content-Length"))
			}
			if a.status == 304 && (a.header.Get("ETag") != etag || a.header.Get("Last-Modified") == "") {
				t.Errorf("304 without validators: %v", a.header)
			}
			if a.status == 416 && c.want == "InvalidRange" && !strings.Contains(string(a.body), "<ActualObjectSize>") {
				t.Errorf("no ActualObjectSize: %s", a.body)
			}
		})
	}
}

// Source: GetObject, "Overriding response header values".
func TestOverrides(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "body", "Content-Type", "text/plain", "Cache-Control", "no-cache", "Content-Encoding", "aws-chunked,gzip", "Content-Language", "de",
		"Content-Disposition", "inline", "Expires", "Thu, 01 Dec 2033 16:00:00 GMT", "x-amz-storage-class", "REDUCED_REDUNDANCY", "x-amz-tagging", "a=1&b=2")
	a := k.want("200", call{method: "GET", path: "/bucket/key", header: map[string]string{"Accept-Encoding": "identity"}})
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Cache-Control": "no-cache", "Content-Encoding": "gzip", "Content-Language": "de",
		"Content-Disposition": "inline", "Expires": "Thu, 01 Dec 2033 16:00:00 GMT", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY", "X-Amz-Tagging-Count": "2",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	a = k.want("200", call{method: "GET", path: "/bucket/key?response-content-type=a%2Fb&response-cache-control=x&response-content-disposition=attachment%3B%20filename%3D%22f%22&response-content-encoding=e&response-content-language=l&response-expires=never"})
	for name, want := range map[string]string{
		"Content-Type": "a/b", "Cache-Control": "x", "Content-Disposition": `attachment; filename="f"`, "Content-Encoding": "e", "Content-Language": "l", "Expires": "never",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	k.put("/bucket/plain", "body")
	if got := k.want("200", call{method: "GET", path: "/bucket/plain"}).header.Get("Content-Type"); got != "binary/octet-stream" {
		t.Errorf("default type %q", got)
	}
}

// Source: PutObject: If-Match, If-None-Match; "Conditional writes".
func TestWriteConditions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, size := range []int{10, 10_000} {
		k.want("204", call{method: "DELETE", path: "/bucket/key"})
		b := []byte(text(size))
		put := func(want string, header ...string) *answerTo {
			t.Helper()
			return k.want(want, call{method: "PUT", path: "/bucket/key", body: b, header: pairs(header)})
		}
		put("NoSuchKey", "If-Match", `"x"`)
		etag := put("200", "If-None-Match", "*").header.Get("ETag")
		put("PreconditionFailed", "If-None-Match", "*")
		put("PreconditionFailed", "If-Match", `"x"`)
		put("PreconditionFailed", "If-Match", `""`) // a client that has lost the tag must not write over what it has not seen
		put("200", "If-Match", etag)
		put("NotImplemented", "If-None-Match", etag)
		k.want("PreconditionFailed", call{method: "DELETE", path: "/bucket/key", header: pairs([]string{"If-Match", `"x"`})})
		k.want("204", call{method: "DELETE", path: "/bucket/key", header: pairs([]string{"If-Match", etag})})
	}
	if n := k.blobs.count(); n != 2 { // what was superseded is the reclaimer's
		t.Errorf("%d bodies are stored, want 2: a refused one was kept", n)
	}
}

// Source: PutObject; "Checking object integrity".
func TestDigests(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	body := text(100_000)
	sum := crc32.ChecksumIEEE([]byte(body))
	good := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	for _, c := range []struct {
		name   string
		header []string
		want   string
	}{
		{"md5 bad", []string{"Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16))}, "BadDigest"},
		{"md5 malformed", []string{"Content-MD5", "abc"}, "InvalidDigest"},
		{"md5 short", []string{"Content-MD5", "AAAA"}, "InvalidDigest"},
		{"crc good", []string{"x-amz-checksum-crc32", good}, "200"},
		{"crc good, named", []string{"x-amz-checksum-crc32", good, "x-amz-sdk-checksum-algorithm", "CRC32"}, "200"},
		{"crc bad", []string{"x-amz-checksum-crc32", "AAAAAA=="}, "BadDigest"},
		{"crc malformed", []string{"x-amz-checksum-crc32", "AAAA"}, "InvalidRequest"},
		{"crc32c bad", []string{"x-amz-checksum-crc32c", "AAAAAA=="}, "BadDigest"},
		{"crc64nvme bad", []string{"x-amz-checksum-crc64nvme", "AAAAAAAAAAA="}, "BadDigest"},
		{"sha1 bad", []string{"x-amz-checksum-sha1", base64.StdEncoding.EncodeToString(make([]byte, 20))}, "BadDigest"},
		{"sha256 bad", []string{"x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(make([]byte, 32))}, "BadDigest"},
		{"two", []string{"x-amz-checksum-crc32", good, "x-amz-checksum-crc32c", "AAAAAA=="}, "InvalidRequest"},
		{"named other", []string{"x-amz-checksum-crc32", good, "x-amz-sdk-checksum-algorithm", "SHA1"}, "InvalidRequest"},
		{"named unknown", []string{"x-amz-checksum-crc32", good, "x-amz-sdk-checksum-algorithm", "CRC9"}, "InvalidRequest"},
		{"named without value", []string{"x-amz-sdk-checksum-algorithm", "CRC32"}, "InvalidRequest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, b := range []string{body, body[:100]} {
				if c.want == "200" && len(b) != len(body) {
					continue
				}
				before := k.blobs.count()
				a := k.want(c.want, call{method: "PUT", path: "/bucket/key", body: []byte(b), header: pairs(c.header)})
				if c.want != "200" {
					if k.blobs.count() != before {
						t.Error("a refused body is stored")
					}
					k.want("NoSuchKey", call{method: "GET", path: "/bucket/key"})
					continue
				}
				if a.header.Get("x-amz-checksum-crc32") != good || a.header.Get("x-amz-checksum-type") != "FULL_OBJECT" {
					t.Errorf("put answers %v", a.header)
				}
				g := k.want("200", call{method: "GET", path: "/bucket/key", header: pairs([]string{"x-amz-checksum-mode", "ENABLED"})})
				if g.header.Get("x-amz-checksum-crc32") != good {
					t.Errorf("get shows %v", g.header)
				}
				g = k.want("206", call{method: "GET", path: "/bucket/key", header: pairs([]string{"x-amz-checksum-mode", "ENABLED", "Range", "bytes=0-1"})})
				if g.header.Get("x-amz-checksum-crc32") != "" {
					t.Errorf("a range shows the whole's checksum: %v", g.header)
				}
				k.want("204", call{method: "DELETE", path: "/bucket/key"})
			}
		})
	}
	a := k.put("/bucket/default", body)
	if a.header.Get("x-amz-checksum-crc64nvme") == "" {
		t.Error("no default checksum")
	}
}

// Source: PutObject, and "Object key and metadata".
func TestHeadersThatAreRefused(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, c := range []struct {
		header []string
		want   string
	}{
		{[]string{"x-amz-meta-a", strings.Repeat("x", 2047)}, "200"},
		{[]string{"x-amz-meta-a", strings.Repeat("x", 2048)}, "MetadataTooLarge"},
		{[]string{"x-amz-acl", "public-read"}, "AccessControlListNotSupported"},
		{[]string{"x-amz-acl", "private"}, "200"},
		{[]string{"x-amz-grant-read", "id=x"}, "InvalidArgument"},
		{[]string{"x-amz-server-side-encryption", "AES256"}, "NotImplemented"},
		{[]string{"x-amz-object-lock-mode", "GOVERNANCE"}, "InvalidRequest"},
		{[]string{"x-amz-storage-class", "GLACIER"}, "InvalidStorageClass"},
		{[]string{"x-amz-storage-class", "STANDARD"}, "200"},
		{[]string{"x-amz-tagging", "a=1&a=2"}, "InvalidArgument"},
		{[]string{"x-amz-tagging", "a=%zz"}, "InvalidArgument"},
		{[]string{"x-amz-tagging", "=1"}, "InvalidArgument"},
		{[]string{"x-amz-tagging", "aws:a=1"}, "InvalidTag"}, // as PutObjectTagging refuses them
		{[]string{"x-amz-tagging", "a=b%26c"}, "InvalidTag"},
		{[]string{"x-amz-tagging", "a=%ff"}, "InvalidTag"},
		{[]string{"x-amz-tagging", strings.Repeat("k", 129) + "=1"}, "InvalidTag"},
		{[]string{"x-amz-website-redirect-location", "page"}, "InvalidRedirectLocation"},
		{[]string{"x-amz-website-redirect-location", "/" + strings.Repeat("x", redirectBytesMax)}, "InvalidRedirectLocation"},
		{[]string{"x-amz-tagging", "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1"}, "BadRequest"},
		{[]string{"x-amz-expected-bucket-owner", "somebody"}, "AccessDenied"},
		{[]string{"x-amz-expected-bucket-owner", testAccount.ID}, "200"},
	} {
		k.want(c.want, call{method: "PUT", path: "/bucket/key", body: []byte("x"), header: pairs(c.header)})
	}
}

// TestStorageClassOfAPool: a class that a pool has is taken and shown; a copy onto itself with another class stores the bytes anew,
// for they may belong in another pool.
func TestStorageClassOfAPool(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	body := strings.Repeat("b", 5000)
	k.put("/bucket/key", body, "x-amz-storage-class", "ARCHIVE")
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); a.header.Get("X-Amz-Storage-Class") != "ARCHIVE" {
		t.Errorf("shown as %q", a.header.Get("X-Amz-Storage-Class"))
	}
	uploads := func() map[ids.Upload]bool {
		k.blobs.mu.Lock()
		defer k.blobs.mu.Unlock()
		all := map[ids.Upload]bool{}
		for id := range k.blobs.bodies {
			all[id] = true
		}
		return all
	}
	before := uploads()
	k.want("200", call{method: "PUT", path: "/bucket/key", header: map[string]string{
		"x-amz-copy-source": "/bucket/key", "x-amz-storage-class": "ARCHIVE", "x-amz-metadata-directive": "REPLACE",
	}})
	if after := uploads(); !maps.Equal(after, before) {
		t.Error("a copy onto itself in the same class stored the bytes anew")
	}
	k.want("200", call{method: "PUT", path: "/bucket/key", header: map[string]string{
		"x-amz-copy-source": "/bucket/key", "x-amz-storage-class": "STANDARD",
	}})
	if after := uploads(); maps.Equal(after, before) {
		t.Error("a copy onto itself in another class left the bytes where they were")
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != body || a.header.Get("X-Amz-Storage-Class") != "" {
		t.Errorf("%d bytes, class %q", len(a.body), a.header.Get("X-Amz-Storage-Class"))
	}
}
