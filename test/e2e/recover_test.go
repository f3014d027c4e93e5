package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// store puts objects of all sizes into a bucket, and remembers them.
func (m *model) store(t *testing.T, c *s3, n int) {
	t.Helper()
	for i := range n {
		key, v := fmt.Sprintf("k%02d", i), version{seed: uint64(i), size: sizes[i%len(sizes)], there: true}
		must(t, c.put(m.bucket, key, v.body()))
		m.wrote(key, v, true)
	}
}

// settled waits until every replica of every range has all that was committed.
func (s *server) settled() {
	s.t.Helper()
	eventually(s.t, time.Minute, "replicas that have everything", func() error {
		ranges, err := admin[[]adminapi.Range](s, "range", "ls")
		if err != nil {
			return err
		}
		for _, r := range ranges {
			for _, rep := range r.Replicas {
				if rep.Applied < r.Applied || r.Leader == "" || rep.State == "lost" {
					return fmt.Errorf("range %d: replica %d is %s, at %d of %d", r.ID, rep.ID, rep.State, rep.Applied, r.Applied)
				}
			}
		}
		return nil
	})
}

// namesRecovery waits until the status says that a range has lost its majority, and what helps.
func (s *server) namesRecovery() {
	s.t.Helper()
	eventually(s.t, time.Minute, "a status that names the remedy", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		for _, p := range st.Problems {
			if strings.Contains(p.Text, "has lost") && strings.Contains(p.Remedy, "sherd meta recover") {
				return nil
			}
		}
		return fmt.Errorf("%v", st.Problems)
	})
}

// recoverMeta goes through what an operator does: look, be asked, and have it done.
func (s *server) recoverMeta(missing string) {
	s.t.Helper()
	var out string
	eventually(s.t, time.Minute, "all to be told", func() (err error) { // nodes may be starting, and lost ones not be known to be
		out, err = s.sherd("meta", "recover", "--dry-run")
		if err == nil && (strings.Contains(out, "CANNOT") || !strings.Contains(out, missing)) {
			err = errors.New(out)
		}
		return err
	})
	s.t.Log(out)
	if !strings.Contains(out, "range 1") || !strings.Contains(out, missing) || !strings.Contains(out, "buckets: ") {
		s.t.Fatal("not all is shown")
	}
	if out, err := s.sherd("meta", "recover"); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		s.t.Fatalf("nobody has agreed: %s, %v", out, err)
	}
	s.namesRecovery()
	out, err := s.sherd("meta", "recover", "--yes")
	must(s.t, err)
	s.t.Log(out)
	if out, err = s.sherd("meta", "recover"); err != nil || !strings.Contains(out, "nothing to recover") {
		s.t.Fatalf("a second time: %s, %v", out, err)
	}
}

// TestI4_MetaRecover: the records are gone from three of five drives. Everything is refused until a person says that they do not
// come back; then everything that was stored is there, at full strength.
func TestI4_MetaRecover(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.client()
	m := newModel("kept")
	must(t, c.makeBucket("kept"))
	m.store(t, c, 12)
	s.settled()
	if out, err := s.sherd("meta", "recover", "--yes"); err != nil || !strings.Contains(out, "nothing to recover") {
		t.Fatalf("while nothing is lost: %s, %v", out, err)
	}
	st, err := s.status()
	must(t, err)
	s.stop()
	lost := 0
	for _, d := range st.Drives {
		if d.Replicas > 0 && lost < 3 {
			lost++
			must(t, os.RemoveAll(filepath.Join(d.Path, "rows")))
			must(t, os.RemoveAll(filepath.Join(d.Path, "log")))
		}
	}
	s.run()
	s.namesRecovery()
	if err := c.put("kept", "new", []byte("x")); status(err) != 503 {
		t.Errorf("a write without a majority: %v", err)
	}
	if _, err := c.get("kept", "k00"); status(err) != 503 {
		t.Errorf("a read without a majority: %v", err)
	}
	s.recoverMeta("MAY BE MISSING")
	m.checkAll(t, c)
	m.checkListing(t, c)
	must(t, c.put("kept", "new", []byte("x")))
	s.waitHealed(2 * time.Minute)
}

// copies runs `control copies` for a restore on another node, and returns the file.
func (s *server) copies(to string) (string, error) {
	s.t.Helper()
	file := filepath.Join(s.dir, "given")
	_, err := s.sherd(append([]string{"control", "copies", "--for", to, "--out", file}, s.drives...)...)
	return file, err
}

// readCopies waits until all drives have a copy of the control state with a bucket in it, and returns them by path.
func (f *fleet) readCopies(bucket string) map[string][]byte {
	f.t.Helper()
	all := map[string][]byte{}
	for _, s := range f.nodes {
		for _, d := range s.drives {
			eventually(f.t, time.Minute, "a copy in "+d, func() error {
				b, err := os.ReadFile(filepath.Join(d, "control.json"))
				if err == nil && !strings.Contains(string(b), "buckets/"+bucket) {
					err = fmt.Errorf("it has no bucket %s", bucket)
				}
				all[filepath.Join(d, "control.json")] = b
				return err
			})
		}
	}
	return all
}

