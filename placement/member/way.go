package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// way leads this node's members to one of another node: a socket of that member's name, from which each connection goes
// through a tunnel.
type way struct {
	s  *Supervisor
	to address
	l  net.Listener

	mu      sync.Mutex
	dialing int
	fails   int       // in a row
	after   time.Time // it is not dialled before
}

const (
	dialingMax  = 8 // connections of one way that are being made
	dialWaitMin = 50 * time.Millisecond
	dialWaitMax = time.Second
)

// closeWays closes all; the context has ended.
func (s *Supervisor) closeWays() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.ways {
		w.l.Close()
	}
}

// openWays makes the ways that the records ask for, after these were written, and closes the others: so no member of
// another node takes part in anything here before this node's own drives know of it (mayGoAlone depends on that).
func (s *Supervisor) openWays() error {
	s.mu.Lock()
	wanted := make(map[address]bool)
	for _, p := range s.truth.Peers {
		if !s.own(p) && p.Node != "" && s.opt.Dial != nil {
			wanted[p.address()] = true
		}
	}
	var closing []*way
	for a, w := range s.ways {
		if !wanted[a] {
			closing = append(closing, w)
			delete(s.ways, a)
		}
	}
	var errs error
	for a := range wanted {
		if s.ways[a] == nil {
			errs = errors.Join(errs, s.openWay(a))
		}
	}
	s.notify()
	s.mu.Unlock()
	for _, w := range closing {
		w.l.Close()
		s.tunnels.drop(func(c tunnelClass) bool { return !c.in && c.member == w.to.name && c.node == w.to.node })
	}
	return errs
}

// openWay opens one. s.mu is held.
func (s *Supervisor) openWay(to address) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	path := s.socket(peerSocket(to))
	l, err := net.Listen("unix", path)
	if err != nil {
		os.Remove(path) // of a member that was here before its node had another name
		if l, err = net.Listen("unix", path); err != nil {
			return fmt.Errorf("member: socket for %s: %w", to, err)
		}
	}
	w := &way{s: s, to: to, l: l}
	s.ways[to] = w
	s.done.Go(w.serve)
	return nil
}

// serve accepts until the listener is closed.
func (w *way) serve() {
	for {
		c, err := w.l.Accept()
		if err != nil {
			return
		}
		if !w.begin() {
			c.Close() // the member tries again by itself
			continue
		}
		w.s.done.Go(func() { w.carry(c) })
	}
}

// begin takes a place for dialling, if the node may be dialled now.
func (w *way) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dialing >= dialingMax || time.Now().Before(w.after) {
		return false
	}
	w.dialing++
	return true
}

// dialled gives the place back.
func (w *way) dialled(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialing--
	if err == nil {
		w.fails, w.after = 0, time.Time{}
		return
	}
	w.after = time.Now().Add(min(dialWaitMin<<w.fails, dialWaitMax))
	w.fails = min(w.fails+1, 8)
}

func (w *way) carry(near net.Conn) {
	ctx, cancel := context.WithTimeout(w.s.ctx, w.s.opt.DialTimeout)
	far, err := w.s.opt.Dial(ctx, w.to.node, w.to.name, KindPeer)
	cancel()
	w.dialled(err)
	if err != nil {
		near.Close()
		return
	}
	w.s.tunnels.run(tunnelClass{node: w.to.node, member: w.to.name, kind: KindPeer}, near, far)
}

// Accept serves a connection that another node's Dial has made: it copies between that and the member's socket, until
// either end closes or the supervisor does. from is the node at the other end, as authentication says. It closes conn.
// Errors: why the connection was refused; ErrClosed.
func (s *Supervisor) Accept(conn net.Conn, from, member string, kind Kind) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.DialTimeout)
	socket, err := s.admit(ctx, from, member, kind)
	var near net.Conn
	if err == nil {
		near, err = s.dialSocket(ctx, socket)
	}
	cancel()
	if err != nil {
		conn.Close()
		return err
	}
	s.tunnels.run(tunnelClass{from, member, kind, true}, near, conn)
	return nil
}

// admit chooses the socket. A node from which a member calls must have one by this node's records; one that was just added
// is waited for.
func (s *Supervisor) admit(ctx context.Context, from, member string, kind Kind) (socket string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return "", ErrClosed
	}
	p := s.truth.peer(member)
	switch {
	case kind == KindClient && member == "":
		for _, t := range s.targets() {
			if p := s.truth.peer(t.name); p != nil && s.own(*p) {
				return clientSocket(t.name), nil
			}
		}
		return "", errors.New("member: none of this node's members serves")
	case p == nil || !s.own(*p):
		return "", fmt.Errorf("member: %q is not a member of this node", member)
	case kind == KindClient && !slices.Contains(s.ready, member):
		return "", fmt.Errorf("member: %s does not serve now", member)
	case kind == KindClient:
		return clientSocket(member), nil
	case kind != KindPeer:
		return "", fmt.Errorf("member: connection of kind %q", kind)
	}
	if !s.knows(from) {
		s.mu.Unlock()
		s.wake()
		err = s.await(ctx, func() bool { return s.knows(from) })
		s.mu.Lock()
	}
	if err != nil {
		return "", fmt.Errorf("member: node %q has no member: %w", from, err)
	}
	return peerSocket(address{member, s.opt.Node}), nil
}

// knows reports whether a node has a member, and this node's drives know it. s.mu is held.
func (s *Supervisor) knows(node string) bool {
	for a := range s.ways {
		if a.node == node {
			return true
		}
	}
	return false
}
