package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// TestAddressOfAnotherNode: who advertises the address of a node that lives could be reached by nobody, and would be given slots and
// replicas all the same. A node's own address, and one that a dead node had, are free.
func TestAddressOfAnotherNode(t *testing.T) {
	m := &placement.Map{
		Nodes: map[string]*placement.Node{"n1": {Name: "n1", Addr: "h1:9001"}, "n2": {Name: "n2", Addr: "h2:9001"}, "n3": {Name: "n3"}},
		Alive: map[string]bool{"n1": true, "n3": true},
	}
	for _, c := range []struct {
		name, addr string
		taken      bool
	}{
		{"n4", "h1:9001", true}, {"n1", "h1:9001", false}, {"n4", "h2:9001", false}, {"n4", "h4:9001", false}, {"n4", "", false},
	} {
		if err := addressTaken(m, c.name, c.addr); errors.Is(err, store.ErrExists) != c.taken {
			t.Errorf("%s at %q: %v", c.name, c.addr, err)
		}
	}
}

// TestStartOutlivesAnAbsenceOfEtcd: what etcd does not answer is asked again, what it refuses is not.
func TestStartOutlivesAnAbsenceOfEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{log: slog.New(slog.DiscardHandler)}
		tries := 0
		answer := func(err error) func() error {
			tries = 0
			return func() error {
				if tries++; tries < 100 {
					return fmt.Errorf("%w: no leader", store.ErrUnavailable)
				}
				return err
			}
		}
		if err := n.untilHeard(t.Context(), answer(nil)); err != nil || tries != 100 {
			t.Errorf("%v after %d tries", err, tries)
		}
		if err := n.untilHeard(t.Context(), answer(store.ErrExists)); !errors.Is(err, store.ErrExists) || tries != 100 {
			t.Errorf("%v after %d tries", err, tries)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		if err := n.untilHeard(ctx, answer(nil)); !errors.Is(err, store.ErrUnavailable) || tries < 6 || tries > 7 {
			t.Errorf("stopped: %v after %d tries", err, tries)
		}
	})
}
