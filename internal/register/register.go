// Package register is for tests of linearizability: clients that treat keys as registers, the history of what they did and were answered,
// and the check whether one register could have answered so.
package register

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what a client does. A body is "" where the key is absent.
type Kind int

const (
	Get Kind = iota
	Put
	Delete
	PutIfAbsent
	PutIfMatch // if the body is Op.Expect

	kinds = 5
)

// Op is one request.
type Op struct {
	Kind   Kind
	Key    string
	Body   string
	Expect string
}

// Out is the answer to one.
type Out struct {
	Body    string
	Refused bool // its condition did not hold
	Unknown bool // it may act at any time from its start on, or never
}

// model is one key: what is promised of it.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(Op).Key
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
		now, in, out := state.(string), input.(Op), output.(Out)
		switch in.Kind {
		case Get:
			return out.Unknown || out.Body == now, now
		case Put:
			return true, in.Body
		case Delete:
			return true, ""
		}
		holds := now == "" && in.Kind == PutIfAbsent || now == in.Expect && in.Kind == PutIfMatch
		if !out.Unknown && out.Refused == holds {
			return false, now
		}
		if holds {
			return true, in.Body
		}
		return true, now
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// History is what clients did. It is safe for concurrent use.
type History struct {
	began time.Time

	mu  sync.Mutex
	ops []porcupine.Operation // guarded by mu
}

// NewHistory is one in which nothing happened yet.
func NewHistory() *History { return &History{began: time.Now()} }

// Len is how many operations have ended.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

func (h *History) now() int64 { return int64(time.Since(h.began)) }

func (h *History) add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// keys is how many the clients of a history share.
const keys = 8

// Client does one operation after another until ctx ends: what they are follows from seed and id, which is the client's alone.
func (h *History) Client(ctx context.Context, id int, seed uint64, perform func(Op) Out) {
	rng := rand.New(rand.NewPCG(seed, uint64(id)))
	last := map[string]string{}
	for n := 0; ctx.Err() == nil; n++ {
		in := Op{Kind: Kind(rng.IntN(kinds)), Key: fmt.Sprintf("key-%d", rng.IntN(keys)), Body: fmt.Sprintf("%d.%d", id, n)}
		in.Expect = last[in.Key]
		if in.Kind == PutIfMatch && in.Expect == "" {
			in.Kind = Get
		}
		op := porcupine.Operation{ClientId: id, Input: in, Call: h.now()}
		out := perform(in)
		op.Output, op.Return = out, h.now()
		if out.Unknown {
			op.Return = math.MaxInt64 // it may still act
		}
		if in.Kind == Get {
			last[in.Key] = out.Body
		}
		h.add(op)
	}
}

// Check fails the test if the history is not linearizable, or has fewer operations than least. No client may be under way.
func (h *History) Check(t testing.TB, least int) {
	t.Helper()
	unknown := 0
	for _, o := range h.ops {
		if o.Output.(Out).Unknown {
			unknown++
		}
	}
	t.Logf("%d operations, %d unknown", len(h.ops), unknown)
	if len(h.ops) < least {
		t.Fatalf("only %d operations", len(h.ops))
	}
	if res := h.judge(); res != porcupine.Ok {
		t.Fatalf("the history is not linearizable: %v", res)
	}
}
