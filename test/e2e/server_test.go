package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// server is one sherd process, and what it needs to be started again.
type server struct {
	t      *testing.T
	dir    string
	drives []string
	host   string // 127.0.0.1
	netns  string // network namespace; empty: the test's own
	port   int
	flags  []string
	env    []string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process of cmd has ended
	log    string        // file; all runs append to it
	out    string        // stdout of the last run
	killed bool
	wiped  []string // ids of drives whose directories were removed
}

// options are what a test may choose.
type options struct {
	drives   int // 6
	paths    []string
	flags    []string
	noCreds  bool // let the server make its own
	notReady bool // do not wait
}

const (
	rootUser     = "SHERDTEST"
	rootPassword = "a-password-for-tests"
)

// newServer prepares a server in a fresh directory and stops it when t ends.
func newServer(t *testing.T, opt options) *server {
	t.Helper()
	dir := t.TempDir()
	if *keep {
		var err error
		if dir, err = os.MkdirTemp("", "sherd-kept-"); err != nil {
			t.Fatal(err)
		}
		t.Log("kept: ", dir)
	}
	s := &server{t: t, dir: dir, host: "127.0.0.1", port: freePort(t), flags: opt.flags, log: filepath.Join(dir, "log"), drives: opt.paths}
	if opt.drives == 0 {
		opt.drives = 6
	}
	for i := range opt.drives {
		if opt.paths == nil {
			s.drives = append(s.drives, filepath.Join(dir, "d"+strconv.Itoa(i+1)))
		}
	}
	if !opt.noCreds {
		s.env = []string{"SHERD_ROOT_USER=" + rootUser, "SHERD_ROOT_PASSWORD=" + rootPassword}
	}
	t.Cleanup(s.finish)
	return s
}

// start is newServer, running and ready.
func start(t *testing.T, opt options) *server {
	t.Helper()
	s := newServer(t, opt)
	s.run()
	if !opt.notReady {
		s.waitReady(30 * time.Second)
	}
	return s
}

// The ports of servers. Below those that the kernel gives to connections and to whoever asks for any: a server has its port for itself while
// it is down, too, and between this and its start.
const firstPort, lastPort = 10_000, 32_000

// ports counts those given, from anywhere, for other runs beside this one.
var ports atomic.Int64

func init() { ports.Store(rand.Int64N(lastPort - firstPort)) }

// freePort is a port that nobody listens on, and that is given only once.
func freePort(t *testing.T) int {
	t.Helper()
	for range lastPort - firstPort {
		port := firstPort + int(ports.Add(1)%(lastPort-firstPort))
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func (s *server) address() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

func (s *server) url() string { return "http://" + s.address() }

// run starts the process. Its stdout and stderr go to files, which outlive it.
func (s *server) run() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.out = s.log + ".out"
	out, err := os.Create(s.out)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	args := slices.Concat([]string{binary, "server", "--listen", s.address()}, s.flags, s.drives)
	if s.netns != "" {
		args = append([]string{"ip", "netns", "exec", s.netns}, args...) // which becomes the server, under the same id
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = out, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.killed = false
	ended, cmd := make(chan struct{}), s.cmd
	s.ended = ended
	go func() { cmd.Wait(); close(ended) }()
}

// running reports whether the process lives.
func (s *server) running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func (s *server) waitReady(within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, "ready", func() error {
		if !s.running() {
			s.t.Fatalf("the server ended by itself:\n%s", s.logTail(40))
		}
		res, err := http.Get(s.url() + "/_/ready")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			text, _ := io.ReadAll(res.Body)
			return fmt.Errorf("%d %s", res.StatusCode, text)
		}
		return nil
	})
}

// kill9 ends the process at once; its children must die with it.
func (s *server) kill9() {
	s.t.Helper()
	if !s.running() {
		s.t.Fatalf("the server ended by itself:\n%s", s.logTail(40))
	}
	children := descendants(s.cmd.Process.Pid)
	s.killed = true
	s.cmd.Process.Kill()
	<-s.ended
	eventually(s.t, 10*time.Second, "the children's end", func() error {
		for _, pid := range children {
			if isLive(pid) {
				return fmt.Errorf("process %d lives on", pid)
			}
		}
		return nil
	})
}

