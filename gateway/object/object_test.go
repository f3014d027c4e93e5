package object

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/metapb"
)

func random(seed uint64, n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = rng.Read(b)
	return b
}

// The CRC of two pieces put together is that of the whole, at every length near a border.
func TestCombineCRC(t *testing.T) {
	whole := random(1, 70_000)
	for _, a := range []Algorithm{metapb.ChecksumAlgorithm_CRC32, metapb.ChecksumAlgorithm_CRC32C, metapb.ChecksumAlgorithm_CRC64NVME} {
		for _, cut := range []int{0, 1, 2, 7, 8, 9, 255, 256, 65535, 65536, 65537, len(whole)} {
			x, y := whole[:cut], whole[cut:]
			got := combineCRC(row(a), crcUpdate(a, 0, x), crcUpdate(a, 0, y), int64(len(y)))
			if want := crcUpdate(a, 0, whole); got != want {
				t.Errorf("%v cut at %d: %x, want %x", a, cut, got, want)
			}
		}
	}
	if crcUpdate(metapb.ChecksumAlgorithm_CRC32C, 0, whole) != uint64(crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli))) ||
		crcUpdate(metapb.ChecksumAlgorithm_CRC64NVME, 0, whole) != crc64nvme.Checksum(whole) {
		t.Error("not the standard's sums")
	}
}

func FuzzCombineCRC(f *testing.F) {
	f.Add([]byte("a"), []byte("b"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		whole := append(append([]byte(nil), x...), y...)
		for _, a := range []Algorithm{metapb.ChecksumAlgorithm_CRC32, metapb.ChecksumAlgorithm_CRC32C, metapb.ChecksumAlgorithm_CRC64NVME} {
			if combineCRC(row(a), crcUpdate(a, 0, x), crcUpdate(a, 0, y), int64(len(y))) != crcUpdate(a, 0, whole) {
				t.Fatal(a)
			}
		}
	})
}

// consume reads b as the erasure writer does: into buffers that it uses again after Settle.
func consume(b *body, piece int) error {
	buf := make([]byte, piece)
	for {
		n, err := io.ReadFull(b, buf)
		if settled := b.Settle(); settled != nil {
			return settled
		}
		clear(buf[:n])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Every digest of a body is right whatever pieces it comes in and however many bodies are active.
func TestDigests(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	large := 1 << 20
	if testing.Short() { // the race detector makes bytes dear: still several blocks of a lane
		large = 1 << 17
	}
	sizes := []int{0, 1, 63, 64, 100, 4096, asyncFrom - 1, asyncFrom, asyncFrom + 1, large, large + 77}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			for j, size := range sizes {
				data := random(uint64(i*100+j), size)
				var r io.Reader = bytes.NewReader(data)
				switch i % 4 {
				case 1:
					r = iotest.HalfReader(r)
				case 2:
					r = iotest.DataErrReader(r)
				case 3:
					r = &ragged{r: r, rng: rand.New(rand.NewPCG(uint64(i), 2))}
				}
				if err := checkDigests(s, r, data, 1+(i*7919)%(300<<10)); err != nil {
					t.Errorf("body %d of %d bytes: %v", i, size, err)
				}
			}
		})
	}
	wg.Wait()
	if s.md5.active != 0 || len(s.md5.free) > md5Lanes {
		t.Errorf("%d active, %d free", s.md5.active, len(s.md5.free))
	}
}

// ragged reads a random number of bytes at a time.
type ragged struct {
	r   io.Reader
	rng *rand.Rand
}

func (r *ragged) Read(p []byte) (int, error) { return r.r.Read(p[:1+r.rng.IntN(len(p))]) }

