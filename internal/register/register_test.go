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
	forgets bool // of a hundred writes, one
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
	if !s.forgets || s.rng.IntN(100) > 0 {
		s.bodies[op.Key] = op.Body
	}
	return Out{}
}

// The check tells a register from what forgets, also where many requests had no answer.
func TestCheckTellsThemApart(t *testing.T) {
	const operations = 2000
	for _, silent := range []int{0, 5, 15} {
		for _, forgets := range []bool{false, true} {
			h, s := NewHistory(), &store{forgets: forgets, silent: silent, rng: rand.New(rand.NewPCG(1, uint64(silent))), bodies: map[string]string{}}
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
			if !forgets {
				h.Check(t, operations)
				continue
			}
			if res := h.judge(); res != porcupine.Illegal {
				t.Errorf("what forgets and leaves %d of 100 without an answer is %v", silent, res)
			}
		}
	}
}
