package policy

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/access.md")

const page = "../../docs/access.md"

// TestPageTables: the tables of actions, keys and built-in policies on the page for operators are those of the code.
func TestPageTables(t *testing.T) {
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := have
	for name, table := range map[string]string{"actions": actionTable(), "keys": keyTable(), "managed": managedTable()} {
		begin := []byte("<!-- " + name + " -->\n")
		i := bytes.Index(want, begin)
		if i < 0 {
			t.Fatalf("%s has no table of %s", page, name)
		}
		i += len(begin)
		n := bytes.Index(want[i:], []byte("<!-- end -->"))
		want = []byte(string(want[:i]) + table + string(want[i+n:]))
	}
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(have, want) {
		t.Errorf("%s is not what the tables say: run with -update", page)
	}
}

func actionTable() string {
	kinds := []struct {
		of   resourceKind
		name string
	}{{bucketResource, "bucket"}, {objectResource, "object"}, {serviceResource, "none: `\"*\"`"}, {otherResource, "what there is none of here"}}
	var b strings.Builder
	b.WriteString("| resource | actions |\n|---|---|\n")
	for _, kind := range kinds {
		var names []string
		for _, a := range actions {
			if a.resource == kind.of {
				names = append(names, "`"+strings.TrimPrefix(a.name, "s3:")+"`")
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", kind.name, strings.Join(names, ", "))
	}
	return b.String()
}

func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | actions that have it |\n|---|---|\n")
	var global []string
	for _, k := range conditionKeys {
		name := "`" + k.name + "`"
		if strings.HasSuffix(k.name, "/") {
			name = "`" + k.name + "…`"
		}
		if strings.HasPrefix(k.name, "aws:") {
			global = append(global, name)
			continue
		}
		of := "all"
		if k.of != everyAction {
			of = strings.Join(actionsWith(k.of), ", ")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, of)
	}
	fmt.Fprintf(&b, "| %s | all |\n", strings.Join(global, ", "))
	return b.String()
}

func actionsWith(keys keySet) []string {
	var names []string
	for _, a := range actions {
		if a.keys&keys != 0 {
			names = append(names, strings.TrimPrefix(a.name, "s3:"))
		}
	}
	return names
}

func managedTable() string {
	var b strings.Builder
	b.WriteString("| ARN | allows |\n|---|---|\n")
	for _, m := range Managed() {
		actions := regexp.MustCompile(`"Action":(\[[^]]*\]|"[^"]*")`).FindStringSubmatch(m.Document)[1]
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", m.ARN, strings.ReplaceAll(strings.Trim(actions, `[]`), `"`, ""))
	}
	return b.String()
}

// TestPageRecipes: the recipes of the page are taken, those with a principal as policies of the bucket they name.
func TestPageRecipes(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	recipes := regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllSubmatch(text, -1)
	if len(recipes) < 4 {
		t.Fatalf("%d recipes", len(recipes))
	}
	for _, recipe := range recipes {
		document := string(recipe[1])
		_, err := ParseIdentity(document)
		if strings.Contains(document, `"Principal"`) {
			bucket := regexp.MustCompile(`arn:aws:s3:::([a-z]+)`).FindStringSubmatch(document)[1]
			_, err = ParseBucket(document, bucket)
		}
		if err != nil {
			t.Errorf("%s: %v", document, err)
		}
	}
}

// TestPageOperators: the page names every operator.
func TestPageOperators(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operators {
		if !bytes.Contains(text, []byte("`"+op.name+"`")) {
			t.Errorf("%s is not on the page", op.name)
		}
	}
}
