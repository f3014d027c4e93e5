package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
)

// Scenes bring about what chance seldom does: many requests in the very moments in which one promise is all that stands between a
// client and a wrong answer. Each begins with a cluster at full strength.

// sceneClient is the first client number of the scenes' requests in a history.
const sceneClient = 100

// site is where a drive is.
type site struct {
	machine *machine
	path    string
}

func (s site) String() string { return s.path }

// siteOf finds a drive.
func (c *cluster) siteOf(id ids.Drive) site {
	if d := c.store.Map().Drives[id]; d != nil {
		for _, s := range c.nodes {
			if slices.Contains(s.machine.paths, d.Path) {
				return site{s.machine, d.Path}
			}
		}
	}
	c.t.Fatalf("no machine has drive %s", id)
	return site{}
}

// Sizes of the scenes.
const (
	volleyPuts = 6
	syncsTake  = 30 * time.Millisecond // at most: what is acknowledged too early is not on the drives yet
	usurpFor   = 3 * time.Second
	usurpEvery = 20 * time.Millisecond
	usurpWaits = 2 * time.Second
	lagFor     = 12 * time.Second // less than deadAfter
	lagPuts    = 3                // at a time
)

// press has drives of one placement group take no chunks, up to one more than it can do without, while clients write; each
// acknowledgement is checked against what the drives hold at its very moment (I2). Then all power fails, and as many more drives are lost as
// were promised to be bearable: of what was rotten before nothing may be left, it would be more.
func (c *cluster) press(cl *client, l *load) {
	c.unearth(cl)
	bad, rest := c.pickGroup()
	f := [...]fault{{fails: true, within: chunksWithin}, {slow: time.Minute, within: chunksWithin}}[c.rng.IntN(2)]
	for _, s := range c.allSites() {
		s.machine.set(s.path, fault{syncs: syncsTake})
	}
	for _, s := range bad {
		s.machine.set(s.path, f)
	}
	c.log.say("%v take no chunks: slow %v, fails %v", bad, f.slow, f.fails)
	acked := c.volley(cl, l)
	if l.report(); c.t.Failed() {
		c.t.FailNow() // what follows would wait for what cannot come
	}
	lost := rest[:min(max(0, c.shape.profile.M-len(bad)), c.shape.losses(), len(rest))]
	c.log.say("%d puts are acknowledged; all lose power, and %v are empty", acked, lost)
	for _, s := range c.nodes {
		s.crash(true)
	}
	for _, s := range lost {
		c.must(s.machine.wipe(s.path))
	}
	c.heal()
}

// pickGroup chooses drives of a placement group that are to be bad, and the others.
func (c *cluster) pickGroup() (bad, rest []site) {
	for _, pool := range c.store.Map().Pools {
		for _, slot := range pool.PGs[c.rng.IntN(len(pool.PGs))].Slots {
			bad = append(bad, c.siteOf(slot.Drive))
		}
	}
	c.rng.Shuffle(len(bad), func(i, j int) { bad[i], bad[j] = bad[j], bad[i] })
	count := c.shape.profile.M + 1
	if c.rng.IntN(2) == 0 {
		count = c.rng.IntN(count)
	}
	bad = bad[:count]
	for _, s := range c.allSites() {
		if !slices.Contains(bad, s) {
			rest = append(rest, s)
		}
	}
	c.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return bad, rest
}

func (c *cluster) allSites() (all []site) {
	for _, s := range c.nodes {
		for _, path := range s.machine.paths {
			all = append(all, site{s.machine, path})
		}
	}
	return all
}

// volley puts several objects at once, and returns how many were acknowledged when all are answered. Each is on as many drives as
// was promised when its answer comes.
func (c *cluster) volley(cl *client, l *load) (acked int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range volleyPuts {
		name, key := c.nodes[i%len(c.nodes)].machine.name, l.freshKey()
		wg.Go(func() {
			if l.change(cl, sceneClient+i, name, input{kind: put, key: key}, onAllSlots) != nil {
				return
			}
			if err := c.durable(key); err != nil {
				l.fail(fmt.Errorf("put of %s by %s is acknowledged: %w", key, name, err))
			}
			mu.Lock()
			defer mu.Unlock()
			acked++
		})
	}
	wg.Wait()
	return acked
}

