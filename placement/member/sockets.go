package member

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// socketsPrefix begins the name of every directory of sockets.
const socketsPrefix = "sherd-sockets-"

// errOthers: a directory of sockets is another process's, or gone.
var errOthers = errors.New("member: directory of sockets is another's")

// makeSockets makes a directory for sockets in parent. It is locked as long as the file is open, which nobody but this process has. The
// child removes the directory when this process was killed; that of a process that was killed together with its child is
// removed here, by the next one that starts.
func makeSockets(parent string) (*os.File, error) {
	sweepSockets(parent)
	for {
		dir, err := os.MkdirTemp(parent, socketsPrefix) // mode 0700
		if err != nil {
			return nil, fmt.Errorf("member: directory for sockets: %w", err)
		}
		f, err := lockSockets(dir)
		if !errors.Is(err, errOthers) { // else another process, which starts too, swept it before it was locked
			return f, err
		}
	}
}

// sweepSockets removes the directories of sockets that no process has. What cannot be removed stays: it harms nobody.
func sweepSockets(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, socketsPrefix+"*")) // its only error is a bad pattern
	for _, dir := range dirs {
		if f, err := lockSockets(dir); err == nil {
			removeSockets(dir)
			f.Close()
		}
	}
}

// lockSockets opens and locks a directory of sockets of this user's. Errors: errOthers, and the system's.
func lockSockets(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errOthers
	}
	if err != nil {
		return nil, fmt.Errorf("member: directory for sockets: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = errOthers
	case err != nil:
		err = fmt.Errorf("member: locking the directory for sockets: %w", err)
	case !still(f):
		err = errOthers
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// still reports whether the open directory has its name yet, and is of this user.
func still(f *os.File) bool {
	open, err1 := f.Stat()
	named, err2 := os.Lstat(f.Name())
	if err1 != nil || err2 != nil || !os.SameFile(open, named) {
		return false
	}
	s, ok := open.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// removeSockets removes a directory of sockets: and nothing else.
func removeSockets(dir string) {
	sockets, _ := filepath.Glob(filepath.Join(dir, "m*:[12]")) // its only error is a bad pattern
	for _, path := range sockets {
		os.Remove(path)
	}
	os.Remove(dir)
}
