package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// TestAttributes: source GetObjectAttributes.
func TestAttributes(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.versioning("bucket", "Enabled")
	id := k.put("/bucket/k", "0123456789").version()
	marker := k.want("204", call{method: "DELETE", path: "/bucket/k"}).version()
	upload := between(string(k.want("200", call{method: "POST", path: "/bucket/mp?uploads", header: pairs([]string{"X-Amz-Checksum-Algorithm", "SHA256"})}).body), "<UploadId>", "</UploadId>")
	parts := "<CompleteMultipartUpload>"
	for n := 1; n <= 3; n++ {
		body := []byte(text(1<<10 + n))
		sum := sha256.Sum256(body)
		given := pairs([]string{"X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:])})
		a := k.want("200", call{method: "PUT", path: fmt.Sprintf("/bucket/mp?partNumber=%d&uploadId=%s", 2*n, upload), body: body, header: given})
		parts += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><ChecksumSHA256>%s</ChecksumSHA256></Part>", 2*n, a.header.Get("ETag"), a.header.Get("x-amz-checksum-sha256"))
	}
	k.want("200", call{method: "POST", path: "/bucket/mp?uploadId=" + upload, body: []byte(parts + "</CompleteMultipartUpload>")})
	k.put("/bucket/r", "body", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY", "X-Amz-Checksum-Crc32", "26gLsg==")
	for _, c := range []struct {
		code, path, asked string
		more              []string
		answer            []string
	}{
		{"200", "k?attributes&versionId=" + id, "ETag,ObjectSize, StorageClass", nil, []string{"<ETag>781e5e245d69b566979b86e28d23f2c7</ETag>", "<ObjectSize>10</ObjectSize>", "<StorageClass>STANDARD</StorageClass>"}},
		{"200", "mp?attributes", "ObjectParts", nil, []string{"<PartsCount>3</PartsCount>", "<IsTruncated>false</IsTruncated>", "<PartNumber>3</PartNumber><Size>1027</Size>", "<ChecksumSHA256>"}},
		{"200", "mp?attributes", "ObjectParts", []string{"X-Amz-Max-Parts", "1", "X-Amz-Part-Number-Marker", "1"}, []string{"<IsTruncated>true</IsTruncated>", "<NextPartNumberMarker>2</NextPartNumberMarker>", "<PartNumber>2</PartNumber>"}},
		{"200", "mp?attributes", "ObjectParts", []string{"X-Amz-Part-Number-Marker", "3"}, []string{"<IsTruncated>false</IsTruncated>"}},
		{"200", "mp?attributes", "ObjectParts", []string{"X-Amz-Max-Parts", "2000"}, []string{"<MaxParts>2000</MaxParts>"}},
		{"200", "r?attributes", "StorageClass,Checksum", nil, []string{"<StorageClass>REDUCED_REDUNDANCY</StorageClass>", "<Checksum><ChecksumCRC32>26gLsg==</ChecksumCRC32>"}},
		{"200", "mp?attributes", "Checksum", nil, []string{"=</ChecksumSHA256><ChecksumType>COMPOSITE</ChecksumType>"}}, // no "-3"
		{"NoSuchKey", "k?attributes", "ETag", nil, nil},
		{"MethodNotAllowed", "k?attributes&versionId=" + marker, "ETag", nil, nil},
		{"InvalidArgument", "k?attributes&versionId=x", "ETag", nil, nil},
		{"InvalidArgument", "mp?attributes", "Colour", nil, nil},
		{"InvalidArgument", "mp?attributes", "ObjectParts", []string{"X-Amz-Max-Parts", "-1"}, nil},
		{"InvalidArgument", "k?attributes&versionId=" + id, "ObjectParts", []string{"X-Amz-Max-Parts", "-1"}, nil},
		{"InvalidRequest", "mp?attributes", "", nil, nil},
	} {
		a := k.want(c.code, call{method: "GET", path: "/bucket/" + c.path, header: pairs(append(c.more, "X-Amz-Object-Attributes", c.asked))})
		for _, part := range c.answer {
			if !strings.Contains(string(a.body), part) {
				t.Errorf("%s %s: no %s in %s", c.path, c.asked, part, a.body)
			}
		}
		if c.code != "200" {
			continue
		}
		of := k.want("200", call{method: "HEAD", path: "/bucket/" + strings.Replace(c.path, "attributes", "", 1)})
		if a.version() != of.version() || a.header.Get("Last-Modified") != of.header.Get("Last-Modified") {
			t.Errorf("%s: %v, of an object with %v", c.path, a.header, of.header)
		}
	}
}

// countedRecords counts the reads of parts.
type countedRecords struct {
	*records
	extents int
}

func (c *countedRecords) Extents(ctx context.Context, bucket ids.Bucket, key string, ts hlc.Stamp, off int64, max int) ([]*metapb.Extent, error) {
	c.extents++
	return c.records.Extents(ctx, bucket, key, ts, off, max)
}

// TestAttributesAskedForAgain: an attribute that is asked for a thousand times is looked up once.
func TestAttributesAskedForAgain(t *testing.T) {
	counted := new(countedRecords)
	k := newKit(t, func(_ *Options, o *object.Options) {
		counted.records = o.Records.(*records)
		o.Records = counted
	})
	k.makeBucket("bucket")
	sum := sha256.Sum256([]byte("body"))
	digest := base64.StdEncoding.EncodeToString(sum[:])
	id := k.upload("/bucket/k", "X-Amz-Checksum-Algorithm", "SHA256")
	doc := completeDoc(1, k.part("/bucket/k", id, 1, "body", "X-Amz-Checksum-Sha256", digest))
	k.complete("200", "/bucket/k", id, []byte(strings.ReplaceAll(string(doc), "</ETag>", "</ETag><ChecksumSHA256>"+digest+"</ChecksumSHA256>")))
	ask := func(attributes string) string {
		return string(k.want("200", call{method: "GET", path: "/bucket/k?attributes", header: pairs([]string{"X-Amz-Object-Attributes", attributes})}).body)
	}
	once := ask("ObjectParts")
	reads := counted.extents
	if again := ask(strings.Repeat("ObjectParts,", 1000) + "ObjectParts"); again != once || counted.extents != 2*reads || reads == 0 {
		t.Errorf("%d reads at first, then %d: %s", reads, counted.extents-reads, again)
	}
}
