// Package archtest holds the table of which package may import which, and fails on any other edge.
// A new edge is a decision that somebody sees: change the table in the same commit and say why there.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sherd-io/sherd/"

// edges gives, for each package, the packages of ours it may import besides leaves of internal.
// A trailing /... stands for a package and all below it.
var edges = []struct {
	from string
	to   []string
}{
	{"cmd/...", []string{"..."}},
	{"test/...", []string{"..."}},
	{"gateway/sigv4", nil},
	{"gateway/s3xml", nil},
	{"gateway/policy", nil},
	{"gateway/acl", nil},
	{"gateway/form", nil}, // pure: what the policy of a form means to a signature is the gateway's
	{"gateway/cors", nil},
	{"gateway/iam", []string{"gateway/policy", "placement"}},
	{"gateway/object", []string{"meta/...", "erasure", "placement"}},
	{"gateway", []string{"gateway/...", "meta/...", "erasure", "placement"}},
	{"erasure/codec", nil},
	{"erasure/heal", []string{"erasure", "erasure/codec", "placement", "disk", "disk/chunk"}},
	{"erasure", []string{"erasure/codec", "placement", "disk", "disk/chunk", "disk/remote"}},
	{"disk/chunk", nil},
	{"disk/segment", nil},
	{"disk/...", []string{"disk/..."}},
	{"meta/metapb", nil},
	{"meta/keys", []string{"meta/metapb"}},
	{"meta/state", []string{"meta/metapb", "meta/keys"}},
	{"meta/replica", []string{"meta/metapb", "meta/keys", "meta/state", "placement"}},
	{"meta/remote/remotepb", []string{"meta/metapb"}}, // what nodes send each other: meta builds and reads it
	{"meta/remote", []string{"meta", "meta/...", "placement"}},
	{"meta", []string{"meta/keys", "meta/metapb", "meta/replica", "meta/state", "meta/remote/remotepb", "placement"}},
	{"placement/plan", []string{"placement"}},
	{"placement/member", []string{"placement"}},
	{"placement/member/membertest", []string{"placement/member"}},
	{"placement/store", []string{"placement", "placement/plan", "placement/member"}},
	{"placement", nil},
	{"internal/...", nil},
}

func TestImportsFollowTheTable(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(target, module)
			if ours && !allowed(filepath.ToSlash(rel), to) {
				t.Errorf("%s imports %s: not in the table of %s", path, to, "internal/archtest")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("no Go file found: the test looks in the wrong place")
	}
}

func allowed(from, to string) bool {
	if strings.HasPrefix(to, "internal/") {
		return true
	}
	for _, e := range edges {
		if !matches(e.from, from) {
			continue
		}
		for _, p := range e.to {
			if matches(p, to) {
				return true
			}
		}
		return false
	}
	return false
}

func matches(pattern, pkg string) bool {
	prefix, all := strings.CutSuffix(pattern, "...")
	if !all {
		return pattern == pkg
	}
	return prefix == "" || pkg+"/" == prefix || strings.HasPrefix(pkg+"/", prefix)
}

func TestTableRefuses(t *testing.T) {
	for _, edge := range [][2]string{
		{"disk", "placement"}, {"erasure", "meta"}, {"meta", "disk"}, {"placement", "meta"},
		{"gateway", "disk"}, {"gateway/sigv4", "gateway"}, {"erasure/codec", "erasure"}, {"newroom", "disk"},
	} {
		if allowed(edge[0], edge[1]) {
			t.Errorf("%s -> %s is allowed", edge[0], edge[1])
		}
	}
}
