package sim

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// shapes are the clusters that schedules run on: with room to move slots, and without.
var shapes = []shape{
	{3, 2, plan.Profile{K: 2, M: 1}},
	{4, 1, plan.Profile{K: 2, M: 2}},
	{3, 2, plan.Profile{K: 4, M: 2}},
	{4, 2, plan.Profile{K: 2, M: 2}},
	{5, 1, plan.Profile{K: 2, M: 1}},
}

// losses is how many drives the cluster promises to outlive: as many as data and records both do (I3).
func (s shape) losses() int {
	replicas := plan.ReplicaCount(s.profile.M, s.nodes*s.drives)
	return min(s.profile.M, (replicas-1)/2)
}

// runSchedule is all that happens to one cluster: rounds of faults that lose nothing while clients work, drives lost in between, and the
// end, when everything is mended and counted.
func runSchedule(t *testing.T, seed uint64) {
	log := newJournal(slog.LevelInfo, *trace)
	t.Cleanup(func() {
		if t.Failed() && !*trace {
			t.Logf("schedule of seed %d:\n%s", seed, strings.Join(log.text(false), "\n"))
		}
	})
	s := shapes[seed%uint64(len(shapes))]
	log.say("%d nodes with %d drives each, %s", s.nodes, s.drives, s.profile.String())
	c := newCluster(t, seed, s, log)
	defer noGoroutines(t)
	defer c.close()
	log.say("all nodes serve")
	cl := c.client()
	defer cl.close()
	c.makeBucket(cl)
	l := startLoad(c, cl, seed)
	defer l.end()
	scenes := []func(*client, *load){c.usurp, c.lag, c.press, c.lose}
	c.rng.Shuffle(len(scenes), func(i, j int) { scenes[i], scenes[j] = scenes[j], scenes[i] })
	for _, scene := range scenes {
		for range c.rng.IntN(3) {
			c.step(cl)
		}
		c.heal()
		l.easy.Store(true)
		c.settle(cl)
		l.easy.Store(false)
		scene(cl, l)
	}
	c.heal()
	l.end()
	log.say("answered: %v", l.h.acked)
	c.judge(cl, l)
}

// noGoroutines fails if a goroutine of a cluster goes on.
func noGoroutines(t *testing.T) {
	var left string
	for range 60 {
		buf := make([]byte, 4<<20)
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			ours := strings.Contains(g, "sherd-io/sherd") || strings.Contains(g, "pebble") || strings.Contains(g, "google.golang.org/grpc")
			if ours && !strings.Contains(g, "testing.tRunner") {
				left = g
			}
		}
		if left == "" {
			return
		}
		time.Sleep(time.Second)
	}
	t.Errorf("a goroutine is left:\n%s", left)
}

func (c *cluster) makeBucket(cl *client) {
	c.await("a bucket", func() error {
		_, _, err := cl.do(c.nodes[0].machine.name, "PUT", "/"+bucket, "", nil, nil)
		return err
	})
}

// awaitMax is how long anything may take once all is mended, by the simulated clock.
const awaitMax = 20 * time.Minute

// await tries until f gives no error.
func (c *cluster) await(what string, f func() error) {
	c.t.Helper()
	said := ""
	for begin := time.Now(); ; time.Sleep(2 * time.Second) {
		err := f()
		if err == nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			c.log.say("waiting for %s: %v", what, err)
		}
		if time.Since(begin) > awaitMax {
			c.log.say("given up: %s: %v", what, err)
			c.t.Fatalf("%s does not come: %v", what, err)
		}
	}
}

func (c *cluster) sleep(most time.Duration) {
	time.Sleep(time.Duration(c.rng.Int64N(int64(most))))
}

