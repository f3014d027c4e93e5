// Command aws-sdk-go does what a program does with aws-sdk-go-v2 and its defaults. The contract is in ../doc.go. It is a
// module of its own, so that sherd's does not depend on it.
package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// suite is one run. Its methods end the program at the first thing that is wrong.
type suite struct {
	*s3.Client
	ctx    context.Context
	bucket *string
	big    []byte
	small  []byte
}

func main() {
	log.SetFlags(log.Lshortfile)
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	must(err)
	big, err := os.ReadFile(filepath.Join(os.Getenv("WORKDIR"), "big"))
	must(err)
	s := &suite{s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(os.Getenv("ENDPOINT"))
		o.UsePathStyle = true
	}), ctx, aws.String("aws-sdk-go"), big, big[:300_000]}
	fmt.Println("aws-sdk-go-v2", aws.SDKVersion)

	_, err = s.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: s.bucket})
	must(err)
	s.objects()
	s.checksums()
	s.transfers()
	s.lists()
	s.links()
	s.tags()
	s.attributes()
	s.versions()
	s.removeAll()
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
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		log.Output(2, fmt.Sprintf("FAIL: %v, not %s", err, code))
		os.Exit(1)
	}
}

func (s *suite) put(in *s3.PutObjectInput) *s3.PutObjectOutput {
	in.Bucket = s.bucket
	out, err := s.PutObject(s.ctx, in)
	must(err)
	return out
}

// read returns an object's bytes; where they have a checksum, the SDK checks it.
func (s *suite) read(in *s3.GetObjectInput) []byte {
	if in.Bucket == nil {
		in.Bucket = s.bucket
	}
	out, err := s.GetObject(s.ctx, in)
	must(err)
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	must(err)
	return body
}

func (s *suite) objects() {
	key := aws.String("a/ключ + 1")
	out := s.put(&s3.PutObjectInput{Key: key, Body: bytes.NewReader(s.small), ContentType: aws.String("text/x-test"), Metadata: map[string]string{"colour": "green"}})
	want("ETag", aws.ToString(out.ETag) == fmt.Sprintf(`"%x"`, md5.Sum(s.small)))
	want("the default checksum is not answered", out.ChecksumCRC32 != nil)
	head, err := s.HeadObject(s.ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: key})
	must(err)
	want("type and metadata", aws.ToString(head.ContentType) == "text/x-test" && head.Metadata["colour"] == "green")
	want("bytes", bytes.Equal(s.read(&s3.GetObjectInput{Key: key}), s.small))
	want("range", bytes.Equal(s.read(&s3.GetObjectInput{Key: key, Range: aws.String("bytes=1000-1999")}), s.small[1000:2000]))
	s.put(&s3.PutObjectInput{Key: aws.String("empty")})
	want("empty", len(s.read(&s3.GetObjectInput{Key: aws.String("empty")})) == 0)
	_, err = s.CopyObject(s.ctx, &s3.CopyObjectInput{Bucket: s.bucket, Key: aws.String("copy"), CopySource: aws.String("aws-sdk-go/a/%D0%BA%D0%BB%D1%8E%D1%87%20%2B%201")})
	must(err)
	want("copy", bytes.Equal(s.read(&s3.GetObjectInput{Key: aws.String("copy")}), s.small))
	_, err = s.GetObject(s.ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: aws.String("none")})
	refused("NoSuchKey", err)
	_, err = s.PutObject(s.ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: aws.String("copy"), IfNoneMatch: aws.String("*")})
	refused("PreconditionFailed", err)
	_, err = s.CreateBucket(s.ctx, &s3.CreateBucketInput{Bucket: aws.String("Not_A_Bucket")})
	refused("InvalidBucketName", err)
	fmt.Println("objects: put, get, ranges, copy, conditions, errors")
}

func (s *suite) checksums() {
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		key := aws.String("sum/" + string(algorithm))
		s.put(&s3.PutObjectInput{Key: key, Body: bytes.NewReader(s.small), ChecksumAlgorithm: algorithm})
		want(string(algorithm), bytes.Equal(s.read(&s3.GetObjectInput{Key: key}), s.small))
	}
	_, err := s.PutObject(s.ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: aws.String("sum/wrong"), Body: bytes.NewReader(s.small), ChecksumCRC32: aws.String("AAAAAA==")})
	refused("BadDigest", err)
	fmt.Println("checksums: all five, and a wrong one")
}

func (s *suite) transfers() {
	key := aws.String("large")
	up := manager.NewUploader(s.Client)
	out, err := up.Upload(s.ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(s.big)})
	must(err)
	parts := (len(s.big) + int(manager.DefaultUploadPartSize) - 1) / int(manager.DefaultUploadPartSize)
	want("parts", len(out.CompletedParts) == parts && strings.HasSuffix(aws.ToString(out.ETag), fmt.Sprintf(`-%d"`, parts)))
	back := manager.NewWriteAtBuffer(nil)
	_, err = manager.NewDownloader(s.Client).Download(s.ctx, back, &s3.GetObjectInput{Bucket: s.bucket, Key: key})
	must(err)
	want("download in parts", bytes.Equal(back.Bytes(), s.big))
	// A body of unknown length.
	_, err = up.Upload(s.ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: aws.String("stream"), Body: io.MultiReader(bytes.NewReader(s.big))})
	must(err)
	want("stream", bytes.Equal(s.read(&s3.GetObjectInput{Key: aws.String("stream")}), s.big))
	fmt.Println("manager: uploads and downloads in parts, of unknown length")
}

