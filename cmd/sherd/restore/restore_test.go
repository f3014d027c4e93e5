package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// external runs one etcd in this process, on a unix socket, as an external one.
func external(t *testing.T) *store.Options {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) []url.URL { return []url.URL{{Scheme: "unix", Path: filepath.Join(dir, name+":1")}} }
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "data")
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = at("p"), at("p")
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = at("c"), at("c")
	cfg.InitialCluster = "default=" + at("p")[0].String()
	cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = 10, 50, true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	must(t, err)
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return &store.Options{Endpoints: []string{at("c")[0].String()}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const rootSecret = "the root's secret"

// founded makes a cluster of six drives with a bucket and a user in an etcd, and copies of it on the drives.
func founded(t *testing.T, ctx context.Context, etcd store.Options) Options {
	t.Helper()
	opt := Options{Cluster: ids.NewCluster(), Secrets: []string{"another", rootSecret}, Logger: slog.New(slog.DiscardHandler)}
	in := plan.InitialOptions{Cluster: opt.Cluster, Nodes: []placement.Node{{Name: "n1"}}}
	var paths []string
	for range 6 {
		d := &placement.Drive{ID: ids.NewDrive(), Node: "n1", Path: t.TempDir(), State: placement.DriveUp, Bytes: 1 << 40}
		in.Drives = append(in.Drives, d)
		opt.Hosts = append(opt.Hosts, member.Host{Drive: d.ID, Path: d.Path})
		paths = append(paths, d.Path)
	}
	first, err := plan.Initial(in)
	must(t, err)
	etcd.Cluster = opt.Cluster
	s, err := store.Open(ctx, etcd)
	must(t, err)
	defer s.Close()
	must(t, s.Bootstrap(ctx, first))
	_, _, err = s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: 1})
	must(t, err)
	key, err := store.CopyKey(rootSecret, opt.Cluster)
	must(t, err)
	dataKey, err := store.NewDataKey(opt.Cluster)
	must(t, err)
	wrapped, err := dataKey.Wrapped(nil, map[string][]byte{placement.WrapRoot: key})
	must(t, err)
	edit(t, ctx, s, placement.IAMChange{DataKey: wrapped})
	s.SetDataKey(dataKey)
	edit(t, ctx, s, placement.IAMChange{Identity: &placement.Identity{AccessKey: "user", Secret: "of the user"}})
	written, err := s.WriteCopies(ctx, paths, key)
	must(t, err)
	if written != len(paths) {
		t.Fatalf("%d copies", written)
	}
	return opt
}

func edit(t *testing.T, ctx context.Context, s *store.Store, changes ...placement.IAMChange) {
	t.Helper()
	must(t, s.EditIAM(ctx, func(*placement.Map) ([]placement.IAMChange, error) { return changes, nil }))
}

// secretsOpened gives s the key of the cluster's secrets, as root's secret opens it.
func secretsOpened(t *testing.T, s *store.Store) {
	t.Helper()
	m := s.Map()
	key, err := store.CopyKey(rootSecret, m.Cluster)
	must(t, err)
	dataKey, err := store.Unwrap(m.Cluster, m.DataKey, placement.WrapRoot, key)
	must(t, err)
	s.SetDataKey(dataKey)
}

