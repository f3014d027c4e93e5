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
//   - Counters are exact after every batch.
package state
