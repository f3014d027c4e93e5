package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

func TestI9_CopyAndRestore(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	if _, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Region: "eu", Pool: 1}); err != nil {
		t.Fatal(err)
	}
	dataKey := newKey(t, in.Cluster)
	sealing(t, s, dataKey, nil)
	editIAM(t, s, placement.IAMChange{Identity: &placement.Identity{AccessKey: "k", Secret: "very secret", Root: true}}, placement.IAMChange{User: testUser("u")})
	key, err := CopyKey("very secret", in.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	drives := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.KeepCopies(run, time.Hour, func() []string { return drives }, func() []byte { return key })
	}()
	if err := s.PutSetting(ctx, "last", "1"); err != nil {
		t.Fatal(err)
	}
	stop() // what is not written yet is written now
	<-done
	found, newest := ReadCopies(ctx, in.Cluster, drives)
	for _, f := range found {
		if f.Err != nil || f.Copy.Revision < s.Map().Revision {
			t.Fatalf("%s lacks the last change: %v", f.Drive, f.Err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(drives[0], CopyFile)); err != nil || strings.Contains(string(b), "very secret") {
		t.Fatalf("the secret is readable in the copy (%v)", err)
	}
	if err := newest.Unseal(make([]byte, 32)); !errors.Is(err, ErrSealed) {
		t.Fatalf("wrong key: %v", err)
	}
	if err := newest.Unseal(key); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(ctx, newest, 2); !errors.Is(err, ErrBootstrapped) {
		t.Fatalf("over a living cluster: %v", err)
	}

	before := s.Map()
	r := open(t, newEtcd(t))
	if err := r.Restore(ctx, newest, 2); err != nil {
		t.Fatal(err)
	}
	r.SetDataKey(dataKey)
	after := r.Map()
	if after.Cluster != in.Cluster || after.Generation != 2 || after.Revision < before.Revision+restoreBump {
		t.Fatalf("cluster %s generation %d revision %d after %d", after.Cluster, after.Generation, after.Revision, before.Revision)
	}
	for i, pg := range after.Pools[1].PGs {
		if !reflect.DeepEqual(pg.Slots, before.Pools[1].PGs[i].Slots) {
			t.Fatalf("pg %d differs", i)
		}
		if pg.Epoch < before.Pools[1].PGs[i].Epoch+restoreBump {
			t.Fatalf("I5: pg %d has epoch %d: drives may have seen a greater one", i, pg.Epoch)
		}
	}
	if after.Buckets["b"].ID != before.Buckets["b"].ID || after.Buckets["b"].Revision < restoreBump || after.Buckets["b"].Rules < restoreBump || after.Identities["k"].Secret != "very secret" || after.User(testAccount, "u") == nil {
		t.Fatalf("%+v %+v", after.Buckets["b"], after.Identities["k"])
	}
	if at, unconfirmed := RestoredAt(after, time.Time{}); !unconfirmed || time.Since(at) > time.Minute {
		t.Errorf("restored at %s, %v", at, unconfirmed)
	}
	c, _, err := r.CreateBucket(ctx, placement.Bucket{Name: "c", Owner: "sherd", Pool: 1})
	if err != nil || c.ID < before.Buckets["b"].ID+restoreBump {
		t.Fatalf("I20: %+v, %v: the id may have been given after the copy was made", c, err)
	}
	if next := after.Ranges[0].NextReplica; next < before.Ranges[0].NextReplica+restoreBump {
		t.Fatalf("I10: the next replica is %d", next)
	}
	if _, err := r.SetDeleting(ctx, after.Buckets["b"], true); err != nil { // rows can be changed by their bumped revisions
		t.Fatal(err)
	}
	old := *newest
	if err := WriteCopy(drives[0], &Copy{Cluster: old.Cluster, Generation: 1, Revision: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, still := ReadCopies(ctx, in.Cluster, drives[:1]); still.Revision != old.Revision {
		t.Error("an older state replaced a newer copy")
	}
}

func TestCopyDamage(t *testing.T) {
	c := &Copy{Rows: []CopyRow{{"a", "b"}}}
	whole, err := encodeCopy(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1
		if _, err := decodeCopy(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("a flipped bit at %d: %v", i, err)
		}
		if _, err := decodeCopy(whole[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add("pgs/1/00001", []byte(`{"version":1,"record":{"epoch":1,"slots":[]}}`))
	f.Add("ranges/1", []byte(`{"version":1,"record":{"id":1,"replicas":[{"id":1}],"nextReplica":2}}`))
	f.Add("pools/1", []byte(`{"version":1,"record":{"id":1,"k":1,"pgCount":4,"unitBytes":1}}`))
	f.Add("buckets/b", []byte(`{"version":1,"record":null}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		b := newBuilder(emptyMap(), 0, func(string, error) {})
		b.putRow("pools/1", []byte(`{"version":1,"record":{"id":1,"k":1,"pgCount":4,"unitBytes":1}}`), 1)
		err := b.putRow(key, value, 1)
		m := b.build(1)
		for _, p := range m.Pools {
			if len(p.PGs) != p.PGCount {
				t.Fatalf("%d PGs of %d after %v", len(p.PGs), p.PGCount, err)
			}
			for _, pg := range p.PGs {
				if len(pg.Slots) != p.N() {
					t.Fatalf("a PG of %d slots", len(pg.Slots))
				}
			}
		}
		b = newBuilder(m, 0, func(string, error) {})
		b.remove(key)
		b.build(2)
	})
}

// TestCopiesAreKept: a drive that lost its copy, or comes later, gets one though the map does not change.
func TestCopiesAreKept(t *testing.T) {
	s, in := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	first, later := t.TempDir(), filepath.Join(t.TempDir(), "later")
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.KeepCopies(run, time.Millisecond, func() []string { return []string{first, later} }, func() []byte { return nil })
	}()
	await := func(drive string) {
		t.Helper()
		poll.True(t, poll.Within, "a copy on "+drive, func() bool {
			_, newest := ReadCopies(ctx, in.Cluster, []string{drive})
			return newest != nil
		})
	}
	await(first)
	for _, change := range []func() error{
		func() error { return os.Remove(filepath.Join(first, CopyFile)) },
		func() error { return os.Mkdir(later, 0o755) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	await(first)
	await(later)
	stop()
	<-done
}

// TestI12_HangingDriveHoldsUpNoCopy: one drive's file is a pipe that nobody writes to, so that reading it hangs; the others
// get their copies, also the one of a later change.
func TestI12_HangingDriveHoldsUpNoCopy(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	s.opt.CopyTimeout = time.Second
	ctx := testContext(t)
	hangs, fine := t.TempDir(), t.TempDir()
	pipe := filepath.Join(hangs, CopyFile)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	k := keeper{s: s, drives: map[string]*kept{}}
	for i := range 3 {
		if err := s.PutSetting(ctx, "n", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
		k.keep(ctx, []string{hangs, fine}, nil)
		poll.Nil(t, poll.Within, "the copy", func() error {
			short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			found, newest := ReadCopies(short, in.Cluster, []string{hangs, fine})
			if found[0].Err == nil {
				t.Fatal("the drive that hangs answered")
			}
			if newest == nil || newest.Revision != s.Map().Revision {
				return fmt.Errorf("change %d is not copied", i)
			}
			return nil
		})
	}
	for range 1 + 3 { // let all who read the pipe go on
		if w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			w.Close()
		}
	}
	k.drives[hangs].busy.Lock() // the write has ended
}

// TestI9_FloorIsHeld: records that are older than what is known from elsewhere are refused.
func TestI9_FloorIsHeld(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	now := positionOf(s.Map())
	for _, c := range []struct {
		floor Position
		want  error
	}{
		{now, nil},
		{Position{now.Generation, now.Revision + 1000}, ErrTimeTravel},
		{Position{now.Generation + 1, 0}, ErrTimeTravel},
	} {
		s, err := Open(testContext(t), Options{Endpoints: []string{te.endpoint()}, Floor: c.floor})
		if !errors.Is(err, c.want) {
			t.Errorf("%s known, %s there: %v", c.floor, now, err)
		}
		if err == nil {
			s.Close()
		}
	}
	if s, err := Open(testContext(t), Options{Endpoints: []string{newEtcd(t).endpoint()}, Floor: now}); err != nil {
		t.Errorf("an empty etcd: %v", err)
	} else {
		s.Close()
	}
}

// TestFirstStartIsQuiet: founding a cluster is nothing to warn of.
func TestFirstStartIsQuiet(t *testing.T) {
	var log strings.Builder
	s, err := Open(testContext(t), Options{
		Endpoints: []string{newEtcd(t).endpoint()},
		Logger:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bootstrap(testContext(t), initial(t, 3)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if log.Len() > 0 {
		t.Error(log.String())
	}
}
