package sigv4

import (
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
)

// Verifier checks signatures. Its exported fields are set before the first call and not changed; a zero
// field means the default given here. It is safe for concurrent use and must not be copied.
type Verifier struct {
	// Credentials finds the secret of an access key, and whatever the caller wants to know it by. An empty secret is one that cannot be
	// had at the moment: nothing is signed with it.
	Credentials func(accessKey string) (secret string, identity any, ok bool)
	Now         func() time.Time // time.Now
	Region      string           // the region a request must be signed for; empty: any
	MaxSkew     time.Duration    // 15 min: how far a request's time may be from Now
	// HostBucket finds the bucket in a virtual-host style name, which version 2 signs with the path; nil: none is.
	HostBucket func(host string) (string, bool)

	keys    keyCache
	scratch sync.Pool // *scratch
	bodies  sync.Pool // *bodyState
}

// Verify finds out who sent r, from r.Method, r.URL, r.Host, r.Header and r.ContentLength as the client
// sent them: call it before anything rewrites them. The body is not touched; see Auth.Body.
//
// Errors: *Error. A request with no trace of credentials is no error: Auth.Anonymous is true.
func (v *Verifier) Verify(r *http.Request) (Auth, error) { return v.VerifyHost(r, r.Host) }

// VerifyHost is Verify for a request whose client knew the server by the name host, because a trusted
// proxy in between changed it (X-Forwarded-Host).
func (v *Verifier) VerifyHost(r *http.Request, host string) (Auth, error) {
	s, _ := v.scratch.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	defer v.keep(s)
	s.split(r.URL.RawQuery)

	a := Auth{v: v, ContentBytes: r.ContentLength}
	kind, err := s.detect(r.Header)
	if err != nil {
		return Auth{}, err
	}
	a.Kind = kind
	switch kind {
	case KindHeader:
		err = v.verifyHeader(r, host, s, &a)
	case KindQuery:
		err = v.verifyQuery(r, host, s, &a)
	case kindQuery2:
		a.Kind = KindQuery
		err = v.verifyQuery2(r, host, &a)
	default:
		err = a.anonymous(r)
	}
	if err != nil {
		return Auth{}, err
	}
	return a, nil
}

// keep pools a scratch, unless one large request has made it large.
func (v *Verifier) keep(s *scratch) {
	if cap(s.buf) <= scratchMax && cap(s.query) <= scratchMax {
		clear(s.pairs) // they hold the request's strings
		v.scratch.Put(s)
	}
}

// scratchMax is the most memory that each buffer of a pooled scratch has.
const scratchMax = 32 << 10

// anonymous fills a for a request without credentials. Its body may still be checked, but not signed.
func (a *Auth) anonymous(r *http.Request) error {
	a.Anonymous = true
	value := first(r.Header, "X-Amz-Content-Sha256")
	if value == "" {
		value = UnsignedPayload
	}
	if err := a.payload(r, value); err != nil {
		return err
	}
	if a.Payload.signed() {
		return fail(InvalidRequest, "A signed streaming body needs a signed request.")
	}
	return nil
}

// claim is what a request says of its signature, wherever it says it.
type claim struct {
	credential    credential
	signedHeaders string // names in lower case, separated by ';'
	signature     string
	payload       string // the last line of the canonical request
	skip          bool   // leave X-Amz-Signature out of the canonical query
}

// check finds the secret and compares signatures. a.amzDate is set; a's identity, key, seed and scope are filled.
func (v *Verifier) check(r *http.Request, host string, s *scratch, c *claim, a *Auth) error {
	secret, identity, err := v.secret(c.credential.accessKey)
	if err != nil {
		return err
	}
	a.AccessKey, a.Identity, a.scope = c.credential.accessKey, identity, c.credential.scope
	key, cached := v.keys.get(&c.credential, secret)
	if !cached {
		key = deriveKey(secret, c.credential.date, c.credential.region, c.credential.service)
	}
	a.key = key
	for _, how := range s.readings(r.URL) {
		s.canonical(r, host, c, how)
		s.stringToSign(a.amzDate, a.scope)
		a.seed = mac(key[:], s.sts)
		if sameHex(a.seed, c.signature) {
			if !cached {
				v.keys.put(&c.credential, secret, key)
			}
			return nil
		}
	}
	s.canonical(r, host, c, reading{}) // what is shown is the reading of the documentation
	s.stringToSign(a.amzDate, a.scope)
	return mismatch(c.credential.accessKey, c.signature, s.sts, s.buf)
}

// secret asks for an access key's secret. Errors: InvalidAccessKeyID, ServiceUnavailable.
func (v *Verifier) secret(accessKey string) (secret string, identity any, err error) {
	known := false
	if v.Credentials != nil && accessKey != "" {
		secret, identity, known = v.Credentials(accessKey)
	}
	switch {
	case !known:
		return "", nil, fail(InvalidAccessKeyID, "The AWS Access Key Id you provided does not exist in our records.", Fact{"AWSAccessKeyId", clip(accessKey, 128)})
	case secret == "":
		return "", nil, fail(ServiceUnavailable, "The secret of this access key cannot be read here at the moment. Please try again.")
	}
	return secret, identity, nil
}

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

func (v *Verifier) maxSkew() time.Duration {
	if v.MaxSkew == 0 {
		return 15 * time.Minute
	}
	return v.MaxSkew
}

// mismatch is the error that lets a person compare what was signed on either side.
func mismatch(accessKey, signature string, sts, canonical []byte) error {
	facts := []Fact{
		{"AWSAccessKeyId", clip(accessKey, 128)},
		{"StringToSign", string(sts)},
		{"SignatureProvided", clip(signature, 128)},
		{"StringToSignBytes", hexBytes(sts)},
	}
	if canonical != nil {
		facts = append(facts, Fact{"CanonicalRequest", string(canonical)}, Fact{"CanonicalRequestBytes", hexBytes(canonical)})
	}
	return fail(SignatureDoesNotMatch, "The request signature we calculated does not match the signature you provided. Check your key and signing method.", facts...)
}

// sameHex reports whether provided is sum in hexadecimal, in a time that does not depend on where they differ.
func sameHex[T string | []byte](sum [32]byte, provided T) bool {
	var want, got [64]byte
	appendHex(want[:0], sum[:])
	return copy(got[:], provided) == len(provided) && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// hexBytes is b as S3 shows it: two digits a byte, separated by spaces.
func hexBytes(b []byte) string {
	out := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, lowerHex[c>>4], lowerHex[c&15])
	}
	return string(out)
}

const lowerHex = "0123456789abcdef"
