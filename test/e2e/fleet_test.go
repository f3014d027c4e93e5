package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// fleet is a cluster of several nodes, a process each on loopback.
type fleet struct {
	t        *testing.T
	nodes    []*server
	nodePort []int
}

const clusterSecret = "a secret of the tests' clusters"

// newFleet prepares nodes with drives each; flags are given to all.
func newFleet(t *testing.T, nodes, drives int, flags ...string) *fleet {
	t.Helper()
	f := &fleet{t: t}
	var founders []string
	for i := range nodes {
		f.nodePort = append(f.nodePort, freePort(t))
		founders = append(founders, fmt.Sprintf("n%d=127.0.0.1:%d", i+1, f.nodePort[i]))
	}
	for i := range nodes {
		f.add(i, drives, founders, flags)
	}
	t.Cleanup(f.finish)
	return f
}

// finish has all nodes stop together.
func (f *fleet) finish() {
	if f.t.Failed() {
		return // each tells where its goroutines are
	}
	for _, s := range f.live() {
		s.killed = true
		s.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, s := range f.nodes {
		if s.ended == nil {
			continue
		}
		select {
		case <-s.ended:
		case <-time.After(40 * time.Second):
			f.t.Errorf("%s did not stop within 40 s", s.nodeName())
			return
		}
	}
}

// add prepares the node with an index.
func (f *fleet) add(i, drives int, founders, flags []string) *server {
	own := []string{"--node", "n" + strconv.Itoa(i+1), "--cluster", strings.Join(founders, ",")}
	s := newServer(f.t, options{drives: drives, flags: append(own, flags...)})
	s.env = append(s.env, "SHERD_CLUSTER_SECRET="+clusterSecret)
	f.nodes = append(f.nodes, s)
	return s
}

// newFleetOn is newFleet with node i on host i+1 of a network.
func newFleetOn(w *network, drives int, flags ...string) *fleet {
	w.t.Helper()
	f := &fleet{t: w.t}
	var founders []string
	for i := range w.hosts {
		founders = append(founders, fmt.Sprintf("n%d=%s:%d", i+1, w.addr(i+1), netNodePort))
	}
	for i := range w.hosts {
		s := f.add(i, drives, founders, flags)
		s.host, s.netns, s.port = w.addr(i+1), w.namespace(i+1), netS3Port
	}
	w.t.Cleanup(f.finish)
	return f
}

// startFleet is newFleet, running and ready.
func startFleet(t *testing.T, nodes, drives int, flags ...string) *fleet {
	t.Helper()
	f := newFleet(t, nodes, drives, flags...)
	f.run(f.nodes...)
	return f
}

// run starts nodes together, and waits until they are ready.
func (f *fleet) run(nodes ...*server) {
	f.t.Helper()
	for _, s := range nodes {
		s.run()
	}
	for _, s := range nodes {
		s.waitReady(60 * time.Second)
	}
}

// live are the nodes that run.
func (f *fleet) live() (all []*server) {
	for _, s := range f.nodes {
		if s.running() {
			all = append(all, s)
		}
	}
	return all
}

// waitHealed waits until the whole cluster is at full strength, as one of its nodes sees it.
func (f *fleet) waitHealed(within time.Duration) {
	f.t.Helper()
	eventually(f.t, within, "full strength", func() error {
		st, err := f.live()[0].status()
		if err != nil {
			return err
		}
		return whole(&st)
	})
}

// agents are clients of all nodes, of which a request that fails tries the next, as clients with several endpoints do.
type agents struct {
	clients []*s3
	next    atomic.Int64
}

func (f *fleet) agents(timeout time.Duration) *agents {
	a := &agents{}
	for _, s := range f.nodes {
		c := s.client()
		c.http.Timeout = timeout
		a.clients = append(a.clients, c)
	}
	return a
}

// temporary reports whether another try, at another node, may go better: no answer, or one that says so.
func temporary(err error) bool {
	if _, wrong := errors.AsType[wrongBytes](err); wrong || err == nil {
		return false
	}
	answer, ok := errors.AsType[*s3Error](err)
	return !ok || answer.Status >= 500
}

// within tries f at one node after another until it succeeds, fails for good, or the time is over.
func (a *agents) within(limit time.Duration, f func(*s3) error) (err error) {
	for deadline := time.Now().Add(limit); ; {
		c := a.clients[int(a.next.Add(1))%len(a.clients)]
		if err = f(c); !temporary(err) || time.Now().After(deadline) {
			return err
		}
		await(20 * time.Millisecond)
	}
}

// traffic is writers and readers of a cluster, whose every acknowledged write is checked at the end.
type traffic struct {
	t      *testing.T
	m      *model
	a      *agents
	halt   atomic.Bool
	wg     sync.WaitGroup
	writes atomic.Int64 // acknowledged
	reads  atomic.Int64
	slow   atomic.Int64 // the longest read with its retries, in ns
}

// readWithin is how long a read may take with a client's retries, whichever node has died. Five seconds are promised on a machine that has
// time for it; how long the slowest took is logged, for docs/soak.md. A test fails by what hangs, not by how busy the machine is.
const readWithin = time.Minute

// startTraffic begins workers, each with keys of its own.
func (f *fleet) startTraffic(bucket string, rng *rand.Rand, workers int) *traffic {
	f.t.Helper()
	l := &traffic{t: f.t, m: newModel(bucket), a: f.agents(4 * time.Second)}
	l.m.late = 30 * time.Second // a gateway tries a command for 10 s; what it sent last may wait at a node that does not get the cores
	must(f.t, l.a.within(10*time.Second, func(c *s3) error { return c.makeBucket(bucket) }))
	f.t.Cleanup(l.stop)
	for id := range workers {
		rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(id)))
		l.wg.Go(func() {
			for !l.halt.Load() {
				l.turn(id, rng)
				rest()
			}
		})
	}
	return l
}

