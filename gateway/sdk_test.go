package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocred "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sherd-io/sherd/gateway/object"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// realParts makes the kit refuse small parts, as S3 does.
func realParts(_ *Options, o *object.Options) { o.PartBytesMin = object.PartBytesMin }

// The SDK's defaults: signed streaming or unsigned trailers with CRC32, response checksums checked.
func TestAWSSDK(t *testing.T) {
	k := newKit(t, realParts)
	ctx := context.Background()
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String(k.http.URL), Region: "eu-central-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(rootKey, rootSecret, ""),
	})
	bucket := aws.String("bucket")
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	check(t, err)
	for _, size := range []int{0, 1, 4096, 1 << 20} {
		body := text(size)
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("a b/ä+%2F"), Body: strings.NewReader(body), Metadata: map[string]string{"color": "blue"}})
		check(t, err)
		got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("a b/ä+%2F")})
		check(t, err)
		b, err := io.ReadAll(got.Body)
		check(t, err)
		if string(b) != body || got.Metadata["color"] != "blue" {
			t.Errorf("size %d: got %d bytes, %v", size, len(b), got.Metadata)
		}
	}
	for _, algorithm := range types.ChecksumAlgorithm("").Values() {
		if object.AlgorithmNamed(string(algorithm)) == noAlgorithm {
			t.Errorf("the SDK knows %s", algorithm)
		}
		if algorithm == types.ChecksumAlgorithmMd5 || strings.HasPrefix(string(algorithm), "XXHASH") {
			continue // the SDK leaves these to its user
		}
		_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("sum"), Body: strings.NewReader(text(10_000)), ChecksumAlgorithm: algorithm})
		check(t, err)
		got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("sum"), ChecksumMode: types.ChecksumModeEnabled})
		check(t, err)
		_, err = io.Copy(io.Discard, got.Body)
		check(t, err)
	}
	big := bytes.Repeat([]byte(text(1<<20)), 17)
	uploadInParts(t, c, "big", big, 5<<20)
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("big"), ChecksumMode: types.ChecksumModeEnabled})
	check(t, err)
	if b, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(b, big) {
		t.Errorf("multipart: %d bytes, %v", len(b), err)
	}
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String("bucket/big")})
	check(t, err)
	var keys []types.ObjectIdentifier
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		check(t, err)
		for _, o := range page.Contents {
			keys = append(keys, types.ObjectIdentifier{Key: o.Key})
		}
	}
	if len(keys) != 4 {
		t.Errorf("%d keys", len(keys))
	}
	out, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: keys}})
	check(t, err)
	if len(out.Errors) != 0 || len(out.Deleted) != 4 {
		t.Errorf("%v", out)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("big")})
	if missing := new(types.NotFound); !errors.As(err, &missing) {
		t.Errorf("head of an absent key: %v", err)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("big")})
	if missing := new(types.NoSuchKey); !errors.As(err, &missing) {
		t.Errorf("get of an absent key: %v", err)
	}
	presigned, err := s3.NewPresignClient(c).PresignPutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("presigned")}, s3.WithPresignExpires(time.Minute))
	check(t, err)
	req, _ := http.NewRequest(presigned.Method, presigned.URL, strings.NewReader("hello"))
	if a := k.send(req); a.code() != "200" {
		t.Errorf("presigned: %s", a.body)
	}
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	if err == nil || !strings.Contains(err.Error(), "BucketNotEmpty") {
		t.Errorf("delete of a full bucket: %v", err)
	}
}

// uploadInParts uploads as the SDK's managers do, with the checksums that it makes by default.
func uploadInParts(t *testing.T, c *s3.Client, key string, body []byte, size int) {
	t.Helper()
	ctx, bucket := context.Background(), aws.String("bucket")
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String(key), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	check(t, err)
	var parts []types.CompletedPart
	for n := int32(1); len(body) > 0; n++ {
		piece := body[:min(size, len(body))]
		body = body[len(piece):]
		out, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: aws.String(key), UploadId: up.UploadId, PartNumber: aws.Int32(n), Body: bytes.NewReader(piece), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		check(t, err)
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n), ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32})
	}
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: aws.String(key), UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	check(t, err)
}

func TestMinioSDK(t *testing.T) {
	k := newKit(t, realParts)
	ctx := context.Background()
	c, err := minio.New(strings.TrimPrefix(k.http.URL, "http://"), &minio.Options{Creds: miniocred.NewStaticV4(rootKey, rootSecret, "")})
	check(t, err)
	check(t, c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}))
	if ok, err := c.BucketExists(ctx, "bucket"); !ok || err != nil {
		t.Errorf("exists: %v %v", ok, err)
	}
	for _, size := range []int{0, 1, 4096, 1 << 20, 17 << 20} {
		body := strings.Repeat(text(min(size, 1<<20)), max(size>>20, 1))
		_, err = c.PutObject(ctx, "bucket", "dir/key", strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{ContentType: "a/b", PartSize: 5 << 20})
		check(t, err)
		o, err := c.GetObject(ctx, "bucket", "dir/key", minio.GetObjectOptions{})
		check(t, err)
		b, err := io.ReadAll(o)
		check(t, err)
		if string(b) != body {
			t.Errorf("size %d: got %d bytes", size, len(b))
		}
	}
	_, err = c.PutObject(ctx, "bucket", "stream", strings.NewReader(text(7<<20)), -1, minio.PutObjectOptions{PartSize: 5 << 20})
	check(t, err)
	info, err := c.StatObject(ctx, "bucket", "stream", minio.StatObjectOptions{Checksum: true})
	check(t, err)
	if info.Size != 7<<20 {
		t.Errorf("size %d", info.Size)
	}
	_, err = c.ComposeObject(ctx, minio.CopyDestOptions{Bucket: "bucket", Object: "composed"},
		minio.CopySrcOptions{Bucket: "bucket", Object: "dir/key"}, minio.CopySrcOptions{Bucket: "bucket", Object: "stream"})
	check(t, err)
	n := 0
	for o := range c.ListObjects(ctx, "bucket", minio.ListObjectsOptions{Recursive: true}) {
		check(t, o.Err)
		n++
	}
	if n != 3 {
		t.Errorf("%d keys", n)
	}
	for e := range c.RemoveObjects(ctx, "bucket", c.ListObjects(ctx, "bucket", minio.ListObjectsOptions{Recursive: true}), minio.RemoveObjectsOptions{}) {
		t.Error(e)
	}
	check(t, c.RemoveBucket(ctx, "bucket"))
}
