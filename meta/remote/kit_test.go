package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc"

	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

const bucket ids.Bucket = 1

type segmentPos = segment.Pos

// testDrive is a drive's log and rows.
type testDrive struct {
	id   ids.Drive
	node *testNode
	fs   vfs.FS
	mem  *vfs.MemFS // nil: real files
	dir  string
	log  *segment.Log
	rows *pebble.DB
}

// testNode is one process: its part of the records, its server on a loopback port, and its peers.
type testNode struct {
	c       *cluster
	name    string
	drives  []*testDrive
	records *meta.Node
	peers   *Peers
	grpc    *grpc.Server
	addr    string
	clock   *hlc.Clock
	skew    atomic.Int64 // ns, of its clock
	served  sync.WaitGroup
	running bool
}

// cluster is some nodes over real TCP, with one map that the test changes.
type cluster struct {
	t     testing.TB
	rng   *rand.Rand
	cfg   clusterConfig
	nodes []*testNode
	links *links

	mu      sync.Mutex
	m       *placement.Map
	changed chan struct{} // closed when there is another map
	lost    []placement.Replica
}

type clusterConfig struct {
	nodes    int // with drives
	drives   int // of each
	gateways int // nodes without drives
	seed     uint64
	dir      string // real files under it; empty: in memory
	replicas int    // of each range; 0: one on each drive
	ranges   [][]byte
	tick     time.Duration // 20ms
	opt      meta.Options
	peers    Options
	server   ServerOptions
	skew     map[int]time.Duration // of a node's clock
	cold     bool                  // nodes are not started
	// wrap stands before a node's peers.
	wrap func(from *testNode, to string, p meta.Peer) meta.Peer
}

func newCluster(t testing.TB, cfg clusterConfig) *cluster {
	t.Helper()
	c := &cluster{
		t: t, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.seed, 7)), links: newLinks(), changed: make(chan struct{}),
	}
	for i := range cfg.nodes + cfg.gateways {
		n := &testNode{c: c, name: fmt.Sprintf("n%d", i+1)}
		n.skew.Store(int64(cfg.skew[i]))
		for d := range cfg.drives {
			if i < cfg.nodes {
				n.drives = append(n.drives, newTestDrive(t, n, cfg.dir, d))
			}
		}
		c.nodes = append(c.nodes, n)
	}
	c.m = c.firstMap()
	for _, n := range c.nodes {
		n.listen()
		for _, d := range n.drives {
			d.open(true)
		}
	}
	if !cfg.cold {
		for _, n := range c.nodes {
			n.start()
		}
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
		c.links.closeAll()
	})
	return c
}

func newTestDrive(t testing.TB, n *testNode, dir string, i int) *testDrive {
	t.Helper()
	d := &testDrive{id: ids.NewDrive(), node: n}
	if dir == "" {
		d.mem = vfs.NewMem()
		d.fs, d.dir = d.mem, "d"
	} else {
		d.fs, d.dir = vfs.Default, fmt.Sprintf("%s/%s-d%d", dir, n.name, i)
	}
	check(t, d.fs.MkdirAll(d.dir+"/log", 0o755))
	check(t, d.fs.MkdirAll(d.dir+"/rows", 0o755))
	return d
}

