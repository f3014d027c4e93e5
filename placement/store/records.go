package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// A row is {"version":1,"record":{…}}: version of the record's form, so that an older binary sees that it cannot read a
// newer one. Unknown fields are ignored; a form that is not understood without them gets a new version.
const recordVersion = 1

type row[T any] struct {
	Version int `json:"version"`
	Record  T   `json:"record"`
}

func encode[T any](record T) string {
	b, err := json.Marshal(row[T]{recordVersion, record})
	if err != nil {
		panic("store: a record cannot be marshalled: " + err.Error()) // only for types that JSON has no form for
	}
	return string(b)
}

func decode[T any](value []byte) (*T, error) {
	var r row[T]
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if r.Version < 1 || r.Version > recordVersion {
		return nil, fmt.Errorf("%w: version %d, known up to %d", ErrCorrupt, r.Version, recordVersion)
	}
	return &r.Record, nil
}

// cluster is the row that says a cluster exists. It is written last when bootstrapping.
type cluster struct {
	ID         ids.Cluster `json:"id"`
	Generation uint64      `json:"generation"` // I9
	// RevisionBase is added to etcd's revisions: a restore raises it, so that Map.Revision never falls (I9).
	RevisionBase int64 `json:"revisionBase"`
}

// restoreBump is what a restore adds to the highest revision known (I9).
const restoreBump = 1_000_000_000

// Keys, below the prefix.
const (
	clusterKey     = "cluster"
	lastKey        = "last"
	nextBucketKey  = "next/bucket"
	nextRangeKey   = "next/range"
	bootstrapMutex = "lock/bootstrap"
	bucketLocks    = "lock/bucket/"
	electionPrefix = "elect/"

	nodesDir    = "nodes/"
	aliveDir    = "alive/"  // under leases; in no copy of the control state
	tokensDir   = "tokens/" // likewise
	drivesDir   = "drives/"
	poolsDir    = "pools/"
	pgsDir      = "pgs/"
	rangesDir   = "ranges/"
	bucketsDir  = "buckets/"
	iamDir      = "iam/"
	settingsDir = "settings/"
	accountsDir = "accounts/"
	usersDir    = "users/" // ACCOUNT/folded name, as groups/ and policies/
	groupsDir   = "groups/"
	policiesDir = "policies/"
	secretsDir  = "secrets/"
	dataKeyKey  = secretsDir + "key"
	iamEditKey  = "edit/iam" // of the last change of accounts and what is theirs; in no copy of the control state
)

// recordDirs are the directories of all that a cluster's state is made of.
func recordDirs() []string {
	return []string{
		nodesDir, drivesDir, poolsDir, pgsDir, rangesDir, bucketsDir, iamDir, settingsDir, accountsDir, usersDir, groupsDir, policiesDir,
		secretsDir, "next/", "edit/",
	}
}

func nameKey(dir string, n placement.Name) string { return dir + n.Account + "/" + n.Folded }

// parseName is the inverse of nameKey below the directory. What has no name in it is the Name of no record.
func parseName(rest string) placement.Name {
	account, folded, _ := strings.Cut(rest, "/")
	return placement.Name{Account: account, Folded: folded}
}

func poolKey(id ids.Pool) string   { return poolsDir + strconv.Itoa(int(id)) }
func driveKey(id ids.Drive) string { return drivesDir + id.String() }
func rangeKey(id ids.Range) string { return fmt.Sprintf("%s%016x", rangesDir, uint64(id)) }
func pgKey(pool ids.Pool, pg ids.PG) string {
	return fmt.Sprintf("%s%d/%05d", pgsDir, pool, pg)
}

func parsePGKey(rest string) (ids.Pool, ids.PG, error) {
	p, g, ok := strings.Cut(rest, "/")
	pool, err1 := strconv.ParseUint(p, 10, 16)
	pg, err2 := strconv.ParseUint(g, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%w: key", ErrCorrupt)
	}
	return ids.Pool(pool), ids.PG(pg), nil
}

func parsePoolKey(rest string) (ids.Pool, error) {
	id, err := strconv.ParseUint(rest, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%w: key", ErrCorrupt)
	}
	return ids.Pool(id), nil
}

func parseRangeKey(rest string) (ids.Range, error) {
	id, err := strconv.ParseUint(rest, 16, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%w: key", ErrCorrupt)
	}
	return ids.Range(id), nil
}

func checkPool(p *placement.Pool) error {
	switch {
	case p.K < 1 || p.M < 0 || p.N() > plan.SlotsMax,
		p.PGCount < 1 || p.PGCount > 1<<16 || p.PGCount&(p.PGCount-1) != 0,
		p.UnitBytes < 1:
		return fmt.Errorf("%w: pool %d: %d+%d, %d PGs, unit %d", ErrCorrupt, p.ID, p.K, p.M, p.PGCount, p.UnitBytes)
	}
	return nil
}

func checkPG(pg *placement.PG, pool *placement.Pool) error {
	if len(pg.Slots) != pool.N() {
		return fmt.Errorf("%w: PG of %d slots in a pool of %d", ErrCorrupt, len(pg.Slots), pool.N())
	}
	seen := make(map[ids.Drive]bool, len(pg.Slots))
	for _, s := range pg.Slots {
		if s.Drive.IsZero() || seen[s.Drive] {
			return fmt.Errorf("%w: PG with drive %s twice or none", ErrCorrupt, s.Drive)
		}
		seen[s.Drive] = true
	}
	return nil
}

func checkRange(r *placement.Range) error {
	if len(r.End) > 0 && string(r.Start) >= string(r.End) {
		return fmt.Errorf("%w: range %d ends before it starts", ErrCorrupt, r.ID)
	}
	if s := r.Splitting; s != nil && (s.Child == 0 || s.Child == r.ID || len(s.Replicas) == 0 ||
		string(s.At) <= string(r.Start) || len(r.End) > 0 && string(s.At) >= string(r.End)) {
		return fmt.Errorf("%w: range %d: its split", ErrCorrupt, r.ID)
	}
	for i, a := range r.Replicas {
		if a.ID == 0 || a.ID >= r.NextReplica {
			return fmt.Errorf("%w: range %d: replica %d, next %d", ErrCorrupt, r.ID, a.ID, r.NextReplica)
		}
		for _, b := range r.Replicas[:i] {
			if a.ID == b.ID {
				return fmt.Errorf("%w: range %d: replica %d twice", ErrCorrupt, r.ID, a.ID)
			}
		}
	}
	return nil
}
