package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	refuseWithin = 12 * time.Second // a node that is cut off answers 503 by then
	serveWithin  = 10 * time.Second // a majority serves again by then
	joinWithin   = 40 * time.Second // after the network is whole, every node serves
)

// partition is one fault of the network, and who goes on during it.
type partition struct {
	name   string
	cut    func()
	serve  []int // indexes of the nodes that go on
	refuse []int // of those that refuse
	halves bool  // nobody has enough drives for a blob, but one side may have most of a range's replicas
}

// split are four nodes with a network between them, under clients whose history is recorded.
type split struct {
	*fleet
	net *network
	rng *rand.Rand
	reg *registers
}

func startSplit(t *testing.T) *split {
	t.Helper()
	p := &split{net: newNetwork(t, 4), rng: random(t)}
	p.fleet = newFleetOn(p.net, 2, "--ec", "4+2")
	p.run(p.nodes...)
	must(t, p.agents(10*time.Second).within(20*time.Second, func(c *s3) error { return c.makeBucket("split") }))
	for i, s := range p.nodes { // whichever side it is on, it has something to be asked for
		must(t, s.client().put("split", before(i), content(uint64(i), 100_000)))
	}
	p.reg = startRegisters(t, "split", 8, func() []*s3 { return p.agents(15 * time.Second).clients }, p.rng)
	return p
}

func before(node int) string { return fmt.Sprintf("before/%d", node) }

// leader is the index of the node that leads: "range", "etcd" or "planner".
func (f *fleet) leader(of string) (index int) {
	f.t.Helper()
	eventually(f.t, 30*time.Second, "a leader: "+of, func() error {
		st, err := f.live()[0].status()
		if err != nil {
			return err
		}
		name := ""
		switch of {
		case "range":
			for _, d := range st.Drives {
				if len(st.Ranges) > 0 && d.ID == st.Ranges[0].Leader {
					name = d.Node
				}
			}
		case "etcd":
			for _, m := range st.Etcd {
				if m.Leader {
					name = m.Node
				}
			}
		case "planner":
			for _, n := range st.Nodes {
				if n.Planner {
					name = n.Name
				}
			}
		}
		if index = slices.IndexFunc(f.nodes, func(s *server) bool { return s.nodeName() == name }); index < 0 {
			return fmt.Errorf("none in %+v, %+v", st.Ranges, st.Etcd)
		}
		return nil
	})
	return index
}

// others are all but some.
func others(n int, some ...int) (rest []int) {
	for i := range n {
		if !slices.Contains(some, i) {
			rest = append(rest, i)
		}
	}
	return rest
}

// hostsOf are the network's numbers of nodes.
func hostsOf(nodes []int) (hosts []int) {
	for _, i := range nodes {
		hosts = append(hosts, i+1)
	}
	return hosts
}

func (p *split) alone(node int) partition {
	return partition{
		name: fmt.Sprintf("%s alone", p.nodes[node].nodeName()), serve: others(4, node), refuse: []int{node},
		cut: func() { p.net.part(node + 1) },
	}
}

func (p *split) oneWay(node int, leaving bool) partition {
	what := map[bool]string{true: "nobody hears %s", false: "%s hears nobody"}[leaving]
	return partition{
		name: fmt.Sprintf(what, p.nodes[node].nodeName()), serve: others(4, node), refuse: []int{node},
		cut: func() { p.net.partOneWay([]int{node + 1}, leaving, !leaving) },
	}
}

func (p *split) halves() partition {
	side := p.rng.Perm(4)[:2]
	return partition{
		name: fmt.Sprintf("%v apart from the others", side), refuse: others(4), halves: true,
		cut: func() { p.net.part(hostsOf(side)...) },
	}
}

// play goes through one partition: who is cut off refuses in time, who is not serves in time, and then all serve again.
func (p *split) play(part partition) {
	p.t.Helper()
	p.reg.nextGroup()
	began := time.Now()
	part.cut()
	var wg sync.WaitGroup
	for _, i := range part.serve {
		wg.Go(func() { p.awaitService(i, began, serveWithin, part.name) })
	}
	for _, i := range part.refuse {
		wg.Go(func() { p.awaitRefusal(i, part) })
	}
	wg.Wait()
	p.net.heal()
	p.reg.nextGroup()
	p.awaitAll(time.Now(), "after "+part.name)
	p.t.Logf("%s: over after %s", part.name, time.Since(began).Round(time.Millisecond))
}

