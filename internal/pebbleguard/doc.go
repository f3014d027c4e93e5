// Package pebbleguard keeps Pebble v2.1.7 from ending the process over one drive's trouble, in two places.
//
// It panics in the goroutine that reads, with "unknown metadata type: <nil>", where the footer of a blob file is corrupt or the
// file gone: findOrCreateBlob in file_cache.go reports it without saying of what. Guard and CheckBlobs find such files first. Other
// damage is reported as it should be.
//
// Its Open flushes what a log held, if only nothing, and the flush starts compactions. An Open that fails after that closes the
// file cache under them ("element has outstanding references", "assignment to entry in nil map"), and leaves the goroutine of its
// compaction scheduler behind. Open lets none start before all has gone well.
package pebbleguard
