package placement

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
)

// defaultOwner is the default account's name, and the owner of buckets that were made before there were accounts.
const defaultOwner = "sherd"

// NewDefaultAccount is the account that a cluster begins with: id and canonical id follow from the cluster's id, so that all nodes agree
// on them and no row is needed.
func NewDefaultAccount(cluster ids.Cluster) *Account {
	digest := func(what string) [sha256.Size]byte { return sha256.Sum256(append([]byte(what), cluster[:]...)) }
	number, canonical := digest("sherd account id v1"), digest("sherd account canonical id v1")
	const least = 100_000_000_000 // no leading zero: tools read ids as numbers
	return &Account{
		ID:        fmt.Sprint(least + binary.BigEndian.Uint64(number[:])%(9*least)),
		Name:      defaultOwner,
		Canonical: hex.EncodeToString(canonical[:]),
	}
}

// Account is the account of an owner, as Bucket.Owner, User.Account and Identity.Account have it: "" and "sherd", which old rows have, are
// the default account. nil: there is none of that id (any more).
func (m *Map) Account(owner string) *Account {
	first := m.DefaultAccount
	if first == nil { // a map that no store made
		first = NewDefaultAccount(m.Cluster)
	}
	if owner == "" || owner == defaultOwner || owner == first.ID {
		return first
	}
	return m.Accounts[owner]
}

// User is a user of an account; nil: there is none of that name.
func (m *Map) User(account, name string) *User { return m.Users[NameOf(account, name)] }

// Group is a group of an account; nil: there is none of that name.
func (m *Map) Group(account, name string) *Group { return m.Groups[NameOf(account, name)] }

// Policy is a managed policy of an account; nil: there is none of that name.
func (m *Map) Policy(account, name string) *Policy { return m.Policies[NameOf(account, name)] }

// Holder is whose access key id is: an account's root, if user is nil, or a user of it. ok is false for a key that nobody may use: it is
// inactive, or its account or user is not there, or it is of nobody. id.Secret is empty where it cannot be opened.
func (m *Map) Holder(id *Identity) (account *Account, user *User, ok bool) {
	account = m.Account(id.Account)
	if account == nil || id.Inactive {
		return nil, nil, false
	}
	if id.User == "" {
		return account, nil, id.Root
	}
	user = m.User(account.ID, id.User)
	return account, user, user != nil && !id.Root
}
