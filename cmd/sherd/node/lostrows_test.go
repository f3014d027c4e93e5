package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/meta"
)

// All drives lose their rows: on a store of one drive a flipped bit is enough. The objects are then unknown, not absent: a range
// made anew would call everything deleted, and the scrubber would clear it away.
func TestI10_AllRowsLostIsNoFirstStart(t *testing.T) {
	for _, drives := range []int{1, 3} {
		t.Run(fmt.Sprint(drives), func(t *testing.T) {
			r := newRig(t, drives, nil)
			r.start()
			r.fill(1)
			r.awaitBegun()
			r.stop()
			for _, p := range r.paths {
				must(t, os.RemoveAll(filepath.Join(p, "rows")))
			}
			r.start()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if _, err := r.n.objects.Stat(ctx, r.bucket().ID, "key0", meta.VersionRef{}); !errors.Is(err, meta.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if why := strings.Join(r.n.unready(), "; "); !strings.Contains(why, "no leader") {
				t.Errorf("ready, but for %q", why)
			}
		})
	}
}

// awaitBegun waits until the directory has all ranges begun.
func (r *rig) awaitBegun() {
	r.t.Helper()
	eventually(r.t, "the ranges to have begun", func() error {
		for _, rng := range r.n.store.Map().Ranges {
			if !rng.Begun {
				return fmt.Errorf("range %d", rng.ID)
			}
		}
		return nil
	})
}
