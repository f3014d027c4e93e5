package sigv4

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// VerifyForm is VerifyHost for a request to one of AWS's query APIs, signed for one of services ("iam", "sts") in its Authorization
// header or in its query, as a token for somebody who asks sts who signed it. body is the request's, whole: clients of these APIs sign
// its digest without sending it. The body is always signed; Auth.Body is not for it. x-amz-content-sha256 is S3's: what is no digest
// there means nothing here.
//
// Errors: *Error; what a credential is not for, and when it was not signed, is SignatureDoesNotMatch, as these APIs say it. A request with no
// trace of credentials of AWS's is no error: Auth.Anonymous is true.
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
	if kind == KindHeader && foreign(r.Header["Authorization"][0]) {
		kind, a.Kind = KindNone, KindNone
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

// foreign reports whether an Authorization header is of no scheme of AWS's: to these APIs it is no credential at all.
func foreign(authorization string) bool {
	return !strings.HasPrefix(authorization, "AWS4-") && !strings.HasPrefix(authorization, "AWS ")
}

// checkFormScope is checkScope in the words of AWS's query APIs. Source: "Troubleshoot AWS Signature Version 4 signing errors", IAM User Guide.
func (v *Verifier) checkFormScope(c *credential, a *Auth) error {
	switch {
	case c.terminal != terminal && strings.Contains(c.accessKey, "/"):
		return fail(AuthorizationHeaderMalformed, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+clip(c.accessKey+"/"+c.scope, 128)+"'")
	case c.terminal != terminal:
		return fail(SignatureDoesNotMatch, "Credential should be scoped with a valid terminator: '"+terminal+"', not '"+clip(c.terminal, 64)+"'.")
	case !a.serves(c.service):
		return fail(SignatureDoesNotMatch, "Credential should be scoped to correct service: '"+a.service()+"'.")
	case c.date != a.amzDate[:dateBytes]:
		return fail(SignatureDoesNotMatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"+clip(c.date, 64)+"' != '"+a.amzDate[:dateBytes]+"', from '"+a.amzDate+"'.")
	case v.Region != "" && c.region != v.Region:
		return fail(SignatureDoesNotMatch, "Credential should be scoped to a valid region, not '"+clip(c.region, 64)+"'.")
	}
	return nil
}

// undatedForm is the error of a form without a date, or with one that is none.
func undatedForm(h http.Header) error {
	date := cmp.Or(first(h, "X-Amz-Date"), first(h, "Date"))
	if date != "" {
		return fail(AuthorizationHeaderMalformed, "Date must be in ISO-8601 'basic format'. Got '"+clip(date, 64)+"'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	sum := sha256.Sum256([]byte(first(h, "Authorization")))
	return fail(AuthorizationHeaderMalformed, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization="+
		base64.StdEncoding.EncodeToString(sum[:]))
}

// skewedForm is the error of a form that was signed too long ago, or too far ahead.
func skewedForm(at, now time.Time, most time.Duration) error {
	signed, clock := at.UTC().Format(timeFormat), now.UTC().Format(timeFormat)
	minutes := decimal(int64(most/time.Minute)) + " min.)"
	if at.After(now) {
		return fail(SignatureDoesNotMatch, "Signature not yet current: "+signed+" is still later than "+now.Add(most).UTC().Format(timeFormat)+" ("+clock+" + "+minutes)
	}
	return fail(SignatureDoesNotMatch, "Signature expired: "+signed+" is now earlier than "+now.Add(-most).UTC().Format(timeFormat)+" ("+clock+" - "+minutes)
}
