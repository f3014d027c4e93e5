package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
)

// A control copy is all rows of a cluster at one revision, in one file on each drive, for the day when all of etcd is
// lost (I9). It is text, so that a person can read it:
//
//	sherd control copy 1 <SHA-256 of what follows, hexadecimal>\n
//	{"cluster":…,"generation":…,"revision":…,"at":…,"rows":[{"key":…,"value":…},…],"sealed":…}
//
// Rows with secrets (iam/) are not among the rows: they are in "sealed", AES-256-GCM under the caller's key, nonce first,
// with the cluster id as additional data; without a key they are left out.
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

	secrets []CopyRow
}

// CopyRow is one row, its key below the prefix.
type CopyRow struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Newer reports whether c is of a later state than other.
func (c *Copy) Newer(other *Copy) bool {
	if c.Generation != other.Generation {
		return c.Generation > other.Generation
	}
	return c.Revision > other.Revision
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
		case clusterKey, lastKey, "lock/", electionPrefix:
		case iamDir:
			c.secrets = append(c.secrets, r)
		default:
			c.Rows = append(c.Rows, r)
		}
	}
	return c, nil
}

// encodeCopy gives the file's bytes. Secrets are sealed under key; left out if it is nil.
func encodeCopy(c *Copy, key []byte) ([]byte, error) {
	own := *c
	own.Sealed = nil
	if key != nil {
		plain, err := json.Marshal(c.secrets)
		if err != nil {
			return nil, err
		}
		seal, err := newSeal(key)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, seal.NonceSize())
		rand.Read(nonce) // never fails (crypto/rand)
		own.Sealed = seal.Seal(nonce, nonce, plain, c.Cluster[:])
	}
	body, err := json.Marshal(&own)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return append([]byte(copyMagic+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

func newSeal(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
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
	if err != nil || len(c.Sealed) < seal.NonceSize() {
		return fmt.Errorf("%w: %v", ErrSealed, err)
	}
	n := seal.NonceSize()
	plain, err := seal.Open(nil, c.Sealed[:n], c.Sealed[n:], c.Cluster[:])
	if err != nil {
		return ErrSealed
	}
	if err := json.Unmarshal(plain, &c.secrets); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

// WriteCopy writes c into a drive's directory, in place of the one that is there unless that is newer (it is then left,
// which is no error: I9). key may be nil: see Copy.
func WriteCopy(drive string, c *Copy, key []byte) error {
	path := filepath.Join(drive, CopyFile)
	if old, err := readCopy(path); err == nil && old.Cluster == c.Cluster && old.Newer(c) {
		return nil
	}
	b, err := encodeCopy(c, key)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b)
}

// FoundCopy is what ReadCopies found on one drive: a copy, or why there is none.
type FoundCopy struct {
	Drive string // its directory
	Copy  *Copy
	Err   error
}

// ReadCopies reads the copies on drives. newest is the latest readable one, nil if there is none, and held tells how
// many drives have just that state: a restore wants it on a majority.
func ReadCopies(drives []string) (found []FoundCopy, newest *Copy, held int) {
	for _, d := range drives {
		c, err := readCopy(filepath.Join(d, CopyFile))
		found = append(found, FoundCopy{d, c, err})
		switch {
		case err != nil:
		case newest == nil || c.Newer(newest):
			newest, held = c, 1
		case !newest.Newer(c) && c.Cluster == newest.Cluster:
			held++
		}
	}
	return found, newest, held
}

func readCopy(path string) (*Copy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeCopy(b)
}

// KeepCopies writes copies to the drives that drives names, after each change of the map, until ctx ends: at most one
// each interval. key is asked for each time and may give nil. A drive that cannot be written is logged and tried again
// with the next change.
func (s *Store) KeepCopies(ctx context.Context, interval time.Duration, drives func() []string, key func() []byte) {
	written := int64(-1)
	for ctx.Err() == nil {
		st, err := s.waitState(ctx, func(st *state) bool { return st.m.Revision != written && st.m.Cluster != ids.Cluster{} })
		if err != nil {
			return
		}
		if c, err := s.Copy(ctx); err != nil {
			s.opt.Logger.Warn("control copy not made", "error", err)
		} else {
			written = st.m.Revision
			s.writeCopies(c, drives(), key())
		}
		pause(ctx, interval)
	}
}

func (s *Store) writeCopies(c *Copy, drives []string, key []byte) {
	for _, d := range drives {
		if err := WriteCopy(d, c, key); err != nil {
			s.opt.Logger.Warn("control copy not written", "drive", d, "error", err)
		}
	}
}

// RestoredSetting is the setting that says when the control state was restored: for an hour after, no drive is put out and
// nothing is reclaimed (I9).
const RestoredSetting = "control.restored"

// Restore writes a copy's rows into an etcd that has none of this cluster, under the next generation, with all revisions
// beyond any that the copy's cluster can have given out (I9). A person decides on it.
// Errors: ErrBootstrapped if there is a cluster, ErrWrongCluster, ErrUnavailable.
func (s *Store) Restore(ctx context.Context, c *Copy) error {
	if s.opt.Cluster != (ids.Cluster{}) && s.opt.Cluster != c.Cluster {
		return ErrWrongCluster
	}
	rows := append(append([]CopyRow(nil), c.Rows...), c.secrets...)
	rows = append(rows, CopyRow{settingsDir + RestoredSetting, encode(s.now().Format(time.RFC3339))})
	return s.writeFirst(ctx, rows, cluster{ID: c.Cluster, Generation: c.Generation + 1, RevisionBase: c.Revision + restoreBump})
}
