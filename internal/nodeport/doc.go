// Package nodeport is the one port on which the nodes of a cluster talk to each other. Connections are TLS, both ends show that they
// belong to the cluster (internal/trust), and what is spoken over one is agreed on by ALPN: see Protocol.
//
// Invariants:
//   - I24: a connection is given to its protocol's handler only after its peer has shown a certificate of the cluster's authority
//     for a node that Options.Member knows; but for Join, over which those come who are no nodes yet, Options.JoinsMax at once. A node
//     that is taken out of the cluster loses the connections that it has (Expel).
//   - What is no TLS, or not of the cluster, holds a goroutine and a place among HandshakesMax for at most HandshakeTimeout, and is
//     said once in the log for each address it comes from.
//   - Plain, without TLS, is for networks that nobody else can reach: there a peer is who it says it is.
package nodeport
