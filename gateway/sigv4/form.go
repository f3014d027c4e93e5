package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// VerifyForm is VerifyHost for a request to one of AWS's query APIs, signed for one of services ("iam", "sts") in its Authorization
// header or in its query, as a token for somebody who asks sts who signed it. body is the request's, whole: clients of these APIs sign
// its digest without sending it. The body is always signed; Auth.Body is not for it. x-amz-content-sha256 is S3's: what is no digest
// there means nothing here.
//
// Errors: *Error; what a credential is not for is SignatureDoesNotMatch, as these APIs say it. A request with no trace of credentials
// is no error: Auth.Anonymous is true.
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
	if sent := first(r.Header, "X-Amz-Content-Sha256"); kind != KindNone && sent != "" && sent != a.formSHA256 {
		if _, digest := unhex32(sent); digest {
			return Auth{}, fail(XAmzContentSHA256Mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.",
				Fact{"ClientComputedContentSHA256", clip(sent, 128)}, Fact{"S3ComputedContentSHA256", a.formSHA256})
		}
	}
	switch kind {
	case KindNone:
		a.Anonymous = true
	case KindHeader:
		err = v.verifyHeader(r, host, s, &a)
	case KindQuery:
		err = v.verifyQuery(r, host, s, &a)
	default:
		err = unsupported()
	}
	if err != nil {
		return Auth{}, err
	}
	return a, nil
}

// misscoped is the error of a credential that is for something else: bad's, but of a form, which asks an API that has one code for it.
func (a *Auth) misscoped(bad malformed) malformed {
	if a.formSHA256 == "" {
		return bad
	}
	return func(what string, facts ...Fact) error {
		return fail(SignatureDoesNotMatch, "The credential is not for this; "+what, facts...)
	}
}
