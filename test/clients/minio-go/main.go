// Command minio-go does what a program does with minio-go and its defaults. The contract is in ../doc.go. It is a module
// of its own, so that sherd's does not depend on it.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/tags"
)

const bucket = "minio-go"

// suite is one run. Its methods end the program at the first thing that is wrong.
type suite struct {
	*minio.Client
	ctx context.Context
	big []byte
}

func main() {
	log.SetFlags(log.Lshortfile)
	big, err := os.ReadFile(filepath.Join(os.Getenv("WORKDIR"), "big"))
	must(err)
	c, err := minio.New(strings.TrimPrefix(os.Getenv("ENDPOINT"), "http://"), &minio.Options{Creds: credentials.NewEnvAWS()})
	must(err)
	s := &suite{c, context.Background(), big}

	must(s.MakeBucket(s.ctx, bucket, minio.MakeBucketOptions{}))
	s.objects()
	s.files()
	s.copies()
	s.lists()
	s.links()
	s.form()
	s.tags()
	s.versions()
	s.lock()
	s.policy()
	s.attributes()
	s.removeAll(bucket, minio.ListObjectsOptions{Recursive: true})
	exists, err := s.BucketExists(s.ctx, bucket)
	must(err)
	want("the bucket is there still", !exists)
}

func must(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}

func want(what string, ok bool) {
	if !ok {
		log.Output(2, "FAIL: "+what)
		os.Exit(1)
	}
}

// refused wants err to be S3's with this code.
func refused(code string, err error) {
	if got := minio.ToErrorResponse(err).Code; got != code {
		log.Output(2, fmt.Sprintf("FAIL: %q (%v), not %s", got, err, code))
		os.Exit(1)
	}
}

func (s *suite) put(bucket, key string, body []byte, opt minio.PutObjectOptions) minio.UploadInfo {
	info, err := s.PutObject(s.ctx, bucket, key, bytes.NewReader(body), int64(len(body)), opt)
	must(err)
	return info
}

func (s *suite) read(bucket, key string, opt minio.GetObjectOptions) []byte {
	o, err := s.GetObject(s.ctx, bucket, key, opt)
	must(err)
	defer o.Close()
	body, err := io.ReadAll(o)
	must(err)
	return body
}

func (s *suite) objects() {
	for name, size := range map[string]int{"empty": 0, "a/ключ + 1": 300_000, "large": len(s.big)} {
		s.put(bucket, name, s.big[:size], minio.PutObjectOptions{ContentType: "text/x-test", UserMetadata: map[string]string{"Colour": "green"}})
		want(name, bytes.Equal(s.read(bucket, name, minio.GetObjectOptions{}), s.big[:size]))
		info, err := s.StatObject(s.ctx, bucket, name, minio.StatObjectOptions{})
		must(err)
		want("size, type, metadata", info.Size == int64(size) && info.ContentType == "text/x-test" && info.UserMetadata["Colour"] == "green")
	}
	_, err := s.PutObject(s.ctx, bucket, "unknown length", io.MultiReader(bytes.NewReader(s.big)), -1, minio.PutObjectOptions{PartSize: 8 << 20})
	must(err)
	want("unknown length", bytes.Equal(s.read(bucket, "unknown length", minio.GetObjectOptions{}), s.big))
	o, err := s.GetObject(s.ctx, bucket, "large", minio.GetObjectOptions{})
	must(err)
	defer o.Close()
	part := make([]byte, 1000)
	_, err = o.ReadAt(part, 20_000_000)
	must(err)
	want("ReadAt", bytes.Equal(part, s.big[20_000_000:20_001_000]))
	_, err = s.StatObject(s.ctx, bucket, "none", minio.StatObjectOptions{})
	refused("NoSuchKey", err)
	fmt.Println("objects: of all sizes, of unknown length, ReadAt, metadata")
}

func (s *suite) files() {
	file := filepath.Join(os.Getenv("WORKDIR"), "big")
	_, err := s.FPutObject(s.ctx, bucket, "file", file, minio.PutObjectOptions{NumThreads: 2, ConcurrentStreamParts: true})
	must(err)
	must(s.FGetObject(s.ctx, bucket, "file", "back", minio.GetObjectOptions{}))
	back, err := os.ReadFile("back")
	must(err)
	want("FGetObject", bytes.Equal(back, s.big))
	fmt.Println("files")
}

func (s *suite) copies() {
	_, err := s.CopyObject(s.ctx, minio.CopyDestOptions{Bucket: bucket, Object: "copy"}, minio.CopySrcOptions{Bucket: bucket, Object: "a/ключ + 1"})
	must(err)
	want("copy", bytes.Equal(s.read(bucket, "copy", minio.GetObjectOptions{}), s.big[:300_000]))
	_, err = s.ComposeObject(s.ctx, minio.CopyDestOptions{Bucket: bucket, Object: "composed"},
		minio.CopySrcOptions{Bucket: bucket, Object: "large"}, minio.CopySrcOptions{Bucket: bucket, Object: "copy"})
	must(err)
	want("composed", bytes.Equal(s.read(bucket, "composed", minio.GetObjectOptions{}), slices.Concat(s.big, s.big[:300_000])))
	fmt.Println("copy, compose")
}

