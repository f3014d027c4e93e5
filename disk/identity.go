package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
)

// FormatVersion is the version of a drive's layout that Format makes.
const FormatVersion = 1

// The names in a drive's directory.
const (
	identityName   = "sherd.json"
	spareName      = "sherd.json.bak" // the same again: a drive is not to be lost by a bit of a small file
	chunksName     = "chunks"
	logName        = "log"
	rowsName       = "rows"
	quarantineName = "quarantine"
	lockName       = "lock"
	ballastName    = "ballast"
	lostFoundName  = "lost+found"
	formattingName = "formatting" // stands from Format's first step to its last
)

// Identity is what sherd.json says.
type Identity struct {
	Cluster       ids.Cluster `json:"cluster"`
	Drive         ids.Drive   `json:"drive"`
	Incarnation   string      `json:"incarnation"` // 32 hexadecimal digits; rows/ and log/ hold the same (I10)
	FormatVersion int         `json:"formatVersion"`
	Created       time.Time   `json:"created"`
	MountPoint    bool        `json:"mountPoint"` // the path was a mount point when it was formatted (I10)
	FSType        string      `json:"fsType"`     // of the file system it was on
	// ReplicasLost: rows/ or log/ were lost and nobody has taken note yet; see Drive.ReplicasLost.
	ReplicasLost bool `json:"replicasLost,omitempty"`
	// ChunksLost: chunks were lost and nobody has taken note yet; see Drive.ChunksLost.
	ChunksLost bool `json:"chunksLost,omitempty"`
	// Discard: why rows/ and log/ are not to be trusted by the next opening; see Drive.DiscardReplicas.
	Discard string `json:"discard,omitempty"`
	// LogEnd is how far log/ was written at least, in whole blocks: to where a new segment begins, or, after Close, to its end.
	// A log that ends before it lost what it acknowledged: the replicas may not vote (I10, I17).
	LogEnd LogEnd `json:"logEnd,omitzero"`
	// Sum is the CRC-32C, in hexadecimal, of this as JSON with an empty Sum and no white space.
	Sum string `json:"sum"`
}

// LogEnd is a place in log/.
type LogEnd struct {
	Segment uint64 `json:"segment"`
	Offset  uint32 `json:"offset"` // bytes
}

// reached reports whether a log that ends at p holds all that was written up to e.
func (e LogEnd) reached(p segment.Pos) bool {
	whole := (int64(p.Offset) + chunk.AlignBytes - 1) &^ (chunk.AlignBytes - 1) // a group is padded to a block
	return p.Segment > e.Segment || p.Segment == e.Segment && whole >= int64(e.Offset)
}

func (id Identity) sum() (string, error) {
	id.Sum = ""
	b, err := json.Marshal(id)
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), err
}

// State is what a path is, to Probe.
type State int

const (
	Blank      State = iota // an empty directory, or none
	Formatted               // a drive
	NotMounted              // a drive's mount point with nothing mounted on it
	Foreign                 // holds something else
	Damaged                 // a drive whose identity cannot be read
)

func (s State) String() string {
	return [...]string{"blank", "formatted", "not mounted", "foreign", "damaged"}[s]
}

func newIncarnation() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// logID is the identity of both logs: a log of another incarnation is not this drive's.
func (id *Identity) logID() (b [16]byte, err error) {
	raw, err := hex.DecodeString(id.Incarnation)
	if err != nil || len(raw) != len(b) {
		return b, fmt.Errorf("%w: incarnation %q", ErrNotDrive, id.Incarnation)
	}
	copy(b[:], raw)
	return b, nil
}

// Format makes a drive of an empty directory, which it creates if need be; lost+found does not count. sherd.json is written
// last, so a drive is whole or not one. Errors: ErrNotEmpty.
func Format(opt Options, cluster ids.Cluster) (Identity, error) {
	if err := opt.validate(); err != nil {
		return Identity{}, err
	}
	fs := opt.FS
	if err := mkdirSynced(fs, opt.Path); err != nil {
		return Identity{}, err
	}
	if err := checkEmpty(fs, opt.Path); err != nil {
		return Identity{}, err
	}
	if err := clearInterrupted(fs, opt.Path); err != nil {
		return Identity{}, err
	}
	opt.fit()
	id := Identity{
		Cluster: cluster, Drive: ids.NewDrive(), Incarnation: newIncarnation(), FormatVersion: FormatVersion,
		Created: time.Now().UTC().Truncate(time.Second),
	}
	id.MountPoint, id.FSType = mountFacts(fs, opt.Path)
	logID, err := id.logID()
	if err != nil {
		return id, err
	}
	for _, name := range []string{chunksName, logName, quarantineName} {
		if err := fs.MkdirAll(fs.PathJoin(opt.Path, name), 0o755); err != nil {
			return id, err
		}
	}
	if err := segment.Create(opt.chunkLog(id.Drive)); err != nil {
		return id, err
	}
	if err := segment.Create(opt.raftLog(logID)); err != nil {
		return id, err
	}
	if err := createRows(&opt, id.Incarnation); err != nil {
		return id, err
	}
	if err := writeIdentity(fs, opt.Path, id); err != nil {
		return id, err
	}
	if err := fs.Remove(fs.PathJoin(opt.Path, formattingName)); err != nil {
		return id, err
	}
	return id, syncDir(fs, opt.Path)
}

// clearInterrupted removes what a Format that did not finish left, and begins anew.
func clearInterrupted(fs vfs.FS, path string) error {
	if _, err := fs.Stat(fs.PathJoin(path, formattingName)); err == nil {
		for _, name := range []string{chunksName, logName, rowsName, quarantineName} {
			if err := fs.RemoveAll(fs.PathJoin(path, name)); err != nil {
				return err
			}
		}
	}
	return writeFile(fs, path, formattingName, nil)
}

