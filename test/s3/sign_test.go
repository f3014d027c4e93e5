package s3

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// signature is a Signature V4 as gateway/sigv4 would not make it: of another service or region, at another time, over
// other headers. It is a second implementation, by the documentation alone, and keeps nothing but the rules.
//
// Source: API/sig-v4-header-based-auth, API/sigv4-query-string-auth.
type signature struct {
	service string        // "s3"
	region  string        // "us-east-1"
	at      time.Duration // from now
	date    string        // of the credential scope; that of the time by default
	leave   []string      // headers not to sign, lower case
	query   bool          // presigned
	expires string        // "60"
	drop    []string      // parameters, or parts of the Authorization header, not to send
	replace [2]string     // a text of the Authorization header or the query to be changed after signing
}

const timeFormat = "20060102T150405Z"

func (s signature) sign(r *http.Request, c sigv4.Credentials, payload string, now time.Time) {
	now = now.Add(s.at).UTC()
	date := cmp.Or(s.date, now.Format("20060102"))
	scope := date + "/" + cmp.Or(s.region, "us-east-1") + "/" + cmp.Or(s.service, "s3") + "/aws4_request"
	if !s.query {
		r.Header.Set("X-Amz-Date", now.Format(timeFormat))
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	signed := s.signedHeaders(r)
	if s.query {
		s.presign(r, c, scope, strings.Join(signed, ";"), now)
		payload = sigv4.UnsignedPayload
	}
	request := r.Method + "\n" + r.URL.EscapedPath() + "\n" + canonicalQuery(r.URL.RawQuery) + "\n"
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = cmp.Or(r.Host, r.URL.Host)
		}
		request += name + ":" + strings.Join(strings.Fields(value), " ") + "\n"
	}
	request += "\n" + strings.Join(signed, ";") + "\n" + payload
	key := []byte("AWS4" + c.Secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	mark := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+now.Format(timeFormat)+"\n"+scope+"\n"+digestOf([]byte(request))))
	if s.query {
		r.URL.RawQuery += "&X-Amz-Signature=" + mark
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, s.replace[0], s.replace[1], 1)
		s.dropParameters(r)
		return
	}
	parts := []string{"Credential=" + c.AccessKey + "/" + scope, "SignedHeaders=" + strings.Join(signed, ";"), "Signature=" + mark}
	parts = slices.DeleteFunc(parts, func(p string) bool { return slices.Contains(s.drop, strings.SplitN(p, "=", 2)[0]) })
	r.Header.Set("Authorization", strings.Replace("AWS4-HMAC-SHA256 "+strings.Join(parts, ", "), s.replace[0], s.replace[1], 1))
}

func (s signature) signedHeaders(r *http.Request) []string {
	names := []string{"host"}
	for name := range r.Header {
		if lower := strings.ToLower(name); !slices.Contains(s.leave, lower) && lower != "expect" {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return names
}

func (s signature) presign(r *http.Request, c sigv4.Credentials, scope, signed string, now time.Time) {
	for _, p := range [][2]string{
		{"X-Amz-Algorithm", "AWS4-HMAC-SHA256"}, {"X-Amz-Credential", c.AccessKey + "/" + scope}, {"X-Amz-Date", now.Format(timeFormat)},
		{"X-Amz-Expires", cmp.Or(s.expires, "60")}, {"X-Amz-SignedHeaders", signed},
	} {
		if r.URL.RawQuery != "" {
			r.URL.RawQuery += "&"
		}
		r.URL.RawQuery += p[0] + "=" + escape(p[1])
	}
}

func (s signature) dropParameters(r *http.Request) {
	pairs := strings.Split(r.URL.RawQuery, "&")
	r.URL.RawQuery = strings.Join(slices.DeleteFunc(pairs, func(p string) bool { return slices.Contains(s.drop, strings.SplitN(p, "=", 2)[0]) }), "&")
}

// canonicalQuery is a query sorted, each name and value escaped as AWS does.
func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, _ = url.QueryUnescape(name)
		value, _ = url.QueryUnescape(value)
		pairs = append(pairs, escape(name)+"="+escape(value))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape is AWS's UriEncode, slashes included.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
