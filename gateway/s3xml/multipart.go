package s3xml

import "time"

// ListUploads is the answer of ListMultipartUploads.
type ListUploads struct {
	Bucket, KeyMarker, UploadIDMarker string
	NextKeyMarker, NextUploadIDMarker string // only if truncated
	Prefix, Delimiter                 string
	URL                               bool
	MaxUploads                        int
	Truncated                         bool
	Uploads                           []Upload
	CommonPrefixes                    []string
}

// Upload is an entry of ListUploads.
type Upload struct {
	Key, ID           string
	Initiator, Owner  Owner
	StorageClass      string // "": STANDARD
	Initiated         time.Time
	ChecksumAlgorithm string // "": not shown
	ChecksumType      string // "": not shown
}

// Append appends the document.
func (l *ListUploads) Append(b []byte) []byte {
	b = root(b, "ListMultipartUploadsResult")
	b = element(b, "Bucket", l.Bucket)
	b = named(b, "KeyMarker", l.KeyMarker, l.URL)
	b = element(b, "UploadIdMarker", l.UploadIDMarker)
	if l.NextKeyMarker != "" {
		b = named(b, "NextKeyMarker", l.NextKeyMarker, l.URL)
	}
	b = optional(b, "NextUploadIdMarker", l.NextUploadIDMarker)
	b = named(b, "Prefix", l.Prefix, l.URL)
	if l.Delimiter != "" {
		b = named(b, "Delimiter", l.Delimiter, l.URL)
	}
	b = encodingType(b, l.URL)
	b = number(b, "MaxUploads", int64(l.MaxUploads))
	b = boolean(b, "IsTruncated", l.Truncated)
	for i := range l.Uploads {
		b = l.Uploads[i].append(b, l.URL)
	}
	for _, p := range l.CommonPrefixes {
		b = AppendPrefix(b, p, l.URL)
	}
	return closing(b, "ListMultipartUploadsResult")
}

func (u *Upload) append(b []byte, url bool) []byte {
	b = opening(b, "Upload")
	b = named(b, "Key", u.Key, url)
	b = element(b, "UploadId", u.ID)
	b = appendOwner(b, "Initiator", &u.Initiator)
	b = appendOwner(b, "Owner", &u.Owner)
	b = storageClass(b, u.StorageClass)
	b = moment(b, "Initiated", u.Initiated)
	b = optional(b, "ChecksumAlgorithm", u.ChecksumAlgorithm)
	b = optional(b, "ChecksumType", u.ChecksumType)
	return closing(b, "Upload")
}

// Checksums are the additional checksums of an object or a part, in base64, as headers and documents have them.
// An empty one is not shown.
type Checksums struct {
	CRC32, CRC32C, CRC64NVME, SHA1, SHA256    string
	MD5, SHA512, XXHASH64, XXHASH3, XXHASH128 string // S3 takes them since 2026
	Type                                      string // COMPOSITE, FULL_OBJECT or ""
}

func (c *Checksums) append(b []byte) []byte {
	b = optional(b, "ChecksumCRC32", c.CRC32)
	b = optional(b, "ChecksumCRC32C", c.CRC32C)
	b = optional(b, "ChecksumCRC64NVME", c.CRC64NVME)
	b = optional(b, "ChecksumMD5", c.MD5)
	b = optional(b, "ChecksumSHA1", c.SHA1)
	b = optional(b, "ChecksumSHA256", c.SHA256)
	b = optional(b, "ChecksumSHA512", c.SHA512)
	b = optional(b, "ChecksumXXHASH128", c.XXHASH128)
	b = optional(b, "ChecksumXXHASH3", c.XXHASH3)
	b = optional(b, "ChecksumXXHASH64", c.XXHASH64)
	return optional(b, "ChecksumType", c.Type)
}

