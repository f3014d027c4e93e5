package sigv4

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzVerify throws whole requests at Verify: it never panics, answers with a code, and what it lets pass as
// signed passes again when signed anew.
func FuzzVerify(f *testing.F) {
	files, err := filepath.Glob("testdata/aws/*.http")
	suite, err2 := filepath.Glob("testdata/aws-signing-test-suite/v4/*/*-signed-request.txt")
	if err != nil || err2 != nil || len(files) == 0 || len(suite) == 0 {
		f.Fatal(err, err2, files, suite)
	}
	files = append(files, suite...)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	v := docVerifier()
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		a, err := v.Verify(r)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v has no code", err)
		}
		if err == nil && a.Anonymous && (r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "&X-Amz-Signature=")) {
			t.Fatal("credentials, but anonymous")
		}
		if err != nil {
			return
		}
		if b, err := a.Body(r.Body); err == nil {
			n, _ := io.Copy(io.Discard, b)
			if b.Finish() == nil && b.Size() >= 0 && n != b.Size() {
				t.Fatalf("%d of %d bytes held", n, b.Size())
			}
			_ = b.Close()
		}
	})
}

// FuzzSign: what Sign signs, Verify takes, whatever the target and the headers.
func FuzzSign(f *testing.F) {
	f.Add("/bucket/a b+c%2F", "prefix=a+b&acl", "two  spaces")
	f.Add("//", "%zz&=&;", "ünïcödé")
	f.Fuzz(func(t *testing.T, path, query, meta string) {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header["X-Amz-Meta-A"] = []string{meta}
		s := scratch{}
		s.split(query)
		if kind, err := s.detect(r.Header); err != nil || kind != KindNone {
			return // carries a signature of its own
		}
		Sign(r, docCreds, EmptySHA256, docRegion, docTime)
		if _, err := docVerifier().Verify(r); err != nil {
			t.Fatal(err, facts(err))
		}
	})
}

// FuzzChunks throws bodies at the decoder: it ends, hands out no more than announced, and says nil only for all of it.
func FuzzChunks(f *testing.F) {
	for _, mode := range chunkModes {
		_, _, wire := stream(f, mode, 40, 9)
		f.Add(uint8(mode), 49, wire)
	}
	f.Add(uint8(PayloadUnsignedChunkTrailer), 5, []byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"))
	auths := map[Payload]Auth{}
	for _, mode := range chunkModes {
		auths[mode], _, _ = stream(f, mode, 40, 9)
	}
	f.Fuzz(func(t *testing.T, m uint8, announced int, wire []byte) {
		a, ok := auths[Payload(m)]
		if !ok || announced < 0 {
			return
		}
		a.DecodedBytes = int64(announced)
		got, _, err := drain(a, bytes.NewReader(wire), 16)
		if len(got) > announced || err == nil && len(got) != announced {
			t.Fatalf("%d bytes of %d, %v", len(got), announced, err)
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v has no code", err)
		}
	})
}

// FuzzQuery throws queries at Verify: a presigned URL is verified only if signing anew gives the same signature.
func FuzzQuery(f *testing.F) {
	f.Add("GET", presigned(f, "/bucket/key", time.Hour).URL.RawQuery)
	f.Add("PUT", presigned(f, "/bucket/key?partNumber=1&uploadId=a+b%2F", time.Minute).URL.RawQuery+"&x-id=PutObject")
	f.Add("GET", "AWSAccessKeyId="+docKey+"&Expires=1175139620&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&x-amz-meta-a=b")
	vectors, err := filepath.Glob("testdata/aws-signing-test-suite/v4/*/query-canonical-request.txt")
	if err != nil || len(vectors) == 0 {
		f.Fatal(err, vectors)
	}
	for _, name := range vectors {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("GET", strings.Split(string(text), "\n")[2]+"&X-Amz-Signature=00")
	}
	v := docVerifier()
	f.Fuzz(func(t *testing.T, method, query string) {
		r := &http.Request{Method: method, Host: "localhost:9000", URL: &url.URL{Path: "/bucket/key", RawQuery: query}, Header: http.Header{}}
		a, err := v.Verify(r)
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Fatalf("%v has no code", err)
		case err != nil || a.Anonymous || a.Version2:
			return
		case a.Kind != KindQuery || a.Expires <= 0 || a.Expires > maxExpires || a.AccessKey != docKey:
			t.Fatalf("verified as %+v", a)
		}
		var s scratch
		s.split(query)
		c, err := s.presigned(new(Auth))
		if err != nil {
			t.Fatal(err)
		}
		again := newAuth(docCreds, s3, docRegion, a.Time)
		var same bool
		for _, how := range s.readings(r.URL) {
			c.payload = UnsignedPayload
			if sum, ok := s.param("X-Amz-Content-Sha256"); ok {
				c.payload = sum
			}
			s.canonical(r, r.Host, &c, how)
			s.stringToSign(again.amzDate, again.scope)
			same = same || sameHex(mac(again.key[:], s.sts), c.signature)
		}
		if !same {
			t.Fatalf("%s verified, signed by nobody", query)
		}
	})
}

