package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// arrived is r as a server sees it: written out and read again.
func arrived(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// awkward are strings that clients put into keys, queries and metadata.
var awkward = []string{
	"plain", "with space", "a+b", "a%2Fb", "100%", "ünïcödé/日本語", "a//b", "../x", ".", "tilde~", "semi;colon", "q?mark", "h#ash",
	"eq=als", "am&p", "quo'te\"", "(paren)", "star*", "back\\slash", "$dollar", "col:on", "@at", "com,ma", "\x7f", "[]{}|^`", "", "two  spaces",
}

// awkwardRequest is a random request, its path encoded as S3 clients do it.
func awkwardRequest(rng *rand.Rand) *http.Request {
	path := "/bucket"
	for range rng.IntN(4) {
		path += "/" + awkward[rng.IntN(len(awkward))]
	}
	query := url.Values{}
	for range rng.IntN(5) {
		query.Add(awkward[rng.IntN(len(awkward)-2)], awkward[rng.IntN(len(awkward))])
	}
	host := []string{"localhost", "localhost:9000", "[::1]:9000", "b.s3.example.com:8443", "127.0.0.1"}[rng.IntN(5)]
	r := &http.Request{
		Method: []string{"GET", "PUT", "DELETE"}[rng.IntN(3)],
		URL:    &url.URL{Scheme: "http", Host: host, Path: path, RawPath: string(appendPath(nil, path)), RawQuery: query.Encode()},
		Host:   host,
		Header: http.Header{"Content-Type": {"text/plain;  charset=utf-8"}},
	}
	for i := range rng.IntN(4) {
		r.Header.Add(fmt.Sprintf("X-Amz-Meta-%d", i), strings.Trim(awkward[rng.IntN(13)], " "))
		if rng.IntN(3) == 0 {
			r.Header.Add(fmt.Sprintf("X-Amz-Meta-%d", i), "again")
		}
	}
	return r
}

// TestAgainstSDK verifies what aws-sdk-go-v2 signs, in the header and presigned, and signs the same itself.
func TestAgainstSDK(t *testing.T) {
	const seed = 20130524
	rng := rand.New(rand.NewPCG(seed, 1))
	sdk := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	creds := aws.Credentials{AccessKeyID: docKey, SecretAccessKey: docSecret, SessionToken: "to/ken+="}
	v := docVerifier()
	for i := range 3000 {
		r := awkwardRequest(rng)
		what := fmt.Sprintf("seed %d, request %d: %s %s %v", seed, i, r.Method, r.URL, r.Header)
		if i%2 == 0 {
			r.Header.Set("X-Amz-Content-Sha256", EmptySHA256)
			if err := sdk.SignHTTP(t.Context(), creds, r, EmptySHA256, s3, docRegion, docTime); err != nil {
				t.Fatal(err)
			}
		} else {
			r.URL.RawQuery += "&X-Amz-Expires=60"
			signed, headers, err := sdk.PresignHTTP(t.Context(), creds, r, UnsignedPayload, s3, docRegion, docTime)
			if err != nil {
				t.Fatal(err)
			}
			if r.URL, err = url.Parse(signed); err != nil {
				t.Fatal(err)
			}
			headers.Del("Host")
			r.Header = headers
		}
		a, err := v.Verify(arrived(t, r))
		if err != nil {
			t.Fatalf("%s\n%v\n%s", what, err, facts(err))
		}
		if a.SessionToken != creds.SessionToken {
			t.Fatalf("%s: session token %q", what, a.SessionToken)
		}
	}
}

// TestSignVerifies verifies what this package signs, in the same ways.
func TestSignVerifies(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 2))
	c := Credentials{AccessKey: docKey, Secret: docSecret, SessionToken: "to/ken+="}
	v := docVerifier()
	for i := range 3000 {
		r := awkwardRequest(rng)
		what := fmt.Sprintf("seed %d, request %d: %s %s %v", seed, i, r.Method, r.URL, r.Header)
		if i%2 == 0 {
			Sign(r, c, UnsignedPayload, docRegion, docTime)
		} else {
			Presign(r, c, docRegion, time.Minute, docTime)
		}
		a, err := v.Verify(arrived(t, r))
		if err != nil {
			t.Fatalf("%s\n%v\n%s", what, err, facts(err))
		}
		if a.SessionToken != c.SessionToken {
			t.Fatalf("%s: session token %q", what, a.SessionToken)
		}
	}
}

// facts are what a person would look at.
func facts(err error) string {
	if e, ok := err.(*Error); ok {
		return e.Fact("CanonicalRequest") + "\n" + e.Fact("StringToSign")
	}
	return ""
}

// sha is a hasher as minio-go wants it.
type sha struct{ hash.Hash }

func (sha) Close() {}

// TestAgainstMinioStreams reads the streams that minio-go makes, signed and not, with trailers and without.
func TestAgainstMinioStreams(t *testing.T) {
	now := time.Now().UTC()
	v := docVerifier()
	v.Now = time.Now // minio-go's unsigned stream takes its own time
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000} {
		for _, mode := range []Payload{PayloadChunks, PayloadChunksTrailer, PayloadUnsignedChunkTrailer} {
			data := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
			sum := sha256.Sum256(data)
			r, err := http.NewRequest(http.MethodPut, "http://localhost:9000/bucket/key", bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if mode.trailer() {
				r.Trailer = http.Header{"X-Amz-Checksum-Sha256": {base64.StdEncoding.EncodeToString(sum[:])}}
			}
			switch mode {
			case PayloadUnsignedChunkTrailer:
				trailer := r.Trailer
				r.Trailer = nil
				r.Header.Set("X-Amz-Content-Sha256", StreamingUnsignedTrailer)
				r = signer.SignV4Trailer(*r, docKey, docSecret, "", docRegion, trailer)
			default:
				r = signer.StreamingSignV4(r, docKey, docSecret, "", docRegion, int64(size), now, sha{sha256.New()})
			}
			wire, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			a, err := v.Verify(r)
			if err != nil {
				t.Fatalf("size %d mode %d: %v\n%s", size, mode, err, facts(err))
			}
			if a.Payload != mode || a.DecodedBytes != int64(size) {
				t.Fatalf("size %d mode %d: %+v", size, mode, a)
			}
			b, err := a.Body(bytes.NewReader(wire))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, data) || b.Finish() != nil {
				t.Fatalf("size %d mode %d: %d bytes, %v\n%.300q", size, mode, len(got), err, wire[max(0, len(wire)-300):])
			}
			if want := base64.StdEncoding.EncodeToString(sum[:]); mode.trailer() && b.Trailers().Get("X-Amz-Checksum-Sha256") != want {
				t.Fatalf("size %d mode %d: trailers %v", size, mode, b.Trailers())
			}
		}
	}
}