func (s *suite) lists() {
	for _, old := range []bool{false, true} {
		var keys []string
		for o := range s.ListObjects(s.ctx, bucket, minio.ListObjectsOptions{Recursive: true, MaxKeys: 3, UseV1: old}) {
			must(o.Err)
			keys = append(keys, o.Key)
		}
		want("keys: "+strings.Join(keys, ", "), slices.Equal(keys, []string{"a/ключ + 1", "composed", "copy", "empty", "file", "large", "unknown length"}))
	}
	for u := range s.ListIncompleteUploads(s.ctx, bucket, "", true) {
		must(u.Err)
		want("an upload was left: "+u.Key, false)
	}
	fmt.Println("lists: both versions, uploads")
}

func (s *suite) links() {
	link, err := s.PresignedPutObject(s.ctx, bucket, "by link", time.Hour)
	must(err)
	status, _ := send(http.MethodPut, link, strings.NewReader("linked"), "")
	want("presigned PUT", status == http.StatusOK)
	link, err = s.PresignedGetObject(s.ctx, bucket, "by link", time.Hour, url.Values{"response-content-type": {"text/x-link"}})
	must(err)
	status, got := send(http.MethodGet, link, nil, "")
	want("presigned GET", status == http.StatusOK && got == "linked")
	status, _ = send(http.MethodDelete, link, nil, "")
	want("the wrong method", status == http.StatusForbidden)
	fmt.Println("presigned URLs")
}

// send makes a request without credentials and returns status and body.
func send(method string, u *url.URL, body io.Reader, contentType string) (int, string) {
	req, err := http.NewRequest(method, u.String(), body)
	must(err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(err)
	return res.StatusCode, string(text)
}

func (s *suite) form() {
	policy := minio.NewPostPolicy()
	must(policy.SetBucket(bucket))
	must(policy.SetKey("form"))
	must(policy.SetExpires(time.Now().Add(time.Hour)))
	must(policy.SetContentLengthRange(1, 100))
	link, fields, err := s.PresignedPostPolicy(s.ctx, policy)
	must(err)
	post := func(body string) int {
		var text bytes.Buffer
		form := multipart.NewWriter(&text)
		for name, value := range fields {
			must(form.WriteField(name, value))
		}
		file, err := form.CreateFormFile("file", "name")
		must(err)
		_, err = io.WriteString(file, body)
		must(err)
		must(form.Close())
		status, _ := send(http.MethodPost, link, &text, form.FormDataContentType())
		return status
	}
	want("POST", post("by a form") == http.StatusNoContent)
	want("its object", string(s.read(bucket, "form", minio.GetObjectOptions{})) == "by a form")
	want("too long", post(strings.Repeat("x", 101)) == http.StatusBadRequest)
	fmt.Println("presigned POST")
}

func (s *suite) tags() {
	t, err := tags.NewTags(map[string]string{"a": "1", "b": "two words"}, true)
	must(err)
	must(s.PutObjectTagging(s.ctx, bucket, "copy", t, minio.PutObjectTaggingOptions{}))
	got, err := s.GetObjectTagging(s.ctx, bucket, "copy", minio.GetObjectTaggingOptions{})
	must(err)
	want("tags", got.ToMap()["b"] == "two words")
	must(s.RemoveObjectTagging(s.ctx, bucket, "copy", minio.RemoveObjectTaggingOptions{}))
	t, err = tags.NewTags(map[string]string{"team": "blue"}, false)
	must(err)
	must(s.SetBucketTagging(s.ctx, bucket, t))
	must(s.RemoveBucketTagging(s.ctx, bucket))
	_, err = s.GetBucketTagging(s.ctx, bucket)
	refused("NoSuchTagSet", err)
	fmt.Println("tags")
}

func (s *suite) versions() {
	const bucket = "minio-go-versions"
	must(s.MakeBucket(s.ctx, bucket, minio.MakeBucketOptions{}))
	must(s.EnableVersioning(s.ctx, bucket))
	old := s.put(bucket, "k", []byte("old"), minio.PutObjectOptions{})
	s.put(bucket, "k", []byte("new"), minio.PutObjectOptions{})
	must(s.RemoveObject(s.ctx, bucket, "k", minio.RemoveObjectOptions{}))
	want("an old version", string(s.read(bucket, "k", minio.GetObjectOptions{VersionID: old.VersionID})) == "old")
	all := 0
	for o := range s.ListObjects(s.ctx, bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		must(o.Err)
		all++
	}
	want("two versions and a marker", all == 3)
	t, err := tags.NewTags(map[string]string{"of": "the old"}, true)
	must(err)
	must(s.PutObjectTagging(s.ctx, bucket, "k", t, minio.PutObjectTaggingOptions{VersionID: old.VersionID}))
	_, err = s.CopyObject(s.ctx, minio.CopyDestOptions{Bucket: bucket, Object: "k"}, minio.CopySrcOptions{Bucket: bucket, Object: "k", VersionID: old.VersionID})
	must(err)
	want("the old version restored", string(s.read(bucket, "k", minio.GetObjectOptions{})) == "old")
	got, err := s.GetObjectTagging(s.ctx, bucket, "k", minio.GetObjectTaggingOptions{})
	must(err)
	want("its tags", got.ToMap()["of"] == "the old")
	s.removeAll(bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true})
	fmt.Println("versions: an old one read, tagged and restored; markers")
}

