package gateway

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// versioning puts a bucket's versioning.
func (k *kit) versioning(bucket, status string) {
	k.t.Helper()
	k.want("200", call{method: "PUT", path: "/" + bucket + "?versioning", body: []byte("<VersioningConfiguration><Status>" + status + "</Status></VersioningConfiguration>")})
}

// version is what a header of an answer says of the version, which must have an id.
func (a *answerTo) version() string { return a.header.Get("X-Amz-Version-Id") }

// versionsList is a ListObjectVersions' answer as tests look at it.
type versionsList struct {
	Entries []struct {
		XMLName         xml.Name
		Key, VersionId  string
		IsLatest        bool
		Size            int
		StorageClass    string
		Owner           struct{ ID string }
		KeyMarker, Name string
	} `xml:",any"`
	IsTruncated                        bool
	NextKeyMarker, NextVersionIdMarker string
	CommonPrefixes                     []struct{ Prefix string }
}

func (k *kit) versions(query string) (l versionsList, entries []string) {
	k.t.Helper()
	a := k.want("200", call{method: "GET", path: "/bucket?versions&" + query})
	if err := xml.Unmarshal(a.body, &l); err != nil {
		k.t.Fatal(err)
	}
	for _, e := range l.Entries {
		if name := e.XMLName.Local; name == "Version" || name == "DeleteMarker" {
			latest := ""
			if e.IsLatest {
				latest = " latest"
			}
			entries = append(entries, name+" "+e.Key+" "+e.VersionId+latest)
		}
	}
	return l, entries
}

// TestVersions: the life of a key through the three states of versioning. Source: S3 User Guide, "Working with objects in a
// versioning-enabled bucket", "... in a versioning-suspended bucket"; API reference of each operation.
func TestVersions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	if a := k.put("/bucket/k", "null1"); a.version() != "" {
		t.Errorf("a version id in a bucket that has none: %q", a.version())
	}
	if a := k.want("200", call{method: "GET", path: "/bucket?versioning"}); strings.Contains(string(a.body), "Status") {
		t.Errorf("never versioned: %s", a.body)
	}
	k.versioning("bucket", "Enabled")
	if a := k.want("200", call{method: "GET", path: "/bucket?versioning"}); !strings.Contains(string(a.body), "<Status>Enabled</Status>") {
		t.Errorf("%s", a.body)
	}
	if got := k.want("200", call{method: "GET", path: "/bucket/k"}).version(); got != "null" {
		t.Errorf("what was there before has the id %q", got)
	}
	one := k.put("/bucket/k", "one").version()
	two := k.put("/bucket/k", "second").version()
	if len(one) != 32 || len(two) != 32 || one == two {
		t.Fatalf("ids %q and %q", one, two)
	}
	for id, body := range map[string]string{one: "one", two: "second", "null": "null1"} {
		a := k.want("200", call{method: "GET", path: "/bucket/k?versionId=" + id})
		if string(a.body) != body || a.version() != id {
			t.Errorf("%s: %q, id %q", id, a.body, a.version())
		}
		if h := k.want("200", call{method: "HEAD", path: "/bucket/k?versionId=" + id}); h.version() != id || h.header.Get("Content-Length") != fmt.Sprint(len(body)) {
			t.Errorf("HEAD %s: %v", id, h.header)
		}
	}
	deleted := k.want("204", call{method: "DELETE", path: "/bucket/k"})
	marker := deleted.version()
	if deleted.header.Get("X-Amz-Delete-Marker") != "true" || len(marker) != 32 {
		t.Fatalf("a deletion's answer: %v", deleted.header)
	}
	for _, c := range []struct{ method, query, code string }{
		{"GET", "", "NoSuchKey"}, {"HEAD", "", "404"}, {"GET", "?versionId=" + marker, "MethodNotAllowed"}, {"HEAD", "?versionId=" + marker, "405"},
	} {
		a := k.want(c.code, call{method: c.method, path: "/bucket/k" + c.query})
		if a.header.Get("X-Amz-Delete-Marker") != "true" || a.version() != marker {
			t.Errorf("%s k%s: %v", c.method, c.query, a.header)
		}
	}
	list := []string{"DeleteMarker k " + marker + " latest", "Version k " + two, "Version k " + one, "Version k null"}
	if _, got := k.versions(""); fmt.Sprint(got) != fmt.Sprint(list) {
		t.Errorf("listed %q, want %q", got, list)
	}
	if a := k.want("204", call{method: "DELETE", path: "/bucket/k?versionId=" + two}); a.version() != two || a.header.Get("X-Amz-Delete-Marker") != "" {
		t.Errorf("a version's deletion: %v", a.header)
	}
	if a := k.want("204", call{method: "DELETE", path: "/bucket/k?versionId=" + marker}); a.version() != marker || a.header.Get("X-Amz-Delete-Marker") != "true" {
		t.Errorf("a marker's deletion: %v", a.header)
	}
	k.want("NoSuchVersion", call{method: "GET", path: "/bucket/k?versionId=" + two})
	if a := k.want("200", call{method: "GET", path: "/bucket/k"}); string(a.body) != "one" {
		t.Errorf("after the marker is gone: %s", a.body)
	}
	k.versioning("bucket", "Suspended")
	if a := k.put("/bucket/k", "null2"); a.version() != "null" {
		t.Errorf("a put while suspended: %q", a.version())
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/k?versionId=null"}); string(a.body) != "null2" {
		t.Errorf("the null version is %s", a.body)
	}
	if a := k.want("204", call{method: "DELETE", path: "/bucket/k"}); a.version() != "null" || a.header.Get("X-Amz-Delete-Marker") != "true" {
		t.Errorf("a deletion while suspended: %v", a.header)
	}
	if _, got := k.versions(""); fmt.Sprint(got) != fmt.Sprint([]string{"DeleteMarker k null latest", "Version k " + one}) {
		t.Errorf("listed %q", got)
	}
}

