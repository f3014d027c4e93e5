package s3

import (
	"net/http"
	"strings"
	"time"
)

func signatureGroups() []group { return []group{headerSignatures(), presignedRequests(), strangers()} }

func headerSignatures() group {
	const doc = "API/sig-v4-header-based-auth"
	signed := func(s signature) *request { return GET("k").signed(s) }
	authorization := func(value string) *request {
		return GET("k").changed(func(r *http.Request) { r.Header.Set("Authorization", value) })
	}
	without := func(name string) *request { return GET("k").changed(func(r *http.Request) { r.Header.Del(name) }) }
	with := func(name, value string) *request {
		return GET("k").changed(func(r *http.Request) { r.Header.Set(name, value) })
	}
	return group{"HeaderSignatures", shared, []kase{
		{"by another implementation", doc, withTen(), signed(signature{}), is(200, has(ten))},
		{"14 minutes early", doc + ": 15 minutes", withTen(), signed(signature{at: 14 * time.Minute}), is(200)},
		{"14 minutes late", doc + ": 15 minutes", withTen(), signed(signature{at: -14 * time.Minute}), is(200)},
		{"16 minutes early", "API/ErrorResponses: RequestTimeTooSkewed", withTen(), signed(signature{at: 16 * time.Minute}), fails(403, "RequestTimeTooSkewed", count("ServerTime", 1), count("MaxAllowedSkewMilliseconds", 1))},
		{"16 minutes late", "API/ErrorResponses: RequestTimeTooSkewed", withTen(), signed(signature{at: -16 * time.Minute}), fails(403, "RequestTimeTooSkewed")},
		{"a year late", "API/ErrorResponses: RequestTimeTooSkewed", withTen(), signed(signature{at: -365 * 24 * time.Hour}), fails(403, "RequestTimeTooSkewed")},
		{"of another service", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), signed(signature{service: "ec2"}), fails(400, "AuthorizationHeaderMalformed")},
		{"scope of another day", doc, withTen(), signed(signature{date: "20130524"}), fails(400, "AuthorizationHeaderMalformed")},
		{"Host not signed", doc + ": host must be signed", withTen(), GET("k").signed(signature{replace: [2]string{"SignedHeaders=host;", "SignedHeaders="}}), fails(403, "AccessDenied")},
		{"an x-amz- header not signed", doc + ": There were headers present in the request which were not signed", nil, PUT("k", ten, "x-amz-meta-a", "1").signed(signature{leave: []string{"x-amz-meta-a"}}), fails(403, "AccessDenied", val("HeadersNotSigned", "x-amz-meta-a"))},
		{"another header not signed", doc, nil, PUT("k", ten, "Cache-Control", "no-store").signed(signature{leave: []string{"cache-control"}}), is(200, then(HEAD("k"), is(200, header("Cache-Control", "no-store"))))},
		{"no Credential", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), signed(signature{drop: []string{"Credential"}}), fails(400, "AuthorizationHeaderMalformed")},
		{"no SignedHeaders", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), signed(signature{drop: []string{"SignedHeaders"}}), fails(400, "AuthorizationHeaderMalformed")},
		{"no Signature", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), signed(signature{drop: []string{"Signature"}}), fails(400, "AuthorizationHeaderMalformed")},
		{"scope without its end", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), signed(signature{replace: [2]string{"/aws4_request", ""}}), fails(400, "AuthorizationHeaderMalformed")},
		{"scope with another end", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), signed(signature{replace: [2]string{"aws4_request", "aws5_request"}}), fails(400, "AuthorizationHeaderMalformed")},
		{"access key that does not exist", "API/ErrorResponses: InvalidAccessKeyId", withTen(), signed(signature{replace: [2]string{"Credential=", "Credential=NO"}}), fails(403, "InvalidAccessKeyId", count("AWSAccessKeyId", 1))},
		{"signature changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").changed(spoil), fails(403, "SignatureDoesNotMatch", count("StringToSign", 1), valLike("CanonicalRequest", "^GET\n/{1}.*"), count("SignatureProvided", 1))},
		{"path changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").changed(func(r *http.Request) { r.URL.Path += "2" }), fails(403, "SignatureDoesNotMatch")},
		{"query changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").changed(func(r *http.Request) { r.URL.RawQuery = "partNumber=1" }), fails(403, "SignatureDoesNotMatch")},
		{"method changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").changed(func(r *http.Request) { r.Method = "DELETE" }), fails(403, "SignatureDoesNotMatch", then(HEAD("k"), is(200)))},
		{"Host changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").changed(func(r *http.Request) { r.Host = "elsewhere.example.com" }), fails(403, "SignatureDoesNotMatch")},
		{"a signed header changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k", "Range", "bytes=0-1").changed(func(r *http.Request) { r.Header.Set("Range", "bytes=0-2") }), fails(403, "SignatureDoesNotMatch")},
		{"a signed header taken away", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k", "Range", "bytes=0-1").changed(func(r *http.Request) { r.Header.Del("Range") }), fails(403, "SignatureDoesNotMatch")},
		{"the date changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), with("X-Amz-Date", time.Now().Add(-time.Minute).UTC().Format(timeFormat)), fails(403, "SignatureDoesNotMatch")},
		{"the digest of the body changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), with("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), fails(403, "SignatureDoesNotMatch")},
		{"no date", "API/ErrorResponses: AccessDenied", withTen(), without("X-Amz-Date"), fails(403, "AccessDenied")},
		{"a date that is none", "API/ErrorResponses: AccessDenied", withTen(), with("X-Amz-Date", "today"), fails(403, "AccessDenied")},
		{"x-amz-content-sha256 that is none", "API/ErrorResponses: InvalidArgument", withTen(), with("X-Amz-Content-Sha256", "nonsense"), fails(400, "InvalidArgument")},
		{"Authorization empty", "API/ErrorResponses: InvalidArgument", withTen(), authorization(""), fails(400, "InvalidArgument")},
		{"Authorization Basic", "API/ErrorResponses: InvalidArgument, Unsupported Authorization Type", withTen(), authorization("Basic QWxhZGRpbjpvcGVu"), fails(400, "InvalidArgument")},
		{"Authorization with nothing", "API/ErrorResponses: AuthorizationHeaderMalformed", withTen(), authorization("AWS4-HMAC-SHA256 "), fails(400, "AuthorizationHeaderMalformed")},
		{"spaces in a header's value", doc + ": trimmed and joined", nil, PUT("k", ten, "x-amz-meta-a", "  a   b  ").signed(signature{}), is(200)},
		{"a header twice", doc + ": joined by commas", nil, PUT("k", ten, "x-amz-meta-a", "1", "x-amz-meta-a", "2").signed(signature{}), is(200)},
		{"query with an empty value", doc + ": canonical query", given(PUT("", "")), GET("?prefix&list-type=2").signed(signature{}), is(200)},
		{"query out of order", doc + ": canonical query", given(PUT("", "")), GET("?prefix=b&list-type=2&delimiter=%2F").signed(signature{}), is(200)},
		{"query with a plus", doc + ": canonical query", given(PUT("", "")), GET("?list-type=2&prefix=a%2Bb%20c").signed(signature{}), is(200, val("Prefix", "a+b c"))},
		{"path with all that is escaped", doc + ": canonical URI", given(PUT("a%20%2B%C3%A4%27%28%29%2A%21", ten)), GET("a%20%2B%C3%A4%27%28%29%2A%21").signed(signature{}), is(200, has(ten))},
	}}
}

