package sigv4

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// signed is a request that verifies, for a test to spoil.
func signed(t testing.TB, target string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://localhost:9000"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	Sign(r, docCreds, EmptySHA256, docRegion, docTime)
	return r
}

func presigned(t testing.TB, target string, expires time.Duration) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://localhost:9000"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	Presign(r, docCreds, docRegion, expires, docTime)
	return r
}

func setQuery(r *http.Request, name, value string) {
	q := r.URL.Query()
	q.Set(name, value)
	r.URL.RawQuery = q.Encode()
}

func editAuthorization(old, new string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
	}
}

// TestRefusedHeader holds spoiled signed requests to S3's codes ("Error responses", API reference).
func TestRefusedHeader(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(r *http.Request)
		want  Code
		fact  string // one that must be there
	}{
		{"method", func(r *http.Request) { r.Method = "DELETE" }, SignatureDoesNotMatch, "CanonicalRequest"},
		{"path", func(r *http.Request) { r.URL.Path += "x" }, SignatureDoesNotMatch, "StringToSign"},
		{"query", func(r *http.Request) { r.URL.RawQuery = "acl" }, SignatureDoesNotMatch, "SignatureProvided"},
		{"host", func(r *http.Request) { r.Host = "elsewhere" }, SignatureDoesNotMatch, "AWSAccessKeyId"},
		{"signed header", func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "2") }, SignatureDoesNotMatch, "CanonicalRequestBytes"},
		{"signed header gone", func(r *http.Request) { r.Header.Del("X-Amz-Meta-A") }, SignatureDoesNotMatch, "StringToSignBytes"},
		{"payload hash", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", sumOf("x")) }, SignatureDoesNotMatch, ""},
		{"signature", editAuthorization("Signature=", "Signature=0"), SignatureDoesNotMatch, ""},
		{"signature cut", func(r *http.Request) {
			h := r.Header.Get("Authorization")
			r.Header.Set("Authorization", h[:len(h)-1])
		}, SignatureDoesNotMatch, ""},
		{"unsigned header", func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, AccessDenied, "HeadersNotSigned"},
		{"two unsigned headers", func(r *http.Request) { r.Header.Set("X-Amz-Tagging", "a=1"); r.Header.Set("X-Amz-Acl", "private") }, AccessDenied, "HeadersNotSigned"},
		{"host not signed", editAuthorization("host;", ""), AccessDenied, "HeadersNotSigned"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, AccessDenied, ""},
		{"bad date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "2013-05-24") }, AccessDenied, ""},
		{"bad month", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20131324T000000Z") }, AccessDenied, ""},
		{"other day", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130525T000000Z") }, AuthorizationHeaderMalformed, ""},
		{"key", editAuthorization(docKey, "AKIAOTHER"), InvalidAccessKeyID, "AWSAccessKeyId"},
		{"region", editAuthorization("us-east-1", "eu-central-1"), AuthorizationHeaderMalformed, "Region"},
		{"service", editAuthorization("/s3/", "/ec2/"), AuthorizationHeaderMalformed, ""},
		{"terminator", editAuthorization("aws4_request", "aws5_request"), AuthorizationHeaderMalformed, ""},
		{"no access key", editAuthorization(docKey, ""), AuthorizationHeaderMalformed, ""},
		{"no signature", editAuthorization(", Signature=", ", Sig="), AuthorizationHeaderMalformed, ""},
		{"signature twice", editAuthorization(", Signature=", ", Signature=0, Signature="), AuthorizationHeaderMalformed, ""},
		{"names in upper case", editAuthorization("host;", "Host;"), AuthorizationHeaderMalformed, ""},
		{"a name twice", editAuthorization("SignedHeaders=", "SignedHeaders=host;"), AuthorizationHeaderMalformed, ""},
		{"a name twice, out of order", editAuthorization("SignedHeaders=", "SignedHeaders=zzz;host;"), AuthorizationHeaderMalformed, ""},
		{"an empty name", editAuthorization("SignedHeaders=", "SignedHeaders=;"), AuthorizationHeaderMalformed, ""},
		{"too many names", editAuthorization("SignedHeaders=", "SignedHeaders="+strings.Repeat("a", 5000)+";"), AuthorizationHeaderMalformed, ""},
		{"too many parameters", func(r *http.Request) { r.URL.RawQuery = strings.Repeat("a&", 1001) }, InvalidRequest, ""},
		{"only the algorithm", func(r *http.Request) { r.Header.Set("Authorization", algorithm) }, AuthorizationHeaderMalformed, ""},
		{"version 2", func(r *http.Request) {
			r.Header.Set("Authorization", "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=")
		}, InvalidRequest, ""},
		{"version 4a", editAuthorization("HMAC", "ECDSA-P256"), InvalidRequest, ""},
		{"bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer abc") }, InvalidArgument, "ArgumentName"},
		{"empty", func(r *http.Request) { r.Header.Set("Authorization", "") }, InvalidArgument, ""},
		{"two", func(r *http.Request) { r.Header.Add("Authorization", "Bearer abc") }, InvalidArgument, ""},
		{"header and query", func(r *http.Request) { setQuery(r, "X-Amz-Signature", "abc") }, InvalidArgument, ""},
		{"payload mode", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")
		}, InvalidArgument, "ArgumentValue"},
		{"no payload hash", func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256"); r.ContentLength = 5 }, InvalidRequest, ""},
		{"decoded length", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", StreamingPayload)
			r.Header.Set("X-Amz-Decoded-Content-Length", "-1")
			Sign(r, docCreds, StreamingPayload, docRegion, docTime)
		}, InvalidArgument, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := signed(t, "/bucket/key", "X-Amz-Meta-A", "1")
			if _, err := docVerifier().Verify(r); err != nil {
				t.Fatal(err)
			}
			tc.spoil(r)
			checkRefused(t, r, tc.want, tc.fact)
		})
	}
}

