// Package heal keeps every blob at full strength, and drives free of what nothing refers to.
//
//   - repair drains the ranges' repair rows: slots that missed a write, or that scrub found missing;
//   - rebuild fills the slots of placement groups that got a new owner, most exposed groups first;
//   - sweep has the owners of old drop what has moved away from them;
//   - reclaim deletes the chunks of blobs that nothing refers to any more;
//   - collect raises the ranges' closed stamp, below which no commit is accepted (I6);
//   - scrub reads everything, and compares rows with chunks, both ways;
//   - convert writes objects anew that are in another pool than their bucket, or storage class, uses by now;
//   - ledger counts how many blobs are at full strength, one short, two short … now.
//
// Invariants:
//   - I2: a drive turns from suspect to up only after a pass over all ranges found no repair row for it. An up drive that repair rows name,
//     and that cannot be healed at once, turns suspect: so the map hears of what a writer missed though the writer died with its word.
//   - I5: a group's blobs are listed only after n−w+1 owners have persisted its epoch; a slot is reported complete only
//     after every listed blob that lives is there. What a drive that knows a newer epoch does not have is not missing, and what it has
//     is no stray.
//   - I5: an owner of old drops a chunk only when the map says that the slot is complete elsewhere and its owner has that very chunk, and only
//     under the epoch by which that was so: a drive that knows a newer one may be the owner again. Chunks that a move explains are no orphans.
//   - I22: what repair or rebuild finds bad besides what it is at is healed, too. A blob that lives and that they find lost is alarmed about.
//   - Several processes may do any of it at the same time. Each does its share (Options.Share of the ranges, Options.Mine of the drives); the
//     ledger of the cluster is the sum of theirs. A share is of ranges whose changes its process sees (Options.Version): the ledger is counted
//     after changes only. What needs a view of all ranges, that a drive is drained (I2), one of them decides.
//   - I6, I15: a chunk is taken for garbage only if its upload id is older than what every range has closed, and its home
//     says, after that, that nothing refers to it. An error is no answer. Too many at once: nothing is touched, alarm.
//   - I13: an extent is reclaimed only if it died below the read mark, and its row stays until every drive that may hold
//     a chunk of it has it deleted.
//   - I7, I14: a converted body has an upload id of its own, and its object's row takes it only while it is the very version, with the very
//     body, that was read: whoever wrote, deleted or changed the object meanwhile wins. Nothing else of the object changes. What was
//     written and is not referred to (a refusal, a crash) is garbage by I6; what is not referred to any more is reclaimed by I13.
//   - I13: a body is converted as a read that begins before its home says that it lives.
//   - Every step may be repeated, by this process or the next one. Nothing is remembered but in the ranges and the map: a full scrub goes on
//     where the process before has stopped.
//   - A loop sleeps until something happens, with a slow tick behind it; what fails is counted and tried again later.
package heal
