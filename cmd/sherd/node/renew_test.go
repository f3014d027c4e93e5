package node

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
)

// I24: a node gets a new certificate for its own name, whatever name its request says, and only of one that can sign.
func TestI24_RenewSignsForTheAsker(t *testing.T) {
	papers, authority, err := cluster.First(ids.NewCluster(), "n2", time.Now())
	must(t, err)
	request, key, err := trust.Request("n1")
	must(t, err)
	body, err := json.Marshal(request)
	must(t, err)
	if _, err := (&peers{}).renew("n2", body); !errors.Is(err, errNoSigner) {
		t.Errorf("a node without the authority's key: %v", err)
	}
	cert, err := (&peers{signer: authority}).renew("n2", body)
	must(t, err)
	id, err := papers.Renewed(cert.([]byte), key).Identity(time.Now())
	must(t, err)
	if id.Node != "n2" {
		t.Errorf("the certificate names %q", id.Node)
	}
}

// lone is a node without drives, whose papers are in a directory.
func lone(t *testing.T, papers *cluster.Papers) *Node {
	t.Helper()
	dir := t.TempDir()
	must(t, papers.Write(dir))
	return &Node{
		cfg:  Config{Name: "n1", Cluster: ClusterConfig{Advertise: "n1:9001", StateDir: dir}},
		bays: newBays(nil), log: slog.New(slog.DiscardHandler),
	}
}

// I24: a node that can sign does not wait for others to renew its certificate: neither while it runs nor when it starts, were it after years.
func TestI24_SignerRenewsItself(t *testing.T) {
	const day = 24 * time.Hour
	papers, _, err := cluster.First(ids.NewCluster(), "n1", time.Now().Add(-3*365*day))
	must(t, err)
	n := lone(t, papers)
	n.peers = &peers{n: n}
	got, err := n.findPapers(t.Context(), n.peers)
	must(t, err)
	must(t, n.peers.show(got)) // refuses what has expired
	if got.Cluster != papers.Cluster || string(got.Seed) != string(papers.Seed) || got.Serial <= papers.Serial {
		t.Errorf("%+v after %+v", got, papers)
	}
	old, err := got.Reissued(n.peers.signer, time.Now().Add(-400*day))
	must(t, err)
	must(t, n.peers.show(old))
	if !n.peers.identity.Load().Renewable(time.Now()) {
		t.Fatal("it is not due")
	}
	n.renewPapers(t.Context())
	if n.peers.identity.Load().Renewable(time.Now()) || n.peers.papers.Load().Serial <= old.Serial {
		t.Error("it is not renewed")
	}
}

// A node keeps its name, also where a secret would make papers for another.
func TestNodeKeepsItsName(t *testing.T) {
	const secret = "sixteen bytes at least"
	papers, _, err := cluster.FromSecret(secret, "n2", time.Now())
	must(t, err)
	n := lone(t, papers)
	n.cfg.Cluster.Secret = secret
	if got, err := n.findPapers(t.Context(), &peers{n: n}); err == nil {
		t.Errorf("%s shows papers for %s", papers.Node, got.Node)
	}
}

// TestTokenIsKeptForANodeWithAPlace: a node without drives that could not keep its certificate says so before it uses the token up.
func TestTokenIsKeptForANodeWithAPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for dir, want := range map[string]error{"": errNoState, filepath.Join(file, "state"): syscall.ENOTDIR} {
		n := &Node{
			cfg:  Config{Name: "g1", Cluster: ClusterConfig{Advertise: "g1:9001", Join: "127.0.0.1:1", Token: "t", StateDir: dir}},
			bays: newBays(nil), log: slog.New(slog.DiscardHandler),
		}
		if _, err := n.findPapers(t.Context(), &peers{n: n}); !errors.Is(err, want) {
			t.Errorf("--state %q: %v, want %v", dir, err, want)
		}
	}
}