// step does one thing to the cluster that loses nothing of what was promised to be safe.
func (c *cluster) step(cl *client) {
	s := c.nodes[c.rng.IntN(len(c.nodes))]
	switch dice := c.rng.IntN(100); {
	case s.life == nil:
		c.log.say("%s starts", s.machine.name)
		s.start()
	case dice < 15:
		c.log.say("%s crashes", s.machine.name)
		s.crash(false)
	case dice < 30:
		c.log.say("%s loses power", s.machine.name)
		s.crash(true)
	case dice < 37:
		c.blackout(0)
	case dice < 50:
		c.partition()
	case dice < 55:
		c.cutPlanner()
	case dice < 60:
		c.log.say("etcd's connections break")
		c.restartEtcd()
	case dice < 68:
		c.log.say("the network is whole")
		c.nw.heal()
	case dice < 76:
		c.hide(s)
	case dice < 84:
		c.split(cl, s)
	case dice < 92:
		c.weigh(cl, s)
	default:
		c.spoil(s)
	}
	if c.rng.IntN(40) == 0 {
		c.blackout(1 + c.rng.IntN(9))
	}
	c.sleep(10 * time.Second)
}

// blackout cuts the power of all nodes at once, for hours.
func (c *cluster) blackout(hours int) {
	c.log.say("all lose power, for %d hours", hours)
	for _, s := range c.nodes {
		if s.life != nil {
			s.crash(true)
		}
	}
	c.dark.Store(hours > 0)
	time.Sleep(time.Duration(hours) * time.Hour)
	c.dark.Store(false)
	for _, s := range c.nodes {
		s.start()
	}
}

// restartEtcd breaks every connection to etcd, as its restart does; what it holds is durable.
func (c *cluster) restartEtcd() {
	c.stopEtcd()
	c.etcdHost.die()
	c.etcdHost = c.nw.host(etcdHost)
	c.stopEtcd = c.etcd.serve(c.etcdHost, etcdPort)
}

// cutPlanner cuts the elected planner off from etcd, but from no other node: the next one is elected while it still plans.
func (c *cluster) cutPlanner() {
	name := c.etcd.first("elect/planner/")
	c.log.say("%q, whose planner is elected, is cut off from etcd", name)
	if c.rng.IntN(2) == 0 {
		c.nw.cut(name, etcdHost)
	}
	c.nw.cut(etcdHost, name)
}

// hide takes a drive's directory away for a while: its disk is not there. Or it is back.
func (c *cluster) hide(s *server) {
	path := s.machine.paths[c.rng.IntN(len(s.machine.paths))]
	if s.machine.isHidden(path) {
		c.log.say("%s is back", path)
		c.must(s.machine.show(path))
		return
	}
	c.log.say("%s is away", path)
	c.must(s.machine.hide(path))
}

// split has a range split where a key begins.
func (c *cluster) split(cl *client, s *server) {
	key := fmt.Sprintf("%c/key%d", 'a'+rune(c.rng.IntN(3)), c.rng.IntN(keyCount))
	c.log.say("the range of %s is to split there", key)
	c.order(cl, s, "ranges/split", adminapi.SplitRequest{Bucket: bucket, Key: key})
}

// weigh gives a drive another weight: slots move.
func (c *cluster) weigh(cl *client, s *server) {
	path := s.machine.paths[c.rng.IntN(len(s.machine.paths))]
	weight := float64(driveBytes) / (1 << 40) * float64(1+c.rng.IntN(8)) / 4
	c.log.say("%s weighs %g", path, weight)
	for id, d := range c.store.Map().Drives {
		if d.Path == path && d.State != placement.DriveOut {
			c.order(cl, s, "drives/weight", adminapi.DriveRequest{Drive: id.String(), Weight: weight})
		}
	}
}

// order asks for something in the background: it may take long, and may be refused.
func (c *cluster) order(cl *client, s *server, path string, what any) {
	name := s.machine.name
	c.ending.Go(func() {
		if _, err := admin[any](cl, name, "POST", path, what); err != nil {
			c.log.say("%s by %s: %v", path, name, err)
		}
	})
}