// Field is where the element of that name goes; nil: it is none of them.
func (c *Checksums) Field(name string) *string {
	switch name {
	case "ChecksumCRC32":
		return &c.CRC32
	case "ChecksumCRC32C":
		return &c.CRC32C
	case "ChecksumCRC64NVME":
		return &c.CRC64NVME
	case "ChecksumMD5":
		return &c.MD5
	case "ChecksumSHA1":
		return &c.SHA1
	case "ChecksumSHA256":
		return &c.SHA256
	case "ChecksumSHA512":
		return &c.SHA512
	case "ChecksumXXHASH128":
		return &c.XXHASH128
	case "ChecksumXXHASH3":
		return &c.XXHASH3
	case "ChecksumXXHASH64":
		return &c.XXHASH64
	}
	return nil
}

// ListParts is the answer of that operation.
type ListParts struct {
	Bucket, Key, UploadID        string
	Initiator, Owner             Owner
	StorageClass                 string // "": STANDARD
	PartNumberMarker, NextMarker int
	MaxParts                     int
	Truncated                    bool
	ChecksumAlgorithm            string // "": not shown
	ChecksumType                 string // "": not shown
	URL                          bool
	Parts                        []Part
}

// Part is an entry of ListParts.
type Part struct {
	Number    int
	Modified  time.Time
	ETag      ETag
	Size      uint64
	Checksums Checksums
}

// Append appends the document.
func (l *ListParts) Append(b []byte) []byte {
	b = root(b, "ListPartsResult")
	b = element(b, "Bucket", l.Bucket)
	b = named(b, "Key", l.Key, l.URL)
	b = element(b, "UploadId", l.UploadID)
	b = appendOwner(b, "Initiator", &l.Initiator)
	b = appendOwner(b, "Owner", &l.Owner)
	b = storageClass(b, l.StorageClass)
	b = number(b, "PartNumberMarker", int64(l.PartNumberMarker))
	b = number(b, "NextPartNumberMarker", int64(l.NextMarker))
	b = number(b, "MaxParts", int64(l.MaxParts))
	b = encodingType(b, l.URL)
	b = boolean(b, "IsTruncated", l.Truncated)
	b = optional(b, "ChecksumAlgorithm", l.ChecksumAlgorithm)
	b = optional(b, "ChecksumType", l.ChecksumType)
	for i := range l.Parts {
		b = l.Parts[i].append(b)
	}
	return closing(b, "ListPartsResult")
}

func (p *Part) append(b []byte) []byte {
	b = opening(b, "Part")
	b = number(b, "PartNumber", int64(p.Number))
	b = moment(b, "LastModified", p.Modified)
	b = appendETag(b, p.ETag)
	b = number(b, "Size", int64(p.Size))
	b = p.Checksums.append(b)
	return closing(b, "Part")
}

// AppendInitiate appends the answer of CreateMultipartUpload.
func AppendInitiate(b []byte, bucket, key, uploadID string) []byte {
	b = root(b, "InitiateMultipartUploadResult")
	b = element(b, "Bucket", bucket)
	b = element(b, "Key", key)
	b = element(b, "UploadId", uploadID)
	return closing(b, "InitiateMultipartUploadResult")
}

// Completed is the answer of CompleteMultipartUpload.
type Completed struct {
	Location, Bucket, Key string
	ETag                  ETag
	Checksums             Checksums
}

// Append appends the document.
func (c *Completed) Append(b []byte) []byte {
	b = root(b, "CompleteMultipartUploadResult")
	b = element(b, "Location", c.Location)
	b = element(b, "Bucket", c.Bucket)
	b = element(b, "Key", c.Key)
	b = appendETag(b, c.ETag)
	b = c.Checksums.append(b)
	return closing(b, "CompleteMultipartUploadResult")
}

// Copied is the answer of CopyObject, and of UploadPartCopy.
type Copied struct {
	Modified  time.Time
	ETag      ETag
	Checksums Checksums
}

// AppendObject appends CopyObject's document.
func (c *Copied) AppendObject(b []byte) []byte { return c.append(b, "CopyObjectResult") }

// AppendPart appends UploadPartCopy's document.
func (c *Copied) AppendPart(b []byte) []byte { return c.append(b, "CopyPartResult") }

func (c *Copied) append(b []byte, name string) []byte {
	b = root(b, name)
	b = moment(b, "LastModified", c.Modified)
	b = appendETag(b, c.ETag)
	b = c.Checksums.append(b)
	return closing(b, name)
}
