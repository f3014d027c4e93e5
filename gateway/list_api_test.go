package gateway

import (
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

type listDoc struct {
	Name, Prefix, Marker, NextMarker, Delimiter, EncodingType string
	ContinuationToken, NextContinuationToken, StartAfter      string
	MaxKeys, KeyCount                                         int
	IsTruncated                                               bool
	Contents                                                  []struct {
		Key, ETag, StorageClass, LastModified, ChecksumAlgorithm, ChecksumType string
		Size                                                                   int
		Owner                                                                  *struct{ ID string }
	}
	CommonPrefixes []struct{ Prefix string }
}

func (k *kit) list(query url.Values) (d listDoc) {
	k.t.Helper()
	a := k.want("200", call{method: "GET", path: "/bucket?" + query.Encode()})
	if err := xml.Unmarshal(a.body, &d); err != nil {
		k.t.Fatalf("%v: %s", err, a.body)
	}
	return d
}

// keyPath is the path of a key in a bucket with every byte that might matter escaped.
func keyPath(key string) string {
	return "/bucket/" + strings.ReplaceAll(url.PathEscape(key), "%2F", "/")
}

// hardKeys are legal keys that something between client and server likes to change.
var hardKeys = []string{
	"a", "a/", "a/b", "a/b/", "a/b/c", "a//b", "//", "/", "/a", ".", "..", "./a", "../a", "a/../b", "a/./b", "a/.", "a/..",
	"ä/ö", "日本", "a b", "a+b", "a%2Fb", "a%b", "%", "a?b", "a#b", "a&b=c", "<&>\"'", "a\tb", "a\nb", "\x01", "\u007f", "\u2028", "😀",
	strings.Repeat("k", 1024), strings.Repeat("ä", 512), "_", "_/live", "C:\\x", "a:b", "a;b", "a,b", "a=b", "~", "*", "(a)", "!", "'",
}

// Source: "Naming Amazon S3 objects".
func TestKeysRoundTrip(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, key := range hardKeys {
		k.put(keyPath(key), key)
	}
	for _, key := range hardKeys {
		if a := k.want("200", call{method: "GET", path: keyPath(key)}); string(a.body) != key {
			t.Errorf("%q: got %q", key, a.body)
		}
	}
	d := k.list(url.Values{"list-type": {"2"}, "encoding-type": {"url"}})
	var got []string
	for _, c := range d.Contents {
		key, err := url.QueryUnescape(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	want := slices.Clone(hardKeys)
	sort.Strings(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed %q\nwant %q", got, want)
	}
	for _, key := range hardKeys {
		k.want("204", call{method: "DELETE", path: keyPath(key)})
	}
	if d := k.list(nil); len(d.Contents) != 0 {
		t.Errorf("left: %v", d.Contents)
	}
	// An escaped slash is a slash: one key has one path only to people.
	k.put("/bucket/x%2Fy", "1")
	k.want("200", call{method: "GET", path: "/bucket/x/y"})
	k.want("KeyTooLongError", call{method: "PUT", path: "/bucket/" + strings.Repeat("k", 1025)})
	k.want("InvalidURI", call{method: "PUT", path: "/bucket/%ff"})
}

// Source: ListObjects, ListObjectsV2.
func TestListParameters(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, key := range []string{"a/1", "a/2", "b", "c/1", "d"} {
		k.put("/bucket/"+key, "body")
	}
	d := k.list(url.Values{"delimiter": {"/"}, "max-keys": {"2"}})
	if d.NextMarker != "b" || !d.IsTruncated || len(d.CommonPrefixes) != 1 || d.MaxKeys != 2 || d.Delimiter != "/" || d.Contents[0].Owner == nil || d.Contents[0].StorageClass != "STANDARD" {
		t.Errorf("V1 with delimiter: %+v", d)
	}
	if e := d.Contents[0]; e.ETag != `"`+hexMD5("body")+`"` || e.Size != 4 || e.ChecksumAlgorithm != "CRC64NVME" || e.ChecksumType != "FULL_OBJECT" {
		t.Errorf("entry: %+v", e)
	} else if _, err := time.Parse("2006-01-02T15:04:05.000Z", e.LastModified); err != nil {
		t.Error(err)
	}
	d = k.list(url.Values{"delimiter": {"/"}, "marker": {"b"}})
	if d.Marker != "b" || len(d.Contents) != 1 || len(d.CommonPrefixes) != 1 || d.CommonPrefixes[0].Prefix != "c/" || d.NextMarker != "" {
		t.Errorf("V1 from a marker: %+v", d)
	}
	d = k.list(url.Values{"max-keys": {"1"}})
	if d.NextMarker != "" || !d.IsTruncated {
		t.Errorf("V1 without delimiter: %+v", d)
	}
	d = k.list(url.Values{"max-keys": {"0"}, "list-type": {"2"}})
	if d.IsTruncated || d.KeyCount != 0 || d.MaxKeys != 0 {
		t.Errorf("max-keys=0: %+v", d)
	}
	d = k.list(url.Values{"max-keys": {"5000"}, "list-type": {"2"}, "fetch-owner": {"true"}, "start-after": {"a/1"}})
	if d.MaxKeys != 1000 || d.KeyCount != 4 || d.StartAfter != "a/1" || d.Contents[0].Owner == nil {
		t.Errorf("V2: %+v", d)
	}
	if d = k.list(url.Values{"list-type": {"2"}}); d.Contents[0].Owner != nil {
		t.Error("V2 shows owners unasked")
	}
	for _, query := range []string{"max-keys=-1", "max-keys=a", "max-keys=99999999999", "encoding-type=base64", "list-type=3", "list-type=2&continuation-token=", "list-type=2&continuation-token=!", "list-type=2&continuation-token=eHg"} {
		k.want("InvalidArgument", call{method: "GET", path: "/bucket?" + query})
	}
	k.want("InvalidURI", call{method: "GET", path: "/bucket?prefix=%zz"})
}

// Pages of random listings add up to what a sorted list of the keys says.
func TestListAgainstModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	k := newKit(t)
	k.makeBucket("bucket")
	alphabet := []string{"a", "b", "/", "//", "ä", "z", "a/", "-"}
	word := func(max int) (s string) {
		for range rng.IntN(max) {
			s += alphabet[rng.IntN(len(alphabet))]
		}
		return s
	}
	keys := map[string]bool{}
	for range 300 {
		if key := word(8); key != "" {
			keys[key] = true
			k.put(keyPath(key), key)
		}
	}
	for range 150 {
		prefix, delimiter, after := word(3), word(2), word(4)
		size := 1 + rng.IntN(40)
		v2 := rng.IntN(2) == 0
		got := k.pages(t, prefix, delimiter, after, size, v2)
		if want := model(keys, prefix, delimiter, after); !slices.Equal(got, want) {
			t.Fatalf("prefix %q delimiter %q after %q max %d v2 %v:\n got %q\nwant %q", prefix, delimiter, after, size, v2, got, want)
		}
	}
}

func (k *kit) pages(t *testing.T, prefix, delimiter, after string, size int, v2 bool) (all []string) {
	query := url.Values{"prefix": {prefix}, "delimiter": {delimiter}, "max-keys": {fmt.Sprint(size)}}
	if v2 {
		query.Set("list-type", "2")
		query.Set("start-after", after)
	} else {
		query.Set("marker", after)
	}
	for {
		d := k.list(query)
		var page []string
		for _, c := range d.Contents {
			page = append(page, c.Key)
		}
		for _, p := range d.CommonPrefixes {
			page = append(page, p.Prefix+"*")
		}
		if len(page) > size || d.IsTruncated && len(page) != size || v2 && d.KeyCount != len(page) {
			t.Fatalf("page of %d has %d, KeyCount %d, truncated %v", size, len(page), d.KeyCount, d.IsTruncated)
		}
		sort.Slice(page, func(i, j int) bool { return strings.TrimSuffix(page[i], "*") < strings.TrimSuffix(page[j], "*") })
		all = append(all, page...)
		switch {
		case !d.IsTruncated:
			return all
		case v2:
			query.Set("continuation-token", d.NextContinuationToken)
		case delimiter != "":
			query.Set("marker", d.NextMarker)
		default:
			query.Set("marker", strings.TrimSuffix(page[len(page)-1], "*"))
		}
	}
}

// model lists as S3 does: a common prefix that the marker is, or lies in, is not shown.
func model(keys map[string]bool, prefix, delimiter, after string) (all []string) {
	var sorted []string
	for key := range keys {
		sorted = append(sorted, key)
	}
	sort.Strings(sorted)
	for _, key := range sorted {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if i := strings.Index(key[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			common := key[:len(prefix)+i+len(delimiter)]
			if common > after && !strings.HasPrefix(after, common) && !slices.Contains(all, common+"*") {
				all = append(all, common+"*")
			}
			continue
		}
		all = append(all, key)
	}
	return all
}
