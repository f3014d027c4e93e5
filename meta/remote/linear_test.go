package remote

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// The operations of the history. A body is "" where the key is absent.
type opKind int

const (
	opGet opKind = iota
	opPut
	opDelete
	opPutIfAbsent
	opPutIfMatch
)

type linearOp struct {
	kind   opKind
	key    string
	body   string
	expect string // opPutIfMatch
}

type linearOut struct {
	body    string
	refused bool
	unknown bool
}

// keyModel is one key: what the records promise of it.
var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(linearOp).key
			byKey[key] = append(byKey[key], o)
		}
		var all [][]porcupine.Operation
		for _, part := range byKey {
			all = append(all, part)
		}
		return all
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(string), input.(linearOp), output.(linearOut)
		switch in.kind {
		case opGet:
			return out.unknown || out.body == now, now
		case opPut:
			return true, in.body
		case opDelete:
			return true, ""
		}
		holds := now == "" && in.kind == opPutIfAbsent || now == in.expect && in.kind == opPutIfMatch
		if !out.unknown && out.refused == holds {
			return false, now
		}
		if holds {
			return true, in.body
		}
		return true, now
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

var soak = flag.Bool("soak", false, "full counts")

// Clients at all nodes, with connections that are cut, held one way or both, and healed at random, and nodes that are
// stopped and started.
func TestLinearizableOverNodesWithFaults(t *testing.T) {
	n := uint64(2)
	if *soak {
		n = 50
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testLinearizable(t, seed) })
	}
}

// history is what clients did.
type history struct {
	begin time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (h *history) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

func (h *history) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

func testLinearizable(t *testing.T, seed uint64) {
	c := newCluster(t, clusterConfig{
		nodes: 3, drives: 1, gateways: 1, seed: seed,
		opt:   meta.Options{CommandTimeout: 3 * time.Second, AttemptTimeout: 500 * time.Millisecond, LogBytes: 1 << 20},
		peers: Options{RetryAfter: 50 * time.Millisecond, PingEvery: 50 * time.Millisecond, SilenceMax: 300 * time.Millisecond},
	})
	h := &history{begin: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() { c.client(ctx, h, i, seed) })
	}
	load := func(more int) { // has so many operations end
		want := h.count() + more
		poll.True(t, time.Minute, "operations", func() bool { return h.count() >= want })
	}
	faults := 6
	if *soak {
		faults = 20
	}
	for range faults {
		load(50)
		c.fault()
	}
	c.links.healAll()
	load(150)
	cancel()
	clients.Wait()
	unknown := 0
	for _, o := range h.ops {
		if o.Output.(linearOut).unknown {
			unknown++
		}
	}
	t.Logf("%d operations, %d unknown", len(h.ops), unknown)
	if res := porcupine.CheckOperationsTimeout(keyModel, h.ops, 60*time.Second); res != porcupine.Ok {
		t.Fatalf("history is not linearizable: %v", res)
	}
}

// client does operations at one node until ctx ends.
func (c *cluster) client(ctx context.Context, h *history, i int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	n := c.nodes[i%len(c.nodes)]
	last := map[string]string{}
	for k := 0; ctx.Err() == nil; k++ {
		in := linearOp{kind: opKind(rng.IntN(5)), key: fmt.Sprintf("key-%d", rng.IntN(8)), body: fmt.Sprintf("%d.%d", i, k)}
		in.expect = last[in.key]
		if in.kind == opPutIfMatch && in.expect == "" {
			in.kind = opGet
		}
		op := porcupine.Operation{ClientId: i, Input: in, Call: h.now()}
		out := n.perform(in)
		op.Output, op.Return = out, h.now()
		if out.unknown {
			op.Return = math.MaxInt64 // it may still act
		}
		if in.kind == opGet {
			last[in.key] = out.body
		}
		h.add(op)
	}
}

// perform does one operation.
func (n *testNode) perform(in linearOp) (out linearOut) {
	ctx, records := context.Background(), n.records
	var err error
	switch in.kind {
	case opGet:
		var body []byte
		_, body, err = records.Get(ctx, bucket, in.key, meta.GetOptions{Inline: true})
		out.body = string(body)
	case opDelete:
		err = records.DeleteVersions(ctx, 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{in.key}})
	default:
		sum := md5.Sum([]byte(in.body))
		p := putOf(in.key, in.body)
		p.Version.Md5 = sum[:]
		switch in.kind {
		case opPutIfAbsent:
			p.Condition = &metapb.Condition{IfNoneMatch: "*"}
		case opPutIfMatch:
			was := md5.Sum([]byte(in.expect))
			p.Condition = &metapb.Condition{IfMatch: hex.EncodeToString(was[:])}
		}
		_, err = records.PutVersion(ctx, 0, p)
	}
	switch {
	case err == nil, errors.Is(err, meta.ErrNoSuchKey) && in.kind == opGet:
	case errors.Is(err, meta.ErrPrecondition), errors.Is(err, meta.ErrNoSuchKey):
		out.refused = true
	case errors.Is(err, meta.ErrUnavailable):
		out.unknown = true
	default:
		panic(fmt.Sprintf("%+v: %v", in, err))
	}
	return out
}

// fault does one random harm, or mends all.
func (c *cluster) fault() {
	a, b := c.rng.IntN(len(c.nodes)), c.rng.IntN(len(c.nodes))
	if a == b {
		c.links.healAll()
		return
	}
	from, to := c.nodes[a].name, c.nodes[b].name
	switch c.rng.IntN(4) {
	case 0:
		c.links.cut(from, to)
	case 1:
		c.links.hold(from, to)
	case 2:
		c.links.hold(from, to)
		c.links.hold(to, from)
	case 3: // one node against all, as when its cable is pulled
		for _, n := range c.nodes {
			if n.name != from {
				c.links.cut(from, n.name)
			}
		}
	}
}