// stop ends the process as systemd would, and wants exit code 0.
func (s *server) stop() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.waitStopped()
}

// waitStopped waits for the end that was asked for.
func (s *server) waitStopped() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(40 * time.Second):
		s.t.Fatal("the server did not stop within 40 s")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("stopped with code %d:\n%s", code, s.logTail(30))
	}
	s.killed = true
}

func (s *server) restart() {
	s.t.Helper()
	s.run()
	s.waitReady(60 * time.Second)
}

// alive fails t if the process has ended.
func (s *server) alive() {
	s.t.Helper()
	if !s.running() {
		s.t.Fatalf("the server ended by itself:\n%s", s.logTail(40))
	}
}

// finish ends the server after a test, and looks for what must never be in its log.
func (s *server) finish() {
	if s.t.Failed() && s.cmd != nil && s.running() { // where all goroutines are tells most about what hangs
		s.killed = true
		s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.ended
	}
	if s.cmd != nil && s.running() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(40 * time.Second):
			s.t.Error("the server did not stop within 40 s")
			syscall.Kill(s.cmd.Process.Pid, syscall.SIGQUIT)
			<-s.ended
		}
	} else if s.cmd != nil && !s.killed {
		s.t.Error("the server ended by itself")
	}
	log, _ := os.ReadFile(s.log)
	if quit := bytes.Index(log, []byte("SIGQUIT: quit")); quit >= 0 {
		defer os.WriteFile(filepath.Join(os.TempDir(), s.failedName()+".stacks"), log[quit:], 0o600)
		log = log[:quit]
	}
	// A disk error ends etcd by a panic; that is why it has a process of its own, whose last words the server repeats.
	own := bytes.ReplaceAll(log, []byte(`"msg":"etcd: panic:`), []byte(`"msg":"etcd: `))
	for _, bad := range []string{"panic:", "DATA RACE", "fatal error:", "goroutine stack exceeds"} {
		if i := bytes.Index(own, []byte(bad)); i >= 0 {
			s.t.Errorf("%q in the log:\n%s", bad, own[i:min(len(own), i+6000)])
		}
	}
	if s.t.Failed() {
		s.logDrives()
		kept := filepath.Join(os.TempDir(), s.failedName()+".log")
		os.WriteFile(kept, log, 0o600)
		s.t.Logf("the server's log is kept as %s; its end:\n%s", kept, s.logTail(15))
	}
}

// failedName is of what is kept when a test fails.
func (s *server) failedName() string {
	name := "sherd-failed-" + strings.ReplaceAll(s.t.Name(), "/", "-")
	if node := s.nodeName(); node != "" {
		name += "-" + node
	}
	return name
}

// nodeName is the --node of a server; empty if it has none.
func (s *server) nodeName() string {
	if i := slices.Index(s.flags, "--node"); i >= 0 {
		return s.flags[i+1]
	}
	return ""
}

// logDrives logs what lies in each drive's directory.
func (s *server) logDrives() {
	for _, d := range s.drives {
		var names []string
		entries, err := os.ReadDir(d)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		s.t.Logf("%s: %v %v", d, names, err)
	}
}

func (s *server) logTail(lines int) string {
	b, _ := os.ReadFile(s.log)
	b, _, _ = bytes.Cut(b, []byte("SIGQUIT: quit"))
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// stdout waits for a match of pattern in what the last run printed.
func (s *server) stdout(pattern string) []string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	var m []string
	eventually(s.t, 5*time.Second, "output "+pattern, func() error {
		b, err := os.ReadFile(s.out)
		if err != nil {
			return err
		}
		if m = re.FindStringSubmatch(string(b)); m == nil {
			return fmt.Errorf("printed only: %s", b)
		}
		return nil
	})
	return m
}

