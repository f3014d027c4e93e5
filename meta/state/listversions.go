package state

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
)

// ListVersionsRequest asks for one page of all versions in a bucket, delete markers too.
type ListVersionsRequest struct {
	Bucket    ids.Bucket
	Prefix    string
	Delimiter string
	// KeyMarker, exclusive; with a stamp in VersionMarker, versions of KeyMarker that are older than it are listed too: of any
	// version, also of a null version, and also of one that is gone. With NullMarker, those that are older than the null version; if
	// there is none, all: who deletes what each page lists deletes what the next one is to go on behind. A common prefix that KeyMarker
	// is, or lies in, is not listed (again).
	KeyMarker     string
	VersionMarker hlc.Stamp
	NullMarker    bool
	Max           int // entries, common prefixes included; 0 gives an empty page that is not truncated
}

// ListVersionsPage is ListVersions' answer.
type ListVersionsPage struct {
	Entries     []byte // encoded, appended to the caller's buf: see NextEntry
	Count       int
	Truncated   bool      // there is more in this span
	NextKey     string    // KeyMarker and VersionMarker of the next page: the last entry's, if there is any
	NextVersion hlc.Stamp // 0: of a common prefix
}

// ListVersions reads one page, ordered by key, then newest first, within span. It appends entries to buf and allocates nothing
// for each. A listing goes on in the next range with the markers as they are.
func ListVersions(r pebble.Reader, span Span, req ListVersionsRequest, buf []byte) (page ListVersionsPage, err error) {
	page.Entries = buf
	if req.Max <= 0 {
		return page, nil
	}
	if req.NullMarker && req.VersionMarker == 0 {
		if req.VersionMarker, err = nullStamp(r, req.Bucket, req.KeyMarker); err != nil {
			return page, err
		}
	}
	l := lister{bucket: req.Bucket, prefix: req.Prefix, delimiter: req.Delimiter}
	if err := l.open(r, span); err != nil {
		return page, err
	}
	defer closeInto(l.it, &err)
	return page, l.runVersions(&req, &page)
}

// nullStamp is the stamp of a key's null version; 0 if it has none.
func nullStamp(r pebble.Reader, bucket ids.Bucket, key string) (ts hlc.Stamp, err error) {
	it, err := r.NewIter(nil)
	if err != nil {
		return 0, err
	}
	defer closeInto(it, &err)
	prefix := keys.AppendTable(nil, keys.Versions, bucket, key)
	if found, err := seekNull(it, prefix); !found || err != nil {
		return 0, err
	}
	return keys.Stamp(it.Key()[len(prefix):]), nil
}

// runVersions visits every version, and of the keys under a common prefix one.
func (l *lister) runVersions(req *ListVersionsRequest, page *ListVersionsPage) error {
	nameBytes := 0
	for ok := l.firstVersion(req); ok; {
		if page.Count == req.Max {
			page.Truncated = true
			break
		}
		kind := byte(kindVersion)
		if len(l.current) > 0 && bytes.HasPrefix(l.it.Key(), l.current) {
			kind = kindOlder
		}
		ts, value, err := l.row()
		if err != nil {
			return err
		}
		page.Count++
		if n := commonPrefix(l.key, len(l.prefix), l.delimiter); n > 0 {
			page.Entries = appendPrefixEntry(page.Entries, l.key[:n])
			nameBytes, page.NextVersion = n, 0
			ok = l.it.SeekGE(l.past(string(l.key[:n])))
			continue
		}
		if page.Entries, err = appendEntry(page.Entries, kind, ts, value, l.key); err != nil {
			return err
		}
		nameBytes, page.NextVersion = len(l.key), ts
		ok = l.it.Next()
	}
	page.NextKey = string(page.Entries[len(page.Entries)-nameBytes:])
	return l.it.Error()
}

// firstVersion seeks the first row that the markers let through. If newer versions of its key come before it, l.current is its
// key's, as if they had been visited.
func (l *lister) firstVersion(req *ListVersionsRequest) bool {
	if req.VersionMarker == 0 && !req.NullMarker || l.within(req.KeyMarker) > 0 {
		return l.first(req.KeyMarker)
	}
	l.seek = keys.AppendTable(l.seek[:0], keys.Versions, req.Bucket, req.KeyMarker)
	prefixBytes := len(l.seek)
	if !l.it.SeekGE(l.seek) {
		return false
	}
	if k := l.it.Key(); req.VersionMarker == 0 || !bytes.HasPrefix(k, l.seek) || keys.Stamp(k[prefixBytes:]) < req.VersionMarker {
		return true // what the marker names is gone, and with it all that came before it
	}
	l.current = append(l.current[:0], l.seek...)
	l.seek = keys.AppendStamp(l.seek, req.VersionMarker-1)
	return l.it.SeekGE(l.seek)
}
