package store

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// testEtcd is one etcd member in this process, on a unix socket; it can be stopped and started again.
type testEtcd struct {
	t   testing.TB
	dir string
	e   *embed.Etcd
}

func newEtcd(t testing.TB) *testEtcd {
	t.Helper()
	te := &testEtcd{t: t, dir: t.TempDir()}
	te.start()
	t.Cleanup(te.stop)
	return te
}

func (te *testEtcd) endpoint() string { return "unix://" + filepath.Join(te.dir, "c:1") }

func (te *testEtcd) start() {
	te.t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(te.dir, "data")
	peer, client := mustURL("unix://"+filepath.Join(te.dir, "p:1")), mustURL(te.endpoint())
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peer, peer
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = client, client
	cfg.InitialCluster = "default=" + peer[0].String()
	cfg.TickMs, cfg.ElectionMs = 10, 50
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		te.t.Fatal(err)
	}
	<-e.Server.ReadyNotify()
	te.e = e
}

func (te *testEtcd) stop() {
	if te.e != nil {
		te.e.Close()
		te.e = nil
	}
}

func mustURL(raw string) []url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return []url.URL{*u}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	t.Cleanup(cancel)
	return ctx
}

// open opens a store on te, which is asked for as long as it takes on a busy machine. What is to fail runs impatiently.
func open(t testing.TB, te *testEtcd, changes ...func(*Options)) *Store {
	t.Helper()
	opt := Options{
		Endpoints: []string{te.endpoint()}, RequestTimeout: poll.Within, TryTimeout: 20 * time.Second,
		ContactEvery: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	for _, change := range changes {
		change(&opt)
	}
	s, err := Open(testContext(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// hasty is for a store whose lead is over, which shows when the time for a change is.
func hasty(o *Options) { o.RequestTimeout = 5 * time.Second }

// impatiently runs what fails only when its time is over.
func impatiently(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	f(ctx)
}

// bootstrapped opens a store and writes a cluster of six drives.
func bootstrapped(t testing.TB, te *testEtcd) (*Store, placement.Initial) {
	t.Helper()
	s := open(t, te)
	in := initial(t, 6)
	if err := s.Bootstrap(testContext(t), in); err != nil {
		t.Fatal(err)
	}
	return s, in
}

func initial(t testing.TB, n int) placement.Initial {
	t.Helper()
	opt := plan.InitialOptions{Cluster: ids.NewCluster(), Nodes: []placement.Node{{Name: "n1"}}, Settings: map[string]string{"a": "b"}}
	for i := range n {
		opt.Drives = append(opt.Drives, &placement.Drive{
			ID: ids.NewDrive(), Node: "n1", Path: fmt.Sprint("/d", i+1), State: placement.DriveUp, Bytes: 1 << 40,
		})
	}
	in, err := plan.Initial(opt)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// raw is a client that goes round the store.
func raw(t testing.TB, te *testEtcd) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{te.endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
