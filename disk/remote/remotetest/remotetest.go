// Package remotetest puts the drives of a test behind disk/remote, over loopback TCP.
package remotetest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/remote"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// Options configures Serve.
type Options struct {
	Cluster ids.Cluster
	Buffers *bufpool.Pool               // of both ends
	Drives  func() []*disk.Drive        // those in service; asked for each call
	Wrap    func(net.Conn) net.Conn     // changes the client's ends of connections; nil: nothing
	Change  func(*remote.Options)       // changes the client's options; nil: nothing
	Server  func(*remote.ServerOptions) // changes the server's; nil: nothing
}

// Serve plays a node with those drives until stop, and gives a client of it that knows them.
func Serve(t testing.TB, opt Options) (client *remote.Client, stop func()) {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	so := remote.ServerOptions{
		Drives: opt.Drives, Buffers: opt.Buffers,
		Drive:   func(id ids.Drive) *disk.Drive { return find(opt.Drives(), id) },
		Cluster: func() (ids.Cluster, error) { return opt.Cluster, nil },
	}
	if opt.Server != nil {
		opt.Server(&so)
	}
	server := remote.NewServer(so)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { server.Serve(c) })
		}
	})
	co := remote.Options{
		Cluster: opt.Cluster, Buffers: opt.Buffers, StatEvery: 20 * time.Millisecond,
		DialTimeout: poll.Within, CallTimeout: poll.Within, WriteTimeout: poll.Within,
		Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", listen.Addr().String())
			if err == nil && opt.Wrap != nil {
				c = opt.Wrap(c)
			}
			return c, err
		},
	}
	if opt.Change != nil {
		opt.Change(&co)
	}
	client = remote.NewClient(co)
	poll.Nil(t, poll.Within, "the node", func() error { _, err := client.Reachable(); return err })
	return client, func() {
		client.Close()
		listen.Close()
		server.Close()
		serving.Wait()
	}
}

func find(drives []*disk.Drive, id ids.Drive) *disk.Drive {
	for _, d := range drives {
		if d.ID() == id {
			return d
		}
	}
	return nil
}
