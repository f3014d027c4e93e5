package member

import (
	"log/slog"
	"slices"
	"testing"
)

// TestJudge: who is trusted and who is lost, by what members answered for their content.
func TestJudge(t *testing.T) {
	good, bad, older := content{hash: 1}, content{hash: 2}, content{hash: 3, compact: 7}
	for _, c := range []struct {
		what     string
		hashes   map[string]content
		expected int
		before   []string // trusted
		trusted  []string
		lost     []string
	}{
		{what: "all agree", hashes: map[string]content{"a": good, "b": good, "c": good}, expected: 3, trusted: []string{"a", "b", "c"}},
		{what: "one differs", hashes: map[string]content{"a": good, "b": bad, "c": good}, expected: 3, trusted: []string{"a", "c"}, lost: []string{"b"}},
		{what: "one differs, and one is slow to answer or to start", hashes: map[string]content{"a": good, "b": bad}, expected: 3},
		{what: "as before that", hashes: map[string]content{"a": good, "b": bad}, expected: 3, before: []string{"a", "c"}, trusted: []string{"a", "c"}},
		{what: "two are left and differ: nobody can tell", hashes: map[string]content{"a": good, "b": bad}, expected: 2, trusted: []string{"a", "b"}},
		{what: "two of three agree", hashes: map[string]content{"a": good, "b": good}, expected: 3, trusted: []string{"a", "b"}},
		{what: "one compacted at another time", hashes: map[string]content{"a": good, "b": older, "c": good}, expected: 3, trusted: []string{"a", "c"}},
	} {
		s := &Supervisor{
			opt: Options{Logger: slog.New(slog.DiscardHandler)}, lost: map[string]loss{}, changed: make(chan struct{}), trusted: c.before,
			truth: &record{Peers: []peer{{Name: "a"}, {Name: "b"}, {Name: "c"}}},
		}
		s.judge(c.hashes, c.expected)
		var lost []string
		for n := range s.lost {
			lost = append(lost, n)
		}
		if !slices.Equal(s.trusted, c.trusted) || !slices.Equal(lost, c.lost) {
			t.Errorf("%s: trusted %v, lost %v; want %v, %v", c.what, s.trusted, lost, c.trusted, c.lost)
		}
	}
}

// TestExpected: whose word on the content is waited for.
func TestExpected(t *testing.T) {
	s := &Supervisor{
		opt: Options{Node: "n1"}, lost: map[string]loss{"gone": gone("of the test")}, ready: []string{"ready"}, remote: map[string]bool{"serves": true},
		truth: &record{Node: "n1", Peers: []peer{
			{Name: "ready", Node: "n1"}, {Name: "starts", Node: "n1"}, {Name: "gone", Node: "n1"}, {Name: "serves", Node: "n2"}, {Name: "away", Node: "n2"},
		}},
	}
	if got := s.expected(); got != 3 {
		t.Errorf("%d, want those that are ready, start and serve", got)
	}
}
