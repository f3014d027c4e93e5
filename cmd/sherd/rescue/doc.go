// Package rescue reads objects out of bare drive directories: no server, no etcd, no index. It needs k shards of each
// blob, and the rows of one replica of each range for names of buckets aside all that a listing shows; without rows it
// goes by what chunks say of themselves.
//
// Invariants:
//   - The drives are only read. Rows are copied before they are opened.
//   - An object is written under its name only if all its bytes matched its checksums; else it is reported, and what
//     could be read of it is not written.
//   - Where rows can be read, they decide what exists: a deleted object stays deleted. Objects that only chunks know of
//     are written apart, under "unlisted".
package rescue
