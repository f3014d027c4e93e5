package adminapi

import "time"

// The calls below are about where data is. A drive is named by its path, by NODE:PATH, or by the first digits of its id.
//
//	POST drives/add      DriveRequest -> Drive     of the node that is asked
//	POST drives/drain    DriveRequest -> Drive
//	POST drives/remove   DriveRequest -> Drive
//	POST drives/weight   DriveRequest -> Drive
//	GET  nodes           []Node
//	POST nodes/drain     NodeRequest  -> Node
//	POST nodes/remove    NodeRequest  -> Node
//	POST plan            WhatIf       -> Plan
//	GET  pools           []PoolRow
//	POST pools/create    PoolRequest  -> PoolRow
//	POST pools/set       PoolRequest  -> PoolRow
//	POST pools/remove    PoolRequest  -> PoolRow: its name only, when it is gone
//	GET  buckets         []BucketRow
//	POST buckets/pool    BucketPoolRequest -> BucketPool

// DriveRequest names a drive, and what to do with it.
type DriveRequest struct {
	Drive  string  `json:"drive"`
	Cancel bool    `json:"cancel,omitempty"` // drain: take the order back
	Force  bool    `json:"force,omitempty"`  // drain: though a node or zone could not be lost any more then
	Lost   bool    `json:"lost,omitempty"`   // remove: give up a drive that does not come back
	Weight float64 `json:"weight,omitempty"` // weight: share of placement; 1 a TiB by default
}

// NodeRequest names a node.
type NodeRequest struct {
	Node   string `json:"node"`
	Cancel bool   `json:"cancel,omitempty"` // drain: take the order back
	Force  bool   `json:"force,omitempty"`  // drain: though a node or zone could not be lost any more then
}

// Node is a process with drives.
type Node struct {
	Name     string `json:"name"`
	Zone     string `json:"zone,omitempty"`
	Addr     string `json:"addr,omitempty"`
	Alive    bool   `json:"alive"`
	Draining bool   `json:"draining,omitempty"`
	Drives   int    `json:"drives"`
	Bytes    int64  `json:"bytes"` // of its drives' file systems
	Slots    int    `json:"slots"` // shard columns of placement groups that it has
	Replicas int    `json:"replicas"`
}

// WhatIf is a change to look at before it is made; empty: what is due anyhow.
type WhatIf struct {
	Add        []AddDrives        `json:"add,omitempty"`
	Drain      []string           `json:"drain,omitempty"` // drives
	DrainNodes []string           `json:"drainNodes,omitempty"`
	Out        []string           `json:"out,omitempty"` // drives that are lost
	Weights    map[string]float64 `json:"weights,omitempty"`
}

// AddDrives are new drives of one size.
type AddDrives struct {
	Node  string `json:"node"`
	Count int    `json:"count"`
	Bytes int64  `json:"bytes"`
}

// Plan is what moves, and where that leads.
type Plan struct {
	InMotion int    `json:"inMotion"` // slots that move now
	Slots    int    `json:"slots"`    // that are still to move
	Rebuilt  int    `json:"rebuilt"`  // of them, those whose old owner cannot be read
	Replicas int    `json:"replicas"` // of ranges
	Bytes    int64  `json:"bytes"`    // about, as stored now
	Seconds  int64  `json:"seconds"`  // about; 0 where there is nothing to move
	Stuck    int    `json:"stuck"`    // slots that should leave a drive and have nowhere to go
	Refused  string `json:"refused,omitempty"`
	// MayLose is how many drives may be lost with nothing lost, now and when all is done; 0 also where something is out of reach.
	MayLose      int         `json:"mayLose"`
	MayLoseAfter int         `json:"mayLoseAfter"`
	Convert      Stored      `json:"convert"`              // objects that are to go to another pool, whatever moves
	OutOfReach   bool        `json:"outOfReach,omitempty"` // when all is done: more is lost than may be
	Drives       []PlanDrive `json:"drives"`
}

// PlanDrive is one drive's part in a plan.
type PlanDrive struct {
	ID       string  `json:"id"` // empty: one that is to be added
	Node     string  `json:"node"`
	Path     string  `json:"path"`
	State    string  `json:"state"`
	Draining bool    `json:"draining,omitempty"`
	Weight   float64 `json:"weight"`
	SlotsNow int     `json:"slotsNow"`
	Slots    int     `json:"slots"` // when all is done
	Share    int     `json:"share"` // by weight and domains
	BytesIn  int64   `json:"bytesIn"`
	BytesOut int64   `json:"bytesOut"`
}

// PoolRow is an erasure profile with its placement groups.
type PoolRow struct {
	ID           uint16   `json:"id"`
	Name         string   `json:"name"`
	K            int      `json:"k"`
	M            int      `json:"m"`
	PGs          int      `json:"pgs"`
	Ready        bool     `json:"ready"` // all of its PGs are laid out
	Default      bool     `json:"default"`
	StorageClass string   `json:"storageClass,omitempty"`
	Drives       []string `json:"drives,omitempty"` // ids; none: all
	Buckets      int      `json:"buckets"`
	Stored       Stored   `json:"stored"`  // bodies of objects, and of parts of unfinished uploads
	Leaving      Stored   `json:"leaving"` // of them, those that are to go to another pool
	Exact        bool     `json:"exact"`   // both are counted
	Removing     bool     `json:"removing,omitempty"`
}

// PoolRequest makes a pool, or changes one.
type PoolRequest struct {
	Name         string   `json:"name"`
	Profile      string   `json:"profile,omitempty"` // 4+2; create alone
	PGs          int      `json:"pgs,omitempty"`     // create alone; 256
	Drives       []string `json:"drives,omitempty"`  // create alone; all
	Default      bool     `json:"default,omitempty"`
	StorageClass *string  `json:"storageClass,omitempty"` // requests with this x-amz-storage-class use it; "": none
}

// BucketRow is a bucket, its pool, and what it has.
type BucketRow struct {
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	Pool      string    `json:"pool"`
	Stored    Stored    `json:"stored"`
	ToConvert Stored    `json:"toConvert"` // objects in another pool than they are to be in
	Exact     bool      `json:"exact"`     // ToConvert is counted
}

// BucketPoolRequest names the pool that a bucket's objects go to.
type BucketPoolRequest struct {
	Bucket string `json:"bucket"`
	Pool   string `json:"pool"`
}

// BucketPool is a bucket's pool.
type BucketPool struct {
	Bucket string `json:"bucket"`
	Pool   string `json:"pool"`
}
