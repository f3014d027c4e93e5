package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// begun marks the first range as begun, as the planner does.
func begun(t *testing.T, s *Store) {
	t.Helper()
	r := *s.Map().Ranges[0]
	r.Begun = true
	if err := s.Apply(testContext(t), plan.Change{Range: &r}); err != nil {
		t.Fatal(err)
	}
}

// contiguous fails if spans of the map overlap or leave a gap.
func contiguous(t *testing.T, m *placement.Map) {
	t.Helper()
	var end []byte
	for i, r := range m.Ranges {
		if !bytes.Equal(r.Start, end) || i > 0 && len(end) == 0 {
			t.Fatalf("range %d starts at %x, the one before it ends at %x", r.ID, r.Start, end)
		}
		end = r.End
	}
	if len(end) > 0 {
		t.Fatalf("the last range ends at %x", end)
	}
}

func TestI20_SplitIsOrderedThenRecorded(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	first := func() *placement.Range { return s.Map().Ranges[0] }
	if err := s.OrderSplit(ctx, first(), []byte{5}); !errors.Is(err, ErrConflict) {
		t.Fatalf("a range that has not begun: %v", err)
	}
	begun(t, s)
	old := first()
	if err := s.OrderSplit(ctx, old, []byte{5}); err != nil {
		t.Fatal(err)
	}
	if err := s.OrderSplit(ctx, old, []byte{6}); !errors.Is(err, ErrConflict) {
		t.Fatalf("a row that has changed: %v", err)
	}
	if err := s.OrderSplit(ctx, first(), []byte{6}); !errors.Is(err, ErrConflict) {
		t.Fatalf("a second order: %v", err)
	}
	if moves := plan.ReplicaMoves(s.Map()); len(moves) > 0 {
		t.Errorf("a replica moves meanwhile: %v", moves)
	}
	contiguous(t, s.Map())
	ordered := first()
	if err := s.ApplySplit(ctx, ordered); err != nil {
		t.Fatal(err)
	}
	contiguous(t, s.Map())
	child := s.Map().Ranges[1]
	if child.ID != 2 || !child.Begun || !bytes.Equal(child.Start, []byte{5}) || len(child.Replicas) != len(old.Replicas) || first().Splitting != nil {
		t.Fatalf("the child is %+v, the parent %+v", child, first())
	}
	if err := s.ApplySplit(ctx, ordered); !errors.Is(err, ErrConflict) {
		t.Fatalf("the same again: %v", err)
	}
	if err := s.OrderSplit(ctx, child, []byte{4}); !errors.Is(err, ErrInvalid) {
		t.Fatalf("a border outside: %v", err)
	}
	if err := s.OrderSplit(ctx, child, []byte{7}); err != nil {
		t.Fatal(err)
	}
	if id := s.Map().Ranges[1].Splitting.Child; id != 3 {
		t.Fatalf("child %d", id)
	}
}

// TestI20_OneProcessDeletesABucket: another waits for it, or for its lease's end if it is gone.
func TestI20_OneProcessDeletesABucket(t *testing.T) {
	te := newEtcd(t)
	one, _ := bootstrapped(t, te)
	two := open(t, te)
	unlock, err := one.LockBucket(testContext(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(testContext(t), 200*time.Millisecond)
	defer cancel()
	if _, err := two.LockBucket(short, 7); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second one has the lock: %v", err)
	}
	other, err := two.LockBucket(testContext(t), 8)
	if err != nil {
		t.Fatal(err)
	}
	other()
	unlock()
	again, err := two.LockBucket(testContext(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestI9_RangeIDsAreNotGivenOutAgain: a copy may be older than splits.
func TestI9_RangeIDsAreNotGivenOutAgain(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	c, err := s.Copy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, newEtcd(t))
	if err := s.Restore(ctx, c, c.Generation+1); err != nil {
		t.Fatal(err)
	}
	begun(t, s)
	if err := s.OrderSplit(ctx, s.Map().Ranges[0], []byte{5}); err != nil {
		t.Fatal(err)
	}
	if id := s.Map().Ranges[0].Splitting.Child; id < restoreBump {
		t.Fatalf("child %d", id)
	}
}

// TestI9_RangesThatACopyLacks: rows that replicas are known to have take one's place in one step, with a margin for ids; an older
// row is not written over a newer one. Replicas that were joining are not restored: they may have voted, and be gone.
func TestI9_RangesThatACopyLacks(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	begun(t, s)
	joining := *s.Map().Ranges[0]
	joining.Replicas = append(slices.Clone(joining.Replicas), placement.Replica{ID: joining.NextReplica, Drive: joining.Replicas[0].Drive, Joining: true})
	joining.NextReplica++
	if err := s.Apply(ctx, plan.Change{Range: &joining}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Copy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, newEtcd(t))
	if err := s.Restore(ctx, c, c.Generation+1); err != nil {
		t.Fatal(err)
	}
	was := s.Map().Ranges[0]
	if len(was.Replicas) != len(joining.Replicas)-1 || !DirectoryDoubted(s.Map()) {
		t.Fatalf("%d replicas, doubted %v", len(was.Replicas), DirectoryDoubted(s.Map()))
	}
	left, right := *was, *was
	left.End, right.Start, right.ID, right.NextReplica = []byte{5}, []byte{5}, 77, 9
	if err := s.RebuildRange(ctx, was, []*placement.Range{&left, &right}); err != nil {
		t.Fatal(err)
	}
	m := s.Map()
	if len(m.Ranges) != 2 || m.Ranges[1].ID != 77 || m.Ranges[1].NextReplica != 9+restoreBump || m.Ranges[0].NextReplica != was.NextReplica {
		t.Fatalf("%+v", m.Ranges)
	}
	if err := s.RebuildRange(ctx, was, []*placement.Range{&left}); !errors.Is(err, ErrConflict) {
		t.Fatalf("over a row that has changed: %v", err)
	}
	if err := s.RebuildRange(ctx, m.Ranges[0], []*placement.Range{m.Ranges[0], &right}); !errors.Is(err, ErrConflict) {
		t.Fatalf("a range that is there: %v", err)
	}
	if err := s.DirectoryRight(ctx); err != nil || DirectoryDoubted(s.Map()) {
		t.Fatalf("still doubted: %v", err)
	}
}
