package keys

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// awkward are keys that lie close together, escape, or are as long as may be.
var awkward = []string{
	"\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00\x00b", "a\x00b", "a\x01", "a/", "a//", "a/b", "a/b/", "a/b/c",
	"ab", ".", "..", "/", "//", "é", "日本", "\xff", "\xff\xff", strings.Repeat("k", MaxKeyBytes), strings.Repeat("\x00", MaxKeyBytes),
}

func TestRoutesOrderAsKeys(t *testing.T) {
	type place struct {
		bucket ids.Bucket
		key    string
	}
	var all []place
	for _, b := range []ids.Bucket{1, 2, 255, 256, 1 << 40} {
		for _, k := range awkward {
			all = append(all, place{b, k})
		}
	}
	for _, a := range all {
		for _, b := range all {
			want := cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.key, b.key))
			ra, rb := Route(a.bucket, a.key), Route(b.bucket, b.key)
			if got := bytes.Compare(ra, rb); got != want {
				t.Errorf("%v and %v compare as %d, want %d", a, b, got, want)
			}
			if want != 0 && bytes.HasPrefix(ra, rb) {
				t.Errorf("the route of %v begins with that of %v", a, b)
			}
		}
		bucket, key, rest, err := ParseRoute(append(Route(a.bucket, a.key), "rest"...), nil)
		if err != nil || bucket != a.bucket || string(key) != a.key || string(rest) != "rest" {
			t.Errorf("%v reads back as %d, %q, %q, %v", a, bucket, key, rest, err)
		}
	}
}

func TestPrefixCoversItsKeysOnly(t *testing.T) {
	for _, p := range append(awkward, "") {
		start := AppendPrefix(nil, 7, p)
		end := Successor(bytes.Clone(start))
		for _, k := range awkward {
			r := Route(7, k)
			in := bytes.Compare(r, start) >= 0 && bytes.Compare(r, end) < 0
			if in != strings.HasPrefix(k, p) {
				t.Errorf("prefix %q, key %q: in is %v", p, k, in)
			}
		}
	}
}

func TestNewestVersionFirst(t *testing.T) {
	older, newer := AppendVersion(nil, Versions, 1, "k", 5), AppendVersion(nil, Versions, 1, "k", 6)
	if bytes.Compare(newer, older) >= 0 || Stamp(newer[len(newer)-8:]) != 6 {
		t.Fatal("a newer version does not come first")
	}
}

// TestComparer holds what Pebble wants of Split and Compare, over whole keys, prefixes, and what Separator and
// Successor make of them. (pebble.CheckComparer also removes leading bytes, which we forbid: see Comparer.)
func TestComparer(t *testing.T) {
	var all [][]byte
	for _, k := range awkward {
		for _, table := range []Table{Versions, Inline} {
			prefix := AppendTable(nil, table, 1, k)
			all = append(all, prefix, Comparer.ImmediateSuccessor(nil, prefix))
			for _, ts := range []hlc.Stamp{0, 1, 1 << 62, 1<<64 - 1, ^hlc.Stamp(0x0001 << 48)} {
				all = append(all, AppendStamp(bytes.Clone(prefix), ts))
			}
		}
		all = append(all, AppendPart(nil, 1, k, ids.Upload{15: 1}, 3), AppendRepair(nil, 1, k, ids.Upload{}, 0, 1))
	}
	all = append(all, []byte{0}, []byte{1, 0, 1}, append([]byte{2}, AppendVersion(nil, Versions, 1, "k", 9)...), []byte{0x10}, []byte{0x11, 0xFF})
	slices.SortFunc(all, bytes.Compare)
	for i := range all[:len(all)-1] {
		a, b := all[i], all[i+1]
		if bytes.Equal(a, b) {
			continue
		}
		s := Comparer.Separator(nil, a, b)
		if bytes.Compare(a, s) > 0 || bytes.Compare(s, b) >= 0 {
			t.Errorf("separator of %x and %x is %x", a, b, s)
		}
		all = append(all, s, Comparer.Successor(nil, a))
		if bytes.Compare(Comparer.Successor(nil, a), a) < 0 {
			t.Errorf("successor of %x is less", a)
		}
	}
	c := Comparer
	for _, a := range all {
		n := c.Split(a)
		if c.Split(a[:n]) != n || n < len(a) && c.Compare(a[:n], a) >= 0 {
			t.Errorf("%x splits at %d", a, n)
		}
		for _, b := range all {
			an, bn := c.Split(a), c.Split(b)
			want := cmp.Or(bytes.Compare(a[:an], b[:bn]), c.ComparePointSuffixes(a[an:], b[bn:]))
			if c.Compare(a, b) != want || c.Equal(a, b) != (want == 0) {
				t.Errorf("%x and %x do not compare by prefix, then suffix", a, b)
			}
			abbreviated := cmp.Compare(c.AbbreviatedKey(a), c.AbbreviatedKey(b))
			if abbreviated != 0 && abbreviated != c.Compare(a, b) {
				t.Errorf("%x and %x: abbreviated keys compare as %d", a, b, abbreviated)
			}
		}
	}
}

