package gateway

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/object"
)

// canonicalRequest is what an answer of SignatureDoesNotMatch says was signed; "" of any other answer.
func canonicalRequest(t *testing.T, body []byte) string {
	t.Helper()
	var e struct{ Code, CanonicalRequest string }
	if err := xml.Unmarshal(body, &e); err != nil || e.Code != "SignatureDoesNotMatch" {
		return ""
	}
	return e.CanonicalRequest
}

const (
	oddKey  = "a b+c%2Fd/ü~"
	oddPath = "/a%20b%2Bc%252Fd/%C3%BC~"
)

// TestSignedHosts: the signature is over the Host as it was sent, in any style and with any port. Where it is another on the way, the
// answer says which one came. Source: sig-v4-header-based-auth; "Virtual hosting of general purpose buckets".
func TestSignedHosts(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Domains = []string{"s3.example.com"} })
	k.makeBucket("bucket")
	k.put("/bucket"+oddPath, oddKey)
	for _, c := range []struct{ host, path, other string }{
		{"s3.example.com", "/bucket", "s3.example.com:80"},
		{"s3.example.com:80", "/bucket", "s3.example.com"},
		{"S3.Example.COM:65535", "/bucket", "s3.example.com:65535"},
		{"localhost:1", "/bucket", "localhost:2"},
		{"[::1]:9000", "/bucket", "[0:0:0:0:0:0:0:1]:9000"},
		{"192.0.2.1:08080", "/bucket", "192.0.2.1:8080"},
		{"bucket.s3.example.com", "", "bucket.s3.example.com:443"},
		{"bucket.s3.example.com:8443", "", "bucket.s3.example.com"},
		{"BUCKET.s3.example.com:9000", "", "bucket.s3.example.com:9000"},
		{"bucket.s3.example.com.:9000", "", "bucket.s3.example.com:9000"},
	} {
		for _, presign := range []bool{false, true} {
			get := call{method: "GET", path: c.path + oddPath, host: c.host, presign: presign}
			if a := k.want("200", get); string(a.body) != oddKey {
				t.Errorf("%s: %s", c.host, a.body)
			}
			get.change = func(r *http.Request) { r.Host = c.other }
			a := k.want("SignatureDoesNotMatch", get)
			if got := canonicalRequest(t, a.body); !strings.Contains(got, "\nhost:"+c.other+"\n") || !strings.HasPrefix(got, "GET\n"+c.path+oddPath+"\n") {
				t.Errorf("%s: signed for %s: shown\n%s", c.other, c.host, got)
			}
		}
	}
}

// TestSignedTargets sends targets that mean what was signed, written in another way, and some that do not.
func TestSignedTargets(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, key := range []string{"a%20b", "a%2Bb", "a/b", "%C3%BC", "%E2%82%AC/%F0%9F%8F%BA"} {
		k.put("/bucket/"+key, "body")
	}
	for _, c := range []struct{ signed, sent, wrong string }{ // wrong: what is shown as the canonical path and query, where they do not match
		{"/bucket/a%20b", "/bucket/a%20b", ""},
		{"/bucket/a%20b", "/bucket/%61%20%62", ""},
		{"/bucket/a%20b", "/bucket/a+b", "/bucket/a%2Bb\n"},
		{"/bucket/a%2Bb", "/bucket/a+b", ""},
		{"/bucket/a%2Bb", "/bucket/a%2bb", ""},
		{"/bucket/a%2Bb", "/bucket/a%252Bb", "/bucket/a%252Bb\n"},
		{"/bucket/a/b", "/bucket/a%2Fb", ""},
		{"/bucket/a/b", "/bucket/a%2fb", ""},
		{"/bucket/a/b", "/bucket/a//b", "/bucket/a//b\n"},
		{"/bucket/a/b", "/bucket/./a/b", "/bucket/./a/b\n"},
		{"/bucket/%C3%BC", "/bucket/\xc3\xbc", ""},
		{"/bucket/%C3%BC", "/bucket/u%CC%88", "/bucket/u%CC%88\n"},
		{"/bucket/%E2%82%AC/%F0%9F%8F%BA", "/bucket/%e2%82%ac/\U0001F3FA", ""},
		{"/bucket?prefix=a%20b", "/bucket?prefix=a+b", ""},
		{"/bucket?prefix=a%2Bb", "/bucket?prefix=a%2bb", ""},
		{"/bucket?prefix=a%2Fb", "/bucket?prefix=a/b", ""},
		{"/bucket?prefix=%C3%BC", "/bucket?prefix=\xc3\xbc", ""},
		{"/bucket?prefix=a&delimiter=%2F", "/bucket?delimiter=/&&prefix=%61", ""},
		{"/bucket?acl", "/bucket?acl=", ""},
		{"/bucket?prefix=&acl=", "/bucket?acl&prefix", ""},
		{"/bucket?prefix=", "/bucket", "/bucket\n\n"},
		{"/bucket", "/bucket?prefix=", "/bucket\nprefix=\n"},
		{"/bucket?prefix=a", "/bucket?prefix=a&prefix=b", "/bucket\nprefix=a&prefix=b\n"},
	} {
		head := strings.Replace(k.head(call{method: "GET", path: c.signed}, -1), " "+c.signed+" ", " "+c.sent+" ", 1)
		checkSent(t, k, c.sent+" signed as "+c.signed, head, c.wrong)
	}
}

