package gateway

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"
	"testing"

	"github.com/minio/crc64nvme"

	"github.com/sherd-io/sherd/meta/metapb"
)

// upload begins a multipart upload and returns its id.
func (k *kit) upload(path string, header ...string) string {
	k.t.Helper()
	a := k.want("200", call{method: "POST", path: path + "?uploads", header: pairs(header)})
	var doc struct{ UploadId string }
	if err := xml.Unmarshal(a.body, &doc); err != nil || doc.UploadId == "" {
		k.t.Fatalf("no upload id: %v %s", err, a.body)
	}
	return doc.UploadId
}

func (k *kit) part(path, id string, n int, body string, header ...string) (etag string) {
	k.t.Helper()
	a := k.want("200", call{method: "PUT", path: fmt.Sprintf("%s?partNumber=%d&uploadId=%s", path, n, id), body: []byte(body), header: pairs(header)})
	return a.header.Get("ETag")
}

// completeDoc is the body of a Complete: number, ETag, number, ETag …
func completeDoc(parts ...any) []byte {
	var b strings.Builder
	b.WriteString(`<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	for i := 0; i+1 < len(parts); i += 2 {
		fmt.Fprintf(&b, "<Part><PartNumber>%v</PartNumber><ETag>%s</ETag></Part>", parts[i], strings.ReplaceAll(fmt.Sprint(parts[i+1]), `"`, "&quot;"))
	}
	b.WriteString(`</CompleteMultipartUpload>`)
	return []byte(b.String())
}

func (k *kit) complete(want, path, id string, doc []byte, header ...string) *answerTo {
	k.t.Helper()
	return k.want(want, call{method: "POST", path: path + "?uploadId=" + id, body: doc, header: pairs(header)})
}

func multiETag(parts ...string) string {
	h := md5.New()
	for _, p := range parts {
		sum := md5.Sum([]byte(p))
		h.Write(sum[:])
	}
	return fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(h.Sum(nil)), len(parts))
}

// Source: CreateMultipartUpload, UploadPart, CompleteMultipartUpload, GetObject (partNumber).
func TestI21_Multipart(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	one, two, three := text(100_000), text(70_000)[1:], "tail"
	id := k.upload("/bucket/big", "Content-Type", "a/b", "x-amz-meta-a", "1", "x-amz-tagging", "t=1")
	e5 := k.part("/bucket/big", id, 5, one)
	k.part("/bucket/big", id, 7, "replaced")
	e7 := k.part("/bucket/big", id, 7, two)
	e10 := k.part("/bucket/big", id, 10000, three)
	k.part("/bucket/big", id, 6, "not named")
	k.want("NoSuchKey", call{method: "GET", path: "/bucket/big"})

	doc := completeDoc(5, e5, 7, e7, 10000, e10)
	a := k.complete("200", "/bucket/big", id, doc)
	etag := multiETag(one, two, three)
	if !strings.Contains(string(a.body), strings.ReplaceAll(etag, `"`, "&quot;")) || !strings.Contains(string(a.body), "<Location>http://") {
		t.Errorf("complete answers %s, want %s", a.body, etag)
	}
	again := k.complete("200", "/bucket/big", id, doc)
	if x, y := strings.Index(string(again.body), "<ETag>"), strings.Index(string(a.body), "<ETag>"); string(again.body[x:]) != string(a.body[y:]) {
		t.Errorf("again: %s\nfirst: %s", again.body, a.body)
	}
	k.complete("NoSuchUpload", "/bucket/big", id, completeDoc(5, e5))
	k.want("NoSuchUpload", call{method: "PUT", path: "/bucket/big?partNumber=1&uploadId=" + id, body: []byte("x")})

	whole := one + two + three
	g := k.want("200", call{method: "GET", path: "/bucket/big", header: pairs([]string{"x-amz-checksum-mode", "ENABLED"})})
	sum := crc64nvme.Checksum([]byte(whole))
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(sum >> (56 - 8*i))
	}
	if string(g.body) != whole || g.header.Get("ETag") != etag || g.header.Get("Content-Type") != "a/b" || g.header.Get("x-amz-meta-a") != "1" ||
		g.header.Get("x-amz-checksum-crc64nvme") != base64.StdEncoding.EncodeToString(raw[:]) || g.header.Get("x-amz-checksum-type") != "FULL_OBJECT" {
		t.Errorf("got %d bytes, %v", len(g.body), g.header)
	}
	for n, want := range []string{one, two, three} {
		for _, method := range []string{"GET", "HEAD"} {
			p := k.want("206", call{method: method, path: fmt.Sprintf("/bucket/big?partNumber=%d", n+1)})
			if method == "GET" && string(p.body) != want || p.header.Get("x-amz-mp-parts-count") != "3" || p.header.Get("Content-Length") != fmt.Sprint(len(want)) {
				t.Errorf("%s part %d: %d bytes, %v", method, n+1, len(p.body), p.header)
			}
		}
	}
	k.want("InvalidPartNumber", call{method: "GET", path: "/bucket/big?partNumber=4"})
	for _, r := range [][2]int{{0, 0}, {99_999, 100_000}, {99_990, 169_999 + 2}, {len(whole) - 1, len(whole) - 1}, {1, len(whole) - 2}, {100_000, 100_000}} {
		p := k.want("206", call{method: "GET", path: "/bucket/big", header: pairs([]string{"Range", fmt.Sprintf("bytes=%d-%d", r[0], r[1])})})
		if string(p.body) != whole[r[0]:r[1]+1] {
			t.Errorf("range %v: %d bytes", r, len(p.body))
		}
	}
	k.want("204", call{method: "DELETE", path: "/bucket/big"})
	k.complete("200", "/bucket/big", id, doc) // the answer outlives the object
	k.want("NoSuchKey", call{method: "GET", path: "/bucket/big"})
}

