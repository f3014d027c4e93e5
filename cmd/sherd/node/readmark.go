package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// readPeriods finds out, without a clock, what dead blobs no open read needs (I13). A period begins with the last stamps of ranges, and then the
// number of the next read on each gateway. What died up to those stamps only reads with smaller numbers can have seen alive; when
// all of these have ended, everywhere, the period is over, and it may be reclaimed.
type readPeriods struct {
	mu    sync.Mutex
	begun []readPeriod // not over, oldest first
	over  map[ids.Range]hlc.Stamp
	asked time.Time // when the gateways were asked last
	sure  bool      // all of them answered then
}

type readPeriod struct {
	last map[ids.Range]hlc.Stamp
	next map[string]uint64 // by gateway process
}

const (
	readPeriodsMax = 8           // long reads keep more from being of use
	readsEvery     = time.Second // how often gateways are asked at most
)

// advance takes what the gateways say now, and what the ranges' last stamps were before they were asked.
func (p *readPeriods) advance(last map[ids.Range]hlc.Stamp, open map[string]object.OpenReads) {
	for i := len(p.begun) - 1; i >= 0; i-- {
		if p.begun[i].ended(open) {
			p.over = p.begun[i].last
			p.begun = p.begun[i+1:]
			break
		}
	}
	next := make(map[string]uint64, len(open))
	for process, reads := range open {
		next[process] = reads.Next
	}
	if len(p.begun) == readPeriodsMax {
		p.begun = p.begun[:readPeriodsMax-1]
	}
	p.begun = append(p.begun, readPeriod{last, next})
}

// awaited are the nodes whose reads the periods wait for.
func (p *readPeriods) awaited() (nodes []string) {
	for _, period := range p.begun {
		for process := range period.next {
			node, _, _ := strings.Cut(process, "/")
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// ended reports whether all reads that were open when the period began have ended. A process that is not there any more has ended its own.
func (p *readPeriod) ended(open map[string]object.OpenReads) bool {
	for process, next := range p.next {
		if reads, there := open[process]; there && reads.Oldest < next {
			return false
		}
	}
	return true
}

// readMark implements heal.Options.ReadMark.
func (n *Node) readMark(ctx context.Context, r ids.Range) (hlc.Stamp, bool) {
	p := &n.periods
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) >= readsEvery {
		p.sure = n.askReads(ctx)
		p.asked = time.Now()
	}
	last, ok := p.over[r]
	return last + 1, ok && p.sure
}

// askReads begins a period, and ends those that are over. False: some gateway does not answer, or nobody can say who they all are: one that
// is not in an old map may have reads open. n.periods is locked.
func (n *Node) askReads(ctx context.Context) bool {
	last := map[ids.Range]hlc.Stamp{}
	for _, r := range n.store.Map().Ranges {
		if at, err := n.records.Last(ctx, r.ID); err == nil {
			last[r.ID] = at
		}
	}
	if n.store.Sync(ctx) != nil { // after the stamps: who is not in the map then begins its reads later
		return false
	}
	open := map[string]object.OpenReads{n.process(): n.objects.OpenReads()}
	var others []string
	for name := range n.store.Map().Nodes {
		if name != n.cfg.Name && n.peers != nil {
			others = append(others, name)
		}
	}
	answers, _ := callAll[readsAnswer](ctx, n.peers, others, "GET", "/reads", nil) // who did not answer counts below
	for _, name := range others {
		if a, ok := answers[name]; ok {
			n.silent.heard(name)
			open[a.Process] = a.Reads
		} else if !n.silent.forLong(name, n.store.Map().Alive[name]) {
			return false
		}
	}
	for _, name := range n.periods.awaited() { // a node that was removed may only be cut off
		if n.store.Map().Nodes[name] == nil && name != n.cfg.Name && !n.silent.forLong(name, false) {
			return false
		}
	}
	n.periods.advance(last, open)
	return true
}

// readsAnswer is what a gateway says of its reads.
type readsAnswer struct {
	Process string           `json:"process"` // another after each start
	Reads   object.OpenReads `json:"reads"`
}

// process names this process among all gateways', its node first: see awaited.
func (n *Node) process() string { return fmt.Sprintf("%s/%d", n.cfg.Name, n.started.UnixNano()) }

const (
	// goneAfter is how long a gateway must show no sign of life, in the map or when it is asked, before it counts as one that has ended its
	// reads; readsEnd is how long it goes on with them where it knows that it shows none.
	goneAfter = 10 * time.Minute
	readsEnd  = 9 * time.Minute
)

// silentNodes remembers since when nodes show no sign of life.
type silentNodes struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func (g *silentNodes) heard(node string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.since, node)
}

// forLong reports whether a node that does not answer is dead by now; alive is what the map says.
func (g *silentNodes) forLong(node string, alive bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if alive {
		delete(g.since, node)
		return false
	}
	if g.since == nil {
		g.since = map[string]time.Time{}
	}
	if g.since[node].IsZero() {
		g.since[node] = time.Now()
	}
	return time.Since(g.since[node]) >= goneAfter
}

// askers remembers when each other node last asked for this one's reads.
type askers struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (a *askers) note(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[string]time.Time{}
	}
	a.last[node] = time.Now()
}

func (a *askers) lately(node string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.last[node]) < readsEnd
}

// readsEnded reports whether other nodes may take this gateway for dead, and reclaim what it reads: it has shown no sign of life in the map
// for long, and not all of them ask it.
func (n *Node) readsEnded() bool {
	if n.peers == nil {
		return false
	}
	lapsed := n.alive.Lapsed()
	if lapsed.IsZero() || time.Since(lapsed) < readsEnd {
		return false
	}
	for name := range n.store.Map().Nodes {
		if name != n.cfg.Name && !n.askers.lately(name) {
			return true
		}
	}
	return false
}
