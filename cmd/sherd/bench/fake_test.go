package bench

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var testCredentials = Credentials{AccessKey: "AKTEST", SecretKey: "secret/with+signs"}

// fakeS3 is as much of S3 as the load generator speaks, kept in memory. It checks every signature with the
// AWS SDK's own signer.
type fakeS3 struct {
	t  *testing.T
	mu sync.Mutex
	// objects by bucket/key
	objects map[string][]byte
	buckets map[string]bool
	uploads map[string]map[int][]byte
	spoil   func(r *http.Request, body []byte) []byte // what GET answers; nil: as stored
}

func startFake(t *testing.T) (*fakeS3, string) {
	f := &fakeS3{t: t, objects: map[string][]byte{}, buckets: map[string]bool{}, uploads: map[string]map[int][]byte{}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return f, srv.URL
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if code := f.authenticate(r, body); code != "" {
		fail(w, 403, code)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	bucket, key, _ := strings.Cut(path, "/")
	q := r.URL.Query()
	switch {
	case key == "" && r.Method == "PUT":
		if f.buckets[bucket] {
			fail(w, 409, "BucketAlreadyOwnedByYou")
		}
		f.buckets[bucket] = true
	case key == "" && r.Method == "DELETE":
		delete(f.buckets, bucket)
		w.WriteHeader(204)
	case key == "" && r.Method == "GET":
		f.list(w, bucket, q.Get("prefix"), q.Get("continuation-token"))
	case key == "" && q.Has("delete"):
		var d struct {
			Object []struct{ Key string }
		}
		if err := xml.Unmarshal(body, &d); err != nil {
			fail(w, 400, "MalformedXML")
			return
		}
		for _, o := range d.Object {
			delete(f.objects, bucket+"/"+o.Key)
		}
		io.WriteString(w, "<DeleteResult></DeleteResult>")
	case q.Has("uploads"):
		id := "up+load/" + strconv.Itoa(len(f.uploads))
		f.uploads[id] = map[int][]byte{}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case q.Has("partNumber"):
		n, _ := strconv.Atoi(q.Get("partNumber"))
		f.uploads[q.Get("uploadId")][n] = body
		w.Header().Set("ETag", etag(body))
	case q.Has("uploadId"):
		parts := f.uploads[q.Get("uploadId")]
		var whole []byte
		for n := 1; n <= len(parts); n++ {
			whole = append(whole, parts[n]...)
		}
		f.objects[path] = whole
		io.WriteString(w, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
	default:
		f.object(w, r, path, body)
	}
}

func (f *fakeS3) object(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	switch r.Method {
	case "PUT":
		f.objects[path] = body
		w.Header().Set("ETag", etag(body))
	case "DELETE":
		delete(f.objects, path)
		w.WriteHeader(204)
	default:
		b, ok := f.objects[path]
		if !ok {
			fail(w, 404, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(b))
		if f.spoil != nil {
			b = f.spoil(r, slices.Clone(b))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		if r.Method == "GET" {
			w.Write(b)
		}
	}
}

func (f *fakeS3) list(w http.ResponseWriter, bucket, prefix, after string) {
	var keys []string
	for k := range f.objects {
		if k, ok := strings.CutPrefix(k, bucket+"/"); ok && strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	more := len(keys) > pageKeys
	if more {
		keys = keys[:pageKeys]
	}
	fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%v</IsTruncated>", more)
	for _, k := range keys {
		fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>1</Size></Contents>", k)
	}
	if more {
		fmt.Fprintf(w, "<NextContinuationToken>%s</NextContinuationToken>", keys[len(keys)-1])
	}
	io.WriteString(w, "</ListBucketResult>")
}

// authenticate signs the request again with the SDK and compares.
func (f *fakeS3) authenticate(r *http.Request, body []byte) string {
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if sum := sha256.Sum256(body); payload != UnsignedPayload && payload != hex.EncodeToString(sum[:]) {
		return "XAmzContentSHA256Mismatch"
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "AccessDenied"
	}
	again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.RequestURI, nil)
	for name, v := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && name != "X-Amz-Date" {
			again.Header[name] = v
		}
	}
	cred := aws.Credentials{AccessKeyID: testCredentials.AccessKey, SecretAccessKey: testCredentials.SecretKey}
	err = v4.NewSigner().SignHTTP(context.Background(), cred, again, payload, "s3", "us-east-1", at, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		f.t.Errorf("%s %s: signed\n%s\nwant\n%s", r.Method, r.RequestURI, r.Header.Get("Authorization"), again.Header.Get("Authorization"))
		return "SignatureDoesNotMatch"
	}
	return ""
}

func etag(b []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(b))) }

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}
