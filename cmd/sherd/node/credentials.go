package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/sherd-io/sherd/placement"
)

// Credentials are the root user's access key and secret.
type Credentials struct {
	AccessKey, SecretKey string
}

// NewCredentials makes a random pair: 20 letters and digits, and 40 characters of 240 random bits.
func NewCredentials() Credentials {
	var secret [30]byte
	rand.Read(secret[:]) // never fails (crypto/rand)
	return Credentials{
		AccessKey: "SHERD" + rand.Text()[:15],
		SecretKey: base64.RawURLEncoding.EncodeToString(secret[:]),
	}
}

// validate refuses what S3 clients cannot use or anybody could guess.
func (c Credentials) validate() error {
	switch {
	case c.AccessKey == "" && c.SecretKey == "":
		return nil
	case c.AccessKey == "" || c.SecretKey == "":
		return errors.New("give both SHERD_ROOT_USER and SHERD_ROOT_PASSWORD, or neither")
	case len(c.AccessKey) < 3 || len(c.AccessKey) > 128:
		return errors.New("SHERD_ROOT_USER must have 3 to 128 characters")
	case strings.ContainsFunc(c.AccessKey, unsendable):
		return errors.New("SHERD_ROOT_USER must be of printable ASCII characters without a comma: an Authorization header cannot hold others")
	case len(c.SecretKey) < 8:
		return errors.New("SHERD_ROOT_PASSWORD must have at least 8 characters")
	}
	return nil
}

// unsendable reports whether an access key must not have r: a comma ends the Credential of a SigV4 Authorization header.
func unsendable(r rune) bool { return r == ',' || r < ' ' || r > '~' }

// identities is where root's pair is kept; placement/store provides it.
type identities interface {
	Map() *placement.Map
	PutIdentity(ctx context.Context, id placement.Identity) error
}

// ensureRoot gives the pair to serve with. What the environment gives wins and is not stored; else the stored
// pair; else a new one is made and stored, and fresh is true: it is to be shown once.
func ensureRoot(ctx context.Context, given Credentials, store identities) (c Credentials, fresh bool, err error) {
	if given.AccessKey != "" {
		return given, false, nil
	}
	if c, ok := storedRoot(store.Map()); ok {
		return c, false, nil
	}
	c = NewCredentials()
	err = store.PutIdentity(ctx, placement.Identity{AccessKey: c.AccessKey, Secret: c.SecretKey, Root: true})
	if err != nil {
		return Credentials{}, false, fmt.Errorf("storing the new root credentials: %w", err)
	}
	return c, true, nil
}

// storedRoot is root's pair in the map: the first, if several nodes made one at a time.
func storedRoot(m *placement.Map) (c Credentials, ok bool) {
	for _, id := range m.Identities {
		if id.Root && (!ok || id.AccessKey < c.AccessKey) {
			c, ok = Credentials{id.AccessKey, id.Secret}, true
		}
	}
	return c, ok
}
