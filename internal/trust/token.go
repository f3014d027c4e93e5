package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Token lets one node join, once. The cluster keeps its Record, the one who joins its String.
type Token struct {
	Authority Hash
	secret    [16]byte
}

const tokenPrefix = "sherd-join-1-"

// NewToken makes a token for a cluster of that authority.
func NewToken(authority Hash) Token {
	t := Token{Authority: authority}
	rand.Read(t.secret[:]) // never fails
	return t
}

// String is the token as it is handed over.
func (t Token) String() string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(t.Authority[:], t.secret[:]...))
}

// ParseToken is String's inverse. Error: ErrToken.
func ParseToken(s string) (t Token, err error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(b) != len(t.Authority)+len(t.secret) {
		return t, fmt.Errorf("%w: it should begin with %s, and be complete", ErrToken, tokenPrefix)
	}
	copy(t.secret[:], b[copy(t.Authority[:], b):])
	return t, nil
}

// TokenRecord is what the cluster keeps of a token until it is used.
type TokenRecord struct {
	Hash    [sha256.Size]byte `json:"hash"` // of the secret
	Expires time.Time         `json:"expires"`
}

// Record is what to keep.
func (t Token) Record(expires time.Time) TokenRecord {
	return TokenRecord{Hash: sha256.Sum256(t.secret[:]), Expires: expires}
}

// Holds reports whether r is the record of t, and has not expired.
func (r TokenRecord) Holds(t Token, now time.Time) bool {
	sum := sha256.Sum256(t.secret[:])
	return subtle.ConstantTimeCompare(sum[:], r.Hash[:]) == 1 && now.Before(r.Expires)
}
