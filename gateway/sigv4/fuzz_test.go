package sigv4

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzVerify throws whole requests at Verify: it never panics, answers with a code, and what it lets pass as
// signed passes again when signed anew.
func FuzzVerify(f *testing.F) {
	files, err := filepath.Glob("testdata/aws/*.http")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	v := docVerifier()
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		a, err := v.Verify(r)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v has no code", err)
		}
		if err == nil && a.Anonymous && (r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "&X-Amz-Signature=")) {
			t.Fatal("credentials, but anonymous")
		}
		if err != nil {
			return
		}
		if b, err := a.Body(r.Body); err == nil {
			n, _ := io.Copy(io.Discard, b)
			if b.Finish() == nil && b.Size() >= 0 && n != b.Size() {
				t.Fatalf("%d of %d bytes held", n, b.Size())
			}
			_ = b.Close()
		}
	})
}

// FuzzSign: what Sign signs, Verify takes, whatever the target and the headers.
func FuzzSign(f *testing.F) {
	f.Add("/bucket/a b+c%2F", "prefix=a+b&acl", "two  spaces")
	f.Add("//", "%zz&=&;", "ünïcödé")
	f.Fuzz(func(t *testing.T, path, query, meta string) {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header["X-Amz-Meta-A"] = []string{meta}
		s := scratch{}
		s.split(query)
		if kind, err := s.detect(r.Header); err != nil || kind != KindNone {
			return // carries a signature of its own
		}
		Sign(r, docCreds, EmptySHA256, docRegion, docTime)
		if _, err := docVerifier().Verify(r); err != nil {
			t.Fatal(err, facts(err))
		}
	})
}

// FuzzChunks throws bodies at the decoder: it ends, hands out no more than announced, and says nil only for all of it.
func FuzzChunks(f *testing.F) {
	for _, mode := range chunkModes {
		_, _, wire := stream(f, mode, 40, 9)
		f.Add(uint8(mode), 49, wire)
	}
	f.Add(uint8(PayloadUnsignedChunkTrailer), 5, []byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"))
	auths := map[Payload]Auth{}
	for _, mode := range chunkModes {
		auths[mode], _, _ = stream(f, mode, 40, 9)
	}
	f.Fuzz(func(t *testing.T, m uint8, announced int, wire []byte) {
		a, ok := auths[Payload(m)]
		if !ok || announced < 0 {
			return
		}
		a.DecodedBytes = int64(announced)
		got, _, err := drain(a, bytes.NewReader(wire), 16)
		if len(got) > announced || err == nil && len(got) != announced {
			t.Fatalf("%d bytes of %d, %v", len(got), announced, err)
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v has no code", err)
		}
	})
}
