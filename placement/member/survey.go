package member

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
)

// Survey says what the drives have of an embedded etcd.
type Survey struct {
	Members int  // that there are by the newest record; 0: no record
	Here    int  // of these, whose state is here
	Others  int  // of these, that other nodes have: nothing is known of them here
	Enough  bool // Start would go on with those that are here
}

// Look surveys the drives. It starts and changes nothing. Errors: what Options refuses.
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
		return Survey{}, nil
	}
	s.setTruth(newest)
	s.inspectAll()
	here := s.startable()
	found := Survey{Members: len(s.truth.Peers), Here: len(here), Enough: s.quorate(here) || s.mayGoAlone()}
	for _, p := range s.truth.Peers {
		if !s.own(p) {
			found.Others++
		}
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
