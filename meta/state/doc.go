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
