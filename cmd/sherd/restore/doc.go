// Package restore makes a control state anew from the copies that the drives hold, when all of etcd is lost (I9): what
// `sherd control restore` does on a stopped node.
//
// Prepare looks and changes nothing; a person decides; Run does it. Run can be cut short anywhere and done again: the
// cluster's row is written last, and an etcd without it counts as lost.
//
// Invariants:
//   - The newest copy is taken, and only where more than half of the cluster's drives have a readable one.
//   - An etcd that can go on is never replaced. What is left of a lost one is put aside, not deleted, and is not started
//     again: the new one, and the copies that are written last, have a higher generation.
package restore
