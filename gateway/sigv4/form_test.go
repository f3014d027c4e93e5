package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const formBody = "Action=GetUser&Version=2010-05-08"

func formRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://localhost:9000/", strings.NewReader(formBody))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

// formArrived is arrived, which may be called again.
func formArrived(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	got := arrived(t, r)
	r.Body = io.NopCloser(strings.NewReader(formBody))
	return got
}

func formSum(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// TestFormAgainstSDK verifies what AWS's SDK signs for IAM: it does not send the body's digest.
func TestFormAgainstSDK(t *testing.T) {
	r := formRequest(t)
	creds := aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, formSum(formBody), "iam", docRegion, docTime); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("X-Amz-Content-Sha256") != "" {
		t.Fatal("it sends the digest after all")
	}
	v := docVerifier()
	a, err := v.VerifyForm(formArrived(t, r), "localhost:9000", []byte(formBody), "sts", "iam")
	if err != nil {
		t.Fatal(err, facts(err))
	}
	if a.Anonymous || a.AccessKey != docKey || a.Kind != KindHeader {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		name     string
		body     string
		services []string
		want     Code
	}{
		{"another body", formBody + "&UserName=root", []string{"iam"}, SignatureDoesNotMatch},
		{"for another service", formBody, []string{"sts"}, SignatureDoesNotMatch},
		{"for S3", formBody, nil, SignatureDoesNotMatch},
	} {
		if _, err := v.VerifyForm(formArrived(t, r), "localhost:9000", []byte(c.body), c.services...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := v.Verify(formArrived(t, r)); !errors.Is(err, AuthorizationHeaderMalformed) {
		t.Errorf("S3 takes what is signed for IAM: %v", err)
	}
}

// TestFormSigned verifies what this package signs; a key that S3 has verified is none of IAM's.
func TestFormSigned(t *testing.T) {
	v := docVerifier()
	if _, err := v.Verify(signed(t, "/")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := formRequest(t)
		SignFor(r, docCreds, formSum(formBody), "iam", docRegion, docTime)
		if _, err := v.VerifyForm(formArrived(t, r), "localhost:9000", []byte(formBody), "iam"); err != nil {
			t.Fatal(err, facts(err))
		}
		if _, err := v.VerifyForm(formArrived(t, r), "localhost:9000", []byte("Action=x"), "iam"); !errors.Is(err, XAmzContentSHA256Mismatch) {
			t.Errorf("another body: %v", err)
		}
		if len(v.keys.keys) != 2 {
			t.Errorf("%d keys cached", len(v.keys.keys))
		}
	}
	r := formRequest(t)
	SignFor(r, docCreds, UnsignedPayload, "iam", docRegion, docTime)
	if _, err := v.VerifyForm(formArrived(t, r), "localhost:9000", []byte(formBody), "iam"); !errors.Is(err, SignatureDoesNotMatch) {
		t.Errorf("a body that nobody signed: %v", err)
	}
	if a, err := v.VerifyForm(formRequest(t), "localhost:9000", []byte(formBody), "iam"); err != nil || !a.Anonymous || a.Kind != KindNone {
		t.Errorf("anonymous: %+v, %v", a, err)
	}
}

// TestFormFaults: source "Troubleshoot AWS Signature Version 4 signing errors", IAM User Guide.
func TestFormFaults(t *testing.T) {
	for _, c := range []struct {
		name, from, to string // of the Authorization header
		late           time.Duration
		want           Code
		says           string
	}{
		{"terminal", "/aws4_request", "/aws_request", 0, SignatureDoesNotMatch, "scoped with a valid terminator: 'aws4_request'"},
		{"too many elements", "/iam/aws4_request", "/iam/extra/things", 0, AuthorizationHeaderMalformed, "exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + docKey + "/20130524/us-east-1/iam/extra/things'"},
		{"service", "/iam/", "/ec2/", 0, SignatureDoesNotMatch, "scoped to correct service: 'iam'."},
		{"date", "/20130524/", "/20000101/", 0, SignatureDoesNotMatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20000101' != '20130524'"},
		{"region", "/us-east-1/", "/us-west-9/", 0, SignatureDoesNotMatch, "scoped to a valid region, not 'us-west-9'."},
		{"expired", "", "", 16 * time.Minute, SignatureDoesNotMatch, "Signature expired: 20130524T000000Z is now earlier than 20130524T000100Z (20130524T001600Z - 15 min.)"},
		{"not yet current", "", "", -16 * time.Minute, SignatureDoesNotMatch, "Signature not yet current: 20130524T000000Z is still later than 20130523T235900Z (20130523T234400Z + 15 min.)"},
	} {
		v := docVerifier()
		v.Region, v.Now = docRegion, func() time.Time { return docTime.Add(c.late) }
		r := formRequest(t)
		SignFor(r, docCreds, formSum(formBody), "iam", docRegion, docTime)
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), c.from, c.to, 1))
		_, err := v.VerifyForm(formArrived(t, r), "localhost:9000", []byte(formBody), "iam", "sts")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	r := formRequest(t)
	r.Header.Set("Authorization", "Bearer token")
	if a, err := docVerifier().VerifyForm(formArrived(t, r), "localhost:9000", []byte(formBody), "iam"); err != nil || !a.Anonymous || a.Kind != KindNone {
		t.Errorf("another scheme: %+v, %v", a, err)
	}
}

// TestFormPresigned verifies what AWS's SDK makes for those who ask sts who signed it: without an expiry, which S3 wants.
func TestFormPresigned(t *testing.T) {
	const target = "http://localhost:9000/?Action=GetCallerIdentity&Version=2011-06-15"
	sign := func(service, more string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, target+more, nil)
		if err != nil {
			t.Fatal(err)
		}
		url, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret}, r, EmptySHA256, service, docRegion, docTime)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = http.NewRequest(http.MethodGet, url, nil); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		name, service, more, body string
		late                      time.Duration
		want                      error
	}{
		{name: "valid", service: "sts", late: 15 * time.Minute},
		{name: "too late", service: "sts", late: 15*time.Minute + time.Second, want: AccessDenied},
		{name: "with an expiry", service: "sts", more: "&X-Amz-Expires=3600", late: time.Hour},
		{name: "for S3", service: "s3", want: SignatureDoesNotMatch},
		{name: "a body that nobody signed", service: "sts", body: formBody, want: SignatureDoesNotMatch},
	} {
		v := docVerifier()
		v.Now = func() time.Time { return docTime.Add(c.late) }
		a, err := v.VerifyForm(arrived(t, sign(c.service, c.more)), "localhost:9000", []byte(c.body), "sts")
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		} else if err == nil && (a.AccessKey != docKey || a.Kind != KindQuery) {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
	if _, err := docVerifier().Verify(arrived(t, sign("s3", ""))); !errors.Is(err, AuthorizationQueryParametersError) {
		t.Errorf("S3 takes a URL that says no end: %v", err)
	}
}
