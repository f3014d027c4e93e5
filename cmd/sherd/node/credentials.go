package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
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
	EditIAM(ctx context.Context, change func(*placement.Map) ([]placement.IAMChange, error)) error
}

// ensureRoot gives the stored pair; where there is none, fresh is stored. It may be called again with the same fresh where the outcome
// was unknown. Errors: store.ErrNoDataKey if the stored pair cannot be read, the store's.
func ensureRoot(ctx context.Context, fresh Credentials, in identities) (root Credentials, err error) {
	err = in.EditIAM(ctx, func(m *placement.Map) ([]placement.IAMChange, error) {
		var stored bool
		if root, stored = storedRoot(m); stored && root.SecretKey == "" {
			return nil, fmt.Errorf("root's own: %w", store.ErrNoDataKey)
		}
		if stored {
			return nil, nil
		}
		root = fresh
		return []placement.IAMChange{{Identity: &placement.Identity{AccessKey: fresh.AccessKey, Secret: fresh.SecretKey, Root: true}}}, nil
	})
	if err != nil {
		return Credentials{}, fmt.Errorf("root's credentials: %w", err)
	}
	return root, nil
}

// storedRoot is root's pair in the map, without the secret if that cannot be read: the first that is active, for root may have made another,
// and several nodes of an older version may have made one at a time.
func storedRoot(m *placement.Map) (c Credentials, ok bool) {
	home := m.Account("").ID
	for _, id := range m.Identities {
		if account := m.Account(id.Account); account == nil || account.ID != home {
			continue
		}
		if id.Root && !id.Inactive && (!ok || id.AccessKey < c.AccessKey) {
			c, ok = Credentials{id.AccessKey, id.Secret}, true
		}
	}
	return c, ok
}
