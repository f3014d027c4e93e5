package sigv4

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature version 2 is served for presigned URLs and POST forms alone, because the AWS CLI version 1 and boto3 still make
// them where no region asks for more. In a URL, version 2 leaves most query parameters unsigned: a request with one that neither is signed
// nor belongs to the signature is refused, so that a URL for one thing cannot be turned into another.
//
// Source: S3 user guide, "Signing and authenticating REST requests" (Signature Version 2).

// signedParams2 are the parameters that version 2 signs.
var signedParams2 = []string{
	"accelerate", "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "object-lock", "partNumber",
	"policy", "replication", "requestPayment", "response-cache-control", "response-content-disposition",
	"response-content-encoding", "response-content-language", "response-content-type", "response-expires", "restore",
	"select", "select-type", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
}

// ownParams2 belong to the signature itself.
var ownParams2 = []string{"AWSAccessKeyId", "Signature", "Expires"}

// verifyQuery2 checks a URL presigned by version 2. x-amz-* headers that the signer moved into the query are headers
// again afterwards.
func (v *Verifier) verifyQuery2(r *http.Request, host string, a *Auth) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fail(InvalidRequest, "The query cannot be parsed.")
	}
	if err := checkParams2(q); err != nil {
		return err
	}
	expires, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
	if err != nil {
		return fail(AccessDenied, "Invalid date (should be seconds since epoch): "+clip(q.Get("Expires"), 64))
	}
	if now := v.now(); now.Unix() > expires {
		return fail(AccessDenied, "Request has expired",
			Fact{"Expires", time.Unix(expires, 0).UTC().Format(time.RFC3339)}, Fact{"ServerTime", now.UTC().Format(time.RFC3339)})
	}
	accessKey := q.Get("AWSAccessKeyId")
	secret, identity, err := v.secret(accessKey)
	if err != nil {
		return err
	}
	moved := movedHeaders(r.Header, q)
	sts := v.stringToSign2(r, host, q, moved)
	if !signed2(secret, sts, q.Get("Signature")) {
		return mismatch(accessKey, q.Get("Signature"), sts, nil)
	}
	for name, values := range moved {
		r.Header[name] = values
	}
	a.AccessKey, a.Identity, a.SessionToken, a.Version2 = accessKey, identity, r.Header.Get("X-Amz-Security-Token"), true
	return a.payload(r, UnsignedPayload)
}

// signed2 reports whether signature is the HMAC-SHA1 of what was signed, in base64.
func signed2(secret string, sts []byte, signature string) bool {
	sum := hmac.New(sha1.New, []byte(secret))
	sum.Write(sts)
	want := base64.StdEncoding.EncodeToString(sum.Sum(nil))
	return subtle.ConstantTimeCompare([]byte(want), []byte(signature)) == 1
}

func checkParams2(q url.Values) error {
	for name, values := range q {
		lower := strings.ToLower(name)
		switch {
		case len(values) != 1:
			return fail(InvalidRequest, "A query parameter is given twice.")
		case slices.Contains(ownParams2, name), slices.Contains(signedParams2, name):
		case strings.HasPrefix(lower, "x-amz-"), lower == "content-type", lower == "content-md5":
		default:
			return fail(AccessDenied, "There were query parameters present in the request which were not signed", Fact{"ParametersNotSigned", clip(name, 128)})
		}
	}
	return nil
}

// movedHeaders are the headers that stand in the query. One that is there as a header too is that header.
func movedHeaders(h http.Header, q url.Values) http.Header {
	moved := http.Header{}
	for name, values := range q {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-amz-") && lower != "content-type" && lower != "content-md5" {
			continue
		}
		if canonical := http.CanonicalHeaderKey(name); h[canonical] == nil {
			moved[canonical] = values
		}
	}
	return moved
}

func (v *Verifier) stringToSign2(r *http.Request, host string, q url.Values, moved http.Header) []byte {
	header := func(name string) string {
		if values := r.Header[name]; len(values) > 0 {
			return values[0]
		}
		return moved.Get(name)
	}
	b := append([]byte(r.Method), '\n')
	b = append(append(b, header("Content-Md5")...), '\n')
	b = append(append(b, header("Content-Type")...), '\n')
	b = append(append(b, q.Get("Expires")...), '\n')
	var lines []string
	for _, h := range []http.Header{r.Header, moved} {
		for name, values := range h {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
				lines = append(lines, lower+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
			}
		}
	}
	slices.Sort(lines)
	for _, l := range lines {
		b = append(b, l...)
	}
	return v.appendResource2(b, r.URL, host, q)
}

// appendResource2 appends the canonicalized resource: bucket, path as it was sent, and the signed parameters.
func (v *Verifier) appendResource2(b []byte, u *url.URL, host string, q url.Values) []byte {
	if v.HostBucket != nil {
		if bucket, ok := v.HostBucket(host); ok {
			b = append(append(b, '/'), bucket...)
		}
	}
	b = append(b, u.EscapedPath()...)
	sep := byte('?')
	for _, name := range signedParams2 {
		values, ok := q[name]
		if !ok {
			continue
		}
		b = append(append(b, sep), name...)
		if values[0] != "" {
			b = append(append(b, '='), values[0]...)
		}
		sep = '&'
	}
	return b
}
