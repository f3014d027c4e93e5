package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/internal/nodeport"
)

// Calls between nodes are small: HTTP/1.1 with JSON over connections of nodeport.Calls, whose peer is a node of the cluster. Those who
// join come over nodeport.Join, and can ask for nothing else.
const (
	callWithin  = 5 * time.Second
	adminWithin = 2 * time.Minute // what a person has another node do: a drive is formatted, opened, and told to the map
	callBodyMax = 8 << 20
)

// named tells the handlers of an HTTP server who the peer of a connection is, and hides that it is TLS.
type named struct{ net.Listener }

// peerAddr is a remote address that says which node is there.
type peerAddr struct {
	net.Addr
	node string
}

func (a peerAddr) String() string { return a.node }

type namedConn struct {
	net.Conn
	peer peerAddr
}

func (c namedConn) RemoteAddr() net.Addr { return c.peer }

// Accept implements net.Listener.
func (l named) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return namedConn{c, peerAddr{c.RemoteAddr(), c.(*nodeport.Conn).Node}}, nil
}

// routes are the calls that other nodes, and those who join, may make.
func (p *peers) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+cluster.JoinPath, p.join)
	calls := http.NewServeMux()
	calls.HandleFunc("GET /founding", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.told.Load()) })
	calls.HandleFunc("GET /control", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.position()) })
	calls.HandleFunc("GET /datakey", p.tellDataKey)
	for pattern, f := range p.n.nodeCalls() {
		calls.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !p.up.Load() {
				refuse(w, http.StatusServiceUnavailable, errors.New("the node is starting"))
				return
			}
			f.serve(w, r, callWithin)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.RemoteAddr == "" { // one who joins
			refuse(w, http.StatusForbidden, errors.New("that is for nodes of the cluster"))
			return
		}
		calls.ServeHTTP(w, r)
	})
	return mux
}

// serve answers one request, which must have come within a time. The answer may take longer: a deadline of the server's for all of the
// request would end the call with it, as net/http reads on meanwhile.
func (f nodeCall) serve(w http.ResponseWriter, r *http.Request, within time.Duration) {
	c := http.NewResponseController(w)
	err := c.SetReadDeadline(time.Now().Add(within))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, callBodyMax))
	}
	if err = errors.Join(err, c.SetReadDeadline(time.Time{})); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer, err := f(r.Context(), r.RemoteAddr, body)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	reply(w, answer)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the peer sees what is cut off
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(cluster.Refusal{Error: err.Error()})
}

// errPeerRefused reports a call that another node answered with an error.
var errPeerRefused = errors.New("the node refused")

// call asks another node for what takes no time. Errors: errPeerRefused, the network's, ctx's.
func call[T any](ctx context.Context, p *peers, node, method, path string, body any) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return longCall[T](ctx, p, node, method, path, body)
}

// callsAtOnce bounds how many nodes are asked the same at a time.
const callsAtOnce = 64

// callAll asks nodes the same, all at once, so that some that hang cost no more time than one. The error names those that did not answer.
func callAll[T any](ctx context.Context, p *peers, nodes []string, method, path string, body any) (answers map[string]T, err error) {
	answers = map[string]T{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(callsAtOnce)
	for _, node := range nodes {
		g.Go(func() error {
			a, failed := call[T](ctx, p, node, method, path, body)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("node %s: %w", node, failed))
				return nil
			}
			answers[node] = a
			return nil
		})
	}
	_ = g.Wait() // each says what it has to say in answers or err
	return answers, err
}

// longCall is call for as long as ctx lasts.
func longCall[T any](ctx context.Context, p *peers, node, method, path string, body any) (answer T, err error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+node+path, in)
	if err != nil {
		return answer, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, callBodyMax))
	if err != nil {
		return answer, err
	}
	if resp.StatusCode != http.StatusOK {
		var r cluster.Refusal
		if json.Unmarshal(b, &r) != nil || r.Error == "" {
			r.Error = resp.Status
		}
		return answer, fmt.Errorf("%w: %s: %s", errPeerRefused, node, r.Error)
	}
	return answer, json.Unmarshal(b, &answer)
}

// nodeCall answers one call of another node.
type nodeCall func(ctx context.Context, from string, body []byte) (any, error)

// nodeCalls are what other nodes may ask once all parts are there.
func (n *Node) nodeCalls() map[string]nodeCall {
	return map[string]nodeCall{
		"GET /state":  func(ctx context.Context, _ string, _ []byte) (any, error) { return n.state(ctx), nil },
		"POST /admin": n.adminForOther,
		"POST /drained": func(ctx context.Context, _ string, body []byte) (any, error) {
			var was drainedDrive
			if err := json.Unmarshal(body, &was); err != nil {
				return nil, err
			}
			return nil, n.drained(ctx, was)
		},
		"POST /renew":  func(_ context.Context, from string, body []byte) (any, error) { return n.peers.renew(from, body) },
		"GET /reached": func(context.Context, string, []byte) (any, error) { return n.remotes.reached(), nil },
		"GET /reads": func(_ context.Context, from string, _ []byte) (any, error) {
			n.askers.note(from)
			return readsAnswer{n.process(), n.objects.OpenReads()}, nil
		},
		"POST /order": func(_ context.Context, _ string, body []byte) (any, error) { return nil, n.order(string(body)) },
	}
}