// awaitAll wants all nodes to serve soon after the network was whole.
func (p *split) awaitAll(healed time.Time, what string) {
	p.t.Helper()
	var wg sync.WaitGroup
	for i := range p.nodes {
		wg.Go(func() { p.awaitService(i, healed, joinWithin, what) })
	}
	wg.Wait()
}

// awaitService wants a node to take and give objects, small and large, before a limit.
func (p *split) awaitService(node int, began time.Time, limit time.Duration, what string) {
	limit = inTime(limit)
	c := p.nodes[node].client()
	c.http.Timeout = limit
	body := content(7, 100_000)
	var err error
	for time.Since(began) < 3*limit { // longer than allowed, to tell by how much
		key := fmt.Sprintf("during/%d", node)
		if err = errors.Join(c.put("split", key, body), c.put("split", key+"/small", body[:100])); err == nil {
			if _, err = c.get("split", before((node+1)%4)); err == nil {
				break
			}
		}
		await(50 * time.Millisecond)
	}
	took := time.Since(began).Round(time.Millisecond)
	p.t.Logf("%s: %s serves after %s", what, p.nodes[node].nodeName(), took)
	if err != nil || took > limit {
		p.t.Errorf("%s: %s serves after %s, want %s: %v", what, p.nodes[node].nodeName(), took, limit, err)
	}
}

// awaitRefusal wants each request to a node that is cut off to be answered in time, and blobs to be refused.
func (p *split) awaitRefusal(node int, part partition) {
	c := p.nodes[node].client()
	c.http.Timeout = 3 * refuseWithin
	requests := map[string]func() error{
		"put":       func() error { return c.put("split", "cut off", content(1, 100_000)) },
		"small put": func() error { return c.put("split", "cut off/small", content(1, 100)) },
		"get":       func() error { _, err := c.get("split", before(node)); return err },
		"list":      func() error { _, err := c.list("split", "before/"); return err },
	}
	var wg sync.WaitGroup
	for name, do := range requests {
		wg.Go(func() {
			for round := range 2 { // while the others still count as there, and when they do no more
				began := time.Now()
				err := do()
				took := time.Since(began).Round(time.Millisecond)
				p.t.Logf("%s: %s of %s: %s: %v", part.name, name, p.nodes[node].nodeName(), took, err)
				late := round > 0 && !(part.halves && name != "put")
				if took > inTime(refuseWithin) || (err != nil && status(err) != 503) || (late && err == nil) {
					p.t.Errorf("%s: %s of %s took %s: %v; want 503 within %s", part.name, name, p.nodes[node].nodeName(), took, err, inTime(refuseWithin))
				}
				if err == nil {
					await(refuseWithin - time.Since(began))
				}
			}
		})
	}
	wg.Wait()
}

// end wants everything whole and the history explained.
func (p *split) end() {
	p.t.Helper()
	p.waitHealed(2 * time.Minute)
	p.reg.check()
}

// A node that is cut off refuses, and the others go on, whatever it led; nothing that anybody saw contradicts one order of all
// that was done.
func TestPartitionOneNode(t *testing.T) {
	t.Parallel()
	p := startSplit(t)
	p.play(p.alone(p.leader("range")))
	for range count(0, 10) {
		p.play(p.alone(p.leader("etcd")))
		p.play(p.alone(p.leader("planner")))
		p.play(p.alone(p.leader("range")))
	}
	p.end()
}

// Two nodes on each side: nobody has the drives for a blob, so everybody refuses; then all is well.
func TestPartitionHalves(t *testing.T) {
	t.Parallel()
	p := startSplit(t)
	for range count(1, 15) {
		p.play(p.halves())
	}
	p.end()
}

// A link that loses all that goes one way is as good as cut.
func TestPartitionOneWay(t *testing.T) {
	t.Parallel()
	p := startSplit(t)
	for range count(1, 20) {
		p.play(p.oneWay(p.leader("range"), p.rng.IntN(2) == 0))
	}
	p.end()
}

// Links that come and go, one way or both, for moments: nothing is lost or contradicted, and everything is well soon after.
func TestFlappingLinks(t *testing.T) {
	t.Parallel()
	p := startSplit(t)
	for range count(1, 20) {
		p.reg.nextGroup()
		for end := time.Now().Add(time.Duration(count(10, 60)) * time.Second); time.Now().Before(end); {
			from, to := p.rng.IntN(4), p.rng.IntN(3)
			if to >= from {
				to++
			}
			p.net.set(from+1, to+1, p.rng.IntN(2) == 0)
			await(time.Duration(50+p.rng.IntN(500)) * time.Millisecond)
		}
		p.net.heal()
		p.awaitAll(time.Now(), "after flapping")
	}
	p.end()
}
