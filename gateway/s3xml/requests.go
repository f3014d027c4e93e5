package s3xml

import (
	"bytes"
	"io"
	"strconv"
)

// Limits of the request documents.
const (
	PartsMax       = 10000
	DeletesMax     = 1000
	completeMax    = 8 << 20 // bytes: 10,000 parts with every checksum
	deleteMax      = 8 << 20 // bytes: 1,000 keys of 1,024 bytes, each byte escaped
	roomForEntries = 16
)

// CompletedPart is a part as CompleteMultipartUpload names it.
type CompletedPart struct {
	Number    int    // as sent: its range and the order are the caller's to check
	ETag      string // as sent, usually in quotes
	Checksums Checksums
}

// ReadComplete reads the body of CompleteMultipartUpload: 1 to PartsMax parts. Elements that it does not know are passed over.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadComplete(r io.Reader) ([]CompletedPart, error) {
	parts := make([]CompletedPart, 0, roomForEntries)
	var p CompletedPart
	ok, err := walk(r, completeMax, "CompleteMultipartUpload", func(path []string, text []byte) error {
		switch {
		case len(path) == 3 && path[1] == "Part":
			return p.field(path[2], text)
		case len(path) != 2 || path[1] != "Part":
			return nil
		case p.Number == 0 && p.ETag == "":
			return malformed("a part without number and ETag")
		case len(parts) == PartsMax:
			return malformed("too many parts")
		}
		parts = append(parts, p)
		p = CompletedPart{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !ok || len(parts) == 0 {
		return nil, malformed("no part")
	}
	return parts, nil
}

func (p *CompletedPart) field(name string, text []byte) error {
	value := string(bytes.TrimSpace(text))
	switch name {
	case "PartNumber":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return malformed("a part's number")
		}
		p.Number = int(n)
	case "ETag":
		p.ETag = value
	default:
		if sum := p.Checksums.Field(name); sum != nil {
			*sum = value
		}
	}
	return nil
}

// Delete is the body of DeleteObjects.
type Delete struct {
	Quiet   bool
	Objects []DeleteObject // 1 to DeletesMax
}

// DeleteObject names an object to delete. The conditions are as sent, empty where there is none.
type DeleteObject struct {
	Key, VersionID               string
	ETag, LastModifiedTime, Size string
}

// ReadDelete reads the body of DeleteObjects.
//
// Errors: ErrMalformed (S3 answers so to more than DeletesMax keys as well), ErrTooLarge, r's own.
func ReadDelete(r io.Reader) (*Delete, error) {
	d := &Delete{Objects: make([]DeleteObject, 0, roomForEntries)}
	var o DeleteObject
	keyed := false
	_, err := walk(r, deleteMax, "Delete", func(path []string, text []byte) error {
		switch {
		case len(path) == 4 && path[1] == "Object":
			return malformed("an element in a key or a condition") // what is left of the text around it is another one
		case len(path) == 3 && path[1] == "Object":
			if path[2] == "Key" && keyed {
				return malformed("an object with two keys")
			}
			keyed = keyed || path[2] == "Key"
			return o.field(path[2], text)
		case len(path) == 2 && path[1] == "Quiet":
			return boolOf(&d.Quiet, text)
		case len(path) == 2 && path[1] == "Object":
			if !keyed || len(d.Objects) == DeletesMax {
				return malformed("an object without a key, or too many of them")
			}
			d.Objects = append(d.Objects, o)
			o, keyed = DeleteObject{}, false
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(d.Objects) == 0 {
		return nil, malformed("no object")
	}
	return d, nil
}

// field reads an element of an Object. One that is not known may be a condition: it is refused, as S3 does.
func (o *DeleteObject) field(name string, text []byte) error {
	switch name {
	case "Key":
		o.Key = string(text) // spaces count
	case "VersionId":
		o.VersionID = string(bytes.TrimSpace(text))
	case "ETag":
		o.ETag = string(bytes.TrimSpace(text))
	case "LastModifiedTime":
		o.LastModifiedTime = string(bytes.TrimSpace(text))
	case "Size":
		o.Size = string(bytes.TrimSpace(text))
	default:
		return malformed("an unknown element of an object")
	}
	return nil
}

func boolOf(into *bool, text []byte) error {
	switch string(bytes.TrimSpace(text)) {
	case "true", "1":
		*into = true
	case "false", "0", "":
		*into = false
	default:
		return malformed("neither true nor false")
	}
	return nil
}

// BucketConfig is the body of CreateBucket.
type BucketConfig struct {
	Location string   // LocationConstraint
	Tags     []Tag    // not checked: see CheckTags
	Others   []string // further elements under the root that were there: the caller refuses what it does not serve
}

// ReadBucketConfig reads the body of CreateBucket. An empty one is the zero BucketConfig.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadBucketConfig(r io.Reader) (BucketConfig, error) {
	n, err := readNode(r, "CreateBucketConfiguration")
	if n == nil {
		return BucketConfig{}, err
	}
	var c BucketConfig
	for i := range n.children {
		switch child := &n.children[i]; child.name {
		case "LocationConstraint":
			c.Location = n.child(child.name).trimmed()
		case "Tags":
			c.Tags = n.child(child.name).tags()
		default:
			c.Others = append(c.Others, child.name)
		}
	}
	if *n.err != nil {
		return BucketConfig{}, *n.err
	}
	return c, nil
}
