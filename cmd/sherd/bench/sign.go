package bench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"
)

// UnsignedPayload is what stands for the payload's digest when the body is not signed.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// Credentials are what a request is signed with.
type Credentials struct {
	AccessKey, SecretKey string
	SessionToken         string // optional
	Region               string // us-east-1 if empty
}

// signer makes Signature V4 headers. The signing key is kept for the day it is valid for. Use it from one
// goroutine.
//
// Source: AWS, "Signature Version 4 signing process", service s3.
type signer struct {
	cred   Credentials
	host   string
	second int64
	date   [16]byte // 20060102T150405Z, of second
	day    [8]byte  // that mac is for
	mac    hash.Hash
	text   []byte // scratch
	sum    [sha256.Size]byte
}

func newSigner(cred Credentials, host string) *signer {
	if cred.Region == "" {
		cred.Region = "us-east-1"
	}
	return &signer{cred: cred, host: host}
}

// appendHeaders appends the lines x-amz-date, x-amz-content-sha256 and Authorization, each ended by CRLF.
// path and query are in canonical form; payload is the hexadecimal digest or UnsignedPayload.
func (s *signer) appendHeaders(b []byte, now time.Time, method, path, query string, payload []byte) []byte {
	s.tick(now)
	t := append(s.text[:0], method...)
	t = append(append(t, '\n'), path...)
	t = append(append(t, '\n'), query...)
	t = append(append(t, "\nhost:"...), s.host...)
	t = append(append(t, "\nx-amz-content-sha256:"...), payload...)
	t = append(append(t, "\nx-amz-date:"...), s.date[:]...)
	if s.cred.SessionToken != "" {
		t = append(append(t, "\nx-amz-security-token:"...), s.cred.SessionToken...)
	}
	t = append(t, "\n\n"...)
	t = s.appendNames(t)
	t = append(append(t, '\n'), payload...)
	canonical := sha256.Sum256(t)

	t = append(append(t[:0], "AWS4-HMAC-SHA256\n"...), s.date[:]...)
	t = s.appendScope(append(t, '\n'))
	t = hex.AppendEncode(append(t, '\n'), canonical[:])
	s.mac.Reset()
	s.mac.Write(t)
	signature := s.mac.Sum(s.sum[:0])
	s.text = t

	b = append(append(b, "x-amz-date: "...), s.date[:]...)
	b = append(append(b, "\r\nx-amz-content-sha256: "...), payload...)
	if s.cred.SessionToken != "" {
		b = append(append(b, "\r\nx-amz-security-token: "...), s.cred.SessionToken...)
	}
	b = append(append(b, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...), s.cred.AccessKey...)
	b = s.appendScope(append(b, '/'))
	b = s.appendNames(append(b, ", SignedHeaders="...))
	b = hex.AppendEncode(append(b, ", Signature="...), signature)
	return append(b, "\r\n"...)
}

func (s *signer) appendNames(b []byte) []byte {
	b = append(b, "host;x-amz-content-sha256;x-amz-date"...)
	if s.cred.SessionToken != "" {
		b = append(b, ";x-amz-security-token"...)
	}
	return b
}

func (s *signer) appendScope(b []byte) []byte {
	b = append(append(b, s.date[:8]...), '/')
	b = append(b, s.cred.Region...)
	return append(b, "/s3/aws4_request"...)
}

// tick brings date, and when the day changes the key, up to now.
func (s *signer) tick(now time.Time) {
	if sec := now.Unix(); sec != s.second {
		s.second = sec
		now.UTC().AppendFormat(s.date[:0], "20060102T150405Z")
	}
	if s.mac != nil && s.day == [8]byte(s.date[:8]) {
		return
	}
	s.day = [8]byte(s.date[:8])
	key := []byte("AWS4" + s.cred.SecretKey)
	for _, part := range []string{string(s.day[:]), s.cred.Region, "s3", "aws4_request"} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	s.mac = hmac.New(sha256.New, key)
}

const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// payloadHash is q's x-amz-content-sha256; valid until the next call.
func (c *conn) payloadHash(q *request) []byte {
	switch {
	case q.unsigned:
		return append(c.hex[:0], UnsignedPayload...)
	case q.body != nil && q.body.Size > 0:
		return hex.AppendEncode(c.hex[:0], c.hash.SHA256(q.body))
	case len(q.payload) > 0:
		sum := sha256.Sum256(q.payload)
		return hex.AppendEncode(c.hex[:0], sum[:])
	}
	return append(c.hex[:0], emptySHA256...)
}
