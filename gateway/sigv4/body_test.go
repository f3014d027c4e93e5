package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

var docCreds = Credentials{AccessKey: docKey, Secret: docSecret}

// stream is a signed request and its aws-chunked body, cut into chunks of the given sizes.
func stream(t testing.TB, mode Payload, sizes ...int) (Auth, []byte, []byte) {
	t.Helper()
	var data, wire []byte
	for _, n := range sizes {
		for range n {
			data = append(data, byte(len(data)*7))
		}
	}
	r, err := http.NewRequest(http.MethodPut, "http://localhost:9000/bucket/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	var trailers map[string]string
	if mode.trailer() {
		trailers = map[string]string{"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "AAA="}
	}
	s := SignChunks(r, docCreds, mode, int64(len(data)), []string{"x-amz-checksum-crc32", "x-amz-checksum-sha1"}, docRegion, docTime)
	rest := data
	for _, n := range sizes {
		wire = s.AppendChunk(wire, rest[:n])
		rest = rest[n:]
	}
	wire = s.AppendEnd(wire, trailers)
	a, err := docVerifier().Verify(r)
	if err != nil {
		t.Fatal(err)
	}
	return a, data, wire
}

// drain reads a body to its end in steps of step bytes.
func drain(a Auth, src io.Reader, step int) ([]byte, *BodyReader, error) {
	b, err := a.Body(src)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	var got []byte
	p := make([]byte, step)
	for {
		n, err := b.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			return got, b, b.Finish()
		}
	}
}

var chunkModes = []Payload{PayloadChunks, PayloadChunksTrailer, PayloadUnsignedChunkTrailer}

// TestChunksRoundTrip reads what ChunkSigner writes, whatever the sizes of chunks, reads and arrivals.
func TestChunksRoundTrip(t *testing.T) {
	for _, mode := range chunkModes {
		for _, sizes := range [][]int{nil, {1}, {1, 2, 3}, {8192, 100}, {64 << 10, 64 << 10, 17}, {100_000}, {16 << 10, 16<<10 - 1, 16<<10 + 1}} {
			a, data, wire := stream(t, mode, sizes...)
			for _, step := range []int{1, 7, 4096, 64 << 10, 1 << 20} {
				for name, src := range map[string]io.Reader{
					"whole": bytes.NewReader(wire), "half": iotest.HalfReader(bytes.NewReader(wire)),
					"with EOF": iotest.DataErrReader(bytes.NewReader(wire)), "bytes": iotest.OneByteReader(bytes.NewReader(wire)),
				} {
					if len(data) > 1000 && (step == 1 || name == "bytes") {
						continue
					}
					got, b, err := drain(a, src, step)
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("mode %d, chunks %v, step %d, %s: %d of %d bytes, %v", mode, sizes, step, name, len(got), len(data), err)
					}
					if mode.trailer() && b.Trailers().Get("X-Amz-Checksum-Crc32") != "AAAAAA==" {
						t.Fatalf("trailers %v", b.Trailers())
					}
				}
			}
		}
	}
}

// TestChunksTampered flips each bit of signed streams: none may pass with other bytes than were signed.
func TestChunksTampered(t *testing.T) {
	for _, mode := range []Payload{PayloadChunks, PayloadChunksTrailer} {
		a, data, wire := stream(t, mode, 40, 9)
		for i := range wire {
			for bit := range 8 {
				bad := bytes.Clone(wire)
				bad[i] ^= 1 << bit
				got, b, err := drain(a, bytes.NewReader(bad), 64)
				if err == nil && (!bytes.Equal(got, data) || mode.trailer() && b.Trailers().Get("x-amz-checksum-crc32") != "AAAAAA==") {
					t.Fatalf("mode %d: bit %d of byte %d: %q passed", mode, bit, i, bad)
				}
				var e *Error
				if err != nil && !errors.As(err, &e) {
					t.Fatalf("bit %d of byte %d: %v has no code", bit, i, err)
				}
			}
		}
	}
}