func checkRefused(t *testing.T, r *http.Request, want Code, fact string) {
	t.Helper()
	a, err := docVerifier().Verify(r)
	var e *Error
	if !errors.Is(err, want) || !errors.As(err, &e) {
		t.Fatalf("got %+v, %v, want %s", a, err, want)
	}
	if fact != "" && e.Fact(fact) == "" {
		t.Fatalf("no %s in %v", fact, e.Facts)
	}
	if a.AccessKey != "" || a.Identity != nil || a.Anonymous {
		t.Fatalf("refused, but says %+v", a)
	}
}

// TestRefusedQuery holds spoiled presigned requests to S3's codes.
func TestRefusedQuery(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(r *http.Request)
		want  Code
		fact  string
	}{
		{"path", func(r *http.Request) { r.URL.Path += "x" }, SignatureDoesNotMatch, "CanonicalRequest"},
		{"parameter", func(r *http.Request) { setQuery(r, "versionId", "x") }, SignatureDoesNotMatch, ""},
		{"expiry raised", func(r *http.Request) { setQuery(r, "X-Amz-Expires", "61") }, SignatureDoesNotMatch, ""},
		{"expiry too long", func(r *http.Request) { setQuery(r, "X-Amz-Expires", "604801") }, AuthorizationQueryParametersError, ""},
		{"expiry negative", func(r *http.Request) { setQuery(r, "X-Amz-Expires", "-1") }, AuthorizationQueryParametersError, ""},
		{"expiry zero", func(r *http.Request) { setQuery(r, "X-Amz-Expires", "0") }, AuthorizationQueryParametersError, ""},
		{"expiry not a number", func(r *http.Request) { setQuery(r, "X-Amz-Expires", "1h") }, AuthorizationQueryParametersError, ""},
		{"expiry absent", func(r *http.Request) { setQuery(r, "X-Amz-Expires", "") }, AuthorizationQueryParametersError, ""},
		{"signature absent", func(r *http.Request) { setQuery(r, "X-Amz-Signature", "") }, AuthorizationQueryParametersError, ""},
		{"only a credential", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Credential=a" }, AuthorizationQueryParametersError, ""},
		{"name encoded", func(r *http.Request) { r.URL.RawQuery = "X%2DAmz-Credential=a" }, AuthorizationQueryParametersError, ""},
		{"algorithm", func(r *http.Request) { setQuery(r, "X-Amz-Algorithm", "AWS4-HMAC-SHA1") }, AuthorizationQueryParametersError, ""},
		{"date", func(r *http.Request) { setQuery(r, "X-Amz-Date", "yesterday") }, AuthorizationQueryParametersError, ""},
		{"other day", func(r *http.Request) { setQuery(r, "X-Amz-Date", "20130525T000000Z") }, AuthorizationQueryParametersError, ""},
		{"credential", func(r *http.Request) { setQuery(r, "X-Amz-Credential", docKey) }, AuthorizationQueryParametersError, ""},
		{"region", func(r *http.Request) {
			setQuery(r, "X-Amz-Credential", docKey+"/20130524/eu-west-1/s3/aws4_request")
		}, AuthorizationQueryParametersError, "Region"},
		{"host not signed", func(r *http.Request) { setQuery(r, "X-Amz-SignedHeaders", "range") }, AccessDenied, ""},
		{"unsigned header", func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "1") }, AccessDenied, "HeadersNotSigned"},
		{"unsigned payload hash", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", EmptySHA256) }, AccessDenied, ""},
		{"key", func(r *http.Request) {
			setQuery(r, "X-Amz-Credential", "AKIAOTHER/20130524/us-east-1/s3/aws4_request")
		}, InvalidAccessKeyID, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := presigned(t, "/bucket/key", time.Minute)
			if _, err := docVerifier().Verify(r); err != nil {
				t.Fatal(err)
			}
			tc.spoil(r)
			checkRefused(t, r, tc.want, tc.fact)
		})
	}
}