// TestVersionErrors: what names no version, or what cannot be.
func TestVersionErrors(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.versioning("bucket", "Enabled")
	id := k.put("/bucket/k", "body").version()
	gone := k.put("/bucket/k", "body").version()
	k.want("204", call{method: "DELETE", path: "/bucket/k?versionId=" + gone})
	document := func(inner string) []byte {
		return []byte("<VersioningConfiguration>" + inner + "</VersioningConfiguration>")
	}
	for _, c := range []struct {
		code string
		call
	}{
		{"InvalidArgument", call{method: "GET", path: "/bucket/k?versionId=" + strings.ToUpper(id)}},
		{"InvalidArgument", call{method: "GET", path: "/bucket/k?versionId="}},
		{"400", call{method: "HEAD", path: "/bucket/k?versionId=x"}},
		{"InvalidArgument", call{method: "DELETE", path: "/bucket/k?versionId=x"}},
		{"NoSuchVersion", call{method: "GET", path: "/bucket/k?versionId=" + gone}},
		{"NoSuchVersion", call{method: "GET", path: "/bucket/other?versionId=" + id}},
		{"NoSuchVersion", call{method: "GET", path: "/bucket/k?versionId=null"}},
		{"204", call{method: "DELETE", path: "/bucket/k?versionId=" + gone}},
		{"InvalidArgument", call{method: "PUT", path: "/bucket/copy", header: pairs([]string{"X-Amz-Copy-Source", "/bucket/k?versionId=x"})}},
		{"InvalidArgument", call{method: "PUT", path: "/bucket/copy", header: pairs([]string{"X-Amz-Copy-Source", "/bucket/k?versionId="})}},
		{"NoSuchVersion", call{method: "PUT", path: "/bucket/copy", header: pairs([]string{"X-Amz-Copy-Source", "/bucket/k?versionId=" + gone})}},
		{"InvalidArgument", call{method: "GET", path: "/bucket?versions&version-id-marker=" + id}},
		{"InvalidArgument", call{method: "GET", path: "/bucket?versions&key-marker=k&version-id-marker="}},
		{"InvalidArgument", call{method: "GET", path: "/bucket?versions&key-marker=k&version-id-marker=x"}},
		{"InvalidArgument", call{method: "GET", path: "/bucket?versions&encoding-type=x"}},
		{"IllegalVersioningConfigurationException", call{method: "PUT", path: "/bucket?versioning", body: document("")}},
		{"MalformedXML", call{method: "PUT", path: "/bucket?versioning", body: document("<Status>Off</Status>")}},
		{"NotImplemented", call{method: "PUT", path: "/bucket?versioning", body: document("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>")}},
		{"AccessDenied", call{method: "PUT", path: "/bucket?versioning", anonymous: true, body: document("<Status>Suspended</Status>")}},
		{"AccessDenied", call{method: "GET", path: "/bucket?versioning", anonymous: true}},
		{"AccessDenied", call{method: "GET", path: "/bucket?versions", anonymous: true}},
	} {
		k.want(c.code, c.call)
	}
}

