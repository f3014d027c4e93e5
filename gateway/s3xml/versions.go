package s3xml

import (
	"strconv"
	"time"
)

// VersionsHead is what an answer of ListObjectVersions says ahead of its entries. Names are raw; URL says whether the
// client asked for encoding-type=url, and is given again with each entry.
type VersionsHead struct {
	Bucket, Prefix, Delimiter          string
	KeyMarker, VersionIDMarker         string
	NextKeyMarker, NextVersionIDMarker string // only if truncated
	URL, Truncated                     bool
	MaxKeys                            int
}

// Version is an entry of ListObjectVersions that has a body.
type Version struct {
	Object
	VersionID []byte // "null" for a null version; nothing in it is escaped
	Latest    bool
}

// DeleteMarker is an entry of ListObjectVersions that has none.
type DeleteMarker struct {
	Key, VersionID []byte // as in Version
	Latest         bool
	Modified       time.Time
	Owner          *Owner // nil: not shown
}

// BeginListVersions appends the head of ListObjectVersions' answer. AppendVersion and AppendDeleteMarker follow in the
// order of the entries, then AppendPrefix, then EndListVersions.
func BeginListVersions(b []byte, h *VersionsHead) []byte {
	b = root(b, "ListVersionsResult")
	b = element(b, "Name", h.Bucket)
	b = named(b, "Prefix", h.Prefix, h.URL)
	b = named(b, "KeyMarker", h.KeyMarker, h.URL)
	b = element(b, "VersionIdMarker", h.VersionIDMarker)
	if h.NextKeyMarker != "" {
		b = named(b, "NextKeyMarker", h.NextKeyMarker, h.URL)
	}
	b = optional(b, "NextVersionIdMarker", h.NextVersionIDMarker)
	b = number(b, "MaxKeys", int64(h.MaxKeys))
	if h.Delimiter != "" {
		b = named(b, "Delimiter", h.Delimiter, h.URL)
	}
	b = encodingType(b, h.URL)
	return boolean(b, "IsTruncated", h.Truncated)
}

// AppendVersion appends an entry. v is not kept.
func AppendVersion(b []byte, v *Version, url bool) []byte {
	b = append(b, "<Version>"...)
	b = versionHead(b, v.Key, v.VersionID, v.Latest, v.Modified, url)
	return append(v.appendRest(b), "</Version>"...)
}

// AppendDeleteMarker appends an entry. m is not kept.
func AppendDeleteMarker(b []byte, m *DeleteMarker, url bool) []byte {
	b = append(b, "<DeleteMarker>"...)
	b = versionHead(b, m.Key, m.VersionID, m.Latest, m.Modified, url)
	if m.Owner != nil {
		b = appendOwner(b, "Owner", m.Owner)
	}
	return append(b, "</DeleteMarker>"...)
}

// versionHead appends what the two kinds of entry share.
func versionHead(b, key, id []byte, latest bool, modified time.Time, url bool) []byte {
	b = append(b, "<Key>"...)
	b = appendName(b, key, url)
	b = append(b, "</Key><VersionId>"...)
	b = append(b, id...)
	b = append(b, "</VersionId><IsLatest>"...)
	b = strconv.AppendBool(b, latest)
	b = append(b, "</IsLatest><LastModified>"...)
	b = AppendTime(b, modified)
	return append(b, "</LastModified>"...)
}

// EndListVersions ends the answer.
func EndListVersions(b []byte) []byte { return append(b, "</ListVersionsResult>"...) }
