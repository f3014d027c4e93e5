// Package chunk is the format of what a drive stores of blobs: chunk headers, footers and block
// checksums, the records of the chunk log, and chunk files. It is pure: no file, clock or goroutine.
//
// Invariants:
//   - A chunk describes itself: with nothing but its bytes one knows which object, part and blob it belongs to,
//     and which shard of which code it is.
//   - Every BlockBytes of payload have a checksum bound to the chunk's key and the block's place, so that a flipped
//     bit, a torn write and a block at the wrong place all fail alike.
//   - Decoders take any bytes: they return ErrMalformed, never panic, and allocate no more than they were given.
package chunk
