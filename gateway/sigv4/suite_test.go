package sigv4

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// suiteNotS3 are the vectors that are not valid for S3, with the reason. Sources: sig-v4-header-based-auth ("You do not normalize URI paths
// for requests to Amazon S3"; "the CanonicalHeaders list must include … any x-amz-* headers that you plan to include in your request").
var suiteNotS3 = map[string]string{
	"get-relative-normalized":            "a/../b is a key",
	"get-relative-relative-normalized":   "a/../b is a key",
	"get-slash-dot-slash-normalized":     "./ is a key",
	"get-slash-normalized":               "/ is a key",
	"get-slash-pointless-dot-normalized": "./a is a key",
	"get-slashes-normalized":             "/a// is a key",
	"post-sts-header-after":              "the session token is not signed",
}

// vector is one signed request of AWS's test suite, and what was signed.
type vector struct {
	request      *http.Request
	body         string
	canonical    string
	stringToSign string
}

func readVector(t *testing.T, name, kind string) vector {
	t.Helper()
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join("testdata/aws-signing-test-suite/v4", name, kind+"-"+file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	v := vector{canonical: read("canonical-request"), stringToSign: read("string-to-sign")}
	line, rest, _ := strings.Cut(read("signed-request"), "\n")
	line = strings.ReplaceAll(line, "example space", "example%20space") // a space cannot be sent there
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + "\n" + rest)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	v.request, v.body = r, string(body)
	return v
}

// ofS3 is the canonical request by S3's rules: the path as it was sent.
func (v *vector) ofS3() string {
	lines := strings.Split(v.canonical, "\n")
	lines[1] = string(appendPath(nil, v.request.URL.Path))
	return strings.Join(lines, "\n")
}

// suiteVerifier knows the suite's credentials, at its time.
func suiteVerifier() *Verifier {
	return &Verifier{
		Credentials: func(k string) (string, any, bool) {
			return "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", nil, k == "AKIDEXAMPLE"
		},
		Now:    func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) },
		Region: "us-east-1",
	}
}

// eachVector runs a test on all of the suite, signed in the header and in the query.
func eachVector(t *testing.T, run func(t *testing.T, name, kind string)) {
	t.Helper()
	vectors, err := os.ReadDir("testdata/aws-signing-test-suite/v4")
	if err != nil || len(vectors) != 38 {
		t.Fatal(err, len(vectors))
	}
	for _, d := range vectors {
		for _, kind := range []string{"header", "query"} {
			t.Run(d.Name()+"/"+kind, func(t *testing.T) { run(t, d.Name(), kind) })
		}
	}
}

// TestSuite verifies AWS's test suite, as a form: the suite signs the body's digest in what is presigned, too, which S3 does not. What S3 understands in another way than other services is refused, and the answer has the canonical
// request as S3 makes it.
func TestSuite(t *testing.T) {
	eachVector(t, func(t *testing.T, name, kind string) {
		v := readVector(t, name, kind)
		want := v.ofS3()
		_, err := suiteVerifier().VerifyForm(v.request, v.request.Host, []byte(v.body), "service")
		var e *Error
		switch {
		case name == "post-sts-header-after" && kind == "header":
			if !errors.Is(err, AccessDenied) || !errors.As(err, &e) || e.Fact("HeadersNotSigned") != "x-amz-security-token" {
				t.Fatalf("an unsigned token: %v", err)
			}
		case suiteNotS3[name] == "":
			if err != nil {
				t.Fatalf("%v\n%s\nwant\n%s", err, facts(err), want)
			}
		case !errors.Is(err, SignatureDoesNotMatch) || !errors.As(err, &e):
			t.Fatalf("%v, though the canonical request differs", err)
		case name != "post-sts-header-after" && e.Fact("CanonicalRequest") != want:
			t.Fatalf("shown\n%s\nwant\n%s", e.Fact("CanonicalRequest"), want)
		}
	})
}

// TestSuiteSteps makes the suite's canonical requests, strings to sign and signatures, one after the other.
func TestSuiteSteps(t *testing.T) {
	eachVector(t, func(t *testing.T, name, kind string) {
		if suiteNotS3[name] != "" {
			t.Skip(suiteNotS3[name])
		}
		v := readVector(t, name, kind)
		secret, _, _ := suiteVerifier().Credentials("AKIDEXAMPLE")
		a := newAuth(Credentials{AccessKey: "AKIDEXAMPLE", Secret: secret}, "service", "us-east-1", suiteVerifier().Now())
		var s scratch
		s.split(v.request.URL.RawQuery)
		c, err := s.presigned(new(Auth))
		if kind == "header" {
			c, err = parseAuthorization(v.request.Header.Get("Authorization"))
		}
		if err != nil {
			t.Fatal(err)
		}
		c.payload = formSum(v.body)
		s.canonical(v.request, v.request.Host, &c, reading{})
		if string(s.buf) != v.canonical {
			t.Fatalf("canonical request\n%s\nwant\n%s", s.buf, v.canonical)
		}
		s.stringToSign(a.amzDate, a.scope)
		if string(s.sts) != v.stringToSign {
			t.Fatalf("string to sign\n%s\nwant\n%s", s.sts, v.stringToSign)
		}
		if a.sign(v.request, &c); !sameHex(a.seed, c.signature) {
			t.Fatalf("signature %x, want %s", a.seed, c.signature)
		}
	})
}
