package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

var (
	errSilent = errors.New("no answer in time")
	errAway   = errors.New("drive is away")
)

// attempt is one try to have a blob's slots stored, under one epoch of its placement group.
type attempt struct {
	s     *Store
	ref   BlobRef
	pool  *placement.Pool
	pg    *placement.PG
	lay   codec.Layout
	slots []slotState
}

// slotState is what became of one slot.
type slotState struct {
	owner  ids.Drive
	drive  Drive // nil: not asked
	grade  grade
	mapUp  bool  // the map holds the drive to be up
	skip   bool  // nothing to store: no bytes, or stored by an earlier attempt
	stored bool  // on stable storage
	err    error // why not
}

// newAttempt looks up the owners of ref's slots. It asks nothing of them yet.
func (s *Store) newAttempt(v *view, ref BlobRef) (*attempt, error) {
	pool, pg, err := group(v.m, ref.Pool, ref.PG)
	if err != nil {
		return nil, err
	}
	a := &attempt{s: s, ref: ref, pool: pool, pg: pg, lay: layout(pool, ref.Size), slots: make([]slotState, pool.N())}
	for i := range a.slots {
		sl := &a.slots[i]
		sl.owner, sl.skip = pg.Slots[i].Drive, !a.lay.Stored(i)
		if sl.grade = v.gradeOf(sl.owner); sl.grade != gradeLost {
			sl.drive = s.opt.Drive(sl.owner)
		}
		if sl.drive == nil {
			sl.grade, sl.err = gradeLost, errAway
			d := v.m.Drives[sl.owner]
			sl.mapUp = d != nil && d.State == placement.DriveUp
		}
	}
	return a, nil
}

// asked reports whether slot i's drive is to be asked.
func (a *attempt) asked(i int) bool { return !a.slots[i].skip && a.slots[i].drive != nil }

// keep takes over what an earlier attempt stored on drives that are still the owners (I5).
func (a *attempt) keep(old *attempt) {
	for i := range a.slots {
		if old.slots[i].stored && old.slots[i].owner == a.slots[i].owner {
			a.slots[i] = slotState{owner: old.slots[i].owner, drive: old.slots[i].drive, skip: true, stored: true}
		}
	}
}

// verdict says whether the blob may be acknowledged, once every slot has answered or was given up.
//
// A slot may be missed where the drive counted as lost, or has shown itself to be (I2). A drive that refuses for want
// of space, or for other content under the key (I7), has not: its refusal fails the write.
func (a *attempt) verdict() (missed []uint8, err error) {
	got := 0
	for i := range a.slots {
		sl := &a.slots[i]
		switch {
		case sl.stored || sl.skip:
			got++
			continue
		case sl.grade != gradeLost && sl.grade != gradeWeak && refused(sl.err):
			return nil, refusal(sl.err)
		}
		missed = append(missed, uint8(i))
	}
	if need := a.s.need(a.pool); got < need {
		return nil, a.quorumError(need, got)
	}
	return missed, nil
}

// stale reports whether a drive knows a newer epoch.
func (a *attempt) stale() bool {
	return slices.ContainsFunc(a.slots, func(sl slotState) bool { return errors.Is(sl.err, disk.ErrEpoch) })
}

func (a *attempt) quorumError(need, got int) error {
	e := &QuorumError{Need: need, Got: got, Errs: make([]error, len(a.slots))}
	for i := range a.slots {
		if !a.slots[i].stored {
			e.Errs[i] = a.slots[i].err
		}
		if errors.Is(a.slots[i].err, disk.ErrFull) {
			return ErrFull
		}
	}
	return e
}

// accuse reports the drives that failed, and those that are away though the map holds them to be up. It must precede the
// acknowledgement (I2), but the map need not have heard by then: the slots that were missed are committed with the object as repair rows, so
// that the word outlives this process. Whoever finds the rows says suspect if nobody has (heal's Planner.Missed).
func (a *attempt) accuse() {
	for i := range a.slots {
		sl := &a.slots[i]
		asked := sl.drive != nil && sl.err != nil && !refused(sl.err) && !cancelled(sl.err)
		if asked {
			a.s.view.Store(nil) // choose groups by its health from now on
		}
		if asked || sl.mapUp && !sl.skip {
			a.s.opt.Report(BadShard{Kind: Unavailable, Drive: sl.owner, Ref: a.ref, Slot: uint8(i), Write: true, Err: sl.err})
		}
	}
}

// discard deletes what was stored, or may yet be, of a blob that fails. What cannot be deleted is garbage that the
// scrubber finds.
func (a *attempt) discard() {
	for i := range a.slots {
		if sl := &a.slots[i]; sl.stored || errors.Is(sl.err, errSilent) {
			sl.drive.Delete([]ids.Chunk{a.ref.Chunk(i)}, func(error) {})
		}
	}
}

func (a *attempt) footer(sum [16]byte, slot int) chunk.Footer {
	return chunk.Footer{BlobBytes: uint64(a.lay.Size), BlobSum: sum, ShardBytes: uint64(a.lay.ShardBytes(slot))}
}

// refused reports an answer of a drive that is well.
func refused(err error) bool {
	for _, answer := range []error{disk.ErrFull, disk.ErrExists, disk.ErrDeleted, disk.ErrEpoch, disk.ErrInvalid} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// cancelled reports an error that says nothing of the drive.
func cancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func refusal(err error) error {
	switch {
	case errors.Is(err, disk.ErrFull):
		return ErrFull
	case errors.Is(err, disk.ErrEpoch):
		return fmt.Errorf("%w: %w", ErrNoQuorum, err) // the map did not catch up: try again
	}
	return err
}
