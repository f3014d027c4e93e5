package node

import (
	"context"
	"testing"

	"github.com/sherd-io/sherd/placement"
)

type memIdentities struct{ m placement.Map }

func (s *memIdentities) Map() *placement.Map { return &s.m }

func (s *memIdentities) PutIdentity(_ context.Context, id placement.Identity) error {
	s.m.Identities = map[string]*placement.Identity{id.AccessKey: &id}
	return nil
}

func TestRootIsMadeOnceAndKept(t *testing.T) {
	store := &memIdentities{}
	first, fresh, err := ensureRoot(t.Context(), Credentials{}, store)
	if err != nil || !fresh || len(first.AccessKey) != 20 || len(first.SecretKey) != 40 {
		t.Fatalf("%+v, %v, %v", first, fresh, err)
	}
	again, fresh, err := ensureRoot(t.Context(), Credentials{}, store)
	if err != nil || fresh || again != first {
		t.Fatalf("%+v, %v, %v", again, fresh, err)
	}
	given := Credentials{"root", "a-long-password"}
	if got, fresh, _ := ensureRoot(t.Context(), given, store); got != given || fresh {
		t.Fatalf("%+v, %v", got, fresh)
	}
	if a, b := NewCredentials(), NewCredentials(); a == b {
		t.Fatal("two random pairs are equal")
	}
}

func TestWeakOrHalfCredentialsAreRefused(t *testing.T) {
	for _, c := range []Credentials{{"root", ""}, {"", "a-long-password"}, {"ro", "a-long-password"}, {"root", "short"}, {"a,b=c", "a-long-password"}, {"a\nb", "a-long-password"}, {"rööt", "a-long-password"}} {
		if c.validate() == nil {
			t.Errorf("%+v accepted", c)
		}
	}
	for _, c := range []Credentials{{}, {"a b/c=d@e", "a-long-password"}} {
		if err := c.validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
