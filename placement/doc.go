// Package placement declares the map: the control records of one cluster (nodes, drives, pools, placement groups,
// ranges, buckets, accounts with their users, groups, policies and access keys, settings) as one immutable value.
//
// Invariants:
//   - A Map is never changed after it was published; neither is anything it points to. Who wants another makes one.
//   - The spans of Ranges neither overlap nor leave a gap, and are ordered by Start.
//   - Each PG of a pool has k+m slots on distinct drives; every change of them raises its epoch (I5).
//   - Revision never falls, not even over a restore of the control state (I9).
//
// placement/plan computes changes, placement/store keeps the map in etcd, placement/member runs an embedded etcd.
package placement