// usurp takes a range's leader away from the other replicas, but not from its clients, while others write what it leads and it is asked
// for that over and over: it must not answer from a lease that it has no more (I8).
func (c *cluster) usurp(cl *client, l *load) {
	key := l.freshKey()
	st, err := admin[adminapi.Status](cl, c.nodes[0].machine.name, "GET", "status", nil)
	c.must(err)
	leader := c.leaderOf(&st, key)
	old := leader.machine.name
	others := slices.DeleteFunc(c.hosts(), func(name string) bool { return name == old || name == etcdHost && c.rng.IntN(2) == 0 })
	hasty := cl.hasty(usurpWaits)
	_ = l.change(hasty, sceneClient, old, input{kind: put, key: key}, inRecords) // so that there is something old to read
	c.log.say("%s, which leads %s, is cut off from %v", old, key, others)
	for _, name := range others {
		c.nw.cut(old, name)
		c.nw.cut(name, old)
	}
	var wg sync.WaitGroup
	until := time.Now().Add(usurpFor)
	for i, s := range c.nodes {
		if s.machine.name != old {
			wg.Go(func() {
				for time.Now().Before(until) {
					_ = l.change(hasty, sceneClient+i, s.machine.name, input{kind: put, key: key}, inRecords)
					time.Sleep(usurpEvery)
				}
			})
		}
	}
	for i := sceneClient + len(c.nodes); time.Now().Before(until); i++ {
		wg.Go(func() { l.get(hasty, i, old, key) })
		time.Sleep(usurpEvery)
	}
	wg.Wait()
	c.nw.heal()
}

// leaderOf is where the range of a key is led.
func (c *cluster) leaderOf(st *adminapi.Status, key string) site {
	var of *adminapi.Range
	for i := range st.Ranges {
		if r := &st.Ranges[i]; r.Start <= bucket+"/"+key && (of == nil || r.Start >= of.Start) {
			of = r
		}
	}
	for id := range c.store.Map().Drives {
		if id.String() == of.Leader {
			return c.siteOf(id)
		}
	}
	c.t.Fatalf("no drive %q leads range %d", of.Leader, of.ID)
	return site{}
}

// hosts are all that can be cut apart.
func (c *cluster) hosts() []string {
	all := []string{etcdHost}
	for _, s := range c.nodes {
		all = append(all, s.machine.name)
	}
	return all
}

// lag has slots move while one node does not hear of it, and writes: a drive that knows better refuses its chunks (I5).
func (c *cluster) lag(cl *client, l *load) {
	i := c.rng.IntN(len(c.nodes))
	s, other := c.nodes[i], c.nodes[(i+1)%len(c.nodes)]
	c.log.say("%s hears nothing of etcd", s.machine.name)
	c.nw.cut(etcdHost, s.machine.name)
	c.weigh(cl, other)
	var wg sync.WaitGroup
	until := time.Now().Add(lagFor)
	for i := range lagPuts {
		wg.Go(func() {
			for time.Now().Before(until) {
				_ = l.change(cl, sceneClient+i, s.machine.name, input{kind: put, key: l.freshKey()}, onAllSlots)
				time.Sleep(time.Second)
			}
		})
	}
	wg.Wait()
	c.nw.heal()
}

// durable reports whether an object that was put once is on as many drives as an acknowledgement promises, if all power failed now (I2).
// An attempt whose record was not committed may have left chunks, too: the best counts.
func (c *cluster) durable(key string) error {
	slots := map[ids.Blob]map[uint8]bool{}
	promised := map[ids.Blob]int{}
	for _, s := range c.nodes {
		image := s.machine.durable()
		for _, path := range s.machine.paths {
			_, err := disk.Salvage(image, path, func(ch *disk.Salvaged) error {
				if h := &ch.Header; h.Object == key && len(ch.Bad) == 0 {
					if slots[h.Key.Blob] == nil {
						slots[h.Key.Blob] = map[uint8]bool{}
					}
					slots[h.Key.Blob][h.Key.Slot] = true
					promised[h.Key.Blob] = promise(h, &ch.Footer)
				}
				return nil
			})
			c.must(err)
		}
	}
	said := "no drive holds any of it"
	for id, has := range slots {
		if len(has) >= promised[id] {
			return nil
		}
		said = fmt.Sprintf("%d drives hold chunks of %s, and %d were promised", len(has), id, promised[id])
	}
	return fmt.Errorf("I2: %s", said)
}

// promise is on how many drives a blob must be when it is acknowledged: k+1, but for those of its slots that hold nothing.
func promise(h *chunk.Header, f *chunk.Footer) int {
	layout := codec.NewLayout(int64(f.BlobBytes), int(h.K), int(h.M), int(h.UnitBytes))
	return int(h.K) + min(int(h.M), 1) - (layout.N() - layout.Chunks())
}
