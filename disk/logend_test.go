package disk_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
)

// A Raft log that is shorter than what was acknowledged is noticed: a replica must not vote with less than it promised. After a
// clean stop any loss at its end shows; after a crash, the loss of whole segments.
func TestI10_ShortenedLogIsNoticed(t *testing.T) {
	none := func([]byte) []byte { return nil }
	for _, c := range []struct {
		name  string
		crash bool
		files int // damaged, from the newest back
		do    func([]byte) []byte
		lost  bool
	}{
		{"whole", false, 0, nil, false},
		{"newest segment gone", false, 1, nil, true},
		{"two newest segments gone", false, 2, nil, true},
		{"newest segment shortened", false, 1, func(b []byte) []byte { return b[:8192] }, true},
		{"newest segment's last block cleared", false, 1, clearLast, true},
		{"newest segment empty", false, 1, none, true},
		{"crash: whole", true, 0, nil, false},
		{"crash: newest segment gone", true, 1, nil, true},
		{"crash: newest segment empty", true, 1, none, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			opt := crashOptions(mem)
			format(t, opt)
			d := open(t, opt)
			fill(t, d, 3)
			if c.crash {
				opt.FS = cloneAll(t, mem)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			segments := logSegments(t, opt)
			for _, name := range segments[len(segments)-c.files:] {
				damageFile(t, opt.FS, opt.Path+"/log/"+name, c.do)
			}
			d = open(t, opt)
			if d.ReplicasLost() != c.lost || (d.Lost().Replicas != "") != c.lost {
				t.Fatalf("lost: %v, %q", d.ReplicasLost(), d.Lost().Replicas)
			}
			if err := d.AckReplicasLost(); err != nil {
				t.Fatal(err)
			}
			fill(t, d, 3) // a new log, or the same, goes on as any
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d = open(t, opt); d.ReplicasLost() {
				t.Fatal("lost again")
			}
		})
	}
}

// fill appends to the Raft log until it has so many segments more.
func fill(t *testing.T, d *disk.Drive, segments int) {
	t.Helper()
	rec := make([]byte, 100_000)
	for want := len(d.Log().Segments()) + segments - 1; len(d.Log().Segments()) < want; {
		logged(t, d, rec)
	}
	logged(t, d, rec[:10])
}

func logSegments(t *testing.T, opt disk.Options) []string {
	t.Helper()
	names, err := opt.FS.List(opt.Path + "/log")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
	slices.Sort(names)
	return names
}

// clearLast clears the last block that is not clear.
func clearLast(b []byte) []byte {
	for end := len(b); end >= 4096; end -= 4096 {
		block := b[end-4096 : end]
		if slices.ContainsFunc(block, func(x byte) bool { return x != 0 }) {
			clear(block)
			break
		}
	}
	return b
}

// A drive that writes its own identity anew, as each new segment of the log makes it, is not taken for another meanwhile.
func TestOwnIdentityIsNoStranger(t *testing.T) {
	opt := options(vfs.Default, t.TempDir())
	format(t, opt)
	d := open(t, opt)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := d.Check(); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 50 {
		if err := d.AckReplicasLost(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
