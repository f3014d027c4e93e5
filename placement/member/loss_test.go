package member

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/poll"
)

// writer writes numbers under one key, in order, until stopped; a watcher checks that it sees every one that was
// acknowledged, in order and without a gap.
type writer struct {
	s      *Supervisor
	cancel context.CancelFunc
	done   chan struct{}
	acked  atomic.Int64
	errs   int
	seen   chan int
}

func startWriter(t *testing.T, s *Supervisor) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{s: s, cancel: cancel, done: make(chan struct{}), seen: make(chan int, 1<<20)}
	events := s.client.Watch(ctx, "n")
	go func() {
		defer close(w.seen)
		for resp := range events {
			for _, e := range resp.Events {
				var n int
				fmt.Sscan(string(e.Kv.Value), &n)
				w.seen <- n
			}
		}
	}()
	go func() {
		defer close(w.done)
		for n := 1; ctx.Err() == nil; {
			try, stop := context.WithTimeout(ctx, 5*time.Second)
			_, err := s.client.Put(try, "n", fmt.Sprint(n))
			stop()
			if err != nil {
				w.errs++
				continue // the same again: it may have been written
			}
			w.acked.Store(int64(n))
			n++
		}
	}()
	t.Cleanup(cancel)
	return w
}

// await waits until n writes are acknowledged.
func (w *writer) await(t *testing.T, n int64) {
	t.Helper()
	poll.True(t, poll.Within, "acknowledged writes", func() bool { return w.acked.Load() >= n })
}

// finish stops the writer and checks what the watcher saw.
func (w *writer) finish(t *testing.T) {
	t.Helper()
	w.cancel()
	<-w.done
	last := 0
	for n := range w.seen {
		if n != last && n != last+1 {
			t.Fatalf("the watcher saw %d after %d", n, last)
		}
		last = n
	}
	acked := int(w.acked.Load())
	t.Logf("%d writes acknowledged, %d tries failed", acked, w.errs)
	var stored int
	fmt.Sscan(get(t, w.s, "n"), &stored)
	if stored < acked {
		t.Fatalf("etcd has %d, acknowledged was %d", stored, acked)
	}
}

// awaitMembers waits until n members serve, those of this node with the content that a majority has, and no other is known.
func awaitMembers(t *testing.T, s *Supervisor, n int) {
	t.Helper()
	err := s.await(testContext(t), func() bool {
		voters := 0
		for _, p := range s.truth.Peers {
			if p.State == peerVoter && slices.Contains(s.ready, p.Name) && (slices.Contains(s.trusted, p.Name) || !s.own(p)) {
				voters++
			}
		}
		return voters == n && len(s.truth.Peers) == n
	})
	if err != nil {
		t.Fatalf("members %+v: %v", s.Members(), err)
	}
	var list []seen
	poll.Nil(t, poll.Within, "etcd's list", func() (err error) { list, err = s.list(testContext(t)); return err })
	if len(list) != n {
		t.Fatalf("etcd has %d members, want %d: %v", len(list), n, list)
	}
}

func pathOf(s *Supervisor, i int) string { return s.opt.Drives[i].Path }

func wipe(t *testing.T, path string) {
	t.Helper()
	for range 5 { // a member that runs may make files meanwhile
		if os.RemoveAll(path) == nil {
			return
		}
	}
	t.Fatalf("cannot remove %s", path)
}

func TestI9_MinorityOfDirectoriesDeletedWhileRunning(t *testing.T) {
	t.Parallel()
	s := start(t, testOptions(t, 5))
	put(t, s, "a", "1")
	before := s.Members()
	w := startWriter(t, s)
	wipe(t, filepath.Join(pathOf(s, 0), etcdDir))
	wipe(t, filepath.Join(pathOf(s, 3), etcdDir))
	err := s.await(testContext(t), func() bool {
		return s.truth.peer(before[0].Name) == nil && s.truth.peer(before[3].Name) == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, s, 5)
	w.finish(t)
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
	wipe(t, filepath.Join(pathOf(s, 1), etcdDir)) // and any other two
	wipe(t, filepath.Join(pathOf(s, 2), etcdDir))
	err = s.await(testContext(t), func() bool {
		return s.truth.peer(before[1].Name) == nil && s.truth.peer(before[2].Name) == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, s, 5)
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
}

func TestI9_MinorityOfDirectoriesDeletedWhileStopped(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 5)
	s := start(t, opt)
	put(t, s, "a", "1")
	before := s.Members()
	s.Close()
	wipe(t, filepath.Join(opt.Drives[1].Path, etcdDir))
	wipe(t, filepath.Join(opt.Drives[4].Path, etcdDir, before[4].Name))
	opt.Bootstrap = false
	s = start(t, opt)
	awaitMembers(t, s, 5)
	for _, m := range s.Members() {
		if m.Name == before[1].Name || m.Name == before[4].Name {
			t.Errorf("I9: %s was made again under its name", m.Name)
		}
	}
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
}

func TestI9_ReconcileMovesMembers(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 6)
	opt.Want = opt.Want[:5]
	s := start(t, opt)
	put(t, s, "a", "1")
	w := startWriter(t, s)
	wipe(t, pathOf(s, 0)) // the drive is gone
	want := slices.Clone(s.opt.Drives[1:])
	if err := s.Reconcile(testContext(t), want); err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, s, 5)
	// It comes back blank, as another drive at the same path, and a healthy member moves there.
	next := s.opt.Drives[0]
	next.Drive[0]++
	blankDrive(t, next)
	if err := s.Reconcile(testContext(t), append(want[:4:4], next)); err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, s, 5)
	for _, m := range s.Members() {
		if m.Drive == want[4].Drive {
			t.Errorf("a member is still on %s", m.Path)
		}
	}
	if hasAny(t, want[4].Path) {
		t.Errorf("%s still has a member's data", want[4].Path)
	}
	if err := s.Reconcile(testContext(t), want[:3]); err != nil { // fewer
		t.Fatal(err)
	}
	awaitMembers(t, s, 3)
	w.finish(t)
	s.Close()
	opt.Bootstrap = false
	s = start(t, opt)
	awaitMembers(t, s, 3)
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
}

