// Package remote is a drive of another node: the calls of disk.Drive over connections that somebody else has made and
// authenticated, and the server that answers them.
//
// A connection carries frames both ways; see frame.go for their bytes. The client sends requests, each with an id, and the server
// answers each with one reply of that id, in any order; a few requests want no reply. Small requests of a client share its first
// connection, so that many of them go out in one write; the others carry chunk bytes.
//
// Invariants:
//   - A drive means the same here and there: Client's Drive passes disktest's contract suite, and every error is the disk package's.
//   - What arrives is verified before it is used: a header by its CRC, arguments by theirs, a payload by the xxh3 of its bytes seeded
//     with the request's id. A frame that does not hold ends its connection; no bytes of a peer make a process panic, or allocate more
//     than the limits below.
//   - Whatever was not answered when a connection ends fails with disk.ErrUnavailable: it may have been done. When a client's last
//     connection ends, the chunks it had begun are aborted and its readers closed; nothing half written becomes visible.
//   - Every call ends by its deadline, which the server knows too. A drive that hangs holds up the calls to it and no others (I12).
//   - I5: an answer about a PG carries the epoch that the drive has of it; Drive.Epoch is the newest that has come.
//   - Bytes that are lent to a call are not touched any more once it has returned or its answer has come.
//   - Memory is bounded: a server takes no more payload off its connections than its budget, and waits with reading.
package remote