// FuzzPost throws the fields of forms at VerifyPost: what it takes is signed over that very policy, or has no trace of a signature.
func FuzzPost(f *testing.F) {
	const scope = docKey + "/20130524/us-east-1/s3/aws4_request"
	f.Add("e30=", algorithm, scope, "20130524T000000Z", SignPost(docCreds, "e30=", docRegion, docTime), "", "")
	f.Add("e30=", "", "", "", "", docKey, "0RavWzkygo6QX9caELEqKi9kDbU=")
	f.Add("", algorithm, "a/b/c/d/e", "20130524T000000Z", "", "", "")
	f.Add("", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, policy, alg, credential, date, signature, accessKey, signature2 string) {
		fields := map[string]string{"policy": policy, "x-amz-algorithm": alg, "x-amz-credential": credential, "x-amz-date": date,
			"x-amz-signature": signature, "awsaccesskeyid": accessKey, "signature": signature2}
		a, err := docVerifier().VerifyPost(fields)
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Fatalf("%v has no code", err)
		case err != nil:
		case a.Anonymous:
			if policy+alg+credential+date+signature+accessKey+signature2 != "" {
				t.Fatalf("%v is anonymous", fields)
			}
		case a.Version2:
			if accessKey != docKey || !signed2(docSecret, []byte(policy), signature2) {
				t.Fatalf("%v verified", fields)
			}
		case a.AccessKey != docKey || !strings.EqualFold(SignPost(docCreds, policy, docRegion, a.Time), signature):
			t.Fatalf("%v verified", fields)
		}
	})
}

// FuzzForm throws Authorization headers and bodies at VerifyForm: it takes a signature only over that very body.
func FuzzForm(f *testing.F) {
	r, err := http.NewRequest(http.MethodPost, "http://localhost:9000/", nil)
	if err != nil {
		f.Fatal(err)
	}
	SignFor(r, docCreds, formSum(formBody), "iam", docRegion, docTime)
	signed := r.Header.Get("Authorization")
	f.Add(signed, "20130524T000000Z", formBody)
	f.Add(signed, "", "Action=CreateUser")
	f.Add(strings.Replace(signed, "/iam/", "/s3/", 1), docTime.Format(http.TimeFormat), formBody)
	f.Add("AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;,Signature=", "", "")
	f.Fuzz(func(t *testing.T, authorization, date, body string) {
		r.Header["Authorization"], r.Header["X-Amz-Date"] = []string{authorization}, []string{date}
		_, err := docVerifier().VerifyForm(r, r.Host, []byte(body), "iam")
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v has no code", err)
		}
		if err == nil && body != formBody {
			t.Fatalf("%q verified for %q", authorization, body)
		}
	})
}
