package node

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/nodeport"
)

// TestI24_RemovedWhileThisNodeWasDown: a node that was let in before the map was there, and is not in it, is expelled though the map does not
// change.
func TestI24_RemovedWhileThisNodeWasDown(t *testing.T) {
	n := newRig(t, 3, nil).start()
	var removed atomic.Bool
	ports := map[string]*nodeport.Port{}
	listeners := map[string]net.Listener{}
	for _, name := range []string{"n1", "n2"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		listeners[name] = l
	}
	for name, l := range listeners {
		p, err := nodeport.New(nodeport.Options{
			Self: name, Listener: l, Plain: true, Logger: n.log,
			Member: func(node string) bool { return node != "n2" || !removed.Load() },
			Addr:   func(node string) string { return listeners[node].Addr().String() },
		})
		must(t, err)
		defer p.Close()
		ports[name] = p
	}
	accepting := ports["n1"].Listen(nodeport.Drive)
	go func() { _ = ports["n1"].Serve() }() // ends with Close
	nc, err := ports["n2"].Dial(t.Context(), "n1", nodeport.Drive)
	must(t, err)
	defer nc.Close()
	_, err = accepting.Accept()
	must(t, err)

	removed.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { (&peers{n: n, port: ports["n1"]}).expelRemoved(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	must(t, nc.SetReadDeadline(time.Now().Add(within)))
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