func (l *traffic) turn(id int, rng *rand.Rand) {
	key := fmt.Sprintf("w%d/k%d", id, rng.IntN(20))
	c := l.a.clients[rng.IntN(len(l.a.clients))]
	switch roll := rng.IntN(10); {
	case roll < 4:
		v := version{seed: rng.Uint64(), size: sizes[rng.IntN(len(sizes))], there: true}
		err := c.put(l.m.bucket, key, v.body())
		l.m.wrote(key, v, err == nil)
		if err == nil {
			l.writes.Add(1)
		} else {
			await(20 * time.Millisecond)
		}
	case roll < 5:
		l.m.wrote(key, version{}, c.remove(l.m.bucket, key) == nil)
	default:
		began := time.Now()
		err := l.a.within(readWithin, func(c *s3) error { return l.m.check(c, key) })
		took := time.Since(began)
		if err != nil && !l.halt.Load() { // else all nodes may be gone
			l.t.Errorf("after %s of tries: %v", took.Round(time.Millisecond), err)
		}
		l.reads.Add(1)
		if took > time.Duration(l.slow.Load()) {
			l.slow.Store(int64(took))
		}
	}
}

// stop ends the load.
func (l *traffic) stop() {
	l.halt.Store(true)
	l.wg.Wait()
}

// checkWithout reads every key through a node while another is away. What was written after the cluster was last seen at full strength may
// lack a shard besides those of the node, and be refused until it is back (I2: a drive that did not answer may be missed).
func (l *traffic) checkWithout(s *server, full time.Time) {
	l.t.Helper()
	one := &agents{clients: []*s3{s.client()}}
	refused := atomic.Int64{}
	l.m.checkEach(l.t, func(key string) error {
		within, young := readWithin, l.m.writtenSince(key, full)
		if young {
			within = 5 * time.Second
		}
		err := one.within(within, func(c *s3) error { return l.m.check(c, key) })
		if young && temporary(err) {
			refused.Add(1)
			return nil
		}
		return err
	})
	l.t.Logf("%d young objects were refused while a node was away", refused.Load())
}

// end stops the load and checks every key through a node, as a client does that tries again.
func (l *traffic) end(s *server) {
	l.t.Helper()
	l.stop()
	one := &agents{clients: []*s3{s.client()}}
	l.m.checkEach(l.t, func(key string) error {
		return one.within(readWithin, func(c *s3) error { return l.m.check(c, key) })
	})
	l.m.checkListing(l.t, s.client())
	l.t.Logf("%d writes acknowledged, %d reads, the slowest %s with its retries",
		l.writes.Load(), l.reads.Load(), time.Duration(l.slow.Load()).Round(time.Millisecond))
}

// awaitWrites waits until so many more writes were acknowledged.
func (l *traffic) awaitWrites(n int64, within time.Duration) {
	l.t.Helper()
	target := l.writes.Load() + n
	eventually(l.t, within, "more writes", func() error {
		if now := l.writes.Load(); now < target {
			return fmt.Errorf("%d of %d", now, target)
		}
		return nil
	})
}

// drivesOf are a node's drives in a status.
func drivesOf(st *adminapi.Status, node string) (all []adminapi.Drive) {
	for _, d := range st.Drives {
		if d.Node == node {
			all = append(all, d)
		}
	}
	return all
}