func checkDigests(s *Store, r io.Reader, data []byte, piece int) error {
	b := s.newBody(r, int64(len(data)), Algorithms()...)
	defer b.close()
	if err := consume(b, piece); err != nil {
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}
	m, s1, s2 := md5.Sum(data), sha1.Sum(data), sha256.Sum256(data)
	for name, pair := range map[string][2][]byte{
		"MD5": {b.md5Sum(), m[:]}, "SHA1": {b.sum(metapb.ChecksumAlgorithm_SHA1), s1[:]}, "SHA256": {b.sum(metapb.ChecksumAlgorithm_SHA256), s2[:]},
		"CRC32": {b.sum(metapb.ChecksumAlgorithm_CRC32), crcBytes(row(metapb.ChecksumAlgorithm_CRC32), uint64(crc32.ChecksumIEEE(data)))},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			return fmt.Errorf("%s is %x, want %x", name, pair[0], pair[1])
		}
	}
	return nil
}

func TestBodyLength(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	for _, size := range []int{10, asyncFrom + 10} {
		data := random(1, size)
		for _, c := range []struct {
			given, declared int
			want            error
		}{{size, size, nil}, {size - 1, size, ErrIncompleteBody}, {size, size - 1, ErrBodyTooLong}, {0, size, ErrIncompleteBody}} {
			b := s.newBody(bytes.NewReader(data[:c.given]), int64(c.declared))
			err := consume(b, 1000)
			if err == nil {
				err = b.finish()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%d bytes declared as %d: %v", c.given, c.declared, err)
			}
			b.close()
			b.close()
		}
	}
}

func TestI13_OpenReads(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := hlc.New(func() time.Time { return now })
	var r reads
	r.init(clock, time.Hour)
	want := func(oldest, next uint64) {
		t.Helper()
		if got := r.open(); got.Oldest != oldest || got.Next != next {
			t.Errorf("%+v, want %d, %d", got, oldest, next)
		}
	}
	want(1, 1)
	var a, b, c openRead
	r.begin(&a)
	r.begin(&b)
	r.begin(&c)
	want(1, 4)
	r.end(&b) // not the oldest
	want(1, 4)
	r.end(&a)
	r.end(&a)
	want(3, 4)
	now = now.Add(2 * time.Hour) // a read that is too old is being ended
	want(4, 4)
	r.end(&c)
	if r.open().Count != 0 || r.root.next != &r.root {
		t.Error("not empty")
	}
}

