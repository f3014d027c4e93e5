package s3xml

import "strconv"

// Attributes is the answer of GetObjectAttributes. What was not asked for is nil or empty.
type Attributes struct {
	ETag         *ETag
	Checksums    *Checksums
	Parts        *AttributeParts
	StorageClass string
	Size         *uint64
}

// AttributeParts are the parts of an object that was uploaded in parts. S3 lists them one by one only if the object's
// checksum is made of theirs (composite); else it says their number.
type AttributeParts struct {
	Listed             bool // whether they are listed; else Count is all that is said
	Count              int  // of the object
	Marker, NextMarker int
	PartsMax           int
	Truncated          bool
	Parts              []AttributePart
}

// AttributePart is one of them.
type AttributePart struct {
	Number    int
	Size      uint64
	Checksums Checksums
}

// Append appends the document. Its ETag has no quotes, unlike any other of S3's.
func (a *Attributes) Append(b []byte) []byte {
	b = root(b, "GetObjectAttributesResponse")
	if a.ETag != nil {
		b = append(a.ETag.append(append(b, "<ETag>"...)), "</ETag>"...)
	}
	if a.Checksums != nil {
		b = closing(a.Checksums.append(opening(b, "Checksum")), "Checksum")
	}
	if a.Parts != nil {
		b = a.Parts.append(b)
	}
	b = optional(b, "StorageClass", a.StorageClass)
	if a.Size != nil {
		b = append(strconv.AppendUint(append(b, "<ObjectSize>"...), *a.Size, 10), "</ObjectSize>"...)
	}
	return closing(b, "GetObjectAttributesResponse")
}

func (p *AttributeParts) append(b []byte) []byte {
	b = opening(b, "ObjectParts")
	if p.Listed {
		b = boolean(b, "IsTruncated", p.Truncated)
		b = number(b, "MaxParts", int64(p.PartsMax))
		b = number(b, "NextPartNumberMarker", int64(p.NextMarker))
		b = number(b, "PartNumberMarker", int64(p.Marker))
		for i := range p.Parts {
			b = p.Parts[i].append(b)
		}
	}
	b = number(b, "PartsCount", int64(p.Count))
	return closing(b, "ObjectParts")
}

func (p *AttributePart) append(b []byte) []byte {
	b = opening(b, "Part")
	b = p.Checksums.append(b)
	b = number(b, "PartNumber", int64(p.Number))
	b = number(b, "Size", int64(p.Size))
	return closing(b, "Part")
}
