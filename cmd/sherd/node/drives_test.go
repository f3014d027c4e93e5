package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

// TestQuarantineOfTheDrivesThatAnswer: a drive that is away does not hide what is in quarantine on the others, and is named.
func TestQuarantineOfTheDrivesThatAnswer(t *testing.T) {
	r := newRig(t, 3, profile(2, 1))
	n := r.start()
	r.fill(1)
	kept, away := n.drive(r.id(0)), r.id(2)
	chunks, err := kept.AllChunks(t.Context(), nil, 1)
	must(t, err)
	must(t, kept.Quarantine(t.Context(), chunks[0].Key, "test"))
	r.hide(2, true)
	defer r.hide(2, false)
	r.awaitState(away, placement.DriveDown)
	q := n.quarantined(t.Context())
	if len(q.Chunks) != 1 || q.Chunks[0].Chunk != chunks[0].Key.String() {
		t.Errorf("in quarantine: %+v", q.Chunks)
	}
	if len(q.Unread) != 1 || q.Unread[0].Drive != away.String() || q.Unread[0].Path != r.paths[2] || q.Unread[0].Reason == "" {
		t.Errorf("away: %+v", q.Unread)
	}
	if _, err := (admin{n}).restore(t.Context(), []byte(`{"chunk":"none"}`)); !errors.Is(err, gateway.ErrConflict) || !strings.Contains(err.Error(), r.paths[2]) {
		t.Errorf("restoring what may be on the drive that is away: %v", err)
	}
}

// TestI10_WipedDriveIsReplacedByItself: chunks, replicas, slots; then another one may be lost.
func TestI10_WipedDriveIsReplacedByItself(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	r.fill(10)
	old := r.id(1)
	r.wipe(1)
	r.awaitState(old, placement.DriveOut)
	r.awaitWhole()
	if now := r.row(r.id(1)); now.ID == old || now.Replaces != old {
		t.Fatalf("in the place of %s is %+v", old, now)
	}
	eventually(t, "an exact ledger", func() error {
		led, err := r.n.heal.Count(context.Background())
		if err == nil && led.Lacking() != 0 {
			err = fmt.Errorf("%+v", led)
		}
		return err
	})
	r.hide(0, true)
	r.check(10)
}

// TestI10_MoreBlankDrivesThanM: none of them is adopted by itself.
func TestI10_MoreBlankDrivesThanM(t *testing.T) {
	r := newRig(t, 5, profile(2, 1))
	r.start()
	r.fill(1)
	blank := []int{3, 4} // etcd's members are on the others
	for _, i := range blank {
		must(t, os.Rename(r.paths[i], r.paths[i]+".old"))
		must(t, os.Mkdir(r.paths[i], 0o755))
	}
	r.awaitProblem(3, "more than the 1 whose loss is covered")
	r.awaitProblem(4, "more than the 1 whose loss is covered")
	if err := r.n.replaceByHand(context.Background(), r.n.bays.list()[3], false); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("by hand: %v", err)
	}
	for _, i := range blank {
		if names, err := os.ReadDir(r.paths[i]); err != nil || len(names) > 0 {
			t.Errorf("drive %d: %v, %v", i, names, err)
		}
	}
	must(t, r.n.replaceByHand(context.Background(), r.n.bays.list()[3], true))
}

// TestI10_MissingDirectory: it is not made, and so not adopted.
func TestI10_MissingDirectory(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	id := r.id(1)
	r.hide(1, true)
	r.awaitState(id, placement.DriveDown)
	r.awaitProblem(1, "is gone")
	if _, err := os.Stat(r.paths[1]); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
}

// TestI10_NoReplace: with --auto-replace=false a blank directory waits for a person.
func TestI10_NoReplace(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.NoReplace = true })
	r.start()
	old := r.id(1)
	r.wipe(1)
	r.awaitProblem(1, "--auto-replace is off")
	must(t, r.n.replaceByHand(context.Background(), r.n.bays.list()[1], false))
	r.awaitState(old, placement.DriveOut)
	r.awaitWhole()
}

// TestI10_ResidueOfAWipe: what etcd or the control copy wrote into a drive just while it was wiped does not keep it from
// being adopted; anything else does.
func TestI10_ResidueOfAWipe(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	old := r.id(1)
	r.hide(1, true)
	r.awaitState(old, placement.DriveDown)
	must(t, os.MkdirAll(filepath.Join(r.paths[1], etcdDir, "m1"), 0o755))
	must(t, os.WriteFile(filepath.Join(r.paths[1], ".control.json.tmp123"), []byte("{"), 0o600))
	other := filepath.Join(r.paths[1], "letters")
	must(t, os.WriteFile(other, []byte("dear"), 0o600))
	r.n.bays.list()[1].look()
	r.awaitProblem(1, "foreign")
	must(t, os.Remove(other))
	r.n.bays.list()[1].look()
	r.awaitState(old, placement.DriveOut)
	r.awaitWhole()
}

// TestI2_ReturnedDriveIsSuspectUntilRepaired: it missed writes; it is up when it has them.
func TestI2_ReturnedDriveIsSuspectUntilRepaired(t *testing.T) {
	r := newRig(t, 4, nil)
	r.start()
	r.fill(2)
	id := r.id(2)
	r.hide(2, true)
	r.awaitState(id, placement.DriveDown)
	eventually(t, "a write without it", func() error { return r.put("missed") })
	r.n.heal.Pause()
	r.hide(2, false)
	r.awaitState(id, placement.DriveSuspect)
	eventually(t, "the return", func() error {
		if r.n.bays.drive(id) == nil {
			return errText("it is not in service")
		}
		return nil
	})
	r.n.heal.Resume()
	r.n.heal.Kick()
	r.awaitState(id, placement.DriveUp)
	r.awaitWhole()
}

// TestI2_LossThatEtcdDidNotHear: a drive that was away and back while etcd did not answer is suspect once it does.
func TestI2_LossThatEtcdDidNotHear(t *testing.T) {
	r := newRig(t, 3, func(c *Config) { c.ControlTimeout = 5 * time.Second })
	r.start()
	r.fill(1)
	id := r.id(1)
	etcd := 0 // to process 0 the signal would go to this process's whole group
	poll.True(t, within, "etcd's process", func() bool { etcd = r.n.members.Pid(); return etcd > 0 })
	must(t, syscall.Kill(etcd, syscall.SIGSTOP))
	t.Cleanup(func() { syscall.Kill(etcd, syscall.SIGCONT) })
	r.hide(1, true)
	eventually(t, "the loss", func() error {
		if r.n.bays.drive(id) != nil {
			return errText("it is in service")
		}
		return nil
	})
	r.hide(1, false)
	eventually(t, "the return", func() error {
		if r.n.bays.drive(id) == nil {
			return errText("it is not in service")
		}
		return nil
	})
	if !r.row(id).Up() {
		t.Fatalf("the map has %+v: etcd heard of it", r.row(id))
	}
	r.n.heal.Pause() // suspect it stays
	must(t, syscall.Kill(etcd, syscall.SIGCONT))
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := r.n.store.Wait(ctx, func(m *placement.Map) bool {
		if d := m.Drives[id]; d.State == placement.DriveUp {
			r.n.planner.wake()
			return false
		}
		return true
	})
	must(t, err)
	if d := r.row(id); d.State == placement.DriveOut {
		t.Fatalf("it is %+v", d)
	}
	r.n.heal.Resume()
	r.n.heal.Kick()
	r.awaitState(id, placement.DriveUp)
}
