package node

import (
	"slices"
	"testing"

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
