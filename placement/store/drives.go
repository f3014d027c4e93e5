package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// SetDriveState records what the cluster holds of a drive and why. Since is set when the state changes.
// An out drive never comes back under its id (I10): ErrConflict. Errors also: ErrNotFound, ErrUnavailable.
func (s *Store) SetDriveState(ctx context.Context, id ids.Drive, state placement.DriveState, reason string) error {
	return s.setDriveState(ctx, id, state, reason)
}

func (s *Store) setDriveState(ctx context.Context, id ids.Drive, state placement.DriveState, reason string, guards ...clientv3.Cmp) error {
	return edit(ctx, s, driveKey(id), func(d *placement.Drive) error {
		if d.State == placement.DriveOut && state != placement.DriveOut {
			return fmt.Errorf("%w: drive %s is out for good", ErrConflict, id)
		}
		if d.State != state {
			d.State, d.Since = state, s.now()
		}
		d.Reason = reason
		return nil
	}, guards...)
}

// GiveUp puts a drive out if its row is still the one that this was decided on (I19): there is no way back for one that an old map says is
// down (I10). Errors: ErrConflict, ErrUnavailable with the outcome unknown: wait for the map, decide again.
func (s *Store) GiveUp(ctx context.Context, d *placement.Drive, reason string) error {
	return s.Apply(ctx, s.givenUp(d, reason))
}

func (s *Store) givenUp(d *placement.Drive, reason string) plan.Change {
	out := *d
	out.State, out.Since, out.Reason = placement.DriveOut, s.now(), reason
	return plan.Change{Drive: &out}
}

// Distrust records that an up drive is suspect, and why. A drive that is anything else by the time of the transaction stays what it is:
// the caller may not have heard yet that it is down, out, or suspect for another reason. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Distrust(ctx context.Context, id ids.Drive, reason string) error {
	return edit(ctx, s, driveKey(id), func(d *placement.Drive) error {
		if d.State == placement.DriveUp {
			d.State, d.Since, d.Reason = placement.DriveSuspect, s.now(), reason
		}
		return nil
	})
}

func (s *Store) now() time.Time { return s.opt.Now().UTC().Truncate(time.Millisecond) }

// AddDrive adds a drive's row. Errors: ErrExists if there is another row of that id, ErrUnavailable.
func (s *Store) AddDrive(ctx context.Context, d *placement.Drive) error {
	row := encode(d)
	return s.update(ctx, driveKey(d.ID), func(value []byte) (string, error) {
		if value != nil && string(value) != row {
			return "", fmt.Errorf("%w: drive %s", ErrExists, d.ID)
		}
		return row, nil
	})
}

// EditDrive changes a drive's row (path, size, weight). Errors: ErrNotFound, ErrUnavailable, and change's own.
func (s *Store) EditDrive(ctx context.Context, id ids.Drive, change func(*placement.Drive) error) error {
	return edit(ctx, s, driveKey(id), change)
}

// ReplaceDrive adds next, which takes old's place, then puts old out. What the PGs and ranges
// become is plan.Lost's. Calling it again is harmless. Errors: ErrNotFound, ErrExists, ErrUnavailable.
func (s *Store) ReplaceDrive(ctx context.Context, old ids.Drive, next *placement.Drive, reason string) error {
	d := *next
	d.Replaces = old
	if err := s.AddDrive(ctx, &d); err != nil { // added first: a crash between leaves a drive without slots, not slots without one
		return err
	}
	return s.SetDriveState(ctx, old, placement.DriveOut, reason)
}

// PutSetting writes a setting; an empty value removes it.
func (s *Store) PutSetting(ctx context.Context, name, value string) error {
	if value == "" {
		return s.put(ctx, settingsDir+name, "")
	}
	return s.put(ctx, settingsDir+name, encode(value))
}

func (s *Store) put(ctx context.Context, key, value string) error {
	return s.update(ctx, key, func([]byte) (string, error) { return value, nil })
}

// modified is the guard that a row still has the revision a Map gave for it.
func (s *Store) modified(key string, revision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(s.key(key)), "=", revision-s.state.Load().base)
}
