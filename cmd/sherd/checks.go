package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// finding is one thing that a check has to say.
type finding struct {
	Failed bool   `json:"failed"` // else a warning
	Check  string `json:"check"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`

	locked   bool // by another process
	degraded bool // failed, but a server of an existing cluster starts without this drive (I12)
}

// String is the finding in one line.
func (f finding) String() string {
	word := "warning"
	if f.Failed {
		word = "failed"
	}
	return fmt.Sprintf("%s: %s: %s. %s", word, f.Check, f.Text, f.Remedy)
}

// inspection says what a server is about to use.
type inspection struct {
	Listen []string // host:port; those that are to be free
	Drives []string // clean paths
}

const (
	filesWanted = 65536   // open files: a connection and a few for each drive
	freeWanted  = 1 << 30 // bytes on a drive
	releaseYear = 2026    // a clock before it is wrong
	lockName    = "lock"  // the file in a drive that its process holds locked
	formatName  = "sherd.json"

	answerWithin = 5 * time.Second // a drive that takes longer to look at hangs
)

// preflight makes the checks of `sherd server` before it serves. Warnings are logged; what failed is the error,
// a line each with its remedy.
func preflight(drives []string, log *slog.Logger) error {
	all := inspect(inspection{Drives: drives})
	var fatal []finding
	for _, f := range all {
		switch {
		case !f.Failed:
			log.Warn(f.Text, "check", f.Check, "remedy", f.Remedy)
		case f.degraded:
			log.Error("starting without a drive: "+f.Text, "check", f.Check, "remedy", f.Remedy)
		default:
			fatal = append(fatal, f)
		}
	}
	return failures(fatal)
}

// inspect checks what a server needs, and raises the limit of open files to the hard one. Nothing on the drives
// is changed.
func inspect(opt inspection) []finding {
	var all []finding
	for _, addr := range opt.Listen {
		all = append(all, checkPort(addr)...)
	}
	found, answering := checkDrives(opt.Drives, checkDrive, answerWithin)
	all = append(all, found...)
	all = append(all, checkDistinct(answering)...)
	all = append(all, checkDevices(answering)...)
	all = append(all, checkFiles()...)
	return append(all, checkClock(time.Now())...)
}

// failures joins what failed into one error, a line each; nil if nothing did.
func failures(all []finding) error {
	var errs []error
	for _, f := range all {
		if f.Failed {
			errs = append(errs, errors.New(f.String()))
		}
	}
	return errors.Join(errs...)
}

func checkPort(addr string) []finding {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		l.Close()
		return nil
	}
	return []finding{portFinding(addr, err)}
}

// portFinding says why addr cannot be listened on.
func portFinding(addr string, err error) finding {
	f := finding{Failed: true, Check: "listen " + addr, Text: err.Error(), Remedy: "Give another address with --listen."}
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		f.Text = "another process has this port"
		f.Remedy = fmt.Sprintf("Find it with `ss -ltnp 'sport = :%s'` and stop it, or give another address with --listen.", port)
	case errors.Is(err, unix.EACCES):
		f.Text = "this user may not listen there"
		f.Remedy = "Ports under 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit); or give a higher port with --listen."
	case errors.Is(err, unix.EADDRNOTAVAIL):
		f.Text = "no interface of this machine has this address"
		f.Remedy = "See `ip addr`; --listen :" + port + " takes all of them."
	}
	return f
}

// checkDrives looks at all drives side by side, and gives those that answer. Where one of them is formatted the cluster
// exists, and a server does without those that fail.
func checkDrives(paths []string, check func(string) []finding, within time.Duration) (all []finding, answering []string) {
	results := make([]chan []finding, len(paths))
	formatted := make(chan bool, len(paths))
	for i, path := range paths {
		results[i] = make(chan []finding, 1)
		go func() { // outlives the call only if the path hangs
			found := check(path)
			_, err := os.Stat(filepath.Join(path, formatName))
			if err == nil && failures(found) == nil {
				formatted <- true
			}
			results[i] <- found
		}()
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	for i, path := range paths {
		select {
		case found := <-results[i]:
			all, answering = append(all, found...), append(answering, path)
			continue
		default:
		}
		select {
		case found := <-results[i]:
			all, answering = append(all, found...), append(answering, path)
		case <-limit.C:
			limit.Reset(0) // the others have had as long
			all = append(all, finding{
				Failed: true, Check: path, Text: fmt.Sprintf("it does not answer within %s", within),
				Remedy: "Its file system hangs: see `dmesg`, `mount`; replace the drive, or unmount it.",
			})
		}
	}
	for i := range all {
		all[i].degraded = all[i].Failed && !all[i].locked && len(formatted) > 0
	}
	return all, answering
}

// checkDrive looks at one drive's directory, or at where it would be made.
func checkDrive(path string) []finding {
	fail := func(text, remedy string) []finding {
		return []finding{{Failed: true, Check: path, Text: text, Remedy: remedy}}
	}
	info, err := os.Stat(path)
	dir := path
	if errors.Is(err, os.ErrNotExist) {
		if dir, err = existingParent(path); err != nil {
			return fail(err.Error(), "Make the directory, or correct the path.")
		}
		info, err = os.Stat(dir)
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		return fail("this user may not look into it", "Give the directory to the user that runs sherd: `chown`.")
	case errors.Is(err, unix.EIO):
		return fail("the file system answers with an input/output error", "The drive is failing: see `dmesg`, replace it, mount the new one here.")
	case err != nil:
		return fail(err.Error(), "Correct the path, or repair the file system.")
	case !info.IsDir():
		return fail(dir+" is not a directory", "Give the directory that the drive is mounted on.")
	}
	if holder := lockHolder(filepath.Join(path, lockName)); holder != "" {
		found := fail(holder+" holds it", "Stop that sherd first, or give another path.")
		found[0].locked = true
		return found
	}
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		remedy := fmt.Sprintf("Give it to the user that runs sherd: `chown -R %d %s`.", os.Geteuid(), dir)
		if errors.Is(err, unix.EROFS) {
			remedy = "The file system is mounted read-only, often after an error: see `dmesg`, repair it, mount it again."
		}
		return fail("not writable: "+err.Error(), remedy)
	}
	return append(checkFree(path, dir), checkDirect(path, dir)...)
}

