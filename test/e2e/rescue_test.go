package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// rescued runs `sherd rescue` and returns, by key, what it wrote.
func rescued(t *testing.T, s *server, out string, args ...string) map[string][]byte {
	t.Helper()
	text, err := s.sherd(append([]string{"rescue", "--out", out, "--verbose"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Logf("%s", text)
	index, err := os.Open(filepath.Join(out, "index.jsonl"))
	must(t, err)
	defer index.Close()
	found := map[string][]byte{}
	lines := bufio.NewScanner(index)
	for lines.Scan() {
		var f struct{ Key, File, Problem string }
		must(t, json.Unmarshal(lines.Bytes(), &f))
		body, err := os.ReadFile(filepath.Join(out, f.File))
		must(t, err)
		found[f.Key] = body
	}
	return found
}

// TestRescue reads everything back from four of six bare directories, after a kill, by rows and logs; and then
// without any rows, by what the shards say.
func TestRescue(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	m := fill(t, s, "rescue")
	c := s.client()
	for _, key := range []string{"a", "a/b", "a/b/", "../../escape", "/", "x//y", "dot/./dot", "new\nline", "%41"} {
		v := version{seed: uint64(len(key)), size: 5000, there: true}
		must(t, c.put("rescue", key, v.body()))
		m.wrote(key, v, true)
	}
	big := version{seed: 3, size: 12<<20 + 3, there: true}
	must(t, c.multipart("rescue", "multi", big.body(), 5<<20))
	m.wrote("multi", big, true)
	for _, key := range []string{"f2/0", "f7/1"} {
		must(t, c.remove("rescue", key))
		m.wrote(key, version{}, true)
	}
	if _, err := s.sherd("rescue", "--list", s.drives[0]); err == nil {
		t.Error("rescue runs beside a server")
	}
	eventually(t, 30*time.Second, "a copy of the control state that names the bucket", func() error {
		b, err := os.ReadFile(filepath.Join(s.drives[1], "control.json"))
		if err == nil && !bytes.Contains(b, []byte("buckets/rescue")) {
			err = errors.New("not named")
		}
		return err
	})
	s.kill9()
	left := []string{s.drives[1], s.drives[2], s.drives[4], s.drives[5]}
	found := rescued(t, s, filepath.Join(s.dir, "out"), left...)
	compareRescued(t, m, found, 0)
	if _, err := os.Stat(filepath.Join(s.dir, "out", "rescue", "a")); err != nil {
		t.Error("the bucket's name was not found")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.dir), "escape")); err == nil {
		t.Error("a key left the output directory")
	}
	for _, d := range left {
		must(t, os.RemoveAll(filepath.Join(d, "rows")))
	}
	found = rescued(t, s, filepath.Join(s.dir, "out2"), left...)
	delete(found, "f7/1") // deleted, but its shards may still be there
	compareRescued(t, m, found, 2049)
}

// compareRescued wants all objects of at least least bytes, and no other bytes.
func compareRescued(t *testing.T, m *model, found map[string][]byte, least int) {
	t.Helper()
	for _, key := range m.names() {
		v := m.states(key)[0]
		body, ok := found[key]
		switch {
		case v.there && v.size >= least && (!ok || !bytes.Equal(body, v.body())):
			t.Errorf("%q: %d bytes, found: %v; want %v", key, len(body), ok, v)
		case !v.there && ok:
			t.Errorf("%q was deleted and is back", key)
		}
		delete(found, key)
	}
	for key := range found {
		t.Errorf("%q: nobody stored it", key)
	}
}

// TestResetRoot makes new root credentials on a stopped node.
func TestResetRoot(t *testing.T) {
	t.Parallel()
	s := start(t, options{noCreds: true})
	old := s.stdout(`export AWS_SECRET_ACCESS_KEY=(\S+)`)[1]
	key := s.stdout(`export AWS_ACCESS_KEY_ID=(\S+)`)[1]
	c := s.client()
	c.cred.AccessKey, c.cred.Secret = key, old
	must(t, c.makeBucket("reset"))
	if _, err := s.sherd(append([]string{"user", "reset-root"}, s.drives...)...); err == nil {
		t.Error("reset-root runs beside a server")
	}
	s.stop()
	out, err := s.sherd(append([]string{"user", "reset-root"}, s.drives...)...)
	must(t, err)
	fresh := regexpFind(t, `export AWS_ACCESS_KEY_ID=(\S+)\s+export AWS_SECRET_ACCESS_KEY=(\S+)`, out)
	s.run()
	s.waitReady(30 * time.Second)
	if code(c.put("reset", "k", nil)) != "InvalidAccessKeyId" {
		t.Error("the old credentials still work")
	}
	c.cred.AccessKey, c.cred.Secret = fresh[1], fresh[2]
	must(t, c.put("reset", "k", []byte("x")))
}
