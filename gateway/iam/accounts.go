package iam

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/placement"
)

// accountsMax bounds the map.
const accountsMax = 5000

type accountXML struct {
	AccountID   string `xml:"AccountId"`
	AccountName string
	CanonicalID string `xml:"CanonicalId"` // as ACLs and listings name the account
	CreateDate  moment
}

func newAccountXML(a *placement.Account) accountXML {
	return accountXML{a.ID, a.Name, a.Canonical, moment{a.Created}}
}

type accountResult struct {
	Account   accountXML
	AccessKey keyXML // of its root
}

// createAccount makes an account and an access key for its root.
func (c *call) createAccount() (any, error) {
	name := c.get("AccountName")
	for _, a := range c.accounts() {
		if placement.FoldName(a.Name) == placement.FoldName(name) {
			return nil, fail(EntityAlreadyExists, "Account with name %s already exists.", name)
		}
	}
	if len(c.dir.m.Accounts) >= accountsMax {
		return nil, overQuota("Accounts", accountsMax)
	}
	a := &placement.Account{ID: c.newAccountID(), Name: name, Canonical: newCanonical(), Created: c.now}
	c.putAccount(a)
	return accountResult{newAccountXML(a), c.giveKey(a.ID, "")}, nil
}

// resetAccountRoot gives the root of an account a new access key in the place of those that it has: they are lost, or in wrong hands.
func (c *call) resetAccountRoot() (any, error) {
	a, err := c.otherAccount("reset here: `sherd user reset-root` does so where a server runs")
	if err != nil {
		return nil, err
	}
	for _, old := range (directory{c.dir.m, a.ID}).keys("") {
		c.dropKey(old)
	}
	return keyResult{c.giveKey(a.ID, "")}, nil
}

// otherAccount is the account that a call names, which must not be the one that the cluster began with: refused ends the sentence that says so.
// Errors: NoSuchEntity, DeleteConflict.
func (c *call) otherAccount(refused string) (*placement.Account, error) {
	a := c.dir.m.Account(c.get("AccountId"))
	switch {
	case a == nil:
		return nil, fail(NoSuchEntity, "The account %s cannot be found.", c.get("AccountId"))
	case a.ID == c.dir.m.Account("").ID:
		return nil, fail(DeleteConflict, "The account that the cluster began with cannot be %s.", refused)
	}
	return a, nil
}

// newAccountID is 12 random digits that no account has; the first is no zero, for tools read ids as numbers.
func (c *call) newAccountID() string {
	least := big.NewInt(100_000_000_000)
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Mul(least, big.NewInt(9)))
		if err != nil {
			panic("iam: " + err.Error()) // crypto/rand never fails
		}
		if id := n.Add(n, least).String(); c.dir.m.Account(id) == nil {
			return id
		}
	}
}

func newCanonical() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// accounts are all accounts: the default one, then the others by name.
func (c *call) accounts() []*placement.Account {
	first := c.dir.m.Account("")
	all := []*placement.Account{first}
	for _, a := range c.dir.m.Accounts {
		if a.ID != first.ID {
			all = append(all, a)
		}
	}
	slices.SortFunc(all[1:], func(a, b *placement.Account) int { return strings.Compare(accountKey(a), accountKey(b)) })
	return all
}

// accountKey is what accounts are sorted by.
func accountKey(a *placement.Account) string { return placement.FoldName(a.Name) + " " + a.ID }

type accountsResult struct {
	Accounts members[accountXML]
	page
}

func (c *call) listAccounts() (any, error) {
	all := c.accounts()
	keys := make(map[string]string, len(all)) // the default account comes first, whatever its name is
	for i, a := range all {
		keys[a.ID] = fmt.Sprint(min(i, 1)) + accountKey(a)
	}
	all, rest, err := paged(c, all, func(a *placement.Account) string { return keys[a.ID] })
	if err != nil {
		return nil, err
	}
	return accountsResult{members[accountXML]{each(all, newAccountXML)}, rest}, nil
}

// deleteAccount removes an account that has nothing but its root, with its root's access keys.
func (c *call) deleteAccount() (any, error) {
	a, err := c.otherAccount("deleted")
	if err != nil {
		return nil, err
	}
	of := directory{c.dir.m, a.ID}
	switch {
	case len(of.users("")) > 0:
		return nil, fail(DeleteConflict, "Cannot delete account, must delete its users first.")
	case len(of.groups("")) > 0:
		return nil, fail(DeleteConflict, "Cannot delete account, must delete its groups first.")
	case len(of.policies("")) > 0:
		return nil, fail(DeleteConflict, "Cannot delete account, must delete its policies first.")
	}
	for _, b := range c.dir.m.Buckets {
		if b.Owner == a.ID {
			return nil, fail(DeleteConflict, "Cannot delete account, must delete its buckets first.")
		}
	}
	for _, k := range of.keys("") {
		c.dropKey(k)
	}
	c.dropAccount(a)
	return nil, nil
}
