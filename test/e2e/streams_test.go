package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// putParts stores an object of n times part, and returns a Once for what the test does in the midst of reads.
func putParts(t *testing.T, c *s3, bucket, key string, part []byte, n int) *sync.Once {
	t.Helper()
	out, err := c.call("POST", bucket, key, "uploads=", nil)
	must(t, err)
	var up struct{ UploadId string }
	must(t, xml.Unmarshal(out, &up))
	id := "uploadId=" + url.QueryEscape(up.UploadId)
	doc := "<CompleteMultipartUpload>"
	for i := range n {
		_, err := c.call("PUT", bucket, key, "partNumber="+strconv.Itoa(i+1)+"&"+id, part)
		must(t, err)
		doc += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, etag(part))
	}
	_, err = c.call("POST", bucket, key, id, []byte(doc+"</CompleteMultipartUpload>"))
	must(t, err)
	return new(sync.Once)
}

// slowRead reads n times part, compares, and calls between before part i.
func slowRead(c *s3, bucket, key string, part []byte, n int, between func(i int)) error {
	res, err := c.http.Do(c.newRequest(context.Background(), "GET", bucket, key, "", nil, nil))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		return parseError(res.StatusCode, b)
	}
	buf := make([]byte, len(part))
	for i := range n {
		between(i)
		if _, err := io.ReadFull(res.Body, buf); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
		if !bytes.Equal(buf, part) {
			return fmt.Errorf("part %d differs", i)
		}
	}
	if extra, err := io.ReadAll(res.Body); err != nil || len(extra) > 0 {
		return fmt.Errorf("%d bytes too many, %v", len(extra), err)
	}
	return nil
}

// abortUploads ends all unfinished multipart uploads.
func abortUploads(t *testing.T, c *s3, bucket string) {
	t.Helper()
	for {
		out, err := c.call("GET", bucket, "", "uploads=", nil)
		must(t, err)
		var list struct {
			Upload []struct{ Key, UploadId string }
		}
		must(t, xml.Unmarshal(out, &list))
		if len(list.Upload) == 0 {
			return
		}
		for _, u := range list.Upload {
			_, err := c.call("DELETE", bucket, u.Key, "uploadId="+url.QueryEscape(u.UploadId), nil)
			must(t, err)
		}
	}
}

// TestI6_SlowPut uploads over several passes of the collector.
func TestI6_SlowPut(t *testing.T) {
	t.Parallel()
	s := start(t, options{flags: []string{"--collect-after", "1m", "--scrub-every", "1s"}})
	c := s.client()
	must(t, c.makeBucket("slow"))
	body := content(8, 9<<20)
	sum := sha256.Sum256(body)
	r, w := io.Pipe()
	req, err := http.NewRequest("PUT", c.base+"/slow/k", r)
	must(t, err)
	req.ContentLength = int64(len(body))
	sigv4.Sign(req, c.cred, hex.EncodeToString(sum[:]), "us-east-1", time.Now())
	answer := make(chan error, 1)
	go func() { _, _, err := c.do(req); answer <- err }()
	for i := range 9 {
		if _, err := w.Write(body[i<<20 : (i+1)<<20]); err != nil {
			t.Fatalf("after %d MiB: %v", i, err)
		}
		if i%3 == 0 {
			_, err := s.sherd("scrub", "start", "--wait")
			must(t, err)
		}
	}
	w.Close()
	must(t, <-answer)
	_, err = s.sherd("scrub", "start", "--wait")
	must(t, err)
	got, err := c.get("slow", "k")
	must(t, err)
	if !bytes.Equal(got, body) {
		t.Error("the object differs")
	}
}
