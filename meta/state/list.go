package state

import (
	"bytes"
	"encoding/binary"
	"math"
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
	l := lister{bucket: req.Bucket, prefix: req.Prefix, delimiter: req.Delimiter}
	if err := l.open(r, span); err != nil {
		return page, err
	}
	defer closeInto(l.it, &err)
	return page, l.run(&req, &page)
}

// lister goes over the versions in a bucket, for one page.
type lister struct {
	it                *pebble.Iterator
	bucket            ids.Bucket
	prefix, delimiter string

	key     []byte // of the row it stands on: the object key; aliases the row or raw
	current []byte // scratch: the row's key without its stamp
	raw     []byte // scratch: an object key that was escaped
	seek    []byte // scratch
}

// open has l see the rows of its prefix that are span's. The iterator is the caller's to close.
func (l *lister) open(r pebble.Reader, span Span) (err error) {
	prefix := keys.AppendPrefix([]byte{byte(keys.Versions)}, l.bucket, l.prefix)
	bounds := span.clip(keys.Versions, KeyRange{prefix, keys.Successor(slices.Clone(prefix))})
	l.it, err = r.NewIter(&pebble.IterOptions{LowerBound: bounds.Start, UpperBound: bounds.End})
	return err
}

// run visits each object key once, and of the keys under a common prefix one.
func (l *lister) run(req *ListRequest, page *ListPage) error {
	nameBytes := 0
	for ok := l.first(req.After); ok; {
		ts, value, err := l.row()
		if err != nil {
			return err
		}
		if req.AsOf != 0 && ts > req.AsOf {
			l.seek = keys.AppendStamp(append(l.seek[:0], l.current...), req.AsOf)
			ok = l.it.SeekGE(l.seek)
			continue
		}
		if keys.Flags(value[1])&keys.DeleteMarker != 0 {
			ok = l.next()
			continue
		}
		if page.Count == req.Max {
			page.Truncated = true
			break
		}
		page.Count++
		if n := commonPrefix(l.key, len(l.prefix), l.delimiter); n > 0 {
			page.Entries = appendPrefixEntry(page.Entries, l.key[:n])
			nameBytes = n
			ok = l.it.SeekGE(l.past(string(l.key[:n])))
			continue
		}
		if page.Entries, err = appendEntry(page.Entries, kindVersion, ts, value, l.key); err != nil {
			return err
		}
		nameBytes = len(l.key)
		ok = l.next()
	}
	page.Next = string(page.Entries[len(page.Entries)-nameBytes:])
	return l.it.Error()
}

// first seeks the first row of what comes after the key after, and after the common prefix that it is or lies in.
func (l *lister) first(after string) bool {
	if after == "" {
		return l.it.First()
	}
	if n := l.within(after); n > 0 {
		return l.it.SeekGE(l.past(after[:n]))
	}
	l.seek = keys.AppendTable(l.seek[:0], keys.Versions, l.bucket, after)
	return l.it.SeekGE(keys.Successor(l.seek)) // past all its versions
}

// within returns how many bytes of key, which may be any, are a common prefix of the listing; 0 if none.
func (l *lister) within(key string) int {
	if !strings.HasPrefix(key, l.prefix) {
		return 0
	}
	return commonPrefix(key, len(l.prefix), l.delimiter)
}

