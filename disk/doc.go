// Package disk is one drive: the chunks stored on it, the Raft log and the rows of the range replicas that
// live on it, its identity, its space and its health.
//
// Invariants:
//   - What was acknowledged is on stable storage, found after any crash, and read back verified or not at all (I16).
//   - The chunk index in rows/ is a cache of the chunk log: it is written without a log of its own, carries the position up to
//     which it is complete, and is completed from there, or rebuilt, when the drive is opened.
//   - One key has one content for ever (I7): a different chunk under a known key is refused, and so is any chunk under
//     a deleted key.
//   - Records are applied to the index by one goroutine, in the order of the log.
//   - A segment or chunk file is unlinked only after an index that does not name it is flushed (I16). A chunk file's number is used
//     once: records and copies in quarantine name files that are gone.
//   - A failing or hanging drive fails its own callers, soon, and nobody else (I12). Trust returns by opening it again.
//   - A drive whose rows or log are missing, foreign or corrupt opens, keeps its chunks, and says that its
//     replicas are lost (I10).
package disk
