package node

import (
	"os"
	"slices"
	"testing"
	"time"
)

// TestWipedDriveIsLeftBlank: nothing is written to a drive that was exchanged for an empty directory and has not been looked at since. With a
// file of ours in it it would be no empty directory any more, and never become a drive by itself.
func TestWipedDriveIsLeftBlank(t *testing.T) {
	r := newRig(t, 4, func(c *Config) { c.CheckEvery = time.Hour })
	n := r.start()
	if got := n.healthyPaths(); len(got) != len(r.paths) {
		t.Fatalf("healthy: %q of %q", got, r.paths)
	}
	must(t, os.RemoveAll(r.paths[1]))
	must(t, os.Mkdir(r.paths[1], 0o755))
	if got := n.healthyPaths(); slices.Contains(got, r.paths[1]) || len(got) != len(r.paths)-1 {
		t.Errorf("healthy with %q wiped: %q", r.paths[1], got)
	}
}
