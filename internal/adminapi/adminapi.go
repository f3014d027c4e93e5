// Package adminapi declares the JSON shapes of the admin API: what cmd/sherd's server side fills in, the
// gateway carries, and the admin commands print. It has no behaviour but sums.
//
// All paths lie under Prefix. Requests are signed with Signature V4, service s3, by the root user. An error
// is an Error with an HTTP status from 400 on.
//
//	GET  status            Status
//	GET  drives            []Drive
//	POST drives/replace    ReplaceRequest  -> Drive
//	GET  ranges            []Range
//	POST ranges/split      SplitRequest    -> Range   the one that begins at the border, when it is there
//	GET  heal              Heal
//	POST heal/start        -> Heal    repair all that is short now, without waiting
//	POST heal/pause        -> Heal
//	POST heal/resume       -> Heal
//	GET  scrub             Scrub
//	POST scrub/start       -> Scrub
//	POST scrub/pause       -> Scrub   start goes on where it stopped
//	GET  quarantine        Quarantine
//	POST quarantine/restore RestoreRequest -> Quarantined
//	POST nodes/token       TokenRequest -> Token   lets one node join, once
//	POST control/confirm   ConfirmRequest -> Confirmed   ends the caution after a restore of the control state
//
// placement.go has those about drives, nodes, plans and pools; recover.go those about ranges that have lost most of their replicas.
package adminapi

import "time"

// Prefix is where the admin API lies.
const Prefix = "/_/admin/v1/"

// Error is the body of an answer that is not 2xx.
type Error struct {
	Error string `json:"error"` // for people
}

// Status is the state of the cluster as one node sees it.
type Status struct {
	Cluster  string    `json:"cluster"` // id
	Node     string    `json:"node"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Healthy  bool      `json:"healthy"`  // nothing in Problems is an Error
	Problems []Problem `json:"problems"` // most severe first

	Nodes    []NodeState `json:"nodes"` // by name
	Space    Space       `json:"space"`
	Pools    []Pool      `json:"pools"`
	Drives   []Drive     `json:"drives"`
	Ranges   []Range     `json:"ranges"`
	Etcd     []Member    `json:"etcd"` // empty with an external etcd
	Buckets  int         `json:"buckets"`
	Usage    Usage       `json:"usage"`
	Ledger   Ledger      `json:"ledger"`
	Convert  Conversion  `json:"convert"`
	Memory   Memory      `json:"memory"`
	Settings []Setting   `json:"settings,omitempty"`
}

// NodeState is a node, and what it says of itself; without an answer, what the map says.
type NodeState struct {
	Name     string    `json:"name"`
	Zone     string    `json:"zone,omitempty"`
	Addr     string    `json:"addr,omitempty"`   // of the node port
	Alive    bool      `json:"alive"`            // it shows signs of life
	Reason   string    `json:"reason,omitempty"` // why it does not answer
	Version  string    `json:"version,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Time     time.Time `json:"time,omitzero"`     // by its wall clock
	AheadMS  int64     `json:"aheadMs,omitempty"` // its wall clock of the clock of the node that was asked for the status
	Planner  bool      `json:"planner,omitempty"` // it is elected to plan
	Memory   Memory    `json:"memory"`
	Drives   []Drive   `json:"drives"`
	Space    Space     `json:"space"`
	Problems []Problem `json:"problems,omitempty"` // that only it sees
	Heal     Heal      `json:"heal"`               // its share of healing
	Scrub    Scrub     `json:"scrub"`
}

// Setting is one value of the configuration that is in force, for people.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Severity orders problems.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // data or service is at risk now
	SeverityWarning Severity = "warning" // something less than what was promised
)

// Problem is one line of what is wrong, and what to do.
type Problem struct {
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy,omitempty"`
}

// Space is in bytes. Usable is raw times k/(k+m), as a writer will find it.
type Space struct {
	Raw        int64 `json:"raw"`
	RawFree    int64 `json:"rawFree"`
	Usable     int64 `json:"usable"`
	UsableFree int64 `json:"usableFree"`
}

// Pool is an erasure profile and the promise that it gives now.
type Pool struct {
	ID   uint16 `json:"id"`
	Name string `json:"name"`
	K    int    `json:"k"`
	M    int    `json:"m"`
	PGs  int    `json:"pgs"`
	// MayLose is how many drives can be lost with nothing lost: the smaller of what data and metadata
	// outlive. MayLoseNow counts those that are lost already.
	MayLose    int `json:"mayLose"`
	MayLoseNow int `json:"mayLoseNow"`
	// UsableAfter is the usable space, in bytes, that remains when m drives are lost.
	UsableAfter int64 `json:"usableAfter"`
	// Writable: new objects are taken now.
	Writable bool `json:"writable"`
}

