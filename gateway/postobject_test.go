package gateway

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/poll"
)

const formType = "multipart/form-data; boundary=edge"

// browserForm is a form as a page sends it, signed as its maker did.
type browserForm struct {
	who     string        // signs it; "": nobody
	bucket  string        // in the policy; "": bucket
	more    string        // conditions besides those that each field gets
	at      time.Time     // when it is signed; zero: now
	expires time.Duration // from then; 0: an hour
	fields  []string      // name, value, name, value, …: ahead of the file
	bare    []string      // the same, without a condition
	after   []string      // the same, behind the file
	name    string        // of the file
	file    string
	files   int // -1: none; 0: one
	spoil   string
	old     bool // signed by version 2
}

// body is the form as browsers encode it.
func (f *browserForm) body() string {
	var b strings.Builder
	fields := func(pairs []string) {
		for i := 0; i+1 < len(pairs); i += 2 {
			fmt.Fprintf(&b, "--edge\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", pairs[i], pairs[i+1])
		}
	}
	fields(f.fields)
	fields(f.bare)
	if f.who != "" {
		fields(f.signature())
	}
	for range max(f.files, 1) {
		if f.files >= 0 {
			fmt.Fprintf(&b, "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=%q\r\nContent-Type: image/png\r\n\r\n%s\r\n", f.name, f.file)
		}
	}
	fields(f.after)
	return b.String() + "--edge--\r\n"
}

func (f *browserForm) signature() []string {
	now := f.at
	if now.IsZero() {
		now = time.Now()
	}
	now = now.UTC()
	c, date := as(f.who), now.Format("20060102T150405Z")
	signed := []string{"x-amz-algorithm", "AWS4-HMAC-SHA256", "x-amz-credential", c.AccessKey + "/" + date[:8] + "/us-east-1/s3/aws4_request", "x-amz-date", date}
	if f.old {
		signed = nil // version 2 asks for no condition on its own fields
	}
	bucket, expires := f.bucket, f.expires
	if bucket == "" {
		bucket = "bucket"
	}
	if expires == 0 {
		expires = time.Hour
	}
	conditions := []string{fmt.Sprintf(`{"bucket":%q}`, bucket)}
	for _, set := range [][]string{signed, f.fields} {
		for i := 0; i+1 < len(set); i += 2 {
			value, _ := json.Marshal(strings.ReplaceAll(set[i+1], "${filename}", f.name))
			conditions = append(conditions, fmt.Sprintf(`{%q:%s}`, set[i], value))
		}
	}
	if f.more != "" {
		conditions = append(conditions, f.more)
	}
	policy := base64.StdEncoding.EncodeToString([]byte(`{"expiration":"` + now.Add(expires).Format(time.RFC3339) + `","conditions":[` + strings.Join(conditions, ",") + `]}`))
	if f.old {
		mark := hmac.New(sha1.New, []byte(c.Secret))
		mark.Write([]byte(policy))
		return []string{"AWSAccessKeyId", c.AccessKey, "policy", policy, "signature", f.spoil + base64.StdEncoding.EncodeToString(mark.Sum(nil))}
	}
	return append(signed, "policy", policy, "x-amz-signature", sigv4.SignPost(*c, policy, "us-east-1", now)+f.spoil)
}

// post sends a form to /bucket.
func (k *kit) post(f browserForm, header ...string) *answerTo {
	k.t.Helper()
	h := pairs(header)
	h["Content-Type"] = formType
	return k.do(call{method: "POST", path: "/bucket", body: []byte(f.body()), header: h, anonymous: true})
}