func presignedRequests() group {
	const doc, malformed = "API/sigv4-query-string-auth", "API/ErrorResponses: AuthorizationQueryParametersError"
	signed := func(s signature) *request { s.query = true; return GET("k").signed(s) }
	replaced := func(from, to string) *request { return signed(signature{replace: [2]string{from, to}}) }
	bad := func(q *request, what string) kase {
		return kase{what, malformed, withTen(), q, fails(400, "AuthorizationQueryParametersError")}
	}
	drop := func(name string) kase { return bad(signed(signature{drop: []string{name}}), "no "+name) }
	return group{"Presigned", shared, []kase{
		{"for a minute", doc, withTen(), GET("k").presigned(), is(200, has(ten))},
		{"for a week", doc + ": 604800", withTen(), signed(signature{expires: "604800"}), is(200)},
		{"signed long ago and good still", doc, withTen(), signed(signature{at: -time.Hour, expires: "7200"}), is(200)},
		{"expired", doc + ": Request has expired", withTen(), signed(signature{at: -2 * time.Hour, expires: "60"}), fails(403, "AccessDenied", count("Expires", 1), count("ServerTime", 1))},
		{"not valid yet", doc + ": Request is not valid yet", withTen(), signed(signature{at: time.Hour, expires: "60"}), fails(403, "AccessDenied")},
		bad(signed(signature{expires: "604801"}), "for more than a week"), bad(signed(signature{expires: "-1"}), "for less than nothing"), bad(signed(signature{expires: "soon"}), "until no number"),
		drop("X-Amz-Algorithm"), drop("X-Amz-Credential"), drop("X-Amz-Date"), drop("X-Amz-Expires"), drop("X-Amz-SignedHeaders"), drop("X-Amz-Signature"),
		bad(replaced("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"), "another algorithm"), bad(replaced("%2Faws4_request", ""), "scope without its end"), bad(signed(signature{service: "ec2"}), "of another service"),
		bad(signed(signature{date: "20130524"}), "scope of another day"), bad(replaced("X-Amz-Date=2", "X-Amz-Date=X"), "a date that is none"),
		{"signature changed", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), replaced("X-Amz-Signature=", "X-Amz-Signature=0"), fails(403, "SignatureDoesNotMatch")},
		{"access key that does not exist", "API/ErrorResponses: InvalidAccessKeyId", withTen(), replaced("X-Amz-Credential=", "X-Amz-Credential=NO"), fails(403, "InvalidAccessKeyId")},
		{"expiry made longer", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), replaced("X-Amz-Expires=60", "X-Amz-Expires=600"), fails(403, "SignatureDoesNotMatch")},
		{"a parameter added", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").presigned().changed(func(r *http.Request) { r.URL.RawQuery += "&response-content-type=a%2Fb" }), fails(403, "SignatureDoesNotMatch")},
		{"override signed", doc, withTen(), GET("k?response-content-type=a%2Fb").presigned(), is(200, header("Content-Type", "a/b"))},
		{"of another method", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").presigned().changed(func(r *http.Request) { r.Method = "DELETE" }), fails(403, "SignatureDoesNotMatch", then(HEAD("k"), is(200)))},
		{"of another key", "API/ErrorResponses: SignatureDoesNotMatch", withTen(), GET("k").presigned().changed(func(r *http.Request) { r.URL.Path += "2" }), fails(403, "SignatureDoesNotMatch")},
		{"a signed header missing", "API/ErrorResponses: SignatureDoesNotMatch", nil, PUT("k", ten, "Content-Type", "a/b").presigned().changed(func(r *http.Request) { r.Header.Del("Content-Type") }), fails(403, "SignatureDoesNotMatch")},
		{"a signed header as signed", doc, nil, PUT("k", ten, "Content-Type", "a/b").presigned(), is(200, then(HEAD("k"), is(200, header("Content-Type", "a/b"))))},
		{"an x-amz- header not signed", doc + ": There were headers present in the request which were not signed", nil, PUT("k", ten).presigned().changed(func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "1") }), fails(403, "AccessDenied")},
		{"header and query at once", "API/ErrorResponses: InvalidArgument, Only one auth mechanism allowed", withTen(), GET("k").presigned().changed(func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature="+strings.Repeat("0", 64))
		}), fails(400, "InvalidArgument")},
		{"key with a space", doc, given(PUT("a%20b", ten)), GET("a%20b").presigned(), is(200, has(ten))},
		{"key with a plus", doc, given(PUT("a%2Bb", ten)), GET("a%2Bb").presigned(), is(200, has(ten))},
		{"parameters in another order", doc, withTen(), GET("k").presigned().changed(func(r *http.Request) {
			pairs := strings.Split(r.URL.RawQuery, "&")
			for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
				pairs[i], pairs[j] = pairs[j], pairs[i]
			}
			r.URL.RawQuery = strings.Join(pairs, "&")
		}), is(200, has(ten))},
		{"a body that was not signed", doc + ": UNSIGNED-PAYLOAD", nil, PUT("k", ten).presigned(), is(200)},
	}}
}

