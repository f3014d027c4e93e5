package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/placement"
)

// canonicalDigits is how long an account's canonical id is.
const canonicalDigits = 64

func checkAccount(a *placement.Account) error {
	switch {
	case !isNumber(a.ID) || a.Name == "":
		return fmt.Errorf("%w: account %q, named %q", ErrCorrupt, a.ID, a.Name)
	case len(a.Canonical) != canonicalDigits || strings.Trim(a.Canonical, "0123456789abcdef") != "":
		return fmt.Errorf("%w: account %s: canonical id %q", ErrCorrupt, a.ID, a.Canonical)
	}
	return nil
}

// isNumber reports whether id is an account's.
func isNumber(id string) bool { return len(id) == 12 && strings.Trim(id, "0123456789") == "" }

// checkNamed refuses what cannot be the name of a user, a group or a policy, nor part of a key.
func checkNamed(account, name string) error {
	if !isNumber(account) || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("%w: the name %q in account %q", ErrCorrupt, name, account)
	}
	return nil
}

func checkPolicy(p *placement.Policy) error {
	if err := checkNamed(p.Account, p.Name); err != nil {
		return err
	}
	if !slices.ContainsFunc(p.Versions, func(v placement.PolicyVersion) bool { return v.ID == p.Default }) {
		return fmt.Errorf("%w: policy %s has no version %q, which is in force", ErrCorrupt, p.Name, p.Default)
	}
	return nil
}

func checkIdentity(id *placement.Identity) error {
	if id.AccessKey == "" || strings.Contains(id.AccessKey, "/") {
		return fmt.Errorf("%w: access key %q", ErrCorrupt, id.AccessKey)
	}
	return nil
}

// The rows of accounts, and of what is theirs.

func (b *builder) putAccount(rest string, value []byte) error {
	return putNamed(value, rest, &b.accounts, &b.m.Accounts, func(a *placement.Account) (string, error) { return a.ID, checkAccount(a) })
}

func (b *builder) putUser(rest string, value []byte) error {
	return putNamed(value, parseName(rest), &b.users, &b.m.Users, func(u *placement.User) (placement.Name, error) {
		return placement.NameOf(u.Account, u.Name), checkNamed(u.Account, u.Name)
	})
}

func (b *builder) putGroup(rest string, value []byte) error {
	return putNamed(value, parseName(rest), &b.groups, &b.m.Groups, func(g *placement.Group) (placement.Name, error) {
		return placement.NameOf(g.Account, g.Name), checkNamed(g.Account, g.Name)
	})
}

func (b *builder) putPolicy(rest string, value []byte) error {
	return putNamed(value, parseName(rest), &b.policies, &b.m.Policies, func(p *placement.Policy) (placement.Name, error) {
		return placement.NameOf(p.Account, p.Name), checkPolicy(p)
	})
}

func (b *builder) putIdentity(rest string, value []byte) error {
	return putNamed(value, rest, &b.identities, &b.m.Identities, func(i *placement.Identity) (string, error) {
		b.openIdentity(i)
		return i.AccessKey, checkIdentity(i)
	})
}

// openIdentity gives an identity that was read its secret, if that is sealed; where it cannot be opened it has none.
func (b *builder) openIdentity(id *placement.Identity) {
	if len(id.Sealed) == 0 {
		return
	}
	id.Secret = ""
	if b.key == nil {
		return
	}
	var err error
	if id.Secret, err = b.key.openSecret(id.AccessKey, id.Sealed); err != nil {
		if b.unopened == nil {
			b.unopened = map[string]error{}
		}
		b.unopened[id.AccessKey] = err
	}
}

// nameDefaultAccount sees to it that the account that the cluster began with is in the map, as a row renames it.
func (b *builder) nameDefaultAccount() {
	first := placement.NewDefaultAccount(b.m.Cluster)
	if row := b.m.Accounts[first.ID]; row != nil { // only its name is free
		renamed := *row
		renamed.Canonical = first.Canonical
		first = &renamed
	}
	own(&b.accounts, &b.m.Accounts)[first.ID] = first
	b.m.DefaultAccount = first
}
