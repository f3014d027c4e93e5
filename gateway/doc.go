// Package gateway is the server: HTTP in front of the object records and the blobs.
//
// A request goes: target (bucket and key from the path or the host) → operation (one table over method
// and sub-resource) → admission → signature → permission → bucket → handler. The table in ops.go also makes
// docs/s3-compatibility.md. Errors are S3's, from one table in errors.go.
//
// Invariants:
//   - Nothing is answered to a request that was not authenticated, but the health pages, which tell
//     nothing of the data, and errors.
//   - A body is not asked for (100-continue) before the request was authenticated and admitted.
//   - Paths are never cleaned: a key is the decoded path after its bucket, whatever is in it.
//   - A fault after the header was sent ends the connection; nothing is padded or cut silently.
//   - Memory, header and document sizes and the number of requests at once are bounded.
//
// Keys of response headers are written as S3 writes them, straight into the map: net/http sends them as
// they are, and canonical forms cost time on the hot paths.
package gateway
