package gateway

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta/metapb"
)

// byteRange is a range of bytes as RFC 9110, 14.1.2, writes it.
var byteRange = regexp.MustCompile(`^bytes=([0-9]*)-([0-9]*)$`)

// naiveSpan is span by RFC 9110, 14.1.1, in numbers without end; n is 0 where no byte is in the range.
func naiveSpan(header string, size int64) (off, n int64, partial bool) {
	m := byteRange.FindStringSubmatch(header)
	if m == nil || m[1] == "" && m[2] == "" {
		return 0, size, false
	}
	number := func(s string) *big.Int {
		n, _ := new(big.Int).SetString("0"+s, 10)
		return n
	}
	all, one := big.NewInt(size), big.NewInt(1)
	first, last := number(m[1]), number(m[2])
	switch {
	case m[1] == "": // the last bytes
		if last.Cmp(all) > 0 {
			last = all
		}
		first, last = new(big.Int).Sub(all, last), new(big.Int).Sub(all, one)
	case m[2] == "" || last.Cmp(all) >= 0 && last.Cmp(first) >= 0:
		last = new(big.Int).Sub(all, one)
	case last.Cmp(first) < 0:
		return 0, size, false
	}
	if first.Cmp(all) >= 0 {
		return 0, 0, true
	}
	return first.Int64(), last.Int64() - first.Int64() + 1, true
}

// FuzzRange compares the Range header with numbers that have no end, and x-amz-copy-source-range with both.
func FuzzRange(f *testing.F) {
	for _, h := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=3-2", "bytes=-", "bytes=-0", "bytes=0-99999999999999999999", "bytes=99999999999999999999-", "bytes= 1-2 ", "bytes=0-0,2-2", "items=0-1", ""} {
		f.Add(h, int64(10))
		f.Add(h, int64(0))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		off, n, partial, err := span(header, size)
		wantOff, wantN, wantPartial := naiveSpan(header, size)
		if wantPartial && wantN == 0 {
			if !errors.Is(err, errInvalidRange) {
				t.Fatalf("%q of %d: %d+%d, %v", header, size, off, n, err)
			}
		} else if err != nil || off != wantOff || n != wantN || partial != wantPartial {
			t.Fatalf("%q of %d: %d+%d %v %v, naive %d+%d %v", header, size, off, n, partial, err, wantOff, wantN, wantPartial)
		}
		at, err := copyRange(header, size)
		if err == nil && header != "" && (at != object.Span{Off: wantOff, N: wantN} || !wantPartial) {
			t.Fatalf("%q of %d is copied as %+v, naive %d+%d", header, size, at, wantOff, wantN)
		}
		if err == nil && (at.Off < 0 || at.N < 0 || at.Off+at.N > size) {
			t.Fatalf("%q of %d is copied as %+v", header, size, at)
		}
	})
}

// FuzzTags: what is taken for tags is in the form that they are kept in, and counts as many as there are.
func FuzzTags(f *testing.F) {
	for _, v := range []string{"a=b", "a", "a=b&c=", "a=b&a=c", "=", "a%3Db=c%26", "a+b=%20", "%ff=x", "a;b=c", "&&", "é=" + strings.Repeat("é", 256), strings.Repeat("k", 129) + "="} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		kept, err := tags(v)
		if err != nil {
			if e := toAPI(err); e.status != http.StatusBadRequest {
				t.Fatal(err)
			}
			return
		}
		set, err := url.ParseQuery(kept)
		if err != nil || len(set) != tagCount(kept) || len(set) > s3xml.ObjectTagsMax {
			t.Fatalf("%q is kept as %q: %d tags, counted %d, %v", v, kept, len(set), tagCount(kept), err)
		}
		if again, err := tags(kept); err != nil || again != kept {
			t.Fatalf("%q is kept as %q, and that as %q, %v", v, kept, again, err)
		}
	})
}

// FuzzCopySource: what is taken for a source is a bucket and a key, whichever way they are written.
func FuzzCopySource(f *testing.F) {
	for _, v := range []string{"/bucket/key", "bucket/a%2Fb%3F?versionId=null", "bucket/key?versionId=", "/%62ucket//", "%2Fbucket%2Fkey", "bucket/%ff", "bucket", "/", "b/k?x=y", "arn:aws:s3:us-west-2:1:accesspoint/a/object/k"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		on, err := parseSource(raw)
		if err != nil {
			return
		}
		if on.name == "" || strings.Contains(on.name, "/") || on.key == "" || len(on.key) > keyBytesMax || !utf8.ValidString(on.key) || !on.copied {
			t.Fatalf("%q is %+v", raw, on)
		}
		again := "/" + url.PathEscape(on.name) + "/" + url.PathEscape(on.key)
		if on.version != "" {
			again += "?versionId=" + on.version
		}
		if same, err := parseSource(again); err != nil || same != on {
			t.Fatalf("%q is %+v, written %q and read as %+v, %v", raw, on, again, same, err)
		}
	})
}

