// Package remote joins the object records of several nodes: Raft messages, snapshots and requests between them, over
// gRPC on connections that somebody else has made and authenticated.
//
// Peers is the asking side: one connection a node, with one long-lived stream for the Raft messages of all ranges, one
// for requests and their answers, and one for each snapshot that is sent. Server is the other side; it hands what comes
// to the records of its own node.
//
//	peers := remote.NewPeers(remote.Options{Self: name, Dial: dial})
//	records, err := meta.New(meta.Options{Self: name, Peers: peers.Peer, ...})
//	remote.NewServer(remote.ServerOptions{Records: records}).Register(grpcServer)
//
// Invariants:
//
//   - Send never blocks and never waits: a message is queued, within bounds, or dropped, which Raft bears. Nothing is
//     queued for a node that is not connected.
//   - One range does not hold up another for long: long messages go in pieces of at most pieceBytes, and heartbeats,
//     votes and answers pass them at each piece. Appends of a range keep their order.
//   - A request is answered by the node it was sent to or not at all: it is never passed on, so nothing goes in circles.
//     What became of one whose connection ended is not known: ErrUnreachable (I1: commands carry their request id).
//   - Every call ends by its deadline. A connection over which nothing came for SilenceMax, though the other side was asked
//     to say something every PingEvery, has ended; so has everything that waits for it. While a node cannot be reached,
//     calls to it fail at once, and it is tried again at most every RetryAfter.
//   - A snapshot that is cut off leaves nothing: its rows count only when its last part has come, and every part is
//     checked against its sum.
//   - No bytes of a peer make this process panic, or allocate more than messageMax beyond what is asked.
//   - Two nodes may differ in version: fields are only added, a request of an unknown kind is refused as BAD_REQUEST, a message
//     of an unknown format ends its connection.
package remote