// TestPostObjectRefuses: for each form S3's code, and that nothing is stored. Sources: RESTObjectPOST; sigv4-HTTPPOSTConstructPolicy; ErrorResponses.
func TestPostObjectRefuses(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.users(map[string]string{"nothing": "", "writer": statement("Allow", `"s3:PutObject"`, `"arn:aws:s3:::bucket/up/*"`, "")})
	key := []string{"key", "k"}
	with := func(more ...string) []string { return append([]string{"key", "k"}, more...) }
	large := text(formFileHeld + 5000)
	submit := []string{"submit", "Upload to Amazon S3"}
	for name, c := range map[string]struct {
		code string
		form browserForm
	}{
		"anonymous":                       {"AccessDenied", browserForm{fields: key}},
		"unknown key":                     {"InvalidAccessKeyId", browserForm{who: "stranger", fields: key}},
		"wrong signature":                 {"SignatureDoesNotMatch", browserForm{who: "root", fields: key, spoil: "0"}},
		"policy without a signature":      {"InvalidArgument", browserForm{fields: with("policy", "e30=")}},
		"old, wrong signature":            {"SignatureDoesNotMatch", browserForm{who: "root", old: true, fields: key, spoil: "0"}},
		"old, unknown key":                {"InvalidAccessKeyId", browserForm{who: "stranger", old: true, fields: key}},
		"old, no policy":                  {"InvalidArgument", browserForm{fields: with("AWSAccessKeyId", rootKey, "signature", "x")}},
		"old, field without a condition":  {"AccessDenied", browserForm{who: "root", old: true, fields: key, bare: []string{"acl", "private"}}},
		"old, expired":                    {"AccessDenied", browserForm{who: "root", old: true, fields: key, expires: -time.Minute}},
		"old, session token":              {"InvalidToken", browserForm{who: "root", old: true, fields: with("x-amz-security-token", "t")}},
		"old, user without rights":        {"AccessDenied", browserForm{who: "nothing", old: true, fields: key}},
		"session token":                   {"InvalidToken", browserForm{who: "root", fields: with("x-amz-security-token", "t")}},
		"expired":                         {"AccessDenied", browserForm{who: "root", fields: key, expires: -time.Minute}},
		"for another bucket":              {"AccessDenied", browserForm{who: "root", fields: key, bucket: "other"}},
		"field without a condition":       {"AccessDenied", browserForm{who: "root", fields: key, bare: []string{"acl", "private"}}},
		"condition without its field":     {"AccessDenied", browserForm{who: "root", fields: key, more: `["starts-with","$x-amz-meta-a",""]`}},
		"another key":                     {"AccessDenied", browserForm{who: "root", fields: key, more: `["starts-with","$key","user/"]`}},
		"another key by the file's name":  {"AccessDenied", browserForm{who: "root", bare: []string{"key", "${filename}"}, name: "x", more: `["eq","$key","user"]`}},
		"operator unheard of":             {"InvalidPolicyDocument", browserForm{who: "root", fields: key, more: `["ends-with","$key","k"]`}},
		"too long":                        {"EntityTooLarge", browserForm{who: "root", fields: key, file: "12345", more: `["content-length-range",1,4]`}},
		"too short":                       {"EntityTooSmall", browserForm{who: "root", fields: key, file: "12345", more: `["content-length-range",6,9]`}},
		"large and too long":              {"EntityTooLarge", browserForm{who: "root", fields: key, file: large, more: fmt.Sprintf(`["content-length-range",1,%d]`, len(large)-1)}},
		"large and too short":             {"EntityTooSmall", browserForm{who: "root", fields: key, file: large, more: fmt.Sprintf(`["content-length-range",%d,%d]`, len(large)+1, len(large)+2)}},
		"too long, a field behind it":     {"EntityTooLarge", browserForm{who: "root", fields: key, file: large, after: submit, more: fmt.Sprintf(`["content-length-range",1,%d]`, len(large)-1)}},
		"too short, a field behind it":    {"EntityTooSmall", browserForm{who: "root", fields: key, file: large, after: submit, more: fmt.Sprintf(`["content-length-range",%d,%d]`, len(large)+1, 2*len(large))}},
		"no key":                          {"InvalidArgument", browserForm{who: "root"}},
		"no key by the file's name":       {"UserKeyMustBeSpecified", browserForm{who: "root", fields: []string{"key", "${filename}"}}},
		"key too long":                    {"KeyTooLongError", browserForm{who: "root", fields: []string{"key", strings.Repeat("k", 1025)}}},
		"key not UTF-8":                   {"InvalidURI", browserForm{who: "root", bare: []string{"key", "\xff"}, more: `["starts-with","$key",""]`}},
		"field twice":                     {"InvalidArgument", browserForm{who: "root", fields: with("key", "k")}},
		"no file":                         {"InvalidArgument", browserForm{who: "root", fields: key, files: -1}},
		"two files":                       {"InvalidArgument", browserForm{who: "root", fields: key, files: 2}},
		"two large files":                 {"InvalidArgument", browserForm{who: "root", fields: key, files: 2, file: text(formFileHeld / 4)}},
		"fields too long":                 {"MaxPostPreDataLengthExceeded", browserForm{who: "root", fields: with("x-ignore-a", text(21<<10))}},
		"metadata too long":               {"MetadataTooLarge", browserForm{who: "root", fields: with("x-amz-meta-a", strings.Repeat("x", 2<<10))}},
		"line end in a value":             {"InvalidArgument", browserForm{who: "root", fields: with("x-amz-meta-a", "a\r\nSet-Cookie: b")}},
		"name that no header has":         {"InvalidArgument", browserForm{who: "root", fields: with("x-amz-meta-a b", "c")}},
		"encryption":                      {"NotImplemented", browserForm{who: "root", fields: with("x-amz-server-side-encryption", "AES256")}},
		"storage class":                   {"InvalidStorageClass", browserForm{who: "root", fields: with("x-amz-storage-class", "NONE")}},
		"tags that are none":              {"MalformedXML", browserForm{who: "root", fields: with("tagging", "<Tagging>")}},
		"a tag twice":                     {"InvalidTag", browserForm{who: "root", fields: with("tagging", tagged("a", "1", "a", "2"))}},
		"wrong MD5":                       {"BadDigest", browserForm{who: "root", fields: with("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")}},
		"wrong checksum":                  {"BadDigest", browserForm{who: "root", fields: with("x-amz-checksum-crc32", "AAAAAA=="), file: "x"}},
		"another account's bucket":        {"AccessDenied", browserForm{who: "root", fields: with("x-amz-expected-bucket-owner", other.ID)}},
		"user without rights":             {"AccessDenied", browserForm{who: "nothing", fields: key}},
		"another account":                 {"AccessDenied", browserForm{who: "other", fields: key}},
		"user, another key than his":      {"AccessDenied", browserForm{who: "writer", fields: key}},
		"user, tags that he may not give": {"AccessDenied", browserForm{who: "writer", fields: []string{"key", "up/k", "tagging", tagged("a", "b")}}},
		"user, ACL that he may not give":  {"AccessDenied", browserForm{who: "writer", fields: []string{"key", "up/k", "acl", "private"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if a := k.post(c.form); a.err != nil || a.code() != c.code {
				t.Errorf("got %s (%v), want %s: %s", a.code(), a.err, c.code, a.body)
			}
			k.nothing()
		})
	}
	f := browserForm{who: "root", fields: key, file: "x"}
	form := call{method: "POST", path: "/bucket", header: pairs([]string{"Content-Type", formType}), body: []byte(f.body()), anonymous: true}
	for code, change := range map[string]func(*call){
		"AccessDenied":         func(c *call) { c.anonymous = false },
		"MissingContentLength": func(c *call) { c.length = -1 },
		"PreconditionFailed":   func(c *call) { c.header = pairs([]string{"Content-Type", "text/plain"}) },
		"NoSuchBucket":         func(c *call) { c.path = "/absent" },
		"MethodNotAllowed":     func(c *call) { c.path = "/bucket/k" },
		"MalformedPOSTRequest": func(c *call) { c.body = c.body[:len(c.body)/2] },
	} {
		c := form
		change(&c)
		k.want(code, c)
		k.nothing()
	}
	if n := k.server.admit.held.Load(); n != 0 {
		t.Errorf("%d bytes are still admitted", n)
	}
}

// tagged is the document of a form's tags.
func tagged(kv ...string) string {
	doc := "<Tagging><TagSet>"
	for i := 0; i+1 < len(kv); i += 2 {
		doc += "<Tag><Key>" + kv[i] + "</Key><Value>" + kv[i+1] + "</Value></Tag>"
	}
	return doc + "</TagSet></Tagging>"
}

// TestPostObjectStores: what fields say is the object's, and what the browser's own headers say is not.
func TestPostObjectStores(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	content := "the file's content"
	sum := crc32.ChecksumIEEE([]byte(content))
	crc := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	a := k.post(browserForm{who: "root", name: `C:\pictures\ü 1.png`, file: content, more: `["starts-with","$key","up/"],["content-length-range",18,18]`, bare: []string{"key", "up/${filename}", "x-ignore-me", "1"},
		fields: []string{"Content-Type", "image/png", "Cache-Control", "max-age=60", "acl", "private", "x-amz-meta-color", "rot", "x-amz-storage-class", "REDUCED_REDUNDANCY", "tagging", tagged("team", "a b", "x", "1"), "x-amz-checksum-crc32", crc}},
		"Cache-Control", "no-cache", "X-Amz-Meta-Smuggled", "1", "Content-Language", "de")
	if a.status != http.StatusNoContent || a.header.Get("Location") != k.http.URL+"/bucket/up/%C3%BC%201.png" || a.header.Get("x-amz-checksum-crc32") != crc || len(a.body) != 0 {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	g := k.want("200", call{method: "GET", path: "/bucket/up/%C3%BC%201.png"})
	if string(g.body) != content || g.header.Get("ETag") != a.header.Get("ETag") {
		t.Errorf("%q, %s, answer said %s", g.body, g.header.Get("ETag"), a.header.Get("ETag"))
	}
	for name, want := range map[string]string{
		"Content-Type": "image/png", "Cache-Control": "max-age=60", "x-amz-meta-color": "rot", "x-amz-storage-class": "REDUCED_REDUNDANCY",
		"x-amz-tagging-count": "2", "X-Amz-Meta-Smuggled": "", "Content-Language": "",
	} {
		if got := g.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestPostObjectFieldsBehind: fields behind the file are ignored, however long it is (RESTObjectPOST: "the file or content must be the last
// field in the form. Any fields below it are ignored", and its example has a submit button there), and a form may end without a line end.
// Of what was stored with a wrong length nothing is left.
func TestPostObjectFieldsBehind(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, size := range []int{formFileHeld / 2, formFileHeld + 1, 2*formFileHeld + 12_345} {
		for _, c := range []struct{ behind, end string }{
			{"", "--edge--"},
			{"--edge\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload to Amazon S3\r\n", "--edge--\r\n"},
			{"--edge\r\nContent-Disposition: form-data; name=\"notes\"\r\n\r\n" + text(16<<10) + "\r\n", "--edge--"},
		} {
			f := browserForm{who: "root", fields: []string{"key", "k"}, file: text(size)}
			before, stored := k.blobs.count(), 0
			for _, body := range []string{strings.Replace(f.body(), "--edge--\r\n", c.behind+c.end, 1), f.body()} {
				a := k.want("204", call{method: "POST", path: "/bucket", body: []byte(body), header: pairs([]string{"Content-Type", formType}), anonymous: true})
				if g := k.want("200", call{method: "GET", path: "/bucket/k"}); string(g.body) != f.file || g.header.Get("ETag") != a.header.Get("ETag") || g.header.Get("ETag") != etagOf(f.file) {
					t.Errorf("%d bytes with %.60q behind became %d, %s", size, c.behind, len(g.body), g.header.Get("ETag"))
				}
				if n := k.blobs.count() - before; stored == 0 {
					stored = n
				} else if n != 2*stored {
					t.Errorf("%d bytes with %.60q behind took %d blobs, as they are %d", size, c.behind, stored, n-stored)
				}
			}
		}
	}
}

// TestPostObjectSizes: the length is found whatever it is, as Go's own writer of forms and as browsers write them.
func TestPostObjectSizes(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, size := range []int{0, 1, 1000, formFileHeld - 1, formFileHeld, formFileHeld + 1, 3<<20 + 7} {
		f := browserForm{who: "root", fields: []string{"key", "k"}, file: text(size)}
		if size <= formFileHeld/2 {
			f.after = []string{"submit", "Upload to Amazon S3"} // as in the reference's own example
		}
		if a := k.post(f); a.code() != "204" {
			t.Fatalf("%d bytes: %s %s", size, a.code(), a.body)
		}
		if g := k.want("200", call{method: "GET", path: "/bucket/k"}); string(g.body) != f.file {
			t.Errorf("%d bytes became %d", size, len(g.body))
		}
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for set := append(f.fields, f.signature()...); len(set) > 0; set = set[2:] {
			check(t, w.WriteField(set[0], set[1]))
		}
		part, err := w.CreateFormFile("file", "name")
		check(t, err)
		_, err = io.WriteString(part, f.file)
		check(t, err)
		check(t, w.Close())
		k.want("204", call{method: "DELETE", path: "/bucket/k"})
		k.want("204", call{method: "POST", path: "/bucket", body: b.Bytes(), header: pairs([]string{"Content-Type", w.FormDataContentType()}), anonymous: true})
		if g := k.want("200", call{method: "GET", path: "/bucket/k"}); string(g.body) != f.file {
			t.Errorf("by Go's writer, %d bytes became %d", size, len(g.body))
		}
	}
}

// TestPostObjectAnswers: success_action_redirect, success_action_status and the URL in the answer. Source: RESTObjectPOST.
func TestPostObjectAnswers(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Domains = []string{"s3.example"} })
	k.makeBucket("bucket")
	for status, want := range map[string]int{"200": 200, "201": 201, "204": 204, "500": 204, "": 204} {
		a := k.post(browserForm{who: "root", fields: []string{"key", "a/b&c", "success_action_status", status}, file: "x"})
		if a.status != want || (want == 201) != strings.Contains(string(a.body), "<PostResponse><Location>"+k.http.URL+"/bucket/a/b&amp;c</Location><Bucket>bucket</Bucket><Key>a/b&amp;c</Key><ETag>") {
			t.Errorf("status %q: %d %s", status, a.status, a.body)
		}
	}
	k.http.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a := k.post(browserForm{who: "root", fields: []string{"key", "k", "success_action_redirect", "http://page.example/done?a=b", "success_action_status", "201"}, file: "x"})
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther || to.Host != "page.example" || to.Query().Get("key") != "k" || to.Query().Get("etag") != a.header.Get("ETag") || to.Query().Get("a") != "b" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := k.post(browserForm{who: "root", fields: []string{"key", "k", "success_action_redirect", "//nowhere"}, file: "x"}); a.status != 204 {
		t.Errorf("a redirect to what is no URL: %d", a.status)
	}
	f := browserForm{who: "root", fields: []string{"key", "k"}, file: "by host"}
	a = k.want("204", call{method: "POST", path: "/", host: "bucket.s3.example:9000", body: []byte(f.body()), header: pairs([]string{"Content-Type", formType}), anonymous: true})
	if got := a.header.Get("Location"); got != "http://bucket.s3.example:9000/k" {
		t.Errorf("Location %s", got)
	}
	if g := k.want("200", call{method: "GET", path: "/bucket/k"}); string(g.body) != "by host" {
		t.Errorf("%s", g.body)
	}
}

// TestPostObjectRights: who may post by a policy of his own or of the bucket, which sees a form as s3:authType POST.
func TestPostObjectRights(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.users(map[string]string{
		"writer": statement("Allow", `"s3:PutObject"`, `"arn:aws:s3:::bucket/up/*"`, `,"Condition":{"StringEquals":{"s3:authType":"POST"}}`),
		"modern": statement("Allow", `"s3:PutObject"`, `"*"`, `,"Condition":{"StringEquals":{"s3:signatureversion":"AWS4-HMAC-SHA256"}}`),
		"old":    statement("Allow", `"s3:PutObject"`, `"*"`, `,"Condition":{"StringEquals":{"s3:signatureversion":"AWS","s3:authType":"POST"}}`),
		"tagger": statement("Allow", `["s3:PutObject","s3:PutObjectTagging"]`, `"*"`, `,"Condition":{"StringEqualsIfExists":{"s3:RequestObjectTag/team":"red"}}`),
	})
	k.config("bucket", configPolicy, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/open/*"},
		{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/closed/*"}]}`)
	for who, code := range map[string][2]string{"modern": {"204", "AccessDenied"}, "old": {"AccessDenied", "204"}, "root": {"204", "204"}} {
		for i, old := range []bool{false, true} {
			if a := k.post(browserForm{who: who, old: old, fields: []string{"key", "k"}, file: "x"}); a.code() != code[i] {
				t.Errorf("%q by version 2 (%t): %s, want %s: %s", who, old, a.code(), code[i], a.body)
			}
		}
	}
	for _, c := range []struct{ who, key, tags, code string }{
		{"writer", "up/k", "", "204"}, {"writer", "k", "", "AccessDenied"}, {"writer", "open/k", "", "204"},
		{"tagger", "k", "red", "204"}, {"tagger", "k", "blue", "AccessDenied"},
		{"", "open/k", "", "204"}, {"", "k", "", "AccessDenied"}, {"", "open/k", "red", "AccessDenied"},
		{"other", "open/k", "", "204"}, {"root", "closed/k", "", "AccessDenied"},
	} {
		f := browserForm{who: c.who, fields: []string{"key", c.key}, file: "x"}
		if c.tags != "" {
			f.fields = append(f.fields, "tagging", tagged("team", c.tags))
		}
		if a := k.post(f); a.code() != c.code {
			t.Errorf("%q puts %s with tags %q: %s, want %s: %s", c.who, c.key, c.tags, a.code(), c.code, a.body)
		}
	}
	k.want("AccessDenied", call{method: "PUT", path: "/bucket/up/k", credentials: as("writer")}) // his policy is of forms
}

// TestPostObjectOrigins: a page of another origin reads the answer where the bucket's rules let it, errors too.
func TestPostObjectOrigins(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.want("200", call{method: "PUT", path: "/bucket?cors", body: []byte(`<CORSConfiguration><CORSRule><AllowedOrigin>http://page.example</AllowedOrigin><AllowedMethod>POST</AllowedMethod></CORSRule></CORSConfiguration>`)})
	for _, c := range []struct{ origin, allowed, who, code string }{
		{"http://page.example", "http://page.example", "root", "204"}, {"http://page.example", "http://page.example", "stranger", "InvalidAccessKeyId"},
		{"http://page.example", "http://page.example", "", "AccessDenied"}, {"http://other.example", "", "root", "204"},
	} {
		a := k.post(browserForm{who: c.who, fields: []string{"key", "k"}}, "Origin", c.origin)
		if got := a.header.Get("Access-Control-Allow-Origin"); a.code() != c.code || got != c.allowed {
			t.Errorf("%q from %s: %s, allowed %q", c.who, c.origin, a.code(), got)
		}
	}
}

// TestPostObjectCut: a form that stops, wherever it does, stores nothing and leaves nothing.
func TestPostObjectCut(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IdleTimeout = 2 * time.Second })
	k.makeBucket("bucket")
	send := func(body string, announced int, then func(net.Conn)) string {
		head := fmt.Sprintf("POST /bucket HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", formType, announced)
		res, err := k.raw(head+body, then)
		if err != nil {
			return err.Error()
		}
		answer, _ := io.ReadAll(res.Body)
		return string(answer)
	}
	end := func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }
	for _, size := range []int{1000, formFileHeld + 100_000} {
		f := browserForm{who: "root", fields: []string{"key", "k"}, file: text(size)}
		body := f.body()
		for _, n := range []int{50, 300, len(body) - size/2, len(body) - 20, len(body) - 1} {
			if answer := send(body[:n], len(body), end); !strings.Contains(answer, "<Error>") && !strings.Contains(answer, "EOF") {
				t.Errorf("%d of %d bytes: %s", n, len(body), answer)
			}
			k.nothing()
		}
		if answer := send(body[:len(body)-size/2], len(body), nil); !strings.Contains(answer, "RequestTimeout") && !strings.Contains(answer, "EOF") {
			t.Errorf("a form of %d bytes that stalls: %s", len(body), answer)
		}
		k.nothing()
	}
	poll.Nil(t, poll.Within, "the end of what they held", func() error {
		if n := k.server.admit.held.Load(); n != 0 {
			return fmt.Errorf("%d bytes are still admitted", n)
		}
		return nil
	})
}

// TestPostObjectSlow: a form that comes in small pieces is taken.
func TestPostObjectSlow(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	f := browserForm{who: "root", fields: []string{"key", "k"}, file: text(3000)}
	body := f.body()
	res, err := k.raw(fmt.Sprintf("POST /bucket HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", formType, len(body)), func(c net.Conn) {
		for i := range len(body) {
			_, _ = io.WriteString(c, body[i:i+1])
		}
	})
	if err != nil || res.StatusCode != http.StatusNoContent {
		t.Fatal(res, err)
	}
	if g := k.want("200", call{method: "GET", path: "/bucket/k"}); string(g.body) != f.file {
		t.Error("other bytes")
	}
}

// TestPostObjectVersions: a form in a versioned bucket makes a version more.
func TestPostObjectVersions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.versioning("bucket", "Enabled")
	made := map[string]string{}
	for _, content := range []string{"one", "two"} {
		a := k.post(browserForm{who: "root", fields: []string{"key", "k"}, file: content})
		made[a.header.Get("x-amz-version-id")] = content
	}
	for id, content := range made {
		if g := k.want("200", call{method: "GET", path: "/bucket/k?versionId=" + id}); id == "" || string(g.body) != content {
			t.Errorf("version %q is %q, want %q", id, g.body, content)
		}
	}
	if len(made) != 2 {
		t.Errorf("versions %v", made)
	}
}