// FuzzParams compares the query with net/url's, which takes no semicolons.
func FuzzParams(f *testing.F) {
	for _, q := range []string{"a=b&c", "list-type=2&prefix=a+b%2F", "&&=&a=b=c", "%zz", "max-keys=99999999999", "partNumber=1&uploadId=x", "x=%ff", "a;b"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseQuery(nil, raw)
		if strings.Contains(raw, ";") {
			return
		}
		want, wrong := url.ParseQuery(raw)
		if err == errTooManyParams || err == nil && len(p) > paramsMax {
			if n := strings.Count(raw, "&"); n < paramsMax || err == nil {
				t.Fatalf("%d parameters of %d: %v", len(p), n, err)
			}
			return
		}
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%v, net/url: %v", err, wrong)
		}
		for name := range want {
			if err == nil && (!p.has(name) || p.get(name) != want.Get(name)) {
				t.Fatalf("%q is %q, net/url: %q", name, p.get(name), want.Get(name))
			}
		}
		if n, err := p.count("max-keys", 7, 1000); err == nil && (n < 0 || n > 1000) {
			t.Fatalf("max-keys %d", n)
		}
		if n, err := partNumber(p.get("partNumber")); err == nil && (n < 1 || n > object.PartsMax) {
			t.Fatalf("part %d", n)
		}
		after, err := untoken(p.get("continuation-token"))
		if same, err2 := untoken(token(after)); err == nil && (err2 != nil || same != after || len(after) > keyBytesMax) {
			t.Fatalf("%q becomes %q, %v", after, same, err2)
		}
	})
}

// FuzzConditions: the headers of a conditional read let it pass, or answer 304 or 412; a tag that is the object's matches.
func FuzzConditions(f *testing.F) {
	v := &metapb.Version{Ts: uint64(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano()), Md5: make([]byte, 16)}
	tag := `"` + object.ETag(v) + `"`
	f.Add(tag, "", "", "")
	f.Add("", "W/"+tag+", *", "Fri, 02 Jan 2026 03:04:05 GMT", "")
	f.Add("*", `"`, "x", "Fri, 02 Jan 1926 03:04:05 GMT")
	f.Fuzz(func(t *testing.T, match, none, since, unmodified string) {
		c := readConditions{match: match, noneMatch: none, modifiedSince: since, unmodified: unmodified}
		if err := c.check(v); err != nil && !errors.Is(err, errNotModified) && !errors.Is(err, errPreconditionFailed) {
			t.Fatal(err)
		}
		c.match, c.noneMatch = match+","+tag, ""
		if err := c.check(v); errors.Is(err, errPreconditionFailed) {
			t.Fatalf("%q does not match %s", c.match, tag)
		}
		c.match, c.noneMatch = "", none+", "+tag
		if err := c.check(v); err == nil {
			t.Fatalf("%q does not match %s", c.noneMatch, tag)
		}
	})
}

// FuzzRequest throws requests of root's at a server with a bucket and an object: whatever the line, the headers and the body, it answers, and not
// with an error of its own; what it says is well-formed.
func FuzzRequest(f *testing.F) {
	for _, o := range operations {
		target := [...]string{"/", "/bucket", "/bucket/key"}[o.scope]
		if o.sub != "" {
			target += "?" + o.sub + "=2"
		}
		if o.sub2 != "" {
			target += "&" + o.sub2 + "=0123456789abcdef0123456789abcdef"
		}
		header := "X-Amz-Meta-A: b"
		if o.header != "" {
			header = o.header + ": /bucket/key"
		}
		f.Add(o.method, target, header, []byte("<"+o.name+"/>"))
	}
	f.Add("GET", "/bucket/key?versionId=null", "Range: bytes=0-1\r\nIf-None-Match: \"x\"\r\nx-amz-checksum-mode: ENABLED", []byte{})
	f.Add("GET", "/bucket/key?attributes", "x-amz-object-attributes: ETag,ObjectParts,Checksum\r\nx-amz-max-parts: 1\r\nx-amz-part-number-marker: 1", []byte{})
	f.Add("PUT", "/bucket/new", "x-amz-tagging: a=b\r\nx-amz-acl: private\r\nx-amz-object-lock-mode: GOVERNANCE\r\nx-amz-object-lock-retain-until-date: 2030-01-02T15:04:05Z\r\nContent-MD5: x", []byte("body"))
	f.Add("PUT", "/bucket/new", "x-amz-checksum-crc32: AAAAAA==\r\nx-amz-sdk-checksum-algorithm: CRC32\r\nIf-None-Match: *\r\nCache-Control: x", []byte("body"))
	f.Add("PUT", "/bucket?tagging", "", []byte("<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"))
	f.Add("PUT", "/bucket?policy", "", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::bucket/*"}]}`))
	f.Add("POST", "/bucket?delete", "x-amz-bypass-governance-retention: true", []byte("<Delete><Object><Key>key</Key><VersionId>null</VersionId></Object></Delete>"))
	f.Add("POST", "/bucket", "Content-Type: multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbody\r\n--x--"))
	f.Add("OPTIONS", "/bucket/key", "Origin: http://a\r\nAccess-Control-Request-Method: PUT", []byte{})
	f.Add("POST", "/", "Content-Type: application/x-www-form-urlencoded", []byte("Action=ListUsers&Version=2010-05-08"))
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n\r\n")))
		if err != nil || r.Header["Authorization"] != nil || strings.HasPrefix(r.URL.Path, "/_/") {
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		r.RemoteAddr = "192.0.2.1:1"
		if r.URL.Path == "/" && r.Method == http.MethodPost {
			sigv4.SignFor(r, rootCredentials, sha(string(body)), "iam", "us-east-1", time.Now())
		} else {
			sigv4.Sign(r, rootCredentials, sigv4.UnsignedPayload, "us-east-1", time.Now())
		}
		k := newKit(t)
		k.makeBucket("bucket")
		k.put("/bucket/key", "body")
		w := httptest.NewRecorder()
		k.server.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if kind := w.Header().Get("Content-Type"); strings.HasPrefix(kind, "application/xml") && w.Body.Len() > 0 && !(method == http.MethodGet && w.Header().Get("ETag") != "") {
			if err := wellFormed(w.Body.Bytes()); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
		}
	})
}

// wellFormed reads a document to its end.
func wellFormed(doc []byte) error {
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
