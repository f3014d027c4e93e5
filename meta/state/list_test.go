package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta/keys"
)

// version is a row of Versions as the model keeps it.
type version struct {
	key    string
	ts     hlc.Stamp
	marker bool
}

// TestListing compares List with a sorted model over random keys, versions, prefixes, delimiters, markers, page sizes,
// range borders and moments.
func TestListing(t *testing.T) {
	db := openRows(t)
	for seed := range seeds(300) {
		checkListing(t, db, seed)
	}
}

func FuzzListing(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) { checkListing(t, openRows(t), seed) })
}

func checkListing(t *testing.T, db *pebble.DB, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	check0(t, db.DeleteRange([]byte{keys.FirstTable}, []byte{0xFF}, pebble.NoSync))
	all := randomVersions(rng)
	writeVersions(t, db, all)
	if rng.IntN(8) == 0 {
		check0(t, db.Flush())
	}
	spans := randomSpans(rng, all)
	for range 30 {
		req := ListRequest{
			Bucket: 2, Prefix: pick(rng, "", "", randomKey(rng), "a", "a/"), Delimiter: pick(rng, "", "/", "/", "a", "//", "\x00"),
			Max: 1 + rng.IntN(7), AsOf: hlc.Stamp(rng.IntN(6)),
		}
		if rng.IntN(2) == 0 {
			req.After = pick(rng, randomKey(rng), all[rng.IntN(len(all))].key)
		}
		want := modelListing(all, req)
		got, pages := pagedListing(t, db, spans, req)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %+v over %d ranges, in %d pages:\n got %q\nwant %q", seed, req, len(spans), pages, got, want)
		}
	}
}

func pick[T any](rng *rand.Rand, all ...T) T { return all[rng.IntN(len(all))] }

// randomKey makes short keys of few letters, so that they share prefixes and repeat.
func randomKey(rng *rand.Rand) string {
	var b strings.Builder
	for range 1 + rng.IntN(5) {
		b.WriteString(pick(rng, "a", "b", "/", "/", "\x00", "\xff", "é", "\x01"))
	}
	return b.String()
}

// randomVersions are at most 5 of a key, at stamps 1 to 5.
func randomVersions(rng *rand.Rand) []version {
	seen := map[string]bool{}
	var all []version
	for range 1 + rng.IntN(60) {
		v := version{randomKey(rng), hlc.Stamp(1 + rng.IntN(5)), rng.IntN(4) == 0}
		if at := fmt.Sprint(v.key, v.ts); !seen[at] {
			seen[at] = true
			all = append(all, v)
		}
	}
	return all
}

// writeVersions writes the rows into bucket 2, between two others that have keys too.
func writeVersions(t *testing.T, db *pebble.DB, all []version) {
	t.Helper()
	for _, v := range all {
		h := keys.Head{Size: uint64(v.ts), Parts: 3}
		if v.marker {
			h.Flags = keys.DeleteMarker
		}
		check0(t, db.Set(keys.AppendVersion(nil, keys.Versions, 2, v.key, v.ts), h.Append(nil), pebble.NoSync))
		check0(t, db.Set(keys.AppendVersion(nil, keys.Versions, 1, v.key, v.ts), h.Append(nil), pebble.NoSync))
		check0(t, db.Set(keys.AppendVersion(nil, keys.Versions, 3, v.key, v.ts), h.Append(nil), pebble.NoSync))
		check0(t, db.Set(keys.AppendVersion(nil, keys.Inline, 2, v.key, v.ts), h.Append(nil), pebble.NoSync))
	}
}

// randomSpans divides the space at some keys.
func randomSpans(rng *rand.Rand, all []version) []Span {
	borders := [][]byte{nil}
	var at []string
	for range rng.IntN(4) {
		at = append(at, all[rng.IntN(len(all))].key)
	}
	slices.Sort(at)
	for _, k := range slices.Compact(at) {
		borders = append(borders, keys.Route(2, k))
	}
	var spans []Span
	for i, b := range borders {
		s := Span{ID: 1, Start: b}
		if i+1 < len(borders) {
			s.End = borders[i+1]
		}
		spans = append(spans, s)
	}
	return spans
}

