// Package trust says which nodes belong to a cluster (I24): its certificate authority, the certificates of its nodes, the tokens
// with which later nodes join, and the TLS settings that follow from them.
//
// Invariants:
//   - A node's certificate names the node; both ends of a connection check it, and that it is of the cluster's authority.
//   - The first nodes of a cluster derive the same authority and cluster id from a secret that they share; it is never sent.
//   - A joining node makes its own key, sends a request to have it signed, and never receives the authority's key. It knows whom it
//     talks to by the hash of the authority that its token holds.
//   - A token holds for one join, and for a time; the cluster keeps a hash of it only.
package trust
