package meta

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// TestI12_FullDrivesRefuseDataOnly: with a majority under reserve, deletes go on and puts do not.
func TestI12_FullDrivesRefuseDataOnly(t *testing.T) {
	var low atomic.Int32
	var tn *testNode
	tn = newNode(t, nodeConfig{drives: 5, seed: 1, opt: Options{Low: func(id ids.Drive) bool {
		for i, d := range tn.drives {
			if d.id == id {
				return i < int(low.Load())
			}
		}
		return false
	}}})
	tn.put("k", "v")
	low.Store(2)
	tn.put("k", "w")
	low.Store(3)
	if _, err := tn.node.PutVersion(tn.ctx(), 0, putOf("k", "x")); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	_, err := tn.node.DeleteVersions(tn.ctx(), 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{"k"}})
	check(t, err)
	low.Store(0)
	tn.put("k", "y")
}

// TestI1_FullIsNoGuess: drives that fill up while a command is tried again do not make its outcome known.
func TestI1_FullIsNoGuess(t *testing.T) {
	var asked atomic.Int32
	tn := newNode(t, nodeConfig{drives: 3, seed: 1, opt: Options{
		CommandTimeout: 100 * time.Millisecond, AttemptTimeout: time.Nanosecond,
		Low: func(ids.Drive) bool { return asked.Add(1) > 3 }, // from the second try on
	}})
	if _, err := tn.node.PutVersion(tn.ctx(), 0, putOf("k", "v")); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
}

// TestWithoutQuorumRefusesInTime: the minority answers 503, it neither hangs nor guesses.
func TestWithoutQuorumRefusesInTime(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 1, opt: Options{
		CommandTimeout: 300 * time.Millisecond, AttemptTimeout: 100 * time.Millisecond,
	}})
	waitFor(t, func() bool { // the first leader's election may take all of a command's time
		_, err := tn.node.PutVersion(tn.ctx(), 0, putOf("k", "v"))
		return err == nil
	})
	tn.lose(0)
	tn.lose(1)
	if _, err := tn.node.PutVersion(tn.ctx(), 0, putOf("k", "w")); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // its lease, if it led, runs out
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		_, _, err := tn.node.Get(ctx, bucket, "k", GetOptions{})
		return errors.Is(err, ErrUnavailable)
	})
}

// TestYieldHandsLeadershipOver: the replicas of a suspect drive lead no longer.
func TestYieldHandsLeadershipOver(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 1})
	tn.put("k", "v")
	i := tn.leaderDrive()
	waitFor(t, func() bool {
		tn.node.Yield(tn.ctx(), tn.drives[i].id)
		return tn.leaderDrive() != i
	})
	tn.put("k", "w")
	tn.want("k", "w")
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		tn := newNode(t, nodeConfig{drives: 5, seed: 1})
		l := tn.startLoad(4)
		waitFor(t, func() bool { return l.count() > 20 })
		l.stop()
		tn.lose(2)
		tn.close()
	}
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
}

// TestTransferUnderLoadRefusesNothing: leadership moves while commands come, and none of them fails.
func TestTransferUnderLoadRefusesNothing(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 5, seed: 1})
	l := tn.startLoad(8)
	for range 5 {
		n := l.total()
		waitFor(t, func() bool { return l.total() > n+100 })
		tn.node.Yield(tn.ctx(), tn.drives[tn.leaderDrive()].id)
	}
	l.stop()
	for text, n := range l.failed {
		if !strings.Contains(text, "context canceled") { // the end of the test
			t.Errorf("%d × %s", n, text)
		}
	}
	l.check()
	tn.settle(1)
}
