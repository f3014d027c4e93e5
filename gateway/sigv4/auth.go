package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is where a request carries its signature.
type Kind uint8

// The kinds.
const (
	KindNone   Kind = iota // anonymous
	KindHeader             // Authorization: AWS4-HMAC-SHA256 …
	KindQuery              // ?X-Amz-Algorithm=AWS4-HMAC-SHA256&… (presigned)
	kindQuery2             // ?AWSAccessKeyId=…&Signature=… (presigned, version 2); callers see KindQuery
	KindPost               // the fields of a POST form
)

// Payload is how a body is secured, from x-amz-content-sha256.
type Payload uint8

// The payload modes.
const (
	PayloadUnsigned             Payload = iota // UNSIGNED-PAYLOAD, or anonymous
	PayloadSHA256                              // a hex digest of the whole body
	PayloadChunks                              // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
	PayloadChunksTrailer                       // STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
	PayloadUnsignedChunkTrailer                // STREAMING-UNSIGNED-PAYLOAD-TRAILER
)

// The values of x-amz-content-sha256 besides a digest.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingPayload         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	EmptySHA256              = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	algorithm                = "AWS4-HMAC-SHA256"
	terminal                 = "aws4_request" // the end of a scope
	s3                       = "s3"           // the service, as the scope of a signature names it
	timeFormat               = "20060102T150405Z"
	dateBytes                = len("20060102")
	maxExpires               = 7 * 24 * time.Hour
)

// decodedBytesMax keeps arithmetic far from its end; an object's limit is the gateway's.
const decodedBytesMax = 1 << 50

// Chunked reports whether the body on the wire is aws-chunked.
func (p Payload) Chunked() bool { return p >= PayloadChunks }

// signed reports whether chunks carry signatures.
func (p Payload) signed() bool { return p == PayloadChunks || p == PayloadChunksTrailer }

// trailer reports whether trailers follow the last chunk.
func (p Payload) trailer() bool { return p == PayloadChunksTrailer || p == PayloadUnsignedChunkTrailer }

// Auth is who sent a request and how its body is secured. It is a value; it holds no resource.
type Auth struct {
	Anonymous    bool // Kind == KindNone
	Kind         Kind
	AccessKey    string
	Identity     any           // what Credentials gave with the secret
	SessionToken string        // X-Amz-Security-Token, covered by the signature; the caller judges it
	Time         time.Time     // when the request says it was signed
	Expires      time.Duration // KindQuery only: how long it is valid from Time
	Version2     bool          // KindQuery and KindPost only: signed by Signature Version 2, which knows neither Time nor Expires

	Payload       Payload
	PayloadSHA256 [32]byte // Payload == PayloadSHA256
	ContentBytes  int64    // of the body as sent, -1 if not announced
	DecodedBytes  int64    // of the body as Body hands it out, -1 if not announced

	v        *Verifier
	key      [32]byte // signing key
	seed     [32]byte // the request's signature: the first chunk's predecessor
	scope    string   // date/region/service/aws4_request
	amzDate  string   // X-Amz-Date as in the string to sign
	trailers string   // X-Amz-Trailer

	services   []string // that a request may be signed for; nil: s3
	formSHA256 string   // of the body, in hexadecimal, where the request need not say it; else ""
}

// service is what a request should be signed for.
func (a *Auth) service() string {
	if len(a.services) > 0 {
		return a.services[0]
	}
	return s3
}

// serves reports whether a request may be signed for service.
func (a *Auth) serves(service string) bool {
	return service == a.service() || slices.Contains(a.services, service)
}

// payload sets how the body is secured from the value of x-amz-content-sha256.
func (a *Auth) payload(r *http.Request, value string) error {
	a.DecodedBytes = a.ContentBytes
	switch value {
	case UnsignedPayload:
		a.Payload = PayloadUnsigned
		return nil
	case StreamingPayload:
		a.Payload = PayloadChunks
	case StreamingPayloadTrailer:
		a.Payload = PayloadChunksTrailer
	case StreamingUnsignedTrailer:
		a.Payload = PayloadUnsignedChunkTrailer
	default:
		var ok bool
		if a.PayloadSHA256, ok = unhex32(value); !ok {
			return fail(InvalidArgument, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "+StreamingUnsignedTrailer+", "+StreamingPayload+", "+
				StreamingPayloadTrailer+" or a valid sha256 value.", Fact{"ArgumentName", "x-amz-content-sha256"}, Fact{"ArgumentValue", clip(value, 128)})
		}
		a.Payload = PayloadSHA256
		return nil
	}
	return a.decodedLength(r)
}

func (a *Auth) decodedLength(r *http.Request) error {
	a.trailers = strings.Join(r.Header["X-Amz-Trailer"], ",")
	a.DecodedBytes = -1
	s := first(r.Header, "X-Amz-Decoded-Content-Length")
	if s == "" {
		return nil // Body asks for it
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > decodedBytesMax {
		return fail(InvalidArgument, "The value of x-amz-decoded-content-length is not valid.",
			Fact{"ArgumentName", "x-amz-decoded-content-length"}, Fact{"ArgumentValue", clip(s, 128)})
	}
	a.DecodedBytes = n
	return nil
}

// unhex32 decodes exactly 64 hexadecimal digits.
func unhex32(s string) (sum [32]byte, ok bool) {
	if len(s) != 64 {
		return sum, false
	}
	for i := range sum {
		hi, lo := unhex(s[2*i]), unhex(s[2*i+1])
		if hi|lo > 15 {
			return sum, false
		}
		sum[i] = hi<<4 | lo
	}
	return sum, true
}

// first is the first value of a header by its canonical name, without the cost of canonicalising it.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// clip is at most the first n bytes of s: what a client sent is not echoed without bound.
func clip(s string, n int) string { return s[:min(len(s), n)] }
