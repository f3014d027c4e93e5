package store

import (
	"errors"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// TestI4_NoDecisionOverOneThatIsBack: a range goes on without replicas only if nobody has heard of their drives and nodes since it was
// looked at what is left.
func TestI4_NoDecisionOverOneThatIsBack(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	row := s.Map().Ranges[0]
	var lost []ids.Drive
	for _, r := range row.Replicas[1:] {
		lost = append(lost, r.Drive)
		check(t, s.SetDriveState(ctx, r.Drive, placement.DriveDown, "its node is away"))
	}
	next := *row
	next.Generation, next.Replicas = row.Generation+1, row.Replicas[:1]
	refused := func(what string, seen *placement.Map) {
		t.Helper()
		if err := s.ContinueRange(ctx, &next, seen, lost); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}

	seen := s.Map()
	check(t, s.SetDriveState(ctx, lost[0], placement.DriveSuspect, "was away; catching up"))
	refused("a drive is back", seen)
	check(t, s.SetDriveState(ctx, lost[0], placement.DriveDown, "away again"))
	refused("a drive was back, and may have taken part", seen)
	seen = s.Map()
	node, err := s.Announce(ctx, seen.Drives[lost[0]].Node, "host1:9001")
	check(t, err)
	refused("a node lives", seen)
	if s.Map().Ranges[0].Generation != row.Generation {
		t.Fatal("the range goes on")
	}
	seen = s.Map() // in which the node lives, without the drives
	check(t, s.ContinueRange(ctx, &next, seen, lost))
	check(t, s.ContinueRange(ctx, &next, seen, lost)) // as after an answer that was lost
	if got := s.Map().Ranges[0]; got.Generation != next.Generation || len(got.Replicas) != 1 {
		t.Errorf("%+v", got)
	}
	node.Withdraw()
	check(t, s.SetDriveState(ctx, lost[0], placement.DriveSuspect, "was away; catching up"))
	next.Replicas = row.Replicas[:2]
	refused("a range that has changed", s.Map())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
