package policy

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// node is a JSON value as it was written: the order of members is kept, and none of them comes twice.
type node struct {
	kind    nodeKind
	text    string   // of a string, a number or a Boolean
	members []member // of an object
	items   []node   // of an array
}

type nodeKind uint8

const (
	nullNode nodeKind = iota
	stringNode
	numberNode
	boolNode
	objectNode
	arrayNode
)

type member struct {
	name  string
	value node
}

// nestingMax is deeper than any element of a policy.
const nestingMax = 8

var errJSON = errors.New("policy: not JSON, or a member comes twice")

// parseJSON reads one JSON value and nothing after it. encoding/json's own decoding would not do: it matches names without
// regard to case and takes the last of two equal members, so that two readers of one policy could see two policies.
func parseJSON(document string) (node, error) {
	if !utf8.ValidString(document) {
		return node{}, errJSON
	}
	dec := json.NewDecoder(strings.NewReader(document))
	dec.UseNumber()
	n, err := readNode(dec, nestingMax)
	if err != nil {
		return node{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return node{}, errJSON
	}
	return n, nil
}

func readNode(dec *json.Decoder, depth int) (node, error) {
	token, err := dec.Token()
	if err != nil || depth == 0 {
		return node{}, errJSON
	}
	switch t := token.(type) {
	case string:
		return node{kind: stringNode, text: t}, nil
	case json.Number:
		return node{kind: numberNode, text: t.String()}, nil
	case bool:
		if t {
			return node{kind: boolNode, text: "true"}, nil
		}
		return node{kind: boolNode, text: "false"}, nil
	case json.Delim:
		if t == '{' {
			return readObject(dec, depth)
		}
		return readArray(dec, depth)
	}
	return node{kind: nullNode}, nil
}

func readObject(dec *json.Decoder, depth int) (node, error) {
	n := node{kind: objectNode}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return node{}, errJSON
		}
		if n.member(name) != nil {
			return node{}, errJSON
		}
		value, err := readNode(dec, depth-1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name, value})
	}
	_, err := dec.Token()
	return n, err
}

func readArray(dec *json.Decoder, depth int) (node, error) {
	n := node{kind: arrayNode}
	for dec.More() {
		item, err := readNode(dec, depth-1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := dec.Token()
	return n, err
}

// member is the member of that name, nil if there is none.
func (n *node) member(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i].value
		}
	}
	return nil
}

// list is the array's items, or the value itself: policies may write a single one without brackets.
func (n *node) list() []node {
	if n.kind == arrayNode {
		return n.items
	}
	return []node{*n}
}

// stringList is list where all must be strings, and one at least.
func (n *node) stringList() ([]string, bool) {
	items := n.list()
	texts := make([]string, len(items))
	for i, item := range items {
		if item.kind != stringNode {
			return nil, false
		}
		texts[i] = item.text
	}
	return texts, len(texts) > 0
}
