package register

import (
	"context"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"
)

// store is keys as a register has them, but that it may forget a write.
type store struct {
	mu      sync.Mutex
	bodies  map[string]string
	forgets bool
}

func (s *store) perform(op Op) (out Out) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.bodies[op.Key]
	switch {
	case op.Kind == Get:
		return Out{Body: now}
	case op.Kind == Delete:
		op.Body = ""
	case op.Kind == PutIfAbsent && now != "", op.Kind == PutIfMatch && now != op.Expect:
		return Out{Refused: true}
	}
	if !s.forgets {
		s.bodies[op.Key] = op.Body
	}
	return Out{}
}

// The check tells a register from what forgets.
func TestCheckTellsThemApart(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		h, s := NewHistory(), &store{bodies: map[string]string{}, forgets: forgets}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var clients sync.WaitGroup
		for id := range 4 {
			clients.Go(func() {
				h.Client(ctx, id, 1, func(op Op) Out {
					if h.Len() > 400 {
						cancel()
					}
					return s.perform(op)
				})
			})
		}
		clients.Wait()
		if !forgets {
			h.Check(t, 400)
			continue
		}
		if res := porcupine.CheckOperationsTimeout(model, h.ops, checkWithin); res != porcupine.Illegal {
			t.Errorf("what forgets is %v", res)
		}
	}
}
