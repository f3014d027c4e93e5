package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
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

// repeated is one signed request, which the server alone serves each time.
func repeated(tb testing.TB, k *kit, c call) (serve func()) {
	tb.Helper()
	if c.payload == "" {
		c.payload = sigv4.UnsignedPayload
	}
	r := k.request(c)
	r.RequestURI, r.RemoteAddr = c.path, "127.0.0.1:1"
	w := &discard{h: http.Header{}}
	body := bytes.NewReader(c.body)
	r.Body = io.NopCloser(body)
	return func() {
		clear(w.h)
		body.Reset(c.body)
		k.server.ServeHTTP(w, r)
		if w.status/100 != 2 {
			tb.Fatalf("status %d", w.status)
		}
	}
}

// benchServe measures ServeHTTP on one signed request, again and again.
func benchServe(b *testing.B, k *kit, c call) {
	b.Helper()
	serve := repeated(b, k, c)
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		serve()
	}
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpuTime is what the process has used, its collector too: on a machine that others use it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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

// BenchmarkDelete is a batch of a hundred keys, which are not there.
func BenchmarkDelete(b *testing.B) {
	k := newKit(b)
	k.makeBucket("bucket")
	var doc strings.Builder
	doc.WriteString("<Delete><Quiet>true</Quiet>")
	for i := range 100 {
		fmt.Fprintf(&doc, "<Object><Key>some/prefix/key-%08d</Key></Object>", i)
	}
	doc.WriteString("</Delete>")
	benchServe(b, k, call{method: "POST", path: "/bucket?delete", body: []byte(doc.String()), header: map[string]string{"Content-Md5": md5Of(doc.String())}})
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
}
