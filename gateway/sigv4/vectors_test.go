package sigv4

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The credentials and the time of every example in the Amazon S3 API Reference.
const (
	docKey    = "AKIAIOSFODNN7EXAMPLE"
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	docRegion = "us-east-1"
)

var docTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// docVerifier knows the example's credentials, at the example's time.
func docVerifier() *Verifier {
	return &Verifier{
		Credentials: func(k string) (string, any, bool) { return docSecret, "who", k == docKey },
		Now:         func() time.Time { return docTime },
		Region:      docRegion,
	}
}

// example reads a request of testdata/aws.
func example(t testing.TB, name string) *http.Request {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "aws", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExamples verifies the examples of the API reference: pages sig-v4-header-based-auth ("Examples:
// Signature Calculations") and sigv4-query-string-auth ("An Example").
func TestExamples(t *testing.T) {
	for _, tc := range []struct {
		name    string
		kind    Kind
		payload Payload
	}{
		{"get-object", KindHeader, PayloadSHA256},
		{"put-object", KindHeader, PayloadSHA256},
		{"get-lifecycle", KindHeader, PayloadSHA256},
		{"list-objects", KindHeader, PayloadSHA256},
		{"presigned-get", KindQuery, PayloadUnsigned},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := example(t, tc.name)
			a, err := docVerifier().Verify(r)
			if err != nil {
				t.Fatal(err)
			}
			if a.Anonymous || a.Kind != tc.kind || a.Payload != tc.payload || a.AccessKey != docKey || a.Identity != "who" || !a.Time.Equal(docTime) {
				t.Fatalf("got %+v", a)
			}
			body, err := a.Body(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(body); err != nil {
				t.Fatal(err)
			}
			if err := body.Finish(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestExamplesSigned makes the same signatures.
func TestExamplesSigned(t *testing.T) {
	for _, name := range []string{"get-object", "put-object", "get-lifecycle", "list-objects"} {
		r := example(t, name)
		_, want, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		r.Header.Del("Authorization")
		Sign(r, Credentials{AccessKey: docKey, Secret: docSecret}, r.Header.Get("X-Amz-Content-Sha256"), docRegion, docTime)
		if _, got, _ := strings.Cut(r.Header.Get("Authorization"), "Signature="); got != want {
			t.Errorf("%s: signature %s, want %s", name, got, want)
		}
	}
	want := example(t, "presigned-get").URL.RawQuery
	r := example(t, "presigned-get")
	r.URL.RawQuery = ""
	Presign(r, Credentials{AccessKey: docKey, Secret: docSecret}, docRegion, 24*time.Hour, docTime)
	if r.URL.RawQuery != want {
		t.Errorf("presigned %s\nwant %s", r.URL.RawQuery, want)
	}
}

// exampleChunks is the body of the chunked examples: 65 KiB of 'a' in two chunks.
func exampleChunks(signatures [3]string, tail string) string {
	return "10000;chunk-signature=" + signatures[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=" + signatures[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=" + signatures[2] + "\r\n" + tail
}

var (
	docChunks = exampleChunks([3]string{
		"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
		"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}, "\r\n")
	docTrailerSignatures = [3]string{
		"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
		"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
		"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}
)

const docTrailerSignature = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n"

// TestExampleChunked reads the example of page sigv4-streaming.
func TestExampleChunked(t *testing.T) {
	b := exampleBody(t, "put-chunked", docChunks)
	checkExample(t, b)
	if b.Trailers() != nil {
		t.Fatal("trailers from nowhere")
	}
}

// TestExampleTrailer reads the example of page sigv4-streaming-trailers, with each of the line ends that
// clients put around a trailer.
func TestExampleTrailer(t *testing.T) {
	const sum = "x-amz-checksum-crc32c:sOO8/Q=="
	for name, tail := range map[string]string{
		"aws sdk":          sum + "\r\n" + docTrailerSignature + "\r\n",
		"no blank line":    sum + "\r\n" + docTrailerSignature,
		"minio-go":         sum + "\n\r\n" + docTrailerSignature + "\r\n",
		"blank line first": "\r\n" + sum + "\r\n" + docTrailerSignature + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := exampleBody(t, "put-chunked-trailer", exampleChunks(docTrailerSignatures, tail))
			checkExample(t, b)
			if got := b.Trailers().Get("x-amz-checksum-crc32c"); got != "sOO8/Q==" {
				t.Fatalf("trailer %q", got)
			}
		})
	}
}

func exampleBody(t *testing.T, name, body string) *BodyReader {
	t.Helper()
	a, err := docVerifier().Verify(example(t, name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Body(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func checkExample(t *testing.T, b *BodyReader) {
	t.Helper()
	got, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.Repeat("a", 66560) {
		t.Fatalf("%d bytes, not the example's", len(got))
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
}

// TestExamplePost checks the policy of page sigv4-post-example.
func TestExamplePost(t *testing.T) {
	policy, err := os.ReadFile("testdata/aws/post-policy.base64")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{
		"policy":           strings.TrimSpace(string(policy)),
		"x-amz-algorithm":  "AWS4-HMAC-SHA256",
		"x-amz-credential": docKey + "/20151229/us-east-1/s3/aws4_request",
		"x-amz-date":       "20151229T000000Z",
		"x-amz-signature":  "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
	}
	a, err := docVerifier().VerifyPost(fields)
	if err != nil {
		t.Fatal(err)
	}
	if a.Kind != KindPost || a.AccessKey != docKey || a.Identity != "who" {
		t.Fatalf("got %+v", a)
	}
	signed := SignPost(Credentials{AccessKey: docKey, Secret: docSecret}, fields["policy"], docRegion, a.Time)
	if signed != fields["x-amz-signature"] {
		t.Fatalf("signed %s", signed)
	}
}
