package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestExpandBraces(t *testing.T) {
	for in, want := range map[string]string{
		"/a":                   "/a",
		"/d{1...3}":            "/d1 /d2 /d3",
		"/d{08...11}/x":        "/d08/x /d09/x /d10/x /d11/x",
		"/n{1...2}/d{1...2}":   "/n1/d1 /n1/d2 /n2/d1 /n2/d2",
		"/d{5...5}":            "/d5",
		"/d{0...1}":            "/d0 /d1",
		"":                     "error",
		"/d{1..6}":             "error",
		"/d{1...":              "error",
		"/d{6...1}":            "error",
		"/d{a...b}":            "error",
		"/d{1...99999}":        "error",
		"/{1...40}/{1...40}":   "error",
		"/{-1...2}":            "error",
		"/d{1...3}/e{1...oops": "error",
	} {
		out, err := expandBraces(in)
		got := strings.Join(out, " ")
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", in, got, err, want)
		}
	}
	if _, err := expandDrives([]string{"/d{1...3}", "/d2"}); err == nil || !strings.Contains(err.Error(), "/d2") {
		t.Errorf("a drive given twice: %v", err)
	}
	if out, err := expandDrives([]string{"./x/../d{1...2}"}); err != nil || !filepath.IsAbs(out[0]) || filepath.Base(out[1]) != "d2" {
		t.Errorf("relative: %v, %v", out, err)
	}
}

func TestConfigPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sherd.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type values struct {
		plain, dashed string
		list          []string
		number        int
		drives        []string
	}
	apply := func(env map[string]string, args ...string) (values, error) {
		var v values
		cmd := &cobra.Command{Use: "x"}
		addConfigFlag(cmd)
		cmd.Flags().StringVar(&v.plain, "plain", "default", "")
		cmd.Flags().StringVar(&v.dashed, "with-dash", "default", "")
		cmd.Flags().StringSliceVar(&v.list, "list", []string{"default"}, "")
		cmd.Flags().IntVar(&v.number, "number", 1, "")
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		get := func(name string) (string, bool) { s, ok := env[name]; return s, ok }
		if err := applyConfig(cmd, get); err != nil {
			return v, err
		}
		var err error
		v.drives, err = configDrives(cmd, cmd.Flags().Args(), get)
		return v, err
	}
	write("plain: file\nwith-dash: file\nlist: [a, 'b,c']\nnumber: 7\ndrives:\n  - /d{1...3}\n")

	v, err := apply(map[string]string{"SHERD_WITH_DASH": "env", "SHERD_CONFIG": path}, "--plain=flag")
	if err != nil || v.plain != "flag" || v.dashed != "env" || v.number != 7 || !slices.Equal(v.list, []string{"a", "b,c"}) || !slices.Equal(v.drives, []string{"/d{1...3}"}) {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = apply(map[string]string{"SHERD_LIST": "x,y", "SHERD_DRIVES": "/e1 /e2"}, "--config", path)
	if err != nil || !slices.Equal(v.list, []string{"x", "y"}) || !slices.Equal(v.drives, []string{"/e1", "/e2"}) || v.plain != "file" {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = apply(nil, "/f")
	if err != nil || v.plain != "default" || !slices.Equal(v.drives, []string{"/f"}) {
		t.Errorf("%+v, %v", v, err)
	}
	for text, want := range map[string]string{
		"plian: x":         `"plian"`,
		"number: many":     "number",
		"plain: [a, b]":    "one value",
		"plain: {a: b}":    "line 1",
		"plain: x\n- y":    "yaml",
		"list: [[a]]":      "plain values",
		"plain: a\nplain:": "already defined",
	} {
		write(text)
		if _, err := apply(nil, "--config", path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := apply(map[string]string{"SHERD_NUMBER": "x"}); err == nil || !strings.Contains(err.Error(), "SHERD_NUMBER") {
		t.Errorf("a bad value in the environment: %v", err)
	}
	if _, err := apply(nil, "--config", path+".none"); err == nil {
		t.Error("a file that is not there")
	}
}

// A variable that is misspelt is told of, and nothing that is a setting.
func TestStrangersInTheEnvironment(t *testing.T) {
	cmd, _, err := rootCommand().Find([]string{"server"})
	if err != nil {
		t.Fatal(err)
	}
	got := strangers(cmd.Flags(), []string{
		"SHERD_MEMORY_LIMT=1GiB", "SHERD_MEMORY_LIMIT=1GiB", "SHERD_CONFIG=x", "SHERD_DRIVES=x", "SHERD_ROOT_USER=x", "SHERD_ROOT_PASSWORD=x",
		"SHERD_CLUSTER_SECRET=x", "SHERD_TOKEN=x", "SHERD_ETCD_PASSWORD=x", "SHERD_LISTEN=x", "AWS_REGION=x", "SHERD_ADVERTIZE=x", "SHERDS=x",
	})
	if want := []string{"SHERD_ADVERTIZE", "SHERD_MEMORY_LIMT"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("a: b\nc: [d, e]\n"))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(t *testing.T, text []byte) { parseConfig(text) })
}

// TestServerConfigIsForAll: commands that take --config take the file of the server, with all that can be in it.
func TestServerConfigIsForAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sherd.yaml")
	text := "drives: [/d1, /d2]\nlisten: 127.0.0.1:1\nregion: eu-1\nec: 1+1\netcd: http://e:2379\nmemory-limit: 512MiB\nlog-level: warn\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"server"}, {"doctor"}, {"user", "reset-root"}, {"control", "restore"}} {
		cmd, _, err := rootCommand().Find(args)
		if err != nil {
			t.Fatal(err)
		}
		env := func(name string) (string, bool) { return path, name == "SHERD_CONFIG" }
		if err := applyConfig(cmd, env); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if drives, err := configDrives(cmd, nil, env); err != nil || len(drives) != 2 {
			t.Errorf("%v: drives %v, %v", args, drives, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "4096": 4096, "4KiB": 4096, "1.5 GiB": 3 << 29, "10MB": 1e7, "2k": 2048, "512MiB": 512 << 20, "7b": 7} {
		if n, err := parseBytes(in); err != nil || n != want {
			t.Errorf("%s: %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"", "x", "-1", "1XB", "9e99", "NaN"} {
		if n, err := parseBytes(in); err == nil {
			t.Errorf("%q: %d", in, n)
		}
	}
	if s := formatBytes(1536) + formatBytes(5); s != "1.5 KiB5 B" {
		t.Error(s)
	}
}
