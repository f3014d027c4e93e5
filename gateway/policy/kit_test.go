package policy

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// values is a Context of fixed values. It counts what it was asked.
type values struct {
	of    map[string][]string
	asked map[string]int
}

func (v *values) Values(key string) ([]string, bool) {
	if v.asked != nil {
		v.asked[key]++
	}
	got, ok := v.of[key]
	return got, ok
}

const (
	account1   = "111111111111"
	account2   = "222222222222"
	canonical1 = "1111111111111111111111111111111111111111111111111111111111111111"
	canonical2 = "2222222222222222222222222222222222222222222222222222222222222222"
)

// cast are those who appear in tests: name to principal.
func cast(name string) (Principal, bool) {
	account, canonical := account1, canonical1
	if name == "carol" || name == "root2" {
		account, canonical = account2, canonical2
	}
	switch name {
	case "anon":
		return Principal{}, true
	case "root1", "root2":
		return Principal{Account: account, Canonical: canonical, ARN: "arn:aws:iam::" + account + ":root", Root: true, UserID: account}, true
	case "alice", "bob", "carol":
		return Principal{
			Account: account, Canonical: canonical, ARN: "arn:aws:iam::" + account + ":user/" + name,
			UserID: "AIDA" + strings.ToUpper(name), Name: name,
		}, true
	}
	return Principal{}, false
}

// block is one thing written in a file of testdata: a line that begins with @, and the lines up to one that is a dot.
type block struct {
	line int
	head []string // of the @ line; nil for a row
	body string
	row  []string
}

// read reads a file of testdata: blocks, and rows of words. Empty lines and those that begin with # say nothing.
func read(t *testing.T, path string) []block {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var blocks []block
	var body *block
	in := bufio.NewScanner(f)
	for line := 1; in.Scan(); line++ {
		text := strings.TrimSpace(in.Text())
		switch {
		case body != nil && text == ".":
			blocks, body = append(blocks, *body), nil
		case body != nil:
			body.body += text + "\n"
		case text == "" || text[0] == '#':
		case text[0] == '@':
			body = &block{line: line, head: strings.Fields(text[1:])}
		default:
			blocks = append(blocks, block{line: line, row: strings.Fields(text)})
		}
	}
	if in.Err() != nil || body != nil {
		t.Fatalf("%s: %v, or a block without an end", path, in.Err())
	}
	return blocks
}

// context reads key=value words. Several values of a key are separated by |; a word "key=" is one empty value, "key" none at all.
func context(words []string) *values {
	v := &values{of: map[string][]string{}}
	for _, word := range words {
		key, text, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			v.of[strings.ToLower(key)] = []string{}
		default:
			v.of[strings.ToLower(key)] = strings.Split(text, "|")
		}
	}
	return v
}

func (d Decision) String() string {
	names := map[Decision]string{
		NotAllowedByResource: "no-resource", NotAllowedByIdentity: "no-identity", DeniedByIdentity: "deny-identity",
		DeniedByResource: "deny-resource", Allowed: "allow",
	}
	return fmt.Sprintf("%s(%d)", names[d], d)
}
