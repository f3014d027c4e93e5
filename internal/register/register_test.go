package register

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"
)

// store is keys as a register has them, but that it may forget a write that it acknowledged, or leave clients without an answer.
type store struct {
	forgets bool // of twenty writes, one
	silent  int  // of a hundred requests, so many have no answer: they act at once, later, or never

	mu     sync.Mutex
	rng    *rand.Rand
	bodies map[string]string
	late   []Op
}

func (s *store) perform(op Op) Out {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.late) > 0 && s.rng.IntN(10) == 0 {
		s.act(s.late[0])
		s.late = s.late[1:]
	}
	if s.rng.IntN(100) >= s.silent {
		return s.act(op)
	}
	switch s.rng.IntN(3) {
	case 0:
		s.act(op)
	case 1:
		s.late = append(s.late, op)
	}
	return Out{Unknown: true}
}

func (s *store) act(op Op) Out {
	now := s.bodies[op.Key]
	switch {
	case op.Kind == Get:
		return Out{Body: now}
	case op.Kind == Delete:
		op.Body = ""
	case op.Kind == PutIfAbsent && now != "", op.Kind == PutIfMatch && now != op.Expect:
		return Out{Refused: true}
	}
	if !s.forgets || s.rng.IntN(20) > 0 {
		s.bodies[op.Key] = op.Body
	}
	return Out{}
}

// The check tells a register from what forgets; many requests without an answer do not keep it from seeing that all is well.
func TestCheckTellsThemApart(t *testing.T) {
	const operations = 500
	for _, c := range []struct {
		forgets bool
		silent  int
	}{{false, 0}, {true, 0}, {false, 5}, {false, 10}} {
		h, s := NewHistory(), &store{forgets: c.forgets, silent: c.silent, rng: rand.New(rand.NewPCG(1, uint64(c.silent))), bodies: map[string]string{}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var clients sync.WaitGroup
		for id := range 12 {
			clients.Go(func() {
				h.Client(ctx, id, 1, func(op Op) Out {
					if h.Len() > operations {
						cancel()
					}
					return s.perform(op)
				})
			})
		}
		clients.Wait()
		if !c.forgets {
			h.Check(t, operations)
		} else if res := h.judge(); res != porcupine.Illegal {
			t.Errorf("what forgets is %v", res)
		}
	}
}

// What may have been done without an answer explains what it can explain, and nothing else.
func TestCheckOfUnknownOutcomes(t *testing.T) {
	op := func(from, to int64, in Op, out Out) porcupine.Operation {
		in.Key = "k"
		return porcupine.Operation{Input: in, Call: from, Output: out, Return: to}
	}
	put, lost := op(1, 2, Op{Kind: Put, Body: "a"}, Out{}), op(3, 4, Op{Kind: Put, Body: "b"}, Out{Unknown: true})
	gone := op(3, 4, Op{Kind: Delete, Body: "c"}, Out{Unknown: true})
	get := func(from int64, body string) porcupine.Operation {
		return op(from, from+1, Op{Kind: Get}, Out{Body: body})
	}
	refused := op(5, 6, Op{Kind: PutIfMatch, Body: "d", Expect: "a"}, Out{Refused: true})
	for _, c := range []struct {
		name string
		ops  []porcupine.Operation
		want porcupine.CheckResult
	}{
		{"never", []porcupine.Operation{put, lost, get(5, "a"), get(7, "a")}, porcupine.Ok},
		{"seen", []porcupine.Operation{put, lost, get(5, "a"), get(7, "b")}, porcupine.Ok},
		{"seen and gone again", []porcupine.Operation{put, lost, get(5, "b"), get(7, "a")}, porcupine.Illegal},
		{"seen before it was asked for", []porcupine.Operation{put, get(1, "b"), lost}, porcupine.Illegal},
		{"deleted", []porcupine.Operation{put, gone, get(5, "")}, porcupine.Ok},
		{"deleted by nobody", []porcupine.Operation{put, lost, get(5, "")}, porcupine.Illegal},
		{"only a condition saw it", []porcupine.Operation{put, lost, refused}, porcupine.Ok},
		{"a condition that nothing explains", []porcupine.Operation{put, refused}, porcupine.Illegal},
	} {
		if got := (&History{ops: c.ops}).judge(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
