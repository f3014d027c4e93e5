package s3

import (
	"testing"

	"github.com/sherd-io/sherd/gateway"
)

// casesMin is how many cases there are at least.
const casesMin = 600

// closed are operations that no request for a general purpose bucket succeeds with, each with the reason.
var closed = map[string]string{
	"CreateSession":          "directory buckets only",
	"RenameObject":           "directory buckets only",
	"GetObjectTorrent":       "AWS has ended it",
	"SelectObjectContent":    "AWS has closed it to new customers",
	"RestoreObject":          "nothing is archived",
	"UpdateObjectEncryption": "there is no key service",
}

// Every operation of the router has a case that succeeds and two that fail, whether it is served yet or not.
func TestEveryOperationHasCases(t *testing.T) {
	type counts struct{ succeed, fail int }
	seen := map[gateway.Operation]*counts{}
	for _, o := range gateway.Operations() {
		seen[o] = new(counts)
	}
	cases := 0
	for _, g := range groups() {
		for _, k := range g.cases {
			cases++
			r := &run{t: t, group: g.name, k: &k, vars: map[string]string{"bucket": "bucket", "none": "none"}}
			h, err := r.build(k.do)
			if err != nil {
				t.Errorf("%s/%s: %v", g.name, k.name, err)
				continue
			}
			o, ok := gateway.OperationOf(h)
			switch {
			case !ok:
			case k.want.status < 400:
				seen[o].succeed++
			default:
				seen[o].fail++
			}
		}
	}
	if cases < casesMin {
		t.Errorf("%d cases, want %d", cases, casesMin)
	}
	for o, n := range seen {
		if n.succeed == 0 && closed[o.Name] == "" {
			t.Errorf("%s of a %s: no case succeeds", o.Name, o.Scope)
		}
		if n.fail < 2 {
			t.Errorf("%s of a %s: %d cases fail, want two", o.Name, o.Scope, n.fail)
		}
	}
	t.Logf("%d cases for %d operations", cases, len(seen))
}

// Names are what a run and people find a case by; a page is what it can be judged by.
func TestCasesAreNamed(t *testing.T) {
	names := map[string]bool{}
	for _, g := range groups() {
		for _, k := range g.cases {
			name := g.name + "/" + k.name
			if names[name] || k.name == "" || k.doc == "" {
				t.Errorf("%s: named twice, or without a name or a page", name)
			}
			names[name] = true
		}
	}
}
