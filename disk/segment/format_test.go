package segment

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew: only for a new format version")

// Header and record of every version ever released are written and read as they were.
func TestGolden(t *testing.T) {
	h := header{segment: 3, salt: 0x0123456789abcdef, id: [16]byte{1, 15: 2}, prev: 2, prevEnd: 8192, prevSafe: 4096, firstSeq: 1<<32 + 7}
	block := make([]byte, blockBytes)
	h.encode(block)
	rec := make([]byte, 64)
	s := seal{segment: h.segment, salt: h.salt}
	s.put(rec, 4096, 1<<32+7, []byte("the head"), 8192, 5, 4096)
	for name, b := range map[string][]byte{"header-v1": block[:128], "record-v1": rec} {
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
	if got, err := decodeHeader(block); err != nil || got != h {
		t.Fatalf("%+v %v", got, err)
	}
	if n, salt, ok := parseName(h.name()); !ok || n != 3 || salt != h.salt {
		t.Fatal(h.name())
	}
	r, ok := s.parse(rec, 4096, 1<<20)
	if !ok || string(r.Head) != "the head" || r.Body != 8192 || r.BodyBytes != 5 || r.Seq != 1<<32+7 || r.group != 4096 {
		t.Fatalf("%+v", r)
	}
	for i := range (recordBytes + 8) * 8 {
		rec[i/8] ^= 1 << (i % 8)
		if _, ok := s.parse(rec, 4096, 1<<20); ok {
			t.Fatalf("bit %d is not seen", i)
		}
		rec[i/8] ^= 1 << (i % 8)
	}
	if _, ok := s.parse(rec, 8192, 1<<20); ok {
		t.Fatal("a record elsewhere passes")
	}
}

func FuzzDecode(f *testing.F) {
	h := header{segment: 3, salt: 1}
	b := make([]byte, blockBytes)
	h.encode(b)
	f.Add(b)
	s := seal{3, 1}
	s.put(b, 4096, 9, []byte("head"), 0, 0, 4096)
	f.Add(b[:64])
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeHeader(b)
		if r, ok := s.parse(b, 4096, 1<<20); ok && (r.end > 1<<20 || r.next() <= 4096) {
			t.Fatalf("%+v", r)
		}
		parseName(string(b))
	})
}
