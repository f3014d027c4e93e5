package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// stagingDir is where a drive takes a range's snapshot in.
const stagingDir = "staging"

// startRecords opens the ranges' replicas and waits until they can be asked, for a time: a node without a quorum of
// them comes up all the same and says why it is not ready.
func (n *Node) startRecords(ctx, loops context.Context) (err error) {
	n.planner = newPlanner(n)
	opt := meta.Options{
		Self: n.cfg.Name,
		Map:  n.store.Map,
		Next: func(ctx context.Context, after int64) (*placement.Map, error) {
			return n.store.Wait(ctx, func(m *placement.Map) bool { return m.Revision > after })
		},
		Sync:     n.store.Sync,
		Clock:    n.clock,
		Staging:  n.staging,
		Low:      n.low,
		Level:    func() int { return floor(n.store.Map()) },
		Keep:     func() bool { return store.DirectoryDoubted(n.store.Map()) },
		OnLost:   n.planner.replicaLost,
		OnFailed: n.recordsFailed,
		Logger:   n.log,
	}
	if n.peers != nil {
		opt.Peers = n.peers.openRecords()
	}
	if n.records, err = meta.New(opt); err != nil {
		return err
	}
	if n.peers != nil {
		n.peers.serveRecords()
	}
	for _, b := range n.bays.list() {
		if d, _, _ := b.current(); d != nil {
			if err := n.serveReplicas(d); err != nil {
				n.lose(ctx, b, err)
			}
		}
	}
	return nil
}

// serveReplicas opens the replicas on a drive. Where log and rows do not fit together they are put aside, and the drive
// is opened again without them (I10).
func (n *Node) serveReplicas(d *disk.Drive) error {
	err := n.records.AddDrive(d.ID(), replica.SegmentLog(d.Log()), d.Rows())
	switch {
	case errors.Is(err, replica.ErrLost):
		d.DiscardReplicas(err.Error())
		return err
	case err != nil && !n.records.Serves(d.ID()):
		return err // nobody would try again but who opens the drive anew
	case err != nil:
		n.log.Warn("replicas not yet in service", "drive", d.ID(), "err", err)
	}
	if d.ReplicasLost() {
		n.log.Error("the drive's replicas are lost; they are replaced", "path", d.Path(), "drive", d.ID())
		return d.AckReplicasLost()
	}
	return nil
}

func (n *Node) staging(id ids.Drive) (vfs.FS, string) {
	d := n.bays.drive(id)
	if d == nil {
		if b := n.bays.bayOf(id); b != nil {
			return n.cfg.FS, n.cfg.FS.PathJoin(b.path, stagingDir)
		}
		return nil, ""
	}
	return n.cfg.FS, n.cfg.FS.PathJoin(d.Path(), stagingDir)
}

func (n *Node) low(id ids.Drive) bool {
	d := n.bays.drive(id)
	return d != nil && d.Space().Low
}

func (n *Node) recordsFailed(id ids.Drive, err error) {
	n.log.Error("the replicas on a drive failed", "drive", id, "err", err)
	if d := n.bays.drive(id); d != nil {
		if errors.Is(err, replica.ErrLost) {
			d.DiscardReplicas(err.Error())
		}
		n.bays.doubt(id, fmt.Errorf("object records: %w", err))
	}
}

// startBlobs makes the blob store and the healer over it.
func (n *Node) startBlobs(_, loops context.Context) error {
	n.blobs = erasure.New(erasure.Options{
		Map:         n.store.Map,
		Drive:       n.blobDrive,
		Reload:      func(ctx context.Context) { _ = n.store.Sync(ctx) }, // without etcd the map at hand is tried
		Report:      n.badShard,
		Buffers:     n.buffers,
		WriteQuorum: n.cfg.WriteQuorum,
	})
	n.objects = object.New(object.Options{
		Records: n.records, Blobs: n.blobs, Clock: n.clock, Rules: n.rules, InlineBytes: n.cfg.InlineBytes,
		Ended:     n.readsEnded,
		ClassPool: func(class string) (ids.Pool, bool) { return n.store.Map().ClassPool(class) },
		WriteMax:  n.cfg.CollectAfter - n.cfg.CollectAfter/24,
	})
	if err := n.startHeal(loops); err != nil {
		return err
	}
	for _, b := range n.bays.list() {
		if d, _, _ := b.current(); d != nil {
			n.mend(b, d)
		}
	}
	return nil
}

func (n *Node) blobDrive(id ids.Drive) erasure.Drive {
	if d := n.drive(id); d != nil {
		return d
	}
	return nil
}

// badShard hears of every shard that a read or write found bad.
func (n *Node) badShard(b erasure.BadShard) {
	if b.Kind == erasure.Unavailable && b.Write {
		n.bays.doubt(b.Drive, fmt.Errorf("a write gave it up: %w", b.Err))
		n.distrusted.add(b.Drive)
	}
	n.heal.Report(b)
}

