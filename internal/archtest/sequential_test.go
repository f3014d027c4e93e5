package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hidden are the calls that start a goroutine without saying go.
var hidden = []string{"Go", "Parallel", "RunParallel", "AfterFunc", "Serve", "ListenAndServe"}

// TestSequentialPackages: what make leaves out of the race half has nothing in it, nor in its tests, that could run beside anything: no go
// statement, none of the calls that hide one, and nothing that only what runs beside others needs.
func TestSequentialPackages(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^SEQUENTIAL = (.*)$`).FindSubmatch(text)
	if line == nil {
		t.Fatal("the Makefile has no list SEQUENTIAL")
	}
	for _, dir := range strings.Fields(string(line[1])) {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no Go files: %v", dir, err)
		}
		for _, path := range files {
			for _, why := range concurrent(t, path, nil) {
				t.Errorf("%s: %s: it belongs under the race detector", path, why)
			}
		}
	}
}

// concurrent gives what in a file may make something run beside something else. src may replace what is in the file.
func concurrent(t *testing.T, path string, src any) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		switch name := strings.Trim(spec.Path.Value, `"`); name {
		case "sync", "sync/atomic", "golang.org/x/sync/errgroup", "net/http/httptest":
			found = append(found, "imports "+name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "a go statement")
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains(hidden, sel.Sel.Name) {
				found = append(found, "calls "+sel.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestConcurrentIsSeen(t *testing.T) {
	for _, body := range []string{`go f()`, `t.Parallel()`, `group.Go(f)`, `time.AfterFunc(1, f)`} {
		if found := concurrent(t, "x.go", "package x\nfunc g() { "+body+" }"); len(found) != 1 {
			t.Errorf("%s: seen: %q", body, found)
		}
	}
	if found := concurrent(t, "x.go", "package x\nimport \"sync\"\nfunc g() { f() }"); len(found) != 1 {
		t.Errorf("an import of sync: seen: %q", found)
	}
}
