package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// TestFirstStart is the README's first minute: one command, credentials once, and a restart that keeps all.
func TestFirstStart(t *testing.T) {
	s := newServer(t, options{paths: []string{"./data/d{1...6}"}, noCreds: true})
	began := time.Now()
	s.run()
	s.waitReady(10 * time.Second)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ready after %s", took)
	}
	key := s.stdout(`export AWS_ACCESS_KEY_ID=(\S+)`)[1]
	secret := s.stdout(`export AWS_SECRET_ACCESS_KEY=(\S+)`)[1]
	s.stdout(`6 drives, any 2 drives may be lost`)
	s.stdout(`(?m)^aws .*mb s3://`)
	c := s.client()
	c.cred = sigv4.Credentials{AccessKey: key, Secret: secret}
	must(t, c.makeBucket("first"))
	body := content(1, 3<<20)
	must(t, c.put("first", "small", []byte("small")))
	must(t, c.put("first", "large", body))
	s.stop()
	s.restart()
	for name, want := range map[string][]byte{"small": []byte("small"), "large": body} {
		got, err := c.get("first", name)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d other bytes after the restart", name, len(got))
		}
	}
	out, err := os.ReadFile(s.out)
	must(t, err)
	if strings.Contains(string(out), secret) {
		t.Error("the secret was printed again")
	}
	log, err := os.ReadFile(s.log)
	must(t, err)
	if bytes.Contains(log, []byte(secret)) {
		t.Error("the secret is in the log")
	}
	if c.cred.Secret = "wrong-" + secret; code(c.put("first", "x", nil)) != "SignatureDoesNotMatch" {
		t.Error("a wrong secret is not refused")
	}
}

// TestCommands runs the commands that ask a server.
func TestCommands(t *testing.T) {
	s := start(t, options{})
	c := s.client()
	must(t, c.makeBucket("commands"))
	must(t, c.put("commands", "k", content(1, 100_000)))
	for _, args := range [][]string{
		{"status"}, {"drive", "ls"}, {"heal", "status"}, {"heal", "pause"}, {"heal", "resume"}, {"heal", "start"},
		{"scrub", "start", "--wait"}, {"scrub", "status"}, {"quarantine", "ls"}, {"version"},
		{"doctor", "--endpoint", s.url()},
		{"bench", "mixed", "--duration", "500ms", "--size", "16KiB", "--objects", "64", "--endpoint", s.url()},
		{"bench", "multipart", "--duration", "500ms", "--part-size", "5MiB", "--concurrency", "2", "--endpoint", s.url()},
		{"bench", "list", "--duration", "300ms", "--objects", "2500", "--prefixes", "2", "--endpoint", s.url()},
	} {
		out, err := s.sherd(args...)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		t.Logf("sherd %s\n%s", strings.Join(args, " "), out)
	}
	st, err := s.status()
	must(t, err)
	if !st.Healthy || len(st.Drives) != 6 || st.Usage.Objects != 1 || st.Usage.Bytes != 100_000 || st.Buckets != 1 {
		t.Errorf("status: %+v", st)
	}
	if len(st.Pools) != 1 || st.Pools[0].K != 4 || st.Pools[0].M != 2 || st.Pools[0].MayLoseNow != 2 {
		t.Errorf("pools: %+v", st.Pools)
	}
	found := false
	for _, p := range st.Problems {
		found = found || strings.Contains(p.Text, "6 drives on 1 device")
	}
	if !found {
		t.Errorf("nothing says that all drives are on one device: %+v", st.Problems)
	}
}

// TestRefusedStarts wants one line with a remedy for each reason not to start.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	s := start(t, options{drives: 1})
	file := filepath.Join(s.dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	used := t.TempDir()
	must(t, os.WriteFile(filepath.Join(used, "holiday.jpg"), []byte("x"), 0o600))
	for name, args := range map[string][]string{
		"port":       {"--listen", strings.TrimPrefix(s.url(), "http://"), filepath.Join(s.dir, "other")},
		"file":       {"--listen", "127.0.0.1:0", file},
		"locked":     {"--listen", "127.0.0.1:0", s.drives[0]},
		"not empty":  {"--listen", "127.0.0.1:0", used},
		"ec":         {"--listen", "127.0.0.1:0", "--ec", "4+2", filepath.Join(s.dir, "other{1...3}")},
		"braces":     {"--listen", "127.0.0.1:0", "/d{1..6}"},
		"no drives":  {},
		"bad config": {"--config", file + ".none", filepath.Join(s.dir, "other")},
	} {
		cmd := exec.Command(binary, append([]string{"server"}, args...)...)
		cmd.Env = append(os.Environ(), s.env...)
		done := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		done.Stop()
		last := strings.TrimSpace(string(out))
		last = last[strings.LastIndexByte(last, '\n')+1:]
		if cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(last, "sherd: ") || strings.Contains(string(out), "goroutine ") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		t.Logf("%s: %s", name, last)
	}
	if _, err := os.Stat(filepath.Join(used, "sherd.json")); err == nil {
		t.Error("a directory with somebody's files was formatted")
	}
}

// TestDriveCounts starts every default profile, writes, reads and restarts.
func TestDriveCounts(t *testing.T) {
	t.Parallel()
	counts := []int{1, 2, 3, 4, 5}
	if *soak {
		counts = append(counts, 6, 7, 12, 16)
	}
	for _, n := range counts {
		s := start(t, options{drives: n})
		c := s.client()
		must(t, c.makeBucket("counts"))
		body := content(uint64(n), 1_500_000)
		must(t, c.put("counts", "k", body))
		must(t, c.put("counts", "inline", []byte("x")))
		s.kill9()
		s.restart()
		got, err := c.get("counts", "k")
		must(t, err)
		if !bytes.Equal(got, body) {
			t.Errorf("%d drives: other bytes", n)
		}
		s.stop()
	}
}
