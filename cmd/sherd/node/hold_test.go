package node

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// TestI9_HoldAfterRestore: until somebody confirms a restore no drive is given up or adopted by itself, and the status says
// so; then both happen.
func TestI9_HoldAfterRestore(t *testing.T) {
	r := newRig(t, 5, func(c *Config) {
		profile(2, 2)(c)
		c.OutAfter, c.EtcdGrace = time.Millisecond, time.Millisecond
	})
	n := r.start()
	r.fill(3)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	must(t, n.store.PutSetting(ctx, store.RestoredSetting, time.Now().Format(time.RFC3339)))
	away, blank := r.id(3), r.id(4)
	r.hide(3, true)
	must(t, os.Rename(r.paths[4], r.paths[4]+".old"))
	must(t, os.Mkdir(r.paths[4], 0o755))
	r.awaitState(away, placement.DriveDown)
	r.awaitProblem(4, "just restored")
	for range 3 { // whoever looks
		must(t, n.planner.step(ctx))
	}
	if state := r.row(away).State; state != placement.DriveDown {
		t.Fatalf("the drive is %s", state)
	}
	said := false
	for _, p := range n.status(ctx).Problems {
		said = said || strings.Contains(p.Text, "restored from a copy")
	}
	if !said {
		t.Error("status does not say that the control state was restored")
	}
	if _, err := (admin{n}).confirm(ctx, nil); err != nil {
		t.Fatal(err)
	}
	r.awaitState(blank, placement.DriveOut)
	r.awaitState(away, placement.DriveOut)
	r.check(3)
}
