package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/member/membertest"
)

func TestMain(m *testing.M) { membertest.Main(m) }

// supervise runs n members and opens a store on them.
func supervise(t *testing.T, n int) (*member.Supervisor, *Store, []member.Host) {
	t.Helper()
	command, env := membertest.Child()
	opt := member.Options{
		Cluster: ids.NewCluster(), Bootstrap: true, Sole: true,
		Command: command, Env: env, CheckEvery: 100 * time.Millisecond, Logger: logOf(t),
	}
	root := t.TempDir()
	for i := range n {
		h := member.Host{Drive: ids.NewDrive(), Path: filepath.Join(root, fmt.Sprint("d", i))}
		if err := errors.Join(os.Mkdir(h.Path, 0o755), os.WriteFile(filepath.Join(h.Path, "sherd.json"), []byte(`{"drive":"`+h.Drive.String()+`"}`), 0o600)); err != nil {
			t.Fatal(err)
		}
		opt.Drives, opt.Want = append(opt.Drives, h), append(opt.Want, h.Drive)
	}
	sup, err := member.Start(testContext(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sup.Close() })
	s, err := Open(testContext(t), Options{
		Endpoints: sup.Endpoints(), Dialer: sup.Dial, Redial: sup.Redial, RequestTimeout: poll.Within, Logger: logOf(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return sup, s, opt.Drives
}

// logOf is a log that is shown if the test fails.
func logOf(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TestMembersComeAndGoUnseen: buckets are made while directories of members are deleted, and once the whole etcd process
// is killed. Every change succeeds within its deadline, and the map never shows one twice, out of order or lost.
func TestMembersComeAndGoUnseen(t *testing.T) {
	sup, s, drives := supervise(t, 3)
	ctx := testContext(t)
	if err := s.Bootstrap(ctx, initial(t, 6)); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	run, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for run.Err() == nil {
			name := fmt.Sprintf("b%05d", made.Load())
			b, created, err := s.CreateBucket(context.Background(), placement.Bucket{Name: name, Owner: "sherd", Pool: 1})
			if err != nil || !created || int64(b.ID) <= made.Load() {
				done <- fmt.Errorf("%s: %v, created %v: %w", name, b, created, err)
				return
			}
			made.Add(1)
		}
		done <- nil
	}()
	await := func(n int64) {
		t.Helper()
		ctx, cancel := context.WithCancelCause(testContext(t))
		defer cancel(nil)
		go func() {
			select {
			case err := <-done:
				done <- err // for who looks at the end
				cancel(err)
			case <-ctx.Done():
			}
		}()
		if _, err := s.Wait(ctx, func(m *placement.Map) bool { return int64(len(m.Buckets)) >= n }); err != nil {
			err = context.Cause(ctx)
			t.Fatalf("at %d buckets, with members %+v: %v", made.Load(), sup.Members(), err)
		}
	}
	await(20)
	for _, i := range []int{0, 1, 2} { // each once: the leader is among them
		before := sup.Members()
		for os.RemoveAll(filepath.Join(drives[i].Path, "etcd")) != nil {
		}
		poll.True(t, poll.Within, "the loss of a member", func() bool { return !sameMembers(before, sup.Members()) })
		if err := sup.Reconcile(testContext(t), drives); err != nil {
			t.Fatal(err)
		}
		await(made.Load() + 10)
	}
	child := 0 // to process 0 the signal would go to this process's whole group
	poll.True(t, poll.Within, "a child to kill", func() bool { child = sup.Pid(); return child > 0 })
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(made.Load() + 10)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(testContext(t)); err != nil {
		t.Fatal(err)
	}
	m := s.Map()
	for i := range made.Load() {
		if m.Buckets[fmt.Sprintf("b%05d", i)] == nil {
			t.Fatalf("bucket %d of %d is not in the map", i, made.Load())
		}
	}
	t.Logf("%d buckets made", made.Load())
}

func sameMembers(a, b []member.Status) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || !b[i].Ready {
			return false
		}
	}
	return true
}
