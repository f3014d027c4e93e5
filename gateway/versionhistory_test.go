package gateway

import (
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// history is a bucket that a random history is made of, beside what the model says.
type history struct {
	*kit
	*modelBucket
	rng     *rand.Rand
	passed  *atomic.Int64
	steps   []string
	uploads []modelUpload
	gone    []goneVersion
}

// modelUpload is an upload in parts that goes on.
type modelUpload struct {
	key, id, tags string
}

// goneVersion was there once, and has an id that will not be used again.
type goneVersion struct {
	key, id string
	seq     int
}

var historyKeys = []string{"a", "a/b", "d/x", "d/y/z", "ü +&", "d"}

// fail ends the test with what led there.
func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("%s, after\n\t%s", fmt.Sprintf(format, args...), strings.Join(h.steps, "\n\t"))
}

// ask sends a request a little later, and expects an answer's code.
func (h *history) ask(code string, q call) *answerTo {
	h.t.Helper()
	h.passed.Add(1 + h.rng.Int64N(1500))
	h.steps = append(h.steps, fmt.Sprintf("%s %s %v", q.method, q.path, q.header))
	a := h.do(q)
	if a.err != nil || a.code() != code {
		h.fail("got %s, want %s (%v) %s", a.code(), code, a.err, a.body)
	}
	return a
}

// id is the version id that an answer tells, if it tells the one that it should.
func (h *history) id(a *answerTo) string {
	h.t.Helper()
	id, n := a.version(), map[string]int{"": 0, placement.VersioningSuspended: len("null"), placement.VersioningEnabled: 32}[h.status]
	if len(id) != n || n == 4 && id != "null" {
		h.fail("with versioning %q an answer has the version id %q", h.status, id)
	}
	return id
}

// some is a key, and a version of it that is there: "" is the newest, also where there is none.
func (h *history) some() (key, id string) {
	key = pick(h.rng, historyKeys...)
	if all := h.keys[key]; len(all) > 0 && h.rng.IntN(3) > 0 {
		id = pick(h.rng, all...).id
	}
	return key, id
}

// naming is the path of a version, or of a subresource of it.
func naming(key, id, subresource string) string {
	query := subresource
	if id != "" {
		query = strings.Trim(query+"&versionId="+id, "&")
	}
	if query == "" {
		return keyPath(key)
	}
	return keyPath(key) + "?" + query
}

// body is a new one, in the range or in blobs.
func (h *history) body() string {
	return fmt.Sprintf("%d %s", len(h.steps), strings.Repeat(".", h.rng.IntN(2)*4000))
}

func (h *history) newVersion() (v *modelVersion, header []string) {
	v = &modelVersion{body: h.body(), note: fmt.Sprint(len(h.steps)), tags: pick(h.rng, "", "a=1")}
	return v, []string{"X-Amz-Meta-Note", v.note, "X-Amz-Tagging", v.tags}
}

// condition is one on the version v, which may be nil, and the code that it gives; "" if it holds.
func (h *history) condition(v *modelVersion, absent string) (header []string, code string) {
	there := v != nil && !v.marker
	switch h.rng.IntN(8) {
	case 0:
		if there {
			return []string{"If-Match", v.etag}, ""
		}
		return []string{"If-Match", etagOf("")}, absent
	case 1:
		if !there {
			return []string{"If-Match", etagOf("none")}, absent
		}
		return []string{"If-Match", etagOf("none")}, "PreconditionFailed"
	}
	return nil, ""
}

func (h *history) put() {
	key := pick(h.rng, historyKeys...)
	v, header := h.newVersion()
	condition, code := h.condition(h.newest(key), "NoSuchKey")
	if h.rng.IntN(10) == 0 {
		condition, code = []string{"If-None-Match", "*"}, ""
		if n := h.newest(key); n != nil && !n.marker {
			code = "PreconditionFailed"
		}
	}
	q := call{method: "PUT", path: keyPath(key), body: []byte(v.body), header: pairs(append(header, condition...))}
	if code != "" {
		h.ask(code, q)
		return
	}
	a := h.ask("200", q)
	v.etag, v.modified = etagOf(v.body), h.now()
	h.add(key, h.id(a), v)
}

