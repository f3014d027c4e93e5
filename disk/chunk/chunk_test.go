package chunk_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/ids"
)

var update = flag.Bool("update", false, "write testdata anew: only for a new format version")

func header() chunk.Header {
	return chunk.Header{
		Key: ids.Chunk{Pool: 1, PG: 258, Blob: ids.Blob{Upload: ids.Upload{1, 2, 3, 15: 16}, Index: 9}, Slot: 5},
		K:   4, M: 2, UnitBytes: 256 << 10, Bucket: 77, Object: "a/b/ü", Part: 3, Stamp: 0x0192_0000_0001, Epoch: 12,
	}
}

func footer(shardBytes uint64) chunk.Footer {
	return chunk.Footer{BlobBytes: 4 * shardBytes, BlobSum: [16]byte{0xaa, 15: 0xbb}, ShardBytes: shardBytes}
}

// records are one of each kind, by the name of its golden file.
func records() map[string][]byte {
	h := header()
	payload := bytes.Repeat([]byte("payload "), 2500) // 20,000 bytes: two blocks
	f := footer(uint64(len(payload)))
	whole := chunk.AppendChunk(nil, &h, &f)
	whole = chunk.NewSummer(h.Key).AppendSums(whole, 0, payload)
	file := footer(5 << 20)
	k2 := h.Key
	k2.Slot = 1
	trailer := make([]byte, chunk.TrailerBytes(f.ShardBytes))
	chunk.PutTrailer(trailer, chunk.NewSummer(h.Key).AppendSums(nil, 0, payload), 42, &f)
	return map[string][]byte{
		"chunk-v1":       whole,
		"file-v1":        chunk.AppendFile(nil, 42, &h, &file),
		"tombstone-v1":   chunk.AppendKeys(nil, chunk.KindTombstone, 1_700_000_000_000, []ids.Chunk{h.Key, k2}),
		"dropped-v1":     chunk.AppendKeys(nil, chunk.KindDropped, 1_700_000_000_001, []ids.Chunk{k2}),
		"epoch-v1":       chunk.AppendEpochs(nil, chunk.Epoch{Pool: 1, PG: 2, Epoch: 3}, chunk.Epoch{Pool: 1, PG: 4, Epoch: 1 << 40}),
		"fileheader-v1":  chunk.AppendFileHeader(nil, &h),
		"filetrailer-v1": trailer,
	}
}

