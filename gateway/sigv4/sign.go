package sigv4

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Credentials sign requests.
type Credentials struct {
	AccessKey, Secret string
	SessionToken      string // or ""
}

// Sign adds x-amz-date, x-amz-content-sha256 and Authorization to r. payloadHash is the body's SHA-256 in
// hexadecimal, or one of the modes such as UnsignedPayload. All headers are signed but those that proxies and
// net/http change. r.Host, or else r.URL.Host, is what will be sent as Host.
func Sign(r *http.Request, c Credentials, payloadHash, region string, now time.Time) {
	sign(r, c, payloadHash, s3, region, now)
}

// SignFor is Sign for another service than S3: "iam", "sts".
func SignFor(r *http.Request, c Credentials, payloadHash, service, region string, now time.Time) {
	sign(r, c, payloadHash, service, region, now)
}

// sign is SignFor; what it returns is what the chunks of a streamed body go on from.
func sign(r *http.Request, c Credentials, payloadHash, service, region string, now time.Time) Auth {
	a := newAuth(c, service, region, now)
	r.Header["X-Amz-Date"] = []string{a.amzDate}
	r.Header["X-Amz-Content-Sha256"] = []string{payloadHash}
	if c.SessionToken != "" {
		r.Header["X-Amz-Security-Token"] = []string{c.SessionToken}
	}
	cl := claim{payload: payloadHash, signedHeaders: signedHeaders(r.Header)}
	a.sign(r, &cl)
	var room [512]byte
	h := append(room[:0], algorithm+" Credential="...)
	h = append(h, c.AccessKey...)
	h = append(h, '/')
	h = append(h, a.scope...)
	h = append(h, ", SignedHeaders="...)
	h = append(h, cl.signedHeaders...)
	h = append(h, ", Signature="...)
	h = appendHex(h, a.seed[:])
	r.Header["Authorization"] = []string{string(h)}
	return a
}

// Presign adds what makes r.URL valid on its own from now for the time of expires, at most a week. The
// headers that r has are signed: who uses the URL must send the same.
func Presign(r *http.Request, c Credentials, region string, expires time.Duration, now time.Time) {
	a := newAuth(c, s3, region, now)
	names := signedHeaders(r.Header)
	add := func(name, value string) {
		b := []byte(r.URL.RawQuery)
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(append(b, name...), '=')
		r.URL.RawQuery = string(appendEncoded(b, value, false))
	}
	add("X-Amz-Algorithm", algorithm)
	add("X-Amz-Credential", c.AccessKey+"/"+a.scope)
	add("X-Amz-Date", a.amzDate)
	add("X-Amz-Expires", decimal(int64(expires/time.Second)))
	if c.SessionToken != "" {
		add("X-Amz-Security-Token", c.SessionToken)
	}
	add("X-Amz-SignedHeaders", names)
	a.sign(r, &claim{payload: UnsignedPayload, signedHeaders: names})
	add("X-Amz-Signature", string(appendHex(nil, a.seed[:])))
}

// SignPost is the signature of a POST form's policy, which is in base64.
func SignPost(c Credentials, policy, region string, now time.Time) string {
	a := newAuth(c, s3, region, now)
	sum := mac(a.key[:], []byte(policy))
	return string(appendHex(nil, sum[:]))
}

func newAuth(c Credentials, service, region string, now time.Time) Auth {
	amzDate := now.UTC().Format(timeFormat)
	return Auth{
		AccessKey: c.AccessKey,
		amzDate:   amzDate,
		scope:     amzDate[:dateBytes] + "/" + region + "/" + service + "/aws4_request",
		key:       deriveKey(c.Secret, amzDate[:dateBytes], region, service),
	}
}

// sign sets a.seed to the signature of r.
func (a *Auth) sign(r *http.Request, c *claim) {
	var s scratch
	s.split(r.URL.RawQuery)
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	s.canonical(r, host, c, reading{})
	s.stringToSign(a.amzDate, a.scope)
	a.seed = mac(a.key[:], s.sts)
}

// signedHeaders lists the names to sign, sorted.
func signedHeaders(h http.Header) string {
	names := append(make([]string, 0, len(h)+1), "host")
	for name := range h {
		if !unsigned(name) {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}

// unsigned reports whether a header may change on its way, or is the signature itself.
func unsigned(name string) bool {
	switch name {
	case "Authorization", "User-Agent", "Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "X-Amzn-Trace-Id", "Traceparent":
		return true
	}
	return false
}
