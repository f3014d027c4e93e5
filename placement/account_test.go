package placement

import (
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
)

// TestDefaultAccount: all nodes of a cluster, of whatever version, must come to the same ids: buckets and policies name them.
func TestDefaultAccount(t *testing.T) {
	a := NewDefaultAccount(ids.Cluster{0x2a, 15: 0x4f})
	if *a != (Account{ID: "280329237064", Name: "sherd", Canonical: "940842d5d7c6aeaf34b2a78cdabe80fa95e24cbc6cd5db03e6a7bd6f19aaae09"}) {
		t.Fatalf("%+v", a)
	}
	for range 1000 {
		if a := NewDefaultAccount(ids.NewCluster()); len(a.ID) != 12 || a.ID[0] == '0' || len(a.Canonical) != 64 {
			t.Fatalf("%+v", a)
		}
	}
	byHand := &Map{Cluster: ids.Cluster{0x2a, 15: 0x4f}}
	for _, owner := range []string{"", "sherd", a.ID} {
		if got := byHand.Account(owner); got == nil || *got != *a {
			t.Errorf("%q is %+v", owner, got)
		}
	}
	if got := byHand.Account("111122223333"); got != nil {
		t.Errorf("an account that is not there: %+v", got)
	}
}

func TestHolder(t *testing.T) {
	second := &Account{ID: "111122223333"}
	alice := &User{Account: second.ID, Name: "Alice"}
	m := &Map{
		DefaultAccount: &Account{ID: "280329237064"},
		Accounts:       map[string]*Account{second.ID: second},
		Users:          map[Name]*User{NameOf(second.ID, "Alice"): alice},
	}
	for _, c := range []struct {
		what    string
		id      Identity
		account *Account
		user    *User
	}{
		{"the cluster's root", Identity{Secret: "s", Root: true}, m.DefaultAccount, nil},
		{"another root", Identity{Secret: "s", Root: true, Account: second.ID}, second, nil},
		{"a user", Identity{Secret: "s", Account: second.ID, User: "ALICE"}, second, alice},
		{"inactive", Identity{Secret: "s", Account: second.ID, User: "alice", Inactive: true}, nil, nil},
		{"sealed", Identity{Sealed: []byte{1}, Account: second.ID, User: "alice"}, second, alice},
		{"no such user", Identity{Secret: "s", Account: second.ID, User: "bob"}, nil, nil},
		{"a user of another account", Identity{Secret: "s", User: "alice"}, nil, nil},
		{"no such account", Identity{Secret: "s", Root: true, Account: "999922223333"}, nil, nil},
		{"nobody", Identity{Secret: "s", Account: second.ID}, nil, nil},
		{"a user who says that he is root", Identity{Secret: "s", Root: true, Account: second.ID, User: "alice"}, nil, nil},
	} {
		account, user, ok := m.Holder(&c.id)
		if ok != (c.account != nil) || ok && (account != c.account || user != c.user) {
			t.Errorf("%s: %+v, %+v, %v", c.what, account, user, ok)
		}
	}
}
