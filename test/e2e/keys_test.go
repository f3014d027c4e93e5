package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// oddKeys are legal, and each has broken some store.
func oddKeys() []string {
	keys := []string{
		"a", "a/", "a/b", "a/b/", "a/b/c", "a//", "a//b", "/", "//", "/a", "///a///", ".", "..", "./", "../", "a/.", "a/..", "a/../b", "./a",
		" ", "  a  ", "+", "a+b", "%", "%2F", "%00", "%zz", "a%20b", "?", "a?b=c", "#", "a#b", "&", "=", ";", ":", "@", "!", "$", "'", "\"", "\\", "a\\b", "|", "<", ">", "<Key>", "&amp;", "{", "}", "[", "]", "^", "`", "~", "*", "(", ")", ",",
		"\t", "\n", "\r", "\r\n", "a\nb", "\x01", "\x7f", "\u0080", "é", "e\u0301", "ключ", "鍵", "🏺", "🏺/🏺", "\u200b", "\ufeff", "\ufffd", "\U0010ffff", "ﬀ", "ß", "ẞ", "İ",
		"sherd.json", "_/live", "_", "CON", "nul.txt", "a.", "a ", ".hidden", "~", "-", "--", "-rf",
		strings.Repeat("k", 1024), strings.Repeat("d/", 512), strings.Repeat("é", 512), strings.Repeat("/", 1024), "x" + strings.Repeat("\U0010ffff", 255),
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TestEveryKey stores and lists keys side by side.
func TestEveryKey(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.client()
	must(t, c.makeBucket("keys"))
	keys := oddKeys()
	for _, k := range keys {
		if err := c.put("keys", k, []byte("content of "+k)); err != nil {
			t.Errorf("PUT %q: %v", k, err)
		}
	}
	for _, k := range keys {
		if b, err := c.get("keys", k); err != nil || string(b) != "content of "+k {
			t.Errorf("GET %q: %q, %v", k, b, err)
		}
	}
	compareListing(t, c, "keys", keys, listQuery{size: 7})
	s.kill9()
	s.restart()
	compareListing(t, c, "keys", keys, listQuery{size: 1000})
	for i, k := range keys {
		if i%2 == 0 {
			must(t, c.remove("keys", k))
		}
	}
	var left []string
	for i, k := range keys {
		if i%2 == 1 {
			left = append(left, k)
		}
	}
	compareListing(t, c, "keys", left, listQuery{size: 1000})
	for _, k := range left {
		if b, err := c.get("keys", k); err != nil || string(b) != "content of "+k {
			t.Errorf("GET %q after its neighbours' deletion: %q, %v", k, b, err)
		}
	}
}

// listQuery is one way to list.
type listQuery struct {
	prefix, delimiter, after string
	size                     int
}

// expect is the listing by a sorted model: keys and common prefixes in one order, as they fill pages.
func (q listQuery) expect(keys []string) (out []string) {
	for _, k := range keys {
		if !strings.HasPrefix(k, q.prefix) || k <= q.after {
			continue
		}
		if q.delimiter != "" {
			if i := strings.Index(k[len(q.prefix):], q.delimiter); i >= 0 {
				p := k[:len(q.prefix)+i+len(q.delimiter)]
				if p > q.after && (len(out) == 0 || out[len(out)-1] != "prefix "+p) {
					out = append(out, "prefix "+p)
				}
				continue
			}
		}
		out = append(out, "key "+k)
	}
	return out
}

func compareListing(t *testing.T, c *s3, bucket string, keys []string, q listQuery) {
	t.Helper()
	want := q.expect(keys)
	var got []string
	params := map[string]string{"encoding-type": "url", "max-keys": strconv.Itoa(q.size)}
	for name, v := range map[string]string{"prefix": q.prefix, "delimiter": q.delimiter, "start-after": q.after} {
		if v != "" {
			params[name] = v
		}
	}
	for pages := 0; ; pages++ {
		page, err := c.listPage(bucket, params)
		if err != nil {
			t.Errorf("%+v: %v", q, err)
			return
		}
		var entries []string
		for _, o := range page.Contents {
			entries = append(entries, "key "+unescape(o.Key))
		}
		for _, p := range page.CommonPrefixes {
			entries = append(entries, "prefix "+unescape(p.Prefix))
		}
		if len(entries) > q.size || page.KeyCount != len(entries) || (page.IsTruncated && len(entries) == 0) || pages > len(keys)+1 {
			t.Errorf("%+v: page %d has %d entries, says %d", q, pages, len(entries), page.KeyCount)
			return
		}
		slices.SortFunc(entries, func(a, b string) int { return strings.Compare(bare(a), bare(b)) })
		got = append(got, entries...)
		if !page.IsTruncated {
			break
		}
		params["continuation-token"] = page.NextContinuationToken
	}
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("%+v: entry %d is %q, want %q (%d entries, want %d)", q, i, at(got, i), at(want, i), len(got), len(want))
				return
			}
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(none)"
}

func bare(entry string) string { _, name, _ := strings.Cut(entry, " "); return name }

func unescape(s string) string {
	u, err := url.QueryUnescape(s)
	if err != nil {
		return "bad escape: " + s
	}
	return u
}

// TestListingAgainstModel lists random keys with random prefixes, delimiters, starts and page sizes.
func TestListingAgainstModel(t *testing.T) {
	t.Parallel()
	s := start(t, options{drives: 1})
	c := s.client()
	rng := random(t)
	for round := range count(2, 15) {
		bucket := fmt.Sprintf("list-%d", round)
		must(t, c.makeBucket(bucket))
		set := map[string]bool{}
		for range 300 {
			set[randomKey(rng)] = true
		}
		keys := slices.Sorted(keysOf(toLists(set)))
		for _, k := range keys {
			must(t, c.put(bucket, k, nil))
		}
		for range count(100, 1000) {
			q := listQuery{size: []int{1, 2, 3, 7, 50, 1000}[rng.IntN(6)]}
			if rng.IntN(2) == 0 {
				k := keys[rng.IntN(len(keys))]
				q.prefix = strings.ToValidUTF8(k[:rng.IntN(len(k)+1)], "")
			}
			if rng.IntN(2) == 0 {
				q.delimiter = []string{"/", "b", "//", "a/", "é"}[rng.IntN(5)]
			}
			if rng.IntN(4) == 0 {
				q.after = randomKey(rng)
			}
			compareListing(t, c, bucket, keys, q)
			if t.Failed() {
				return
			}
		}
	}
}

func toLists(set map[string]bool) map[string][]string {
	out := map[string][]string{}
	for k := range set {
		out[k] = nil
	}
	return out
}

func randomKey(rng *rand.Rand) string {
	var b strings.Builder
	for range 1 + rng.IntN(7) {
		b.WriteString([]string{"a", "b", "/", "a/", "é", "\x01", " ", "~", "🏺"}[rng.IntN(9)])
	}
	return b.String()
}
