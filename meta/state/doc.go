// Package state is what a range of object records holds and how commands change it, apart from Raft:
// (rows, command) to (rows, result), and the reads over the same rows.
//
// A Machine belongs to one replica and is used by one goroutine. It applies committed commands, in log order, to an
// indexed batch over the replica's rows; Finish adds the range's own rows and ends the batch, which the caller commits:
//
//	m, _ := state.Load(db, span)
//	b := db.NewIndexedBatch()
//	for each entry: res, err := m.Apply(b, cmd)
//	effect, err := m.Finish(b, index, term)
//	b.Commit(pebble.NoSync)
//
// Replicas of a range in one process need not compute the same batch twice: one that stands at the index where the
// batch begins may commit b.Repr() instead (Batch.SetRepr on an empty batch) and call Follow(effect).
//
// Invariants:
//   - Deterministic: the result and the rows depend on the rows, the span and the command only. No clock, no map order.
//   - A command never fails: what cannot be applied gives a Code. An error is the drive's (or ErrCorrupt, which is
//     the same to the caller): the Machine is then of no use, and the batch must not be committed.
//   - A refused command changes no row but its request row, the last stamp and what expires by time.
//   - Stamps strictly increase in a range (I18). A known request id is answered, not applied (I1).
//   - An extent is referred to by one row only, and when that row goes, a reclaim row comes in the same batch (I14).
//   - A command that adds or removes versions is refused unless it was built with the rules of the bucket that the range
//     holds (I11).
//   - Reencode changes which chunks hold a body and nothing that a reader sees: the version's row keeps its stamp, and takes the new body
//     only while it refers to the one that was read (I14). So whatever is done to the key meanwhile wins.
//   - A body in a pool that is closed is refused: what a range refers to is in a pool that is there.
//   - Counters are exact after every batch.
//
// # Versions
//
// Rows are multi-version; what a bucket's rules say of versioning decides what a write does to the versions that are there:
//
//	            put, complete                delete without an id
//	never       replaces the null version    removes the newest version
//	enabled     adds a version with an id    adds a delete marker with an id
//	suspended   replaces the null version    removes the null version, adds a null delete marker
//
// Deleting a version by its id, or the null version, removes it; the one before it becomes the newest. All of it by the range's own
// rules (I11), whatever the gateway thought. A key whose newest version has an id counts as suspended, should its rules say never: rules
// from before may come back with an old copy of the control state, and then no version with an id goes unasked.
//
//   - A key has at most one null version, and a row in table nulls if and only if it has one that is not the newest. So every
//     command is a fixed number of seeks, however many versions a key has.
//   - A version's stamp never changes, but by a revision (PutVersion.revises), which only never-versioned buckets take.
//   - UpdateVersion changes Details only: the row keeps its stamp, its body and all that its head says of it.
//   - Objects counts the keys whose newest version is not a delete marker; versions and size count all versions.
//
// # Object lock
//
// A version whose Details hold a lock is removed by no command while it lasts: a legal hold until it is taken off, compliance until its
// time, governance until its time but for who may bypass it. All that removes a version goes through remove, which is where this is
// enforced; it depends on the version alone, not on the bucket's rules of today. Rules decide only what a new version gets, and whether
// locks may be changed. The present is the command's stamp. Retention is changed by UpdateVersion, which does not weaken what is promised
// (retain). Reencode keeps a version's lock as it keeps all its details. A bucket with a locked version is not empty: its counters say so,
// so it is not deleted (I20). A pool that holds its body is not removed before the body was moved (ClosePool only refuses new ones).
//
// # Splits (I20)
//
// A split ends a range's span at a border and lets a child range begin there. No row keyed by route moves, for the tables of
// both share the drive's rows; only what is keyed by range is divided. So that this takes no longer for a large range than
// for a small one, it goes in two commands:
//
//  1. PrepareSplit: from here on the range counts, beside its counters, what changes at and behind the border.
//  2. Whoever proposes takes a snapshot of the rows at any later moment, counts the rows behind the border in it, and takes
//     away the changes that the same snapshot has counted (CountBehind): that is what lay there at 1.
//  3. Split brings that number. Applied, it adds the changes counted until then, which gives the child's counters exactly;
//     the parent's are the rest. The commands say all that there is to know, so all replicas do the same.
//
// The child gets: the counters of buckets behind the border; seals and rules of all buckets that it may have keys of, so that
// neither is lost on the way (the bucket on the border has them on both sides); the closed pools; last stamp, closed, and the greatest body
// ever reclaimed (I1, I6, I18). Two things it does not get:
//
//   - Request rows. A request id is for ever its range's to which it was first sent: a retry goes there too, and learns the
//     first result or STALE_RANGE, which is kept for it; only then may the caller take a fresh id to the child (I1).
//   - Expiry rows: the child makes its own out of its done rows, a few with each command. Those of the parent that have
//     gone over fall away when their time comes.
package state
