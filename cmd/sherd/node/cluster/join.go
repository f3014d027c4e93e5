package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
)

// JoinPath is what one who joins posts a JoinRequest to.
const JoinPath = "/join"

// bodyMax bounds requests and answers, in bytes.
const bodyMax = 1 << 20

// JoinRequest asks to become a node.
type JoinRequest struct {
	Token   string `json:"token"`
	Node    string `json:"node"`
	Request []byte `json:"request"` // for a certificate, in PEM
}

// JoinAnswer makes the one who asked a node.
type JoinAnswer struct {
	Cluster   ids.Cluster       `json:"cluster"`
	Authority []byte            `json:"authority"`
	Cert      []byte            `json:"cert"`
	Nodes     map[string]string `json:"nodes"` // addresses of the cluster's nodes
}

// Refusal is an answer that is not 200.
type Refusal struct {
	Error string `json:"error"`
}

// ErrRefused reports that the cluster said no.
var ErrRefused = errors.New("cluster: it does not take this node")

// Join asks the node at addr, with a token, for papers under a name. Errors: trust.ErrToken, trust.ErrPeer if it is not of the token's cluster,
// ErrRefused, the network's.
func Join(ctx context.Context, addr, token, node, protocol string, now time.Time) (*Papers, error) {
	t, err := trust.ParseToken(token)
	if err != nil {
		return nil, err
	}
	request, key, err := trust.Request(node)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := tls.Dialer{Config: trust.Joining(t.Authority, protocol)}
			return d.DialContext(ctx, network, addr)
		},
		DisableKeepAlives: true,
	}}
	body, err := json.Marshal(JoinRequest{Token: token, Node: node, Request: request})
	if err != nil {
		return nil, err
	}
	var a JoinAnswer
	if err := post(ctx, client, "https://"+addr+JoinPath, body, &a); err != nil {
		return nil, fmt.Errorf("joining by %s: %w", addr, err)
	}
	p := &Papers{Version: papersVersion, Node: node, Cluster: a.Cluster, Authority: a.Authority, Cert: a.Cert, Key: key, Nodes: a.Nodes}
	_, err = p.Identity(now)
	return p, err
}

func post(ctx context.Context, client *http.Client, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var r Refusal
		if json.Unmarshal(b, &r) != nil || r.Error == "" {
			r.Error = resp.Status
		}
		return fmt.Errorf("%w: %s", ErrRefused, r.Error)
	}
	return json.Unmarshal(b, into)
}

// Desk takes those in who join.
type Desk struct {
	Cluster   ids.Cluster
	Authority *trust.Authority // nil: this node cannot sign
	// Redeem uses a token up, so that nobody can a second time, and lets the node in; trust.ErrToken if it is none.
	Redeem func(ctx context.Context, t trust.Token, node string) error
	// Free refuses a name that another node has.
	Free  func(node string) error
	Nodes func() map[string]string
	Now   func() time.Time
}

// Welcome answers a request to join. Errors: trust.ErrToken, ErrName, Free's.
func (d *Desk) Welcome(ctx context.Context, r JoinRequest) (JoinAnswer, error) {
	t, err := trust.ParseToken(r.Token)
	switch {
	case err != nil:
		return JoinAnswer{}, err
	case d.Authority == nil:
		return JoinAnswer{}, errors.New("this node does not have the cluster's secret: join by one that was started with it")
	case t.Authority != d.Authority.Hash():
		return JoinAnswer{}, fmt.Errorf("%w: it is of another cluster", trust.ErrToken)
	}
	if err := CheckName(r.Node); err != nil {
		return JoinAnswer{}, err
	}
	if err := d.Free(r.Node); err != nil {
		return JoinAnswer{}, err
	}
	cert, err := d.Authority.Sign(r.Request, r.Node, d.Now())
	if err != nil {
		return JoinAnswer{}, err
	}
	if err := d.Redeem(ctx, t, r.Node); err != nil { // last: a request that was refused leaves the token good
		return JoinAnswer{}, err
	}
	return JoinAnswer{Cluster: d.Cluster, Authority: d.Authority.Certificate(), Cert: cert, Nodes: d.Nodes()}, nil
}

// ServeHTTP implements http.Handler.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q JoinRequest
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err == nil {
		err = json.Unmarshal(b, &q)
	}
	var a JoinAnswer
	if err == nil {
		a, err = d.Welcome(r.Context(), q)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(Refusal{err.Error()}) // who joins may be gone
		return
	}
	_ = json.NewEncoder(w).Encode(a)
}
