package member

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

func TestChildrenOfTwoNodesKilled(t *testing.T) {
	t.Parallel()
	_, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	w := startWriter(t, b.Supervisor)
	for _, n := range some(a, b, c) {
		w.await(t, w.acked.Load()+5)
		signalChild(t, n.Supervisor, syscall.SIGKILL)
	}
	for range 2 {
		w.await(t, w.acked.Load()+5)
		signalChild(t, a.Supervisor, syscall.SIGKILL)
		signalChild(t, c.Supervisor, syscall.SIGKILL)
	}
	w.await(t, w.acked.Load()+5)
	awaitReady(t, 3, a, b, c)
	w.finish(t)
}

// TestI9_NodeGoneForGood: a fourth node takes the place of one that is gone; that one comes back, and its member, which was
// removed meanwhile, is not started.
func TestI9_NodeGoneForGood(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	old := a.opt.Found[2].Name
	c.stop()
	d := m.node("n4", 1, "n1", "n-2")
	m.start(d) // it has no member
	if got := get(t, d.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
	if err := d.Reconcile(testContext(t), d.opt.Drives); err != nil {
		t.Fatal(err)
	}
	poll.Nil(t, poll.Within, "the removal", func() error { return a.Remove(testContext(t), old) }) // when the new one is known to serve
	if err := a.Remove(testContext(t), old); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 3, a, b, d)
	write(t, d.Supervisor, "k", "2")
	if !hasData(c.opt.Drives[0].Path, old) {
		t.Fatal("the test has no directory of a removed member")
	}
	m.start(c)
	awaitReady(t, 3, a, b, d)
	if hasData(c.opt.Drives[0].Path, old) || c.starts != 0 {
		t.Errorf("I9: %s was started, or could be", old)
	}
	if got := get(t, c.Supervisor, "k"); got != "2" {
		t.Fatalf("k = %q", got)
	}
	if err := c.Reconcile(testContext(t), c.opt.Drives[:1]); err != nil { // the drive is free
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b, c, d)
	if slices.ContainsFunc(c.Members(), func(st Status) bool { return st.Name == old }) {
		t.Errorf("I10: %s is back", old)
	}
}

func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	for _, n := range some(a, b, c) { // whichever leads is among them
		m.isolate(n.name, true)
		others := slices.DeleteFunc([]*meshNode{a, b, c}, func(o *meshNode) bool { return o == n })
		for i, o := range others {
			write(t, o.Supervisor, "k", fmt.Sprint(n.name, i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := n.client.Put(ctx, "k", "minority"); err == nil {
			t.Error("a node that is cut off takes writes")
		}
		cancel()
		m.isolate(n.name, false)
		awaitReady(t, 3, a, b, c)
		if got := get(t, n.Supervisor, "k"); got != fmt.Sprint(n.name, 1) {
			t.Errorf("k = %q on %s", got, n.name)
		}
	}
}

// TestGatewayHasNoMembers: a node without drives uses those of others, whichever serve.
func TestGatewayHasNoMembers(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	g := m.node("gateway", 0, "n1", "n-2", c.name)
	a.stop()
	m.start(g)
	if got := get(t, g.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
	m.start(a)
	awaitReady(t, 3, g, a)
	for _, n := range some(a, b, c) {
		n.stop()
		write(t, g.Supervisor, "k", n.name)
		m.start(n)
		awaitReady(t, 3, g)
	}
}

func TestI9_OneOfThreeNodesWaits(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	for _, n := range []*meshNode{a, b, c} {
		n.stop()
	}
	a.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := a.Start(ctx); !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want ErrNoQuorum when the time is over", err)
	}
	a.stop()
	a.begin(t)
	waited := make(chan error, 1)
	go func() { waited <- a.Start(testContext(t)) }()
	poll.True(t, poll.Within, "the member that waits", func() bool { return a.Pid() != 0 })
	m.start(b)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if got := get(t, a.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
}

// TestI9_RemovedWhileItRuns: members that are removed stop, whoever had it done and when; two nodes may do so together.
func TestI9_RemovedWhileItRuns(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	old := a.opt.Found[2].Name
	if err := a.Remove(testContext(t), a.opt.Found[0].Name); err == nil {
		t.Fatal("a node's own member is removed without its record")
	}
	if err := c.Reconcile(testContext(t), nil); err != nil { // it would have it back otherwise
		t.Fatal(err)
	}
	awaitReady(t, 2, a, b, c)
	if err := c.await(testContext(t), func() bool { return c.proc == nil }); err != nil {
		t.Error("a process runs that has no members")
	}
	if err := c.Reconcile(testContext(t), c.opt.Drives); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b, c)
	removed := slices.IndexFunc(c.Members(), func(st Status) bool { return st.Path == c.opt.Drives[0].Path })
	name := c.Members()[removed].Name
	if err := a.Remove(testContext(t), name); err != nil {
		t.Fatal(err)
	}
	if err := c.await(testContext(t), func() bool { return c.truth.peer(name) == nil }); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b, c) // it is wanted there: there is a new one
	if hasData(c.opt.Drives[0].Path, name) || !exists(dataDir(c.opt.Drives[0].Path, name+awaySuffix)) {
		t.Errorf("I9: the directory of %s is not put away", name)
	}
	write(t, c.Supervisor, "k", "1")
	var g sync.WaitGroup
	for _, n := range []*meshNode{a, b} {
		g.Go(func() {
			if err := n.Reconcile(testContext(t), nil); err != nil {
				t.Errorf("%s: %v", n.name, err)
			}
		})
	}
	g.Wait()
	awaitReady(t, 2, a, b, c)
	if got := get(t, a.Supervisor, "k"); got != "1" {
		t.Errorf("k = %q", got)
	}
	if slices.ContainsFunc(c.Members(), func(st Status) bool { return st.Name == old }) {
		t.Errorf("I10: %s is back", old)
	}
	m.start() // and nothing failed
}

// TestClientLeavesAMemberThatHangs: this node's member is the first choice, but not when it gives no answers.
func TestClientLeavesAMemberThatHangs(t *testing.T) {
	t.Parallel()
	_, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	a.mu.Lock()
	clear(a.avoids) // of the start, which may have taken its time
	a.mu.Unlock()
	client, err := a.newClient(a.Dial)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(testContext(t), "k", "1"); err != nil { // however long it takes: it is not to go elsewhere
		t.Fatal(err)
	}
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.Put(ctx, "k", "1")
		if errors.Is(err, context.DeadlineExceeded) {
			a.Redial()
		}
		return err
	}
	if a.clients.last.node != a.name {
		t.Errorf("a client on %s is connected to %+v", a.name, a.clients.last)
	}
	stopped := signalChild(t, a.Supervisor, syscall.SIGSTOP)
	defer syscall.Kill(stopped, syscall.SIGCONT)
	poll.Nil(t, poll.Within, "a write elsewhere", try)
	poll.Nil(t, poll.Within, "the supervisor's own question", func() error { return a.Remove(t.Context(), "m000000000000") })
}

