package node

import (
	"errors"
	"testing"

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
