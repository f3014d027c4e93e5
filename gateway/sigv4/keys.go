package sigv4

import (
	"crypto/sha256"
	"strings"
	"sync"
)

// mac is HMAC-SHA256. It is written out because crypto/hmac allocates four objects a call; mac none for a
// message of up to 448 bytes, and one for a longer one.
//
// Source: RFC 2104.
func mac(key, msg []byte) [32]byte {
	const block = sha256.BlockSize
	var room [block + 448]byte
	if len(key) > block {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	inner := room[:block]
	copy(inner, key)
	for i := range inner {
		inner[i] ^= 0x36
	}
	sum := sha256.Sum256(append(inner, msg...))
	var outer [block + sha256.Size]byte
	copy(outer[:], key)
	for i := range block {
		outer[i] ^= 0x5c
	}
	copy(outer[block:], sum[:])
	return sha256.Sum256(outer[:])
}

// deriveKey is the signing key of a secret for one day, in one region, of one service.
func deriveKey(secret, date, region, service string) [32]byte {
	var room [64]byte
	k := mac(append(append(room[:0], "AWS4"...), secret...), append(make([]byte, 0, 16), date...))
	k = mac(k[:], append(make([]byte, 0, 64), region...))
	k = mac(k[:], append(make([]byte, 0, 64), service...))
	return mac(k[:], []byte("aws4_request"))
}

const keysMax = 1024

// keyCache keeps signing keys that have verified a request: what merely claims a key cannot fill it.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyID]cachedKey // guarded by mu; len <= keysMax
}

type keyID struct{ accessKey, date, region, service string }

type cachedKey struct {
	secret string // that key was derived from: a changed secret is a miss
	key    [32]byte
}

func (k *keyCache) get(c *credential, secret string) ([32]byte, bool) {
	k.mu.RLock()
	e, ok := k.keys[keyID{c.accessKey, c.date, c.region, c.service}]
	k.mu.RUnlock()
	if !ok || e.secret != secret {
		return [32]byte{}, false
	}
	return e.key, true
}

func (k *keyCache) put(c *credential, secret string, key [32]byte) {
	id := keyID{strings.Clone(c.accessKey), strings.Clone(c.date), strings.Clone(c.region), strings.Clone(c.service)} // not to keep the header alive
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = make(map[keyID]cachedKey)
	}
	for old := range k.keys {
		if len(k.keys) < keysMax {
			break
		}
		delete(k.keys, old) // any: a miss costs four hashes
	}
	k.keys[id] = cachedKey{secret: secret, key: key}
}
