package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// mountFacts says whether path is a mount point, and the type of the file system it is on. A file
// system in memory has neither.
func mountFacts(fs vfs.FS, path string) (mountPoint bool, fsType string) {
	if vfs.Root(fs) != vfs.Default {
		return false, ""
	}
	var here, up unix.Stat_t
	if unix.Stat(path, &here) == nil && unix.Stat(path+"/..", &up) == nil {
		mountPoint = here.Dev != up.Dev || here.Ino == up.Ino
	}
	var st unix.Statfs_t
	if unix.Statfs(path, &st) == nil {
		fsType = fmt.Sprintf("%#x", uint32(st.Type))
		if name, known := fsNames[int64(st.Type)]; known {
			fsType = name
		}
	}
	return mountPoint, fsType
}

var fsNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.NFS_SUPER_MAGIC: "nfs", 0x2fc12fc1: "zfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
}

// fileID tells one file from another at the same path.
type fileID struct{ dev, ino uint64 }

// identify gives path's device and inode; the zero fileID where the file system has none.
func identify(fs vfs.FS, path string) (fileID, error) {
	if vfs.Root(fs) != vfs.Default {
		_, err := fs.Stat(path)
		return fileID{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileID{}, err
	}
	return fileID{uint64(st.Dev), st.Ino}, nil
}

// lock takes the drive's lock file. Its holder is named if it can be known. The lock belongs to the file that is opened,
// not to its path: a directory that was put in the place of a drive that hangs, and whose handle is given up, can be
// locked by the same process.
func lock(fs vfs.FS, path string) (io.Closer, error) {
	name := fs.PathJoin(path, lockName)
	if vfs.Root(fs) != vfs.Default {
		l, err := fs.Lock(name)
		if err != nil {
			return nil, fmt.Errorf("%w by another sherd: %w", ErrLocked, err)
		}
		return l, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err // not a matter of the lock: permissions, space, a read-only file system
	}
	spec := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &spec); err != nil {
		holder := lockHolder(f)
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, fmt.Errorf("%w by %s", ErrLocked, holder)
		}
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid()) // for people and for lockHolder; the lock does not depend on it
	}
	return f, nil
}

// lockHolder names the process that wrote its id into the lock file.
func lockHolder(f *os.File) string {
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	switch pid := strings.TrimSpace(string(b[:n])); pid {
	case "":
		return "another sherd"
	case strconv.Itoa(os.Getpid()):
		return "this process, which is still closing it"
	default:
		return "another sherd (pid " + pid + ")"
	}
}

// Mounted reports whether path is a mount point now.
func Mounted(fs vfs.FS, path string) bool {
	mounted, _ := mountFacts(fs, path)
	return mounted
}