// checkDistinct finds paths that lead to one directory, by a link or a mount, and drives inside of others: what counts as
// two would be lost at once.
func checkDistinct(paths []string) (all []finding) {
	infos := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		infos[i], _ = os.Stat(path) // one that is not there yet is no other's directory
		for j, other := range paths[:i] {
			text := ""
			switch {
			case infos[i] != nil && infos[j] != nil && os.SameFile(infos[i], infos[j]):
				text = "it is the same directory as " + other
			case strings.HasPrefix(path, other+"/"):
				text = "it is inside of the drive " + other
			case strings.HasPrefix(other, path+"/"):
				text = "the drive " + other + " is inside of it"
			default:
				continue
			}
			all = append(all, finding{Failed: true, Check: path, Text: text, Remedy: "Give each drive a directory of its own."})
		}
	}
	return all
}

// existingParent is the nearest directory above path that is there.
func existingParent(path string) (string, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return dir, err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("nothing above %s is there", path)
		}
	}
}

// lockHolder says who holds file locked; empty: nobody does. The lock is one of an open file, which has no process: its
// holder wrote his id into it.
func lockHolder(file string) string {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return ""
	}
	var b [32]byte
	n, _ := f.ReadAt(b[:], 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return "another process (pid " + pid + ")"
	}
	return "another process"
}

func checkFree(path, dir string) []finding {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return []finding{{Check: path, Text: "its free space cannot be read: " + err.Error(), Remedy: "See `df` and `dmesg`."}}
	}
	var out []finding
	if free := int64(st.Bavail) * st.Bsize; free < freeWanted {
		out = append(out, finding{Check: path, Text: formatBytes(free) + " are free", Remedy: "Near its end new objects are refused, and only deletes go on: free space or use a larger drive."})
	}
	if st.Files > 0 && st.Ffree < 1000 {
		out = append(out, finding{Check: path, Text: fmt.Sprintf("%d inodes are free", st.Ffree), Remedy: "Remove files that are not sherd's, or make the file system anew with more inodes."})
	}
	return out
}

// checkDirect tries O_DIRECT with a file that has no name, so that nothing shows in the directory.
func checkDirect(path, dir string) []finding {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil // not a matter of O_DIRECT
	}
	defer unix.Close(fd)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_DIRECT); err == nil {
		return nil
	}
	return []finding{{
		Check: path, Text: "its file system refuses O_DIRECT", Remedy: "All works, at several times the CPU for a write: XFS or ext4 are better here.",
	}}
}

// checkDevices warns where drives share a file system: they are lost together.
func checkDevices(paths []string) []finding {
	byDevice := map[uint64][]string{}
	var order []uint64
	for _, p := range paths {
		dir := p
		if _, err := os.Stat(p); err != nil {
			if dir, err = existingParent(p); err != nil {
				continue
			}
		}
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil {
			continue
		}
		if byDevice[st.Dev] == nil {
			order = append(order, st.Dev)
		}
		byDevice[st.Dev] = append(byDevice[st.Dev], p)
	}
	var out []finding
	for _, dev := range order {
		shared := byDevice[dev]
		if len(shared) < 2 {
			continue
		}
		out = append(out, finding{
			Check:  "drives",
			Text:   fmt.Sprintf("%d drives on 1 device (%s): no protection against its loss", len(shared), short(shared)),
			Remedy: "Fine for a trial; else mount one file system of its own at each drive path.",
		})
	}
	return out
}

func short(paths []string) string {
	if len(paths) > 3 {
		return paths[0] + " … " + paths[len(paths)-1]
	}
	return strings.Join(paths, ", ")
}

// checkFiles raises the limit of open files to the hard one, and says if that is little.
func checkFiles() []finding {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil
	}
	if lim.Cur < lim.Max {
		raised := unix.Rlimit{Cur: lim.Max, Max: lim.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			lim = raised
		}
	}
	if lim.Cur >= filesWanted {
		return nil
	}
	return []finding{{
		Check: "open files", Text: fmt.Sprintf("at most %d are allowed", lim.Cur),
		Remedy: fmt.Sprintf("Set LimitNOFILE=%d in the unit, or `ulimit -Hn %d` before the start.", filesWanted, filesWanted),
	}}
}

// clientConnections is how many connections clients may have: half of the open files. The other half is for drives, etcd and other nodes.
func clientConnections() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return filesWanted / 2
	}
	return int(min(lim.Cur, math.MaxInt32) / 2)
}

// checkClock refuses a clock that signatures cannot be checked with, and warns of one that nobody sets.
func checkClock(now time.Time) []finding {
	if now.Year() < releaseYear {
		return []finding{{
			Failed: true, Check: "clock", Text: "it shows " + now.UTC().Format(time.DateOnly),
			Remedy: "Set it, and keep it set (chrony, systemd-timesyncd): every signature holds a time.",
		}}
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err == nil && t.Status&unix.STA_UNSYNC != 0 {
		return []finding{{
			Check: "clock", Text: "the kernel says that nothing keeps it right",
			Remedy: "Run chrony or systemd-timesyncd: requests from clients more than 15 minutes off are refused.",
		}}
	}
	return nil
}