// TestI9_RestoreIntoExternalEtcd: an empty external etcd gets everything, under the next generation; one that has the
// cluster is refused.
func TestI9_RestoreIntoExternalEtcd(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	defer cancel()
	old := external(t)
	opt := founded(t, ctx, *old)
	opt.Etcd = old
	if _, err := Prepare(ctx, opt); !errors.Is(err, ErrNotLost) {
		t.Fatalf("into an etcd that has it: %v", err)
	}
	opt.Etcd = external(t)
	p, err := Prepare(ctx, opt)
	must(t, err)
	if p.Drives != 6 || p.Readable != 6 || p.Same != 6 || !p.Users || p.Closed != 0 || len(p.Map.Identities) != 1 || len(p.Map.Buckets) != 1 {
		t.Fatalf("%+v", p)
	}
	_, err = p.Run(ctx)
	must(t, err)
	s, err := store.Open(ctx, store.Options{Endpoints: opt.Etcd.Endpoints, Cluster: opt.Cluster})
	must(t, err)
	defer s.Close()
	secretsOpened(t, s)
	if m := s.Map(); m.Generation != 2 || m.Buckets["b"] == nil || m.Identities["user"].Secret != "of the user" {
		t.Fatalf("generation %d, %v, %v", m.Generation, m.Buckets, m.Identities)
	}
	copies, newest := store.ReadCopies(ctx, opt.Cluster, pathsOf(opt.Hosts))
	if newest == nil || newest.Generation != 2 {
		t.Fatalf("no copies of generation 2, an old etcd would be let in again: %+v", copies)
	}
	if _, err := store.Open(ctx, store.Options{Endpoints: old.Endpoints, Cluster: opt.Cluster, Floor: newest.Position()}); !errors.Is(err, store.ErrTimeTravel) {
		t.Fatalf("the old etcd: %v", err)
	}
	if _, err := Prepare(ctx, opt); !errors.Is(err, ErrNotLost) {
		t.Fatalf("a second time: %v", err)
	}
}

// TestI9_CopiesThatDoNotDo: too few, none, or with users that cannot be read.
func TestI9_CopiesThatDoNotDo(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	defer cancel()
	opt := founded(t, ctx, *external(t))
	opt.Etcd = external(t)
	lose := func(drives ...int) {
		for _, i := range drives {
			must(t, os.WriteFile(filepath.Join(opt.Hosts[i].Path, store.CopyFile), []byte(fmt.Sprint("damage", i)), 0o600))
		}
	}
	right := opt.Secrets
	opt.Secrets = []string{"another"}
	if _, err := Prepare(ctx, opt); !errors.Is(err, ErrSealed) {
		t.Fatalf("another secret: %v", err)
	}
	opt.WithoutUsers = true
	if p, err := Prepare(ctx, opt); err != nil || p.Users || len(p.Map.Identities) > 0 || p.Map.Buckets["b"] == nil {
		t.Fatalf("without users: %+v, %v", p, err)
	}
	opt.Secrets, opt.WithoutUsers = right, false

	lose(0, 1)
	if p, err := Prepare(ctx, opt); err != nil || p.Readable != 4 {
		t.Fatalf("four of six: %+v, %v", p, err)
	}
	lose(2)
	if _, err := Prepare(ctx, opt); !errors.Is(err, ErrMinority) {
		t.Fatalf("three of six: %v", err)
	}
	opt.Force = true
	if p, err := Prepare(ctx, opt); err != nil || p.Readable != 3 {
		t.Fatalf("three of six, by force: %+v, %v", p, err)
	}
	lose(3, 4, 5)
	if _, err := Prepare(ctx, opt); !errors.Is(err, ErrNoCopy) {
		t.Fatalf("none: %v", err)
	}
}

// TestI9_RestoreOfACopyWithoutUsers: what was restored without its users, and lost again before the server wrote other copies.
func TestI9_RestoreOfACopyWithoutUsers(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	defer cancel()
	opt := founded(t, ctx, *external(t))
	opt.Secrets, opt.WithoutUsers, opt.Etcd = nil, true, external(t)
	p, err := Prepare(ctx, opt)
	must(t, err)
	_, err = p.Run(ctx)
	must(t, err)
	opt.Etcd = external(t)
	if p, err = Prepare(ctx, opt); err != nil || p.Map == nil || p.Map.Buckets["b"] == nil {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err = p.Run(ctx); err != nil || p.Copy.Generation != 2 {
		t.Fatalf("of generation %d: %v", p.Copy.Generation, err)
	}
}