// begin begins an upload in parts.
func (h *history) begin() {
	u := modelUpload{key: pick(h.rng, historyKeys...), tags: pick(h.rng, "", "a=2")}
	a := h.ask("200", call{method: "POST", path: keyPath(u.key) + "?uploads", header: pairs([]string{"X-Amz-Tagging", u.tags})})
	u.id = between(string(a.body), "<UploadId>", "</UploadId>")
	h.uploads = append(h.uploads, u)
}

// complete ends an upload, perhaps long after it began.
func (h *history) complete() {
	if len(h.uploads) == 0 {
		return
	}
	i := h.rng.IntN(len(h.uploads))
	u := h.uploads[i]
	h.uploads = slices.Delete(h.uploads, i, i+1)
	parts := []string{h.body()}
	if h.rng.IntN(2) == 0 {
		parts = []string{text(1500), h.body()}
	}
	doc := "<CompleteMultipartUpload>"
	for n, body := range parts {
		a := h.ask("200", call{method: "PUT", path: fmt.Sprintf("%s?partNumber=%d&uploadId=%s", keyPath(u.key), n+1, u.id), body: []byte(body)})
		doc += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n+1, a.header.Get("ETag"))
	}
	a := h.ask("200", call{method: "POST", path: keyPath(u.key) + "?uploadId=" + u.id, body: []byte(doc + "</CompleteMultipartUpload>")})
	h.add(u.key, h.id(a), &modelVersion{body: strings.Join(parts, ""), etag: etagOfParts(parts), tags: u.tags, modified: h.now()})
}

// copy copies a version, perhaps onto its own key.
func (h *history) copy() {
	from, id := h.some()
	key, of := pick(h.rng, historyKeys...), h.find(from, id)
	v, header := h.newVersion()
	header = append(header, "X-Amz-Copy-Source", naming(from, id, ""))
	replaceNote, replaceTags := h.rng.IntN(2) == 0, h.rng.IntN(2) == 0
	if replaceNote {
		header = append(header, "X-Amz-Metadata-Directive", "REPLACE")
	}
	if replaceTags {
		header = append(header, "X-Amz-Tagging-Directive", "REPLACE")
	}
	q := call{method: "PUT", path: keyPath(key), header: pairs(header)}
	switch {
	case from == key && id == "" && !replaceNote && !replaceTags:
		h.ask("InvalidRequest", q)
		return
	case of == nil || of.marker && id == "":
		h.ask("NoSuchKey", q)
		return
	case of.marker:
		h.ask("InvalidRequest", q)
		return
	}
	if v.body, v.etag = of.body, etagOf(of.body); !replaceNote {
		v.note = of.note
	}
	if from == key && h.status == "" {
		v.etag = of.etag // it is not stored anew
	}
	if !replaceTags {
		v.tags = of.tags
	}
	a := h.ask("200", q)
	if h.status != "" && a.header.Get("X-Amz-Copy-Source-Version-Id") != of.id {
		h.fail("the source's version is %q", a.header.Get("X-Amz-Copy-Source-Version-Id"))
	}
	v.modified = h.now()
	h.add(key, h.id(a), v)
}

// forget removes a version that is to go.
func (h *history) forget(key, id string) {
	if v := h.find(key, id); v != nil && id != "" {
		h.gone = append(h.gone, goneVersion{key, v.id, v.seq})
		h.remove(key, id)
	}
}

// delete deletes a key, or a version of it, on a condition sometimes.
func (h *history) delete() {
	key, id := h.some()
	if h.rng.IntN(10) == 0 {
		id = "null"
	}
	v := h.find(key, id)
	condition, code := h.condition(v, "NoSuchKey")
	q := call{method: "DELETE", path: naming(key, id, ""), header: pairs(condition)}
	if code != "" {
		h.ask(code, q)
		return
	}
	a := h.ask("204", q)
	h.checkDeleted(key, id, a.header.Get("X-Amz-Delete-Marker") == "true", a.version())
}

