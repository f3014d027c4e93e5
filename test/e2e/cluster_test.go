package e2e

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// Any of four nodes dies under load, comes back, and is made whole; then all die at once and three of them start: whatever was
// acknowledged is there, and was readable all the time.
func TestClusterSurvivesItsNodes(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 2, "--ec", "4+2")
	rng := random(t)
	l := f.startTraffic("survive", rng, 6)
	l.awaitWrites(50, 60*time.Second)
	for range count(2, 40) {
		s := f.nodes[rng.IntN(len(f.nodes))]
		s.kill9()
		l.awaitWrites(50, 60*time.Second)
		f.run(s)
		f.waitHealed(120 * time.Second)
	}
	full := time.Now()
	l.awaitWrites(20, 60*time.Second)
	l.halt.Store(true)
	for _, s := range f.nodes {
		s.kill9()
	}
	l.stop()
	f.run(f.nodes[:3]...)
	l.checkWithout(f.nodes[1], full)
	f.run(f.nodes[3])
	f.waitHealed(120 * time.Second)
	l.end(f.nodes[3])
}

// A node that is stopped as an upgrade stops it costs no client that tries once more a read, and nobody an election.
func TestClusterRollingRestart(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3, 3, "--ec", "4+2")
	rng := random(t)
	l := f.startTraffic("rolling", rng, 4)
	l.awaitWrites(20, 60*time.Second)
	for _, s := range f.nodes {
		s.stop()
		l.awaitWrites(20, 60*time.Second)
		f.run(s)
		f.waitHealed(120 * time.Second)
	}
	l.end(f.nodes[0])
}

// A node joins with a token, which nobody can use again; what is stored moves on to it.
func TestClusterNodeJoins(t *testing.T) {
	t.Parallel()
	first := newServer(t, options{drives: 3})
	port := freePort(t)
	first.flags = []string{"--node", "n1", "--advertise", fmt.Sprintf("127.0.0.1:%d", port)}
	first.run()
	first.waitReady(30 * time.Second)
	body := content(1, 300_000)
	must(t, first.client().makeBucket("join"))
	must(t, first.client().put("join", "before", body))

	token, second := first.invites(port, "n2", 3)
	got, err := second.client().get("join", "before")
	must(t, err)
	if !bytes.Equal(got, body) {
		t.Error("other bytes through the node that joined")
	}
	must(t, second.client().put("join", "after", body))
	if got, err = first.client().get("join", "after"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("through the first node: %d bytes, %v", len(got), err)
	}
	second.stop()
	second.restart() // by its papers: the token was used up
	st, err := first.status()
	must(t, err)
	if n := len(drivesOf(&st, "n2")); n != 3 {
		t.Errorf("%d drives of n2 in the status", n)
	}
	third := newServer(t, options{drives: 1, notReady: true})
	third.flags = []string{
		"--node", "n3", "--advertise", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--join", fmt.Sprintf("127.0.0.1:%d", port), "--token", token,
	}
	third.run()
	third.killed = true // it is to end by itself
	select {
	case <-third.ended:
		if code := third.cmd.ProcessState.ExitCode(); code == 0 {
			t.Error("a used token: exit code 0")
		}
	case <-time.After(30 * time.Second):
		t.Error("a used token lets a node in")
	}
}

// invites has a node with drives join through s, whose node port that is, and gives the token that is used up by it.
func (s *server) invites(port int, name string, drives int) (token string, joined *server) {
	s.t.Helper()
	answer, err := admin[struct{ Token string }](s, "node", "token")
	must(s.t, err)
	joined = newServer(s.t, options{drives: drives})
	joined.flags = []string{
		"--node", name, "--advertise", fmt.Sprintf("127.0.0.1:%d", freePort(s.t)),
		"--join", fmt.Sprintf("127.0.0.1:%d", port), "--token", answer.Token,
	}
	joined.run()
	joined.waitReady(60 * time.Second)
	return answer.Token, joined
}

// Nodes join one by one under load, six in the end in soak: their drives get their share, those of old only give, and no client sees an
// error that another try does not mend.
func TestClusterGrows(t *testing.T) {
	t.Parallel()
	nodes := count(3, 4)
	f := startFleet(t, nodes, 2, "--ec", "4+2")
	first := f.nodes[0]
	l := f.startTraffic("grows", random(t), 4)
	for grown := range count(1, 2) {
		l.awaitWrites(30, 60*time.Second)
		before, err := first.status()
		must(t, err)
		had := map[string]int{}
		for _, d := range before.Drives {
			had[d.ID] = d.Slots
		}
		first.invites(f.nodePort[0], fmt.Sprintf("new%d", grown), 2)
		first.waitBalanced(3*time.Minute, 2*(nodes+grown+1))
		after, err := first.status()
		must(t, err)
		for _, d := range after.Drives {
			if old, ok := had[d.ID]; ok && d.Slots > old {
				t.Errorf("%s had %d slots before a node joined, and has %d", d.Path, old, d.Slots)
			}
		}
	}
	l.awaitWrites(30, 60*time.Second)
	f.waitHealed(120 * time.Second)
	l.end(f.nodes[1])
}

// A node is emptied under load and taken away: no client sees an error that another try does not mend, and all is at full strength without it.
func TestClusterNodeLeaves(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 2, "--ec", "4+2")
	l := f.startTraffic("leave", random(t), 4)
	l.awaitWrites(30, 60*time.Second)
	first, last := f.nodes[0], f.nodes[3]
	_, err := first.sherd("node", "drain", "n4")
	must(t, err)
	eventually(t, 180*time.Second, "nothing on n4", func() error {
		nodes, err := admin[[]adminapi.Node](first, "node", "ls")
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if n.Name == "n4" && n.Slots+n.Replicas > 0 {
				return fmt.Errorf("%d slots and %d replicas are on n4", n.Slots, n.Replicas)
			}
		}
		return nil
	})
	if _, err := first.sherd("node", "remove", "n4"); err == nil {
		t.Error("a node that runs is removed")
	}
	last.stop()
	eventually(t, 60*time.Second, "n4 removed", func() error {
		_, err := first.sherd("node", "remove", "n4")
		return err
	})
	l.awaitWrites(30, 60*time.Second)
	f.waitHealed(120 * time.Second)
	l.end(first)
	st, err := first.status()
	must(t, err)
	if len(st.Nodes) != 3 || len(st.Drives) != 6 {
		t.Errorf("%d nodes and %d drives are left", len(st.Nodes), len(st.Drives))
	}
}
