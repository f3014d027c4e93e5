package sigv4

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// scratch is the memory of one verification or signing. It is pooled; nothing in it outlives the call.
type scratch struct {
	pairs []pair
	query []byte // the canonical names and values that pairs point into
	buf   []byte // the canonical request
	sts   []byte // the string to sign
	how   [4]reading
}

// pair is one parameter of a query: as it was sent, and where its canonical form is in scratch.query.
type pair struct {
	name, value string
	n0, n1, v1  int // name is query[n0:n1], value query[n1:v1]
}

// reading is one way to understand a URL where clients that S3 accepts differ from each other.
type reading struct {
	slashKept bool // an encoded slash in the path was signed as %2F, not as /
	plusKept  bool // a + in the query was signed as a plus, not as a space
}

// readings are the ways to try: the documented one first, others only where u could have been meant so.
func (s *scratch) readings(u *url.URL) []reading {
	out := append(s.how[:0], reading{})
	slash := strings.Contains(u.RawPath, "%2F") || strings.Contains(u.RawPath, "%2f")
	plus := strings.Contains(u.RawQuery, "+")
	if slash {
		out = append(out, reading{slashKept: true})
	}
	if plus {
		out = append(out, reading{plusKept: true})
	}
	if slash && plus {
		out = append(out, reading{slashKept: true, plusKept: true})
	}
	return out
}

// split fills s.pairs from a raw query; the canonical forms are made later.
func (s *scratch) split(raw string) {
	s.pairs = s.pairs[:0]
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		s.pairs = append(s.pairs, pair{name: name, value: value})
	}
}

// param is the decoded value of the first parameter of that name.
func (s *scratch) param(name string) (string, bool) {
	for i := range s.pairs {
		if p := &s.pairs[i]; p.is(name) {
			return unescape(p.value), true
		}
	}
	return "", false
}

func (p *pair) is(name string) bool {
	return p.name == name || strings.IndexByte(p.name, '%') >= 0 && unescape(p.name) == name
}

// unescape decodes a query component; one that is not well-formed stays as it is.
func unescape(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	return s
}

// canonical writes the canonical request of r to s.buf.
//
// Source: "Task 1: Create a Canonical Request", sig-v4-header-based-auth.
func (s *scratch) canonical(r *http.Request, host string, c *claim, how reading) {
	b := append(s.buf[:0], r.Method...)
	b = append(b, '\n')
	if how.slashKept {
		b = appendPathAsSent(b, r.URL.RawPath)
	} else {
		b = appendPath(b, r.URL.Path)
	}
	b = append(b, '\n')
	b = s.appendQuery(b, c.skip, how.plusKept)
	b = append(b, '\n')
	names := c.signedHeaders
	for more := names != ""; more; {
		var name string
		name, names, more = strings.Cut(names, ";")
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name, host)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, c.signedHeaders...)
	b = append(b, '\n')
	s.buf = append(b, c.payload...)
}

// stringToSign writes to s.sts what is signed for the canonical request in s.buf.
func (s *scratch) stringToSign(amzDate, scope string) {
	b := append(s.sts[:0], algorithm+"\n"...)
	b = append(b, amzDate...)
	b = append(b, '\n')
	b = append(b, scope...)
	b = append(b, '\n')
	sum := sha256.Sum256(s.buf)
	s.sts = appendHex(b, sum[:])
}

// appendPath writes a decoded path encoded once, its slashes kept, nothing normalised: a/../b and a//b are
// keys as good as any.
func appendPath(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	return appendEncoded(b, path, true)
}

// appendPathAsSent writes an encoded path with each byte in its canonical form, but %2F apart from /.
func appendPathAsSent(b []byte, raw string) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '/' {
			b = append(b, c)
			continue
		}
		if v, ok := escape(raw[i:]); ok {
			c, i = v, i+2
		}
		b = appendByte(b, c)
	}
	return b
}

// appendQuery writes the canonical query: names and values decoded, encoded again, sorted by name, then value.
func (s *scratch) appendQuery(b []byte, skipSignature, plusKept bool) []byte {
	q := s.query[:0]
	for i := range s.pairs {
		p := &s.pairs[i]
		p.n0 = len(q)
		q = appendComponent(q, p.name, plusKept)
		p.n1 = len(q)
		q = appendComponent(q, p.value, plusKept)
		p.v1 = len(q)
	}
	s.query = q
	if len(s.pairs) > 1 {
		slices.SortFunc(s.pairs, func(x, y pair) int {
			if c := bytes.Compare(q[x.n0:x.n1], q[y.n0:y.n1]); c != 0 {
				return c
			}
			return bytes.Compare(q[x.n1:x.v1], q[y.n1:y.v1])
		})
	}
	sep := false
	for _, p := range s.pairs {
		if skipSignature && string(q[p.n0:p.n1]) == "X-Amz-Signature" {
			continue
		}
		if sep {
			b = append(b, '&')
		}
		sep = true
		b = append(b, q[p.n0:p.n1]...)
		b = append(b, '=')
		b = append(b, q[p.n1:p.v1]...)
	}
	return b
}

// appendComponent writes a component of a raw query in canonical form.
func appendComponent(b []byte, raw string, plusKept bool) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if v, ok := escape(raw[i:]); ok {
			c, i = v, i+2
		} else if c == '+' && !plusKept {
			c = ' '
		}
		b = appendByte(b, c)
	}
	return b
}

// appendEncoded writes s with every byte but the unreserved ones (and '/', if slash) as %XX.
func appendEncoded(b []byte, s string, slash bool) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '/' && slash {
			b = append(b, c)
		} else {
			b = appendByte(b, c)
		}
	}
	return b
}

func appendByte(b []byte, c byte) []byte {
	if unreserved[c] {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

const upperHex = "0123456789ABCDEF"

// unreserved holds the bytes that are never encoded (RFC 3986). It is not changed.
var unreserved = func() (t [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" {
		t[c] = true
	}
	return t
}()

// escape decodes the %XX that s begins with.
func escape(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, lo := unhex(s[1]), unhex(s[2])
	return hi<<4 | lo&15, hi < 16 && lo < 16
}

// unhex is the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// appendHeader writes the values of a header, given by its name in lower case, trimmed and joined by commas.
// Of what net/http takes out of r.Header, it knows where it went.
func appendHeader(b []byte, r *http.Request, name, host string) []byte {
	switch name {
	case "host":
		return appendTrimmed(b, host)
	case "transfer-encoding":
		return append(b, strings.Join(r.TransferEncoding, ",")...)
	}
	values := header(r.Header, name)
	if values == nil && name == "content-length" && r.ContentLength >= 0 {
		return strconv.AppendInt(b, r.ContentLength, 10)
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

// header looks up a header by its name in lower case, without allocating for it.
func header(h http.Header, lower string) []string {
	var room [64]byte
	key := append(room[:0], lower...)
	up := true
	for i, c := range key {
		if up && 'a' <= c && c <= 'z' {
			key[i] = c - 'a' + 'A'
		}
		up = c == '-'
	}
	return h[string(key)]
}

// appendTrimmed writes a header's value without the space around it, and each run of spaces in it as one.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	for {
		i := strings.Index(v, "  ")
		if i < 0 {
			return append(b, v...)
		}
		b = append(b, v[:i+1]...)
		v = strings.TrimLeft(v[i:], " ")
	}
}

func appendHex(b, src []byte) []byte {
	for _, c := range src {
		b = append(b, lowerHex[c>>4], lowerHex[c&15])
	}
	return b
}
