package s3xml

import (
	"errors"
	"io"
	"strings"
	"unicode"
)

// Most tags that S3 takes.
const (
	ObjectTagsMax = 10
	BucketTagsMax = 50
)

const (
	tagKeyMax   = 128 // characters as UTF-16 counts them: one outside of the basic plane is two
	tagValueMax = 256
)

// The faults of tags. S3 answers InvalidTag to all but ErrTagCount, which is BadRequest.
var (
	ErrTagCount     = errors.New("s3xml: too many tags")
	ErrTagKey       = errors.New("s3xml: tag key empty, too long, or with a character that is not allowed")
	ErrTagValue     = errors.New("s3xml: tag value too long, or with a character that is not allowed")
	ErrTagDuplicate = errors.New("s3xml: two tags with one key")
	ErrTagReserved  = errors.New("s3xml: tag key has the prefix of system tags")
)

// TagError is a fault with the tag that has it, which S3 names in its answer. Is matches the fault.
type TagError struct {
	Fault error // one of those above
	Tag   Tag
}

func (e *TagError) Error() string { return e.Fault.Error() }
func (e *TagError) Unwrap() error { return e.Fault }

// TagCountError is more tags than what has them may have. It is ErrTagCount.
type TagCountError struct{ Max int } // ObjectTagsMax or BucketTagsMax

func (e *TagCountError) Error() string { return ErrTagCount.Error() }
func (e *TagCountError) Unwrap() error { return ErrTagCount }

// Tag is a name with a value, of an object or a bucket.
type Tag struct{ Key, Value string }

// CheckTags finds the first fault of tags, wherever they came from: a document, a header, a form.
//
// Errors: *TagCountError, *TagError.
// Source: S3 User Guide, "Categorizing your objects using tags"; API_Tag.
func CheckTags(tags []Tag, tagsMax int) error {
	if len(tags) > tagsMax {
		return &TagCountError{tagsMax}
	}
	for i, t := range tags {
		if fault := t.check(tags[:i]); fault != nil {
			return &TagError{Fault: fault, Tag: t}
		}
	}
	return nil
}

func (t *Tag) check(before []Tag) error {
	switch {
	case t.Key == "" || !tagText(t.Key, tagKeyMax):
		return ErrTagKey
	case !tagText(t.Value, tagValueMax):
		return ErrTagValue
	case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
		return ErrTagReserved
	}
	for _, other := range before { // of at most BucketTagsMax
		if other.Key == t.Key {
			return ErrTagDuplicate
		}
	}
	return nil
}

// tagText reports whether s has letters, numbers, spaces and _.:/=+-@ only, and not too many of them.
func tagText(s string, unitsMax int) bool {
	units := 0
	for _, r := range s {
		if units++; r > 0xffff {
			units++
		}
		if !unicode.In(r, unicode.L, unicode.N, unicode.Z) && !strings.ContainsRune("_.:/=+-@", r) { // also refuses U+FFFD
			return false
		}
	}
	return units <= unitsMax
}

// ReadTagging reads the body of PutObjectTagging or PutBucketTagging, or the field of a form. No tag is not an error.
//
// Errors: ErrMalformed, *TagCountError, *TagError, ErrTooLarge, r's own.
func ReadTagging(r io.Reader, tagsMax int) ([]Tag, error) {
	tags, err := readConfig(r, "Tagging", func(n *node) []Tag {
		n.only("TagSet")
		return n.need("TagSet").tags()
	})
	if err == nil {
		err = CheckTags(tags, tagsMax)
	}
	if err != nil {
		return nil, err
	}
	return tags, nil
}

// tags are n's children.
func (n *node) tags() []Tag {
	n.only("Tag")
	tags := make([]Tag, 0, len(n.children))
	for _, t := range n.all("Tag") {
		t.only("Key", "Value")
		tags = append(tags, Tag{Key: t.need("Key").value(), Value: t.need("Value").value()})
	}
	return tags
}

// AppendTagging appends the document of GetObjectTagging and GetBucketTagging.
func AppendTagging(b []byte, tags []Tag) []byte {
	b = append(root(b, "Tagging"), "<TagSet>"...)
	for i := range tags {
		b = append(b, "<Tag>"...)
		b = element(b, "Key", tags[i].Key)
		b = element(b, "Value", tags[i].Value)
		b = append(b, "</Tag>"...)
	}
	return closing(append(b, "</TagSet>"...), "Tagging")
}