// TestI4_AloneUntilAnotherNodeHasAMember: a node that has all members goes on without a quorum, and not any more when
// another node has one.
func TestI4_AloneUntilAnotherNodeHasAMember(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.node("n1", 2), m.node("n2", 2, "n1")
	a.opt.Bootstrap, a.opt.Sole, a.opt.Want = true, true, []ids.Drive{a.opt.Drives[0].Drive, a.opt.Drives[1].Drive}
	m.start(a)
	write(t, a.Supervisor, "k", "1")
	wipe(t, filepath.Join(a.opt.Drives[0].Path, etcdDir))
	if err := a.await(testContext(t), func() bool { return a.truth.Generation == 2 }); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 2, a)
	m.start(b)
	if err := b.Reconcile(testContext(t), b.opt.Drives); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b)
	b.stop() // two of four: as many as the rule would allow to be lost
	a.stop()
	a.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := a.Start(ctx); !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("I4: %v, want ErrNoQuorum", err)
	}
	if got, err := Look(a.opt); err != nil || len(got.Members) != 4 || got.Here() != 2 || !got.Spread() || got.Enough {
		t.Errorf("I4: %+v, %v", got, err)
	}
	if a.truth.Generation != 2 || a.truth.Alone {
		t.Errorf("I4: it went on alone: %+v", a.truth)
	}
}

// TestNodeHasAnotherName: a node that has all members keeps them under a new name; a node among others has none of them.
func TestNodeHasAnotherName(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a := m.node("n1", 2)
	a.opt.Bootstrap, a.opt.Sole, a.opt.Want = true, true, []ids.Drive{a.opt.Drives[0].Drive, a.opt.Drives[1].Drive}
	m.start(a)
	write(t, a.Supervisor, "k", "1")
	a.stop()
	other := a.opt
	other.Node, other.Bootstrap, other.Sole = "n2", false, false
	if _, err := Start(testContext(t), other); !errors.Is(err, ErrNoMembers) {
		t.Fatalf("I9: drives of another node: %v, want ErrNoMembers", err)
	}
	other.Sole = true
	for range 2 {
		s := start(t, other)
		if err := s.await(testContext(t), func() bool { return s.truth.Node == "n2" || s.learned && !s.renamed }); err != nil {
			t.Fatal(err)
		}
		var members []seen
		poll.Nil(t, poll.Within, "etcd's list", func() (err error) { members, err = s.list(testContext(t)); return err })
		if len(members) != 2 || members[0].Node != "n2" || members[1].Node != "n2" {
			t.Fatalf("etcd has %+v", members)
		}
		if got := get(t, s, "k"); got != "1" {
			t.Errorf("k = %q", got)
		}
		s.Close()
		other.Sole = false // it is its name now
	}
}
