package meta

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/placement"
)

// saying is a replica as a test writes it: range, id and drive, its span, how far it is, and its range's voters. A drive is called by one letter.
type saying struct {
	rng, id    uint64
	drive      byte
	start, end string
	applied    uint64
	voters     []uint64
	leads      bool
	gen        uint64 // 1
}

func driveCalled(b byte) (d ids.Drive) {
	d[0] = b
	return d
}

func (s saying) status() *remotepb.ReplicaStatus {
	d := driveCalled(s.drive)
	return &remotepb.ReplicaStatus{
		Range: s.rng, Replica: s.id, Drive: d[:], Start: []byte(s.start), End: []byte(s.end), Applied: s.applied,
		Voters: s.voters, Serving: s.leads, Generation: max(s.gen, 1), Running: true,
	}
}

// rowText is a row as the tests' tables have it.
func rowText(r *placement.Range) string {
	var reps []string
	for _, rep := range r.Replicas {
		joins := ""
		if rep.Joining {
			joins = "+"
		}
		reps = append(reps, fmt.Sprintf("%s%d@%c", joins, rep.ID, cmp.Or(rep.Drive[0], '?')))
	}
	slices.Sort(reps)
	return fmt.Sprintf("%d [%s %s) gen %d: %s", r.ID, r.Start, r.End, r.Generation, strings.Join(reps, " "))
}

