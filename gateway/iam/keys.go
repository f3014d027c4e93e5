package iam

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/sherd-io/sherd/placement"
)

// newID is a new id with one of AWS's prefixes, which say what it is of: 85 random bits, so it is never used twice.
func newID(prefix string) string { return prefix + rand.Text()[:17] }

// newKey makes an access key as AWS's look: AKIA and 16 characters, with a secret of 40 characters of 240 random bits.
func newKey(account, user string) *placement.Identity {
	var secret [30]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	return &placement.Identity{
		AccessKey: "AKIA" + rand.Text()[:16],
		Secret:    base64.StdEncoding.EncodeToString(secret[:]),
		Root:      user == "",
		Account:   account,
		User:      user,
	}
}

type keyXML struct {
	UserName        string `xml:",omitempty"` // root has none
	AccessKeyID     string `xml:"AccessKeyId"`
	Status          string
	SecretAccessKey string `xml:",omitempty"`
	CreateDate      moment
}

func newKeyXML(k *placement.Identity) keyXML {
	x := keyXML{UserName: k.User, AccessKeyID: k.AccessKey, Status: statusActive, CreateDate: moment{k.Created}}
	if k.Inactive {
		x.Status = statusInactive
	}
	return x
}

type keyResult struct{ AccessKey keyXML }

func (c *call) createAccessKey() (any, error) {
	user, err := c.keyUser()
	if err != nil {
		return nil, err
	}
	if len(c.dir.keys(user)) >= keysPerUser {
		return nil, overQuota("AccessKeysPerUser", keysPerUser)
	}
	return keyResult{c.giveKey(c.dir.account, user)}, nil
}

// giveKey makes an access key of a user, or of the account's root if user is "". What it returns is the only answer that shows the secret.
func (c *call) giveKey(account, user string) keyXML {
	k := newKey(account, user)
	k.Created = c.now
	c.putKey(k)
	x := newKeyXML(k)
	x.SecretAccessKey = k.Secret
	return x
}

// keyUser is the name of the user whose keys a call is about, as the user's record has it; "" is root. Errors: NoSuchEntity.
func (c *call) keyUser() (string, error) {
	if c.subject() == "" {
		return "", nil
	}
	u, err := c.dir.user(c.subject())
	if err != nil {
		return "", err
	}
	return u.Name, nil
}

type keysResult struct {
	AccessKeyMetadata members[keyXML]
	page
}

func (c *call) listAccessKeys() (any, error) {
	user, err := c.keyUser()
	if err != nil {
		return nil, err
	}
	keys, rest, err := paged(c, c.dir.keys(user), keyOrder)
	if err != nil {
		return nil, err
	}
	return keysResult{members[keyXML]{each(keys, newKeyXML)}, rest}, nil
}

// keyOrder is what keys are sorted by.
func keyOrder(k *placement.Identity) string {
	return k.Created.UTC().Format("20060102150405.000000000") + k.AccessKey
}

// key finds the access key that a call names, of the user that it names. Errors: NoSuchEntity.
func (c *call) key() (*placement.Identity, error) {
	user, err := c.keyUser()
	if err != nil {
		return nil, err
	}
	for _, k := range c.dir.keys(user) {
		if k.AccessKey == c.get("AccessKeyId") {
			return k, nil
		}
	}
	return nil, fail(NoSuchEntity, "The Access Key with id %s cannot be found.", c.get("AccessKeyId"))
}

func (c *call) updateAccessKey() (any, error) {
	old, err := c.key()
	if err != nil {
		return nil, err
	}
	k := *old
	k.Inactive = c.get("Status") == statusInactive
	if k.Inactive {
		if err := c.spare(old); err != nil {
			return nil, err
		}
	}
	c.putKey(&k)
	return nil, nil
}

func (c *call) deleteAccessKey() (any, error) {
	k, err := c.key()
	if err != nil {
		return nil, err
	}
	if err := c.spare(k); err != nil {
		return nil, err
	}
	c.dropKey(k)
	return nil, nil
}

// spare refuses to take away the last key by which an account's root can do anything: unlike AWS there is no other way in.
func (c *call) spare(k *placement.Identity) error {
	if !k.Root || k.Inactive {
		return nil
	}
	for _, other := range c.dir.keys("") {
		if other.AccessKey != k.AccessKey && !other.Inactive {
			return nil
		}
	}
	return fail(DeleteConflict, "The last active access key of an account's root cannot be taken away: make another one first.")
}

type lastUsedResult struct {
	UserName          string `xml:",omitempty"`
	AccessKeyLastUsed struct {
		ServiceName, Region string
	}
}

// getAccessKeyLastUsed tells whose a key is. When keys were used is not kept: that would be a write to the control store for
// each request.
func (c *call) getAccessKeyLastUsed() (any, error) {
	k := c.dir.m.Identities[c.get("AccessKeyId")]
	if k == nil || !c.dir.owns(k) {
		return nil, fail(NoSuchEntity, "The Access Key with id %s cannot be found.", c.get("AccessKeyId"))
	}
	r := lastUsedResult{UserName: k.User}
	r.AccessKeyLastUsed.ServiceName, r.AccessKeyLastUsed.Region = "N/A", "N/A"
	return r, nil
}