// strangers have no permission, and learn nothing.
func strangers() group {
	const doc = "UserGuide/access-policy-language-overview: denied by default"
	g := group{name: "Strangers", buckets: shared}
	for _, q := range []struct {
		what string
		do   func() *request
	}{
		{"put", func() *request { return PUT("k", "new") }}, {"list", func() *request { return GET("?list-type=2") }}, {"get", func() *request { return GET("k") }},
		{"delete", func() *request { return DELETE("k") }}, {"begin an upload", func() *request { return POST("k?uploads", "") }},
		{"read the policy", func() *request { return GET("?policy") }}, {"read the location", func() *request { return GET("?location") }}, {"tag", func() *request { return PUT("k?tagging", tagging("a", "1")) }},
	} {
		unchanged := then(GET("k"), is(200, has(ten)))
		g.cases = append(g.cases,
			kase{"nobody may " + q.what, doc, withTen(), q.do().by(nobody), fails(403, "AccessDenied", unchanged)},
			kase{"a user may not " + q.what, doc, append(newUser(""), withTen()...), q.do().by(user), fails(403, "AccessDenied", unchanged)},
			kase{"another account may not " + q.what, doc, withTen(), q.do().by(other), fails(403, "AccessDenied", unchanged)},
		)
	}
	return g
}
