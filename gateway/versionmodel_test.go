package gateway

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// What S3's documentation says of a bucket's versions, as simply as it can be said: the versions of a key are a slice, newest first. Source: S3
// User Guide, "How S3 Versioning works", "Working with delete markers", "Managing objects in a versioning-suspended bucket".

// modelVersion is a version, or a delete marker.
type modelVersion struct {
	seq      int // of its making: greater is newer
	id       string
	marker   bool
	body     string
	etag     string
	note     string // x-amz-meta-note
	tags     string // "a=1", or ""
	modified time.Time
}

// modelBucket is a bucket as clients know it.
type modelBucket struct {
	status string // of its versioning; "": never
	keys   map[string][]*modelVersion
	seq    int
}

func (b *modelBucket) newest(key string) *modelVersion {
	if all := b.keys[key]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// find is the version with an id; "" is the newest.
func (b *modelBucket) find(key, id string) *modelVersion {
	if id == "" {
		return b.newest(key)
	}
	if i := slices.IndexFunc(b.keys[key], func(v *modelVersion) bool { return v.id == id }); i >= 0 {
		return b.keys[key][i]
	}
	return nil
}

func (b *modelBucket) remove(key, id string) {
	all := slices.DeleteFunc(slices.Clone(b.keys[key]), func(v *modelVersion) bool { return v.id == id })
	if b.keys[key] = all; len(all) == 0 {
		delete(b.keys, key)
	}
}

// add puts v on top. id is what the server calls it where versions have ids.
func (b *modelBucket) add(key, id string, v *modelVersion) {
	if b.seq++; b.status != placement.VersioningEnabled {
		id = "null"
		b.remove(key, id)
	}
	v.seq, v.id = b.seq, id
	b.keys[key] = append([]*modelVersion{v}, b.keys[key]...)
}

// delete deletes a key. It returns the marker that it made, or nil.
func (b *modelBucket) delete(key, id string, now time.Time) *modelVersion {
	if b.status == "" {
		b.remove(key, "null")
		return nil
	}
	v := &modelVersion{marker: true, modified: now}
	b.add(key, id, v)
	return v
}

// readable are the keys that a reader finds.
func (b *modelBucket) readable() map[string]bool {
	there := map[string]bool{}
	for key, all := range b.keys {
		if !all[0].marker {
			there[key] = true
		}
	}
	return there
}

// behind is where a listing of versions goes on.
type behind struct {
	key string
	seq int // with key: behind that version; 0: behind all versions of key
}

// listing is the entries and the common prefixes of a listing of versions.
func (b *modelBucket) listing(prefix, delimiter string, from behind) (entries, prefixes []string) {
	var keys []string
	for key := range b.keys {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) || key < from.key || key == from.key && from.seq == 0 {
			continue
		}
		if i := strings.Index(key[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			common := key[:len(prefix)+i+len(delimiter)]
			if common > from.key && !slices.Contains(prefixes, common) {
				prefixes = append(prefixes, common)
			}
			continue
		}
		for i, v := range b.keys[key] {
			if key != from.key || v.seq < from.seq {
				entries = append(entries, v.entry(key, i == 0))
			}
		}
	}
	return entries, prefixes
}

// entry is v as a line.
func (v *modelVersion) entry(key string, latest bool) string {
	at := v.modified.UTC().Format("2006-01-02T15:04:05.000Z")
	if v.marker {
		return fmt.Sprintf("DeleteMarker %q %s latest=%v %s", key, v.id, latest, at)
	}
	return fmt.Sprintf("Version %q %s latest=%v %s %s %d", key, v.id, latest, at, v.etag, len(v.body))
}

func etagOf(body string) string {
	sum := md5.Sum([]byte(body))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// etagOfParts is the ETag of an object that was uploaded in parts. Source: "Checking object integrity", "Using part-level checksums".
func etagOfParts(parts []string) string {
	var sums []byte
	for _, p := range parts {
		sum := md5.Sum([]byte(p))
		sums = append(sums, sum[:]...)
	}
	return strings.TrimSuffix(etagOf(string(sums)), `"`) + fmt.Sprintf("-%d\"", len(parts))
}
