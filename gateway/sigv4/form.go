package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// VerifyForm is VerifyHost for a request to one of AWS's query APIs, signed for one of services ("iam", "sts") in its Authorization
// header. body is the request's, whole: clients of these APIs sign its digest without sending it. The body is always signed; Auth.Body
// is not for it.
//
// Errors: *Error. A request with no trace of credentials is no error: Auth.Anonymous is true.
// Source: "Create a signed AWS API request", IAM User Guide.
func (v *Verifier) VerifyForm(r *http.Request, host string, body []byte, services ...string) (Auth, error) {
	s, _ := v.scratch.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	defer v.keep(s)
	s.split(r.URL.RawQuery)

	kind, err := s.detect(r.Header)
	if err != nil {
		return Auth{}, err
	}
	sum := sha256.Sum256(body)
	a := Auth{v: v, Kind: kind, ContentBytes: int64(len(body)), services: services, formSHA256: hex.EncodeToString(sum[:])}
	switch kind {
	case KindNone:
		a.Anonymous = true
		return a, nil
	case KindHeader:
	default:
		return Auth{}, fail(InvalidRequest, "Requests to this API are signed in the Authorization header.")
	}
	if sent := first(r.Header, "X-Amz-Content-Sha256"); sent != "" && sent != a.formSHA256 {
		return Auth{}, fail(XAmzContentSHA256Mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.",
			Fact{"ClientComputedContentSHA256", clip(sent, 128)}, Fact{"S3ComputedContentSHA256", a.formSHA256})
	}
	if err := v.verifyHeader(r, host, s, &a); err != nil {
		return Auth{}, err
	}
	return a, nil
}
