package gateway

import (
	"fmt"
	"testing"
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