// firstMap spreads the replicas of each range over nodes first.
func (c *cluster) firstMap() *placement.Map {
	m := &placement.Map{Revision: 1, Drives: map[ids.Drive]*placement.Drive{}, Nodes: map[string]*placement.Node{}}
	var all []ids.Drive
	for d := range c.cfg.drives {
		for _, n := range c.nodes[:c.cfg.nodes] {
			all = append(all, n.drives[d].id)
			m.Drives[n.drives[d].id] = &placement.Drive{ID: n.drives[d].id, Node: n.name, State: placement.DriveUp}
		}
	}
	for _, n := range c.nodes {
		m.Nodes[n.name] = &placement.Node{Name: n.name}
	}
	if c.cfg.replicas > 0 {
		all = all[:c.cfg.replicas]
	}
	var replicas []placement.Replica
	for i, d := range all {
		replicas = append(replicas, placement.Replica{ID: ids.Replica(i + 1), Drive: d})
	}
	starts := append([][]byte{nil}, c.cfg.ranges...)
	for i, start := range starts {
		r := &placement.Range{
			ID: ids.Range(i + 1), Start: start, Generation: 1,
			Replicas: replicas, NextReplica: ids.Replica(len(replicas) + 1),
		}
		if i+1 < len(starts) {
			r.End = starts[i+1]
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m
}

func (c *cluster) current() *placement.Map {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m
}

// next is meta.Options.Next.
func (c *cluster) next(ctx context.Context, after int64) (*placement.Map, error) {
	for {
		c.mu.Lock()
		m, changed := c.m, c.changed
		c.mu.Unlock()
		if m.Revision > after {
			return m, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// edit changes one range's row, as the planner does.
func (c *cluster) edit(id ids.Range, change func(*placement.Range)) {
	c.replace(id, func(r *placement.Range) []*placement.Range {
		next := *r
		next.Replicas = append([]placement.Replica(nil), r.Replicas...)
		change(&next)
		return []*placement.Range{&next}
	})
}

// replace puts rows in the place of one range's.
func (c *cluster) replace(id ids.Range, by func(*placement.Range) []*placement.Range) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := *c.m
	m.Revision++
	m.Ranges = nil
	for _, r := range c.m.Ranges {
		if r.ID == id {
			m.Ranges = append(m.Ranges, by(r)...)
		} else {
			m.Ranges = append(m.Ranges, r)
		}
	}
	c.m = &m
	close(c.changed)
	c.changed = make(chan struct{})
}

func (d *testDrive) open(create bool) {
	t := d.node.c.t
	t.Helper()
	opt := segment.Options{
		FS: d.fs, Dir: d.dir + "/log", ID: d.id, SegmentBytes: 1 << 20, Prefix: true, Buffered: d.mem != nil,
		PrefillBytes: -1, Logger: slog.New(slog.DiscardHandler),
	}
	if d.mem == nil {
		opt.SegmentBytes, opt.PrefillBytes = 64<<20, 0
	}
	if create {
		check(t, segment.Create(opt))
	}
	var err error
	d.log, err = segment.Open(opt)
	check(t, err)
	d.rows, err = pebble.Open(d.dir+"/rows", &pebble.Options{
		FS: d.fs, Comparer: keys.Comparer, DisableWAL: true, Logger: silent{}, MemTableSize: 8 << 20,
		FormatMajorVersion: pebble.FormatNewest,
	})
	check(t, err)
}

func (d *testDrive) close() {
	if d.log == nil {
		return
	}
	_ = d.log.Close() // may have failed on purpose
	check(d.node.c.t, d.rows.Close())
	d.log, d.rows = nil, nil
}

// listen reserves the node's address. On the host that connections come from, one of these could take the port while the node is down.
func (n *testNode) listen() {
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)))
	check(n.c.t, err)
	n.addr = l.Addr().String()
	check(n.c.t, l.Close())
}

func (n *testNode) logger() *slog.Logger {
	if os.Getenv("SHERD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", n.name)
}

// start starts the process over drives that are open.
func (n *testNode) start() {
	c := n.c
	c.t.Helper()
	n.clock = hlc.New(func() time.Time { return time.Now().Add(time.Duration(n.skew.Load())) })
	peers := c.cfg.peers
	peers.Self, peers.Logger = n.name, n.logger()
	peers.Dial = func(ctx context.Context, node string) (net.Conn, error) { return c.dial(ctx, n.name, node) }
	n.peers = NewPeers(peers)
	opt := c.cfg.opt
	opt.Map, opt.Next, opt.Clock, opt.Self, opt.Peers = c.current, c.next, n.clock, n.name, n.peers.Peer
	if c.cfg.wrap != nil {
		opt.Peers = func(node string) meta.Peer { return c.cfg.wrap(n, node, n.peers.Peer(node)) }
	}
	opt.Logger = n.logger()
	opt.Level = func() int { return state.LevelVersions }
	opt.Tick = c.cfg.tick
	if opt.Tick == 0 {
		opt.Tick = 20 * time.Millisecond
	}
	if opt.CommandTimeout == 0 {
		opt.CommandTimeout = poll.Within
	}
	opt.Staging = func(id ids.Drive) (vfs.FS, string) {
		for _, d := range n.drives {
			if d.id == id {
				return d.fs, d.dir + "/incoming"
			}
		}
		return nil, ""
	}
	opt.OnLost = func(_ ids.Range, r placement.Replica) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost = append(c.lost, r)
	}
	opt.OnFailed = func(id ids.Drive, err error) { c.t.Errorf("drive %v failed: %v", id, err) }
	var err error
	n.records, err = meta.New(opt)
	check(c.t, err)
	n.serve()
	for _, d := range n.drives {
		if err := n.records.AddDrive(d.id, replica.SegmentLog[segmentPos](d.log), d.rows); err != nil {
			n.logger().Info("drive added", "err", err)
		}
	}
	n.running = true
}