// Source: CompleteMultipartUpload, "Errors"; "Amazon S3 multipart upload limits".
func TestMultipartErrors(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	id := k.upload("/bucket/key")
	big := text(2000)
	e1, e2 := k.part("/bucket/key", id, 1, big), k.part("/bucket/key", id, 2, "small")
	e3 := k.part("/bucket/key", id, 3, big)
	none := strings.Repeat("0", 32)
	for _, c := range []struct {
		name, want string
		doc        []byte
		header     []string
	}{
		{"absent", "InvalidPart", completeDoc(1, e1, 4, none), nil},
		{"other tag", "InvalidPart", completeDoc(1, none), nil},
		{"not a tag", "InvalidPart", completeDoc(1, "zz"), nil},
		{"order", "InvalidPartOrder", completeDoc(3, e3, 1, e1), nil},
		{"twice", "InvalidPartOrder", completeDoc(1, e1, 1, e1), nil},
		{"small", "EntityTooSmall", completeDoc(1, e1, 2, e2, 3, e3), nil},
		{"none", "MalformedXML", completeDoc(), nil},
		{"empty", "MalformedXML", nil, nil},
		{"garbage", "MalformedXML", []byte("<Complete"), nil},
		{"number 0", "InvalidArgument", completeDoc(0, e1), nil},
		{"number 10001", "InvalidArgument", completeDoc(10001, e1), nil},
		{"number huge", "MalformedXML", completeDoc("99999999999999999999", e1), nil},
		{"size", "InvalidRequest", completeDoc(1, e1), []string{"x-amz-mp-object-size", "7"}},
		{"size malformed", "InvalidRequest", completeDoc(1, e1), []string{"x-amz-mp-object-size", "-7"}},
		{"checksum of another kind", "InvalidRequest", completeDoc(1, e1), []string{"x-amz-checksum-crc32", "AAAAAA=="}},
		{"checksum", "BadDigest", completeDoc(1, e1), []string{"x-amz-checksum-crc64nvme", "AAAAAAAAAAA="}},
		{"type", "InvalidRequest", completeDoc(1, e1), []string{"x-amz-checksum-type", "COMPOSITE"}},
		{"if-match", "NoSuchKey", completeDoc(1, e1), []string{"If-Match", none}},
	} {
		t.Run(c.name, func(t *testing.T) { k.complete(c.want, "/bucket/key", id, c.doc, c.header...) })
	}
	k.want("NoSuchKey", call{method: "GET", path: "/bucket/key"})
	for _, query := range []string{"partNumber=0", "partNumber=10001", "partNumber=-1", "partNumber=a", "partNumber=99999999999999999999"} {
		k.want("InvalidArgument", call{method: "PUT", path: "/bucket/key?" + query + "&uploadId=" + id, body: []byte("x")})
	}
	for _, other := range []string{"", "nonsense", strings.Repeat("0", 32), strings.Repeat("9", 2000)} {
		k.want("NoSuchUpload", call{method: "PUT", path: "/bucket/key?partNumber=1&uploadId=" + other, body: []byte("x")})
		k.want("NoSuchUpload", call{method: "DELETE", path: "/bucket/key?uploadId=" + other})
		k.want("NoSuchUpload", call{method: "GET", path: "/bucket/key?uploadId=" + other})
		k.complete("NoSuchUpload", "/bucket/key", other, completeDoc(1, e1))
	}
	k.put("/bucket/key", "there")
	k.complete("PreconditionFailed", "/bucket/key", id, completeDoc(1, e1), "If-None-Match", "*")
	k.want("204", call{method: "DELETE", path: "/bucket/key?uploadId=" + id})
	k.want("NoSuchUpload", call{method: "DELETE", path: "/bucket/key?uploadId=" + id})
	// Parts of other objects: the same id under another key is another upload.
	id = k.upload("/bucket/key")
	k.want("NoSuchUpload", call{method: "PUT", path: "/bucket/other?partNumber=1&uploadId=" + id, body: []byte("x")})
}