// checkDeleted has the model delete as the server says it did.
func (h *history) checkDeleted(key, id string, marker bool, version string) {
	if id != "" {
		v := h.find(key, id)
		if marker != (v != nil && v.marker) || version != id && (h.status != "" || version != "") {
			h.fail("deleting %q %s: marker %v, version %q", key, id, marker, version)
		}
		h.forget(key, id)
		return
	}
	made := h.modelBucket.delete(key, version, h.now())
	if marker != (made != nil) || made != nil && (version != made.id || h.status == placement.VersioningEnabled && len(version) != 32) {
		h.fail("deleting %q: marker %v, version %q", key, marker, version)
	}
}

// deleteMany deletes some keys and versions by one request.
func (h *history) deleteMany() {
	doc, names := "<Delete>", [][2]string{}
	for range 1 + h.rng.IntN(3) {
		key, id := h.some()
		if slices.Contains(names, [2]string{key, id}) {
			continue
		}
		names = append(names, [2]string{key, id})
		doc += "<Object><Key>" + strings.ReplaceAll(key, "&", "&amp;") + "</Key>"
		if id != "" {
			doc += "<VersionId>" + id + "</VersionId>"
		}
		doc += "</Object>"
	}
	a := h.ask("200", deleteObjects("bucket", doc+"</Delete>"))
	var got struct {
		Deleted []struct {
			Key, VersionId, DeleteMarkerVersionId string
			DeleteMarker                          bool
		}
	}
	check(h.t, xml.Unmarshal(a.body, &got))
	if len(got.Deleted) != len(names) {
		h.fail("deleted %d of %d: %s", len(got.Deleted), len(names), a.body)
	}
	for i, d := range got.Deleted {
		version := d.DeleteMarkerVersionId
		if d.VersionId != "" {
			version = d.VersionId
		}
		if d.Key != names[i][0] || d.VersionId != names[i][1] {
			h.fail("instead of %q: %+v", names[i], d)
		}
		h.checkDeleted(d.Key, d.VersionId, d.DeleteMarker, version)
	}
}

// tag changes a version's tags in place.
func (h *history) tag() {
	key, id := h.some()
	v, tags := h.find(key, id), pick(h.rng, "", "1", "2")
	q, code := call{method: "PUT", path: naming(key, id, "tagging"), body: tagging("a", tags)}, "200"
	if tags == "" {
		q, code = call{method: "DELETE", path: q.path}, "204"
	}
	switch {
	case v == nil || v.marker && id == "":
		h.ask("NoSuchKey", q)
		return
	case v.marker:
		h.ask("MethodNotAllowed", q)
		return
	}
	a := h.ask(code, q)
	if want := h.shown(v); a.version() != want {
		h.fail("tags of %q, not of %q", a.version(), want)
	}
	if v.tags = ""; tags != "" {
		v.tags = "a=" + tags
	}
}

// shown is v's id as answers about it tell it.
func (h *history) shown(v *modelVersion) string {
	if h.status == "" {
		return ""
	}
	return v.id
}

func (h *history) setStatus() {
	status := pick(h.rng, placement.VersioningEnabled, placement.VersioningSuspended)
	h.ask("200", call{method: "PUT", path: "/bucket?versioning", body: []byte("<VersioningConfiguration><Status>" + status + "</Status></VersioningConfiguration>")})
	h.status = status
}

func (h *history) step() {
	switch n := h.rng.IntN(24); {
	case n < 8:
		h.put()
	case n < 13:
		h.delete()
	case n < 14:
		h.deleteMany()
	case n < 16:
		h.copy()
	case n < 17:
		h.begin()
	case n < 19:
		h.complete()
	case n < 21:
		h.tag()
	case n < 22:
		check(h.t, h.records.restart())
		check(h.t, h.records.reclaim(h.blobs))
	case len(h.steps) > 10:
		h.setStatus()
	}
}

// compare reads a key, and each of its versions, by GET or HEAD.
func (h *history) compare(key string) {
	h.t.Helper()
	method := pick(h.rng, "GET", "HEAD")
	for _, v := range h.keys[key] {
		h.compareVersion(method, key, v.id, v)
	}
	h.compareVersion(method, key, "", h.newest(key))
	if len(h.gone) > 0 {
		g := pick(h.rng, h.gone...)
		if h.find(g.key, g.id) == nil { // a null version may be there again
			h.compareVersion(method, g.key, g.id, nil)
		}
	}
}