// TestTimes moves the server's clock (sigv4-query-string-auth; RequestTimeTooSkewed).
func TestTimes(t *testing.T) {
	const second, skew = time.Second, 15 * time.Minute
	for _, tc := range []struct {
		name    string
		presign bool
		at      time.Duration // the server's clock, from the time of signing
		want    error
		message string
	}{
		{"header, same", false, 0, nil, ""},
		{"header, late", false, skew, nil, ""},
		{"header, early", false, -skew, nil, ""},
		{"header, too late", false, skew + second, RequestTimeTooSkewed, ""},
		{"header, too early", false, -skew - second, RequestTimeTooSkewed, ""},
		{"query, at its end", true, time.Hour, nil, ""},
		{"query, expired", true, time.Hour + second, AccessDenied, "Request has expired"},
		{"query, client ahead", true, -skew, nil, ""},
		{"query, not yet", true, -skew - second, AccessDenied, "Request is not yet valid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := docVerifier()
			v.Now = func() time.Time { return docTime.Add(tc.at) }
			r := signed(t, "/bucket/key")
			if tc.presign {
				r = presigned(t, "/bucket/key", time.Hour)
			}
			_, err := v.Verify(r)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			var e *Error
			if errors.As(err, &e) && (e.Fact("ServerTime") == "" || tc.message != "" && e.Message != tc.message) {
				t.Fatalf("%q, facts %v", e.Message, e.Facts)
			}
		})
	}
}

// TestParseTime: parseTime takes what time.Parse takes, and makes the same of it.
func TestParseTime(t *testing.T) {
	check := func(s string) {
		t.Helper()
		want, err := time.Parse(timeFormat, s)
		if got, ok := parseTime(s); ok != (err == nil) || ok && got != want {
			t.Fatalf("%s: got %v, %v; want %v, %v", s, got, ok, want, err)
		}
	}
	const valid = "20240229T235959Z"
	check(valid)
	for i := range valid { // each byte, at each place
		for c := range 256 {
			check(valid[:i] + string([]byte{byte(c)}) + valid[i+1:])
		}
	}
	for _, year := range []string{"0000", "1900", "2000", "2023", "2024", "9999"} {
		for i := range 100 * 100 {
			check(fmt.Sprintf("%s%02d%02dT000000Z", year, i/100, i%100)) // months and days
			check(fmt.Sprintf("%s0101T%02d%02d00Z", year, i/100, i%100)) // hours and minutes
		}
	}
	for second := range 100 {
		check(fmt.Sprintf("20240101T0000%02dZ", second))
	}
	for _, s := range []string{"", "20240229T235959", valid + "0", "20240229T235959.5Z"} {
		if _, ok := parseTime(s); ok {
			t.Fatalf("%q was taken", s)
		}
	}
}