// TestChunksCut ends streams at each byte: only the last blank line may be missing.
func TestChunksCut(t *testing.T) {
	for _, mode := range chunkModes {
		a, data, wire := stream(t, mode, 40, 9)
		whole := bytes.TrimRight(wire, "\r\n")
		for n := range len(wire) {
			got, _, err := drain(a, bytes.NewReader(wire[:n]), 64)
			if err == nil && (n <= len(whole) || !bytes.Equal(got, data)) {
				t.Fatalf("mode %d: cut at %d of %d passed", mode, n, len(wire))
			}
			if err != nil && !errors.Is(err, IncompleteBody) && !errors.Is(err, MalformedTrailer) {
				t.Fatalf("mode %d: cut at %d: %v", mode, n, err)
			}
		}
	}
}

// TestChunksRefused holds malformed streams to their codes (API reference, sigv4-streaming and error responses).
func TestChunksRefused(t *testing.T) {
	head := "5\r\nhello\r\n0\r\n"
	good := "x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
	for _, tc := range []struct {
		name, body string
		decoded    string
		want       error
	}{
		{"good", head + good, "5", nil},
		{"size in upper case", "A\r\nhellohello\r\n0\r\n" + good, "10", nil},
		{"extension", "5;x=y\r\nhello\r\n0\r\n" + good, "5", nil},
		{"bare line feeds", "5\nhello\n0\nx-amz-checksum-crc32:AAAAAA==\n\n", "5", nil},
		{"longer than announced", head + good, "4", IncompleteBody},
		{"shorter than announced", head + good, "6", IncompleteBody},
		{"not announced", head + good, "", MissingContentLength},
		{"not chunked", "hello", "5", IncompleteBody},
		{"not chunked, lines", "hello\r\nhello\r\n", "5", InvalidRequest},
		{"negative size", "-5\r\nhello\r\n", "5", InvalidRequest},
		{"huge size", "ffffffffffffffff\r\nhello\r\n", "5", InvalidRequest},
		{"large size", "fffffffffffffff\r\nhello\r\n", "5", IncompleteBody},
		{"empty size", "\r\nhello\r\n", "5", InvalidRequest},
		{"endless header", strings.Repeat("5", 100_000), "5", InvalidRequest},
		{"long header", "5;" + strings.Repeat("x", 300) + "\r\nhello\r\n", "5", InvalidRequest},
		{"chunk longer than its header", "5\r\nhello!!\r\n0\r\n", "7", InvalidRequest},
		{"bytes after the end", head + good + "\r\nmore", "5", InvalidRequest},
		{"lines after the end", head + good + "more\r\n", "5", InvalidRequest},
		{"blank lines after the end", head + good + "\r\n\r\n", "5", InvalidRequest},
		{"trailer missing", head + "\r\n", "5", MalformedTrailer},
		{"trailer not announced", head + "x-amz-checksum-sha1:AA==\r\n" + good, "5", MalformedTrailer},
		{"trailer twice", head + "x-amz-checksum-crc32:AAAAAA==\r\n" + good, "5", MalformedTrailer},
		{"trailer without colon", head + "x-amz-checksum-crc32\r\n\r\n", "5", MalformedTrailer},
		{"trailers too long", head + "x-amz-checksum-crc32:" + strings.Repeat("A", 9000) + "\r\n\r\n", "5", InvalidRequest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodPut, "http://localhost/b/k", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"X-Amz-Content-Sha256": {StreamingUnsignedTrailer}, "X-Amz-Trailer": {"x-amz-checksum-crc32"}}
			if tc.decoded != "" {
				r.Header.Set("X-Amz-Decoded-Content-Length", tc.decoded)
			}
			a, err := new(Verifier).Verify(r) // anonymous, as aws --no-sign-request sends it
			if err != nil {
				t.Fatal(err)
			}
			_, b, err := drain(a, strings.NewReader(tc.body), 3)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if b != nil && tc.want != nil {
				if _, again := b.Read(make([]byte, 1)); again != err {
					t.Fatalf("the error did not stay: %v, then %v", err, again)
				}
			}
		})
	}
}

