package store

import (
	"context"
	"fmt"
	"regexp"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// nodeName is what a node may be called: it is part of keys, certificates and host names.
var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckNodeName refuses what a node cannot be called. Error: ErrInvalid.
func CheckNodeName(name string) error {
	if !nodeName.MatchString(name) {
		return fmt.Errorf("%w: node name %q: want a to z, 0 to 9 and - (not at an end), up to 63", ErrInvalid, name)
	}
	return nil
}

// PutNode writes what a node says of itself: its zone and address. What operators said of it stays.
// Errors: ErrInvalid, ErrUnavailable.
func (s *Store) PutNode(ctx context.Context, n placement.Node) error {
	if err := CheckNodeName(n.Name); err != nil {
		return err
	}
	return s.update(ctx, nodesDir+n.Name, func(value []byte) (string, error) {
		if old, err := decode[placement.Node](value); err == nil {
			n.Draining = old.Draining
		}
		return encode(n), nil
	})
}

// EditNode changes a node's row. Errors: ErrNotFound, ErrUnavailable, and change's own.
func (s *Store) EditNode(ctx context.Context, name string, change func(*placement.Node) error) error {
	return edit(ctx, s, nodesDir+name, change)
}

// RemoveDrive takes a drive out of the cluster, for good, if nothing is on it and nothing can come to be. Its row stays, as one
// that is out: the directory does not come back as the drive it was (I10). members are the drives that have a member of the
// embedded etcd. Calling it again is harmless.
//
// Errors: ErrNotFound, plan.ErrInUse, ErrUnavailable.
func (s *Store) RemoveDrive(ctx context.Context, id ids.Drive, members []ids.Drive) error {
	return s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		d := m.Drives[id]
		if d == nil {
			return nil, fmt.Errorf("%w: drive %s", ErrNotFound, id)
		}
		if err := plan.MayRemoveDrive(m, id, members); err != nil {
			return nil, err
		}
		return s.removal(d), nil
	})
}

// removal is what makes a drive a removed one; nothing if it is.
func (s *Store) removal(d *placement.Drive) []clientv3.Op {
	if d.Removed {
		return nil
	}
	gone := *d
	if gone.State != placement.DriveOut {
		gone.State, gone.Since = placement.DriveOut, s.now()
	}
	gone.Removed, gone.Draining, gone.Reason = true, false, "removed"
	return []clientv3.Op{clientv3.OpPut(s.key(driveKey(d.ID)), encode(gone))}
}

// RemoveNode takes a node that does not live any more out of the map, and its drives out of the cluster, as RemoveDrive does.
//
// Errors: ErrNotFound, plan.ErrInUse, ErrUnavailable.
func (s *Store) RemoveNode(ctx context.Context, name string, members []ids.Drive) error {
	return s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		if m.Nodes[name] == nil {
			return nil, fmt.Errorf("%w: node %s", ErrNotFound, name)
		}
		if err := plan.MayRemoveNode(m, name, members); err != nil {
			return nil, err
		}
		ops := []clientv3.Op{clientv3.OpDelete(s.key(nodesDir + name))}
		for _, d := range m.Drives {
			if d.Node == name {
				ops = append(ops, s.removal(d)...)
			}
		}
		return ops, nil
	})
}
