// Package store keeps the map in etcd, and a copy of it in memory.
//
// All rows of a cluster are under one prefix, as JSON with a version: cluster, nodes/, drives/, pools/, pgs/<pool>/<pg>,
// ranges/, buckets/, accounts/, users/, groups/, policies/, iam/ (access keys), secrets/, settings/, and next/ for ids that are never used again. Open loads them at one revision and
// watches from the next; each batch of events swaps one new immutable Map in, which shares all that did not change.
//
// Invariants:
//   - Map never blocks and never goes back: a state with a lower generation or revision is refused, and said (I9); so is
//     one below Options.Floor, which the copies on the drives know.
//   - Every write also writes the row "last", so that Sync, which reads that row from a quorum, knows which revision the
//     map must reach to hold all that finished before Sync began.
//   - A write is one transaction guarded by the revision of the row that it changes, and by the election's key where a
//     planner makes it (I19). Its error is nil, ErrConflict, or ErrUnavailable: then the outcome may be unknown.
//   - Changes of accounts and what is theirs are made one after another (EditIAM). Secrets of access keys are in etcd only sealed, under a
//     key that is there only sealed (DataKey); one that cannot be opened is refused, and hurts no other.
//   - A row that cannot be decoded is logged and counted, and leaves the value that was there before; it never panics.
//   - While etcd is away Map goes on serving what it has; ContactAge tells for how long.
package store
