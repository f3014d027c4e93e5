package sim

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/node"
	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// Ports of a node, and where etcd is.
const (
	nodePort    = "7000"
	gatewayPort = "9000"
	etcdHost    = "etcd"
	etcdPort    = "2379"
)

// shape is how large a cluster is.
type shape struct {
	nodes, drives int // drives of each node
	profile       plan.Profile
}

// Times of the clusters. They are as short as their order allows: what takes hours takes a minute.
const (
	outAfter     = time.Minute
	etcdGrace    = 30 * time.Second
	collectAfter = 75 * time.Second // more than requests may take
	memoryLimit  = 4 << 30          // of a node; nothing comes near it
	placements   = 16               // groups of the pool
)

// cluster is a whole one.
type cluster struct {
	t     *testing.T
	rng   *rand.Rand // of the schedule; its goroutine's alone
	shape shape
	id    ids.Cluster
	root  node.Credentials
	dir   string
	log   *journal

	nw       *network
	etcd     *etcd
	etcdHost *host
	stopEtcd func()
	store    *store.Store // the map as somebody outside sees it
	nodes    []*server
	ending   sync.WaitGroup // of lives that were ended
	rotten   bool           // some drive has wrong bytes that perhaps nobody has found
	dark     atomic.Bool    // all nodes are without power, for hours: nobody asks them anything
}

// server is a machine and the node that runs on it.
type server struct {
	c       *cluster
	machine *machine
	life    *life // nil: it is down
}

// life is one run of a node's process.
type life struct {
	host *host
	stop chan bool // true: in order
	done chan struct{}
	up   chan struct{} // closed when it serves
}

// newCluster founds a cluster and starts all of its nodes.
func newCluster(t *testing.T, seed uint64, s shape, log *journal) *cluster {
	c := &cluster{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), shape: s, id: ids.NewCluster(), dir: t.TempDir(), log: log,
		root: node.Credentials{AccessKey: "simulation", SecretKey: "nothing to hide"},
		nw:   newNetwork(seed), etcd: newEtcd(),
	}
	debug.SetMemoryLimit(math.MaxInt64)
	c.etcdHost = c.nw.host(etcdHost)
	c.stopEtcd = c.etcd.serve(c.etcdHost, etcdPort)
	for i := range s.nodes {
		m := newMachine(fmt.Sprint("n", i+1), s.drives, seed+uint64(i)<<32)
		c.nodes = append(c.nodes, &server{c: c, machine: m})
		c.must(os.Mkdir(c.stateDir(m.name), 0o755))
	}
	c.found()
	for _, s := range c.nodes {
		s.start()
	}
	for _, s := range c.nodes {
		<-s.life.up
	}
	return c
}

// found formats all drives and writes the first map: what founders agree on is not what is simulated.
func (c *cluster) found() {
	var nodes []placement.Node
	var drives []*placement.Drive
	for _, s := range c.nodes {
		name := s.machine.name
		nodes = append(nodes, placement.Node{Name: name, Addr: name + ":" + nodePort, Level: 1})
		for _, path := range s.machine.paths {
			id, err := disk.Format(disk.Options{FS: s.machine.fs(), Path: path, Comparer: keys.Comparer, Logger: c.log.logger(name)}, c.id)
			c.must(err)
			drives = append(drives, &placement.Drive{
				ID: id.Drive, Node: name, Path: path, Bytes: driveBytes, State: placement.DriveUp, Since: time.Now().UTC(),
			})
		}
	}
	first, err := plan.Initial(plan.InitialOptions{Cluster: c.id, Nodes: nodes, Drives: drives, Profile: c.shape.profile, PGCount: placements})
	c.must(err)
	c.store = c.openStore()
	c.must(c.store.Bootstrap(context.Background(), first))
}

// stateDir is where a node keeps its papers: a real directory, as the drives are not.
func (c *cluster) stateDir(name string) string { return filepath.Join(c.dir, name) }

