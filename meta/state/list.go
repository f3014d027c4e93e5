package state

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// ListRequest asks for one page of the newest versions in a bucket, delete markers left out.
type ListRequest struct {
	Bucket    ids.Bucket
	Prefix    string
	Delimiter string
	// After, exclusive: only what comes after it. A common prefix that After is, or lies in, is not listed (again).
	After string
	Max   int       // entries, common prefixes included; 0 gives an empty page that is not truncated
	AsOf  hlc.Stamp // 0: the newest of all
}

// ListPage is List's answer.
type ListPage struct {
	Entries   []byte // encoded, appended to the caller's buf: see NextEntry
	Count     int
	Truncated bool   // there is more in this span
	Next      string // After of the next page: the last entry, if there is any
}

// List reads one page in key order, within span. It appends entries to buf and allocates nothing for each.
// A listing goes on in the next range with After = the last Next.
func List(r pebble.Reader, span Span, req ListRequest, buf []byte) (page ListPage, err error) {
	page.Entries = buf
	if req.Max <= 0 {
		return page, nil
	}
	prefix := keys.AppendPrefix([]byte{byte(keys.Versions)}, req.Bucket, req.Prefix)
	bounds := span.clip(keys.Versions, KeyRange{prefix, keys.Successor(slices.Clone(prefix))})
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: bounds.Start, UpperBound: bounds.End})
	if err != nil {
		return page, err
	}
	defer closeInto(it, &err)
	l := lister{it: it, req: &req, page: &page}
	return page, l.run()
}

// lister is one page in the making.
type lister struct {
	it   *pebble.Iterator
	req  *ListRequest
	page *ListPage

	key     []byte // of the row it stands on: the object key; aliases the row or raw
	current []byte // scratch: the row's key without its stamp
	raw     []byte // scratch: an object key that was escaped
	seek    []byte // scratch
}

// run visits each object key once, and of the keys under a common prefix one.
func (l *lister) run() error {
	nameBytes := 0
	for ok := l.first(); ok; {
		ts, value, err := l.row()
		if err != nil {
			return err
		}
		if l.req.AsOf != 0 && ts > l.req.AsOf {
			l.seek = keys.AppendStamp(append(l.seek[:0], l.current...), l.req.AsOf)
			ok = l.it.SeekGE(l.seek)
			continue
		}
		if keys.Flags(value[1])&keys.DeleteMarker != 0 {
			ok = l.next()
			continue
		}
		if l.page.Count == l.req.Max {
			l.page.Truncated = true
			break
		}
		l.page.Count++
		if n := commonPrefix(l.key, len(l.req.Prefix), l.req.Delimiter); n > 0 {
			l.page.Entries = appendPrefixEntry(l.page.Entries, l.key[:n])
			nameBytes = n
			ok = l.it.SeekGE(l.past(string(l.key[:n])))
			continue
		}
		l.page.Entries = appendEntry(l.page.Entries, ts, value, l.key)
		nameBytes = len(l.key)
		ok = l.next()
	}
	all := l.page.Entries
	l.page.Next = string(all[len(all)-nameBytes:])
	return l.it.Error()
}

// first seeks the first row that After lets through.
func (l *lister) first() bool {
	after := l.req.After
	if after == "" {
		return l.it.First()
	}
	if strings.HasPrefix(after, l.req.Prefix) {
		if n := commonPrefix(after, len(l.req.Prefix), l.req.Delimiter); n > 0 {
			return l.it.SeekGE(l.past(after[:n]))
		}
	}
	l.seek = keys.AppendTable(l.seek[:0], keys.Versions, l.req.Bucket, after)
	return l.it.SeekGE(keys.Successor(l.seek)) // past all its versions
}

// past returns the least row key above all whose object keys begin with prefix.
func (l *lister) past(prefix string) []byte {
	l.seek = keys.AppendPrefix(append(l.seek[:0], byte(keys.Versions)), l.req.Bucket, prefix)
	return keys.Successor(l.seek)
}

const rowHead = 1 + 8 // table, bucket

