package state

import (
	"bytes"
	"math"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

const (
	partMax       = 10_000
	deleteKeysMax = 1_000
	// Longer than any retention that S3 takes, which is a hundred years.
	retentionDaysMax  = 36_500
	retentionYearsMax = 100
	md5Bytes          = 16
	pgBytes           = 2
	poolMax           = math.MaxUint16
)

func validKey(bucket uint64, key string) bool {
	return bucket != 0 && len(key) > 0 && len(key) <= keys.MaxKeyBytes
}

// validExtent reports whether e describes a body: with an upload id and a placement group for every blob.
func validExtent(e *metapb.Extent) bool {
	if e == nil || len(e.Upload) != len(ids.Upload{}) || e.Size == 0 || e.BlobSize == 0 || e.Size > math.MaxInt64 {
		return false
	}
	return e.Pool <= poolMax && uint64(len(e.Pgs)) == pgBytes*blobs(e)
}

func blobs(e *metapb.Extent) uint64 { return (e.Size-1)/e.BlobSize + 1 }

// blobSize is the length of blob i < blobs(e).
func blobSize(e *metapb.Extent, i uint32) uint64 {
	return min(e.BlobSize, e.Size-uint64(i)*e.BlobSize)
}

// validMissed takes any e: none of it is used before it is valid.
func validMissed(e *metapb.Extent, missed []*metapb.Missed) bool {
	if len(missed) == 0 {
		return true
	}
	if !validExtent(e) {
		return false
	}
	for _, s := range missed {
		if s == nil || uint64(s.Blob) >= blobs(e) || s.Slot > math.MaxUint8 {
			return false
		}
	}
	return true
}

// validVersion holds for what both PutVersion and CompleteUpload may propose.
func validVersion(v *metapb.Version) bool {
	return v != nil && v.Size <= math.MaxInt64 && (len(v.Md5) == md5Bytes || v.DeleteMarker)
}

// validLock takes nil, which is none.
func validLock(l *metapb.Lock) bool { return l == nil || validRetention(l.Mode, l.Until) }

func validRetention(mode metapb.LockMode, until int64) bool {
	return validMode(mode) && (until > 0) == (mode != metapb.LockMode_NO_RETENTION)
}

func validMode(m metapb.LockMode) bool {
	return m >= metapb.LockMode_NO_RETENTION && m <= metapb.LockMode_COMPLIANCE
}

// validRules holds if versions can be locked only where each write adds one, and get a retention only where they can be locked.
func validRules(r *metapb.Rules) bool {
	if r.GetRevision() <= 0 || r.Versioning < metapb.Versioning_NEVER || r.Versioning > metapb.Versioning_SUSPENDED {
		return false
	}
	term := r.DefaultDays > 0 != (r.DefaultYears > 0) && r.DefaultDays <= retentionDaysMax && r.DefaultYears <= retentionYearsMax
	switch {
	case !validMode(r.DefaultMode):
		return false
	case r.DefaultMode == metapb.LockMode_NO_RETENTION:
		term = r.DefaultDays == 0 && r.DefaultYears == 0
	case !r.Lock:
		return false
	}
	return term && (!r.Lock || r.Versioning == metapb.Versioning_ENABLED)
}

func validUpdate(u *metapb.UpdateVersion) bool {
	if u == nil || !validKey(u.Bucket, u.Key) || u.Null && u.Version != 0 {
		return false
	}
	if r, ok := u.Change.(*metapb.UpdateVersion_Retention); ok {
		return r.Retention != nil && validRetention(r.Retention.Mode, r.Retention.Until)
	}
	return u.Change != nil
}

func validPut(p *metapb.PutVersion) bool {
	if p == nil || !validKey(p.Bucket, p.Key) || p.Version == nil {
		return false
	}
	if p.Revises != 0 {
		return len(p.Missed) == 0
	}
	v, e := p.Version, p.Version.GetDetails().GetExtent()
	switch {
	case !validVersion(v) || !validLock(v.Details.GetLock()) || v.Parts > partMax || !validMissed(e, p.Missed):
		return false
	case v.DeleteMarker:
		return e == nil && !p.HasInline && v.Size == 0 && v.Details.GetLock() == nil
	case p.HasInline:
		return e == nil
	case e == nil:
		return v.Size == 0
	}
	return validExtent(e)
}

func validPart(p *metapb.PutPart) bool {
	if p == nil || !validKey(p.Bucket, p.Key) || len(p.Id) != len(ids.Upload{}) || p.Extent == nil {
		return false
	}
	e := p.Extent
	if e.Part < 1 || e.Part > partMax || len(e.Md5) != md5Bytes || len(e.Upload) != len(ids.Upload{}) {
		return false
	}
	if e.Size == 0 { // an empty part has no blobs
		return len(e.Pgs) == 0 && len(p.Missed) == 0
	}
	return validExtent(e) && validMissed(e, p.Missed)
}

// validComplete holds if the parts ascend and the version counts them.
func validComplete(c *metapb.CompleteUpload) bool {
	if c == nil || !validKey(c.Bucket, c.Key) || len(c.Id) != len(ids.Upload{}) || !validVersion(c.Version) {
		return false
	}
	if c.Version.DeleteMarker || !validLock(c.Version.Details.GetLock()) || c.Version.Details.GetExtent() != nil || int(c.Version.Parts) != len(c.Parts) {
		return false
	}
	last := uint32(0)
	for _, p := range c.Parts {
		if p == nil || p.Part <= last || p.Part > partMax {
			return false
		}
		last = p.Part
	}
	return len(c.Parts) > 0
}

func validDelete(d *metapb.DeleteVersions) bool {
	if d == nil || (len(d.Keys) == 0) == (len(d.Targets) == 0) || max(len(d.Keys), len(d.Targets)) > deleteKeysMax {
		return false
	}
	for _, t := range d.Targets {
		if t == nil || !validKey(d.Bucket, t.Key) || t.Null && t.Version != 0 {
			return false
		}
	}
	for _, k := range d.Keys {
		if !validKey(d.Bucket, k) {
			return false
		}
	}
	return true
}

// validReencode holds if the new body is another one.
func validReencode(c *metapb.Reencode) bool {
	return c != nil && validKey(c.Bucket, c.Key) && len(c.Upload) == len(ids.Upload{}) && validExtent(c.Extent) &&
		!bytes.Equal(c.Upload, c.Extent.Upload) && validMissed(c.Extent, c.Missed)
}

func validRepair(r *metapb.Repair) bool {
	return r != nil && validKey(r.Bucket, r.Key) && len(r.Upload) == len(ids.Upload{}) && r.Slot <= math.MaxUint8 &&
		r.Pool <= poolMax && r.Pg <= math.MaxUint16
}