func TestSplitCutsStampsOnly(t *testing.T) {
	version := AppendVersion(nil, Versions, 1, "k", 9)
	for _, c := range []struct {
		key  []byte
		want int
	}{
		{version, len(version) - 8},
		{version[:len(version)-8], len(version) - 8},
		{append([]byte{0x02}, version[1:]...), len(version)}, // disk's
		{AppendExtent(nil, 1, "k", 9, 0), 1 + 8 + 3 + 16},
		{AppendVersion(nil, Inline, 1, "", 1), 1 + 8 + 2},
		{nil, 0},
	} {
		if got := Comparer.Split(c.key); got != c.want {
			t.Errorf("%x splits at %d, want %d", c.key, got, c.want)
		}
	}
}

func TestRowsReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, table := range ByRoute() {
		for _, k := range awkward {
			row := Row{Table: table, Bucket: ids.Bucket(rng.Uint64()), Key: k}
			switch table {
			case Versions, Inline:
				row.TS = hlc.Stamp(rng.Uint64())
			case Extents:
				row.TS, row.Offset = hlc.Stamp(rng.Uint64()), rng.Uint64()
			case Nulls:
			default:
				row.ID = leastID(rng.Uint64())
			}
			switch table {
			case Parts:
				row.Part = rng.Uint32()
			case Repairs:
				row.Blob, row.Slot = rng.Uint32(), uint8(rng.Uint32())
			}
			got, err := ParseRow(row.Append(nil))
			if err != nil || got != row {
				t.Errorf("%+v reads back as %+v, %v", row, got, err)
			}
		}
	}
}

// TestClassCodes holds the codes: they are in rows.
func TestClassCodes(t *testing.T) {
	for code, class := range map[uint8]string{
		0: "STANDARD", 1: "REDUCED_REDUNDANCY", 2: "STANDARD_IA", 3: "ONEZONE_IA", 4: "INTELLIGENT_TIERING", 5: "GLACIER",
		6: "DEEP_ARCHIVE", 7: "OUTPOSTS", 8: "GLACIER_IR", 9: "SNOW", 10: "EXPRESS_ONEZONE",
	} {
		if got, ok := ClassCode(class); !ok || got != code || ClassName(code) != class {
			t.Errorf("%s has code %d, %v; code %d is %s", class, got, ok, code, ClassName(code))
		}
	}
	if code, ok := ClassCode(""); !ok || code != 0 {
		t.Errorf("no class has code %d, %v", code, ok)
	}
	if _, ok := ClassCode("FAST"); ok {
		t.Error("a class that S3 does not know has a code")
	}
	if ClassName(200) != "STANDARD" {
		t.Errorf("a code that nobody gave is %s", ClassName(200))
	}
}

func leastID(v uint64) (id ids.Upload) {
	for i := range id {
		id[i] = byte(v >> (i % 8 * 8))
	}
	return id
}

func FuzzParseRow(f *testing.F) {
	for _, k := range awkward[:12] {
		f.Add(AppendVersion(nil, Versions, 1, k, 9))
		f.Add(AppendRepair(nil, 1, k, ids.Upload{3}, 4, 5))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := ParseRow(b)
		if err == nil && !bytes.Equal(row.Append(nil), b) {
			t.Fatalf("%x parses as %+v, which is %x", b, row, row.Append(nil))
		}
		if n := Comparer.Split(b); n > len(b) || err == nil && Comparer.Split(b[:n]) != n {
			t.Fatalf("%x splits at %d", b, n)
		}
	})
}

func FuzzValues(f *testing.F) {
	f.Add((&Head{Size: 1}).Append(nil))
	f.Add((&Applied{Index: 1}).Append(nil))
	f.Add((&Counters{Objects: 1}).Append(nil))
	f.Add(AppendNullStamp(nil, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ts, err := NullStamp(b); err == nil && !bytes.Equal(AppendNullStamp(nil, ts), b) {
			t.Fatalf("null stamp %x reads as %d", b, ts)
		}
		var h Head
		if rest, err := h.Decode(b); err == nil && !bytes.Equal(append(h.Append(nil), rest...), b) {
			t.Fatalf("head %x reads as %+v", b, h)
		}
		var a Applied
		if err := a.Decode(b); err == nil && !bytes.Equal(a.Append(nil), b) {
			t.Fatalf("applied %x reads as %+v", b, a)
		}
		var c Counters
		if err := c.Decode(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Fatalf("counters %x read as %+v", b, c)
		}
	})
}
