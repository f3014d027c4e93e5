package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/spf13/pflag"
)

// TestPackagedConfig holds packaging/sherd.yaml to the server's flags: every one is there, commented, with its default,
// and none that does not exist.
func TestPackagedConfig(t *testing.T) {
	text, err := os.ReadFile("../../packaging/sherd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asShipped, err := parseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	delete(asShipped, drivesKey)
	for name := range asShipped {
		t.Errorf("packaging/sherd.yaml sets %q: comment it out", name)
	}
	all, err := parseConfig(regexp.MustCompile(`(?m)^#([a-z-]+:)`).ReplaceAll(text, []byte("$1")))
	if err != nil {
		t.Fatal(err)
	}
	flags := newServerCommand().Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == configFlag || f.Name == "help" {
			return
		}
		checkPackaged(t, flags, f, all)
		delete(all, f.Name)
	})
	delete(all, drivesKey)
	for name := range all {
		t.Errorf("packaging/sherd.yaml has %q, which is no flag", name)
	}
}

// checkPackaged sets f to what the file says, which must be what it is without.
func checkPackaged(t *testing.T, flags *pflag.FlagSet, f *pflag.Flag, all map[string][]string) {
	t.Helper()
	values, ok := all[f.Name]
	if !ok {
		t.Errorf("--%s is not in packaging/sherd.yaml", f.Name)
		return
	}
	if err := setFlag(flags, f, values); err != nil {
		t.Errorf("packaging/sherd.yaml: %s: %v", f.Name, err)
		return
	}
	if got := f.Value.String(); got != f.DefValue {
		t.Errorf("packaging/sherd.yaml: %s is %s, the default is %s", f.Name, got, f.DefValue)
	}
}