// startGateway serves.
func (n *Node) startGateway(_, loops context.Context) error {
	debug.SetMemoryLimit(n.budget.Go * 9 / 10)
	proxies, err := prefixes(n.cfg.TrustedProxies)
	if err != nil {
		return err
	}
	opt := gateway.Options{
		Objects: n.objects, Records: n.records, Buckets: n.store, IAM: n.store, Admin: admin{n},
		Credentials: n.credentials, Ready: n.unready, Versions: func() bool { return floor(n.store.Map()) >= levelVersions }, ControlAge: n.store.ContactAge,
		Region: n.cfg.Region, Ownership: n.cfg.Ownership, Domains: n.cfg.Domains, TrustedProxies: proxies, Version: n.cfg.Version,
		Connections: n.cfg.Connections, Requests: n.budget.Requests, Staleness: n.cfg.ControlStaleness, Now: n.cfg.Now, Logger: n.log,
	}
	if n.cfg.Pprof {
		opt.Pprof = profiles()
	}
	if n.gateway, err = gateway.New(opt); err != nil {
		return err
	}
	n.register(n.gateway.Registry())
	for _, b := range n.bays.list() {
		n.loops.Go(func() { n.watch(loops, b) })
	}
	n.loops.Go(func() { n.planner.run(loops) })
	n.loops.Go(func() { n.planner.keepElected(loops) })
	n.loops.Go(func() { n.planner.followNodes(loops) })
	n.loops.Go(func() { n.keepDistrust(loops) })
	n.loops.Go(func() { n.keepCopies(loops) })
	n.loops.Go(func() { n.keepCount(loops) })
	n.http = n.gateway.HTTPServer()
	if n.cfg.NoObjects {
		n.http.Handler = ownPages(n.http.Handler)
	}
	for _, l := range n.cfg.Listeners {
		n.serving.Go(func() {
			if err := n.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				n.fail(fmt.Errorf("serving %s: %w", l.Addr(), err))
			}
		})
	}
	return nil
}

// ownPages lets only the paths below /_/ through to h: of a node that is no gateway.
func ownPages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/_/") {
			http.Error(w, "this node stores only: ask a gateway of the cluster", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// credentials knows root's pair, if it was given, and the map's access keys that are in force.
func (n *Node) credentials(accessKey string) (string, gateway.Identity, bool) {
	given := n.cfg.Root
	if given.AccessKey != "" && accessKey == given.AccessKey {
		return given.SecretKey, gateway.Identity{}, true
	}
	m := n.store.Map()
	id := m.Identities[accessKey]
	if id == nil {
		return "", gateway.Identity{}, false
	}
	account, user, ok := m.Holder(id)
	switch {
	case !ok:
		return "", gateway.Identity{}, false
	case user != nil:
		return id.Secret, gateway.Identity{Account: account.ID, User: user.Name}, true
	case given.AccessKey != "" && account.ID == m.Account("").ID: // a stored root pair is not in force beside the environment's
		return "", gateway.Identity{}, false
	}
	return id.Secret, gateway.Identity{Account: account.ID}, true
}

// unready gives the reasons why requests cannot all be served.
func (n *Node) unready() []string {
	var why []string
	for _, r := range n.ledRanges() {
		if r.Leader.IsZero() {
			why = append(why, fmt.Sprintf("range %d of the object records has no leader", r.ID))
		}
	}
	for _, p := range n.store.Map().Pools {
		if open := n.inService(); open < p.K {
			why = append(why, fmt.Sprintf("only %d drives are in service, %d are needed to read", open, p.K))
		}
	}
	return why
}

// surveyEvery is how often the other nodes are asked at most who leads: whoever asks this one whether it is ready, asks them all.
const surveyEvery = 200 * time.Millisecond

// surveyed is what the other nodes said last of the ranges.
type surveyed struct {
	mu  sync.Mutex
	at  time.Time
	all []meta.RangeStatus
}

// ledRanges is what is known of the ranges' leaders. Where replicas are here they know it; else the other nodes are asked.
func (n *Node) ledRanges() []meta.RangeStatus {
	all := n.records.Status()
	if n.peers == nil || !slices.ContainsFunc(all, func(r meta.RangeStatus) bool { return r.Leader.IsZero() }) {
		return all
	}
	s := &n.surveyed
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < surveyEvery {
		return s.all
	}
	ctx, cancel := context.WithTimeout(n.loopCtx, time.Second)
	defer cancel()
	if asked, err := n.records.Survey(ctx); err == nil {
		all = asked
	}
	s.all, s.at = all, time.Now()
	return all
}

func prefixes(list []string) (out []netip.Prefix, err error) {
	for _, text := range list {
		if !strings.Contains(text, "/") {
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("--trusted-proxies: %w", err)
			}
			out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

// profiles serves net/http/pprof without its global registration.
func profiles() http.Handler {
	mux := http.NewServeMux()
	const root = "/_/debug/pprof/"
	mux.HandleFunc(root, func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, root)
		switch name {
		case "profile":
			pprof.Profile(w, r)
		case "trace":
			pprof.Trace(w, r)
		case "cmdline":
			pprof.Cmdline(w, r)
		case "symbol":
			pprof.Symbol(w, r)
		default:
			pprof.Handler(name).ServeHTTP(w, r)
		}
	})
	return mux
}

// awaitLeaders waits until every range has a leader, for at most a time.
func (n *Node) awaitLeaders(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(n.unready()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