// lose takes as many drives for good as the cluster promises to outlive, or fewer: wiped, rotten, or away for longer than is waited for.
func (c *cluster) lose(_ *client, l *load) {
	var all []func() (*machine, string)
	for _, s := range c.nodes {
		for _, path := range s.machine.paths {
			all = append(all, func() (*machine, string) { return s.machine, path })
		}
	}
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, pick := range all[:1+c.rng.IntN(c.shape.losses())] {
		m, path := pick()
		switch c.rng.IntN(4) {
		case 0:
			c.log.say("%s is empty", path)
			c.must(m.wipe(path))
		case 1:
			n, err := m.rot(path)
			c.must(err)
			c.rotten = true
			c.log.say("%s has %d wrong bytes", path, n)
		case 2:
			c.log.say("%s lies", path)
			m.set(path, fault{lies: 10})
		default:
			c.log.say("%s is away for long", path)
			c.must(m.hide(path))
			l.easy.Store(true)
			c.sleep(2 * outAfter)
			l.easy.Store(false)
		}
	}
	c.sleep(20 * time.Second)
}

// partition cuts hosts apart: in two camps, or one way between two.
func (c *cluster) partition() {
	hosts := c.hosts()
	if c.rng.IntN(3) == 0 {
		c.rng.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
		c.log.say("nothing arrives from %s at %s", hosts[0], hosts[1])
		c.nw.cut(hosts[0], hosts[1])
		return
	}
	var camps [2][]string
	for _, h := range hosts {
		i := c.rng.IntN(2)
		camps[i] = append(camps[i], h)
	}
	c.log.say("%v and %v are cut apart", camps[0], camps[1])
	for _, a := range camps[0] {
		for _, b := range camps[1] {
			c.nw.cut(a, b)
			c.nw.cut(b, a)
		}
	}
}

// spoil has a drive behave badly, or well again.
func (c *cluster) spoil(s *server) {
	path := s.machine.paths[c.rng.IntN(len(s.machine.paths))]
	f := [...]fault{{}, {slow: 200 * time.Millisecond}, {slow: 5 * time.Second}, {fails: true}}[c.rng.IntN(4)]
	c.log.say("%s: slow %v, fails %v", path, f.slow, f.fails)
	s.machine.set(path, f)
}

// heal mends all that is broken. A drive that was given up meanwhile is wiped, as an operator does, and becomes a new one.
func (c *cluster) heal() {
	c.log.say("healing")
	c.nw.heal()
	for _, s := range c.nodes {
		for _, path := range s.machine.paths {
			s.machine.set(path, fault{})
			if s.machine.isHidden(path) {
				c.must(s.machine.show(path))
			}
		}
		if s.life == nil {
			s.start()
		}
	}
}

// renew wipes the drives that were given up.
func (c *cluster) renew() {
	up := map[string]bool{}
	m := c.store.Map()
	for _, d := range m.Drives {
		up[d.Path] = up[d.Path] || d.State != placement.DriveOut
	}
	for _, s := range c.nodes {
		for _, path := range s.machine.paths {
			if !up[path] && !s.machine.renewed[path] {
				c.log.say("%s was given up, and is emptied", path)
				c.must(s.machine.wipe(path))
				s.machine.renewed[path] = true
			}
			if up[path] {
				delete(s.machine.renewed, path)
			}
		}
	}
}

// readAll reads every key by every node: all know the same.
func (c *cluster) readAll(cl *client, l *load) {
	for i, s := range c.nodes {
		for _, key := range slices.Concat(l.keys, l.more) {
			c.await(fmt.Sprintf("%s by %s", key, s.machine.name), func() error {
				call := l.h.now()
				out, err := l.read(cl, s.machine.name, key)
				if err == nil {
					l.h.note(clients+i, input{kind: get, key: key}, call, out)
				}
				return err
			})
		}
	}
}