// sherd runs another command of the binary against this server and returns its stdout.
func (s *server) sherd(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+rootUser, "AWS_SECRET_ACCESS_KEY="+rootPassword, "AWS_ENDPOINT_URL="+s.url())
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("sherd %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// admin reads one page of the admin API through the command line.
func admin[T any](s *server, args ...string) (T, error) {
	var v T
	out, err := s.sherd(append(args, "--json")...)
	if err != nil && out == "" {
		return v, err
	}
	return v, json.Unmarshal([]byte(out), &v)
}

func (s *server) status() (adminapi.Status, error) { return admin[adminapi.Status](s, "status") }

// waitHealed waits until every blob is at full strength, every drive up, every range and member whole.
func (s *server) waitHealed(within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, "full strength", func() error {
		s.alive()
		st, err := s.status()
		if err != nil {
			return err
		}
		for _, d := range st.Drives {
			if d.State == "up" && slices.Contains(s.wiped, d.ID) {
				return fmt.Errorf("drive %s, which was wiped, counts as up", d.Path)
			}
		}
		return whole(&st)
	})
}

// whole says what a status lacks of full strength.
func whole(st *adminapi.Status) error {
	for _, d := range st.Drives {
		if d.State != "up" && d.State != "out" {
			return fmt.Errorf("drive %s is %s: %s", d.Path, d.State, d.Reason)
		}
		if d.State == "up" && d.Queued > 0 {
			return fmt.Errorf("%d repairs wait for %s", d.Queued, d.Path)
		}
	}
	if err := rebuilt(st); err != nil {
		return err
	}
	for _, m := range st.Etcd {
		if !m.Healthy {
			return fmt.Errorf("etcd member %s: %s", m.Name, m.Reason)
		}
	}
	if !st.Healthy {
		return fmt.Errorf("not healthy: %v", st.Problems)
	}
	return nil
}

// rebuilt says what blobs and ranges lack, whichever drives they are on.
func rebuilt(st *adminapi.Status) error {
	for i, n := range st.Ledger.Short {
		if i > 0 && n > 0 {
			return fmt.Errorf("%d blobs lack %d shards", n, i)
		}
	}
	if !st.Ledger.Exact {
		return errors.New("the ledger is being counted")
	}
	for _, r := range st.Ranges {
		for _, p := range r.Replicas {
			if p.State != "leader" && p.State != "follower" {
				return fmt.Errorf("range %d: replica %d on %.8s is %s", r.ID, p.ID, p.Drive, p.State)
			}
		}
		if !r.Quorum || r.Leader == "" {
			return fmt.Errorf("range %d has no leader", r.ID)
		}
	}
	return nil
}

// descendants are the ids of all processes below pid.
func descendants(pid int) []int {
	parents := map[int]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil {
			if f := statFields(id); len(f) > 1 {
				parents[id], _ = strconv.Atoi(f[1])
			}
		}
	}
	var out []int
	for id := range parents {
		for at, ok := parents[id], true; ok; at, ok = parents[at] {
			if at == pid {
				out = append(out, id)
				break
			}
		}
	}
	return out
}

// statFields are those of /proc/PID/stat after the name: state, parent, …
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

func isLive(pid int) bool {
	f := statFields(pid)
	return len(f) > 0 && f[0] != "Z" && f[0] != "X"
}

// memory is the resident memory of the server's processes in bytes, each shared page counted once.
func (s *server) memory() int64 {
	total := int64(0)
	for _, pid := range append(descendants(s.cmd.Process.Pid), s.cmd.Process.Pid) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.SplitSeq(string(b), "\n") {
			var kib int64
			if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kib); n == 1 {
				total += kib << 10
			}
		}
	}
	return total
}

// metric reads one sample without labels from /_/metrics.
func (s *server) metric(name string) (float64, error) {
	res, err := http.Get(s.url() + "/_/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

func regexpFind(t *testing.T, pattern, text string) []string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not in %s", pattern, text)
	}
	return m
}