func hasAny(t *testing.T, drive string) bool {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(drive, etcdDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if nameForm.MatchString(e.Name()) {
			return true
		}
	}
	return false
}

func TestKilledChildIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := start(t, testOptions(t, 3))
	w := startWriter(t, s)
	for range 3 {
		w.await(t, w.acked.Load()+2) // it serves again, by itself
		pid := signalChild(t, s, syscall.SIGKILL)
		if err := s.await(testContext(t), func() bool { return s.proc != nil && s.proc.cmd.Process.Pid != pid }); err != nil {
			t.Fatal(err)
		}
	}
	awaitMembers(t, s, 3)
	w.finish(t)
}

func TestSurvivorGoesOnAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ drives, lost int }{{2, 1}, {4, 2}} {
		for _, running := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d of %d running=%v", c.lost, c.drives, running), func(t *testing.T) {
				opt := testOptions(t, c.drives)
				s := start(t, opt)
				w := startWriter(t, s)
				put(t, s, "a", "1")
				w.await(t, 50)
				gone := rand.Perm(c.drives)[:c.lost]
				t.Logf("lost: %v", gone)
				if running {
					for _, i := range gone {
						wipe(t, filepath.Join(pathOf(s, i), etcdDir))
					}
				} else {
					w.finish(t)
					s.Close()
					for _, i := range gone {
						wipe(t, filepath.Join(opt.Drives[i].Path, etcdDir))
					}
					opt.Bootstrap = false
					s = start(t, opt)
				}
				err := s.await(testContext(t), func() bool { return s.truth.Generation == 2 })
				if err != nil {
					t.Fatal(err)
				}
				awaitMembers(t, s, c.drives)
				if running {
					w.finish(t)
				}
				if got := get(t, s, "a"); got != "1" {
					t.Fatalf("a = %q", got)
				}
				put(t, s, "b", "2")
				s.Close()
				opt.Bootstrap = false
				s = start(t, opt)
				awaitMembers(t, s, c.drives)
				if got := get(t, s, "b"); got != "2" {
					t.Fatalf("b = %q", got)
				}
			})
		}
	}
}

func TestI9_NoQuorumIsNotDecidedByItself(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 3)
	s := start(t, opt)
	put(t, s, "a", "1")
	s.Close()
	saved := t.TempDir()
	for _, h := range opt.Drives[:2] {
		if err := os.Rename(filepath.Join(h.Path, etcdDir), filepath.Join(saved, filepath.Base(h.Path))); err != nil {
			t.Fatal(err)
		}
	}
	opt.Bootstrap = false
	if _, err := Start(testContext(t), opt); !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("two of three lost: %v, want ErrNoQuorum", err)
	}
	for _, h := range opt.Drives[:2] {
		os.RemoveAll(filepath.Join(h.Path, etcdDir))
		if err := os.Rename(filepath.Join(saved, filepath.Base(h.Path)), filepath.Join(h.Path, etcdDir)); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, opt)
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
}

func TestI9_AFormerGenerationIsNeverStarted(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 2)
	s := start(t, opt)
	put(t, s, "a", "1")
	s.Close()
	away := opt.Drives[1].Path + ".away"
	if err := os.Rename(opt.Drives[1].Path, away); err != nil {
		t.Fatal(err)
	}
	opt.Bootstrap = false
	s = start(t, opt)
	put(t, s, "a", "2")
	s.Close()
	if err := os.Rename(away, opt.Drives[1].Path); err != nil {
		t.Fatal(err)
	}
	s = start(t, opt)
	if err := s.Reconcile(testContext(t), opt.Drives); err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, s, 2)
	if got := get(t, s, "a"); got != "2" {
		t.Fatalf("a = %q: the state went back", got)
	}
}
