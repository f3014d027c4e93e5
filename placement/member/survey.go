package member

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
)

// Survey says what one node's drives have of an embedded etcd.
type Survey struct {
	Node    string `json:"node"`    // whose drives these are, by the newest record
	Members []Left `json:"members"` // that there are by that record; none: there is no record
	Enough  bool   `json:"enough"`  // Start would go on with those that are here
}

// Left is one member, and whether it is left.
type Left struct {
	Name string `json:"name"`
	Node string `json:"node"`
	Here bool   `json:"here"` // its state is on the drives; of another node's nothing is known
}

// Here is how many members' state is on the drives.
func (s *Survey) Here() (n int) {
	for _, m := range s.Members {
		if m.Here {
			n++
		}
	}
	return n
}

// Spread reports whether other nodes have members, too.
func (s *Survey) Spread() bool {
	return slices.ContainsFunc(s.Members, func(m Left) bool { return m.Node != s.Node })
}

// Look surveys the drives of one node. It starts and changes nothing. Errors: what Options refuses.
func Look(opt Options) (Survey, error) {
	if err := opt.validate(); err != nil {
		return Survey{}, err
	}
	s := &Supervisor{opt: opt, hosts: make(map[ids.Drive]Host), lost: make(map[string]loss)}
	for _, h := range opt.Drives {
		s.hosts[h.Drive] = h
	}
	newest := s.newestRecord()
	if newest == nil {
		return Survey{Node: opt.Node}, nil
	}
	s.setTruth(newest)
	s.inspectAll()
	here := s.startable()
	found := Survey{Node: s.opt.Node, Enough: s.quorate(here) || s.mayGoAlone()}
	for _, p := range s.truth.Peers {
		l := Left{Name: p.Name, Node: p.Node, Here: slices.Contains(here, p.Name)}
		if s.own(p) {
			l.Node = s.opt.Node
		}
		found.Members = append(found.Members, l)
	}
	return found, nil
}

// PutAside takes what is left of an etcd on a drive out of its place, under a name that nothing looks at: it is not started
// again. It returns the new path, empty if there was nothing.
func PutAside(drive string, at time.Time) (string, error) {
	to := filepath.Join(drive, etcdDir+".lost-"+at.UTC().Format("20060102T150405Z"))
	err := os.Rename(filepath.Join(drive, etcdDir), to)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return to, atomicfile.SyncDir(drive)
}
