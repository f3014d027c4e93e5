package sigv4

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// paramsMax bounds the parameters of a query.
const paramsMax = 1000

// detect finds where a request carries its signature.
func (s *scratch) detect(h http.Header) (Kind, error) {
	if len(s.pairs) > paramsMax {
		return KindNone, fail(InvalidRequest, "The request has too many query parameters.")
	}
	query, v2 := false, 0
	for i := range s.pairs {
		p := &s.pairs[i]
		switch {
		case p.is("X-Amz-Algorithm"), p.is("X-Amz-Signature"), p.is("X-Amz-Credential"):
			query = true
		case p.is("AWSAccessKeyId"), p.is("Signature"):
			v2++
		}
	}
	auth := h["Authorization"]
	switch {
	case len(auth) > 1, len(auth) == 1 && (query || v2 == 2):
		return KindNone, fail(InvalidArgument, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
			Fact{"ArgumentName", "Authorization"})
	case len(auth) == 1:
		return KindHeader, nil
	case query:
		return KindQuery, nil
	case v2 == 2:
		return kindQuery2, nil
	}
	return KindNone, nil
}

// unsupported is S3's answer to signature version 2 in the header, and to algorithms it does not know.
func unsupported() error {
	return fail(InvalidRequest, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
}

// verifyHeader checks a request signed in its Authorization header.
func (v *Verifier) verifyHeader(r *http.Request, host string, s *scratch, a *Auth) error {
	c, err := parseAuthorization(r.Header["Authorization"][0])
	if err != nil {
		return err
	}
	if err := a.headerTime(r.Header); err != nil {
		return err
	}
	if err := v.checkScope(&c.credential, a, malformedHeader); err != nil {
		return err
	}
	now := v.now()
	if d := now.Sub(a.Time).Abs(); d > v.maxSkew() {
		if a.formSHA256 != "" {
			return skewedForm(a.Time, now, v.maxSkew())
		}
		return skewed(a.Time, now, v.maxSkew())
	}
	if err := checkSigned(r.Header, c.signedHeaders, false); err != nil {
		return err
	}
	if c.payload = a.formSHA256; c.payload == "" {
		c.payload = first(r.Header, "X-Amz-Content-Sha256")
	}
	if c.payload == "" {
		if r.ContentLength != 0 {
			return fail(InvalidRequest, "Missing required header for this request: x-amz-content-sha256")
		}
		c.payload = EmptySHA256
	}
	if err := a.payload(r, c.payload); err != nil {
		return err
	}
	a.SessionToken = first(r.Header, "X-Amz-Security-Token")
	return v.check(r, host, s, &c, a)
}

// headerTime sets the request's time from x-amz-date, or else from Date.
func (a *Auth) headerTime(h http.Header) error {
	if s := first(h, "X-Amz-Date"); s != "" {
		if t, ok := parseTime(s); ok {
			a.Time, a.amzDate = t, s
			return nil
		}
	} else if s := first(h, "Date"); s != "" {
		if t, ok := parseDate(s); ok {
			a.Time, a.amzDate = t, t.UTC().Format(timeFormat)
			return nil
		}
	}
	if a.formSHA256 != "" {
		return undatedForm(h)
	}
	return fail(AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
}

// parseDate reads a Date header: a time as it is signed, or HTTP's, or with a zone in digits as in mail (RFC 5322,
// section 3.3), which botocore writes where a caller sets Date: Fri, 24 May 2013 00:00:00 -0000.
func parseDate(s string) (time.Time, bool) {
	if t, ok := parseTime(s); ok {
		return t, true
	}
	if t, err := http.ParseTime(s); err == nil {
		return t, true
	}
	t, err := time.Parse(time.RFC1123Z, s)
	return t, err == nil
}

// parseTime reads the only form of a time that is signed, such as 20130524T000000Z. It is what time.Parse makes of timeFormat, for less:
// every request has such a time.
func parseTime(s string) (time.Time, bool) {
	if len(s) != len(timeFormat) || s[8] != 'T' || s[15] != 'Z' {
		return time.Time{}, false
	}
	year, ok0 := digits(s[:4])
	month, ok1 := digits(s[4:6])
	day, ok2 := digits(s[6:8])
	hour, ok3 := digits(s[9:11])
	minute, ok4 := digits(s[11:13])
	second, ok5 := digits(s[13:15])
	if !(ok0 && ok1 && ok2 && ok3 && ok4 && ok5) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	_, m, d := t.Date() // other ones, if there is no such day
	return t, int(m) == month && d == day
}

// digits reads a decimal number of nothing but digits.
func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = 10*n + int(c)
	}
	return n, true
}