func (n *testNode) serve() {
	l, err := net.Listen("tcp", n.addr)
	check(n.c.t, err)
	opt := n.c.cfg.server
	opt.Records, opt.Logger = n.records, n.logger()
	n.grpc = grpc.NewServer(GRPCOptions()...)
	NewServer(opt).Register(n.grpc)
	n.served.Go(func() { _ = n.grpc.Serve(l) }) // ends with Stop
}

// stop ends the process at once; its drives are closed.
func (n *testNode) stop() {
	if n.running {
		n.running = false
		n.grpc.Stop()
		n.served.Wait()
		n.records.Close()
		n.peers.Close()
	}
	for _, d := range n.drives {
		d.close()
	}
}

// restart starts a node that was stopped.
func (n *testNode) restart() {
	for _, d := range n.drives {
		d.open(false)
	}
	n.start()
}

func (c *cluster) node(name string) *testNode {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// dial connects two nodes, over a connection that the test can cut.
func (c *cluster) dial(ctx context.Context, from, to string) (net.Conn, error) {
	n := c.node(to)
	if n == nil {
		return nil, fmt.Errorf("no node %q", to)
	}
	if c.links.isCut(from, to) {
		return nil, errors.New("cut")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", n.addr)
	if err != nil {
		return nil, err
	}
	return c.links.add(from, to, conn), nil
}

// leader is the node that leads a range, as soon as there is one.
func (c *cluster) leader(id ids.Range) *testNode {
	c.t.Helper()
	var found *testNode
	poll.True(c.t, poll.Within, "a leader", func() bool {
		for _, n := range c.nodes {
			if n.running && n.records.Leads(id) {
				found = n
			}
		}
		return found != nil
	})
	return found
}

// others are the running nodes but n.
func (c *cluster) others(n *testNode) (all []*testNode) {
	for _, o := range c.nodes {
		if o != n && o.running {
			all = append(all, o)
		}
	}
	return all
}

func (c *cluster) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	c.t.Cleanup(cancel)
	return ctx
}

func putOf(key, body string) *metapb.PutVersion {
	return &metapb.PutVersion{
		Bucket: uint64(bucket), Key: key, Inline: []byte(body), HasInline: true,
		Version: &metapb.Version{Size: uint64(len(body)), Md5: make([]byte, 16), Details: &metapb.Details{}},
	}
}

func (n *testNode) put(key, body string) {
	n.c.t.Helper()
	_, err := n.records.PutVersion(n.c.ctx(), 0, putOf(key, body))
	check(n.c.t, err)
}

func (n *testNode) want(key, body string) {
	n.c.t.Helper()
	_, got, err := n.records.Get(n.c.ctx(), bucket, key, meta.GetOptions{Inline: true})
	check(n.c.t, err)
	if string(got) != body {
		n.c.t.Fatalf("%s: get %q: %q, want %q", n.name, key, got, body)
	}
}

func routeOf(key string) []byte { return keys.Route(bucket, key) }

// slowFS makes the tables of a snapshot that comes in wait.
type slowFS struct {
	vfs.FS
	until chan struct{}
	waits atomic.Int32
}

func (s *slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") && strings.Contains(name, "incoming") {
		s.waits.Add(1)
		<-s.until
	}
	return s.FS.Create(name, c)
}

type silent struct{}

func (silent) Infof(string, ...any)      {}
func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
