package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// machine is what outlives a process: a node's drives, on one file system that can lose power.
type machine struct {
	name  string
	paths []string

	mu     sync.Mutex
	rng    *rand.Rand
	mem    *vfs.MemFS
	faults map[string]fault // by drive

	renewed map[string]bool // drives that were emptied since they were given up; the schedule's alone
}

// fault is what is wrong with a drive. The zero fault is none.
type fault struct {
	slow   time.Duration // each call may take up to so long
	fails  bool          // each call fails
	within string        // what a path must hold that slow and fails are for; empty: all paths
	syncs  time.Duration // each sync may take up to so long
	lies   int           // one read of a chunk in so many has a wrong bit; 0: none
}

// chunksWithin limits a fault to a drive's chunks: its records are well.
const chunksWithin = "/chunks/"

func newMachine(name string, drives int, seed uint64) *machine {
	m := &machine{name: name, rng: rand.New(rand.NewPCG(seed, 2)), faults: map[string]fault{}, renewed: map[string]bool{}}
	m.mem = vfs.NewCrashableMem()
	m.sizeUp()
	for i := range drives {
		m.paths = append(m.paths, fmt.Sprintf("/simulated/%s/d%d", name, i+1))
	}
	return m
}

// The drives' size: so small that segments are, and are reclaimed.
const (
	driveBytes = 64 << 20
	freeBytes  = 48 << 20
)

func (m *machine) sizeUp() {
	m.mem.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: driveBytes, AvailBytes: freeBytes, UsedBytes: driveBytes - freeBytes})
}

// crash cuts the power: of what was not synced a part is lost. What still runs on the file system before it changes nothing any more.
func (m *machine) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mem = m.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: m.rng.IntN(101), RNG: rand.New(rand.NewPCG(m.rng.Uint64(), 3)),
	})
	m.sizeUp()
}

// set has a drive behave so from now on.
func (m *machine) set(path string, f fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[path] = f
}

// fs is the file system for one life of the machine.
func (m *machine) fs() vfs.FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &faultFS{FS: m.mem, m: m}
}

// faultOf is what is wrong with the drive that path is on, and how long a call to it takes this time.
func (m *machine) faultOf(path string) (f fault, takes time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for drive, f := range m.faults {
		if path == drive || strings.HasPrefix(path, drive+"/") {
			if !strings.Contains(path, f.within) {
				f.slow, f.fails = 0, false
			}
			if f.slow > 0 {
				takes = time.Duration(m.rng.Int64N(int64(f.slow)))
			}
			return f, takes
		}
	}
	return fault{}, 0
}

// some is a random time below most.
func (m *machine) some(most time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.rng.Int64N(int64(most)))
}

// lie flips a bit of b once in a while.
func (m *machine) lie(one int, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(b) > 0 && m.rng.IntN(one) == 0 {
		b[m.rng.IntN(len(b))] ^= 1 << m.rng.IntN(8)
	}
}

// faultFS is a file system whose drives have faults.
type faultFS struct {
	vfs.FS
	m *machine
}

// Unwrap implements vfs.FS.
func (fs *faultFS) Unwrap() vfs.FS { return fs.FS }

// touch is what a call to path's drive begins with.
func (fs *faultFS) touch(path string) error {
	f, takes := fs.m.faultOf(path)
	if takes > 0 {
		time.Sleep(takes)
	}
	if f.fails {
		return syscall.EIO
	}
	return nil
}

func (fs *faultFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &faultFile{File: f, fs: fs, path: name}, nil
}

// Create implements vfs.FS.
func (fs *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.touch(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, c)
	return fs.wrap(name, f, err)
}

