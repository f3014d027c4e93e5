// Package erasure turns bodies into blobs of erasure-coded shards on drives, and back.
//
// A body is cut into blobs of 64 MiB; each goes to one placement group (PG), shard i of it to the group's slot i.
// Package codec says which bytes lie where. The writer and the reader take a snapshot of the map and ask the drives
// themselves; they know nothing of object records.
//
// Invariants:
//   - I2: Write waits for every drive of the PG that is up. A slot is missed only on a drive that the map holds to be
//     down, out or suspect, or that has failed this very write (refused, or silent past Options.AckTimeout), and that
//     was reported before Write returns. At most n−w slots are missed (n−k if Options.WriteQuorum is k).
//   - I5: a blob completes under one epoch of its PG: an older acknowledgement counts only where the owner is the same. That a
//     drive has no chunk, or has it deleted, counts only if the drive knows no newer epoch than the map at hand: else the map is
//     loaded again and the call repeated. Where no newer map is to be had, the chunk is neither missing nor deleted.
//   - I7: a chunk key is written with one content only. A retry under a newer epoch writes the same bytes.
//   - I23: a read that is slow is done without where parity can replace it, from a budget, and nothing is said of its drive.
//   - Where too many other nodes do not answer, a read of a stripe says so, with ErrUnavailable, within Options.FarWithin of its beginning: the
//     waits for one slot after another do not add up. What answers in time is waited for, whatever the budget.
//   - Parity that this node has is read instead of data that it has not, where a whole stripe is wanted. It is verified as data is, and
//     what is wrong with it is reported.
//   - I22: what Rebuild seals comes from a blob whose checksum was right, and a full read checks it before the
//     last stripe goes out. Shards that are wrong though their blocks' checksums are right are searched for. With p shards there beyond the
//     k that are needed, always found are: up to p−1 that are wrong each in its own way, whatever the code; any p of codes up to 10+4, and
//     of a node that holds just p. The search reads a blob 1024 times at most, and ends with its context. Finding nothing, it says
//     ErrCorrupt only if no drive is away whose shard could make the difference; nothing is ever deleted for it.
//   - What Rebuild could not read it reports, as a reader does, once it has made what it was to make: nothing bad is passed over in silence.
//   - Buffers lent by Options.Buffers come back whatever happens; those of a drive that was given up, when it
//     answers. Memory for one request is bounded by Options.Stripes, whatever its size.
//   - Every goroutine is waited for: a reader's by its Read, a writer's by its Write or, for drives given up, by Close.
package erasure
