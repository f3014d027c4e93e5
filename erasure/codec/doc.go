// Package codec cuts blobs into stripes and units and computes parity. It is pure: bytes in, bytes out.
//
// A blob's bytes run through the data slots unit by unit: stripe i holds bytes [i·k·unit, (i+1)·k·unit), and data
// slot d of it the d-th unit. Unit column d of all stripes is shard d. What is left for the last stripe is cut into
// shorter units, so that a small blob costs little and is read from few drives:
//
//	u = ⌈rest/k⌉ rounded up to 4 KiB, at most unit
//
// Invariants:
//   - The layout is a function of (size, k, m, unit) alone: a reader needs nothing else to find a byte.
//   - A data slot stores its real bytes only. Behind them, up to u, and in slots that have none at all (which
//     are not stored), stand implied zeros: the shortened code. Parity units have u bytes.
//   - Σ ShardBytes over data slots = size.
//   - Any k of the n units of a stripe, implied zeros counted, give the others.
package codec