// past returns the least row key above all whose object keys begin with prefix.
func (l *lister) past(prefix string) []byte {
	l.seek = keys.AppendPrefix(append(l.seek[:0], byte(keys.Versions)), l.bucket, prefix)
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
//	0       1      kind: 1 the newest version of a key, 2 a common prefix, 3 a version that is not the newest
//	1       2      bytes of the name, big-endian
//	3       8      stamp; of a version only
//	11      32     keys.Head; of a version only
//	43      2      bytes of the storage class; with keys.Described only
//	45      2      bytes of the owner; with keys.Described only
//	...     ...    storage class, owner; with keys.Described only
//	...     ...    name
//
// They live as long as a request: no version field, no checksum.
const (
	kindVersion    = 1
	kindPrefix     = 2
	kindOlder      = 3
	entryHeadBytes = 1 + 2
	describedBytes = 2 + 2
)

func appendPrefixEntry(b, name []byte) []byte {
	b = append(b, kindPrefix)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

func appendEntry(b []byte, kind byte, ts hlc.Stamp, value, name []byte) ([]byte, error) {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = binary.BigEndian.AppendUint64(b, uint64(ts))
	b = append(b, value[:keys.HeadBytes]...)
	if keys.Flags(value[1])&keys.Described != 0 {
		var err error
		if b, err = appendDescribed(b, value[keys.HeadBytes:]); err != nil {
			return b, err
		}
	}
	return append(b, name...), nil
}

// appendDescribed appends what a listing shows of encoded details.
func appendDescribed(b, details []byte) ([]byte, error) {
	class, err := field(details, detailsStorageClass)
	if err != nil {
		return b, err
	}
	owner, err := field(details, detailsOwner)
	if err != nil || len(class) > math.MaxUint16 || len(owner) > math.MaxUint16 {
		return b, ErrCorrupt
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(class)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(owner)))
	return append(append(b, class...), owner...), nil
}

// Entry is one line of a listing.
type Entry struct {
	Key       []byte // aliases the page
	Prefix    bool   // a common prefix: nothing below is set
	Latest    bool   // the newest version of its key
	Marker    bool   // a delete marker
	Versioned bool   // its id is TS; else it is the null version
	Inline    bool
	Composite bool // of the checksum
	Algorithm metapb.ChecksumAlgorithm
	Size      uint64
	MD5       [16]byte
	Parts     uint32 // 0: not multipart
	TS        hlc.Stamp
	Class     uint8  // keys.ClassName tells it, unless Described does
	Described []byte // storage class; nil if Class says it. Aliases the page
	Owner     []byte // account that is not the bucket's owner; nil: it is. Aliases the page
}

// StorageClass returns e's storage class.
func (e *Entry) StorageClass() string {
	if len(e.Described) > 0 {
		return string(e.Described)
	}
	return keys.ClassName(e.Class)
}

// NextEntry decodes the first entry of p into e and returns what follows it. ok is false at the end, and where p is no page: then e is
// of no use. A page has a thousand: that is why e is the caller's, and not copied from hand to hand.
func NextEntry(p []byte, e *Entry) (rest []byte, ok bool) {
	if len(p) < entryHeadBytes {
		return nil, false
	}
	kind, nameBytes := p[0], int(binary.BigEndian.Uint16(p[1:]))
	p = p[entryHeadBytes:]
	switch kind {
	case kindPrefix:
		*e = Entry{Prefix: true}
	case kindVersion, kindOlder:
		if p, ok = e.takeVersion(p); !ok {
			return nil, false
		}
		e.Latest = kind == kindVersion
	default:
		return nil, false
	}
	if len(p) < nameBytes {
		return nil, false
	}
	e.Key = p[:nameBytes:nameBytes]
	return p[nameBytes:], true
}

// takeVersion takes what appendEntry appended of a version, before its name, off p.
func (e *Entry) takeVersion(p []byte) (rest []byte, ok bool) {
	var h keys.Head
	if len(p) < 8+keys.HeadBytes {
		return nil, false
	}
	if _, err := h.Decode(p[8 : 8+keys.HeadBytes]); err != nil {
		return nil, false
	}
	*e = Entry{
		Marker:    h.Flags&keys.DeleteMarker != 0,
		Versioned: h.Flags&keys.Versioned != 0,
		Class:     h.Class,
		Inline:    h.Flags&keys.HasInline != 0,
		Composite: h.Flags&keys.Composite != 0,
		Algorithm: metapb.ChecksumAlgorithm(h.Algorithm),
		Size:      h.Size,
		MD5:       h.MD5,
		Parts:     h.Parts,
		TS:        hlc.Stamp(binary.BigEndian.Uint64(p)),
	}
	p = p[8+keys.HeadBytes:]
	if h.Flags&keys.Described != 0 {
		return e.takeDescribed(p)
	}
	return p, true
}

// takeDescribed takes what appendDescribed appended off p.
func (e *Entry) takeDescribed(p []byte) (rest []byte, ok bool) {
	if len(p) < describedBytes {
		return nil, false
	}
	class, owner := int(binary.BigEndian.Uint16(p)), int(binary.BigEndian.Uint16(p[2:]))
	if p = p[describedBytes:]; len(p) < class+owner {
		return nil, false
	}
	if class > 0 {
		e.Described = p[:class:class]
	}
	if owner > 0 {
		e.Owner = p[class : class+owner : class+owner]
	}
	return p[class+owner:], true
}
