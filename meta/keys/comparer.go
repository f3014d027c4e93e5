package keys

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// Comparer is what a drive's rows are ordered by. Its name is on every drive: change the order, change the name.
//
// The order is bytewise, so disk's own keys may be anything. That agrees with Split, as Pebble wants it, because
// routes are prefix-free: of two keys of a versioned table whose prefixes differ, neither's prefix begins with the other's.
//
// So what is sought, or bounds an iterator, in a versioned table is a whole key, a prefix without stamp, or shorter;
// never a prefix and part of a stamp, nor more than a stamp. Tests under -race have Pebble check that.
//
// Pebble's synthetic prefixes (which remove leading bytes) must not be used with it: Split reads the table byte.
var Comparer = &pebble.Comparer{
	Name:                 "sherd.v1",
	Compare:              bytes.Compare,
	Equal:                bytes.Equal,
	ComparePointSuffixes: bytes.Compare,
	CompareRangeSuffixes: bytes.Compare,
	AbbreviatedKey:       pebble.DefaultComparer.AbbreviatedKey,
	FormatKey:            pebble.DefaultComparer.FormatKey,
	Split:                split,
	Separator:            separator,
	Successor:            successor,
	ImmediateSuccessor:   immediateSuccessor,
}

const (
	routeBytesMin     = bucketBytes + 2 // of the empty key
	versionedBytesMin = 1 + routeBytesMin + stampBytes
)

// split returns len(k) without the stamp of a row of Versions or Inline. A stamp is there if a terminator
// precedes the last 8 bytes: inside an escaped key 0x00 0x01 does not occur, and the lengths exclude the bucket's bytes.
// So keys that Pebble shortened for an index block, which may end anywhere, are taken whole.
func split(k []byte) int {
	n := len(k) - stampBytes
	if n < versionedBytesMin-stampBytes || k[0] != byte(Versions) && k[0] != byte(Inline) {
		return len(k)
	}
	if k[n-2] != escape || k[n-1] != terminator {
		return len(k)
	}
	return n
}

// separator shortens the prefixes only; where they are equal, it returns a itself.
func separator(dst, a, b []byte) []byte {
	ap, bp := a[:split(a)], b[:split(b)]
	if bytes.Equal(ap, bp) {
		return append(dst, a...)
	}
	n := len(dst)
	dst = pebble.DefaultComparer.Separator(dst, ap, bp)
	if bytes.Equal(dst[n:], ap) { // was not shortened: a itself, whose stamp counts
		return append(dst[:n], a...)
	}
	return dst
}

// successor shortens the prefix.
func successor(dst, a []byte) []byte {
	n := len(dst)
	dst = pebble.DefaultComparer.Successor(dst, a[:split(a)])
	if bytes.Equal(dst[n:], a[:split(a)]) {
		return append(dst[:n], a...)
	}
	return dst
}

// immediateSuccessor of a prefix with a terminator is above all its stamps.
func immediateSuccessor(dst, a []byte) []byte {
	if n := len(a); n >= versionedBytesMin-stampBytes && (a[0] == byte(Versions) || a[0] == byte(Inline)) &&
		a[n-2] == escape && a[n-1] == terminator {
		dst = append(dst, a...)
		dst[len(dst)-1]++
		return dst
	}
	return append(append(dst, a...), 0)
}
