// Package bench is a load generator for S3 endpoints that costs next to nothing itself, so that what it
// measures is the server.
//
// Invariants:
//   - One worker owns one connection and its buffers: a request of 4 KiB costs one write, one or two reads
//     and no allocation.
//   - Bodies are cut from one ring of random bytes, at an offset taken from the object's seed, and end in 16
//     bytes made from that seed: no two objects are equal, and every byte that is read is compared.
//   - SHA-256 and MD5 of a body are real. Their state before the last 16 bytes is kept for each (offset,
//     size), so that a signed payload and the check of its ETag cost a block each.
//   - A wrong byte, length or ETag is an error of its own code (WrongBytes, WrongLength, WrongETag) and
//     makes the run fail, however fast it was.
package bench