// TestI9_ClusterRestore: most members of etcd are lost, and one node with one of them is away. The others' copies come to one
// node, which makes the control state anew; all nodes go on with it, also the one that was away, which gives up its old member.
// The copies are older than a split: the range that was split off is found by its replicas.
func TestI9_ClusterRestore(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3, 2, "--ec", "4+2")
	first, second, away := f.nodes[0], f.nodes[1], f.nodes[2]
	m := newModel("kept")
	must(t, first.client().makeBucket("kept"))
	m.store(t, first.client(), 12)
	older := f.readCopies("kept")
	_, err := first.sherd("range", "split", "kept/k05")
	must(t, err)
	m.store(t, second.client(), 12)
	f.stopAll()
	for path, b := range older {
		must(t, os.WriteFile(path, b, 0o600))
	}
	if first.etcdDirs("etcd", "etcd.lost")+second.etcdDirs("etcd", "etcd.lost") < 3 {
		t.Fatal("fewer than a majority of the members were lost")
	}
	if out, err := first.restore("--yes"); err == nil || !strings.Contains(err.Error(), "no more than half") {
		t.Fatalf("from a third of the drives: %s, %v", out, err)
	}
	file, err := second.copies("n1")
	must(t, err)
	if out, err := second.restore("--yes"); err == nil || !strings.Contains(err.Error(), "given to a restore on another node") {
		t.Fatalf("on a node that gave its copies away: %s, %v", out, err)
	}
	out, err := first.restore("--yes", "--copies", file)
	must(t, err)
	t.Log(out)
	f.run(first, second)
	if !second.restored() {
		t.Error("the status does not say that the control state was restored")
	}
	m.checkAll(t, second.client())
	must(t, second.client().makeBucket("after"))
	f.run(away)
	must(t, away.client().put("after", "k", []byte("x")))
	m.checkListing(t, away.client())
	if out, err := away.sherd("control", "confirm"); err != nil || !strings.Contains(out, "confirmed") {
		t.Errorf("%s, %v", out, err)
	}
	f.waitHealed(2 * time.Minute)
	st, err := away.status()
	must(t, err)
	if len(st.Ranges) != 2 {
		t.Errorf("%d ranges", len(st.Ranges))
	}
	for _, p := range st.Problems {
		if strings.Contains(p.Text, "directory") {
			t.Errorf("the directory was not compared with the replicas: %v", p)
		}
	}
	if len(st.Etcd) != 5 {
		t.Errorf("%d members of etcd: %+v", len(st.Etcd), st.Etcd)
	}
}

// TestClusterLosesHalfItsNodes: two of four nodes burn, and what is left of etcd and of the records is no majority. Nothing is served
// until a person has restored the one and recovered the other; then all is there that two of four shards give back. One of
// the two comes back after all: what it has is destroyed, not merged.
func TestClusterLosesHalfItsNodes(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 1, "--ec", "2+2") // each node has a shard of every blob, a replica and a member
	burnt, one, other := f.nodes[:2], f.nodes[2], f.nodes[3]
	m := newModel("kept")
	must(t, one.client().makeBucket("kept"))
	m.store(t, one.client(), 12)
	f.readCopies("kept")
	one.settled()
	for _, s := range burnt {
		s.kill9()
		for _, d := range s.drives {
			must(t, os.Rename(d, d+".burnt"))
		}
	}
	one.namesRecovery()
	if err := one.client().put("kept", "new", []byte("x")); status(err) != 503 {
		t.Errorf("a write without a majority: %v", err)
	}
	one.stop()
	other.stop()

	file, err := other.copies(one.nodeName())
	must(t, err)
	if out, err := one.restore("--yes", "--copies", file); err == nil || !strings.Contains(err.Error(), "no more than half") {
		t.Fatalf("from half of the drives: %s, %v", out, err)
	}
	out, err := one.restore("--yes", "--force", "--copies", file)
	must(t, err)
	t.Log(out)
	if !strings.Contains(out, "nothing of  "+burnt[0].nodeName()+", "+burnt[1].nodeName()) {
		t.Error("what is not known is not shown")
	}
	one.run()
	other.run()
	one.namesRecovery()
	one.recoverMeta("nothing is missing")
	one.waitReady(time.Minute)
	other.waitReady(time.Minute)
	m.checkAll(t, other.client())
	m.checkListing(t, one.client())
	v := version{seed: 77, size: 100, there: true}
	must(t, one.client().put("kept", "k00", v.body()))
	m.wrote("k00", v, true)

	back := burnt[1]
	for _, d := range back.drives {
		must(t, os.Rename(d+".burnt", d))
	}
	back.run()
	back.waitReady(time.Minute)
	eventually(t, time.Minute, "the end of its replicas", func() error {
		log, err := os.ReadFile(back.log)
		if err == nil && !strings.Contains(string(log), "replica destroyed: the directory no longer names it") {
			err = fmt.Errorf("nothing was destroyed")
		}
		return err
	})
	m.checkAll(t, back.client())
	m.checkListing(t, back.client())
	if out, err := back.sherd("meta", "recover", "--dry-run"); err != nil || !strings.Contains(out, "nothing to recover") {
		t.Errorf("%s, %v", out, err)
	}
}
