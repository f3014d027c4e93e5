// Package replica runs the Raft peers of key ranges, one Host a drive, over go.etcd.io/raft/v3.
//
// A Host has one goroutine. It steps all of its ranges that have something to do, puts what must be durable of all of
// them into one append to the drive's log, waits for that one sync, and then sends promises, applies and answers. No
// timer is on that path: what comes meanwhile makes the next batch.
//
// Where a replica's state lies:
//
//   - log: entries and hard states, as records of one group commit each (record.go). Synced.
//   - rows: the range's rows with applied index, term and stamp (package state), and one row of the replica's own with
//     generation and configuration (conf.go). Not synced: the log replays what a crash took.
//   - memory: positions of all entries, the newest entries, Raft's state.
//
// Invariants:
//
//   - I17: entries and votes are synced before any answer that promises them leaves; applied follows; the log is cut
//     only below what the rows have on stable storage. A snapshot is ingested as one edit with the applied index and
//     the replica's own row, and acknowledged when that is on stable storage. Its record comes before: where the rows did
//     not follow it says nothing, not even what is committed.
//   - Every live replica has a reset record in the log that is not released, and its rows are its own only if its
//     own row is there. Rows and log that do not fit together are ErrLost, for the whole drive (I10).
//   - I4: a message of another generation is dropped; a change of configuration proposed under another is not applied.
//     Commands are not refused at apply for their generation: all replicas must decide alike.
//   - I8: a lease ends leaseShare election time-outs after the send time of a heartbeat round that a majority answered
//     in this term. It begins when the term's first entry is applied and is over for the term when a transfer begins.
//   - I20: a split shrinks the parent's replica and makes the child's in one batch of rows. The child's log begins at firstID with
//     the replicas that the command names. Its record is synced before the batch is written: until the rows have the batch,
//     also after a crash, the child is unborn, takes no part and is waited for. A child's replica that no log here can bring
//     to life any more is lost: it never becomes a blank one under its id (I10).
//   - Two replicas of a host never cover the same keys, so that neither's rows are cleared for the other's. While a parent's
//     replica has not split, nothing of the child is made here by other means, and no snapshot of it taken (ErrOverlap): the
//     sender tries again. A replica that gets its parent's snapshot from after the split has no child; the planner replaces it.
//   - I18: a leader takes proposals once its term's first entry is applied; stamps are fixed by package state. Answers to
//     heartbeats and votes tell their senders' wall clocks, heartbeats the median: who is clockAheadMax before it does
//     not serve and lets others campaign first, and hands over if it leads. Nothing is decided before a majority's clocks are known.
//   - Replicas of one process share entries (Envelope.Msg is never changed) and batches (Batches).
//   - All queues are bounded: proposals (QueueMax, then ErrBusy), messages (InboxMax, then lost), snapshots.
package replica
