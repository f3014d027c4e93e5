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
	Enough  bool // Start would go on with them
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
	if s.truth = s.newestRecord(); s.truth == nil {
		return Survey{}, nil
	}
	s.inspectAll()
	here := s.startable()
	return Survey{Members: len(s.truth.Peers), Here: len(here), Enough: s.quorate(here) || s.mayGoAlone()}, nil
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
