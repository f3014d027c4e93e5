package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
)

const joinProtocol = "sherd-join/1"

// desk is a first node that takes others in, and the token that is good.
func desk(t *testing.T) (addr string, d *Desk, token trust.Token) {
	t.Helper()
	papers, authority, err := First(ids.NewCluster(), "n1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := papers.Identity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token = trust.NewToken(authority.Hash())
	used := false
	d = &Desk{
		Cluster: papers.Cluster, Authority: authority, Now: time.Now,
		Nodes: func() map[string]string { return map[string]string{"n1": "host:9001"} },
		Free: func(node string) error {
			if node == "n1" {
				return errors.New("the name is taken")
			}
			return nil
		},
		Redeem: func(_ context.Context, got trust.Token, _ string) error {
			if used || got != token {
				return trust.ErrToken
			}
			used = true
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+JoinPath, d)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	open := id.Server(func(string) bool { return false }, nil, joinProtocol)
	go s.Serve(plainly{tls.NewListener(l, open)})
	t.Cleanup(func() { s.Close() })
	return l.Addr().String(), d, token
}

// plainly hides from net/http that its connections are TLS: it would want to know their protocol.
type plainly struct{ net.Listener }

func (p plainly) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// I24: a token lets one node in, once; its papers hold, and have no key of the authority's.
func TestI24_Join(t *testing.T) {
	addr, d, token := desk(t)
	for _, c := range []struct {
		name, token, node, want string
	}{
		{"name taken", token.String(), "n1", "taken"},
		{"no name", token.String(), "N 2", "name"},
		{"a name that the map refuses", token.String(), "n2-", "name"},
		{"garbage", "sherd-join-1-xyz", "n2", "token"},
		{"another's token", trust.NewToken(d.Authority.Hash()).String(), "n2", "token"},
	} {
		if _, err := Join(t.Context(), addr, c.token, c.node, joinProtocol, time.Now()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	foreign, _ := trust.New()
	if _, err := Join(t.Context(), addr, trust.NewToken(foreign.Hash()).String(), "n2", joinProtocol, time.Now()); !errors.Is(err, trust.ErrPeer) {
		t.Errorf("a token of another cluster: %v", err)
	}
	p, err := Join(t.Context(), addr, token.String(), "n2", joinProtocol, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if p.Cluster != d.Cluster || len(p.Seed) != 0 || p.Nodes["n1"] == "" {
		t.Errorf("papers: %+v", p)
	}
	if _, err := Join(t.Context(), addr, token.String(), "n3", joinProtocol, time.Now()); !errors.Is(err, ErrRefused) {
		t.Errorf("the token a second time: %v", err)
	}
	d.Authority = nil
	if _, err := Join(t.Context(), addr, token.String(), "n3", joinProtocol, time.Now()); !errors.Is(err, ErrRefused) {
		t.Errorf("by a node that cannot sign: %v", err)
	}
}

func TestPapersAreKept(t *testing.T) {
	dirs := []string{t.TempDir(), filepath.Join(t.TempDir(), "gone"), t.TempDir()}
	if _, err := ReadPapers(dirs, "n1"); !errors.Is(err, ErrNoPapers) {
		t.Fatal(err)
	}
	p, _, err := FromSecret("sixteen bytes at least", "n1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(dirs[0]); err != nil {
		t.Fatal(err)
	}
	newer := p.WithNodes(map[string]string{"n2": "host:9001"})
	if err := newer.Write(dirs[2]); err != nil {
		t.Fatal(err)
	}
	got, err := ReadPapers(dirs, "n1")
	if err != nil || got.Nodes["n2"] != "host:9001" {
		t.Errorf("%+v, %v", got, err)
	}
	if id, err := got.Identity(time.Now()); err != nil || id.Node != "n1" {
		t.Errorf("%+v, %v", id, err)
	}
	stray, _, err := FromSecret("sixteen bytes at least", "n2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	stray.Serial = newer.Serial + 1
	other := t.TempDir()
	if err := stray.Write(other); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadPapers(append([]string{other}, dirs...), "n1"); err != nil || got.Node != "n1" || got.Serial != newer.Serial {
		t.Errorf("with a drive of n2 among those of n1: %+v, %v", got, err)
	}
	if got, err := ReadPapers([]string{other}, "n1"); err != nil || got.Node != "n2" {
		t.Errorf("with a drive of n2 alone: %+v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dirs[0], PapersFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if newer.WithNodes(map[string]string{"n2": "host:9001"}) != newer {
		t.Error("the same nodes make new papers")
	}
}
