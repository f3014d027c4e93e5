package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// loopDrives mounts n fresh file systems of size bytes.
func loopDrives(t *testing.T, n int, size int64) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting file systems needs root") // a full file system cannot be had otherwise
	}
	dir := t.TempDir()
	var paths []string
	for i := range n {
		image, mount := filepath.Join(dir, fmt.Sprintf("image%d", i)), filepath.Join(dir, fmt.Sprintf("m%d", i))
		must(t, os.WriteFile(image, nil, 0o600))
		must(t, os.Truncate(image, size))
		must(t, os.Mkdir(mount, 0o755))
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
			t.Skipf("mkfs.ext4: %v %s", err, out)
		}
		if out, err := exec.Command("mount", "-o", "loop", image, mount).CombinedOutput(); err != nil {
			t.Skipf("no loop devices here: %v %s", err, out)
		}
		t.Cleanup(func() {
			eventually(t, 10*time.Second, "umount", func() error { return exec.Command("umount", mount).Run() })
		})
		paths = append(paths, mount)
	}
	return paths
}

// TestFullDisk fills six small file systems: 507, the server lives, deletes free space, nothing acknowledged is
// lost, and it goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	paths := loopDrives(t, 6, 512<<20)
	s := start(t, options{paths: paths, flags: []string{"--collect-after", "1m"}})
	c := s.client()
	must(t, c.makeBucket("full"))
	m := newModel("full")
	var refusal error
	stored := 0
	for i := 0; i < 3000 && refusal == nil; i++ {
		key, v := fmt.Sprintf("k%d", i), version{seed: uint64(i), size: 4 << 20, there: true}
		refusal = c.put("full", key, v.body())
		m.wrote(key, v, refusal == nil)
		if refusal == nil {
			stored++
		}
	}
	if status(refusal) != 507 {
		t.Fatalf("after %d objects of 4 MiB: %v, want 507", stored, refusal)
	}
	t.Logf("%d MiB stored, then: %v", 4*stored, refusal)
	s.alive()
	m.checkAll(t, c)
	if err := c.put("full", "small", []byte("x")); status(err) != 507 && err != nil {
		t.Errorf("a small object on full drives: %v, want 200 or 507", err)
	} else {
		m.wrote("small", version{}, false)
		must(t, c.remove("full", "small"))
		m.wrote("small", version{}, true)
	}
	st, err := s.status()
	must(t, err)
	if text := fmt.Sprint(st.Problems); !strings.Contains(text, "full") && !strings.Contains(text, "space") {
		t.Errorf("status does not say that the drives are full: %v", st.Problems)
	}
	s.kill9() // and full drives can be started from
	s.restart()
	m.checkAll(t, c)
	for i := range stored / 2 {
		key := fmt.Sprintf("k%d", i)
		must(t, c.remove("full", key))
		m.wrote(key, version{}, true)
	}
	again := version{seed: 77, size: 4 << 20, there: true}
	eventually(t, 90*time.Second, "a write after the deletes", func() error {
		err := c.put("full", "again", again.body())
		m.wrote("again", again, err == nil)
		return err
	})
	m.checkAll(t, c)
}

// TestOneFullDrive fills one of six: the others are unhindered, and what was refused is told.
func TestOneFullDrive(t *testing.T) {
	t.Parallel()
	small := loopDrives(t, 1, 700<<20)
	dir := t.TempDir()
	paths := small
	for i := range 5 {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("d%d", i)))
	}
	s := start(t, options{paths: paths})
	c := s.client()
	must(t, c.makeBucket("one"))
	m := newModel("one")
	var st unix.Statfs_t
	must(t, unix.Statfs(small[0], &st))
	filler, err := os.Create(filepath.Join(small[0], "filler"))
	must(t, err)
	defer filler.Close()
	must(t, unix.Fallocate(int(filler.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-(16<<20)))
	for i := range 200 {
		key, v := fmt.Sprintf("k%d", i), version{seed: uint64(i), size: 1 << 20, there: true}
		err := c.put("one", key, v.body())
		m.wrote(key, v, err == nil)
		if err != nil && status(err) != 507 && status(err) != 503 {
			t.Fatalf("%s: %v", key, err)
		}
	}
	s.alive()
	m.checkAll(t, c)
}

// TestFailingDrive shuts one file system down under the server, so that every call to it answers EIO: the server
// goes on without it.
func TestFailingDrive(t *testing.T) {
	t.Parallel()
	one := loopDrives(t, 1, 2<<30)
	dir := t.TempDir()
	paths := one
	for i := range 5 {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("d%d", i)))
	}
	s := start(t, options{paths: paths})
	c := s.client()
	must(t, c.makeBucket("failing"))
	m := newModel("failing")
	f := &faults{}
	writers, halt := load(4, m, s.client, random(t), func(w *writer) { w.refused = f.note })
	eventually(t, 30*time.Second, "load", func() error { return atLeast(writers, 50) })
	shutdown(t, one[0])
	n := acked(writers)
	eventually(t, 30*time.Second, "writes go on", func() error { return atLeast(writers, n+100) })
	halt()
	f.check(t, true)
	s.alive()
	m.checkAll(t, c)
}

// shutdown makes a file system answer EIO from now on (FS_IOC_SHUTDOWN of ext4 and XFS, without flushing its log).
func shutdown(t *testing.T, mount string) {
	t.Helper()
	const ioctl, noLogFlush = 0x8004587d, 2
	fd, err := unix.Open(mount, unix.O_RDONLY, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.IoctlSetPointerInt(fd, ioctl, noLogFlush))
}
