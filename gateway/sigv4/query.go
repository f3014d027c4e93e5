package sigv4

import (
	"net/http"
	"strconv"
	"time"
)

// verifyQuery checks a presigned request.
//
// Source: sigv4-query-string-auth.
func (v *Verifier) verifyQuery(r *http.Request, host string, s *scratch, a *Auth) error {
	c, err := s.presigned(a)
	if err != nil {
		return err
	}
	if err := v.checkScope(&c.credential, a, malformedQuery); err != nil {
		return err
	}
	if err := v.checkValidity(a); err != nil {
		return err
	}
	if err := checkSigned(r.Header, c.signedHeaders, true); err != nil {
		return err
	}
	c.payload = s.presignedPayload(r.Header, a)
	if err := a.payload(r, c.payload); err != nil {
		return err
	}
	if a.SessionToken, _ = s.param("X-Amz-Security-Token"); a.SessionToken == "" {
		a.SessionToken = first(r.Header, "X-Amz-Security-Token")
	}
	return v.check(r, host, s, &c, a)
}

// presignedPayload is the last line of a presigned request's canonical form.
func (s *scratch) presignedPayload(h http.Header, a *Auth) string {
	if a.formSHA256 != "" {
		return a.formSHA256
	}
	if sum, ok := s.param("X-Amz-Content-Sha256"); ok {
		return sum
	}
	if sum := first(h, "X-Amz-Content-Sha256"); sum != "" {
		return sum
	}
	return UnsignedPayload
}

// presigned reads the X-Amz-* parameters; a's time and expiry are set.
func (s *scratch) presigned(a *Auth) (claim, error) {
	c := claim{skip: true}
	var alg, cred, expires string
	for _, p := range []struct {
		name string
		into *string
	}{
		{"X-Amz-Algorithm", &alg}, {"X-Amz-Credential", &cred}, {"X-Amz-Signature", &c.signature},
		{"X-Amz-Date", &a.amzDate}, {"X-Amz-SignedHeaders", &c.signedHeaders}, {"X-Amz-Expires", &expires},
	} {
		*p.into, _ = s.param(p.name)
		if *p.into == "" && (p.into != &expires || a.formSHA256 == "") {
			return c, fail(AuthorizationQueryParametersError, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		}
	}
	if alg != algorithm {
		return c, fail(AuthorizationQueryParametersError, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
	}
	var ok bool
	if c.credential, ok = parseCredential(cred); !ok {
		return c, malformedQuery("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	if a.Time, ok = parseTime(a.amzDate); !ok {
		return c, fail(AuthorizationQueryParametersError, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	if err := a.setExpires(expires); err != nil {
		return c, err
	}
	return c, checkNames(c.signedHeaders, malformedQuery)
}

// formExpires is how long a form is valid that does not say it, as it need not.
const formExpires = "900"

func (a *Auth) setExpires(s string) error {
	if s == "" {
		s = formExpires
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return fail(AuthorizationQueryParametersError, "X-Amz-Expires should be a number")
	case n < 1:
		return fail(AuthorizationQueryParametersError, "X-Amz-Expires must be non-negative")
	case n > int64(maxExpires/time.Second):
		return fail(AuthorizationQueryParametersError, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	a.Expires = time.Duration(n) * time.Second
	return nil
}

// checkValidity compares the clock with [a.Time, a.Time + a.Expires]; a client's clock may be ahead by the skew.
func (v *Verifier) checkValidity(a *Auth) error {
	now := v.now()
	end := a.Time.Add(a.Expires)
	message := "Request has expired"
	switch {
	case a.Time.Sub(now) > v.maxSkew():
		message = "Request is not yet valid"
	case !now.After(end):
		return nil
	}
	return fail(AccessDenied, message,
		Fact{"X-Amz-Expires", decimal(int64(a.Expires / time.Second))},
		Fact{"Expires", end.UTC().Format(time.RFC3339)},
		Fact{"ServerTime", now.UTC().Format(time.RFC3339)})
}

func malformedQuery(what string, facts ...Fact) error {
	return fail(AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter; "+what, facts...)
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
