package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// The secrets of access keys are sealed in etcd, by AES-256-GCM under the cluster's data key. What seals it anew takes a random nonce.
// Identity.Sealed, integers of no byte order:
//
//	offset  bytes  field
//	0       1      format version, now 1
//	1       8      id of the data key
//	9       12     nonce
//	21      ...    the secret, encrypted, and the tag of 16 bytes
//
// with "sherd secret v1", the cluster id and the access key as additional data: what is moved to another row does not open.
const (
	sealedVersion   = 1
	sealedHeadBytes = 1 + dataKeyIDBytes
	dataKeyIDBytes  = 8
	dataKeyBytes    = 32
)

// KeyFile is the data key's name in a drive's directory, and in that of a node without drives:
//
//	{"version":1,"cluster":…,"id":…,"key":…}
//
// in the clear, mode 0600. The id follows from the key, so that damage shows.
const KeyFile = "secrets.json"

const keyFileVersion = 1

type keyFile struct {
	Version int         `json:"version"`
	Cluster ids.Cluster `json:"cluster"`
	ID      string      `json:"id"`
	Key     []byte      `json:"key"`
}

// DataKey opens and seals the secrets of a cluster's access keys. It never changes; its methods may run together.
type DataKey struct {
	cluster ids.Cluster
	raw     []byte
	id      [dataKeyIDBytes]byte
	seal    cipher.AEAD
}

// NewDataKey makes a random one.
func NewDataKey(cluster ids.Cluster) (*DataKey, error) {
	raw := make([]byte, dataKeyBytes)
	rand.Read(raw) // never fails (crypto/rand)
	return ParseDataKey(cluster, raw)
}

// ParseDataKey is the inverse of Bytes. Errors: ErrCorrupt.
func ParseDataKey(cluster ids.Cluster, raw []byte) (*DataKey, error) {
	if len(raw) != dataKeyBytes {
		return nil, fmt.Errorf("%w: a data key of %d bytes", ErrCorrupt, len(raw))
	}
	seal, err := newSeal(raw)
	if err != nil {
		return nil, err
	}
	k := &DataKey{cluster: cluster, raw: raw, seal: seal}
	sum := sha256.Sum256(append([]byte("sherd data key id v1"), raw...))
	copy(k.id[:], sum[:])
	return k, nil
}

// Bytes is the key itself, for those who may have it. It must not be changed.
func (k *DataKey) Bytes() []byte { return k.raw }

// ID names the key, and says nothing of it.
func (k *DataKey) ID() string { return hex.EncodeToString(k.id[:]) }

// Wrapped is what etcd gets of k: sealed under each of the keys in by, of 32 bytes; over what was before of the same key, nil for nothing.
func (k *DataKey) Wrapped(before *placement.WrappedKey, by map[string][]byte) (*placement.WrappedKey, error) {
	w := &placement.WrappedKey{ID: k.ID(), Wraps: map[string][]byte{}}
	if before != nil && before.ID == w.ID {
		maps.Copy(w.Wraps, before.Wraps)
	}
	for name, key := range by {
		seal, err := newSeal(key)
		if err != nil {
			return nil, err
		}
		w.Wraps[name] = sealBox(seal, k.raw, wrapData(k.cluster, w.ID))
	}
	return w, nil
}

// Unwrap opens what a key of 32 bytes seals in w. Errors: ErrSealed.
func Unwrap(cluster ids.Cluster, w *placement.WrappedKey, by string, key []byte) (*DataKey, error) {
	seal, err := newSeal(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSealed, err)
	}
	raw, err := openBox(seal, w.Wraps[by], wrapData(cluster, w.ID))
	if err != nil {
		return nil, err
	}
	k, err := ParseDataKey(cluster, raw)
	if err != nil || k.ID() != w.ID {
		return nil, fmt.Errorf("%w: it is not what its id says", ErrSealed)
	}
	return k, nil
}

func wrapData(cluster ids.Cluster, id string) []byte {
	return append(append([]byte("sherd data key v1"), cluster[:]...), id...)
}

// Write puts the key into a directory; it is durable when Write returns.
func (k *DataKey) Write(dir string) error {
	b, err := json.Marshal(keyFile{keyFileVersion, k.cluster, k.ID(), k.raw})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, KeyFile), append(b, '\n'))
}

// ReadDataKey finds the key of that id in one of the directories; any of the cluster's if id is empty. Errors: ErrNoDataKey, which says
// what is wrong with the files that there are.
func ReadDataKey(dirs []string, cluster ids.Cluster, id string) (*DataKey, error) {
	err := ErrNoDataKey
	for _, dir := range dirs {
		k, bad := readKeyFile(dir)
		switch {
		case bad == nil && k.cluster == cluster && (id == "" || k.ID() == id):
			return k, nil
		case bad == nil:
			err = fmt.Errorf("%w: %s has another", err, filepath.Join(dir, KeyFile))
		case !os.IsNotExist(bad):
			err = fmt.Errorf("%w: %w", err, bad)
		}
	}
	return nil, err
}

// readKeyFile never repeats what is in the file: errors are logged.
func readKeyFile(dir string) (*DataKey, error) {
	path := filepath.Join(dir, KeyFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f keyFile
	if json.Unmarshal(b, &f) != nil || f.Version != keyFileVersion {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, path)
	}
	k, err := ParseDataKey(f.Cluster, f.Key)
	if err != nil || k.ID() != f.ID {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, path)
	}
	return k, nil
}

// sealSecret is Identity.Sealed of a secret.
func (k *DataKey) sealSecret(accessKey, secret string) []byte {
	head := append([]byte{sealedVersion}, k.id[:]...)
	return append(head, sealBox(k.seal, []byte(secret), k.secretData(accessKey))...)
}

// Errors of openSecret, for people.
var (
	errOtherKey = errors.New("it is sealed under another key, or in a form that this version does not know")
	errTampered = errors.New("it is damaged, or was not sealed for this access key")
)

// Seals reports whether an identity's secret is sealed under k.
func (k *DataKey) Seals(id *placement.Identity) bool { return k.sealed(id.Sealed) }

func (k *DataKey) sealed(b []byte) bool {
	return len(b) >= sealedHeadBytes && b[0] == sealedVersion && string(b[1:sealedHeadBytes]) == string(k.id[:])
}

func (k *DataKey) openSecret(accessKey string, sealed []byte) (string, error) {
	if !k.sealed(sealed) {
		return "", errOtherKey
	}
	secret, err := openBox(k.seal, sealed[sealedHeadBytes:], k.secretData(accessKey))
	if err != nil {
		return "", errTampered
	}
	return string(secret), nil
}

func (k *DataKey) secretData(accessKey string) []byte {
	return append(append([]byte("sherd secret v1"), k.cluster[:]...), accessKey...)
}

func newSeal(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sealBox encrypts under a random nonce, which goes first.
func sealBox(seal cipher.AEAD, plain, data []byte) []byte {
	nonce := make([]byte, seal.NonceSize())
	rand.Read(nonce) // never fails (crypto/rand)
	return seal.Seal(nonce, nonce, plain, data)
}

// openBox is sealBox's inverse. Error: ErrSealed.
func openBox(seal cipher.AEAD, box, data []byte) ([]byte, error) {
	n := seal.NonceSize()
	if len(box) < n {
		return nil, ErrSealed
	}
	plain, err := seal.Open(nil, box[:n], box[n:], data)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
