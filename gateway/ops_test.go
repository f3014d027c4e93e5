package gateway

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/s3-compatibility.md")

// compatibility is docs/s3-compatibility.md, made from the table of operations.
func compatibility() string {
	var b strings.Builder
	b.WriteString("# S3 compatibility\n\nMade from the table in gateway/ops.go by `go test ./gateway -run TestCompatibilityPage -update`: do not edit.\n\n")
	rows := Operations()
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].Name < rows[j].Name })
	done := 0
	var there, not strings.Builder
	last := ""
	for _, o := range rows {
		if o.Name == last {
			continue
		}
		last = o.Name
		to := &not
		if o.Served {
			done++
			to = &there
		}
		fmt.Fprintf(to, "| %s | %s | %s | %s |\n", o.Name, selector(&o), o.Action, o.Note)
	}
	const head = "| operation | request | IAM action | notes |\n|---|---|---|---|\n"
	fmt.Fprintf(&b, "## Served (%d)\n\n%s%s\n", done, head, there.String())
	b.WriteString("## Not there yet\n\nThese answer 501 NotImplemented.\n\n" + head + not.String())
	return b.String()
}

func selector(o *Operation) string {
	path := map[string]string{"service": "/", "bucket": "/bucket", "object": "/bucket/key"}[o.Scope]
	if o.Sub != "" {
		path += "?" + o.Sub
	}
	if o.Sub2 != "" {
		path += "&" + o.Sub2
	}
	if o.Header != "" {
		path += ", " + strings.ToLower(o.Header)
	}
	return "`" + o.Method + " " + path + "`"
}

func TestCompatibilityPage(t *testing.T) {
	path := filepath.Join("..", "docs", "s3-compatibility.md")
	want := compatibility()
	if *update {
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the table says (%v): run with -update", path, err)
	}
}

// Each row is found by the request it describes, and answers 501 if it is not there.
func TestEveryOperationIsFound(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, o := range operations {
		path := [...]string{"/", "/bucket", "/bucket/key"}[o.scope]
		if o.sub != "" {
			path += "?" + o.sub + "=1"
		}
		if o.sub2 != "" {
			path += "&" + o.sub2 + "=x"
		}
		header := map[string]string{}
		if o.header != "" {
			header[o.header] = "/bucket/source"
		}
		c := call{method: o.method, path: path, header: header}
		r := &request{s: k.server, http: k.request(c)}
		check(t, r.target())
		var err error
		r.query, err = parseQuery(nil, r.http.URL.RawQuery)
		check(t, err)
		if seen, ok := OperationOf(r.http); !ok || seen != o.seen() {
			t.Errorf("%s %s is seen as %v", o.method, path, seen)
		}
		found := k.server.ops.find(r)
		if found == nil || found.name != o.name {
			t.Errorf("%s %s finds %v, want %s", o.method, path, found, o.name)
			continue
		}
		if o.handle == nil {
			if a := k.do(c); a.status != http.StatusNotImplemented {
				t.Errorf("%s: %d", o.name, a.status)
			}
			c.anonymous = true
			if a := k.do(c); a.status != http.StatusForbidden {
				t.Errorf("%s, anonymous: %d", o.name, a.status)
			}
		}
	}
}

// Source: Amazon S3 API Reference, "List of error codes"; InsufficientStorage is ours, as the status is WebDAV's.
func TestErrorTable(t *testing.T) {
	want := map[string]int{
		"NoSuchKey": 404, "NoSuchUpload": 404, "PreconditionFailed": 412, "InvalidPart": 400, "OperationAborted": 409, "RequestTimeout": 400,
		"InsufficientStorage": 507, "ServiceUnavailable": 503, "SlowDown": 503, "InternalError": 500, "IncompleteBody": 400, "BadDigest": 400,
		"InvalidPartOrder": 400, "EntityTooSmall": 400, "EntityTooLarge": 400, "InvalidRequest": 400, "InvalidPartNumber": 416,
		"NoSuchVersion": 404, "AccessDenied": 403,
	}
	for _, row := range s3Errors {
		if want[row.api.code] != row.api.status {
			t.Errorf("%v: %s is %d, want %d", row.is, row.api.code, row.api.status, want[row.api.code])
		}
		wrapped := toAPI(fmt.Errorf("somewhere: %w", row.is))
		if wrapped.code != row.api.code || row.api.status == 503 && !wrapped.retry {
			t.Errorf("%v: wrapped it is %s, retry %v", row.is, wrapped.code, wrapped.retry)
		}
	}
	if toAPI(fmt.Errorf("unheard of")).code != "InternalError" {
		t.Error("an unknown error is not InternalError")
	}
}