// openStore is the map as somebody outside the cluster sees it.
func (c *cluster) openStore() *store.Store {
	s, err := store.Open(context.Background(), store.Options{
		Cluster: c.id, Endpoints: []string{"http://" + etcdHost + ":" + etcdPort}, Dialer: c.nw.host("admin").dial, Logger: c.log.logger("admin"),
	})
	c.must(err)
	return s
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// config is a node's for one life.
func (s *server) config(h *host) node.Config {
	name := s.machine.name
	return node.Config{
		Drives: s.machine.paths, Name: name, Profile: s.c.shape.profile, Root: s.c.root, MemoryLimit: memoryLimit,
		Etcd: node.EtcdConfig{Endpoints: []string{"http://" + etcdHost + ":" + etcdPort}, Dial: h.dial},
		Cluster: node.ClusterConfig{
			Advertise: name + ":" + nodePort, Listener: h.listen(nodePort), Plain: true, StateDir: s.c.stateDir(name),
			Dial: func(ctx context.Context, _, addr string) (net.Conn, error) { return h.dial(ctx, addr) },
		},
		Listeners: []net.Listener{h.listen(gatewayPort)},
		OutAfter:  outAfter, EtcdGrace: etcdGrace, CollectAfter: collectAfter, QuarantineTerm: collectAfter, ScrubEvery: -1,
		FS: s.machine.fs(), Fstab: "/dev/null", Logger: s.c.log.logger(name),
	}
}

// start begins a life.
func (s *server) start() {
	l := &life{host: s.c.nw.host(s.machine.name), stop: make(chan bool, 1), done: make(chan struct{}), up: make(chan struct{})}
	s.life = l
	go func() {
		defer close(l.done)
		s.run(l)
	}()
}

// run has the node run until the life ends. One that cannot start tries again, as a supervisor has it.
func (s *server) run(l *life) {
	const again = 2 * time.Second
	for {
		ctx, cancel := context.WithCancel(context.Background())
		started := make(chan *node.Node, 1)
		go func() {
			n, err := node.Start(ctx, s.config(l.host))
			debug.SetMemoryLimit(math.MaxInt64)
			if err != nil {
				s.c.log.say("%s does not start: %v", s.machine.name, err)
			}
			started <- n
		}()
		var n *node.Node
		select {
		case n = <-started:
		case orderly := <-l.stop:
			cancel()
			if n = <-started; n != nil {
				s.close(n, orderly)
			}
			return
		}
		if n == nil {
			cancel()
			select {
			case <-time.After(again):
				continue
			case <-l.stop:
				return
			}
		}
		select {
		case <-l.up:
		default:
			close(l.up)
		}
		select {
		case orderly := <-l.stop:
			s.close(n, orderly)
			cancel()
			return
		case err := <-n.Failed():
			s.c.log.say("%s failed: %v", s.machine.name, err)
			s.close(n, false)
			cancel()
		}
	}
}

// close ends a process. Of one that crashed only the memory is left to free.
func (s *server) close(n *node.Node, orderly bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		s.c.log.say("closing %s, orderly %v: %v", s.machine.name, orderly, err)
	}
}

// crash ends a life without a warning. With powerCut the machine loses what its drives had not synced.
func (s *server) crash(powerCut bool) {
	l := s.life
	s.life = nil
	l.host.die()
	if powerCut {
		s.machine.crash()
	} else {
		s.machine.leave()
	}
	l.stop <- false
	s.c.ending.Go(func() { <-l.done })
}

// stop ends a life in order.
func (s *server) stop() {
	l := s.life
	s.life = nil
	l.stop <- true
	<-l.done
	l.host.die()
}

// close ends the cluster.
func (c *cluster) close() {
	var wg sync.WaitGroup
	for _, s := range c.nodes {
		if s.life != nil {
			wg.Go(s.stop)
		}
	}
	wg.Wait()
	c.ending.Wait()
	c.store.Close()
	c.stopEtcd()
	c.etcdHost.die()
	c.etcd.close()
}

// journal is what happened, in order: the schedule's steps and what the nodes logged.
type journal struct {
	mu    sync.Mutex
	began time.Time
	lines []string
	level slog.Level
	live  bool // each line is printed at once
}

const journalMax = 200_000 // lines

func newJournal(level slog.Level, live bool) *journal {
	return &journal{began: time.Now(), level: level, live: live}
}

// say notes a step of the schedule.
func (j *journal) say(format string, args ...any) { j.add("* " + fmt.Sprintf(format, args...)) }

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	line = fmt.Sprintf("%10.4f %s", time.Since(j.began).Seconds(), line)
	if j.live {
		fmt.Fprintln(os.Stderr, line)
	}
	if len(j.lines) < journalMax {
		j.lines = append(j.lines, line)
	}
}

// steps are the lines of the schedule alone; all is with what the nodes logged.
func (j *journal) text(all bool) (out []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if all || line[11] == '*' {
			out = append(out, line)
		}
	}
	return out
}

// logger is a node's.
func (j *journal) logger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter{j, name}, &slog.HandlerOptions{
		Level: j.level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type lineWriter struct {
	j    *journal
	name string
}

// Write implements io.Writer.
func (w lineWriter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("no such file or directory")) { // papers and control copies go into real directories, which the drives are not
		return len(b), nil
	}
	w.j.add(w.name + " " + string(b[:max(len(b)-1, 0)]))
	return len(b), nil
}