// modelListing is the whole listing, the plain way.
func modelListing(all []version, req ListRequest) []string {
	newest := map[string]version{}
	for _, v := range all {
		if (req.AsOf == 0 || v.ts <= req.AsOf) && v.ts > newest[v.key].ts {
			newest[v.key] = v
		}
	}
	entries := map[string]string{}
	for _, v := range newest {
		if v.marker || v.key <= req.After || !strings.HasPrefix(v.key, req.Prefix) {
			continue
		}
		if before, _, found := strings.Cut(v.key[len(req.Prefix):], req.Delimiter); found && req.Delimiter != "" {
			p := req.Prefix + before + req.Delimiter
			if !strings.HasPrefix(req.After, p) {
				entries[p] = fmt.Sprintf("%q ...", p)
			}
			continue
		}
		entries[v.key] = fmt.Sprintf("%q %d", v.key, v.ts)
	}
	var names, lines []string
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, entries[name])
	}
	return lines
}

// pagedListing is what a client gets page by page, range by range.
func pagedListing(t *testing.T, db *pebble.DB, spans []Span, req ListRequest) (lines []string, pages int) {
	t.Helper()
	for _, span := range spans {
		for {
			page, err := List(db, span, req, nil)
			check0(t, err)
			pages++
			n, last := 0, ""
			var e Entry
			for rest, ok := NextEntry(page.Entries, &e); ok; rest, ok = NextEntry(rest, &e) {
				n, last = n+1, string(e.Key)
				if e.Prefix {
					lines = append(lines, fmt.Sprintf("%q ...", e.Key))
					continue
				}
				lines = append(lines, fmt.Sprintf("%q %d", e.Key, e.TS))
				if e.Size != uint64(e.TS) || e.Parts != 3 {
					t.Fatalf("entry %+v", e)
				}
			}
			if n != page.Count || n > req.Max || page.Next != last || page.Truncated && n < req.Max {
				t.Fatalf("%+v: page of %d: %+v", req, n, page)
			}
			if n > 0 {
				req.After = page.Next
			}
			if !page.Truncated {
				break
			}
		}
	}
	return lines, pages
}

func TestListingOfNothing(t *testing.T) {
	db := openRows(t)
	writeVersions(t, db, []version{{key: "k", ts: 1}})
	for _, req := range []ListRequest{{Bucket: 2}, {Bucket: 9, Max: 5}, {Bucket: 2, Prefix: "l", Max: 5}, {Bucket: 2, After: "k", Max: 5}, {Bucket: 2, After: "zzz", Prefix: "k", Max: 5}} {
		page, err := List(db, Span{}, req, []byte("kept"))
		if err != nil || page.Count != 0 || page.Truncated || page.Next != "" || string(page.Entries) != "kept" {
			t.Errorf("%+v gives %+v, %v", req, page, err)
		}
	}
}

func FuzzNextEntry(f *testing.F) {
	h := keys.Head{Size: 1}
	described := keys.Head{Flags: keys.Described}
	for _, value := range [][]byte{h.Append(nil), described.Append(nil)} {
		entry, err := appendEntry(nil, kindOlder, 5, value, []byte("key"))
		check0(f, err)
		f.Add(entry)
	}
	f.Add(appendPrefixEntry(nil, []byte("key/")))
	f.Fuzz(func(t *testing.T, p []byte) {
		var e Entry
		for rest, ok := NextEntry(p, &e); ok; rest, ok = NextEntry(rest, &e) {
			if len(e.Key)+len(e.Described)+len(e.Owner) > len(p) {
				t.Fatal("an entry longer than the page")
			}
		}
	})
}
