// Package cluster is how a process comes to be a node: by the secret that a cluster's first nodes share, by being its first node,
// or by a token with which it joins; and how the first nodes agree on what the cluster begins with.
//
// Invariants:
//   - I24: the authority's key is derived from the secret or lies with the node that made it. It is never sent: who joins sends a
//     request to sign. Papers with keys are files of mode 0600.
//   - A cluster is founded once. Each founder writes its proposal down before it tells it, and says "agreed" only when it has written
//     down what all proposed; it never agrees a second time. A founder that lost what it wrote proposes anew, is not among those that
//     agreed, and becomes a node that joins (I10: its member of etcd does not vote under the name it had).
//   - Nothing is formatted before every founder was heard to have nothing but blank drives.
package cluster