func skewed(at, now time.Time, most time.Duration) error {
	return fail(RequestTimeTooSkewed, "The difference between the request time and the current time is too large.",
		Fact{"RequestTime", at.UTC().Format(timeFormat)},
		Fact{"ServerTime", now.UTC().Format(time.RFC3339)},
		Fact{"MaxAllowedSkewMilliseconds", decimal(most.Milliseconds())})
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", in any order.
func parseAuthorization(h string) (claim, error) {
	var c claim
	rest, ok := strings.CutPrefix(h, algorithm)
	if !ok || rest != "" && rest[0] != ' ' {
		if strings.HasPrefix(h, "AWS ") || strings.HasPrefix(h, "AWS4-") {
			return c, unsupported()
		}
		return c, fail(InvalidArgument, "Unsupported Authorization Type", Fact{"ArgumentName", "Authorization"}, Fact{"ArgumentValue", clip(h, 32)})
	}
	var cred string
	for more := true; more; {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		name, value, found := strings.Cut(strings.Trim(part, " \t"), "=")
		var into *string
		switch name {
		case "Credential":
			into = &cred
		case "SignedHeaders":
			into = &c.signedHeaders
		case "Signature":
			into = &c.signature
		}
		if !found || into == nil || *into != "" {
			return c, malformedHeader("the authorization component \"" + clip(part, 64) + "\" is malformed.")
		}
		*into = value
	}
	for _, part := range []struct{ name, value string }{{"Credential", cred}, {"SignedHeaders", c.signedHeaders}, {"Signature", c.signature}} {
		if part.value == "" {
			return c, malformedHeader("the authorization header requires three components: Credential, SignedHeaders, and Signature.")
		}
	}
	if c.credential, ok = parseCredential(cred); !ok {
		return c, malformedHeader("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	return c, checkNames(c.signedHeaders, malformedHeader)
}

// malformed makes an error of one of the places a signature can be in.
type malformed func(what string, facts ...Fact) error

func malformedHeader(what string, facts ...Fact) error {
	return fail(AuthorizationHeaderMalformed, "The authorization header is malformed; "+what, facts...)
}

// credential is who signed, and for what: accessKey/date/region/service/aws4_request.
type credential struct {
	accessKey, date, region, service, terminal string
	scope                                      string // all but the access key
}

// parseCredential splits from the end: an access key may hold slashes. What the parts say is checkScope's matter.
func parseCredential(s string) (credential, bool) {
	var c credential
	rest := s
	for _, into := range []*string{&c.terminal, &c.service, &c.region, &c.date} {
		i := strings.LastIndexByte(rest, '/')
		if i < 0 {
			return c, false
		}
		rest, *into = rest[:i], rest[i+1:]
	}
	c.accessKey = rest
	if rest != "" {
		c.scope = s[len(rest)+1:]
	}
	return c, rest != "" && c.region != ""
}

// checkScope compares what a credential is for with the request's time and with this server.
func (v *Verifier) checkScope(c *credential, a *Auth, bad malformed) error {
	if a.formSHA256 != "" {
		return v.checkFormScope(c, a)
	}
	switch {
	case c.terminal != terminal:
		return bad("incorrect terminal \"" + clip(c.terminal, 64) + "\". This endpoint uses \"" + terminal + "\".")
	case !a.serves(c.service):
		return bad("incorrect service \"" + clip(c.service, 64) + "\". This endpoint belongs to \"" + a.service() + "\".")
	case len(c.date) != dateBytes:
		return bad("incorrect date format \"" + clip(c.date, 64) + "\". This date in the credential must be in the format \"yyyyMMdd\".")
	case c.date != a.amzDate[:dateBytes]:
		return bad("Invalid credential date \"" + c.date + "\". This date is not the same as X-Amz-Date: \"" + a.amzDate[:dateBytes] + "\".")
	case v.Region != "" && c.region != v.Region:
		return bad("the region '"+clip(c.region, 64)+"' is wrong; expecting '"+v.Region+"'", Fact{"Region", v.Region})
	}
	return nil
}

// signedHeadersMax bounds the list of signed headers, in bytes: S3 takes 8 KiB of headers in all.
const signedHeadersMax = 4 << 10

// repeated reports whether a list has an empty name or names a header twice, which would let a short list make
// a long canonical request. A name that comes in order needs no search; of others, few are looked at.
func repeated(names string) bool {
	last, outOfOrder := "", 0
	for start := 0; start <= len(names); {
		name, _, _ := strings.Cut(names[start:], ";")
		if name <= last {
			outOfOrder++
			if outOfOrder > 64 || listed(names[:max(start-1, 0)], name) {
				return true
			}
		}
		last = max(last, name)
		start += len(name) + 1
	}
	return false
}

// checkNames holds a list of signed headers to what a canonical request can be made of.
func checkNames(names string, bad malformed) error {
	for i := 0; i < len(names); i++ {
		if c := names[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || c == ':' {
			return bad("the SignedHeaders are mal-formed; expecting names in lower case, separated by ';'.")
		}
	}
	if len(names) > signedHeadersMax || repeated(names) {
		return bad("the SignedHeaders are too long, or name a header twice.")
	}
	if !listed(names, "host") {
		return fail(AccessDenied, "There were headers present in the request which were not signed", Fact{"HeadersNotSigned", "host"})
	}
	return nil
}

// checkSigned refuses headers that steer S3 and that nobody signed. The date and the payload's hash are in
// the string to sign anyway, where the Authorization header carries the signature.
func checkSigned(h http.Header, names string, query bool) error {
	var unsigned []string
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-") || listed(names, name) {
			continue
		}
		if !query && (name == "X-Amz-Date" || name == "X-Amz-Content-Sha256") {
			continue
		}
		unsigned = append(unsigned, strings.ToLower(name))
	}
	if unsigned == nil {
		return nil
	}
	slices.Sort(unsigned)
	return fail(AccessDenied, "There were headers present in the request which were not signed",
		Fact{"HeadersNotSigned", clip(strings.Join(unsigned, ", "), 1024)})
}

// listed reports whether names, in lower case and separated by ';', hold name in any case.
func listed(names, name string) bool {
	for more := true; more; {
		var n string
		n, names, more = strings.Cut(names, ";")
		if len(n) == len(name) && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
