package disk_test

import (
	"bytes"
	"context"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
)

// rowsDamages are what may happen to a file while nobody looks.
var rowsDamages = []struct {
	name string
	do   func(b []byte) []byte
}{
	{"first bit", func(b []byte) []byte { b[0] ^= 1; return b }},
	{"a bit in the middle", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
	{"last bit", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
	{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
	{"shortened", func(b []byte) []byte { return b[:len(b)/2] }},
	{"empty", func([]byte) []byte { return nil }},
	{"gone", nil},
}

// Any file of rows/ is damaged or gone: the drive opens, with all its chunks, and its replicas are whole or told as lost, which lets
// them be replaced. After that it is a drive as any other.
func TestI10_DamagedRowsFiles(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt, all := filledDrive(t, mem)
	d := open(t, opt)
	value := bytes.Repeat([]byte("separated "), 200)
	if err := d.Rows().Set([]byte{disk.TableMeta, 0xff}, value, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, file := range append(walk(mem, opt.Path+"/rows"), markers(t, mem, opt.Path+"/rows")...) {
		kind, _, _ := strings.Cut(strings.TrimLeft(path.Base(file), "0123456789"), "-")
		kinds[kind] = true
		for _, damage := range rowsDamages {
			t.Run(path.Base(file)+" "+damage.name, func(t *testing.T) {
				opt := opt
				opt.FS = cloneAll(t, mem)
				damageFile(t, opt.FS, file, damage.do)
				lost := rowsLost(t, opt, value)
				if lost && (kind == "OPTIONS" || strings.HasPrefix(kind, "marker.format")) {
					t.Log("replicas given up for a file that holds none of them")
				}
				d := open(t, opt)
				if d.ReplicasLost() != lost {
					t.Fatal("the loss was forgotten")
				}
				if err := d.AckReplicasLost(); err != nil {
					t.Fatal(err)
				}
				for _, s := range all {
					check(t, d, s)
				}
				d.Close()
				if d = open(t, opt); d.ReplicasLost() {
					t.Fatal("lost again")
				}
				for _, s := range all {
					check(t, d, s)
				}
				d.Close()
			})
		}
	}
	for _, kind := range []string{".sst", ".blob", "OPTIONS", "MANIFEST", "marker.manifest.000001.MANIFEST"} {
		found := false
		for k := range kinds {
			found = found || strings.HasPrefix(k, strings.SplitN(kind, ".000", 2)[0])
		}
		if !found {
			t.Errorf("no file of kind %s among %v", kind, kinds)
		}
	}
}

// rowsLost opens a drive, reads a value from its rows, and says whether the drive told that its replicas are lost.
func rowsLost(t *testing.T, opt disk.Options, want []byte) bool {
	t.Helper()
	d, err := disk.Open(opt)
	if err != nil {
		t.Fatalf("the drive does not open: %v", err)
	}
	if d.ReplicasLost() {
		d.Close()
		return true
	}
	got, closer, err := d.Rows().Get([]byte{disk.TableMeta, 0xff})
	same := bytes.Equal(got, want)
	if err == nil {
		err = closer.Close()
	}
	if err == nil && !same {
		t.Error("a wrong value, and no error")
	}
	if err == nil {
		d.Close()
		return false
	}
	d.DiscardReplicas("a value cannot be read") // as who reads does
	d.Close()
	d = open(t, opt)
	defer d.Close()
	if !d.ReplicasLost() {
		t.Errorf("a value cannot be read (%v), and no loss is told", err)
	}
	return d.ReplicasLost()
}

// markers are rows' files that may be empty: their names say it all.
func markers(t *testing.T, fs vfs.FS, dir string) (out []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		p := path.Join(dir, name)
		if info, err := fs.Stat(p); err == nil && info.Size() == 0 && strings.HasPrefix(name, "marker.") {
			out = append(out, p)
		}
	}
	return out
}

func damageFile(t *testing.T, fs vfs.FS, name string, do func([]byte) []byte) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if len(b) > 0 {
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	if do == nil {
		return
	}
	if len(b) > 0 {
		b = do(b)
	}
	out, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestI10_OpenFilesRunOut: while a drive that was killed opens, the process runs out of open files for a while, as when clients hold them all.
// That is no damage: the drive may be refused, and has its replicas and every chunk when it is opened again.
func TestI10_OpenFilesRunOut(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt, all := filledDrive(t, mem)
	value := []byte("in the rows")
	d := open(t, opt)
	if err := d.Rows().Set([]byte{disk.TableMeta, 0xff}, value, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	must(t, d.Flush(context.Background()))
	mem, all = killed(t, mem, d, all)
	refused := 0
	for _, span := range []int64{1, 2, 3, 5, 8, 13, 21} {
		for first := int64(0); ; first++ {
			opt := opt
			var opens atomic.Int64
			fs := cloneAll(t, mem)
			opt.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				switch op.Kind {
				case errorfs.OpOpen, errorfs.OpOpenDir, errorfs.OpCreate, errorfs.OpReuseForWrite:
					if n := opens.Add(1) - 1; n >= first && n < first+span {
						return &os.PathError{Op: "open", Path: op.Path, Err: syscall.EMFILE}
					}
				}
				return nil
			}))
			d, err := disk.Open(opt)
			if err == nil {
				d.Close()
			} else {
				refused++
			}
			opt.FS = fs
			if d = open(t, opt); d.ReplicasLost() {
				t.Fatalf("openings %d to %d failed (%v), and the replicas are given up", first, first+span-1, err)
			}
			if got, closer, err := d.Rows().Get([]byte{disk.TableMeta, 0xff}); err != nil || !bytes.Equal(got, value) {
				t.Fatalf("got %q, %v", got, err)
			} else if err := closer.Close(); err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				check(t, d, s)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if opens.Load() <= first {
				break
			}
		}
	}
	if refused == 0 {
		t.Error("no opening was refused: nothing was tried")
	}
}

// killed is what kill -9 leaves of a drive after a few chunks more, which no flushed index names; the last of them is the log's last group.
func killed(t *testing.T, mem *vfs.MemFS, d *disk.Drive, all []*disktest.Sample) (*vfs.MemFS, []*disktest.Sample) {
	t.Helper()
	for i := range uint64(3) {
		s := disktest.NewSample(9, i, 20000)
		must(t, put(d, s))
		all = append(all, s)
	}
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	must(t, d.Close())
	return left, all
}

// TestI16_ReplayReadFails: while a drive that was killed opens, each read of its chunks fails once, in turn, as a disk's read may. No chunk that
// was acknowledged is forgotten: what cannot be read now is told when it is asked for.
func TestI16_ReplayReadFails(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt, all := filledDrive(t, mem)
	mem, all = killed(t, mem, open(t, opt), all)
	opened := 0
	for n := int64(0); ; n++ {
		opt := opt
		var reads atomic.Int64
		fs := cloneAll(t, mem)
		opt.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, "/chunks/") && reads.Add(1)-1 == n {
				return &os.PathError{Op: "read", Path: op.Path, Err: syscall.EIO}
			}
			return nil
		}))
		d, err := disk.Open(opt)
		if err == nil {
			opened++
			must(t, d.Close())
		}
		done := reads.Load() <= n
		opt.FS = fs
		d = open(t, opt)
		for _, s := range all {
			check(t, d, s)
		}
		must(t, d.Close())
		if done {
			break
		}
	}
	if opened < 2 { // one of them is that without a fault
		t.Error("each failed read refused the drive: none was of a payload")
	}
}
