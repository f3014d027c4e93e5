package member

import (
	"slices"
	"testing"
	"time"
)

// TestTargets: whom a client is sent to. A member that joins answers nothing but at once with an error, and is never left for another.
func TestTargets(t *testing.T) {
	s := &Supervisor{
		opt: Options{Node: "n1", Seeds: []string{"n1", "n3"}}, ready: []string{"joins", "leaves", "ready", "trusted"}, trusted: []string{"trusted"},
		remote: map[string]bool{"serves": true}, avoids: map[target]time.Time{},
		truth: &record{Node: "n1", Peers: []peer{
			{Name: "leaves", Node: "n1", State: peerLeaving}, {Name: "joins", Node: "n1", State: peerJoining}, {Name: "joining", Node: "n2", State: peerJoining},
			{Name: "silent", Node: "n2", State: peerVoter}, {Name: "serves", Node: "n2", State: peerVoter}, {Name: "stopped", Node: "n1", State: peerVoter},
			{Name: "ready", Node: "n1", State: peerVoter}, {Name: "trusted", Node: "n1", State: peerVoter},
		}},
	}
	names := func() (all []string) {
		for _, to := range s.targets() {
			all = append(all, to.name+"@"+to.node)
		}
		return all
	}
	if got, want := names(), []string{"trusted@n1", "ready@n1", "serves@n2", "silent@n2", "@n3", "leaves@n1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for i, name := range []string{"trusted", "ready"} { // of which one had no answer
		s.avoids[target{name, "n1"}] = time.Now().Add(time.Duration(i) * time.Millisecond)
	}
	if got, want := names(), []string{"serves@n2", "silent@n2", "@n3", "trusted@n1", "ready@n1", "leaves@n1"}; !slices.Equal(got, want) {
		t.Errorf("avoided: %v, want %v", got, want)
	}
}
