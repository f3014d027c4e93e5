package s3xml

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// configMax and elementsMax bound a bucket's or an object's document. CORS rules may have the most: S3 takes 64 KiB.
const (
	configMax   = 64 << 10 // bytes
	elementsMax = 2048
)

// node is an element of a small document, which is read whole and then taken apart: unlike a stream it can say
// that an element is missing, is there twice, or should not be there.
type node struct {
	name     string
	xsiType  string // its attribute xsi:type
	text     string // as it stands; empty if there are children
	children []node
	err      *error // the first fault found in the document, shared by all of its nodes
}

// readNode reads a document of at most configMax bytes and elementsMax elements. It is nil if r is empty.
func readNode(r io.Reader, root string) (*node, error) {
	var levels [depthMax + 2][]node // levels[d]: elements at depth d that have ended, and whose parent has not
	count, fault := 0, new(error)
	w := &walker{root: root}
	w.end = func(path []string, text []byte) error {
		if count++; count > elementsMax {
			return malformed("too many elements")
		}
		d := len(path)
		n := node{name: path[d-1], xsiType: w.types[d-1], children: levels[d+1], err: fault}
		levels[d+1] = nil
		switch {
		case n.children == nil:
			n.text = string(text)
		case len(bytes.TrimSpace(text)) > 0:
			return malformed("text beside elements")
		}
		levels[d] = append(levels[d], n)
		return nil
	}
	ok, err := w.walk(r, configMax)
	if err != nil || !ok {
		return nil, err
	}
	return &levels[1][0], nil
}

// readConfig is readNode for a document that has to be there. It hands the root to take, whose faults it returns.
func readConfig[T any](r io.Reader, root string, take func(n *node) T) (T, error) {
	var none T
	n, err := readNode(r, root)
	if err != nil {
		return none, err
	}
	if n == nil {
		return none, malformed("no document")
	}
	v := take(n)
	if *n.err != nil {
		return none, *n.err
	}
	return v, nil
}

// fail notes a fault of the document, unless there was one before.
func (n *node) fail(why string) {
	if *n.err == nil {
		*n.err = malformed(n.name + ": " + why)
	}
}

// only says which children n may have.
func (n *node) only(names ...string) {
	for i := range n.children {
		if c := &n.children[i]; !slices.Contains(names, c.name) {
			n.fail("an unknown element " + c.name)
		}
	}
	if len(n.children) == 0 && strings.TrimSpace(n.text) != "" {
		n.fail("text where elements belong")
	}
}

// child is the one child of that name, or nil.
func (n *node) child(name string) *node {
	var found *node
	for i := range n.children {
		if n.children[i].name != name {
			continue
		}
		if found != nil {
			n.fail("two elements " + name)
		}
		found = &n.children[i]
	}
	return found
}

// need is child, of which there has to be one. It is never nil.
func (n *node) need(name string) *node {
	if c := n.child(name); c != nil {
		return c
	}
	n.fail("no element " + name)
	return &node{name: name, err: n.err}
}

// all are the children of that name.
func (n *node) all(name string) []*node {
	var found []*node
	for i := range n.children {
		if n.children[i].name == name {
			found = append(found, &n.children[i])
		}
	}
	return found
}

// value is the text of an element without children, spaces included. A nil node's is "".
func (n *node) value() string {
	if n == nil {
		return ""
	}
	if len(n.children) > 0 {
		n.fail("elements where text belongs")
	}
	return n.text
}

// trimmed is value without the white space around it.
func (n *node) trimmed() string { return strings.TrimSpace(n.value()) }

// oneOf is trimmed, which has to be one of words. A nil node's is "".
func (n *node) oneOf(words ...string) string {
	v := n.trimmed()
	if n != nil && !slices.Contains(words, v) {
		n.fail("not a value of S3's")
	}
	return v
}

// flag is true or false; S3's own examples write TRUE as well. A nil node's is false.
func (n *node) flag() bool {
	if n == nil {
		return false
	}
	v := false
	if err := boolOf(&v, []byte(strings.ToLower(n.value()))); err != nil || n.trimmed() == "" {
		n.fail("neither true nor false")
	}
	return v
}

// integer is a number of 32 bits. A nil node's is 0.
func (n *node) integer() int {
	if n == nil {
		return 0
	}
	v, err := strconv.ParseInt(n.trimmed(), 10, 32)
	if err != nil {
		n.fail("not an integer")
	}
	return int(v)
}

// instant is a time of ISO 8601.
func (n *node) instant() time.Time {
	t, ok := ParseTime(n.trimmed())
	if !ok {
		n.fail("not a time")
	}
	return t
}

// ParseTime reads a time of ISO 8601 as documents and headers have it, in the years 1 to 9999 and in UTC:
// 2030-01-02T15:04:05Z, with a fraction of a second, or with an offset.
func ParseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t, true
}