// TestAnonymous: no trace of credentials, and only then.
func TestAnonymous(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  error
	}{
		{"", nil}, {"list-type=2&prefix=X-Amz-Signature", nil}, {"signature=1", nil}, {"x-id=GetObject", nil},
		{"X-Amz-Signature", AuthorizationQueryParametersError}, {"X-Amz-Algorithm=AWS4-HMAC-SHA256", AuthorizationQueryParametersError},
	} {
		r := &http.Request{Method: "GET", Host: "h", URL: &url.URL{Path: "/b/k", RawQuery: tc.query}, Header: http.Header{}}
		a, err := docVerifier().Verify(r)
		if !errors.Is(err, tc.want) || err == nil && (!a.Anonymous || a.Kind != KindNone) {
			t.Errorf("%q: %+v, %v", tc.query, a, err)
		}
	}
	r := &http.Request{Method: "PUT", Host: "h", URL: &url.URL{Path: "/b/k"}, Header: http.Header{"X-Amz-Content-Sha256": {StreamingPayload}}}
	if _, err := docVerifier().Verify(r); !errors.Is(err, InvalidRequest) {
		t.Errorf("chunk signatures without a request's: %v", err)
	}
}

// TestReadings: clients differ in how they sign an encoded slash and a plus sign; S3 takes either.
func TestReadings(t *testing.T) {
	sign := func(path, query string) string { // a signature over what the client believes canonical
		s := scratch{buf: []byte("GET\n" + path + "\n" + query + "\nhost:localhost\nx-amz-content-sha256:" + EmptySHA256 +
			"\nx-amz-date:20130524T000000Z\n\nhost;x-amz-content-sha256;x-amz-date\n" + EmptySHA256)}
		a := newAuth(docCreds, s3, docRegion, docTime)
		s.stringToSign(a.amzDate, a.scope)
		sum := mac(a.key[:], s.sts)
		return fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%x", algorithm, docKey, a.scope, sum)
	}
	for _, tc := range []struct {
		sent, path, query string
		ok                bool
	}{
		{"/b/a%2Fb", "/b/a/b", "", true},
		{"/b/a%2Fb", "/b/a%2Fb", "", true},
		{"/b/a%2fb", "/b/a%2Fb", "", true},
		{"/b/a%2Fb", "/b/a%252Fb", "", false},
		{"/b/a+b", "/b/a%2Bb", "", true},
		{"/b/a+b", "/b/a%20b", "", false},
		{"/b/(a)!", "/b/%28a%29%21", "", true},
		{"/b/%7Ea%2db", "/b/~a-b", "", true},
		{"/b/k?prefix=a+b", "/b/k", "prefix=a%20b", true},
		{"/b/k?prefix=a+b", "/b/k", "prefix=a%2Bb", true},
		{"/b/a%2Fb?prefix=a+b", "/b/a%2Fb", "prefix=a%2Bb", true},
		{"/b/k?prefix=a%2bb", "/b/k", "prefix=a%2Bb", true},
		{"/b/k?b=2&a=1&a=&a-b=3", "/b/k", "a=&a=1&a-b=3&b=2", true},
		{"/b/k?acl", "/b/k", "acl=", true},
		{"/b/k?&&acl=", "/b/k", "acl=", true},
		{"/b/k?p=a=b", "/b/k", "p=a%3Db", true},
		{"/b/k?p=%zz", "/b/k", "p=%25zz", true},
		{"/b/k?p=a;b", "/b/k", "p=a%3Bb", true},
		{"//b//k", "//b//k", "", true},
		{"/b/../k/./", "/b/../k/./", "", true},
	} {
		u, err := url.ParseRequestURI(tc.sent)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Method: "GET", Host: "localhost", URL: u, Header: http.Header{
			"X-Amz-Date": {"20130524T000000Z"}, "X-Amz-Content-Sha256": {EmptySHA256}, "Authorization": {sign(tc.path, tc.query)}}}
		if _, err := docVerifier().Verify(r); (err == nil) != tc.ok {
			t.Errorf("sent %s, signed %s ? %s: %v\n%s", tc.sent, tc.path, tc.query, err, facts(err))
		}
	}
}

// TestRepeated compares with a map, on lists in and out of order.
func TestRepeated(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 5000 {
		names, seen, want := []string{}, map[string]bool{}, false
		for range 1 + rng.IntN(6) {
			n := string(rune('a' + rng.IntN(9)))
			want = want || seen[n]
			seen[n] = true
			names = append(names, n)
		}
		if got := repeated(strings.Join(names, ";")); got != want {
			t.Fatalf("%v: %v", names, got)
		}
	}
}

