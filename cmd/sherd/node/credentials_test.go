package node

import (
	"context"
	"errors"
	"testing"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

type memIdentities struct{ m placement.Map }

func (s *memIdentities) EditIAM(_ context.Context, change func(*placement.Map) ([]placement.IAMChange, error)) error {
	changes, err := change(&s.m)
	for _, c := range changes {
		s.m.Identities = map[string]*placement.Identity{c.Identity.AccessKey: c.Identity}
	}
	return err
}

func TestRootIsMadeOnceAndKept(t *testing.T) {
	in := &memIdentities{}
	fresh := NewCredentials()
	if len(fresh.AccessKey) != 20 || len(fresh.SecretKey) != 40 {
		t.Fatalf("%+v", fresh)
	}
	for range 2 { // as when the first answer was lost
		if root, err := ensureRoot(t.Context(), fresh, in); err != nil || root != fresh {
			t.Fatalf("%+v, %v", root, err)
		}
	}
	other := NewCredentials()
	if other == fresh {
		t.Fatal("two random pairs are equal")
	}
	if root, err := ensureRoot(t.Context(), other, in); err != nil || root != fresh {
		t.Fatalf("%+v, %v", root, err)
	}
	in.m.Identities[fresh.AccessKey] = &placement.Identity{AccessKey: fresh.AccessKey, Sealed: []byte{1}, Root: true}
	if root, err := ensureRoot(t.Context(), other, in); !errors.Is(err, store.ErrNoDataKey) {
		t.Fatalf("a pair that cannot be read is replaced: %+v, %v", root, err)
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
