// Package plan computes what the map should become: pure functions of a map and an event, without clock, file or
// goroutine, so that equal input gives equal output and every plan can be shown before it runs.
//
// Invariants of what it returns:
//   - No drive twice in a PG, nor twice among a range's replicas.
//   - No failure domain holds more than m slots of a PG where the drives allow, and it is aimed at ceil(n / domains) (I19).
//   - Where the drives allow, for each domain at least 1/(2·domains) of a pool's PGs have no slot in it (I19).
//   - A PG changes one slot at a time, and none while a slot of it is incomplete, but for drives that are lost (I19, I5).
//   - Every change of owners raises the PG's epoch by one; Since of a changed slot is the new epoch (I5).
//   - Moves are the fewest that put every drive within 3 % of its share, as far as domains allow.
package plan
