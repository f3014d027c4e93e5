// Package sim runs whole clusters in one process: real nodes (cmd/sherd/node: planner, records, blobs, healer, gateway) on file systems in
// memory that can lose power, over a network in memory that can be cut, by a clock that costs nothing to wait for. One seed makes one
// schedule: the cluster, what clients ask of it, and what happens to it meanwhile. After each schedule everything is mended, and what
// DESIGN §10 promises is checked.
//
// What is simulated:
//   - The clock: the tests run in a child process that is built with the Go runtime's build tag faketime, where time stands still while
//     any goroutine runs and jumps to the next timer when none can. testing/synctest would not do: it cannot pass time while a goroutine
//     waits for a mutex whose holder waits for a slow drive or for an answer.
//   - The network: connections in memory with latency, between hosts that can be cut apart, one way too.
//   - Drives: Pebble's crashable file system, under a layer that makes a drive slow, fail, or lie.
//   - etcd: one server with etcd's gRPC interface and semantics (revisions, transactions, watches, leases), so that the real
//     placement/store and etcd's own client run against it. etcd's consensus is not simulated.
//
// Between steps by chance there are scenes, one of each kind in every schedule, which bring about what chance seldom does: drives that take
// no chunks while clients write, and each acknowledgement checked at its moment, then a power cut and lost drives (I2); a leader cut off
// from its followers, but not from its clients (I8); a writer that hears of no moves (I5).
//
// What is not: clocks that run apart; kernels and TLS between the nodes.
package sim