// TestI9_DirectoryFromReplicas: a directory that is older than the replicas gets the ranges that were split off since, and the
// replicas that took others' places; where something is not known it is not guessed.
func TestI9_DirectoryFromReplicas(t *testing.T) {
	row := func(id ids.Range, start, end string, reps ...string) *placement.Range {
		r := &placement.Range{ID: id, Start: []byte(start), End: []byte(end), Generation: 1, NextReplica: 1_000_000_004, Begun: true}
		for i, on := range reps {
			r.Replicas = append(r.Replicas, placement.Replica{ID: ids.Replica(i + 1), Drive: driveCalled(on[0])})
		}
		return r
	}
	three := []uint64{1, 2, 3}
	whole := []*placement.Range{row(1, "", "", "a", "b", "c")}
	for _, c := range []struct {
		what   string
		rows   []*placement.Range
		say    []saying
		want   []string // of all rows in the place of others
		doubts int
	}{
		{"as it is", whole, []saying{{1, 1, 'a', "", "", 9, three, true, 0}}, nil, 0},
		{"nobody answers", whole, nil, nil, 1},
		{"no leader yet", whole, []saying{{1, 1, 'a', "", "", 9, three, false, 0}}, nil, 1},
		{
			"split once", whole, []saying{{1, 1, 'a', "", "m", 9, three, true, 0}, {7, 2, 'b', "m", "", 3, three, true, 0}},
			[]string{"1 [ m) gen 1: 1@a 2@b 3@c", "7 [m ) gen 1: 1@a 2@b 3@c"}, 0,
		},
		{
			"split three times, one child by its own", whole,
			[]saying{{1, 1, 'a', "", "d", 9, three, true, 0}, {7, 2, 'b', "m", "t", 8, three, true, 0}, {8, 3, 'c', "d", "m", 8, three, true, 0}, {9, 1, 'a', "t", "", 8, three, true, 0}},
			[]string{"1 [ d) gen 1: 1@a 2@b 3@c", "8 [d m) gen 1: 1@a 2@b 3@c", "7 [m t) gen 1: 1@a 2@b 3@c", "9 [t ) gen 1: 1@a 2@b 3@c"}, 0,
		},
		{
			"a replica that has not applied the split", whole, []saying{{1, 2, 'b', "", "", 5, three, false, 0}, {7, 2, 'b', "m", "", 3, three, true, 0}},
			[]string{"1 [ m) gen 1: 1@a 2@b 3@c", "7 [m ) gen 1: 1@a 2@b 3@c"}, 1,
		},
		{
			"a gap", whole, []saying{{1, 1, 'a', "", "d", 9, three, true, 0}, {7, 2, 'b', "m", "", 3, three, true, 0}}, nil, 1,
		},
		{"the last part is missing", whole, []saying{{1, 1, 'a', "", "d", 9, three, true, 0}}, nil, 1},
		{
			"replicas were replaced", whole,
			[]saying{{1, 1, 'a', "", "", 9, []uint64{1, 5, 6}, true, 0}, {1, 5, 'x', "", "", 9, []uint64{1, 5, 6}, false, 0}, {1, 6, 'y', "", "", 8, []uint64{1, 2, 5}, false, 0}},
			[]string{"1 [ ) gen 1: 1@a 5@x 6@y"}, 0,
		},
		{
			"a voter that nobody has", whole, []saying{{1, 1, 'a', "", "", 9, []uint64{1, 2, 6}, true, 0}},
			[]string{"1 [ ) gen 1: 1@a 2@b 6@?"}, 1,
		},
		{
			"replaced, and without a leader: all are to take part", whole, []saying{{1, 6, 'y', "", "", 8, three, false, 0}},
			[]string{"1 [ ) gen 1: 1@a 2@b 3@c 6@y"}, 1,
		},
		{
			"recovered since", whole, []saying{{1, 2, 'b', "", "", 4, three, false, 1}, {1, 1, 'a', "", "", 9, []uint64{1}, true, 2}},
			[]string{"1 [ ) gen 2: 1@a"}, 0,
		},
		{"recovered just now", []*placement.Range{{ID: 1, Generation: 2, NextReplica: 9, Begun: true}}, []saying{{1, 1, 'a', "", "", 9, three, false, 1}}, nil, 1},
		{"an unborn child", whole, []saying{{1, 1, 'a', "", "", 9, three, true, 0}, {7, 1, 'a', "m", "", 0, three, false, 0}}, nil, 0},
		{
			"between two rows", []*placement.Range{row(1, "", "m", "a", "b", "c"), row(2, "m", "", "a", "b", "c")},
			[]saying{{1, 1, 'a', "", "m", 9, three, true, 0}, {2, 1, 'a', "m", "t", 9, three, true, 0}, {7, 2, 'b', "t", "", 3, three, true, 0}},
			[]string{"2 [m t) gen 1: 1@a 2@b 3@c", "7 [t ) gen 1: 1@a 2@b 3@c"}, 0,
		},
	} {
		var all []*remotepb.ReplicaStatus
		for _, s := range c.say {
			all = append(all, s.status())
		}
		changes, doubts := rebuild(&placement.Map{Ranges: c.rows}, all)
		var got []string
		for _, ch := range changes {
			for i, r := range ch.Now {
				got = append(got, rowText(r))
				for _, rep := range r.Replicas {
					if rep.ID >= r.NextReplica {
						t.Errorf("%s: replica %d of range %d, next %d", c.what, rep.ID, r.ID, r.NextReplica)
					}
				}
				if i == 0 && r.NextReplica < ch.Was.NextReplica {
					t.Errorf("%s: I10: next replica %d", c.what, r.NextReplica)
				}
			}
		}
		if !slices.Equal(got, c.want) || len(doubts) != c.doubts {
			t.Errorf("%s:\n%s\nwant\n%s\ndoubts: %q", c.what, strings.Join(got, "\n"), strings.Join(c.want, "\n"), doubts)
		}
		applied := &placement.Map{Ranges: c.rows}
		for _, ch := range changes {
			applied.Ranges = append(slices.DeleteFunc(slices.Clone(applied.Ranges), func(r *placement.Range) bool { return r.ID == ch.Was.ID }), ch.Now...)
		}
		if again, _ := rebuild(applied, all); len(again) > 0 {
			t.Errorf("%s: a second time it is changed again: %+v", c.what, again)
		}
	}
}