// Drive is one drive path, and what is there.
type Drive struct {
	ID         string    `json:"id"`
	Node       string    `json:"node"`
	Path       string    `json:"path"`
	State      string    `json:"state"`  // up, suspect, down, out
	Health     string    `json:"health"` // ok, suspect, failed: what its process sees at once
	Reason     string    `json:"reason,omitempty"`
	Since      time.Time `json:"since"`
	Bytes      int64     `json:"bytes"` // of its file system
	FreeBytes  int64     `json:"freeBytes"`
	RoomBytes  int64     `json:"roomBytes"`        // of FreeBytes, what it takes still: above its reserve
	Low        bool      `json:"low"`              // under its reserve: takes no data
	NearlyFull bool      `json:"nearlyFull"`       // less than a twentieth of it is free above its reserve
	Device     string    `json:"device,omitempty"` // major:minor; drives with the same die together
	Chunks     int64     `json:"chunks"`
	ChunkBytes int64     `json:"chunkBytes"`
	Replicas   int       `json:"replicas"` // of ranges
	Etcd       bool      `json:"etcd"`     // hosts a member
	Queued     int64     `json:"queued"`   // repairs that wait for it
	Errors     int64     `json:"errors"`   // since the process started
	Weight     float64   `json:"weight"`   // share of placement
	Slots      int       `json:"slots"`    // shard columns of placement groups that it has, or others are filled from
	Draining   bool      `json:"draining,omitempty"`
}

// Range is one Raft group.
type Range struct {
	ID uint64 `json:"id"`
	// Start and End are BUCKET/KEY: End is the next range's. Empty: before and past all keys.
	Start     string         `json:"start,omitempty"`
	End       string         `json:"end,omitempty"`
	Splitting string         `json:"splitting,omitempty"` // where it is about to split; empty: it is not
	Leader    string         `json:"leader,omitempty"`    // drive id; empty: none
	Quorum    bool           `json:"quorum"`
	Applied   uint64         `json:"applied"`
	Replicas  []RangeReplica `json:"replicas"`
}

// SplitRequest asks for a split before a key, or, with Range alone, in that range's middle.
type SplitRequest struct {
	Bucket string `json:"bucket,omitempty"`
	Key    string `json:"key,omitempty"` // empty: where the bucket begins
	Range  uint64 `json:"range,omitempty"`
}

// RangeReplica is one peer of a range.
type RangeReplica struct {
	ID      uint64 `json:"id"`
	Drive   string `json:"drive"`
	State   string `json:"state"` // leader, follower, candidate, learner, lost
	Applied uint64 `json:"applied"`
}

// Member is one embedded etcd member.
type Member struct {
	Name    string `json:"name"`
	Node    string `json:"node,omitempty"`
	Drive   string `json:"drive"`
	Healthy bool   `json:"healthy"`
	Leader  bool   `json:"leader"`
	Reason  string `json:"reason,omitempty"`
}

// Usage is what clients store, exactly.
type Usage struct {
	Objects     int64 `json:"objects"`
	Versions    int64 `json:"versions"`
	Bytes       int64 `json:"bytes"`
	Uploads     int64 `json:"uploads"` // unfinished multipart uploads
	UploadBytes int64 `json:"uploadBytes"`
}

// Memory is in bytes.
type Memory struct {
	Limit    int64 `json:"limit"`
	Resident int64 `json:"resident"` // of this process and its children
}

// Ledger counts blobs by what they lack now.
type Ledger struct {
	// Short[i] is how many blobs lack i shards; Short[0] are at full strength. Short[m+1] and on cannot be read.
	Short []int64 `json:"short"`
	// Exact: nothing is being counted again.
	Exact bool      `json:"exact"`
	As    time.Time `json:"as"` // of when
}

// Heal is what repair and rebuild do.
type Heal struct {
	State       string     `json:"state"` // idle, running, paused, waiting (for a drive)
	Reason      string     `json:"reason,omitempty"`
	Ledger      Ledger     `json:"ledger"`
	Queued      int64      `json:"queued"` // shards to make
	QueuedBytes int64      `json:"queuedBytes"`
	Done        int64      `json:"done"` // shards made since the queue was last empty
	DoneBytes   int64      `json:"doneBytes"`
	Failed      int64      `json:"failed"`         // tries that will be made again
	Rate        float64    `json:"bytesPerSecond"` // over the last seconds
	ETASeconds  float64    `json:"etaSeconds"`     // 0: not known
	Tasks       []HealTask `json:"tasks,omitempty"`
	Convert     Conversion `json:"convert"`
}

