// Package segment is an append-only log of opaque records in files on a vfs.FS.
//
// One goroutine a log writes: whatever waits when it looks goes into one group, which is one write and one sync.
// There is no timer. A group starts on a block of its own, so that no block is written twice and a torn write
// cannot harm what was synced before.
//
// Invariants (I16, I12):
//   - A group is written only after the one before it is synced. So a record proves everything before its
//     group to have been on stable storage: bytes missing there are damage, not a torn tail.
//   - A segment's successor names the end of it. What lies past that end does not exist.
//   - After a failed write or sync nothing more is appended to the file, the sync is not repeated, and the log
//     takes nothing more until it is opened again. Want of space is the exception: it ends the segment only.
//   - A segment is created, synced, and its directory synced, before a record in it is acknowledged.
//   - Sequence numbers rise by one from record to record within a segment, and never fall.
package segment
