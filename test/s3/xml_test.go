package s3

import (
	"bytes"
	"encoding/xml"
	"regexp"
	"strconv"
	"strings"
)

// node is an element of an answer's document.
type node struct {
	name  string
	text  string
	below []*node
}

// control is a reference to a character that XML 1.0 does not have and S3 sends all the same, as XML 1.1 would.
var control = regexp.MustCompile(`&#x([0-9a-fA-F]|1[0-9a-fA-F]);`)

// stand is what control characters are while encoding/xml, which knows only 1.0, reads a document.
const stand = 0xe000

// parseXML reads a document; nil if it is none.
func parseXML(doc []byte) *node {
	doc = control.ReplaceAllFunc(doc, func(ref []byte) []byte {
		n, _ := strconv.ParseUint(string(ref[3:len(ref)-1]), 16, 8)
		return []byte(string(rune(stand + n)))
	})
	dec := xml.NewDecoder(bytes.NewReader(doc))
	top := new(node)
	open := []*node{top}
	for {
		token, err := dec.Token()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			n := &node{name: t.Name.Local}
			parent := open[len(open)-1]
			parent.below, open = append(parent.below, n), append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			open[len(open)-1].text += strings.Map(func(r rune) rune {
				if r >= stand && r < stand+0x20 {
					return r - stand
				}
				return r
			}, string(t))
		}
	}
	if len(top.below) != 1 || len(open) != 1 {
		return nil
	}
	return top.below[0]
}

// all are the texts of the elements at a path below the root, in the document's order. "." is the root itself.
func (n *node) all(path string) (texts []string) {
	if n == nil {
		return nil
	}
	if path == "." {
		return []string{n.text}
	}
	name, rest, deeper := strings.Cut(path, "/")
	for _, b := range n.below {
		if b.name != name {
			continue
		}
		if deeper {
			texts = append(texts, b.all(rest)...)
		} else {
			texts = append(texts, b.text)
		}
	}
	return texts
}
