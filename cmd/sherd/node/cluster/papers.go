package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement/store"
)

// PapersFile is the name of a node's papers in the directory of each of its drives.
const PapersFile = "node.json"

const papersVersion = 1

// Papers are what a node shows that it is one, and where it last knew the others to be.
type Papers struct {
	Version   int               `json:"version"`
	Serial    uint64            `json:"serial"` // raised by every change
	Node      string            `json:"node"`
	Cluster   ids.Cluster       `json:"cluster"`
	Authority []byte            `json:"authority"`        // its certificate, in PEM
	Cert      []byte            `json:"cert"`             // the node's, in PEM
	Key       []byte            `json:"key"`              // of Cert, in PEM
	Seed      []byte            `json:"seed,omitempty"`   // of the authority: on the node that made it
	ByEtcd    bool              `json:"byEtcd,omitempty"` // they follow from an external etcd, which has the authority's key
	Nodes     map[string]string `json:"nodes,omitempty"`  // addresses of other nodes, host:port
}

// Errors of papers.
var (
	ErrNoPapers = errors.New("cluster: no papers of a node")
	ErrName     = errors.New("cluster: a node's name has 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -")
)

// CheckName refuses what cannot be a node's name. Error: ErrName.
func CheckName(name string) error {
	if err := store.CheckNodeName(name); err != nil { // as the map will
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

// FromSecret makes the papers of a node that knows its cluster's secret, and the authority itself. Error: trust.ErrSecret.
func FromSecret(secret, node string, now time.Time) (*Papers, *trust.Authority, error) {
	a, id, err := trust.FromSecret(secret)
	if err != nil {
		return nil, nil, err
	}
	p, err := issue(a, id, node, now)
	return p, a, err
}

// First makes the papers of the first node of a cluster, with an authority of its own.
func First(id ids.Cluster, node string, now time.Time) (*Papers, *trust.Authority, error) {
	a, err := trust.New()
	if err != nil {
		return nil, nil, err
	}
	p, err := issue(a, id, node, now)
	if err == nil {
		p.Seed = a.Seed()
	}
	return p, a, err
}

// ByEtcd makes the papers of a node that has the authority from an external etcd.
func ByEtcd(a *trust.Authority, id ids.Cluster, node string, now time.Time) (*Papers, error) {
	p, err := issue(a, id, node, now)
	if err == nil {
		p.ByEtcd = true
	}
	return p, err
}

func issue(a *trust.Authority, id ids.Cluster, node string, now time.Time) (*Papers, error) {
	p := &Papers{Version: papersVersion, Node: node, Cluster: id, Authority: a.Certificate(), Nodes: map[string]string{}}
	return p.Reissued(a, now)
}

// Identity is what the papers prove. Errors: trust.ErrPeer if they have expired.
func (p *Papers) Identity(now time.Time) (*trust.Identity, error) {
	return trust.Load(p.Cert, p.Key, p.Authority, now)
}

// Signer is the authority, if the node made it; nil: it did not.
func (p *Papers) Signer() (*trust.Authority, error) {
	if len(p.Seed) == 0 {
		return nil, nil
	}
	return trust.Parse(p.Seed)
}

// WithNodes is p knowing other nodes at these addresses; p itself if it knew them so.
func (p *Papers) WithNodes(nodes map[string]string) *Papers {
	if maps.Equal(p.Nodes, nodes) {
		return p
	}
	next := *p
	next.Nodes, next.Serial = nodes, p.Serial+1
	return &next
}

// Renewed is p with another certificate and its key, in PEM.
func (p *Papers) Renewed(cert, key []byte) *Papers {
	next := *p
	next.Cert, next.Key, next.Serial = cert, key, p.Serial+1
	return &next
}

// Reissued is p with a certificate that a signs now.
func (p *Papers) Reissued(a *trust.Authority, now time.Time) (*Papers, error) {
	request, key, err := trust.Request(p.Node)
	if err != nil {
		return nil, err
	}
	cert, err := a.Sign(request, p.Node, now)
	if err != nil {
		return nil, err
	}
	return p.Renewed(cert, key), nil
}

// Write puts the papers into a directory; they are durable when it returns.
func (p *Papers) Write(dir string) error {
	b, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, PapersFile), append(b, '\n'))
}

// ReadPapers reads the newest papers among those of a node in directories; another node's only if there are none of its own: a drive
// may be in the wrong machine. Errors: ErrNoPapers; the file system's only if no papers could be read.
func ReadPapers(dirs []string, node string) (newest *Papers, err error) {
	for _, dir := range dirs {
		p, bad := readPapers(dir)
		switch {
		case bad == nil && p.outranks(newest, node):
			newest = p
		case bad != nil && !errors.Is(bad, fs.ErrNotExist):
			err = errors.Join(err, bad)
		}
	}
	switch {
	case newest != nil:
		return newest, nil
	case err != nil:
		return nil, err
	}
	return nil, ErrNoPapers
}

// outranks reports whether p says more of a node than other does, which may be nil.
func (p *Papers) outranks(other *Papers, node string) bool {
	if other == nil || (p.Node == node) != (other.Node == node) {
		return other == nil || p.Node == node
	}
	return p.Serial > other.Serial
}

// NodeOf is the node that the papers in a directory are those of; empty if there are none that can be read.
func NodeOf(dir string) string {
	p, err := readPapers(dir)
	if err != nil {
		return ""
	}
	return p.Node
}

func readPapers(dir string) (*Papers, error) {
	path := filepath.Join(dir, PapersFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &Papers{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.Version != papersVersion || CheckName(p.Node) != nil {
		return nil, fmt.Errorf("%s: papers of version %d, for node %q", path, p.Version, p.Node)
	}
	return p, nil
}
