// Package meta keeps the object records: ordered, multi-version, linearizable, in key ranges that are replicated by
// Raft over drives.
//
// A Node is one process's part: a replica.Host for each drive, and the calls that the gateway makes. It finds the range
// of a key in the map, sends commands to the range's leader, and reads under the leader's lease on the caller's own
// goroutine. There may be any number of ranges; a listing goes on across their borders.
//
// Where a range is led by another node, the same call goes there as a message (meta/remote/remotepb), by the Peer that
// Options.Peers gives, and is answered there from its own replicas under the lease: it is never passed on. Who leads is
// known from Raft where a replica is here, else from who answered last, from the hint of one that does not lead, or by
// asking each node of the range in turn. A node without drives has no replicas and sends everything.
//
// Invariants:
//
//   - I1: a command is retried under one request id, so it acts once; if its outcome stays unknown, the caller gets
//     ErrUnavailable.
//   - I4, I10: which replicas a range has is the directory's word (placement.Range). A replica on a drive here that the
//     directory no longer names is destroyed; one that it names and that is gone is reported as lost, never made
//     again under its id. A range's first replicas are made, by each node on its own drives, only while the directory does
//     not have the range begun and all of its drives are open, here or on nodes that answer, and none of its replicas takes
//     part or has a history; none starts before all are made (firsts, in begin.go). So one that is missing while another
//     takes part was lost. If all are lost, the range stays away, and is not taken for an empty one.
//   - I8: reads are linearizable. Nothing here reads rows but through Replica.Read. Start-up campaigns at once, and votes without
//     grace, only where all replicas of the range are of this process, or were made by it just now.
//   - I18: a command is stamped by the node of its leader; a stamp that is ahead of its range's clocks is not taken into a clock,
//     here or at who asked.
//   - I12: a drive that fails or hangs takes its own replicas with it and nothing else.
//   - I15: "absent" is an answer only with a nil error.
//   - I20: nothing is said to be absent from a bucket, or deleted, while the ranges have it sealed and the map may be older than its
//     deletion: another bucket may have its name.
package meta
