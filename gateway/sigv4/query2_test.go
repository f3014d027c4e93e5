package sigv4

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// docVerifier2 knows the pair of the user guide's examples of signature version 2.
func docVerifier2(now time.Time) *Verifier {
	return &Verifier{
		Credentials: func(key string) (string, any, bool) {
			return "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", nil, key == "AKIAIOSFODNN7EXAMPLE"
		},
		Now: func() time.Time { return now },
		HostBucket: func(host string) (string, bool) {
			return strings.CutSuffix(host, ".s3.amazonaws.com")
		},
	}
}

// sign2 signs sts, written out by the test, and returns r with the signature in its query.
func sign2(t *testing.T, method, target, sts string) *http.Request {
	t.Helper()
	sum := hmac.New(sha1.New, []byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
	sum.Write([]byte(sts))
	sep := "?"
	if strings.Contains(target, "?") {
		sep = "&"
	}
	target += sep + "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620&Signature=" +
		url.QueryEscape(base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	return httptest.NewRequest(method, target, nil)
}

var time2 = time.Unix(1175139600, 0)

// Source: S3 user guide, Signature Version 2, "Query string request authentication alternative": the example's signature.
func TestVersion2ExampleOfTheUserGuide(t *testing.T) {
	r := httptest.NewRequest("GET", "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620", nil)
	r.Host = "johnsmith.s3.amazonaws.com"
	a, err := docVerifier2(time2).Verify(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Anonymous || a.AccessKey != "AKIAIOSFODNN7EXAMPLE" || a.Kind != KindQuery {
		t.Fatalf("%+v", a)
	}
}

func TestVersion2SignsWhatSelectsTheOperation(t *testing.T) {
	for _, tc := range []struct{ method, target, sts string }{
		{"GET", "/b/k", "GET\n\n\n1175139620\n/b/k"},
		{"GET", "/b/a%20b%2Bc", "GET\n\n\n1175139620\n/b/a%20b%2Bc"},
		{"PUT", "/b/k?uploadId=u%2B1&partNumber=2", "PUT\n\n\n1175139620\n/b/k?partNumber=2&uploadId=u+1"},
		{"GET", "/b/k?response-content-type=text%2Fplain&acl", "GET\n\n\n1175139620\n/b/k?acl&response-content-type=text/plain"},
		{"PUT", "/b/k?x-amz-meta-a=1&content-type=text%2Fx", "PUT\n\ntext/x\n1175139620\nx-amz-meta-a:1\n/b/k"},
	} {
		r := sign2(t, tc.method, tc.target, tc.sts)
		if _, err := docVerifier2(time2).Verify(r); err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.target, err)
		}
		if strings.Contains(tc.target, "x-amz-meta-a") && r.Header.Get("X-Amz-Meta-A") != "1" {
			t.Errorf("%s: the header in the query did not become one", tc.target)
		}
	}
}

func TestVersion2Refuses(t *testing.T) {
	const sts = "GET\n\n\n1175139620\n/b/k"
	for _, tc := range []struct {
		name  string
		now   time.Time
		spoil func(*http.Request)
		code  error
	}{
		{"expired", time2.Add(time.Minute), func(*http.Request) {}, AccessDenied},
		{"another method", time2, func(r *http.Request) { r.Method = "DELETE" }, SignatureDoesNotMatch},
		{"another key", time2, func(r *http.Request) { r.URL.Path = "/b/other" }, SignatureDoesNotMatch},
		{"another time", time2, func(r *http.Request) { setQuery(r, "Expires", "1175139999") }, SignatureDoesNotMatch},
		{"no time", time2, func(r *http.Request) { setQuery(r, "Expires", "soon") }, AccessDenied},
		{"a signed parameter more", time2, func(r *http.Request) { setQuery(r, "uploads", "") }, SignatureDoesNotMatch},
		{"an unsigned parameter", time2, func(r *http.Request) { setQuery(r, "legal-hold", "") }, AccessDenied},
		{"a header more", time2, func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, SignatureDoesNotMatch},
		{"a header in the query more", time2, func(r *http.Request) { setQuery(r, "x-amz-acl", "public-read") }, SignatureDoesNotMatch},
		{"another user", time2, func(r *http.Request) { setQuery(r, "AWSAccessKeyId", "AKIAOTHER") }, InvalidAccessKeyID},
		{"a parameter twice", time2, func(r *http.Request) { r.URL.RawQuery += "&Expires=1" }, InvalidRequest},
	} {
		r := sign2(t, "GET", "/b/k", sts)
		tc.spoil(r)
		if _, err := docVerifier2(tc.now).Verify(r); !errors.Is(err, tc.code) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.code)
		}
	}
}