// A part that is replaced between Complete's reading and committing is noticed.
func TestPartReplacedDuringComplete(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	id := k.upload("/bucket/key")
	etag := k.part("/bucket/key", id, 1, "first")
	replaced := false
	k.records.fail = func(c *metapb.Command) error {
		if c.GetCompleteUpload() != nil && !replaced {
			replaced = true
			k.records.mu.Unlock()
			k.part("/bucket/key", id, 1, "second")
			k.records.mu.Lock()
		}
		return nil
	}
	k.complete("InvalidPart", "/bucket/key", id, completeDoc(1, etag))
}

// Source: "Checking object integrity for multipart uploads".
func TestMultipartChecksums(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	one, two := text(5000), text(3000)
	s1, s2 := sha256.Sum256([]byte(one)), sha256.Sum256([]byte(two))
	both := sha256.Sum256(append(s1[:], s2[:]...))
	begin := func() (id string, doc []byte) {
		id = k.upload("/bucket/sha", "x-amz-checksum-algorithm", "SHA256")
		b1, b2 := base64.StdEncoding.EncodeToString(s1[:]), base64.StdEncoding.EncodeToString(s2[:])
		e1, e2 := k.part("/bucket/sha", id, 1, one, "x-amz-checksum-sha256", b1), k.part("/bucket/sha", id, 2, two, "x-amz-checksum-sha256", b2)
		with := "</ETag><ChecksumSHA256>%s</ChecksumSHA256>"
		return id, []byte(fmt.Sprintf(strings.ReplaceAll(string(completeDoc(1, e1, 2, e2)), "</ETag>", with), b1, b2))
	}
	id, doc := begin()
	a := k.complete("200", "/bucket/sha", id, doc)
	if want := base64.StdEncoding.EncodeToString(both[:]) + "-2"; !strings.Contains(string(a.body), "<ChecksumSHA256>"+want+"<") || !strings.Contains(string(a.body), "COMPOSITE") {
		t.Errorf("composite SHA256: %s, want %s", a.body, want)
	}
	right, wrong := base64.StdEncoding.EncodeToString(both[:]), base64.StdEncoding.EncodeToString(s1[:])
	for _, number := range []string{"", "-2"} { // of parts: S3 takes a composite checksum with it and without
		id, doc = begin()
		k.complete("BadDigest", "/bucket/sha", id, doc, "x-amz-checksum-sha256", wrong+number)
		k.complete("InvalidRequest", "/bucket/sha", id, doc, "x-amz-checksum-sha256", right[1:]+number)
		k.complete("200", "/bucket/sha", id, doc, "x-amz-checksum-sha256", right+number)
	}
	id = k.upload("/bucket/crc", "x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT")
	e1, e2 := k.part("/bucket/crc", id, 1, one), k.part("/bucket/crc", id, 2, two)
	sum := crc32.ChecksumIEEE([]byte(one + two))
	want := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	k.complete("BadDigest", "/bucket/crc", id, completeDoc(1, e1, 2, e2), "x-amz-checksum-crc32", "AAAAAA==")
	a = k.complete("200", "/bucket/crc", id, completeDoc(1, e1, 2, e2), "x-amz-checksum-crc32", want, "x-amz-checksum-type", "FULL_OBJECT")
	if !strings.Contains(string(a.body), "<ChecksumCRC32>"+want+"<") {
		t.Errorf("full CRC32: %s, want %s", a.body, want)
	}
	for _, c := range [][]string{
		{"x-amz-checksum-algorithm", "MD4"}, {"x-amz-checksum-type", "COMPOSITE"}, {"x-amz-checksum-algorithm", "CRC64NVME", "x-amz-checksum-type", "COMPOSITE"},
		{"x-amz-checksum-algorithm", "SHA1", "x-amz-checksum-type", "FULL_OBJECT"}, {"x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "HALF"},
	} {
		k.want("InvalidRequest", call{method: "POST", path: "/bucket/key?uploads", header: pairs(c)})
	}
}

// Source: ListParts, ListMultipartUploads.
func TestListPartsAndUploads(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	id := k.upload("/bucket/a/key", "x-amz-checksum-algorithm", "CRC32C", "x-amz-checksum-type", "FULL_OBJECT")
	for n := range 5 {
		k.part("/bucket/a/key", id, 2*n+1, text(100+n))
	}
	var parts struct {
		PartNumberMarker, NextPartNumberMarker, MaxParts int
		IsTruncated                                      bool
		ChecksumAlgorithm, ChecksumType                  string
		Part                                             []struct {
			PartNumber, Size     int
			ETag, ChecksumCRC32C string
		}
	}
	var seen []int
	for marker := 0; ; marker = parts.NextPartNumberMarker {
		parts.Part = nil
		a := k.want("200", call{method: "GET", path: fmt.Sprintf("/bucket/a/key?uploadId=%s&max-parts=2&part-number-marker=%d", id, marker)})
		if err := xml.Unmarshal(a.body, &parts); err != nil {
			t.Fatal(err)
		}
		for _, p := range parts.Part {
			seen = append(seen, p.PartNumber)
			if p.ChecksumCRC32C == "" || p.ETag == "" || p.Size == 0 {
				t.Errorf("part %+v", p)
			}
		}
		if !parts.IsTruncated {
			break
		}
	}
	if fmt.Sprint(seen) != "[1 3 5 7 9]" || parts.ChecksumAlgorithm != "CRC32C" || parts.ChecksumType != "FULL_OBJECT" || parts.MaxParts != 2 {
		t.Errorf("seen %v, %+v", seen, parts)
	}

	for i := range 3 {
		k.upload(fmt.Sprintf("/bucket/b/%d", i))
		k.upload(fmt.Sprintf("/bucket/b/%d", i))
	}
	var ups struct {
		NextKeyMarker, NextUploadIdMarker string
		IsTruncated                       bool
		Upload                            []struct{ Key, UploadId, ChecksumAlgorithm string }
		CommonPrefixes                    []struct{ Prefix string }
	}
	list := func(query string) {
		t.Helper()
		ups.Upload, ups.CommonPrefixes, ups.NextKeyMarker, ups.NextUploadIdMarker = nil, nil, "", ""
		if err := xml.Unmarshal(k.want("200", call{method: "GET", path: "/bucket?uploads" + query}).body, &ups); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]bool{}
	for query := "&max-uploads=2"; ; query = "&max-uploads=2&key-marker=" + url.QueryEscape(ups.NextKeyMarker) + "&upload-id-marker=" + ups.NextUploadIdMarker {
		list(query)
		for _, u := range ups.Upload {
			all[u.Key+u.UploadId] = true
		}
		if !ups.IsTruncated {
			break
		}
	}
	if len(all) != 7 {
		t.Errorf("%d uploads: %v", len(all), all)
	}
	if list("&delimiter=%2F"); len(ups.CommonPrefixes) != 2 || len(ups.Upload) != 0 {
		t.Errorf("with delimiter: %+v", ups)
	}
	if list("&prefix=b%2F1"); len(ups.Upload) != 2 {
		t.Errorf("with prefix: %+v", ups)
	}
}

// Source: CopyObject, UploadPartCopy.
func TestCopies(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.makeBucket("other")
	body := text(100_000)
	k.put("/bucket/src%20%2B", body, "Content-Type", "a/b", "x-amz-meta-a", "1", "x-amz-tagging", "t=1")
	etag := `"` + hexMD5(body) + `"`
	copyTo := func(want, path, from string, header ...string) *answerTo {
		t.Helper()
		return k.want(want, call{method: "PUT", path: path, header: pairs(append(header, "x-amz-copy-source", from))})
	}
	a := copyTo("200", "/other/dst", "/bucket/src%20%2B")
	if !strings.Contains(string(a.body), hexMD5(body)) {
		t.Errorf("copy answers %s", a.body)
	}
	g := k.want("200", call{method: "GET", path: "/other/dst"})
	if string(g.body) != body || g.header.Get("ETag") != etag || g.header.Get("Content-Type") != "a/b" || g.header.Get("x-amz-meta-a") != "1" || g.header.Get("x-amz-tagging-count") != "1" {
		t.Errorf("copy: %d bytes, %v", len(g.body), g.header)
	}
	copyTo("200", "/other/dst", "bucket/src%20%2B?versionId=null", "x-amz-metadata-directive", "REPLACE", "Content-Type", "c/d", "x-amz-tagging-directive", "REPLACE", "x-amz-storage-class", "REDUCED_REDUNDANCY")
	g = k.want("200", call{method: "GET", path: "/other/dst"})
	if g.header.Get("Content-Type") != "c/d" || g.header.Get("x-amz-meta-a") != "" || g.header.Get("x-amz-tagging-count") != "" || g.header.Get("x-amz-storage-class") != "REDUCED_REDUNDANCY" {
		t.Errorf("copy with REPLACE: %v", g.header)
	}

	t.Run("I14 onto itself", func(t *testing.T) {
		stored := k.blobs.count()
		copyTo("InvalidRequest", "/other/dst", "/other/dst")
		copyTo("200", "/other/dst", "/other/dst", "x-amz-metadata-directive", "REPLACE", "x-amz-meta-b", "2")
		g := k.want("200", call{method: "GET", path: "/other/dst"})
		if string(g.body) != body || g.header.Get("x-amz-meta-b") != "2" || g.header.Get("ETag") != etag {
			t.Errorf("%d bytes, %v", len(g.body), g.header)
		}
		if k.blobs.count() != stored {
			t.Error("bytes were written for a change of metadata")
		}
		copyTo("200", "/other/dst", "/other/dst", "x-amz-checksum-algorithm", "SHA1") // needs the bytes
		g = k.want("200", call{method: "GET", path: "/other/dst", header: pairs([]string{"x-amz-checksum-mode", "enabled"})})
		if string(g.body) != body || g.header.Get("x-amz-checksum-sha1") == "" {
			t.Errorf("%d bytes, %v", len(g.body), g.header)
		}
	})
	for _, c := range []struct {
		want, from string
		header     []string
	}{
		{"NoSuchKey", "/bucket/absent", nil},
		{"NoSuchBucket", "/absent/key", nil},
		{"InvalidArgument", "bucket", nil},
		{"InvalidArgument", "/bucket/", nil},
		{"InvalidArgument", "/bucket/%zz", nil},
		{"InvalidArgument", "/bucket/src%20%2B?versionId=x", nil},
		{"PreconditionFailed", "/bucket/src%20%2B", []string{"x-amz-copy-source-if-match", `"x"`}},
		{"PreconditionFailed", "/bucket/src%20%2B", []string{"x-amz-copy-source-if-none-match", etag}},
		{"200", "/bucket/src%20%2B", []string{"x-amz-copy-source-if-match", etag, "x-amz-copy-source-if-unmodified-since", "Thu, 01 Dec 1994 16:00:00 GMT"}},
		{"PreconditionFailed", "/bucket/src%20%2B", []string{"x-amz-copy-source-if-unmodified-since", "Thu, 01 Dec 1994 16:00:00 GMT"}},
		{"InvalidArgument", "/bucket/src%20%2B", []string{"x-amz-metadata-directive", "MAYBE"}},
		{"PreconditionFailed", "/bucket/src%20%2B", []string{"If-None-Match", "*"}},
		{"NotImplemented", "/bucket/src%20%2B", []string{"x-amz-copy-source-server-side-encryption-customer-algorithm", "AES256"}},
	} {
		copyTo(c.want, "/other/dst", c.from, c.header...)
	}

	id := k.upload("/other/parts")
	part := func(want string, n int, header ...string) *answerTo {
		t.Helper()
		return k.want(want, call{method: "PUT", path: fmt.Sprintf("/other/parts?partNumber=%d&uploadId=%s", n, id), header: pairs(append(header, "x-amz-copy-source", "/bucket/src%20%2B"))})
	}
	var p1, p2 struct{ ETag string }
	_ = xml.Unmarshal(part("200", 1).body, &p1)
	_ = xml.Unmarshal(part("200", 2, "x-amz-copy-source-range", "bytes=10-19").body, &p2)
	part("InvalidArgument", 3, "x-amz-copy-source-range", "bytes=10-")
	part("InvalidArgument", 3, "x-amz-copy-source-range", "bytes=0-100000")
	part("InvalidArgument", 3, "x-amz-copy-source-range", "10-20")
	k.complete("200", "/other/parts", id, completeDoc(1, p1.ETag, 2, p2.ETag))
	if g := k.want("200", call{method: "GET", path: "/other/parts"}); string(g.body) != body+body[10:20] {
		t.Errorf("copied parts: %d bytes", len(g.body))
	}
	// A multipart object copied is a single one, with the MD5 of its bytes.
	a = copyTo("200", "/other/single", "/other/parts")
	if !strings.Contains(string(a.body), hexMD5(body+body[10:20])) {
		t.Errorf("copy of a multipart object: %s", a.body)
	}
	if n := k.objects.OpenReads().Count; n != 0 {
		t.Errorf("%d reads are open", n)
	}
}
