package bench

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func read(b *Body) []byte {
	var out []byte
	for off := int64(0); off < b.Size; off = int64(len(out)) {
		out = append(out, b.Span(off)...)
	}
	return out
}

func TestBodyIsItsSeed(t *testing.T) {
	ring, again, h := NewRing(1), NewRing(1), NewHasher()
	seen := map[string]bool{}
	for _, size := range []int64{0, 1, 15, 16, 17, 4096, spanBytes, spanBytes + 1, ringBytes + 3, 3 << 20} {
		for seed := range uint64(3) {
			b, b2 := ring.Body(seed, size), again.Body(seed, size)
			text := read(&b)
			if int64(len(text)) != size || !bytes.Equal(text, read(&b2)) || !b.Matches(0, text) {
				t.Fatalf("size %d seed %d: not the same body twice", size, seed)
			}
			if size >= 15 && seen[string(text)] {
				t.Fatalf("size %d seed %d: equals another body", size, seed)
			}
			seen[string(text)] = true
			sha, sum := sha256.Sum256(text), md5.Sum(text)
			if !bytes.Equal(h.SHA256(&b), sha[:]) || !bytes.Equal(h.MD5(&b), sum[:]) {
				t.Fatalf("size %d seed %d: wrong digest", size, seed)
			}
			if size > 0 {
				at := rand.Int64N(size)
				text[at] ^= 1
				if b.Matches(0, text) {
					t.Fatalf("size %d seed %d: a flipped bit at %d matches", size, seed, at)
				}
			}
			if b.Matches(0, append(text, 0)) {
				t.Fatalf("size %d: a longer text matches", size)
			}
		}
	}
}

func TestHistogramAgainstSorting(t *testing.T) {
	var h, parts Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(rand.ExpFloat64() * float64(3*time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	parts.Merge(&h)
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
		want, got := all[int(q*float64(len(all)))-1], parts.Quantile(q)
		if got < want || float64(got) > float64(want)*1.01+1 {
			t.Errorf("q %.3f: %v, by sorting %v", q, got, want)
		}
	}
	for _, v := range []uint64{0, 1, 255, 256, 257, 511, 512, 1 << 40, 1<<63 - 1} {
		b := bucketOf(v)
		if upper(b) < v || (b > 0 && upper(b-1) >= v) {
			t.Errorf("%d is not in bucket %d (up to %d)", v, b, upper(b))
		}
	}
}

func TestRunsOfEveryOperation(t *testing.T) {
	for _, op := range Ops() {
		for _, unsigned := range []bool{false, true} {
			f, url := startFake(t)
			cfg := Config{
				Endpoint: url, Credentials: testCredentials, Op: op, Unsigned: unsigned, Concurrency: 4, Size: 5000, PartSize: 2000,
				Objects: 40, Duration: 300 * time.Millisecond, Seed: 7,
			}
			if op == "put" {
				cfg.ServerPID = os.Getpid()
			}
			if op == "list" {
				cfg.Objects, cfg.Prefixes, cfg.Size = 2600, 2, 10 // two pages a prefix
			}
			if op == "get" {
				cfg.Size = 300_000
			}
			rep, err := Run(context.Background(), cfg, nil)
			if err != nil {
				t.Fatalf("%s: %v", op, err)
			}
			if rep.Requests == 0 || rep.Failed() != 0 || (op == "put" && rep.ServerCPU == 0) {
				t.Errorf("%s: %d requests, errors %v, server CPU %v", op, rep.Requests, rep.Errors, rep.ServerCPU)
			}
			if _, err := json.Marshal(rep); err != nil {
				t.Error(err)
			}
			if len(f.objects) != 0 || len(f.buckets) != 0 {
				t.Errorf("%s: %d objects and %d buckets are left", op, len(f.objects), len(f.buckets))
			}
		}
	}
}

func TestWrongAnswersAreFound(t *testing.T) {
	for code, spoil := range map[string]func(r *http.Request, b []byte) []byte{
		CodeWrongBytes:  func(_ *http.Request, b []byte) []byte { b[len(b)-1]++; return b },
		CodeWrongLength: func(_ *http.Request, b []byte) []byte { return b[:len(b)-1] },
	} {
		f, url := startFake(t)
		f.spoil = spoil
		rep, err := Run(context.Background(), Config{
			Endpoint: url, Credentials: testCredentials, Op: "get", Concurrency: 2, Objects: 4, Duration: 300 * time.Millisecond,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Requests != 0 || rep.Wrong() == 0 || rep.Errors[code] != rep.Failed() {
			t.Errorf("%s: %d good requests, errors %v", code, rep.Requests, rep.Errors)
		}
	}
}

func TestRefusedAndUnreachable(t *testing.T) {
	_, url := startFake(t)
	if _, err := Run(context.Background(), Config{Endpoint: url, Op: "put"}, nil); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: %v", err)
	}
	cfg := Config{Endpoint: "http://127.0.0.1:1", Credentials: testCredentials, Op: "put"}
	if _, err := Run(context.Background(), cfg, nil); CodeOf(err) != CodeConnection {
		t.Errorf("nobody listens: %v", err)
	}
	cfg.Op = "sing"
	if _, err := Run(context.Background(), cfg, nil); err == nil || !strings.Contains(err.Error(), "mixed") {
		t.Errorf("unknown operation: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	parent, cpu := parseStat([]byte("42 (a) b (c)) S 7 1 1 0 -1 0 0 0 0 0 3 4 5 6 20 0"))
	if parent != 7 || cpu != 18*tick {
		t.Errorf("parent %d, cpu %v", parent, cpu)
	}
}
