package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

func TestI10_FoundingOverThreeNodes(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	write(t, a.Supervisor, "k", "1")
	for _, n := range []*meshNode{a, b, c} {
		if got := get(t, n.Supervisor, "k"); got != "1" {
			t.Errorf("%s has k = %q", n.name, got)
		}
		poll.Nil(t, poll.Within, "all members in the eyes of "+n.name, func() error { // who is asked may be late to answer
			for _, st := range n.Members() {
				i := slices.IndexFunc(a.opt.Found, func(f Founder) bool { return f == Founder{st.Name, st.Node, st.Drive} })
				if i < 0 || !st.Ready || st.Joining || (st.Path != "") != (st.Node == n.name) {
					return fmt.Errorf("it sees %+v", st)
				}
			}
			return nil
		})
	}
	var last *meshNode
	for _, n := range some(a, b, c) { // one after another, and then all
		last = n
		n.stop()
		write(t, [2]*meshNode{b, a}[min(1, slices.Index([]*meshNode{a, b, c}, n))].Supervisor, "k", n.name)
		m.start(n)
		if got := get(t, n.Supervisor, "k"); got != n.name {
			t.Errorf("k = %q after the restart of %s", got, n.name)
		}
		awaitReady(t, 3, a, b, c)
	}
	for _, n := range []*meshNode{a, b, c} {
		n.stop()
		n.opt.Found = nil
	}
	m.start(a, b, c)
	awaitReady(t, 3, a, b, c)
	if got := get(t, b.Supervisor, "k"); got != last.name {
		t.Errorf("k = %q", got)
	}
}

// TestI10_BlankNodeOfTheSameName: a node lost its drives. What had its name is no member any more; it gets a new one.
func TestI10_BlankNodeOfTheSameName(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	old := b.opt.Found[1]
	b.stop()
	blank := m.node(b.name, 1, "n1", c.name)
	blank.opt.Found = b.opt.Found // a lead that made a mistake
	blank.begin(t)
	if err := blank.Start(testContext(t)); !errors.Is(err, ErrFounding) {
		t.Fatalf("I10: %v, want ErrFounding", err)
	}
	blank.stop()
	blank.opt.Found = nil
	var named atomic.Bool
	blank.opt.Named = named.Load
	m.start(blank)
	if err := blank.await(testContext(t), func() bool { return blank.learned }); err != nil {
		t.Fatal(err)
	}
	var members []seen
	poll.Nil(t, poll.Within, "etcd's list", func() (err error) { members, err = a.list(testContext(t)); return err })
	if !slices.ContainsFunc(members, func(s seen) bool { return s.Name == old.Name }) {
		t.Fatalf("I9: the member of another process under the name was removed: %+v", members)
	}
	named.Store(true)
	if err := blank.Reconcile(testContext(t), blank.opt.Drives); err != nil {
		t.Fatal(err)
	}
	err := a.await(testContext(t), func() bool { return a.truth.peer(old.Name) == nil })
	if err != nil {
		t.Fatalf("I10: %s is still a member", old.Name)
	}
	awaitReady(t, 3, a, blank, c)
	if got := get(t, blank.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
}

// TestOneNodeBecomesThree: members of a node that was alone, made by a version that named no node, go on; others join, and
// take over.
func TestOneNodeBecomesThree(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a := m.node("n1", 2)
	alone := a.opt
	alone.Node, alone.Dial, alone.Bootstrap, alone.Sole, alone.Want = "", nil, true, true, []ids.Drive{a.opt.Drives[0].Drive, a.opt.Drives[1].Drive}
	s := start(t, alone)
	write(t, s, "k", "1")
	s.Close()
	r, err := readRecord(a.opt.Drives[0], m.cluster)
	if err != nil || r.Version != versionOne || len(r.Peers) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	a.opt.Sole = true
	m.start(a)
	awaitReady(t, 2, a)
	err = a.await(testContext(t), func() bool { return a.truth.Node == "n1" })
	if err != nil {
		t.Fatal(err)
	}
	b, c := m.node("n2", 1, "n1"), m.node("n3", 1, "n1")
	m.start(b, c)
	var g sync.WaitGroup
	for _, n := range []*meshNode{b, c} { // both at a time
		g.Go(func() {
			if err := n.Reconcile(testContext(t), n.opt.Drives); err != nil {
				t.Errorf("%s: %v", n.name, err)
			}
		})
	}
	g.Wait()
	awaitReady(t, 4, a, b, c)
	if err := a.Reconcile(testContext(t), a.opt.Drives[:1]); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 3, a, b, c)
	write(t, b.Supervisor, "k", "2")
	a.stop()
	if got := get(t, c.Supervisor, "k"); got != "2" {
		t.Fatalf("k = %q", got)
	}
	wipe(t, filepath.Join(a.opt.Drives[0].Path, etcdDir))
	wipe(t, filepath.Join(a.opt.Drives[1].Path, etcdDir))
	if _, err := Start(testContext(t), a.opt); !errors.Is(err, ErrNoMembers) {
		t.Fatal(err)
	}
}

// TestI10_FoundingIsTakenUpAgain: it is cut short before a quorum is there. Another list is refused then, and the same one
// goes on.
func TestI10_FoundingIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.node("n1", 1), m.node("n2", 1)
	found(a, b)
	a.begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- a.Start(ctx) }()
	poll.True(t, poll.Within, "the first member", func() bool { return hasData(a.opt.Drives[0].Path, a.opt.Found[0].Name) })
	cancel()
	if err := <-failed; !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("%v, want ErrNoQuorum", err)
	}
	a.stop()
	agreed := a.opt.Found
	a.opt.Found = []Founder{{NewName(), "n1", agreed[0].Drive}, agreed[1]}
	a.begin(t)
	if err := a.Start(testContext(t)); !errors.Is(err, ErrFounding) {
		t.Fatalf("I10: %v, want ErrFounding", err)
	}
	a.stop()
	record, err := os.ReadFile(recordPath(a.opt.Drives[0].Path))
	if err = errors.Join(err, os.Remove(recordPath(a.opt.Drives[0].Path))); err != nil {
		t.Fatal(err)
	}
	a.opt.Found = agreed
	a.begin(t)
	if err := a.Start(testContext(t)); !errors.Is(err, ErrFounding) {
		t.Fatalf("I10: data without a record: %v, want ErrFounding", err)
	}
	a.stop()
	if err := os.WriteFile(recordPath(a.opt.Drives[0].Path), record, 0o600); err != nil {
		t.Fatal(err)
	}
	m.start(a, b)
	awaitReady(t, 2, a, b)
}
