package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// discard is an http.ResponseWriter that keeps nothing, so that only the server's own work is measured.
type discard struct {
	h      http.Header
	status int
	n      int64
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

// benchServe measures ServeHTTP on one signed request, again and again.
func benchServe(b *testing.B, k *kit, c call) {
	b.Helper()
	if c.payload == "" {
		c.payload = sigv4.UnsignedPayload
	}
	r := k.request(c)
	r.RequestURI, r.RemoteAddr = c.path, "127.0.0.1:1"
	w := &discard{h: http.Header{}}
	body := bytes.NewReader(c.body)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		body.Reset(c.body)
		r.Body = io.NopCloser(body)
		k.server.ServeHTTP(w, r)
		if w.status/100 != 2 {
			b.Fatalf("status %d", w.status)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	k := newKit(b)
	k.makeBucket("bucket")
	k.put("/bucket/key", text(4<<10), "Content-Type", "text/plain")
	benchServe(b, k, call{method: "HEAD", path: "/bucket/key"})
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{1 << 10, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := newKit(b)
			k.makeBucket("bucket")
			k.put("/bucket/key", text(size), "Content-Type", "text/plain")
			b.SetBytes(int64(size))
			benchServe(b, k, call{method: "GET", path: "/bucket/key"})
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := newKit(b)
			k.makeBucket("bucket")
			b.SetBytes(int64(size))
			benchServe(b, k, call{method: "PUT", path: "/bucket/key", body: []byte(text(size))})
			clear(k.blobs.bodies)
		})
	}
}

func BenchmarkList(b *testing.B) {
	k := newKit(b)
	k.makeBucket("bucket")
	for i := range 1000 {
		k.put(fmt.Sprintf("/bucket/some/prefix/key-%08d", i), "x")
	}
	benchServe(b, k, call{method: "GET", path: "/bucket?list-type=2&prefix=some%2Fprefix%2F&x-id=ListObjectsV2"})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/key")
}

// BenchmarkWire is a HEAD over a connection, with what net/http costs on both sides.
func BenchmarkWire(b *testing.B) {
	k := newKit(b)
	k.makeBucket("bucket")
	k.put("/bucket/key", text(4<<10))
	for _, method := range []string{"HEAD", "GET"} {
		b.Run(method, func(b *testing.B) {
			r := k.request(call{method: method, path: "/bucket/key"})
			b.ReportAllocs()
			for b.Loop() {
				res, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	_ = time.Now
}