func (s *suite) lock() {
	const bucket = "minio-go-locks"
	must(s.MakeBucket(s.ctx, bucket, minio.MakeBucketOptions{ObjectLocking: true}))
	info := s.put(bucket, "k", []byte("locked"), minio.PutObjectOptions{
		Mode: minio.Governance, RetainUntilDate: time.Now().Add(time.Hour), SendContentMd5: true, // which S3 wants for what is locked
	})
	mode, _, err := s.GetObjectRetention(s.ctx, bucket, "k", "")
	must(err)
	want("governance", mode != nil && *mode == minio.Governance)
	refused("AccessDenied", s.RemoveObject(s.ctx, bucket, "k", minio.RemoveObjectOptions{VersionID: info.VersionID}))
	must(s.RemoveObject(s.ctx, bucket, "k", minio.RemoveObjectOptions{VersionID: info.VersionID, GovernanceBypass: true}))

	governance, days, unit := minio.Governance, uint(1), minio.Days
	must(s.SetObjectLockConfig(s.ctx, bucket, &governance, &days, &unit))
	_, mode, validity, _, err := s.GetObjectLockConfig(s.ctx, bucket)
	must(err)
	want("the default retention", mode != nil && *mode == governance && validity != nil && *validity == days)
	info = s.put(bucket, "k", s.big, minio.PutObjectOptions{LegalHold: minio.LegalHoldEnabled}) // in parts
	held, err := s.GetObjectLegalHold(s.ctx, bucket, "k", minio.GetObjectLegalHoldOptions{VersionID: info.VersionID})
	must(err)
	want("a legal hold", held != nil && *held == minio.LegalHoldEnabled)
	refused("AccessDenied", s.RemoveObject(s.ctx, bucket, "k", minio.RemoveObjectOptions{VersionID: info.VersionID, GovernanceBypass: true}))
	released, soon := minio.LegalHoldDisabled, time.Now().Add(time.Minute)
	must(s.PutObjectLegalHold(s.ctx, bucket, "k", minio.PutObjectLegalHoldOptions{VersionID: info.VersionID, Status: &released}))
	shorter := minio.PutObjectRetentionOptions{VersionID: info.VersionID, Mode: &governance, RetainUntilDate: &soon}
	refused("AccessDenied", s.PutObjectRetention(s.ctx, bucket, "k", shorter))
	shorter.GovernanceBypass = true
	must(s.PutObjectRetention(s.ctx, bucket, "k", shorter))
	must(s.RemoveObject(s.ctx, bucket, "k", minio.RemoveObjectOptions{VersionID: info.VersionID, GovernanceBypass: true}))
	must(s.RemoveBucket(s.ctx, bucket))
	fmt.Println("object lock: governance, default retention, legal hold, bypass")
}

func (s *suite) policy() {
	const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::minio-go/closed/*"]}]}`
	must(s.SetBucketPolicy(s.ctx, bucket, document))
	got, err := s.GetBucketPolicy(s.ctx, bucket)
	must(err)
	want("the policy", got == document)
	must(s.SetBucketPolicy(s.ctx, bucket, ""))
	fmt.Println("policy")
}

func (s *suite) attributes() {
	got, err := s.GetObjectAttributes(s.ctx, bucket, "large", minio.ObjectAttributesOptions{})
	must(err)
	want("attributes", got.ObjectSize == len(s.big))
	fmt.Println("attributes")
}

// removeAll removes what opt lists and the bucket.
func (s *suite) removeAll(bucket string, opt minio.ListObjectsOptions) {
	for e := range s.RemoveObjects(s.ctx, bucket, s.ListObjects(s.ctx, bucket, opt), minio.RemoveObjectsOptions{}) {
		must(e.Err)
	}
	must(s.RemoveBucket(s.ctx, bucket))
}
