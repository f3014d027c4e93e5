package node

import (
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// The same path may be on each of several nodes: what is said of a drive says of which, and its remedy can be pasted.
func TestDriveProblemsNameTheNode(t *testing.T) {
	const bring = "bring it back; or put an empty one there and run `sherd drive replace "
	drives := []adminapi.Drive{
		{Node: "n1", Path: "/mnt/sherd1", State: "up", Health: "ok"},
		{Node: "n2", Path: "/mnt/sherd1", State: "up", Health: "failed"}, // as the map knows it, when the node says nothing
		{Node: "n3", Path: "/mnt/sherd1", State: "down", Reason: "it is gone"},
		{Node: "n3", Path: "/mnt/sherd2", State: "suspect", Reason: "was away"},
	}
	for _, c := range []struct {
		several bool
		want    []adminapi.Problem
	}{
		{true, []adminapi.Problem{
			{Severity: adminapi.SeverityError, Text: "drive n2:/mnt/sherd1 is not in service: its node does not answer", Remedy: bring + "--node n2 /mnt/sherd1`"},
			{Severity: adminapi.SeverityError, Text: "drive n3:/mnt/sherd1 is not in service: it is gone", Remedy: bring + "--node n3 /mnt/sherd1`"},
			{Severity: adminapi.SeverityWarning, Text: "drive n3:/mnt/sherd2 is suspect: was away"},
		}},
		{false, []adminapi.Problem{
			{Severity: adminapi.SeverityError, Text: "drive /mnt/sherd1 is not in service: its node does not answer", Remedy: bring + "/mnt/sherd1`"},
			{Severity: adminapi.SeverityError, Text: "drive /mnt/sherd1 is not in service: it is gone", Remedy: bring + "/mnt/sherd1`"},
			{Severity: adminapi.SeverityWarning, Text: "drive /mnt/sherd2 is suspect: was away"},
		}},
	} {
		if got := driveProblems(drives, c.several); !slices.Equal(got, c.want) {
			t.Errorf("several nodes %v:\n%+v", c.several, got)
		}
	}
}

// Whose clock is wrong is what most nodes' clocks say, whichever node is asked.
func TestClockProblems(t *testing.T) {
	const n2Ahead = "the clock of node n2 is 1h0m0s ahead of the others': it may lead no range, and refuse requests as signed at another time"
	const n2Behind = "the clock of node n2 is 1h0m0s behind the others': it may lead no range, and refuse requests as signed at another time"
	hour := time.Hour.Milliseconds()
	for _, c := range []struct {
		what   string
		ahead  []int64 // of n1, n2 …; the one that is asked has 0
		silent int     // of 1 …, which is away, or of a version that does not tell its time
		want   []string
	}{
		{what: "one node", ahead: []int64{0}},
		{what: "busy nodes", ahead: []int64{0, 1500, -900}},
		{what: "asked at n1", ahead: []int64{0, hour, 20}, want: []string{n2Ahead}},
		{what: "asked at n2", ahead: []int64{-hour, 0, -hour - 30}, want: []string{n2Ahead}},
		{what: "behind", ahead: []int64{0, -hour, 20}, want: []string{n2Behind}},
		{what: "one of two, asked at n1", ahead: []int64{0, hour}, want: []string{n2Ahead}},
		{what: "one of two, asked at n2", ahead: []int64{-hour, 0}, want: []string{n2Ahead}},
		{what: "what is not known has no say", ahead: []int64{-hour, 0, 0}, silent: 3, want: []string{n2Ahead}},
	} {
		var nodes []adminapi.NodeState
		for i, ms := range c.ahead {
			s := adminapi.NodeState{Name: []string{"n1", "n2", "n3"}[i], AheadMS: ms}
			if i+1 != c.silent {
				s.Time = time.Now()
			}
			nodes = append(nodes, s)
		}
		var got []string
		for _, p := range clockProblems(nodes) {
			got = append(got, p.Text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