// checkEmpty refuses a directory with anything in it but what mkfs and an interrupted Format leave.
func checkEmpty(fs vfs.FS, path string) error {
	names, err := fs.List(path)
	if err != nil {
		return err
	}
	if slices.Contains(names, identityName) {
		return fmt.Errorf("%w: %s is a drive already", ErrNotEmpty, path)
	}
	if slices.Contains(names, formattingName) {
		return nil
	}
	for _, name := range names {
		switch name {
		case lostFoundName, lockName, formattingName + ".tmp":
			continue
		case quarantineName, chunksName: // made again, empty, by a drive whose directory was removed under it
			if bare(fs, fs.PathJoin(path, name), 2) {
				continue
			}
		}
		return fmt.Errorf("%w: %s holds %q", ErrNotEmpty, path, name)
	}
	return nil
}

// bare reports whether the directory at path holds no file, looking depth levels below it.
func bare(fs vfs.FS, path string, depth int) bool {
	names, err := fs.List(path)
	if err != nil || (len(names) > 0 && depth == 0) {
		return false
	}
	for _, name := range names {
		if !bare(fs, fs.PathJoin(path, name), depth-1) {
			return false
		}
	}
	return true
}

// Probe says what is at path, without changing anything.
func Probe(fs vfs.FS, path string) (Identity, State, error) {
	names, err := fs.List(path)
	if oserror.IsNotExist(err) {
		return Identity{}, Blank, nil
	}
	if err != nil {
		return Identity{}, Damaged, err
	}
	if !slices.Contains(names, identityName) {
		switch {
		case checkEmpty(fs, path) == nil:
			return Identity{}, Blank, nil
		case !slices.Contains(names, spareName):
			return Identity{}, Foreign, nil
		} // else the spare speaks for it: formatting had ended, for its marker is gone
	}
	id, err := readIdentity(fs, path)
	if err != nil {
		return id, Damaged, err
	}
	if mounted, _ := mountFacts(fs, path); id.MountPoint && !mounted {
		return id, NotMounted, nil
	}
	return id, Formatted, nil
}

// readIdentity reads sherd.json or, if that is damaged or missing, its spare.
func readIdentity(fs vfs.FS, path string) (Identity, error) {
	id, err := readIdentityFile(fs, fs.PathJoin(path, identityName))
	if err == nil {
		return id, nil
	}
	if spare, spareErr := readIdentityFile(fs, fs.PathJoin(path, spareName)); spareErr == nil {
		return spare, nil
	}
	return id, err
}

// mendIdentity writes sherd.json again if it cannot be read: its spare gave id.
func mendIdentity(fs vfs.FS, path string, id Identity) error {
	if _, err := readIdentityFile(fs, fs.PathJoin(path, identityName)); err == nil {
		return nil
	}
	return writeIdentity(fs, path, id)
}

func readIdentityFile(fs vfs.FS, name string) (Identity, error) {
	b, err := readFile(fs, name)
	if err != nil {
		return Identity{}, err
	}
	return parseIdentity(b)
}

func parseIdentity(b []byte) (id Identity, err error) {
	if err := json.Unmarshal(b, &id); err != nil {
		return Identity{}, fmt.Errorf("%w: %s: %w", ErrNotDrive, identityName, err)
	}
	if id.FormatVersion != FormatVersion {
		return id, fmt.Errorf("%w: format version %d, this sherd knows %d", ErrNotDrive, id.FormatVersion, FormatVersion)
	}
	if sum, err := id.sum(); err != nil || sum != id.Sum {
		return id, fmt.Errorf("%w: %s is damaged: sum %q", ErrNotDrive, identityName, id.Sum)
	}
	if id.Drive.IsZero() {
		return id, fmt.Errorf("%w: no drive id", ErrNotDrive)
	}
	_, err = id.logID()
	return id, err
}

// writeIdentity writes the spare first: where both are whole and differ, sherd.json is the older one, and rules.
func writeIdentity(fs vfs.FS, path string, id Identity) (err error) {
	if id.Sum, err = id.sum(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if err := writeFile(fs, path, spareName, b); err != nil {
		return err
	}
	return writeFile(fs, path, identityName, b)
}

// writeFile replaces dir/name durably: temporary file, sync, rename, sync of the directory.
func writeFile(fs vfs.FS, dir, name string, b []byte) error {
	temp := fs.PathJoin(dir, name+".tmp")
	f, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temp, fs.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

const smallFileMax = 1 << 20

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, smallFileMax))
}

func syncDir(fs vfs.FS, path string) error {
	d, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mkdir makes path, in a drive's directory, as mkdirSynced does, but not the drive's directory itself: that may have been removed a
// moment ago, and what would be there then is nobody's drive.
func (o *Options) mkdir(path string) error {
	if _, err := o.FS.Stat(o.Path); err != nil {
		return err
	}
	return mkdirSynced(o.FS, path)
}

// mkdirSynced makes path and its parents, and syncs the parent of each directory it made.
func mkdirSynced(fs vfs.FS, path string) error {
	var made []string
	for p := path; ; p = fs.PathDir(p) {
		if _, err := fs.Stat(p); err == nil || fs.PathDir(p) == p {
			break
		}
		made = append(made, p)
	}
	if err := fs.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, p := range made {
		if err := syncDir(fs, fs.PathDir(p)); err != nil {
			return err
		}
	}
	return nil
}
