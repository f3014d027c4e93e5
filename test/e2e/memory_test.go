package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// watchMemory samples the server's memory until stop, which gives the most that was seen.
func (s *server) watchMemory() (stop func() int64) {
	var most atomic.Int64
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), s.memory()))
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(quit); <-done; return most.Load() }
}

// repeated reads block again and again, n bytes in all.
type repeated struct {
	block []byte
	left  int64
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	r.left -= int64(n)
	return n, nil
}

// TestMemoryLimit moves one large object up and down, with other requests beside it.
func TestMemoryLimit(t *testing.T) {
	const limit = 512 << 20
	s := start(t, options{flags: []string{"--memory-limit", "512MiB"}})
	c := s.client()
	c.http.Timeout = 10 * time.Minute
	must(t, c.makeBucket("memory"))
	idle := s.memory()
	t.Logf("idle: %d MiB", idle>>20)
	if idle > 300<<20 {
		t.Errorf("idle memory is %d MiB, more than 300", idle>>20)
	}
	size := int64(count(512<<20, 5<<30))
	block := content(5, 1<<20+17)
	want := sha256.New()
	_, err := io.Copy(want, &repeated{block: block, left: size})
	must(t, err)
	stop := s.watchMemory()

	req, err := http.NewRequestWithContext(context.Background(), "PUT", c.base+"/memory/large", &repeated{block: block, left: size})
	must(t, err)
	req.ContentLength = size
	sigv4.Sign(req, c.cred, hex.EncodeToString(want.Sum(nil)), "us-east-1", time.Now())
	began := time.Now()
	_, _, err = c.do(req)
	must(t, err)
	t.Logf("up: %.0f MiB/s, most memory so far", float64(size>>20)/time.Since(began).Seconds())

	began = time.Now()
	got := sha256.New()
	must(t, c.stream("memory", "large", got))
	t.Logf("down: %.0f MiB/s", float64(size>>20)/time.Since(began).Seconds())
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("the large object differs")
	}
	m := newModel("memory2")
	must(t, c.makeBucket("memory2"))
	writers, halt := load(16, m, s.client, random(t), func(w *writer) { w.sizes = []int{4096, 1 << 20, 8 << 20} })
	eventually(t, time.Minute, "400 writes", func() error { return atLeast(writers, 400) })
	halt()
	most := stop()
	t.Logf("most: %d MiB", most>>20)
	if most > limit {
		t.Errorf("memory reached %d MiB under a limit of %d", most>>20, limit>>20)
	}
	m.checkAll(t, c)
}

// stream reads an object into h.
func (c *s3) stream(bucket, key string, h hash.Hash) error {
	res, err := c.http.Do(c.newRequest(context.Background(), "GET", bucket, key, "", nil, nil))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		return parseError(res.StatusCode, b)
	}
	_, err = io.Copy(h, res.Body)
	return err
}
