// Package heal keeps every blob at full strength, and drives free of what nothing refers to.
//
//   - repair drains the ranges' repair rows: slots that missed a write, or that scrub found missing;
//   - rebuild fills the slots of placement groups that got a new owner, most exposed groups first;
//   - reclaim deletes the chunks of blobs that nothing refers to any more;
//   - collect raises the ranges' closed stamp, below which no commit is accepted (I6);
//   - scrub reads everything, and compares rows with chunks, both ways;
//   - ledger counts how many blobs are at full strength, one short, two short … now.
//
// Invariants:
//   - I2: a drive turns from suspect to up only after a pass over all ranges found no repair row for it.
//   - I5: a group's blobs are listed only after n−w+1 owners have persisted its epoch; a slot is reported complete only
//     after every listed blob that lives is there. What a drive that knows a newer epoch does not have is not missing, and what it has
//     is no stray.
//   - I6, I15: a chunk is taken for garbage only if its upload id is older than what every range has closed, and its home
//     says, after that, that nothing refers to it. An error is no answer. Too many at once: nothing is touched, alarm.
//   - I13: an extent is reclaimed only if it died below the read mark, and its row stays until every drive that may hold
//     a chunk of it has it deleted.
//   - Every step may be repeated, by this process or the next one. Nothing is remembered but in the ranges and the map.
//   - A loop sleeps until something happens, with a slow tick behind it; what fails is counted and tried again later.
package heal
