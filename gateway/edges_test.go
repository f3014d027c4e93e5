package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// A path that begins with two slashes, as an endpoint that ends with one makes it, is not answered with the list of buckets.
func TestEmptyBucketName(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "x")
	for _, path := range []string{"//", "//bucket", "//bucket/key", "///", "/%2Fbucket/key"} {
		k.want("InvalidURI", call{method: "GET", path: path})
		k.want("400", call{method: "HEAD", path: path})
		k.want("InvalidURI", call{method: "PUT", path: path, body: []byte("y")})
	}
	k.want("200", call{method: "GET", path: "/"})
}

// Empty parts are read as such: alone, and after another. Source: GetObject (partNumber).
func TestEmptyParts(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	alone := k.upload("/bucket/alone")
	k.complete("200", "/bucket/alone", alone, completeDoc(3, k.part("/bucket/alone", alone, 3, "")))
	first := text(100_000)
	last := k.upload("/bucket/last")
	k.complete("200", "/bucket/last", last, completeDoc(1, k.part("/bucket/last", last, 1, first), 2, k.part("/bucket/last", last, 2, "")))
	for _, c := range []struct {
		key, code, body string
		part, parts     int
	}{
		{"alone", "200", "", 0, 0}, {"alone", "200", "", 1, 1}, {"last", "200", first, 0, 0}, {"last", "206", first, 1, 2}, {"last", "200", "", 2, 2},
	} {
		path := "/bucket/" + c.key
		if c.part > 0 {
			path += fmt.Sprintf("?partNumber=%d", c.part)
		}
		for _, method := range []string{"GET", "HEAD"} {
			a := k.want(c.code, call{method: method, path: path})
			if method == "GET" && string(a.body) != c.body || a.header.Get("Content-Length") != fmt.Sprint(len(c.body)) || c.parts > 0 && a.header.Get("x-amz-mp-parts-count") != fmt.Sprint(c.parts) {
				t.Errorf("%s %s: %d bytes, %v", method, path, len(a.body), a.header)
			}
		}
	}
	k.want("InvalidPartNumber", call{method: "GET", path: "/bucket/alone?partNumber=2"})
	k.want("InvalidPartNumber", call{method: "GET", path: "/bucket/last?partNumber=3"})
}

// An empty copy source, such as a script's variable that is not set, does not put an empty object in the place of what is there.
func TestEmptyCopySource(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "kept")
	id := k.upload("/bucket/key")
	for _, query := range []string{"", "?partNumber=1&uploadId=" + id} {
		k.want("InvalidArgument", call{method: "PUT", path: "/bucket/key" + query, header: pairs([]string{"x-amz-copy-source", ""})})
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != "kept" {
		t.Errorf("got %q", a.body)
	}
}

// What names a sub-resource that its method has no operation for changes nothing: not the object, not the bucket.
func TestMisdirectedChanges(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "kept")
	for _, c := range []call{
		{method: "DELETE", path: "/bucket/key?acl"}, {method: "DELETE", path: "/bucket/key?retention"}, {method: "DELETE", path: "/bucket/key?uploads"},
		{method: "DELETE", path: "/bucket/key?lifecycle"}, {method: "PUT", path: "/bucket/key?uploads"}, {method: "PUT", path: "/bucket/key?partNumber=1"},
		{method: "PUT", path: "/bucket/key?uploadId=x"}, {method: "PUT", path: "/bucket/key?torrent"}, {method: "PUT", path: "/bucket/key?restore"},
		{method: "DELETE", path: "/bucket?versioning"}, {method: "DELETE", path: "/bucket?acl"}, {method: "DELETE", path: "/bucket?uploads"},
		{method: "PUT", path: "/other?location"},
	} {
		if c.method == "PUT" {
			c.body = []byte("lost")
		}
		k.want("MethodNotAllowed", c)
	}
	k.want("InvalidArgument", call{method: "PUT", path: "/bucket/key?versionId=abc", body: []byte("lost")})
	k.want("InvalidArgument", call{method: "POST", path: "/bucket/key?uploads&versionId=abc"})
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != "kept" {
		t.Errorf("got %q", a.body)
	}
	k.want("204", call{method: "DELETE", path: "/bucket/key"})
	k.want("MethodNotAllowed", call{method: "DELETE", path: "/bucket?versioning"})
	k.want("200", call{method: "HEAD", path: "/bucket"})
	k.want("404", call{method: "HEAD", path: "/other"})
}

// A copy source that a presigned URL has among its parameters is one, as some SDKs sign it: not a PutObject of nothing.
func TestPresignedCopy(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/from", "copied")
	k.put("/bucket/to", "old")
	k.want("200", call{method: "PUT", path: "/bucket/to?x-amz-copy-source=bucket%2Ffrom", presign: true})
	if a := k.want("200", call{method: "GET", path: "/bucket/to"}); string(a.body) != "copied" {
		t.Errorf("got %q", a.body)
	}
}

// Several lines of a header mean what the signature covers, which does not tell them from one with commas.
func TestSplitHeader(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/a", "secret")
	k.put("/bucket/a,bucket/b", "meant")
	r := k.request(call{method: "PUT", path: "/bucket/to", header: pairs([]string{"x-amz-copy-source", "bucket/a,bucket/b"})})
	r.Header["X-Amz-Copy-Source"] = []string{"bucket/a", "bucket/b"} // by somebody in between
	if a := k.send(r); a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/to"}); string(a.body) != "meant" {
		t.Errorf("got %q", a.body)
	}
}

// The expected owner of a copy's source counts as that of its destination does.
func TestCopySourceOwner(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "x")
	header := func(owner string) map[string]string {
		return pairs([]string{"x-amz-copy-source", "bucket/key", "x-amz-source-expected-bucket-owner", owner})
	}
	k.want("AccessDenied", call{method: "PUT", path: "/bucket/to", header: header("somebody")})
	k.want("200", call{method: "PUT", path: "/bucket/to", header: header(testAccount.ID)})
}

// A condition or a checksum that is not understood is refused: to ignore it would be to act against it.
func TestUnknownConditions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "kept")
	for _, header := range []string{"x-amz-if-match-size", "x-amz-if-match-last-modified-time", "If-Unmodified-Since", "If-Modified-Since", "If-None-Match"} {
		if !strings.HasPrefix(header, "x-amz-") { // DeleteObject has those
			k.want("NotImplemented", call{method: "DELETE", path: "/bucket/key", header: pairs([]string{header, "7"})})
		}
		k.want("NotImplemented", call{method: "PUT", path: "/bucket/key", body: []byte("lost"), header: pairs([]string{header, "7"})})
	}
	id := k.upload("/bucket/key")
	for _, path := range []string{"/bucket/key", "/bucket/key?partNumber=1&uploadId=" + id} {
		for _, header := range []string{"x-amz-checksum-md4", "x-amz-checksum-xxhash32", "x-amz-checksum-"} {
			k.want("NotImplemented", call{method: "PUT", path: path, body: []byte("lost"), header: pairs([]string{header, "AAAAAAAAAAA="})})
		}
		k.want("NotImplemented", call{method: "PUT", path: path, body: []byte("4\r\nlost\r\n0\r\nx-amz-checksum-xxhash32:AAAAAAAAAAA=\r\n\r\n"), payload: sigv4.StreamingUnsignedTrailer,
			header: pairs([]string{"x-amz-trailer", "x-amz-checksum-xxhash32", "x-amz-decoded-content-length", "4"})})
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != "kept" {
		t.Errorf("got %q", a.body)
	}
}
