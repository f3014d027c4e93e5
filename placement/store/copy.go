package store

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// A control copy is all rows of a cluster at one revision, in one file on each drive, for the day when all of etcd is
// lost (I9). It is text, so that a person can read it:
//
//	sherd control copy 1 <SHA-256 of what follows, hexadecimal>\n
//	{"cluster":…,"generation":…,"revision":…,"at":…,"rows":[{"key":…,"value":…},…],"sealed":…}
//
// Rows with access keys (iam/) are not among the rows: they are in "sealed", AES-256-GCM under the caller's key, nonce first,
// with the cluster id as additional data; without a key they are left out. "promise" is there when the copy was given to a
// restore on another node.
const (
	copyMagic = "sherd control copy 1 "
	// CopyFile is the copy's name in a drive's directory.
	CopyFile = "control.json"
)

// ErrSealed reports that a copy has secrets and the key given does not open them.
var ErrSealed = errors.New("store: the copy's secrets need another key")

// Copy is the control state at one revision.
type Copy struct {
	Cluster    ids.Cluster `json:"cluster"`
	Generation uint64      `json:"generation"`
	Revision   int64       `json:"revision"` // as Map.Revision
	At         time.Time   `json:"at"`
	Rows       []CopyRow   `json:"rows"`
	Sealed     []byte      `json:"sealed,omitempty"`
	Promise    Promise     `json:"promise,omitzero"`

	secrets []CopyRow
}

// Promise is what a drive holds to once its copy was given to a restore: it believes no control state of a lower generation, so
// that what was given stays its newest, and it gives its copy to no other node. Only a person takes it back.
type Promise struct {
	Generation uint64 `json:"generation"`     // of the state that the restore makes, at least
	Node       string `json:"node,omitempty"` // that makes it; empty: taken back, and Generation is not given again
}

// CopyRow is one row, its key below the prefix.
type CopyRow struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Newer reports whether c is of a later state than other.
func (c *Copy) Newer(other *Copy) bool {
	return other.Position().later(c.Position()) != other.Position()
}

// CopyKey derives the key of the secrets from a passphrase, the root's secret key for one. It takes a tenth of a second.
func CopyKey(passphrase string, cluster ids.Cluster) ([]byte, error) {
	return pbkdf2.Key(sha256.New, passphrase, cluster[:], 200_000, 32)
}

// Copy reads all rows from etcd, at one revision. Errors: ErrUnavailable, ErrNotBootstrapped.
func (s *Store) Copy(ctx context.Context) (*Copy, error) {
	rows, revision, err := s.readAll(ctx)
	if err != nil {
		return nil, err
	}
	row, err := s.clusterRow(rows)
	if err != nil {
		return nil, err
	}
	if row.ID == (ids.Cluster{}) {
		return nil, ErrNotBootstrapped
	}
	c := &Copy{Cluster: row.ID, Generation: row.Generation, Revision: row.RevisionBase + revision, At: s.now()}
	for _, kv := range rows {
		r := CopyRow{strings.TrimPrefix(string(kv.Key), s.opt.Prefix), string(kv.Value)}
		switch dir, _ := split(r.Key); dir {
		case clusterKey, lastKey, "edit/", "lock/", electionPrefix, aliveDir, tokensDir:
		case iamDir:
			c.secrets = append(c.secrets, r)
		default:
			c.Rows = append(c.Rows, r)
		}
	}
	return c, nil
}

// encodeCopy gives the file's bytes. Secrets are sealed under key; if it is nil they are left out, but for what was read sealed.
func encodeCopy(c *Copy, key []byte) ([]byte, error) {
	own := *c
	if key != nil {
		plain, err := json.Marshal(c.secrets)
		if err != nil {
			return nil, err
		}
		seal, err := newSeal(key)
		if err != nil {
			return nil, err
		}
		own.Sealed = sealBox(seal, plain, c.Cluster[:])
	}
	body, err := json.Marshal(&own)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return append([]byte(copyMagic+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

// decodeCopy reads a file's bytes. Errors: ErrCorrupt.
func decodeCopy(b []byte) (*Copy, error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(body)
	if !ok || string(head) != copyMagic+hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: control copy: damaged, or of another version", ErrCorrupt)
	}
	var c Copy
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("%w: control copy: %v", ErrCorrupt, err)
	}
	return &c, nil
}

// Unseal makes the secrets of a copy that was read part of it. Without sealed secrets it does nothing.
// Errors: ErrSealed.
func (c *Copy) Unseal(key []byte) error {
	if len(c.Sealed) == 0 {
		return nil
	}
	seal, err := newSeal(key)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrSealed, err)
	}
	plain, err := openBox(seal, c.Sealed, c.Cluster[:])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(plain, &c.secrets); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

// Map is what the copy's rows say, secrets included once they are unsealed. Its rows have no revisions of their own.
// Errors: ErrCorrupt, naming the rows that cannot be decoded; the map is without them.
func (c *Copy) Map() (*placement.Map, error) {
	var errs []error
	b := newBuilder(emptyMap(), 0, func(key string, err error) { errs = append(errs, fmt.Errorf("%s: %w", key, err)) })
	for _, pools := range []bool{true, false} { // a PG's row needs its pool's
		for _, r := range c.all() {
			if strings.HasPrefix(r.Key, poolsDir) == pools {
				b.put(r.Key, &mvccpb.KeyValue{Value: []byte(r.Value)})
			}
		}
	}
	b.m.Cluster, b.m.Generation = c.Cluster, c.Generation
	m := b.build(0)
	m.Revision = c.Revision
	return m, errors.Join(errs...)
}

func (c *Copy) all() []CopyRow { return slices.Concat(c.Rows, c.secrets) }

// Position says how late the copy is.
func (c *Copy) Position() Position { return Position{c.Generation, c.Revision} }

// floor is how late a state must be to be believed beside the copy.
func (c *Copy) floor() Position {
	if c.Promise.Node == "" {
		return c.Position()
	}
	return c.Position().later(Position{Generation: c.Promise.Generation})
}