// plain is the Auth of a body that comes as it is.
func plain(t testing.TB, hash string, length int64) Auth {
	t.Helper()
	r, err := http.NewRequest(http.MethodPut, "http://localhost:9000/bucket/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	Sign(r, docCreds, hash, docRegion, docTime)
	a, err := docVerifier().Verify(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// TestPlain reads bodies that are not chunked.
func TestPlain(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name, hash string
		length     int64
		src        io.Reader
		want       error
	}{
		{"signed", sumOf("hello"), 5, strings.NewReader("hello"), nil},
		{"signed, length unknown", sumOf("hello"), -1, strings.NewReader("hello"), nil},
		{"signed, empty", EmptySHA256, 0, strings.NewReader(""), nil},
		{"unsigned", UnsignedPayload, 5, strings.NewReader("hello"), nil},
		{"other bytes", sumOf("hello"), 5, strings.NewReader("hullo"), XAmzContentSHA256Mismatch},
		{"other bytes, length unknown", sumOf("hello"), -1, strings.NewReader("hello!"), XAmzContentSHA256Mismatch},
		{"signed as empty", EmptySHA256, 5, strings.NewReader("hello"), XAmzContentSHA256Mismatch},
		{"short", sumOf("hello"), 5, strings.NewReader("hell"), IncompleteBody},
		{"short as net/http says it", UnsignedPayload, 5, io.MultiReader(strings.NewReader("hell"), iotest.ErrReader(io.ErrUnexpectedEOF)), IncompleteBody},
		{"source fails", UnsignedPayload, 5, io.MultiReader(strings.NewReader("hell"), iotest.ErrReader(boom)), boom},
		{"source fails with an end", UnsignedPayload, 5, io.MultiReader(strings.NewReader("hell"), iotest.ErrReader(fmt.Errorf("proxy: %w", io.EOF))), IncompleteBody},
		{"source fails with an end, length unknown", sumOf("hell"), -1, io.MultiReader(strings.NewReader("hell"), iotest.ErrReader(fmt.Errorf("proxy: %w", io.EOF))), IncompleteBody},
		{"source fails, length unknown", sumOf("hell"), -1, io.MultiReader(strings.NewReader("hell"), iotest.ErrReader(boom)), boom},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, b, err := drain(plain(t, tc.hash, tc.length), tc.src, 2)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if sum, ok := b.SHA256(); ok && hex.EncodeToString(sum[:]) != tc.hash {
				t.Fatalf("digest %x", sum)
			}
		})
	}
}

// TestFinish: a caller that reads an exact number of bytes still learns that they were not what was signed.
func TestFinish(t *testing.T) {
	for _, tc := range []struct {
		name string
		hash string
		read int
		want error
	}{
		{"held", sumOf("hello"), 5, nil},
		{"did not", sumOf("hullo"), 5, XAmzContentSHA256Mismatch},
		{"unread", sumOf("hello"), 4, ErrUnread},
	} {
		b, err := ptr(plain(t, tc.hash, 5)).Body(strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, make([]byte, tc.read)); err != nil {
			t.Fatal(err) // dropped by ReadFull, as Finish says
		}
		if err := b.Finish(); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if b.Close() != nil || !errors.Is(b.Finish(), tc.want) && tc.want != ErrUnread {
			t.Errorf("%s: Close is not idempotent, or forgets", tc.name)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestBodiesShareNothing reuses buffers across bodies that end badly.
func TestBodiesShareNothing(t *testing.T) {
	a, data, wire := stream(t, PayloadChunks, 1000)
	for i := range 50 {
		_, _, _ = drain(a, bytes.NewReader(wire[:len(wire)/2+i]), 100)
		got, _, err := drain(a, bytes.NewReader(wire), 100)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("body %d: %v", i, err)
		}
	}
}

// BenchmarkBody reads 1 MiB in pieces of 256 KiB, as the blob writer does.
func BenchmarkBody(b *testing.B) {
	const size = 1 << 20
	sizes := make([]int, 16)
	for i := range sizes {
		sizes[i] = 64 << 10
	}
	p := make([]byte, 256<<10)
	run := func(name string, a Auth, wire []byte) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			src := bytes.NewReader(wire)
			for b.Loop() {
				src.Reset(wire)
				body, err := a.Body(src)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = body.Read(p)
				}
				if body.Finish() != nil {
					b.Fatal(err)
				}
				_ = body.Close()
			}
		})
	}
	for _, mode := range chunkModes {
		a, _, wire := stream(b, mode, sizes...)
		run("mode "+strconv.Itoa(int(mode)), a, wire)
	}
	zeros := make([]byte, size)
	run("signed", plain(b, sumOf(string(zeros)), size), zeros)
	run("unsigned", plain(b, UnsignedPayload, size), zeros)
}
