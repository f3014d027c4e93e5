// Package member runs the embedded etcd: RunChild is what the hidden command `sherd etcd` does, several real etcd members
// in one process; Supervisor, in the server, starts that process, starts it again when it ends, and sees to it that the
// members are on the drives they should be on.
//
// How many members: 2m+1, as far as there are drives, at most 7 (plan.EtcdHosts). With 2m drives that is an even number:
// one more must agree to every commit, which is what makes the last rule below sound for 1+1 and 2+2.
//
// Invariants:
//   - A member's name and data directory are used once. Its directory is DRIVE/etcd/<name>, next to member.json, which
//     says what the member belongs to and who its peers are (I9).
//   - A directory is started only if the newest member.json of all drives names it. A name is taken out of these files
//     before etcd is told to remove the member, and put in before it is told to add it (I9).
//   - A directory of an etcd that was given up by a restore is never started: its record names a lower generation of the
//     control state (I9).
//   - A missing or foreign directory is a lost member: it is replaced by etcd's membership change, never created again
//     under its name (I9, I10).
//   - Without a quorum nothing is decided by itself, but for this: all members are this process's own (it can fence them:
//     it starts them), and the lost ones number less than the commit quorum, so that every commit is in some surviving
//     log. Then the survivor with the greatest (term, index) goes on alone, with all of its log committed, under a raised
//     generation; directories of a lower generation are never started (as I4 for ranges).
//   - Sockets are unix sockets in a directory of mode 0700. There is no port and no certificate.
package member