// compareVersion reads a version that is v; nil: there is none.
func (h *history) compareVersion(method, key, id string, v *modelVersion) {
	h.t.Helper()
	a := h.do(call{method: method, path: naming(key, id, "")})
	status := http.StatusOK
	switch {
	case v == nil, v.marker && id == "":
		status = http.StatusNotFound
	case v.marker:
		status = http.StatusMethodNotAllowed
	}
	code := map[bool]string{true: "NoSuchVersion", false: "NoSuchKey"}[id != ""]
	switch marker := v != nil && v.marker; {
	case a.err != nil || a.status != status:
		h.fail("%s %q %s: %d %v, not %d: %s", method, key, id, a.status, a.err, status, a.body)
	case method == "GET" && status == http.StatusNotFound && a.code() != code:
		h.fail("%s %q %s: %s, not %s", method, key, id, a.code(), code)
	case (a.header.Get("X-Amz-Delete-Marker") == "true") != marker:
		h.fail("%s %q %s: a delete marker: not %v", method, key, id, marker)
	case v != nil && a.version() != h.shown(v):
		h.fail("%s %q %s: version %s, not %s", method, key, id, a.version(), v.id)
	case status == http.StatusOK:
		h.compareObject(method, key, v, a)
	}
}

func (h *history) compareObject(method, key string, v *modelVersion, a *answerTo) {
	h.t.Helper()
	count := ""
	if v.tags != "" {
		count = "1"
	}
	got := []string{a.header.Get("ETag"), a.header.Get("Content-Length"), a.header.Get("Last-Modified"), a.header.Get("X-Amz-Meta-Note"), a.header.Get("X-Amz-Tagging-Count")}
	want := []string{v.etag, fmt.Sprint(len(v.body)), v.modified.UTC().Format(http.TimeFormat), v.note, count}
	if !slices.Equal(got, want) || method == "GET" && string(a.body) != v.body {
		h.fail("%s %q %s: %q, not %q", method, key, v.id, got, want)
	}
	if method == "HEAD" {
		return
	}
	doc := string(h.want("200", call{method: "GET", path: naming(key, v.id, "tagging")}).body)
	if tags := strings.ReplaceAll(between(doc, "<Key>", "</Value>"), "</Key><Value>", "="); tags != v.tags {
		h.fail("tags of %q %s are %q, not %q", key, v.id, tags, v.tags)
	}
}

// listed reads a listing of versions, max entries at a time.
func (h *history) listed(query url.Values, max int) (entries, prefixes []string) {
	h.t.Helper()
	query = maps.Clone(query)
	query.Set("max-keys", fmt.Sprint(max))
	for {
		var page struct {
			Entries []struct {
				XMLName                                xml.Name
				Key, VersionId, ETag, LastModified, ID string
				IsLatest                               bool
				Size                                   int
			} `xml:",any"`
			IsTruncated                        bool
			NextKeyMarker, NextVersionIdMarker string
			CommonPrefixes                     []struct{ Prefix string }
		}
		a := h.want("200", call{method: "GET", path: "/bucket?versions&" + query.Encode()})
		check(h.t, xml.Unmarshal(a.body, &page))
		n := len(page.CommonPrefixes)
		for _, e := range page.Entries {
			switch e.XMLName.Local {
			case "DeleteMarker":
				entries = append(entries, fmt.Sprintf("DeleteMarker %q %s latest=%v %s", e.Key, e.VersionId, e.IsLatest, e.LastModified))
			case "Version":
				entries = append(entries, fmt.Sprintf("Version %q %s latest=%v %s %s %d", e.Key, e.VersionId, e.IsLatest, e.LastModified, e.ETag, e.Size))
			default:
				continue
			}
			n++
		}
		for _, p := range page.CommonPrefixes {
			prefixes = append(prefixes, p.Prefix)
		}
		if n > max || page.IsTruncated && n < max {
			h.fail("a page of %d of %v has %d entries, truncated %v", max, query, n, page.IsTruncated)
		}
		if !page.IsTruncated {
			return entries, prefixes
		}
		query.Del("version-id-marker")
		if query.Set("key-marker", page.NextKeyMarker); page.NextVersionIdMarker != "" {
			query.Set("version-id-marker", page.NextVersionIdMarker)
		}
	}
}