// row takes the row that it stands on.
func (l *lister) row() (ts hlc.Stamp, value []byte, err error) {
	k := l.it.Key()
	n := keys.Comparer.Split(k)
	if n == len(k) {
		return 0, nil, ErrCorrupt
	}
	l.current = append(l.current[:0], k[:n]...)
	escaped := l.current[rowHead : n-2]
	if bytes.IndexByte(escaped, 0) < 0 {
		l.key = escaped
	} else if _, l.raw, _, err = keys.ParseRoute(l.current[1:], l.raw[:0]); err != nil {
		return 0, nil, err
	} else {
		l.key = l.raw
	}
	value, err = l.it.ValueAndErr()
	if err == nil && len(value) < keys.HeadBytes {
		err = ErrCorrupt
	}
	return keys.Stamp(k[n:]), value, err
}

// next goes to the next object key, past what older versions there are.
func (l *lister) next() bool {
	ok := l.it.Next()
	for ok && bytes.HasPrefix(l.it.Key(), l.current) {
		ok = l.it.NextPrefix()
	}
	return ok
}

// commonPrefix returns how many bytes of key, which begins with prefixBytes of prefix, are a common prefix; 0 if it
// is listed itself.
func commonPrefix[T ~string | ~[]byte](key T, prefixBytes int, delimiter string) int {
	if delimiter == "" {
		return 0
	}
	if i := strings.Index(string(key[prefixBytes:]), delimiter); i >= 0 {
		return prefixBytes + i + len(delimiter)
	}
	return 0
}

// Entries of a page are encoded as
//
//	offset  bytes  field
//	0       1      kind: 1 a version, 2 a common prefix
//	1       2      bytes of the name, big-endian
//	3       8      stamp; of a version only
//	11      32     keys.Head; of a version only
//	...     ...    name
//
// They live as long as a request: no version field, no checksum.
const (
	kindVersion    = 1
	kindPrefix     = 2
	entryHeadBytes = 1 + 2
)

func appendPrefixEntry(b, name []byte) []byte {
	b = append(b, kindPrefix)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

func appendEntry(b []byte, ts hlc.Stamp, value, name []byte) []byte {
	b = append(b, kindVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = binary.BigEndian.AppendUint64(b, uint64(ts))
	b = append(b, value[:keys.HeadBytes]...)
	return append(b, name...)
}

// Entry is one line of a listing.
type Entry struct {
	Key       []byte // aliases the page
	Prefix    bool   // a common prefix: nothing below is set
	Inline    bool
	Composite bool // of the checksum
	Algorithm metapb.ChecksumAlgorithm
	Size      uint64
	MD5       [16]byte
	Parts     uint32 // 0: not multipart
	TS        hlc.Stamp
}

// NextEntry decodes the first entry of p and returns what follows it. ok is false at the end, and where p is no page.
func NextEntry(p []byte) (e Entry, rest []byte, ok bool) {
	if len(p) < entryHeadBytes {
		return e, nil, false
	}
	kind, nameBytes := p[0], int(binary.BigEndian.Uint16(p[1:]))
	p = p[entryHeadBytes:]
	if kind == kindVersion {
		if len(p) < 8+keys.HeadBytes {
			return e, nil, false
		}
		var h keys.Head
		if _, err := h.Decode(p[8 : 8+keys.HeadBytes]); err != nil {
			return e, nil, false
		}
		e = Entry{
			Inline:    h.Flags&keys.HasInline != 0,
			Composite: h.Flags&keys.Composite != 0,
			Algorithm: metapb.ChecksumAlgorithm(h.Algorithm),
			Size:      h.Size,
			MD5:       h.MD5,
			Parts:     h.Parts,
			TS:        hlc.Stamp(binary.BigEndian.Uint64(p)),
		}
		p = p[8+keys.HeadBytes:]
	}
	e.Prefix = kind == kindPrefix
	if len(p) < nameBytes || kind != kindVersion && kind != kindPrefix {
		return Entry{}, nil, false
	}
	e.Key = p[:nameBytes:nameBytes]
	return e, p[nameBytes:], true
}
