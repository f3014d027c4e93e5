package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd is the real etcd server, of the version in go.mod: three members on loopback.
type etcd struct {
	t       *testing.T
	dir     string
	binary  string
	clients []string // URLs
	peers   []string
	procs   []*exec.Cmd // nil: not running
}

// startEtcd builds and starts it; it is stopped when t ends, after what was started later.
func startEtcd(t *testing.T) *etcd {
	t.Helper()
	e := &etcd{t: t, dir: t.TempDir(), procs: make([]*exec.Cmd, 3)}
	e.binary = filepath.Join(e.dir, "etcd")
	if out, err := exec.Command("go", "build", "-o", e.binary, "go.etcd.io/etcd/server/v3").CombinedOutput(); err != nil {
		t.Fatalf("building etcd: %v\n%s", err, out)
	}
	for range e.procs {
		e.clients = append(e.clients, fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
		e.peers = append(e.peers, fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
	}
	t.Cleanup(e.killAll)
	e.startAll()
	return e
}

func (e *etcd) flag() string { return strings.Join(e.clients, ",") }

func (e *etcd) data(i int) string { return filepath.Join(e.dir, fmt.Sprintf("m%d", i)) }

func (e *etcd) start(i int) {
	e.t.Helper()
	var all []string
	for j, peer := range e.peers {
		all = append(all, fmt.Sprintf("m%d=%s", j, peer))
	}
	log, err := os.OpenFile(e.data(i)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(e.t, err)
	defer log.Close()
	cmd := exec.Command(e.binary, "--name", fmt.Sprintf("m%d", i), "--data-dir", e.data(i),
		"--listen-client-urls", e.clients[i], "--advertise-client-urls", e.clients[i],
		"--listen-peer-urls", e.peers[i], "--initial-advertise-peer-urls", e.peers[i], "--initial-cluster", strings.Join(all, ","))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(e.t, cmd.Start())
	e.procs[i] = cmd
}

// startAll starts the members that do not run, and waits until all of them follow one leader.
func (e *etcd) startAll() {
	e.t.Helper()
	for i := range e.procs {
		if e.procs[i] == nil {
			e.start(i)
		}
	}
	e.awaitLeader()
}

// awaitLeader is the index of the member that leads, once all that run agree on it.
func (e *etcd) awaitLeader() (index int) {
	e.t.Helper()
	eventually(e.t, time.Minute, "etcd", func() (err error) {
		index, err = e.leader()
		return err
	})
	return index
}

func (e *etcd) kill(i int) {
	if cmd := e.procs[i]; cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
		e.procs[i] = nil
	}
}

func (e *etcd) killAll() {
	for i := range e.procs {
		e.kill(i)
	}
}

// leader is the index of the member that leads all that run.
func (e *etcd) leader() (int, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: e.clients, DialTimeout: 2 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	leaders, index := map[uint64]bool{}, -1
	for i := range e.procs {
		if e.procs[i] == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		s, err := c.Status(ctx, e.clients[i])
		cancel()
		if err != nil {
			return 0, fmt.Errorf("member %d: %w", i, err)
		}
		leaders[s.Leader] = true
		if s.Leader == s.Header.MemberId {
			index = i
		}
	}
	if index < 0 || len(leaders) > 1 {
		return 0, errors.New("the members do not follow one leader")
	}
	return index, nil
}

// swap puts the members' data aside under one name, and takes back what is under another, if there is any. None runs.
func (e *etcd) swap(aside, back string) {
	e.t.Helper()
	for i := range e.procs {
		must(e.t, os.Rename(e.data(i), e.data(i)+aside))
		if back != "" {
			must(e.t, os.Rename(e.data(i)+back, e.data(i)))
		}
	}
}

// A cluster with an etcd of its own keeping: members die, then all of them for a while, and objects are read and written all the
// time; changes of the map go on with a majority, and are clearly refused without. When all members' data is lost, `sherd control
// restore` brings the control state back (I9), and the old members, should they come back after all, are not believed.
func TestExternalEtcd(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := startFleet(t, 3, 2, "--ec", "4+2", "--etcd", e.flag())
	rng := random(t)
	l := f.startTraffic("external", rng, 4)
	a := f.agents(15 * time.Second)
	makeBucket := func(what string) {
		t.Helper()
		began := time.Now()
		err := a.within(30*time.Second, func(c *s3) error { return c.makeBucket(fmt.Sprintf("b%d", began.UnixNano())) })
		t.Logf("%s: a bucket is made after %s", what, time.Since(began).Round(time.Millisecond))
		must(t, err)
	}
	l.awaitWrites(20, time.Minute)
	e.kill((e.awaitLeader() + 1) % 3)
	makeBucket("a member is dead")
	l.awaitWrites(20, time.Minute)
	e.startAll()
	e.kill(e.awaitLeader())
	makeBucket("the leader is dead")
	l.awaitWrites(20, time.Minute)
	e.startAll()

	e.killAll()
	began := time.Now()
	for away := time.Duration(count(20, 60)) * time.Second; time.Since(began) < away; {
		l.awaitWrites(10, 30*time.Second)
		asked := time.Now()
		err := a.clients[rng.IntN(3)].makeBucket("while-etcd-is-away")
		t.Logf("etcd is away: a bucket is answered after %s: %v", time.Since(asked).Round(time.Millisecond), err)
		if status(err) != 503 {
			t.Errorf("a bucket while all of etcd is away: %v", err)
		}
	}
	e.startAll()
	makeBucket("etcd is back")
	l.awaitWrites(20, time.Minute)
	f.waitHealed(time.Minute)
	l.end(f.nodes[1])

	f.stopAll()
	e.killAll()
	e.swap(".old", "")
	e.startAll()
	for _, s := range f.nodes {
		s.refuses()
	}
	out, err := f.restore("--etcd", e.flag(), "--yes")
	must(t, err)
	t.Log(out)
	f.run(f.nodes...)
	if !f.nodes[2].restored() {
		t.Error("the status does not say that the control state was restored")
	}
	l.m.checkAll(t, f.nodes[0].client())
	makeBucket("restored")
	must(t, f.nodes[1].client().put("external", "after", content(1, 100_000)))

	f.stopAll()
	e.killAll()
	e.swap(".new", ".old")
	e.startAll()
	f.nodes[0].refuses()
	e.killAll()
	e.swap(".refused", ".new")
	e.startAll()
	f.run(f.nodes...)
	body, err := f.nodes[2].client().get("external", "after")
	if err != nil || string(body) != string(content(1, 100_000)) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// stopAll stops the nodes together.
func (f *fleet) stopAll() {
	f.t.Helper()
	for _, s := range f.nodes {
		s.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, s := range f.nodes {
		s.waitStopped()
	}
}

// restore runs `control restore` on the drives of all nodes.
func (f *fleet) restore(flags ...string) (string, error) {
	var drives []string
	for _, s := range f.nodes {
		drives = append(drives, s.drives...)
	}
	return f.nodes[0].sherd(append(append([]string{"control", "restore"}, flags...), drives...)...)
}