// TestHost: the name the client used, as a trusted proxy tells it.
func TestHost(t *testing.T) {
	r := signed(t, "/bucket/key")
	r.Host = "backend:9000"
	if _, err := docVerifier().Verify(r); !errors.Is(err, SignatureDoesNotMatch) {
		t.Fatal(err)
	}
	if _, err := docVerifier().VerifyHost(r, "localhost:9000"); err != nil {
		t.Fatal(err)
	}
}

// TestDateHeader: Date stands in where x-amz-date is absent, in each of the forms that clients write.
func TestDateHeader(t *testing.T) {
	for date, want := range map[string]error{
		docTime.Format(timeFormat):        nil,
		docTime.Format(http.TimeFormat):   nil,
		docTime.Format(time.RFC850):       nil,
		"Fri, 24 May 2013 00:00:00 -0000": nil, // botocore
		"Fri, 24 May 2013 02:00:00 +0200": nil,
		"Fri, 24 May 2013 00:00:00":       AccessDenied,
		"2013-05-24":                      AccessDenied,
	} {
		r := signed(t, "/bucket/key")
		r.Header.Del("X-Amz-Date")
		r.Header.Set("Date", date)
		names := "date;host;x-amz-content-sha256"
		a := newAuth(docCreds, s3, docRegion, docTime)
		a.sign(r, &claim{payload: EmptySHA256, signedHeaders: names})
		r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s,SignedHeaders=%s,Signature=%x", algorithm, docKey, a.scope, names, a.seed))
		if _, err := docVerifier().Verify(r); !errors.Is(err, want) {
			t.Errorf("Date: %s: %v %v", date, err, facts(err))
		}
	}
}