// Stored is a number of objects and their bytes.
type Stored struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Add adds o.
func (s *Stored) Add(o Stored) { s.Objects, s.Bytes = s.Objects+o.Objects, s.Bytes+o.Bytes }

// Conversion is how far objects are on their way to the pools that their buckets, and storage classes, use by now.
type Conversion struct {
	State     string  `json:"state"` // idle, running, paused, waiting (to be tried again)
	Reason    string  `json:"reason,omitempty"`
	Left      Stored  `json:"left"`      // still to convert, as of the ledger's count
	Exact     bool    `json:"exact"`     // all nodes have counted
	Done      int64   `json:"done"`      // bodies, since the processes started
	DoneBytes int64   `json:"doneBytes"` // of them
	Failed    int64   `json:"failed"`    // tries that will be made again
	Rate      float64 `json:"bytesPerSecond"`
	// By id: what is left of each bucket; what each pool has; and what of that is to leave it.
	Buckets map[uint64]Stored `json:"buckets,omitempty"`
	Pools   map[uint64]Stored `json:"pools,omitempty"`
	Leaving map[uint64]Stored `json:"leaving,omitempty"`
}

// HealTask is one drive's share.
type HealTask struct {
	Kind  string `json:"kind"` // repair, rebuild, range, etcd
	Drive string `json:"drive"`
	Path  string `json:"path"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	State string `json:"state"`
}

// Scrub is what the scrubber does, and found.
type Scrub struct {
	State       string    `json:"state"` // idle, running, paused, stopped
	Reason      string    `json:"reason,omitempty"`
	Started     time.Time `json:"started,omitzero"`
	Finished    time.Time `json:"finished,omitzero"` // the last whole pass
	Blobs       int64     `json:"blobs"`             // checked in this pass
	Total       int64     `json:"total"`             // 0: not known
	Bytes       int64     `json:"bytes"`
	Rate        float64   `json:"bytesPerSecond"`
	Damaged     int64     `json:"damaged"` // shards, in this pass
	Missing     int64     `json:"missing"`
	Repaired    int64     `json:"repaired"`
	Garbage     int64     `json:"garbage"`     // chunks that nothing refers to, and were removed under I6
	Quarantined int64     `json:"quarantined"` // chunks that could not be explained
}

// Quarantine is what is in quarantine on all drives that answer.
type Quarantine struct {
	Chunks []Quarantined `json:"chunks"`
	Unread []Unread      `json:"unread"` // drives that may have more
}

// Unread is a drive that could not be asked, and why.
type Unread struct {
	Drive  string `json:"drive"`
	Node   string `json:"node"`
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Quarantined is one chunk that the scrubber could not explain.
type Quarantined struct {
	Drive   string    `json:"drive"`
	Node    string    `json:"node"`
	Path    string    `json:"path"`  // of the drive
	Chunk   string    `json:"chunk"` // key, as ids.Chunk prints it
	Bucket  uint64    `json:"bucket"`
	Object  string    `json:"object"`
	Bytes   int64     `json:"bytes"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires,omitzero"`
}

// ReplaceRequest names a drive path whose directory is blank now.
type ReplaceRequest struct {
	Node string `json:"node,omitempty"` // empty: the one that is asked
	Path string `json:"path"`
	// Force adopts also what was a mount point and is none now, and more than m blank drives (I10).
	Force bool `json:"force"`
}

// RestoreRequest names a chunk in quarantine.
type RestoreRequest struct {
	Drive string `json:"drive"`
	Chunk string `json:"chunk"`
}

// ConfirmRequest says that what was restored is right.
type ConfirmRequest struct {
	// Directory: also the directory of ranges, though not all replicas could be compared with it: those that nobody has any more are
	// replaced.
	Directory bool `json:"directory,omitempty"`
}

// Confirmed answers control/confirm.
type Confirmed struct {
	Held   bool     `json:"held"`             // there was something to confirm
	Doubts []string `json:"doubts,omitempty"` // what is not known of ranges, so that their replicas stay where they are
}

// TokenRequest asks for a token with which one node joins.
type TokenRequest struct {
	Life time.Duration `json:"life"` // ns
}

// Token lets one node join.
type Token struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Join    string    `json:"join"` // address of the node port to join by
}
