package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/store"
)

// Given is what one stopped node gives to a restore on another (`sherd control copies`): how late the copy on each of its drives
// is, the latest of them, and what its drives have of etcd. Each drive whose copy is readable has promised to believe no older
// state from then on (store.Promise), so a Given does not grow old. As text:
//
//	sherd control copies 1 <SHA-256 of what follows, hexadecimal>\n
//	{"cluster":…,"node":…,"for":…,"at":…,"drives":[…],"etcd":{…},"copy":{…}}
//
// The copy is as in control.json: users are in it only encrypted.
type Given struct {
	Cluster ids.Cluster   `json:"cluster"`
	Node    string        `json:"node"`
	For     string        `json:"for"` // the node that makes the restore
	At      time.Time     `json:"at"`
	Drives  []GivenDrive  `json:"drives"`
	Etcd    member.Survey `json:"etcd"`
	Copy    *store.Copy   `json:"copy"`
}

// GivenDrive is one drive, and how late its copy is.
type GivenDrive struct {
	Drive      ids.Drive `json:"drive"`
	Path       string    `json:"path"`
	Generation uint64    `json:"generation,omitempty"`
	Revision   int64     `json:"revision,omitempty"`
	Promised   uint64    `json:"promised,omitempty"` // generation below which it believes nothing
	Error      string    `json:"error,omitempty"`    // why there is no copy
}

const givenMagic = "sherd control copies 1 "

// ErrBadGiven reports a file that is not what `sherd control copies` wrote.
var ErrBadGiven = errors.New("damaged, or not written by `sherd control copies`")

// Encode gives the file's bytes.
func (g *Given) Encode() ([]byte, error) {
	body, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	sum := sha256.Sum256(body)
	return append([]byte(givenMagic+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

// ParseGiven is Encode's inverse. Errors: ErrBadGiven.
func ParseGiven(b []byte) (*Given, error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(body)
	var g Given
	if !ok || string(head) != givenMagic+hex.EncodeToString(sum[:]) || json.Unmarshal(body, &g) != nil || g.Copy == nil || g.Copy.Cluster != g.Cluster {
		return nil, ErrBadGiven
	}
	return &g, nil
}

// Give has a node's drives promise, and collects what they have. The caller holds the drives' locks: no server runs on them.
// Done again for the same node it gives the same. Errors: ErrNoCopy, ErrNodes, store.ErrPromised.
func Give(ctx context.Context, cluster ids.Cluster, hosts []member.Host, to string) (*Given, error) {
	_, newest := store.ReadCopies(ctx, cluster, pathsOf(hosts))
	if newest == nil {
		return nil, ErrNoCopy
	}
	m, err := newest.Map()
	if err != nil {
		return nil, err
	}
	nodes := nodesOf(m, hosts)
	if len(nodes) != 1 || nodes[0] == to {
		return nil, fmt.Errorf("%w: these are of %q, and %q makes the restore", ErrNodes, nodes, to)
	}
	g := &Given{Cluster: cluster, Node: nodes[0], For: to, At: time.Now().UTC().Truncate(time.Second)}
	if g.Etcd, err = member.Look(surveying(cluster, g.Node, hosts, newest)); err != nil {
		return nil, err
	}
	for _, h := range hosts {
		d := GivenDrive{Drive: h.Drive, Path: h.Path}
		c, err := store.GiveCopy(h.Path, cluster, to)
		switch {
		case errors.Is(err, store.ErrPromised):
			return nil, fmt.Errorf("%s: %w", h.Path, err)
		case err != nil:
			d.Error = err.Error()
		default:
			d.Generation, d.Revision, d.Promised = c.Generation, c.Revision, c.Promise.Generation
			if g.Copy == nil || c.Newer(g.Copy) {
				g.Copy = c
			}
		}
		g.Drives = append(g.Drives, d)
	}
	if g.Copy == nil {
		return nil, ErrNoCopy
	}
	return g, nil
}

// surveying are the options to look at a node's members with: of an etcd as late as its copies.
func surveying(cluster ids.Cluster, node string, hosts []member.Host, newest *store.Copy) member.Options {
	return member.Options{
		Cluster: cluster, Node: node, Drives: hosts, Control: newest.Generation, Sole: true, Logger: slog.New(slog.DiscardHandler),
	}
}

func pathsOf(hosts []member.Host) (paths []string) {
	for _, h := range hosts {
		paths = append(paths, h.Path)
	}
	return paths
}
