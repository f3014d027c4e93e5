package state

import (
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// ListUploadsRequest asks for one page of a bucket's unfinished uploads.
type ListUploadsRequest struct {
	Bucket    ids.Bucket
	Prefix    string
	Delimiter string
	// KeyMarker, exclusive; with IDMarker not zero, uploads of KeyMarker with a greater id are listed too.
	// A common prefix that KeyMarker is, or lies in, is not listed (again).
	KeyMarker string
	IDMarker  ids.Upload
	Max       int
}

// UploadEntry is one upload, or one common prefix (Upload nil).
type UploadEntry struct {
	Key    string
	ID     ids.Upload
	Upload *metapb.Upload
}

// ListUploadsPage is ListUploads' answer.
type ListUploadsPage struct {
	Entries   []UploadEntry
	Truncated bool
	NextKey   string // KeyMarker and IDMarker of the next page: the last entry's, if there is any
	NextID    ids.Upload
}

// ListUploads reads one page, ordered by key, then by id (which is by time), within span.
func ListUploads(r pebble.Reader, span Span, req ListUploadsRequest) (page ListUploadsPage, err error) {
	prefix := keys.AppendPrefix([]byte{byte(keys.Uploads)}, req.Bucket, req.Prefix)
	bounds := span.clip(keys.Uploads, KeyRange{prefix, keys.Successor(slices.Clone(prefix))})
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: bounds.Start, UpperBound: bounds.End})
	if err != nil {
		return page, err
	}
	defer closeInto(it, &err)
	for ok := it.SeekGE(req.start()); ok && req.Max > 0; {
		row, err := keys.ParseRow(it.Key())
		if err != nil {
			return page, err
		}
		if len(page.Entries) == req.Max {
			page.Truncated = true
			break
		}
		e := UploadEntry{Key: row.Key, ID: row.ID}
		if n := commonPrefix(row.Key, len(req.Prefix), req.Delimiter); n > 0 {
			e = UploadEntry{Key: row.Key[:n]}
			ok = it.SeekGE(pastPrefix(req.Bucket, e.Key))
		} else {
			if e.Upload, err = valueOf(it, new(metapb.Upload)); err != nil {
				return page, err
			}
			ok = it.Next()
		}
		page.Entries = append(page.Entries, e)
		page.NextKey, page.NextID = e.Key, e.ID
	}
	return page, nil
}

// start is the least row key that the markers let through.
func (req *ListUploadsRequest) start() []byte {
	if req.KeyMarker == "" {
		return []byte{byte(keys.Uploads)}
	}
	if strings.HasPrefix(req.KeyMarker, req.Prefix) {
		if n := commonPrefix(req.KeyMarker, len(req.Prefix), req.Delimiter); n > 0 {
			return pastPrefix(req.Bucket, req.KeyMarker[:n])
		}
	}
	if req.IDMarker.IsZero() {
		return keys.Successor(keys.AppendTable(nil, keys.Uploads, req.Bucket, req.KeyMarker))
	}
	return append(keys.AppendUpload(nil, keys.Uploads, req.Bucket, req.KeyMarker, req.IDMarker), 0)
}

// pastPrefix is the least row key of Uploads above all whose object keys begin with prefix.
func pastPrefix(bucket ids.Bucket, prefix string) []byte {
	return keys.Successor(keys.AppendPrefix([]byte{byte(keys.Uploads)}, bucket, prefix))
}
