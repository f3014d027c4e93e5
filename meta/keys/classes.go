package keys

import "slices"

// classes are the storage classes that have a code in a Head, which is their index here: so listings need not look further. A
// code is never used again for another class.
//
// Source: the values of StorageClass in the S3 API reference, Object.
var classes = [...]string{
	"STANDARD", // also of rows that were written before feature level 3, whatever their Details say
	"REDUCED_REDUNDANCY",
	"STANDARD_IA",
	"ONEZONE_IA",
	"INTELLIGENT_TIERING",
	"GLACIER",
	"DEEP_ARCHIVE",
	"OUTPOSTS",
	"GLACIER_IR",
	"SNOW",
	"EXPRESS_ONEZONE",
}

// ClassCode returns the code of a storage class; ok is false for one that has none. "" is STANDARD.
func ClassCode(class string) (code uint8, ok bool) {
	if class == "" {
		return 0, true
	}
	i := slices.Index(classes[:], class)
	return uint8(max(i, 0)), i >= 0
}

// ClassName is ClassCode's inverse; STANDARD for a code that nobody gave.
func ClassName(code uint8) string {
	if int(code) < len(classes) {
		return classes[code]
	}
	return classes[0]
}
