// Package object is the path of one object: from a stream to blobs to a record, and back. It knows
// nothing of HTTP. Blobs are the erasure store's, records are the ranges'; both come through
// interfaces declared here, and cmd/sherd joins them.
//
// Invariants:
//   - Nothing is committed before the whole body was read, its source said it was genuine (signature,
//     declared SHA-256), and every digest that the client gave was compared.
//   - Each attempt to store a body has an upload id of its own (I7), whose stamp is taken when the body
//     begins (I6); a body that takes longer than WriteMax is ended.
//   - Blobs whose commit has an unknown outcome are never deleted here: the scrubber asks the range (I1).
//   - An open read is registered with a stamp taken before its record was read (I13). A multipart body's
//     extents are all read before its first byte is sent, so an overwrite meanwhile does not matter.
//   - A copy writes new blobs, also a copy onto itself (I14).
package object
