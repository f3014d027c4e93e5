// Package growfs is Pebble's file system in memory, for tests, with files that grow at the price of a copy.
//
// vfs.MemFS appends the zeros of a file that WriteAt extends one by one. Drives extend their files so, and under the race detector, which
// looks at each of those bytes several times, that was most of what drives in memory cost.
//
// Invariants: what is read from a file, and what a crash leaves of it, is what vfs.MemFS would give, but that a write across the end of a
// file is two: a crash may come between, as it may on a disk.
package growfs
