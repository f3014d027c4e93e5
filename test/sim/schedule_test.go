package sim

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/placement/plan"
)

// shapes are the clusters that schedules run on.
var shapes = []shape{
	{3, 2, plan.Profile{K: 2, M: 1}},
	{4, 1, plan.Profile{K: 2, M: 2}},
	{3, 2, plan.Profile{K: 4, M: 2}},
	{5, 1, plan.Profile{K: 3, M: 2}},
}

// runSchedule is all that happens to one cluster.
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
	defer c.close()
	log.say("all nodes serve")
	cl := c.client()
	defer cl.close()
	c.makeBucket(cl)
	l := startLoad(c, cl, seed)
	for range 6 {
		c.step()
	}
	log.say("healing")
	c.heal()
	l.end()
	log.say("answered: %v", l.h.acked)
	c.settle(cl)
	c.readAll(l)
	for _, err := range l.wrong {
		t.Error(err)
	}
	if err := l.h.check(); err != nil {
		t.Error(err)
	}
}

func (c *cluster) makeBucket(cl *client) {
	c.await("a bucket", func() error {
		_, _, err := cl.do(c.nodes[0].machine.name, "PUT", "/"+bucket, "", nil, nil)
		return err
	})
}

// awaitMax is how long anything may take once all is mended, by the simulated clock.
const awaitMax = 30 * time.Minute

// await tries until f gives no error.
func (c *cluster) await(what string, f func() error) {
	c.t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Second) {
		err := f()
		if err == nil {
			return
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

// step does one thing to the cluster.
func (c *cluster) step() {
	s := c.nodes[c.rng.IntN(len(c.nodes))]
	switch dice := c.rng.IntN(10); {
	case s.life == nil:
		c.log.say("%s starts", s.machine.name)
		s.start()
	case dice < 2:
		c.log.say("%s crashes", s.machine.name)
		s.crash(false)
	case dice < 5:
		c.log.say("%s loses power", s.machine.name)
		s.crash(true)
	case dice < 7:
		c.partition()
	case dice < 8:
		c.log.say("the network is whole")
		c.nw.heal()
	default:
		c.spoil(s)
	}
	c.sleep(8 * time.Second)
}

// partition cuts hosts apart: in two camps, or one way between two.
func (c *cluster) partition() {
	hosts := []string{etcdHost}
	for _, s := range c.nodes {
		hosts = append(hosts, s.machine.name)
	}
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
	f := [...]fault{{}, {slow: 200 * time.Millisecond}, {slow: 5 * time.Second}, {fails: true}, {lies: 20}}[c.rng.IntN(5)]
	c.log.say("%s: slow %v, fails %v, lies once in %d", path, f.slow, f.fails, f.lies)
	s.machine.set(path, f)
}

// heal mends all that is broken.
func (c *cluster) heal() {
	c.nw.heal()
	for _, s := range c.nodes {
		for _, path := range s.machine.paths {
			s.machine.set(path, fault{})
		}
		if s.life == nil {
			s.start()
		}
	}
}

// readAll reads every key by every node: all know the same.
func (c *cluster) readAll(l *load) {
	for i, s := range c.nodes {
		for _, key := range l.keys {
			c.await(fmt.Sprintf("%s by %s", key, s.machine.name), func() error {
				call := l.h.now()
				out, err := l.read(s.machine.name, key)
				if err == nil {
					l.h.note(clients+i, input{kind: get, key: key}, call, out)
				}
				return err
			})
		}
	}
}
