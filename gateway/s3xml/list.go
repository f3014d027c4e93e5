package s3xml

import (
	"strconv"
	"time"
)

// ListHead is what an answer of ListObjects or ListObjectsV2 says ahead of its entries. Names are raw; URL
// says whether the client asked for encoding-type=url, and is given again with each entry.
type ListHead struct {
	Bucket, Prefix, Delimiter string
	URL                       bool
	MaxKeys                   int
	Truncated                 bool

	Marker, NextMarker string // V1; NextMarker only if truncated (S3: and if there was a delimiter)

	KeyCount              int // V2: objects and common prefixes in this answer
	ContinuationToken     string
	NextContinuationToken string
	StartAfter            string
}

// Owner is whom something belongs to. DisplayName may be empty.
type Owner struct{ ID, DisplayName string }

// Object is an entry of a list.
type Object struct {
	Key               []byte
	Modified          time.Time
	ETag              ETag
	Size              uint64
	StorageClass      string // "": STANDARD
	Owner             *Owner // nil: not shown
	ChecksumAlgorithm string // "": not shown, nor the type; both are constants of S3's, written as they are
	ChecksumType      string
}

// BeginListV1 appends the head of ListObjects' answer. AppendObject and AppendPrefix follow, in this order,
// then EndList.
func BeginListV1(b []byte, h *ListHead) []byte {
	b = root(b, "ListBucketResult")
	b = element(b, "Name", h.Bucket)
	b = named(b, "Prefix", h.Prefix, h.URL)
	b = named(b, "Marker", h.Marker, h.URL)
	if h.NextMarker != "" {
		b = named(b, "NextMarker", h.NextMarker, h.URL)
	}
	return endHead(number(b, "MaxKeys", int64(h.MaxKeys)), h)
}

// BeginListV2 is BeginListV1 for ListObjectsV2.
func BeginListV2(b []byte, h *ListHead) []byte {
	b = root(b, "ListBucketResult")
	b = element(b, "Name", h.Bucket)
	b = named(b, "Prefix", h.Prefix, h.URL)
	b = optional(b, "ContinuationToken", h.ContinuationToken)
	b = optional(b, "NextContinuationToken", h.NextContinuationToken)
	if h.StartAfter != "" {
		b = named(b, "StartAfter", h.StartAfter, h.URL)
	}
	b = number(b, "KeyCount", int64(h.KeyCount))
	return endHead(number(b, "MaxKeys", int64(h.MaxKeys)), h)
}

func endHead(b []byte, h *ListHead) []byte {
	if h.Delimiter != "" {
		b = named(b, "Delimiter", h.Delimiter, h.URL)
	}
	b = encodingType(b, h.URL)
	return boolean(b, "IsTruncated", h.Truncated)
}

func encodingType(b []byte, url bool) []byte {
	if url {
		b = append(b, "<EncodingType>url</EncodingType>"...)
	}
	return b
}

// AppendObject appends an entry. o is not kept.
func AppendObject(b []byte, o *Object, url bool) []byte {
	b = append(b, "<Contents><Key>"...)
	b = appendName(b, o.Key, url)
	b = append(b, "</Key><LastModified>"...)
	b = AppendTime(b, o.Modified)
	b = append(b, "</LastModified>"...)
	return append(o.appendRest(b), "</Contents>"...)
}

// appendRest appends what all lists show of an object behind its time.
func (o *Object) appendRest(b []byte) []byte {
	b = appendETag(b, o.ETag)
	if o.ChecksumAlgorithm != "" {
		b = append(append(b, "<ChecksumAlgorithm>"...), o.ChecksumAlgorithm...)
		b = append(append(b, "</ChecksumAlgorithm><ChecksumType>"...), o.ChecksumType...)
		b = append(b, "</ChecksumType>"...)
	}
	b = append(b, "<Size>"...)
	b = strconv.AppendUint(b, o.Size, 10)
	b = append(b, "</Size>"...)
	if o.Owner != nil {
		b = appendOwner(b, "Owner", o.Owner)
	}
	return storageClass(b, o.StorageClass)
}

// AppendPrefix appends a common prefix.
func AppendPrefix[T chars](b []byte, prefix T, url bool) []byte {
	b = append(b, "<CommonPrefixes><Prefix>"...)
	b = appendName(b, prefix, url)
	return append(b, "</Prefix></CommonPrefixes>"...)
}

// EndList ends the answer of either version.
func EndList(b []byte) []byte { return append(b, "</ListBucketResult>"...) }

func storageClass(b []byte, class string) []byte {
	if class == "" || class == "STANDARD" {
		return append(b, "<StorageClass>STANDARD</StorageClass>"...)
	}
	return element(b, "StorageClass", class)
}

func appendOwner(b []byte, name string, o *Owner) []byte {
	b = opening(b, name)
	b = element(b, "ID", o.ID)
	b = optional(b, "DisplayName", o.DisplayName)
	return closing(b, name)
}

// Bucket is an entry of ListBuckets.
type Bucket struct {
	Name    string
	Created time.Time
	Region  string // "": not shown; S3 shows it to paging clients
}

// ListBuckets is the answer of that operation.
type ListBuckets struct {
	Owner             Owner
	Buckets           []Bucket
	Prefix            string // echoed if set
	ContinuationToken string // of the next page, if there is one
}

// Append appends the document.
func (l *ListBuckets) Append(b []byte) []byte {
	b = root(b, "ListAllMyBucketsResult")
	b = appendOwner(b, "Owner", &l.Owner)
	b = opening(b, "Buckets")
	for i := range l.Buckets {
		k := &l.Buckets[i]
		b = opening(b, "Bucket")
		b = element(b, "Name", k.Name)
		b = moment(b, "CreationDate", k.Created)
		b = optional(b, "BucketRegion", k.Region)
		b = closing(b, "Bucket")
	}
	b = closing(b, "Buckets")
	b = optional(b, "ContinuationToken", l.ContinuationToken)
	b = optional(b, "Prefix", l.Prefix)
	return closing(b, "ListAllMyBucketsResult")
}