// TestSecretChanges: a cached key does not outlive its secret, and the cache has an end.
func TestSecretChanges(t *testing.T) {
	secret := docSecret
	v := docVerifier()
	v.Credentials = func(string) (string, any, bool) { return secret, nil, true }
	v.Region = ""
	r := signed(t, "/bucket/key")
	for range 2 {
		if _, err := v.Verify(r); err != nil {
			t.Fatal(err)
		}
	}
	secret = "other"
	if _, err := v.Verify(r); !errors.Is(err, SignatureDoesNotMatch) {
		t.Fatal(err)
	}
	for i := range 2 * keysMax {
		r, _ := http.NewRequest(http.MethodGet, "http://localhost/", nil)
		Sign(r, Credentials{AccessKey: fmt.Sprint("k", i), Secret: secret}, EmptySHA256, docRegion, docTime)
		if _, err := v.Verify(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(v.keys.keys); n != keysMax {
		t.Fatalf("%d keys cached", n)
	}
}

// TestSecretThatCannotBeHad: an empty secret is nobody's, however a request is signed with it. That is the server's fault, and said so: a
// client that is told InvalidAccessKeyId does not try again.
func TestSecretThatCannotBeHad(t *testing.T) {
	nothing := Credentials{AccessKey: docKey}
	v := &Verifier{Credentials: func(string) (string, any, bool) { return "", "somebody", true }, Now: func() time.Time { return docTime }}
	signature2 := func(sts string) string {
		sum := hmac.New(sha1.New, nil)
		sum.Write([]byte(sts))
		return base64.StdEncoding.EncodeToString(sum.Sum(nil))
	}
	request := func(target string) *http.Request {
		return httptest.NewRequest("GET", "http://localhost:9000"+target, nil)
	}
	header, query := request("/b/k"), request("/b/k")
	Sign(header, nothing, EmptySHA256, docRegion, docTime)
	Presign(query, nothing, docRegion, time.Minute, docTime)
	expires := strconv.FormatInt(docTime.Unix()+60, 10)
	query2 := request("/b/k?AWSAccessKeyId=" + docKey + "&Expires=" + expires + "&Signature=" + url.QueryEscape(signature2("GET\n\n\n"+expires+"\n/b/k")))
	scope := docKey + "/" + docTime.Format("20060102") + "/" + docRegion + "/s3/aws4_request"
	for name, verify := range map[string]func() (Auth, error){
		"header":     func() (Auth, error) { return v.Verify(header) },
		"query":      func() (Auth, error) { return v.Verify(query) },
		"query, old": func() (Auth, error) { return v.Verify(query2) },
		"POST form, old": func() (Auth, error) {
			return v.VerifyPost(map[string]string{"awsaccesskeyid": docKey, "policy": "e30=", "signature": signature2("e30=")})
		},
		"POST form": func() (Auth, error) {
			return v.VerifyPost(map[string]string{
				"x-amz-algorithm": algorithm, "x-amz-credential": scope, "x-amz-date": docTime.Format("20060102T150405Z"), "policy": "e30=",
				"x-amz-signature": SignPost(nothing, "e30=", docRegion, docTime),
			})
		},
	} {
		if a, err := verify(); !errors.Is(err, ServiceUnavailable) || a.Identity != nil || a.AccessKey != "" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// TestPostRefused holds spoiled forms to their codes (sigv4-authentication-HTTPPOST).
func TestPostRefused(t *testing.T) {
	good := func() map[string]string {
		return map[string]string{
			"policy": "cG9saWN5", "x-amz-algorithm": algorithm, "x-amz-date": "20130524T000000Z",
			"x-amz-credential": docKey + "/20130524/us-east-1/s3/aws4_request",
			"x-amz-signature":  SignPost(docCreds, "cG9saWN5", docRegion, docTime),
		}
	}
	if _, err := docVerifier().VerifyPost(good()); err != nil {
		t.Fatal(err)
	}
	if a, err := docVerifier().VerifyPost(map[string]string{"key": "k"}); err != nil || !a.Anonymous {
		t.Fatal(a, err)
	}
	for _, tc := range []struct {
		field, value string
		want         Code
	}{
		{"policy", "cG9saWN6", SignatureDoesNotMatch}, {"policy", "", InvalidArgument}, {"x-amz-signature", "", InvalidArgument},
		{"x-amz-signature", "00", SignatureDoesNotMatch}, {"x-amz-algorithm", "AWS4-HMAC-SHA1", InvalidRequest},
		{"x-amz-date", "x", InvalidArgument}, {"x-amz-date", "20130525T000000Z", InvalidArgument}, {"x-amz-credential", "x", InvalidArgument},
		{"x-amz-credential", "x/20130524/us-east-1/s3/aws4_request", InvalidAccessKeyID}, {"awsaccesskeyid", "x", InvalidArgument},
		{"x-amz-credential", docKey + "/20130524/mars/s3/aws4_request", InvalidArgument},
	} {
		f := good()
		f[tc.field] = tc.value
		if a, err := docVerifier().VerifyPost(f); !errors.Is(err, tc.want) || a.Anonymous {
			t.Errorf("%s=%q: %v, want %s", tc.field, tc.value, err, tc.want)
		}
	}
}

// TestMac compares with crypto/hmac at each length of key and message near a border.
func TestMac(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	for _, k := range []int{0, 1, 32, 63, 64, 65, 200} {
		for _, m := range []int{0, 1, 55, 56, 64, 447, 448, 449, 2000} {
			key, msg := make([]byte, k), make([]byte, m)
			_, _ = rng.Read(key)
			_, _ = rng.Read(msg)
			h := hmac.New(sha256.New, key)
			h.Write(msg)
			if got := mac(key, msg); string(got[:]) != string(h.Sum(nil)) {
				t.Fatalf("key of %d, message of %d bytes", k, m)
			}
		}
	}
}

// browse is a request with the headers that the AWS SDK for Go sends.
func browse(b *testing.B) *http.Request {
	r := signed(b, "/bucket/some/longer/key/of-an-object.bin?x-id=GetObject",
		"Accept-Encoding", "identity", "Amz-Sdk-Invocation-Id", "f2f0e5a5-0a5c-4d1c-9a5e-0d3f3f0d7d11", "Amz-Sdk-Request", "attempt=1; max=3",
		"User-Agent", "aws-sdk-go-v2/1.47.6", "X-Amz-Checksum-Mode", "ENABLED", "Content-Type", "application/octet-stream")
	return r
}

func BenchmarkVerify(b *testing.B) {
	v := docVerifier()
	for name, r := range map[string]*http.Request{"header": browse(b), "presigned": presigned(b, "/bucket/key", time.Hour),
		"anonymous": {Method: "GET", Host: "h", URL: &url.URL{Path: "/b/k", RawQuery: "list-type=2"}, Header: http.Header{}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	r := browse(b)
	b.ReportAllocs()
	for b.Loop() {
		Sign(r, docCreds, UnsignedPayload, docRegion, docTime)
	}
}
