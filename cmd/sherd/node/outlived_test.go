package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/placement/store"
)

// TestI9_AnotherNodeHasALaterControlState: who waits for members of the old etcd stops when another node says that the state was
// restored; the same generation, and a node that does not answer, are no reason to.
func TestI9_AnotherNodeHasALaterControlState(t *testing.T) {
	var generation atomic.Uint64
	generation.Store(1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/control" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		reply(w, store.Position{Generation: generation.Load(), Revision: 5})
	}))
	defer other.Close()
	p := &peers{n: &Node{cfg: Config{Name: "n1", Cluster: ClusterConfig{Founders: map[string]string{"n1": "-", "n2": "-", "n3": "-"}}}}}
	p.papers.Store(&cluster.Papers{})
	p.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		if addr == "n3:80" {
			return nil, errors.New("n3 is away")
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", other.Listener.Addr().String())
	}}}
	if err := p.anyNewer(t.Context(), 1); err != nil {
		t.Fatalf("the same generation: %v", err)
	}
	ctx, release := p.untilNewer(t.Context(), 1)
	defer release()
	generation.Store(2)
	select {
	case <-ctx.Done():
	case <-time.After(within):
		t.Fatal("it goes on waiting")
	}
	var newer *newerControl
	if !errors.As(context.Cause(ctx), &newer) || newer.node != "n2" || newer.generation != 2 {
		t.Fatalf("because of %v", context.Cause(ctx))
	}
	if err := p.anyNewer(t.Context(), 2); err != nil {
		t.Fatalf("one that has it: %v", err)
	}
}
