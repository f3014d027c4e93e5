package clients

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/poll"
)

const (
	rootUser     = "SHERDTEST"
	rootPassword = "a-password-for-tests"
	stopLimit    = time.Minute
)

// server is one sherd with six drives.
type server struct {
	t       *testing.T
	address string
	log     string // file
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// start starts a server, waits until it is ready, and stops it when t ends.
func start(t *testing.T, binary string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, address: freeAddress(t), log: filepath.Join(dir, "log"), ended: make(chan struct{})}
	args := []string{"server", "--listen", s.address}
	for i := range 6 {
		args = append(args, filepath.Join(dir, "d"+strconv.Itoa(i+1)))
	}
	log, err := os.Create(s.log)
	must(t, err)
	defer log.Close()
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = append(os.Environ(), "SHERD_ROOT_USER="+rootUser, "SHERD_ROOT_PASSWORD="+rootPassword)
	s.cmd.Dir = dir
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, s.cmd.Start())
	go func() { s.cmd.Wait(); close(s.ended) }()
	t.Cleanup(s.stop)
	poll.Nil(t, poll.Within, "ready", func() error { _, err := s.get("/_/ready"); return err })
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (s *server) url() string { return "http://" + s.address }

// get reads one of sherd's own pages.
func (s *server) get(path string) (string, error) {
	res, err := http.Get(s.url() + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return string(text), err
}

// stop ends the server as systemd would, and looks for what must never be in its log.
func (s *server) stop() {
	select {
	case <-s.ended:
		s.t.Error("the server ended by itself")
	default:
		s.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-s.ended:
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			s.t.Errorf("the server stopped with code %d", code)
		}
	case <-time.After(stopLimit):
		s.t.Errorf("the server did not stop within %s", stopLimit)
		s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.ended
	}
	log, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
	}
	if i := bytes.Index(log, []byte("panic:")); i >= 0 {
		s.t.Errorf("a panic:\n%s", log[i:min(len(log), i+6000)])
	}
	if s.t.Failed() {
		kept := filepath.Join(os.TempDir(), "sherd-failed-"+strings.ReplaceAll(s.t.Name(), "/", "-")+".log")
		os.WriteFile(kept, log, 0o600)
		s.t.Logf("the server's log is kept as %s", kept)
	}
}

var (
	requestCounter = regexp.MustCompile(`(?m)^sherd_s3_requests_total\{code="(\w+)",op="(\w+)"\} (\d+)`)
	errorCounter   = regexp.MustCompile(`(?m)^sherd_s3_server_errors_total\{code="(\w+)"\} (\d+)`)
)

// checkAnswers logs what the client asked for, and fails for every 5xx but 501 NotImplemented.
func (s *server) checkAnswers() {
	s.t.Helper()
	text, err := s.get("/_/metrics")
	must(s.t, err)
	var asked []string
	for _, m := range requestCounter.FindAllStringSubmatch(text, -1) {
		if m[3] != "0" {
			asked = append(asked, fmt.Sprintf("%s %s×%s", m[2], m[3], m[1]))
		}
	}
	slices.Sort(asked)
	if len(asked) == 0 {
		s.t.Error("the server counted no requests")
	}
	s.t.Log("the server answered ", strings.Join(asked, ", "))
	for _, m := range errorCounter.FindAllStringSubmatch(text, -1) {
		if m[1] != "NotImplemented" && m[2] != "0" {
			s.t.Errorf("%s answers were %s", m[2], m[1])
		}
	}
}
