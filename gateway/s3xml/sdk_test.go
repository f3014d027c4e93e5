package s3xml

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// canned answers every request with one document.
type canned struct {
	status int
	doc    []byte
}

func (c canned) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(string(c.doc)))}, nil
}

// client is aws-sdk-go-v2's, which gets the answer of that name.
func client(name string, status int) *s3.Client {
	doc := []byte(strings.ReplaceAll(string(answers[name](nil)), "&#x1;", ""))
	return s3.New(s3.Options{Region: "us-east-1", HTTPClient: canned{status, doc}, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		})})
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

var readableKey = strings.ReplaceAll(awkwardKey, "\x01", "")

// TestSDKLists lets aws-sdk-go-v2 read the lists.
func TestSDKLists(t *testing.T) {
	b := aws.String("bucket")
	v2 := must(client("API_ListObjectsV2", 200).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: b}))(t)
	same(t, "truncated", *v2.IsTruncated, true)
	same(t, "next", *v2.NextContinuationToken, "dG9r")
	same(t, "count", *v2.KeyCount, 3)
	same(t, "prefix", *v2.CommonPrefixes[0].Prefix, "N/")
	o := v2.Contents[1]
	same(t, "key", *o.Key, readableKey)
	same(t, "etag", *o.ETag, multi.String())
	same(t, "size", *o.Size, 1<<40)
	same(t, "class", o.StorageClass, types.ObjectStorageClassStandardIa)
	same(t, "algorithm", o.ChecksumAlgorithm[0], types.ChecksumAlgorithmCrc64nvme)
	same(t, "type", o.ChecksumType, types.ChecksumTypeFullObject)
	same(t, "modified", o.LastModified.UnixMilli(), when.UnixMilli())
	same(t, "owner", *v2.Contents[0].Owner.ID, owner.ID)

	v1 := must(client("API_ListObjects", 200).ListObjects(t.Context(), &s3.ListObjectsInput{Bucket: b}))(t)
	same(t, "marker", *v1.NextMarker, "my-image.jpg")
	buckets := must(client("API_ListBuckets", 200).ListBuckets(t.Context(), nil))(t)
	same(t, "bucket", *buckets.Buckets[1].Name, "samples")
	same(t, "region", *buckets.Buckets[1].BucketRegion, "eu-west-1")
	same(t, "token", *buckets.ContinuationToken, "next")
	loc := must(client("API_GetBucketLocation", 200).GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: b}))(t)
	same(t, "location", loc.LocationConstraint, types.BucketLocationConstraintEuWest1)
}

// TestSDKMultipart lets aws-sdk-go-v2 read what belongs to multipart uploads and copies.
func TestSDKMultipart(t *testing.T) {
	b, k := aws.String("bucket"), aws.String("key")
	created := must(client("API_CreateMultipartUpload", 200).CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: b, Key: k}))(t)
	same(t, "key", *created.Key, readableKey)
	uploads := must(client("API_ListMultipartUploads", 200).ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: b}))(t)
	same(t, "upload", *uploads.Uploads[0].Key, "my divisor")
	same(t, "initiator", *uploads.Uploads[0].Initiator.ID, owner.ID)
	parts := must(client("API_ListParts", 200).ListParts(t.Context(), &s3.ListPartsInput{Bucket: b, Key: k, UploadId: k}))(t)
	same(t, "next", *parts.NextPartNumberMarker, "3")
	same(t, "part", *parts.Parts[1].PartNumber, 3)
	same(t, "checksum", *parts.Parts[1].ChecksumSHA256, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	done := must(client("API_CompleteMultipartUpload", 200).CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: b, Key: k, UploadId: k}))(t)
	same(t, "etag", *done.ETag, multi.String())
	same(t, "type", done.ChecksumType, types.ChecksumTypeComposite)
	object := must(client("API_CopyObject", 200).CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: b, Key: k, CopySource: k}))(t)
	same(t, "etag", *object.CopyObjectResult.ETag, tag.String())
	part := must(client("API_UploadPartCopy", 200).UploadPartCopy(t.Context(),
		&s3.UploadPartCopyInput{Bucket: b, Key: k, CopySource: k, UploadId: k, PartNumber: aws.Int32(1)}))(t)
	same(t, "modified", part.CopyPartResult.LastModified.UnixMilli(), when.UnixMilli())
}

// TestSDKDelete lets aws-sdk-go-v2 read DeleteObjects' answer and an error's.
func TestSDKDelete(t *testing.T) {
	b := aws.String("bucket")
	in := &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: b}}}}
	out := must(client("API_DeleteObjects", 200).DeleteObjects(t.Context(), in))(t)
	same(t, "deleted", *out.Deleted[1].DeleteMarkerVersionId, "v2")
	same(t, "error", *out.Errors[0].Code, "AccessDenied")

	_, err := client("ErrorResponses", 403).DeleteObjects(t.Context(), in)
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatal(err)
	}
	same(t, "code", api.ErrorCode(), "SignatureDoesNotMatch")
	same(t, "message", api.ErrorMessage(), "The request signature <we> calculated")
}

// TestSDKRequests reads what aws-sdk-go-v2 sends.
func TestSDKRequests(t *testing.T) {
	b := aws.String("bucket")
	var sent io.Reader
	c := s3.New(s3.Options{Region: "us-east-1", Retryer: aws.NopRetryer{}, HTTPClient: capture{&sent},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		})})
	_, _ = c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: b,
		Delete: &types.Delete{Quiet: aws.Bool(true), Objects: []types.ObjectIdentifier{{Key: aws.String(readableKey), VersionId: b}}}})
	d := must(ReadDelete(sent))(t)
	same(t, "quiet", d.Quiet, true)
	same(t, "object", d.Objects[0], DeleteObject{Key: readableKey, VersionID: "bucket"})

	_, _ = c.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: b, Key: b, UploadId: b, MultipartUpload: &types.CompletedMultipartUpload{
		Parts: []types.CompletedPart{{PartNumber: aws.Int32(7), ETag: aws.String(tag.String()), ChecksumCRC32: aws.String("AAAAAA==")}}}})
	parts := must(ReadComplete(sent))(t)
	same(t, "part", parts[0], CompletedPart{Number: 7, ETag: tag.String(), Checksums: Checksums{CRC32: "AAAAAA=="}})

	_, _ = c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: b, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}})
	same(t, "location", must(ReadBucketConfig(sent))(t).Location, "eu-west-1")
}

// capture keeps the body of the last request.
type capture struct{ into *io.Reader }

func (c capture) Do(r *http.Request) (*http.Response, error) {
	doc, err := io.ReadAll(r.Body)
	*c.into = strings.NewReader(string(doc))
	return &http.Response{StatusCode: 400, Header: http.Header{}, Request: r, Body: http.NoBody}, err
}
