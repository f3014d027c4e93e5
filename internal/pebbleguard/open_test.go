package pebbleguard

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/internal/poll"
)

// TestFailingOpen: no compaction runs beside an Open that may still fail, and nothing is left of one that did; the next one that
// goes well makes up for it.
func TestFailingOpen(t *testing.T) {
	mem := vfs.NewMem()
	opt := options(mem)
	opt.DisableAutomaticCompactions = true
	db, err := Open("db", opt)
	check(t, err)
	for round := range 6 {
		for i := range 100 {
			check(t, db.Set(fmt.Appendf(nil, "k%d", i), fmt.Append(nil, round), pebble.NoSync))
		}
		check(t, db.Flush())
	}
	check(t, db.Close())

	before := runtime.NumGoroutine()
	var tables atomic.Int64 // that compactions began
	for range 20 {
		opt := options(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch {
			case op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst"):
				tables.Add(1)
			case op.Kind == errorfs.OpRename && strings.HasSuffix(op.Path, ".dbtmp"): // after the flush that begins an opening
				time.Sleep(5 * time.Millisecond) // a slow drive: whatever should not run beside would by now
				return errorfs.ErrInjected
			}
			return nil
		})))
		opt.L0CompactionThreshold = 2
		if db, err := Open("db", opt); err == nil {
			check(t, db.Close())
			t.Fatal("opened")
		}
	}
	if n := tables.Load(); n > 0 {
		t.Errorf("compactions made %d tables while the database was being opened", n)
	}
	poll.Nil(t, poll.Within, "the end of what the openings began", func() error {
		if n := runtime.NumGoroutine(); n > before {
			return fmt.Errorf("%d goroutines, there were %d", n, before)
		}
		return nil
	})

	opt = options(mem)
	opt.L0CompactionThreshold = 2
	db, err = Open("db", opt)
	check(t, err)
	poll.Nil(t, poll.Within, "a compaction", func() error {
		if m := db.Metrics(); m.Levels[0].TablesCount > 0 {
			return fmt.Errorf("%d tables in L0", m.Levels[0].TablesCount)
		}
		return nil
	})
	check(t, db.Close())
}
