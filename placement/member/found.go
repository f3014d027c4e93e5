package member

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// form writes this node's records of a new etcd cluster; its members have no data yet.
func (s *Supervisor) form() error {
	founders := s.opt.Found
	if len(founders) == 0 {
		for _, id := range s.want {
			founders = append(founders, Founder{NewName(), s.opt.Node, id})
		}
	}
	if len(founders) == 0 {
		return errors.New("member: no drive is wanted to have a member")
	}
	r := &record{Cluster: s.opt.Cluster, Node: s.opt.Node, Token: foundingToken(founders), Generation: 1, Serial: 1, Forming: true, Control: s.opt.Control}
	s.want = s.want[:0:0]
	for _, f := range founders {
		p := peer{Name: f.Name, Node: f.Node, Drive: f.Drive, State: peerVoter}
		if !addressForm.MatchString(p.address().String()) || r.peer(p.Name) != nil {
			return fmt.Errorf("%w: member %q of node %q", ErrFounding, f.Name, f.Node)
		}
		r.Peers = append(r.Peers, p)
		if !s.own(p) {
			continue
		}
		s.want = append(s.want, f.Drive)
		if err := s.clear(f); err != nil {
			return err
		}
	}
	s.setTruth(r)
	return s.writeTruth()
}

// clear makes room for a founder on a drive that has none of this cluster. Data under its very name, without a record, are
// those of a member that has voted (I10).
func (s *Supervisor) clear(f Founder) error {
	h, ok := s.hosts[f.Drive]
	if !ok {
		return fmt.Errorf("%w: drive %s is to have %s and is not there", ErrFounding, f.Drive, f.Name)
	}
	if _, err := os.Stat(dataDir(h.Path, f.Name)); err == nil {
		return fmt.Errorf("%w: %s was started on %s before", ErrFounding, f.Name, h.Path)
	}
	return os.RemoveAll(filepath.Join(h.Path, etcdDir))
}

// foundingToken is what the founders have in common, and no others.
func foundingToken(founders []Founder) string {
	var lines []string
	for _, f := range founders {
		lines = append(lines, fmt.Sprintln(f.Name, f.Node, f.Drive))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:16])
}

// checkFounding compares a record of a founding that is not over with the list that is given now.
// Errors: ErrFounding.
func (s *Supervisor) checkFounding() error {
	if len(s.opt.Found) == 0 || !s.truth.Forming || s.truth.Token == foundingToken(s.opt.Found) {
		return nil
	}
	return fmt.Errorf("%w, with members %s", ErrFounding, strings.Join(s.truth.addresses(), " "))
}
