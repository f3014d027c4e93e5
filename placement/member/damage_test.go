package member

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/poll"
)

// TestDamagedMember flips bits in each kind of file of one member's directory: the others serve, and the member is
// itself again or replaced, with the same content.
func TestDamagedMember(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 3)
	s := start(t, opt)
	for i := range 200 {
		put(t, s, fmt.Sprint("k", i), strings.Repeat("v", 200))
	}
	s.Close()
	opt.Bootstrap = false
	rng := rand.New(rand.NewPCG(1, 2))
	for round, kind := range []string{"db", ".wal", recordFile} {
		for again := range []int{3, 1, 1}[round] {
			victim := opt.Drives[(round+again)%3]
			n := damage(t, rng, filepath.Join(victim.Path, etcdDir), kind)
			t.Logf("%s: %d bits flipped", kind, n)
			s = start(t, opt)
			awaitMembers(t, s, 3)
			for _, m := range s.Members() {
				if got := count(t, s, m.Name); got != 200 {
					t.Errorf("%s: member %s has %d keys, want 200", kind, m.Name, got)
				}
			}
			s.Close()
		}
	}
}

// damage flips bits across each file below dir whose name ends in kind, where it is not empty.
func damage(t *testing.T, rng *rand.Rand, dir, kind string) (flipped int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(d.Name(), kind) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var used []int // not what is only preallocated
		for i, c := range b {
			if c != 0 {
				used = append(used, i)
			}
		}
		for range min(20, len(used)) {
			b[used[rng.IntN(len(used))]] ^= 1 << rng.IntN(8)
			flipped++
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return flipped
}

// count asks one member, not a quorum, what it has.
func count(t *testing.T, s *Supervisor, name string) int64 {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + s.socket(clientSocket(name))}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Get(testContext(t), "k", clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil {
		t.Fatalf("member %s: %v", name, err)
	}
	n := int64(0)
	for _, kv := range got.Kvs {
		if string(kv.Value) == strings.Repeat("v", 200) {
			n++
		}
	}
	return n
}

// TestChildDiesWithItsParent kills a server: its etcd must end too, and free what the next one needs.
func TestChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if root := os.Getenv("TEST_ETCD_PARENT"); root != "" {
		parent(t, root)
		return
	}
	root, run := t.TempDir(), t.TempDir()
	for range 3 {
		cmd := exec.Command(selfExe, "-test.run", "^TestChildDiesWithItsParent$")
		cmd.Env = append(os.Environ(), "TEST_ETCD_PARENT="+root, "TMPDIR="+run)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		child := 0
		for child == 0 && lines.Scan() {
			if pid, ok := strings.CutPrefix(lines.Text(), "child "); ok {
				child, _ = strconv.Atoi(pid)
			}
		}
		if child == 0 {
			t.Fatal("no child")
		}
		cmd.Process.Kill()
		cmd.Wait()
		poll.True(t, poll.Within, "the child's end", func() bool { return syscall.Kill(child, 0) != nil || zombie(child) })
	}
	if left, err := filepath.Glob(filepath.Join(run, socketsPrefix+"*")); err != nil || len(left) != 0 {
		inside, _ := filepath.Glob(filepath.Join(run, "*", "*"))
		t.Errorf("directories of sockets left over: %v, %v: %v", left, err, inside)
	}
}

// zombie reports whether a process has ended and only waits to be reaped, by a container's init that may never do it.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// parent is the server that is killed. Its drives stay for the next one.
func parent(t *testing.T, root string) {
	opt := testOptions(t, 3)
	for i := range opt.Drives {
		h := &opt.Drives[i]
		h.Path = filepath.Join(root, fmt.Sprint("d", i))
		h.Drive = [16]byte{byte(i + 1)}
		opt.Want[i] = h.Drive
		blankDrive(t, *h)
	}
	opt.Cluster = [16]byte{1}
	s, err := Start(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("child", s.Pid())
	select {}
}
