package gateway

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"
)

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestPutGetHeadDelete(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, size := range []int{0, 1, 2048, 2049, 4096, 64 << 10, 1 << 20, 1<<20 + 1} {
		body := text(size)
		a := k.put("/bucket/dir/a%20b", body, "Content-Type", "text/plain", "x-amz-meta-Color", "blue")
		etag := `"` + hexMD5(body) + `"`
		if got := a.header.Get("ETag"); got != etag {
			t.Fatalf("size %d: put ETag %s, want %s", size, got, etag)
		}
		g := k.want("200", call{method: "GET", path: "/bucket/dir/a%20b"})
		if string(g.body) != body {
			t.Fatalf("size %d: got %d bytes", size, len(g.body))
		}
		h := k.want("200", call{method: "HEAD", path: "/bucket/dir/a%20b"})
		for _, hdr := range []map[string][]string{g.header, h.header} {
			for name, want := range map[string]string{
				"Etag": etag, "Content-Type": "text/plain", "X-Amz-Meta-Color": "blue", "Accept-Ranges": "bytes", "Server": "sherd/test",
			} {
				if len(hdr[name]) != 1 || hdr[name][0] != want {
					t.Errorf("size %d: %s is %q, want %q", size, name, hdr[name], want)
				}
			}
			if len(hdr["X-Amz-Request-Id"]) != 1 || len(hdr["Date"]) != 1 || len(hdr["Last-Modified"]) != 1 {
				t.Errorf("headers missing: %v", hdr)
			}
		}
	}
	k.want("204", call{method: "DELETE", path: "/bucket/dir/a%20b"})
	k.want("204", call{method: "DELETE", path: "/bucket/dir/a%20b"})
	a := k.want("NoSuchKey", call{method: "GET", path: "/bucket/dir/a%20b"})
	if !strings.Contains(string(a.body), "<Key>dir/a b</Key>") {
		t.Errorf("no key in %s", a.body)
	}
	if a := k.want("404", call{method: "HEAD", path: "/bucket/dir/a%20b"}); len(a.body) != 0 {
		t.Errorf("HEAD has a body: %s", a.body)
	}
}
