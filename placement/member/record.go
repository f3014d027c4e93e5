package member

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"go.etcd.io/etcd/server/v3/storage/wal"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
)

const (
	etcdDir    = "etcd"
	recordFile = "member.json"
	versionOne = 1 // no node is named
	versionTwo = 2
)

// record is member.json: one on each drive of a node, all of the node's telling the same but for Name and Drive. The one with
// the greatest (Control, Generation, Serial) tells the truth of the node's own members; a drive whose Name it does not list
// hosts nothing. What it says of members of other nodes is what etcd last said.
type record struct {
	Version    int         `json:"version"`
	Cluster    ids.Cluster `json:"cluster"`
	Drive      ids.Drive   `json:"drive"`
	Name       string      `json:"name"`
	Node       string      `json:"node,omitempty"` // whose drive this is; empty: of the only node
	Token      string      `json:"token"`          // of the etcd cluster
	Generation uint64      `json:"generation"`     // raised when a survivor went on alone
	Serial     uint64      `json:"serial"`         // raised by every change of Peers
	Forming    bool        `json:"forming,omitempty"`
	Alone      bool        `json:"alone,omitempty"` // the start as the only member has not succeeded yet
	// Control is the generation of the control state that this etcd was made for: a restore raises it (I9). 0: 1.
	Control uint64 `json:"control,omitempty"`
	Peers   []peer `json:"peers"`
}

// peer is one member, and where its data is.
type peer struct {
	Name  string    `json:"name"`
	Node  string    `json:"node,omitempty"` // as etcd knows it
	Drive ids.Drive `json:"drive"`          // zero for one of another node that has not started yet
	State peerState `json:"state"`
}

func (p peer) address() address { return address{p.Name, p.Node} }

type peerState string

const (
	peerVoter   peerState = "voter"
	peerJoining peerState = "joining" // being added; may be a voter already
	peerLeaving peerState = "leaving" // being removed; not started any more; may still be a voter
)

var (
	nameForm      = regexp.MustCompile(`^m[0-9a-f]{12}$`)
	errBadRecord  = errors.New("member: damaged " + recordFile)
	errNoRecord   = errors.New("member: no " + recordFile)
	errOtherDrive = errors.New("member: " + recordFile + " is of another drive or cluster")
	errOutlived   = errors.New("member: " + recordFile + " is of an etcd that was given up by a restore")
)

// NewName makes a member's name: never used before.
func NewName() string {
	var b [6]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return "m" + hex.EncodeToString(b[:])
}

// addresses are those of the members that are to stay.
func (r *record) addresses() (all []string) {
	for _, p := range r.Peers {
		if p.State != peerLeaving {
			all = append(all, p.address().String())
		}
	}
	return all
}

// format is the oldest version that has all that r says: one that knows no nodes could not reach the members.
func (r *record) format() int {
	if r.Node != "" || slices.ContainsFunc(r.Peers, func(p peer) bool { return p.Node != "" }) {
		return versionTwo
	}
	return versionOne
}

func (r *record) peer(name string) *peer {
	for i := range r.Peers {
		if r.Peers[i].Name == name {
			return &r.Peers[i]
		}
	}
	return nil
}

func (r *record) control() uint64 { return max(r.Control, 1) }

// newer holds for the record that tells the truth: of the later control state, then by (Generation, Serial).
func (r *record) newer(than *record) bool {
	if r.control() != than.control() {
		return r.control() > than.control()
	}
	if r.Generation != than.Generation {
		return r.Generation > than.Generation
	}
	return r.Serial > than.Serial
}

func (r *record) clone() *record {
	c := *r
	c.Peers = slices.Clone(r.Peers)
	return &c
}

func recordPath(drive string) string           { return filepath.Join(drive, etcdDir, recordFile) }
func dataDir(drive string, name string) string { return filepath.Join(drive, etcdDir, name) }

// readRecord reads the record on a drive. Errors: errNoRecord, errBadRecord, errOtherDrive, or the file system's.
func readRecord(h Host, cluster ids.Cluster) (*record, error) {
	b, err := os.ReadFile(recordPath(h.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoRecord
	}
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, err
	}
	if r.Drive != h.Drive || r.Cluster != cluster {
		return nil, errOtherDrive
	}
	return r, nil
}

// parseRecord decodes and checks a record. Errors: errBadRecord.
func parseRecord(b []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%w: %v", errBadRecord, err)
	}
	if r.Version != versionOne && r.Version != versionTwo || r.Name != "" && !nameForm.MatchString(r.Name) || len(r.Peers) == 0 || r.Token == "" {
		return nil, fmt.Errorf("%w: version %d", errBadRecord, r.Version)
	}
	for _, p := range r.Peers {
		if !addressForm.MatchString(p.address().String()) || !nameForm.MatchString(p.Name) {
			return nil, fmt.Errorf("%w: peer %q", errBadRecord, p.address())
		}
	}
	if r.Version < r.format() {
		return nil, fmt.Errorf("%w: version %d names nodes", errBadRecord, r.Version)
	}
	return &r, nil
}

// writeRecord replaces the record on a drive, in the format that it needs; durable when it returns.
func writeRecord(h Host, r *record) error {
	r.Version = r.format()
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	dir := filepath.Join(h.Path, etcdDir)
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := atomicfile.SyncDir(h.Path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, recordFile), append(b, '\n'))
}

// hasData reports whether a member's log is there: it was started once, and may vote.
func hasData(drive, name string) bool {
	return wal.Exist(filepath.Join(dataDir(drive, name), "member", "wal"))
}

// putAway takes a member's directory out of its place on a drive, under a name that is never started, in the place of an
// earlier one.
func putAway(drive, name string) error {
	old, err := filepath.Glob(filepath.Join(drive, etcdDir, "m*"+awaySuffix))
	for _, path := range old {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if e := os.Rename(dataDir(drive, name), dataDir(drive, name+awaySuffix)); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

const awaySuffix = ".removed"

// removeStale removes what is in DRIVE/etcd besides keep, a member's name or "".
func removeStale(drive, keep string) error {
	entries, err := os.ReadDir(filepath.Join(drive, etcdDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if nameForm.MatchString(e.Name()) && e.Name() != keep {
			err = errors.Join(err, os.RemoveAll(dataDir(drive, e.Name())))
		}
	}
	return err
}
