package member

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// piped runs a tunnel between two pipes and returns the outer ends.
func piped(ts *tunnels, class tunnelClass) (near, far net.Conn, ended chan struct{}) {
	near, a := net.Pipe()
	far, b := net.Pipe()
	ended = make(chan struct{})
	go func() {
		ts.run(class, a, b)
		close(ended)
	}()
	return near, far, ended
}

func over(ended chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

func TestTunnelCopiesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, ended := piped(newTunnels(), tunnelClass{})
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			sent := bytes.Repeat([]byte("sherd"), tunnelBytes)
			go way[0].Write(sent)
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%v, or other bytes", err)
			}
		}
		near.Close()
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the other end has %v", err)
		}
		<-ended
	})
}

// TestHalfOpenTunnelsEnd: nobody says anything, or nobody listens. One whose traffic goes one way stays.
func TestHalfOpenTunnelsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTunnels()
		_, _, silent := piped(ts, tunnelClass{})
		deaf, _, stalled := piped(ts, tunnelClass{})
		near, far, oneWay := piped(ts, tunnelClass{})
		go deaf.Write([]byte("x")) // the other end does not read
		go io.Copy(io.Discard, far)
		time.Sleep(tunnelStall + time.Second)
		synctest.Wait()
		if !over(stalled) || over(silent) {
			t.Errorf("ended after %v: stalled %v, silent %v", tunnelStall, over(stalled), over(silent))
		}
		for range 10 {
			if _, err := near.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tunnelIdle / 2)
		}
		synctest.Wait()
		if !over(silent) || !over(stalled) || over(oneWay) {
			t.Errorf("ended: silent %v, stalled %v, one way %v", over(silent), over(stalled), over(oneWay))
		}
		ts.close()
		if !over(oneWay) {
			t.Error("close did not wait")
		}
		if _, _, late := piped(ts, tunnelClass{}); true {
			<-late
		}
	})
}

// TestTunnelsAreBounded: those of one node and member do not grow without end; the ones that were not used go first, and
// those of others stay.
func TestTunnelsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTunnels()
		defer ts.close()
		_, _, other := piped(ts, tunnelClass{node: "n2"})
		near, far, used := piped(ts, tunnelClass{node: "n1"})
		go io.Copy(io.Discard, far)
		var ended []chan struct{}
		for range tunnelsMax + 9 {
			time.Sleep(time.Second)
			near.Write([]byte("x"))
			synctest.Wait()
			_, _, e := piped(ts, tunnelClass{node: "n1"})
			synctest.Wait()
			ended = append(ended, e)
		}
		gone := 0
		for i, e := range ended {
			if over(e) {
				gone++
			} else if i < 10 {
				t.Errorf("tunnel %d is still there", i)
			}
		}
		if gone != 10 || over(used) || over(other) {
			t.Errorf("%d ended, the one in use %v, another's %v", gone, over(used), over(other))
		}
	})
}

// lonely is a supervisor whose records name members of other nodes, and that was not started.
func lonely(t *testing.T, dial func(ctx context.Context, node, member string, kind Kind) (net.Conn, error)) *Supervisor {
	t.Helper()
	opt := testOptions(t, 1)
	opt.Node, opt.Dial, opt.DialTimeout = "n1", dial, 200*time.Millisecond
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.setTruth(&record{Cluster: opt.Cluster, Node: "n1", Token: NewName(), Peers: []peer{
		{Name: "m000000000001", Node: "n1", Drive: opt.Drives[0].Drive, State: peerVoter},
		{Name: "m000000000002", Node: "n2", Drive: ids.NewDrive(), State: peerVoter},
	}})
	if err := s.openWays(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDeadNodeIsNotDialledWithoutEnd: members try again all the time; few connections wait at a time, and the pauses grow.
func TestDeadNodeIsNotDialledWithoutEnd(t *testing.T) {
	var dialling, most, all atomic.Int64
	s := lonely(t, func(ctx context.Context, _, _ string, _ Kind) (net.Conn, error) {
		all.Add(1)
		most.Store(max(most.Load(), dialling.Add(1)))
		defer dialling.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	var tries int
	var dialled int64 // within the second, however long the last try takes
	for began := time.Now(); time.Since(began) < time.Second; tries++ {
		dialled = all.Load()
		c, err := net.Dial("unix", filepath.Join(s.dir, "m000000000002.n2:1"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if tries%20 == 0 { // the socket's backlog is not what is looked at
			time.Sleep(time.Millisecond)
		}
	}
	if most.Load() > dialingMax || dialled > 3*dialingMax || dialled == 0 {
		t.Errorf("of %d tries, %d dialled, %d at a time", tries, dialled, most.Load())
	}
}

func TestAcceptRefuses(t *testing.T) {
	s := lonely(t, nil)
	for _, socket := range []string{"m000000000001.n1:1", "m000000000001:2"} { // it is not for want of somebody who listens
		l, err := net.Listen("unix", filepath.Join(s.dir, socket))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	for _, c := range []struct {
		from, member string
		kind         Kind
		what         string
	}{
		{"n3", "m000000000001", KindPeer, "I4: a node that this one's records do not know"},
		{"n2", "m000000000002", KindPeer, "a member of another node"},
		{"n2", "m0000000000ff", KindClient, "a member that is none"},
		{"n2", "m000000000001", KindClient, "a member that does not run"},
		{"n2", "", KindClient, "whichever serves, and none does"},
		{"n2", "m000000000001", "other", "no kind"},
	} {
		near, far := net.Pipe()
		refused := make(chan error, 1)
		go func() { refused <- s.Accept(far, c.from, c.member, c.kind) }()
		select {
		case err := <-refused:
			if err == nil {
				t.Errorf("accepted: %s", c.what)
			}
		case <-time.After(poll.Within):
			t.Fatalf("accepted: %s", c.what)
		}
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Errorf("not closed: %s", c.what)
		}
	}
	s.Close()
	_, far := net.Pipe()
	if err := s.Accept(far, "n2", "m000000000001", KindPeer); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestAcceptLetsInWhoIsKnown: as soon as the records name its member.
func TestAcceptLetsInWhoIsKnown(t *testing.T) {
	s := lonely(t, func(context.Context, string, string, Kind) (net.Conn, error) { return nil, errors.New("not here") })
	s.opt.DialTimeout = poll.Within
	l, err := net.Listen("unix", filepath.Join(s.dir, "m000000000001.n1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- s.Accept(far, "n3", "m000000000001", KindPeer) }()
	<-s.reconcile // it has the list looked at
	if err := s.change(func(r *record) {
		r.Peers = append(r.Peers, peer{Name: "m000000000003", Node: "n3", State: peerJoining})
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.openWays(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go near.Write([]byte("hello"))
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