func (s *suite) lists() {
	var keys []string
	for i := range 25 {
		keys = append(keys, fmt.Sprintf("list/%03d", i))
		s.put(&s3.PutObjectInput{Key: &keys[i], Body: strings.NewReader(keys[i])})
	}
	var listed []string
	for p := s3.NewListObjectsV2Paginator(s.Client, &s3.ListObjectsV2Input{Bucket: s.bucket, Prefix: aws.String("list/"), MaxKeys: aws.Int32(10)}); p.HasMorePages(); {
		page, err := p.NextPage(s.ctx)
		must(err)
		for _, o := range page.Contents {
			listed = append(listed, *o.Key)
		}
	}
	want("keys", slices.Equal(listed, keys))
	page, err := s.ListObjectsV2(s.ctx, &s3.ListObjectsV2Input{Bucket: s.bucket, Delimiter: aws.String("/")})
	must(err)
	want("prefixes", len(page.CommonPrefixes) == 3)
	fmt.Println("lists: paginator, prefixes")
}

func (s *suite) links() {
	p, key := s3.NewPresignClient(s.Client), aws.String("by link")
	link, err := p.PresignPutObject(s.ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: key})
	must(err)
	want("presigned PUT", send(http.MethodPut, link.URL, "linked") == http.StatusOK)
	link, err = p.PresignGetObject(s.ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: key})
	must(err)
	want("presigned GET", send(http.MethodGet, link.URL, "") == http.StatusOK)
	want("the wrong method", send(http.MethodDelete, link.URL, "") == http.StatusForbidden)
	want("what was put", string(s.read(&s3.GetObjectInput{Key: key})) == "linked")
	fmt.Println("presigned URLs")
}

// send makes a request without credentials and returns the status.
func send(method, url, body string) int {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	must(err)
	res, err := http.DefaultClient.Do(req)
	must(err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	must(err)
	return res.StatusCode
}

func (s *suite) tags() {
	key := aws.String("tagged")
	s.put(&s3.PutObjectInput{Key: key, Tagging: aws.String("a=1&b=two%20words")})
	got, err := s.GetObjectTagging(s.ctx, &s3.GetObjectTaggingInput{Bucket: s.bucket, Key: key})
	must(err)
	want("tags", len(got.TagSet) == 2 && *got.TagSet[1].Value == "two words")
	_, err = s.PutObjectTagging(s.ctx, &s3.PutObjectTaggingInput{Bucket: s.bucket, Key: key, Tagging: &types.Tagging{TagSet: got.TagSet[:1]}})
	must(err)
	out, err := s.GetObject(s.ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: key})
	must(err)
	out.Body.Close()
	want("TagCount", aws.ToInt32(out.TagCount) == 1)
	fmt.Println("tags")
}

func (s *suite) attributes() {
	got, err := s.GetObjectAttributes(s.ctx, &s3.GetObjectAttributesInput{Bucket: s.bucket, Key: aws.String("large"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectParts, types.ObjectAttributesObjectSize, types.ObjectAttributesChecksum}})
	must(err)
	want("ObjectSize", aws.ToInt64(got.ObjectSize) == int64(len(s.big)))
	want("ObjectParts", got.ObjectParts != nil && len(got.ObjectParts.Parts) == int(aws.ToInt32(got.ObjectParts.TotalPartsCount)))
	fmt.Println("attributes")
}

func (s *suite) versions() {
	bucket, key := aws.String("aws-sdk-go-versions"), aws.String("k")
	_, err := s.CreateBucket(s.ctx, &s3.CreateBucketInput{Bucket: bucket})
	must(err)
	_, err = s.PutBucketVersioning(s.ctx, &s3.PutBucketVersioningInput{Bucket: bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	must(err)
	for _, body := range []string{"0", "1", "2"} {
		out, err := s.PutObject(s.ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(body)})
		must(err)
		want("an old version", string(s.read(&s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: out.VersionId})) == body)
	}
	_, err = s.DeleteObject(s.ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	must(err)
	var all []types.ObjectIdentifier
	for p := s3.NewListObjectVersionsPaginator(s.Client, &s3.ListObjectVersionsInput{Bucket: bucket, MaxKeys: aws.Int32(2)}); p.HasMorePages(); {
		page, err := p.NextPage(s.ctx)
		must(err)
		for _, v := range page.Versions {
			all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, v := range page.DeleteMarkers {
			all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
	}
	want("three versions and a marker", len(all) == 4)
	_, err = s.DeleteObjects(s.ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: all}})
	must(err)
	_, err = s.DeleteBucket(s.ctx, &s3.DeleteBucketInput{Bucket: bucket})
	must(err)
	fmt.Println("versions")
}

func (s *suite) removeAll() {
	for p := s3.NewListObjectsV2Paginator(s.Client, &s3.ListObjectsV2Input{Bucket: s.bucket}); p.HasMorePages(); {
		page, err := p.NextPage(s.ctx)
		must(err)
		var keys []types.ObjectIdentifier
		for _, o := range page.Contents {
			keys = append(keys, types.ObjectIdentifier{Key: o.Key})
		}
		out, err := s.DeleteObjects(s.ctx, &s3.DeleteObjectsInput{Bucket: s.bucket, Delete: &types.Delete{Objects: keys}})
		must(err)
		want("DeleteObjects", len(out.Errors) == 0)
	}
	_, err := s.DeleteBucket(s.ctx, &s3.DeleteBucketInput{Bucket: s.bucket})
	must(err)
	_, err = s.HeadBucket(s.ctx, &s3.HeadBucketInput{Bucket: s.bucket})
	refused("NotFound", err)
}