// Every version ever released is written and read as it was.
func TestGolden(t *testing.T) {
	for name, b := range records() {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(b)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(b); got != string(want) {
			t.Errorf("%s: the format changed:\n%s", name, got)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	h := header()
	all := records()
	r, err := chunk.ParseRecord(all["chunk-v1"])
	if err != nil || r.Header != h || r.Footer != footer(20000) || len(r.Sums) != 16 {
		t.Fatalf("%+v %v", r, err)
	}
	r, err = chunk.ParseRecord(all["file-v1"])
	if err != nil || r.Header != h || r.Footer != footer(5<<20) || r.File != 42 {
		t.Fatalf("%+v %v", r, err)
	}
	r, err = chunk.ParseRecord(all["tombstone-v1"])
	if err != nil || r.Kind != chunk.KindTombstone || r.Millis != 1_700_000_000_000 || len(r.Keys) != 2 || r.Keys[0] != h.Key {
		t.Fatalf("%+v %v", r, err)
	}
	r, err = chunk.ParseRecord(all["epoch-v1"])
	want := []chunk.Epoch{{Pool: 1, PG: 2, Epoch: 3}, {Pool: 1, PG: 4, Epoch: 1 << 40}}
	if err != nil || !reflect.DeepEqual(r.Epochs, want) {
		t.Fatalf("%+v %v", r, err)
	}
	if got, err := chunk.ParseFileHeader(all["fileheader-v1"]); err != nil || got != h {
		t.Fatalf("%+v %v", got, err)
	}
	sums, file, f, err := chunk.ParseTrailer(all["filetrailer-v1"])
	if err != nil || file != 42 || f != footer(20000) || len(sums) != 16 {
		t.Fatal(file, f, err)
	}
}

// Every flipped bit of a file's header and trailer is seen; records are under the segment's checksum.
func TestI16_FileFlippedBit(t *testing.T) {
	all := records()
	head := all["fileheader-v1"]
	fields := bytes.LastIndexFunc(head, func(r rune) bool { return r != 0 }) + 1
	for i := range fields * 8 {
		head[i/8] ^= 1 << (i % 8)
		if _, err := chunk.ParseFileHeader(head); !errors.Is(err, chunk.ErrMalformed) {
			t.Fatalf("header bit %d: %v", i, err)
		}
		head[i/8] ^= 1 << (i % 8)
	}
	trailer := all["filetrailer-v1"]
	for i := range len(trailer) * 8 {
		trailer[i/8] ^= 1 << (i % 8)
		if _, _, _, err := chunk.ParseTrailer(trailer); !errors.Is(err, chunk.ErrMalformed) {
			t.Fatalf("trailer bit %d: %v", i, err)
		}
		trailer[i/8] ^= 1 << (i % 8)
	}
}

// A block's checksum holds for its key and place only.
func TestSum(t *testing.T) {
	h := header()
	payload := bytes.Repeat([]byte{7}, 3*chunk.BlockBytes+5) // equal blocks
	s := chunk.NewSummer(h.Key)
	sums := s.AppendSums(nil, 0, payload)
	if len(sums) != chunk.Blocks(uint64(len(payload)))*chunk.SumBytes || !s.Verify(sums, 0, payload) || !s.Verify(sums, 2, payload[2*chunk.BlockBytes:]) {
		t.Fatal("does not verify")
	}
	if chunk.Sum(h.Key, 0, payload[:100]) == chunk.Sum(h.Key, 1, payload[:100]) {
		t.Fatal("the place does not matter")
	}
	other := h.Key
	other.Slot++
	if chunk.NewSummer(other).Verify(sums, 0, payload) {
		t.Fatal("the key does not matter")
	}
	if s.Verify(sums[:8], 1, payload[:10]) || s.Verify(nil, 1<<61, payload[:10]) {
		t.Fatal("verified without a checksum")
	}
}

func TestCheck(t *testing.T) {
	for name, spoil := range map[string]func(*chunk.Header){
		"k":      func(h *chunk.Header) { h.K = 0 },
		"slot":   func(h *chunk.Header) { h.Key.Slot = 6 },
		"unit":   func(h *chunk.Header) { h.UnitBytes = 4097 },
		"object": func(h *chunk.Header) { h.Object = strings.Repeat("x", chunk.ObjectMax+1) },
	} {
		h := header()
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(&h)
		if err := h.Check(); !errors.Is(err, chunk.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, b := range records() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := chunk.ParseRecord(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		switch r.Kind {
		case chunk.KindChunk:
			again = append(chunk.AppendChunk(nil, &r.Header, &r.Footer), r.Sums...)
		case chunk.KindFile:
			again = chunk.AppendFile(nil, r.File, &r.Header, &r.Footer)
		case chunk.KindEpoch:
			again = chunk.AppendEpochs(nil, r.Epochs...)
		default:
			again = chunk.AppendKeys(nil, r.Kind, r.Millis, r.Keys)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x becomes %x", b, again)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	all := records()
	f.Add(all["fileheader-v1"], all["filetrailer-v1"])
	f.Fuzz(func(t *testing.T, head, trailer []byte) {
		chunk.ParseFileHeader(head)
		sums, _, footer, err := chunk.ParseTrailer(trailer)
		if err == nil && len(sums) != chunk.Blocks(footer.ShardBytes)*chunk.SumBytes {
			t.Fatal("sums do not fit the footer")
		}
		chunk.ParseFooter(trailer)
	})
}
