// Package restore makes a control state anew from the copies that the drives hold, when all of etcd is lost (I9): what
// `sherd control restore` does on a stopped node.
//
// Prepare looks and changes nothing; a person decides; Run does it. Run can be cut short anywhere and done again: the
// cluster's row is written last, and an etcd without it counts as lost.
//
// In a cluster of several nodes one of them makes the restore, and has the new etcd's only members at first. What the drives
// of the others know comes with them, where they can be put in place there, or as a file that Give made on each other node.
//
// Invariants (but by Force, which a person takes upon himself):
//   - The newest copy is taken, and only where more than half of the cluster's drives have a readable one, so that none that
//     is newer can be on such a majority. What was given stays the newest of its drives: they have promised to believe no
//     older state than the one that is to come, and they give to one node only, so that no two nodes restore side by side.
//   - An etcd that can go on is never replaced, nor one that might: members on nodes that nothing is known of count as alive.
//     What is left of a lost one is put aside, not deleted, and is not started again: the new one, what the others promised,
//     and the copies that are written last, have a higher generation.
package restore