// compareListing reads a listing of versions, max entries at a time.
func (h *history) compareListing(prefix, delimiter string, from behind, id string, max int) {
	h.t.Helper()
	query := url.Values{"prefix": {prefix}, "delimiter": {delimiter}}
	if from.key != "" {
		query.Set("key-marker", from.key)
	}
	if id != "" {
		query.Set("version-id-marker", id)
	}
	entries, prefixes := h.listed(query, max)
	wantEntries, wantPrefixes := h.listing(prefix, delimiter, from)
	if !slices.Equal(entries, wantEntries) || !slices.Equal(prefixes, wantPrefixes) {
		h.fail("%v, %d at a time, lists\n%s\n%q\nnot\n%s\n%q\n", query, max, strings.Join(entries, "\n"), prefixes, strings.Join(wantEntries, "\n"), wantPrefixes)
	}
}

// compareListings reads all listings: pages of every size, and what is behind every marker.
func (h *history) compareListings() {
	h.t.Helper()
	delimiter, prefix := pick(h.rng, "", "/"), pick(h.rng, "", "", "d", "d/", "a/b", "none")
	all, prefixes := h.listing(prefix, delimiter, behind{})
	for max := 1; max <= len(all)+len(prefixes)+1; max++ {
		h.compareListing(prefix, delimiter, behind{}, "", max)
	}
	for _, key := range []string{"a/", "b", "d/", "d/y", "zz", pick(h.rng, historyKeys...)} {
		h.compareListing(prefix, delimiter, behind{key: key}, "", 3)
	}
	for _, key := range historyKeys {
		for _, v := range h.keys[key] {
			h.compareListing(prefix, pick(h.rng, "", delimiter), behind{key, v.seq}, v.id, 1+h.rng.IntN(4))
		}
	}
	for _, g := range h.gone {
		if g.id == "null" && h.find(g.key, "null") != nil {
			continue // another one is there
		}
		if g.id == "null" {
			g.seq = h.seq + 1 // it is not known how old it was: what may be older is listed
		}
		h.compareListing("", "", behind{g.key, g.seq}, g.id, 1000)
	}
	objects := h.readable()
	for max := 1; max <= len(objects)+1; max++ {
		for _, v2 := range []bool{false, true} {
			got := h.pages(h.t.(*testing.T), prefix, delimiter, "", max, v2)
			if want := model(objects, prefix, delimiter, ""); !slices.Equal(got, want) {
				h.fail("objects with prefix %q, delimiter %q, %d at a time: %q, not %q", prefix, delimiter, max, got, want)
			}
		}
	}
	for _, c := range h.list(url.Values{"list-type": {"2"}}).Contents {
		if v := h.newest(c.Key); v == nil || c.ETag != v.etag || c.Size != len(v.body) || c.LastModified != v.modified.UTC().Format("2006-01-02T15:04:05.000Z") {
			h.fail("%+v is not %+v", c, v)
		}
	}
}

// TestVersionHistories makes random histories of versions through the gateway, and compares what is read and listed with the model.
func TestVersionHistories(t *testing.T) {
	histories := uint64(12)
	switch {
	case *soak:
		histories = 3000
	case testing.Short():
		histories = 2
	}
	for seed := range histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			passed := new(atomic.Int64)
			began := time.Now().Truncate(time.Millisecond)
			k := newKitAt(t, func() time.Time { return began.Add(time.Duration(passed.Load()) * time.Millisecond) })
			k.makeBucket("bucket")
			h := &history{kit: k, modelBucket: &modelBucket{keys: map[string][]*modelVersion{}}, rng: rand.New(rand.NewPCG(seed, 12)), passed: passed}
			for range 60 {
				h.step()
				h.compare(pick(h.rng, historyKeys...))
			}
			for _, key := range historyKeys {
				h.compare(key)
			}
			h.compareListings()
		})
	}
}
