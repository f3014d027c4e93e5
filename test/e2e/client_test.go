package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// s3 is a client that retries nothing and hides nothing.
type s3 struct {
	base string
	cred sigv4.Credentials
	http *http.Client
}

func (s *server) client() *s3 {
	return &s3{
		base: s.url(),
		cred: sigv4.Credentials{AccessKey: rootUser, Secret: rootPassword},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: 10 * time.Second}, Timeout: 60 * time.Second},
	}
}

// s3Error is an answer that is not 2xx.
type s3Error struct {
	Status  int
	Code    string
	Message string
}

func (e *s3Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// code is the S3 code of err; "" if it has none.
func code(err error) string {
	var e *s3Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// status is the HTTP status of err; 0 if there was no answer.
func status(err error) int {
	var e *s3Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// escape writes a key as S3 clients put it into a path.
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}

// newRequest makes a signed request; query is in canonical form.
func (c *s3) newRequest(ctx context.Context, method, bucket, key, query string, body []byte, header map[string]string) *http.Request {
	target := c.base + "/" + bucket
	if key != "" {
		target += "/" + escape(key)
	}
	if query != "" {
		target += "?" + query
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		panic(err) // a test's own mistake
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	sum := sha256.Sum256(body)
	sigv4.Sign(req, c.cred, hex.EncodeToString(sum[:]), "us-east-1", time.Now())
	return req
}

// do sends req and reads the answer whole. A body that ends early is an error.
func (c *s3) do(req *http.Request) (http.Header, []byte, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return res.Header, body, err
	}
	if res.StatusCode >= 300 {
		return res.Header, body, parseError(res.StatusCode, body)
	}
	return res.Header, body, nil
}

func parseError(status int, body []byte) error {
	var e struct{ Code, Message string }
	xml.Unmarshal(body, &e)
	return &s3Error{Status: status, Code: e.Code, Message: e.Message}
}

func (c *s3) call(method, bucket, key, query string, body []byte) ([]byte, error) {
	_, out, err := c.do(c.newRequest(context.Background(), method, bucket, key, query, body, nil))
	return out, err
}

func (c *s3) makeBucket(name string) error {
	_, err := c.call("PUT", name, "", "", nil)
	return err
}

// put stores and checks the ETag.
func (c *s3) put(bucket, key string, body []byte) error {
	h, _, err := c.do(c.newRequest(context.Background(), "PUT", bucket, key, "", body, nil))
	if err == nil && h.Get("ETag") != etag(body) {
		return fmt.Errorf("PUT %s: ETag %s, want %s", key, h.Get("ETag"), etag(body))
	}
	return err
}

func etag(body []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(body))) }

func (c *s3) get(bucket, key string) ([]byte, error) { return c.call("GET", bucket, key, "", nil) }

func (c *s3) remove(bucket, key string) error {
	_, err := c.call("DELETE", bucket, key, "", nil)
	return err
}

// listResult is ListObjectsV2's answer.
type listResult struct {
	IsTruncated           bool
	NextContinuationToken string
	KeyCount              int
	Contents              []struct {
		Key  string
		Size int64
		ETag string
	}
	CommonPrefixes []struct{ Prefix string }
}

func (c *s3) listPage(bucket string, params map[string]string) (listResult, error) {
	q := url.Values{"list-type": {"2"}}
	for k, v := range params {
		q.Set(k, v)
	}
	var r listResult
	b, err := c.call("GET", bucket, "", strings.ReplaceAll(q.Encode(), "+", "%20"), nil)
	if err != nil {
		return r, err
	}
	return r, xml.Unmarshal(b, &r)
}

// list reads all keys under prefix.
func (c *s3) list(bucket, prefix string) (map[string]int64, error) {
	out := map[string]int64{}
	params := map[string]string{"prefix": prefix}
	for {
		page, err := c.listPage(bucket, params)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			if _, twice := out[o.Key]; twice {
				return nil, fmt.Errorf("key %q is listed twice", o.Key)
			}
			out[o.Key] = o.Size
		}
		if !page.IsTruncated {
			return out, nil
		}
		params["continuation-token"] = page.NextContinuationToken
	}
}

// multipart stores body in parts of partBytes.
func (c *s3) multipart(bucket, key string, body []byte, partBytes int) error {
	out, err := c.call("POST", bucket, key, "uploads=", nil)
	if err != nil {
		return err
	}
	var up struct{ UploadId string }
	if err := xml.Unmarshal(out, &up); err != nil {
		return err
	}
	id := "uploadId=" + url.QueryEscape(up.UploadId)
	doc := "<CompleteMultipartUpload>"
	for n := 1; len(body) > 0; n++ {
		part := body[:min(len(body), partBytes)]
		body = body[len(part):]
		_, err := c.call("PUT", bucket, key, "partNumber="+strconv.Itoa(n)+"&"+id, part)
		if err != nil {
			return err
		}
		doc += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, etag(part))
	}
	out, err = c.call("POST", bucket, key, id, []byte(doc+"</CompleteMultipartUpload>"))
	if err == nil && bytes.Contains(out, []byte("<Error>")) {
		return parseError(200, out)
	}
	return err
}

// content is size bytes that are a function of seed.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	rand.NewChaCha8(key).Read(b)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