// checkSent sends a request's head: it is served, or wrong is in the canonical request that it is refused with.
func checkSent(t *testing.T, k *kit, what, head, wrong string) {
	t.Helper()
	res, err := k.raw(head, nil)
	if err != nil {
		t.Fatal(what, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(what, err)
	}
	shown := canonicalRequest(t, body)
	if served := res.StatusCode == http.StatusOK; served != (wrong == "") || !strings.Contains(shown, wrong) {
		t.Errorf("%s: %d %s", what, res.StatusCode, body)
	}
}

// TestSignedLines: the order of a signed header's lines counts, that of the headers does not; nor does the space around a value, or how its
// lines are joined. Source: sig-v4-header-based-auth, CanonicalHeaders.
func TestSignedLines(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "body")
	signed := k.head(call{method: "GET", path: "/bucket/key", header: map[string]string{"X-Amz-Meta-A": "2,1,1", "Content-Type": "a b"}}, -1)
	const one, plain = "X-Amz-Meta-A: 2,1,1\r\n", "Content-Type: a b\r\n"
	if !strings.Contains(signed, one) || !strings.Contains(signed, plain) {
		t.Fatal(signed)
	}
	for _, c := range []struct{ name, from, to, wrong string }{
		{"as signed", "", "", ""},
		{"three lines", one, "X-Amz-Meta-A: 2\r\nX-Amz-Meta-A: 1\r\nX-Amz-Meta-A: 1\r\n", ""},
		{"lines apart", one, "X-Amz-Meta-A: 2\r\nAccept: */*\r\nX-AMZ-META-a: 1,1\r\n", ""},
		{"a header less", plain, "", "content-type:\n"},
		{"space around", one, "X-Amz-Meta-A:  \t2,1,1 \r\n", ""},
		{"space within", plain, "content-type:a    b\r\n", ""},
		{"another order of lines", one, "X-Amz-Meta-A: 1\r\nX-Amz-Meta-A: 2\r\nX-Amz-Meta-A: 1\r\n", "\nx-amz-meta-a:1,2,1\n"},
		{"a line more", one, one + "X-Amz-Meta-A: 1\r\n", "\nx-amz-meta-a:2,1,1,1\n"},
		{"a line less", one, "X-Amz-Meta-A: 2\r\nX-Amz-Meta-A: 1\r\n", "\nx-amz-meta-a:2,1\n"},
	} {
		head := strings.Replace(signed, c.from, c.to, 1)
		checkSent(t, k, c.name, head, c.wrong)
		first, rest, _ := strings.Cut(head, "\r\n")
		lines := strings.Split(strings.TrimSuffix(rest, "\r\n\r\n"), "\r\n")
		for turn := range lines { // whichever header comes first, as long as a header's lines keep their order
			if strings.Count(strings.ToLower(head), "x-amz-meta-a") > 2 {
				break
			}
			turned := append(append([]string{first}, lines[turn:]...), lines[:turn]...)
			checkSent(t, k, c.name, strings.Join(turned, "\r\n")+"\r\n\r\n", c.wrong)
		}
	}
}

// TestProxyChangesHost puts a reverse proxy in front that asks its backend by another name. If it is trusted, what it says of the client's Host
// is what was signed; else the answer says what came.
func TestProxyChangesHost(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		k := newKit(t, func(o *Options, _ *object.Options) {
			o.Domains = []string{"s3.example.com"}
			if trusted {
				o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
			}
		})
		k.makeBucket("bucket")
		k.put("/bucket"+oddPath, oddKey)
		backend, err := url.Parse(k.http.URL)
		check(t, err)
		proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(backend) // which sets the Host, too
			p.SetXForwarded()
		}})
		t.Cleanup(proxy.Close)
		for _, c := range []struct{ host, path string }{
			{"s3.example.com", "/bucket"}, {"s3.example.com:8443", "/bucket"}, {"bucket.s3.example.com", ""}, {"bucket.s3.example.com:9", ""},
		} {
			for _, presign := range []bool{false, true} {
				r := k.request(call{method: "GET", path: c.path + oddPath, host: c.host, presign: presign})
				r.URL.Host = proxy.Listener.Addr().String()
				a := k.send(r)
				shown := canonicalRequest(t, a.body)
				if trusted && (a.code() != "200" || string(a.body) != oddKey) || !trusted && !strings.Contains(shown, "\nhost:"+backend.Host+"\n") {
					t.Errorf("%s, trusted: %v: %s %s", c.host, trusted, a.code(), a.body)
				}
				r.URL.Path, r.URL.RawPath = c.path+"/other", ""
				shown = canonicalRequest(t, k.send(r).body)
				if host := map[bool]string{true: c.host, false: backend.Host}[trusted]; !strings.Contains(shown, "\nhost:"+host+"\n") {
					t.Errorf("%s, trusted: %v, another path: %s", c.host, trusted, shown)
				}
			}
		}
	}
}