// Open implements vfs.FS.
func (fs *faultFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := fs.touch(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Open(name, opts...)
	return fs.wrap(name, f, err)
}

// OpenReadWrite implements vfs.FS.
func (fs *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := fs.touch(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	return fs.wrap(name, f, err)
}

// OpenDir implements vfs.FS.
func (fs *faultFS) OpenDir(name string) (vfs.File, error) {
	if err := fs.touch(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.OpenDir(name)
	return fs.wrap(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (fs *faultFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.touch(newname); err != nil {
		return nil, err
	}
	f, err := fs.FS.ReuseForWrite(oldname, newname, c)
	return fs.wrap(newname, f, err)
}

// Stat implements vfs.FS.
func (fs *faultFS) Stat(name string) (vfs.FileInfo, error) {
	if err := fs.touch(name); err != nil {
		return nil, err
	}
	return fs.FS.Stat(name)
}

// List implements vfs.FS.
func (fs *faultFS) List(dir string) ([]string, error) {
	if err := fs.touch(dir); err != nil {
		return nil, err
	}
	return fs.FS.List(dir)
}

// faultFile is a file on one of them.
type faultFile struct {
	vfs.File
	fs   *faultFS
	path string
}

// Read implements vfs.File.
func (f *faultFile) Read(b []byte) (int, error) {
	if err := f.fs.touch(f.path); err != nil {
		return 0, err
	}
	n, err := f.File.Read(b)
	f.mayLie(b[:n])
	return n, err
}

// ReadAt implements vfs.File.
func (f *faultFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.fs.touch(f.path); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(b, off)
	f.mayLie(b[:n])
	return n, err
}

// mayLie changes what was read of a chunk on a drive that lies.
func (f *faultFile) mayLie(b []byte) {
	if !strings.Contains(f.path, chunksWithin) {
		return
	}
	if fault, _ := f.fs.m.faultOf(f.path); fault.lies > 0 {
		f.fs.m.lie(fault.lies, b)
	}
}

// Write implements vfs.File.
func (f *faultFile) Write(b []byte) (int, error) {
	if err := f.fs.touch(f.path); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

// WriteAt implements vfs.File.
func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fs.touch(f.path); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

// touchSync is what a sync begins with.
func (f *faultFile) touchSync() error {
	if fault, _ := f.fs.m.faultOf(f.path); fault.syncs > 0 {
		time.Sleep(f.fs.m.some(fault.syncs))
	}
	return f.fs.touch(f.path)
}

// Sync implements vfs.File.
func (f *faultFile) Sync() error {
	if err := f.touchSync(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncTo implements vfs.File.
func (f *faultFile) SyncTo(length int64) (bool, error) {
	if err := f.touchSync(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}

// SyncData implements vfs.File.
func (f *faultFile) SyncData() error {
	if err := f.touchSync(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// leave ends a process without a power cut: what it wrote stays, what still runs of it changes nothing any more.
func (m *machine) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mem = m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(m.rng.Uint64(), 3))})
	m.sizeUp()
}

// image is what the drives hold now, synced or not, in a copy of its own.
func (m *machine) image() *vfs.MemFS { return m.clone(100) }

// durable is what the drives would hold after a power cut now: what is synced, and nothing else.
func (m *machine) durable() *vfs.MemFS { return m.clone(0) }

func (m *machine) clone(unsyncedPercent int) *vfs.MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rand.New(rand.NewPCG(1, 1))})
}

// away is where a drive's directory is while it is hidden.
func away(path string) string { return path + ".away" }

func (m *machine) isHidden(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.mem.Stat(away(path))
	return err == nil
}

// hide takes a drive's directory away: durably, as pulling a disk is.
func (m *machine) hide(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.mem.Rename(path, away(path)), m.syncDirs())
}

// show brings it back, in the place of what was put there meanwhile.
func (m *machine) show(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.mem.RemoveAll(path), m.mem.Rename(away(path), path), m.syncDirs())
}

// wipe puts an empty directory in a drive's place.
func (m *machine) wipe(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.mem.RemoveAll(path), m.mem.MkdirAll(path, 0o755), m.syncDirs())
}

func (m *machine) syncDirs() error {
	d, err := m.mem.OpenDir("/simulated/" + m.name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// rot changes bytes of a drive's chunks, as a failing medium does. It returns how many.
func (m *machine) rot(path string) (count int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.mem.PathJoin(path, "chunks")
	names, err := m.mem.List(dir)
	slices.Sort(names)
	for _, name := range names {
		n, bad := m.rotFile(m.mem.PathJoin(dir, name))
		count, err = count+n, errors.Join(err, bad)
	}
	return count, err
}

const rotEvery = 64 << 10 // bytes, of which one turns

func (m *machine) rotFile(name string) (count int, err error) {
	f, err := m.mem.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return 0, err
	}
	b := make([]byte, 1)
	for off := m.rng.Int64N(rotEvery); off < info.Size(); off += 1 + m.rng.Int64N(2*rotEvery) {
		if _, err := f.ReadAt(b, off); err != nil {
			return count, err
		}
		if b[0] == 0 {
			continue // most likely it was never written
		}
		b[0] ^= 1 << m.rng.IntN(8)
		if _, err := f.WriteAt(b, off); err != nil {
			return count, err
		}
		count++
	}
	return count, f.Sync()
}
