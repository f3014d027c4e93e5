package member

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// TestMain is also the child: the supervisor starts the test binary again.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_ETCD_CHILD") != "" {
		if err := RunChild(os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testOptions makes n drives.
func testOptions(t testing.TB, n int) Options {
	t.Helper()
	opt := Options{
		Cluster: ids.NewCluster(), Bootstrap: true, Sole: true,
		Command: []string{selfExe}, Env: []string{"TEST_ETCD_CHILD=1"},
		CheckEvery: 100 * time.Millisecond, HeartbeatEvery: 50 * time.Millisecond, ElectionAfter: 500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	root := t.TempDir()
	for i := range n {
		h := Host{Drive: ids.NewDrive(), Path: filepath.Join(root, fmt.Sprint("d", i+1))}
		blankDrive(t, h)
		opt.Drives = append(opt.Drives, h)
		opt.Want = append(opt.Want, h.Drive)
	}
	return opt
}

// blankDrive makes a drive's directory as it is after formatting.
func blankDrive(t testing.TB, h Host) {
	t.Helper()
	if err := os.MkdirAll(h.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Path, "sherd.json"), []byte(`{"drive":"`+h.Drive.String()+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	if os.Getenv("TEST_ETCD_LOG") != "" {
		os.Stderr.Write(b)
	}
	return len(b), nil
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	t.Cleanup(cancel)
	return ctx
}

func start(t testing.TB, opt Options) *Supervisor {
	t.Helper()
	s, err := Start(testContext(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s *Supervisor, key, value string) {
	t.Helper()
	if _, err := s.client.Put(testContext(t), key, value); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(t testing.TB, s *Supervisor, key string) string {
	t.Helper()
	got, err := s.client.Get(testContext(t), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if len(got.Kvs) == 0 {
		return ""
	}
	return string(got.Kvs[0].Value)
}

// signalChild signals the child of s, once there is one: to process 0 it would go to this process's whole group.
func signalChild(t testing.TB, s *Supervisor, sig syscall.Signal) (pid int) {
	t.Helper()
	poll.True(t, poll.Within, "a child to signal", func() bool { pid = s.Pid(); return pid > 0 })
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	return pid
}