// TestListVersionsPages: pages of every size, with and without a delimiter, have each entry once. Source: ListObjectVersions.
func TestListVersionsPages(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/a", "null")
	k.versioning("bucket", "Enabled")
	for _, key := range []string{"a", "a", "b", "d/x", "d/y", "e%20%2B"} {
		k.put("/bucket/"+key, "body")
	}
	k.want("204", call{method: "DELETE", path: "/bucket/b"})
	for _, delimiter := range []string{"", "/"} {
		full, want := k.versions("delimiter=" + delimiter)
		if full.IsTruncated || len(want) != map[string]int{"": 8, "/": 6}[delimiter] {
			t.Fatalf("all: %q", want)
		}
		for size := 1; size <= len(want)+1; size++ {
			var got []string
			prefixes := 0
			for markers := ""; ; {
				page, entries := k.versions(fmt.Sprintf("delimiter=%s&max-keys=%d%s", delimiter, size, markers))
				if got, prefixes = append(got, entries...), prefixes+len(page.CommonPrefixes); !page.IsTruncated {
					break
				}
				if len(entries)+len(page.CommonPrefixes) != size {
					t.Fatalf("a page of %d has %d entries", size, len(entries))
				}
				markers = "&key-marker=" + url.QueryEscape(page.NextKeyMarker)
				if page.NextVersionIdMarker != "" {
					markers += "&version-id-marker=" + page.NextVersionIdMarker
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || prefixes != len(full.CommonPrefixes) {
				t.Errorf("delimiter %q, pages of %d: %q and %d prefixes, want %q", delimiter, size, got, prefixes, want)
			}
		}
	}
	if _, got := k.versions("key-marker=a&version-id-marker=null"); len(got) != 5 {
		t.Errorf("behind the null version: %q", got)
	}
	if l, _ := k.versions("max-keys=3"); l.NextVersionIdMarker != "null" {
		t.Errorf("a page that ends with the null version goes on behind %s", l.NextVersionIdMarker)
	}
	if l, got := k.versions("max-keys=0"); len(got) != 0 || l.IsTruncated {
		t.Errorf("no entries: %q", got)
	}
}

// TestDeleteVersions: DeleteObjects with versions, markers and conditions, each by itself. Source: DeleteObjects.
func TestDeleteVersions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.versioning("bucket", "Enabled")
	one := k.put("/bucket/k", "one")
	k.put("/bucket/m", "body")
	marker := k.want("204", call{method: "DELETE", path: "/bucket/m"}).version()
	k.put("/bucket/c", "four")
	when := k.want("200", call{method: "HEAD", path: "/bucket/c"}).header.Get("Last-Modified")
	at, err := time.Parse(time.RFC1123, when)
	check(t, err)
	body := "<Delete>" +
		"<Object><Key>k</Key><VersionId>" + one.version() + "</VersionId></Object>" +
		"<Object><Key>m</Key><VersionId>" + marker + "</VersionId></Object>" +
		"<Object><Key>absent</Key></Object>" +
		"<Object><Key>bad</Key><VersionId>x</VersionId></Object>" +
		"<Object><Key>c</Key><Size>5</Size></Object>" +
		"<Object><Key>c</Key><ETag>&quot;00000000000000000000000000000000&quot;</ETag></Object>" +
		"<Object><Key>c</Key><LastModifiedTime>Thu, 01 Jan 1970 00:00:01 GMT</LastModifiedTime></Object>" +
		"<Object><Key>never</Key><ETag>*</ETag></Object>" +
		"<Object><Key>c</Key><Size>4</Size><LastModifiedTime>" + at.Format(time.RFC3339) + "</LastModifiedTime></Object>" +
		"</Delete>"
	sum := md5.Sum([]byte(body))
	a := k.want("200", call{method: "POST", path: "/bucket?delete", body: []byte(body), header: pairs([]string{"Content-MD5", base64.StdEncoding.EncodeToString(sum[:])})})
	var got struct {
		Deleted []struct {
			Key, VersionId, DeleteMarkerVersionId string
			DeleteMarker                          bool
		}
		Error []struct{ Key, VersionId, Code string }
	}
	check(t, xml.Unmarshal(a.body, &got))
	if len(got.Deleted) != 4 || len(got.Error) != 5 {
		t.Fatalf("%s", a.body)
	}
	d := got.Deleted
	if d[0].VersionId != one.version() || d[0].DeleteMarker || d[1].VersionId != marker || d[1].DeleteMarkerVersionId != marker || !d[1].DeleteMarker ||
		d[2].VersionId != "" || !d[2].DeleteMarker || len(d[2].DeleteMarkerVersionId) != 32 || d[3].Key != "c" || !d[3].DeleteMarker {
		t.Errorf("deleted: %+v", d)
	}
	var codes []string
	for _, e := range got.Error {
		codes = append(codes, e.Key+" "+e.Code)
	}
	if want := "[bad NoSuchVersion c PreconditionFailed c PreconditionFailed c PreconditionFailed never PreconditionFailed]"; fmt.Sprint(codes) != want {
		t.Errorf("failed: %v, want %s", codes, want)
	}
}

// TestDeleteConditions: source DeleteObject, If-Match, x-amz-if-match-last-modified-time, x-amz-if-match-size.
func TestDeleteConditions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	etag := k.put("/bucket/k", "body").header.Get("ETag")
	const itsOwn = "" // the object's time
	for _, c := range []struct{ code, header, value string }{
		{"PreconditionFailed", "If-Match", `"00000000000000000000000000000000"`},
		{"PreconditionFailed", "If-Match", `""`},
		{"PreconditionFailed", "X-Amz-If-Match-Size", "5"},
		{"InvalidArgument", "X-Amz-If-Match-Size", "-1"},
		{"PreconditionFailed", "X-Amz-If-Match-Last-Modified-Time", "Thu, 01 Jan 1970 00:00:01 GMT"},
		{"PreconditionFailed", "X-Amz-If-Match-Last-Modified-Time", "Thu, 01 Jan 1970 00:00:00 GMT"},
		{"PreconditionFailed", "X-Amz-If-Match-Last-Modified-Time", "1969-12-31T23:59:59Z"},
		{"InvalidArgument", "X-Amz-If-Match-Last-Modified-Time", "yesterday"},
		{"204", "If-Match", etag},
		{"204", "If-Match", "*"},
		{"204", "X-Amz-If-Match-Size", "4"},
		{"204", "X-Amz-If-Match-Last-Modified-Time", itsOwn},
	} {
		if c.value == itsOwn {
			c.value = k.want("200", call{method: "HEAD", path: "/bucket/k"}).header.Get("Last-Modified")
		}
		k.want(c.code, call{method: "DELETE", path: "/bucket/k", header: pairs([]string{c.header, c.value})})
		if c.code == "204" {
			absent := "204" // a size and a time hold of what is not there
			switch c.value {
			case etag:
				absent = "NoSuchKey"
			case "*":
				absent = "PreconditionFailed"
			}
			k.want(absent, call{method: "DELETE", path: "/bucket/k", header: pairs([]string{c.header, c.value})})
			k.put("/bucket/k", "body")
		}
	}
	k.want("NotImplemented", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-If-Match-Size", "4"})})
}

// TestCopyVersions: source CopyObject: a named version, an old one restored over the newest, and a copy onto itself.
func TestCopyVersions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.versioning("bucket", "Enabled")
	one := k.put("/bucket/k", "one").version()
	k.put("/bucket/k", "two")
	copied := func(code, to, from string, header ...string) *answerTo {
		return k.want(code, call{method: "PUT", path: to, header: pairs(append(header, "X-Amz-Copy-Source", from))})
	}
	a := copied("200", "/bucket/to", "/bucket/k?versionId="+one)
	if a.header.Get("X-Amz-Copy-Source-Version-Id") != one || len(a.version()) != 32 {
		t.Errorf("%v", a.header)
	}
	if restored := copied("200", "/bucket/k", "/bucket/k?versionId="+one).version(); restored == one || restored == "" {
		t.Errorf("restored as %q", restored)
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/k"}); string(a.body) != "one" {
		t.Errorf("restored: %s", a.body)
	}
	copied("InvalidRequest", "/bucket/k", "/bucket/k")
	copied("200", "/bucket/k", "/bucket/k", "X-Amz-Metadata-Directive", "REPLACE")
	if _, all := k.versions("prefix=k"); len(all) != 4 {
		t.Errorf("a copy onto itself made no version: %q", all)
	}
	marker := k.want("204", call{method: "DELETE", path: "/bucket/k"}).version()
	copied("InvalidRequest", "/bucket/to", "/bucket/k?versionId="+marker)
	copied("NoSuchKey", "/bucket/to", "/bucket/k")
	upload := k.want("200", call{method: "POST", path: "/bucket/mp?uploads"})
	id := between(string(upload.body), "<UploadId>", "</UploadId>")
	part := copied("200", "/bucket/mp?partNumber=1&uploadId="+id, "/bucket/k?versionId="+one)
	if part.header.Get("X-Amz-Copy-Source-Version-Id") != one {
		t.Errorf("a part's source: %v", part.header)
	}
	done := k.want("200", call{method: "POST", path: "/bucket/mp?uploadId=" + id, body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" +
		between(string(part.body), "<ETag>", "</ETag>") + "</ETag></Part></CompleteMultipartUpload>")})
	if len(done.version()) != 32 || k.want("200", call{method: "GET", path: "/bucket/mp"}).version() != done.version() {
		t.Errorf("a completed upload's version: %v", done.header)
	}
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// TestI11_VersioningIsInForce: PutBucketVersioning is not acknowledged before the ranges have it; and where they could not be
// told, the same call again tells them.
func TestI11_VersioningIsInForce(t *testing.T) {
	var broken error
	brought := 0
	k := newKit(t, func(_ *Options, o *object.Options) {
		bring := o.Rules
		o.Rules = func(ctx context.Context, id ids.Bucket) (int64, error) {
			if broken != nil {
				return 0, broken
			}
			brought++
			return bring(ctx, id)
		}
	})
	k.makeBucket("bucket")
	put := call{method: "PUT", path: "/bucket?versioning", body: []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")}
	broken = errors.Join(errors.New("a range has no leader"), context.DeadlineExceeded)
	k.want("ServiceUnavailable", put)
	broken = nil
	k.want("200", put)
	if brought != 1 || k.buckets.Map().Buckets["bucket"].Rules != 1 {
		t.Errorf("brought %d times, rules %d", brought, k.buckets.Map().Buckets["bucket"].Rules)
	}
	k.want("200", put)
	if rules := k.buckets.Map().Buckets["bucket"].Rules; rules != 1 {
		t.Errorf("the same again raised the rules to %d", rules)
	}
}

// TestI11_LaggingVersions: a gateway whose map does not have the bucket's versioning yet answers as one that does.
func TestI11_LaggingVersions(t *testing.T) {
	k := newKit(t, func(_ *Options, o *object.Options) {
		o.Rules = func(context.Context, ids.Bucket) (int64, error) { return 1, nil }
	})
	k.makeBucket("bucket")
	k.put("/bucket/self", "body")
	b := *k.buckets.Map().Buckets["bucket"]
	b.Rules, b.Versioning = 1, placement.VersioningEnabled
	check(t, k.records.setRules(&b))
	if a := k.put("/bucket/k", "body"); len(a.version()) != 32 {
		t.Errorf("a put: %v", a.header)
	}
	if a := k.want("204", call{method: "DELETE", path: "/bucket/k"}); len(a.version()) != 32 || a.header.Get("X-Amz-Delete-Marker") != "true" {
		t.Errorf("a deletion: %v", a.header)
	}
	a := k.want("200", call{method: "PUT", path: "/bucket/self", header: pairs([]string{"X-Amz-Copy-Source", "/bucket/self", "X-Amz-Metadata-Directive", "REPLACE"})})
	if len(a.version()) != 32 {
		t.Errorf("a copy onto itself: %v", a.header)
	}
}

// TestVersionsNeedNewNodes: in a cluster with an older node nothing becomes versioned.
func TestVersionsNeedNewNodes(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Versions = func() bool { return false } })
	k.makeBucket("bucket")
	k.want("ServiceUnavailable", call{method: "PUT", path: "/bucket?versioning", body: []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")})
	if b := k.buckets.Map().Buckets["bucket"]; b.Rules != 0 || b.Versioning != "" {
		t.Errorf("%+v", b)
	}
}