func TestExtentsOfRecordsAreChecked(t *testing.T) {
	good := &metapb.Extent{Upload: make([]byte, 16), Size: 10, BlobSize: 4, Pgs: make([]byte, 6)}
	if _, err := ExtentOf(good); err != nil {
		t.Fatal(err)
	}
	for i, bad := range []*metapb.Extent{
		{}, {Upload: make([]byte, 15), Size: 10, BlobSize: 4, Pgs: make([]byte, 6)}, {Upload: make([]byte, 16), Size: 10, BlobSize: 4, Pgs: make([]byte, 4)},
		{Upload: make([]byte, 16), Size: 10, BlobSize: 0, Pgs: make([]byte, 6)}, {Upload: make([]byte, 16), Size: 1 << 63, BlobSize: 4, Pgs: make([]byte, 6)},
		{Upload: make([]byte, 16), Size: 10, BlobSize: 4, Pgs: make([]byte, 7)}, {Upload: make([]byte, 16), Size: 10, BlobSize: 1 << 63, Pgs: make([]byte, 2)},
		{Upload: make([]byte, 16), Size: 10, BlobSize: 4, Pgs: make([]byte, 6), Pool: 1 << 16},
	} {
		if _, err := ExtentOf(bad); err == nil {
			t.Errorf("%d is accepted", i)
		}
	}
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMD5 is what MD5 costs with that many bodies at once: "lanes" as chosen, "plain" crypto/md5 on
// goroutines of their own.
func BenchmarkMD5(b *testing.B) {
	for _, bodies := range []int{1, 2, 3, 4, 8, 16, 32} {
		for _, lanes := range []bool{false, true} {
			name := fmt.Sprintf("bodies=%d/plain", bodies)
			if lanes {
				name = fmt.Sprintf("bodies=%d/lanes", bodies)
			}
			b.Run(name, func(b *testing.B) {
				s := New(Options{})
				defer s.Close()
				if !lanes {
					s.md5.made = md5Lanes
				}
				data := random(1, 1<<20)
				b.SetBytes(int64(bodies) << 20)
				before := cpuTime()
				defer func() { b.ReportMetric(float64(cpuTime()-before)/1e6/float64(b.N*bodies), "cpu-ms/MiB") }()
				for b.Loop() {
					all := make([]*body, bodies) // all are active before the first byte comes, as with a network in front
					for i := range all {
						all[i] = s.newBody(bytes.NewReader(data), int64(len(data)))
					}
					var wg sync.WaitGroup
					for _, body := range all {
						wg.Go(func() {
							defer body.close()
							buf := make([]byte, 256<<10)
							for {
								_, err := io.ReadFull(body, buf)
								_ = body.Settle()
								if err != nil {
									break
								}
							}
							body.md5Sum()
						})
					}
					wg.Wait()
				}
			})
		}
	}
}

// Bodies that end before anything of them was written leave their lane of use to those after them.
func TestLanesOfAbortedBodies(t *testing.T) {
	var p md5Pool
	alone, _ := p.get()
	piece := bytes.Repeat([]byte("sherd"), 20_000)
	want := md5.Sum(piece)
	for aborted := range 8 {
		for range aborted {
			h, _ := p.get()
			p.put(h, true, false)
		}
		h, jobs := p.get()
		sum := make(chan []byte, 1)
		go func() {
			var written sync.WaitGroup
			written.Add(1)
			jobs <- laneJob{h, piece, &written}
			written.Wait()
			sum <- h.Sum(nil)
		}()
		select {
		case got := <-sum:
			if !bytes.Equal(got, want[:]) {
				t.Errorf("after %d: %x, want %x", aborted, got, want)
			}
		case <-time.After(poll.Within):
			t.Fatalf("the body after %d that were aborted hangs", aborted)
		}
		p.put(h, true, true)
	}
	p.put(alone, false, false)
	p.close()
}

// TestChecksumVectors: values that others have computed: of no bytes, and of "123456789". Source: RFC 1321, FIPS 180-4, the CRC catalogue of
// Greg Cook (check values), the xxHash specification's canonical form.
func TestChecksumVectors(t *testing.T) {
	for a, want := range map[Algorithm][2]string{
		metapb.ChecksumAlgorithm_CRC32:     {"00000000", "cbf43926"},
		metapb.ChecksumAlgorithm_CRC32C:    {"00000000", "e3069283"},
		metapb.ChecksumAlgorithm_CRC64NVME: {"0000000000000000", "ae8b14860a799888"},
		metapb.ChecksumAlgorithm_SHA1:      {"da39a3ee5e6b4b0d3255bfef95601890afd80709", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
		metapb.ChecksumAlgorithm_SHA256:    {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
		metapb.ChecksumAlgorithm_SHA512:    {"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e", "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85"},
		metapb.ChecksumAlgorithm_MD5:       {"d41d8cd98f00b204e9800998ecf8427e", "25f9e794323b453885f5181f1b624d0b"},
		metapb.ChecksumAlgorithm_XXHASH64:  {"ef46db3751d8e999", "8cb841db40e6ae83"},
		metapb.ChecksumAlgorithm_XXHASH3:   {"2d06800538d394c2", ""},
		metapb.ChecksumAlgorithm_XXHASH128: {"99aa06d3014798d86001c324468d497f", ""},
	} {
		for i, text := range []string{"", "123456789"} {
			b := new(Store).newBody(strings.NewReader(text), int64(len(text)), a)
			_, err := io.ReadAll(b)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(b.sum(a)); want[i] != "" && got != want[i] || len(got) != 2*ChecksumBytes(a) {
				t.Errorf("%s of %q is %s, want %s", AlgorithmName(a), text, got, want[i])
			}
			b.close()
		}
	}
}
