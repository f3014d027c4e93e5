// Package member runs the embedded etcd: RunChild is what the hidden command `sherd etcd` does, several real etcd members
// in one process; Supervisor, in the server, starts that process, starts it again when it ends, and sees to it that the
// members are on the drives they should be on.
//
// How many members: 2m+1, as far as there are drives, at most 7 (plan.EtcdHosts). With 2m drives that is an even number:
// one more must agree to every commit, which is what makes the last rule below sound for 1+1 and 2+2.
//
// Over several nodes: each has a Supervisor with a child for its own members, and the member's address, which stands in
// etcd's list, says which node it is on. Members find each other by sockets in the child's directory: for a member of
// another node the supervisor listens there (way) and copies each connection through a tunnel that Options.Dial makes, to
// Accept of the other supervisor. Clients go the same way where no member of their own node serves. Each node adds and
// removes its own members, and takes what etcd says of the others.
//
// Invariants:
//   - A member's name and data directory are used once. Its directory is DRIVE/etcd/<name>, next to member.json, which
//     says what the member belongs to and who its peers are (I9).
//   - A directory is started only if the newest member.json of its node's drives names it. A name is put into these files
//     before etcd is told to add the member. It is taken out before etcd is told to remove it; where other nodes have
//     members it is marked, and taken out when etcd has removed it (I9).
//   - A member that etcd does not list is never started again: a node asks the others before it starts its own, where a
//     quorum of them can be reached. Where none can, the logs of those that start keep a removed one from having a say:
//     each majority that can form has one that knows of the removal (Raft's single-server changes) (I9).
//   - A member of another node takes part in nothing before this node's drives have it in their records: neither way is
//     open. So a node whose records name only its own members knows that there are no others.
//   - Founding over several nodes: all are given one list of members; each writes it on its drives before it starts any.
//     A list that differs from what is written there, or a member's data without a record, is refused (I10).
//   - A directory of an etcd that was given up by a restore is never started: its record names a lower generation of the
//     control state (I9).
//   - A missing or foreign directory is a lost member: it is replaced by etcd's membership change, never created again
//     under its name (I9, I10).
//   - Without a quorum nothing is decided by itself, but for this: all members are this process's own (it can fence them:
//     it starts them), and the lost ones number less than the commit quorum, so that every commit is in some surviving
//     log. Then the survivor with the greatest (term, index) goes on alone, with all of its log committed, under a raised
//     generation; directories of a lower generation are never started (as I4 for ranges). Where other nodes have members,
//     they are waited for.
//   - Sockets are unix sockets in a directory of mode 0700. There is no port and no certificate: what comes from another
//     node is authenticated before Accept is given it.
package member
