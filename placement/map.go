package placement

import (
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// Map is one state of the cluster's control records, read at one etcd revision. It is never changed:
// a change makes a new Map, so readers hold one without a lock for as long as they need it.
type Map struct {
	Revision   int64  // etcd's, of the newest record in it
	Generation uint64 // raised by `sherd control restore` (I9)
	Cluster    ids.Cluster
	Nodes      map[string]*Node
	Alive      map[string]bool // nodes whose process shows signs of life; a dead one is not in it
	Drives     map[ids.Drive]*Drive
	Pools      map[ids.Pool]*Pool
	Ranges     []*Range // ordered by Start, spans without gap or overlap
	Buckets    map[string]*Bucket
	Settings   map[string]string

	DefaultAccount *Account            // that the cluster began with; also in Accounts
	Accounts       map[string]*Account // by id
	Users          map[Name]*User
	Groups         map[Name]*Group
	Policies       map[Name]*Policy
	IAM            int64                // as Revision, of the newest change to those four
	Identities     map[string]*Identity // by access key
	DataKey        *WrappedKey          // nil: secrets are not sealed yet
}

// Node is a process with drives.
type Node struct {
	Name string `json:"name"`
	Zone string `json:"zone,omitempty"`
	Addr string `json:"addr,omitempty"` // host:port for other nodes; empty in a cluster of one
	// Level is up to which feature level its binary reads and writes.
	Level int `json:"level,omitempty"`
	// Draining: all of its drives are to give away what they hold (`sherd node drain`).
	Draining bool `json:"draining,omitempty"`
}

// DriveState is what the cluster holds of a drive.
type DriveState string

const (
	DriveUp      DriveState = "up"      // takes reads and writes
	DriveSuspect DriveState = "suspect" // answers, but missed writes: counts as lost until its repair rows are drained (I2)
	DriveDown    DriveState = "down"    // does not answer: worked around
	DriveOut     DriveState = "out"     // given up: its slots and replicas get new owners
)

// Drive is one formatted directory.
type Drive struct {
	ID       ids.Drive  `json:"id"`
	Node     string     `json:"node"`
	Path     string     `json:"path"`
	Bytes    int64      `json:"bytes"`           // size of its file system
	Mount    bool       `json:"mount,omitempty"` // Path was a mount point when it was formatted (I10)
	Weight   float64    `json:"weight"`          // share of placement; 1 a TiB by default
	State    DriveState `json:"state"`
	Since    time.Time  `json:"since"`             // of State
	Reason   string     `json:"reason,omitempty"`  // of State, for people
	Replaces ids.Drive  `json:"replaces,omitzero"` // the drive whose path it took over
	// Draining: it is to give away what it holds (`sherd drive drain`). Until a slot has moved it is written as any other.
	Draining bool `json:"draining,omitempty"`
	// Added: by command, to a node that ran: the node opens it at the next start though its path is not among the arguments.
	Added bool `json:"added,omitempty"`
	// Removed: it is out because an operator took it away when nothing was on it any more. The row stays, so that the directory
	// does not come back as the drive it was (I10).
	Removed  bool  `json:"removed,omitempty"`
	Revision int64 `json:"-"` // of the row
}

// Up reports whether d can be asked at all.
func (d *Drive) Up() bool { return d != nil && (d.State == DriveUp || d.State == DriveSuspect) }

// Draining reports whether d is to give away what it holds, by an order for it or for its node.
func (m *Map) Draining(d *Drive) bool {
	n := m.Nodes[d.Node]
	return d.Draining || n != nil && n.Draining
}

// Pool is an erasure profile with its placement groups.
type Pool struct {
	ID        ids.Pool `json:"id"`
	Name      string   `json:"name"`
	K         int      `json:"k"`
	M         int      `json:"m"`
	UnitBytes int      `json:"unitBytes"` // 256 KiB
	PGCount   int      `json:"pgCount"`   // a power of two, fixed
	// Drives are those that it uses, and those that take their place; none: all.
	Drives []ids.Drive `json:"drives,omitempty"`
	// StorageClass is the x-amz-storage-class of requests that use it whatever their bucket's pool is; empty: none.
	StorageClass string `json:"storageClass,omitempty"`
	// Removing: it is to go (`sherd pool rm`). Nothing may begin to use it.
	Removing bool `json:"removing,omitempty"`
	// Kept says, for people, why the last order to remove it was taken back.
	Kept string `json:"kept,omitempty"`
	PGs  []*PG  `json:"-"` // by id; records of their own
}

// N is how many slots each PG of p has.
func (p *Pool) N() int { return p.K + p.M }

// W is how many chunks a write must reach at least: k+1, or k if there is no parity.
func (p *Pool) W() int { return min(p.K+1, p.N()) }

// Vacant reports a PG that was not laid out yet: nothing can be in it.
func (g *PG) Vacant() bool { return g.Epoch == 0 }

// DefaultPoolSetting is the setting with the id of the pool of buckets that name none.
const DefaultPoolSetting = "pool.default"

// DefaultPool is the pool of buckets that name none: the one that was chosen, else the first; nil if there is none.
func (m *Map) DefaultPool() (first *Pool) {
	for id, p := range m.Pools {
		if m.Settings[DefaultPoolSetting] == strconv.Itoa(int(id)) {
			return p
		}
		if first == nil || id < first.ID {
			first = p
		}
	}
	return first
}

// ClassPool is the pool of a storage class; ok is false if no pool has it: then the bucket's is used.
func (m *Map) ClassPool(class string) (id ids.Pool, ok bool) {
	for id, p := range m.Pools {
		if class != "" && p.StorageClass == class {
			return id, true
		}
	}
	return 0, false
}

// PoolFor is the pool that an object of a storage class in b is to be in: that of its class, else the bucket's; nil if it is not there
// to be written to.
func (m *Map) PoolFor(b *Bucket, class string) *Pool {
	id, ok := m.ClassPool(class)
	if !ok {
		id = b.Pool
	}
	p := m.Pools[id]
	if p == nil || slices.ContainsFunc(p.PGs, (*PG).Vacant) {
		return nil
	}
	return p
}

// Uses reports whether p's slots may be on d.
func (m *Map) Uses(p *Pool, d *Drive) bool {
	for range len(m.Drives) {
		switch before := m.Drives[d.Replaces]; {
		case len(p.Drives) == 0, slices.Contains(p.Drives, d.ID), slices.Contains(p.Drives, d.Replaces):
			return true
		case before == nil:
			return false
		default:
			d = before
		}
	}
	return false
}

// PG is one row of the map.
type PG struct {
	Epoch    uint64 `json:"epoch"` // raised by every change of Slots (I5)
	Slots    []Slot `json:"slots"` // by slot number
	Revision int64  `json:"-"`     // of the row; a change is guarded by it (I19)
}

// Slot says who holds one shard column of a PG.
type Slot struct {
	Drive    ids.Drive `json:"drive"`
	Since    uint64    `json:"since"`         // the epoch at which Drive became owner
	Complete bool      `json:"complete"`      // Drive holds all that was written before Since
	From     ids.Drive `json:"from,omitzero"` // the owner before, while it can still be read
}

// Range is one span of the (bucket, key) space and its Raft group.
type Range struct {
	ID         ids.Range `json:"id"`
	Start      []byte    `json:"start"`      // inclusive, in meta/keys' encoding; empty is the least
	End        []byte    `json:"end"`        // exclusive; empty is past the greatest
	Generation uint64    `json:"generation"` // I4
	Replicas   []Replica `json:"replicas"`
	// NextReplica is greater than every replica id the range ever had (I10).
	NextReplica ids.Replica `json:"nextReplica"`
	// Begun: the range has had a leader. Its first replicas are not made again, though all of them be lost (I10).
	Begun bool `json:"begun,omitempty"`
	// Splitting is a split that is ordered and not yet recorded: until it is, no replica joins or leaves the range (I20).
	Splitting *Splitting `json:"splitting,omitempty"`
	Revision  int64      `json:"-"` // of the row; a change is guarded by it (I19)
}

// Splitting is all that the replicas of a range must agree on when it splits: what begins at At is the child's.
type Splitting struct {
	At         []byte    `json:"at"`         // in meta/keys' encoding
	Child      ids.Range `json:"child"`      // never used before
	Generation uint64    `json:"generation"` // the child's first
	Replicas   []Replica `json:"replicas"`   // the child's first: the range's, with their ids, on the same drives
}

// Divided returns the rows of r and its child as they are once the ordered split is made; r.Splitting is not nil.
func (r *Range) Divided() (parent, child *Range) {
	s := r.Splitting
	left := *r
	left.End, left.Splitting = s.At, nil
	right := &Range{
		ID: s.Child, Start: s.At, End: r.End, Generation: s.Generation, Replicas: s.Replicas, NextReplica: 1, Begun: true,
	}
	for _, rep := range s.Replicas {
		right.NextReplica = max(right.NextReplica, rep.ID+1)
	}
	return &left, right
}

// Replica is one Raft peer of a range.
type Replica struct {
	ID    ids.Replica `json:"id"`
	Drive ids.Drive   `json:"drive"`
	// Joining: made by the planner's order, not yet a voter.
	Joining bool `json:"joining,omitempty"`
	// Leaving: it goes by the planner's order, and none comes in its stead. The order is not taken back. Joining and Leaving: it is not to
	// join any more; if it votes by then, it stays after all.
	Leaving bool `json:"leaving,omitempty"`
	// Replaces is the replica that leaves the range when this one has joined; 0 if the range only grows.
	Replaces ids.Replica `json:"replaces,omitempty"`
}

// Settled reports whether r's replicas are as they are meant to be: none comes or goes, and it does not split.
func (r *Range) Settled() bool {
	return r.Splitting == nil && !slices.ContainsFunc(r.Replicas, func(rep Replica) bool { return rep.Joining || rep.Leaving })
}

// Bucket is a bucket's record.
type Bucket struct {
	ID       ids.Bucket `json:"id"`
	Name     string     `json:"name"`
	Created  time.Time  `json:"created"`
	Owner    string     `json:"owner"`
	Region   string     `json:"region,omitempty"`
	Pool     ids.Pool   `json:"pool"`
	Deleting bool       `json:"deleting,omitempty"` // I20
	Marks    uint64     `json:"marks,omitempty"`    // how often it was marked as being deleted
	Rules    int64      `json:"rules,omitempty"`    // revision of Versioning and Lock, which decide the fate of its data: commands carry it (I11)
	Revision int64      `json:"-"`                  // etcd's, of the row

	Versioning string       `json:"versioning,omitempty"` // "", VersioningEnabled or VersioningSuspended
	Lock       *ObjectLock  `json:"lock,omitempty"`       // nil: versions cannot be locked
	Config     BucketConfig `json:"config,omitempty"`
}

// RangeFor finds the range that holds key, in meta/keys' encoding; nil if the map has none.
func (m *Map) RangeFor(key []byte) *Range {
	i := sort.Search(len(m.Ranges), func(i int) bool {
		return slices.Compare(m.Ranges[i].Start, key) > 0
	})
	if i == 0 {
		return nil
	}
	return m.Ranges[i-1]
}

// BucketByID finds a bucket by its id; nil if there is none. O(buckets).
func (m *Map) BucketByID(id ids.Bucket) *Bucket {
	for _, b := range m.Buckets {
		if b.ID == id {
			return b
		}
	}
	return nil
}
