package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

func TestI9_CopyAndRestore(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	if _, _, err := s.CreateBucket(ctx, "b", "root", "eu", 1); err != nil {
		t.Fatal(err)
	}
	if err := s.PutIdentity(ctx, placement.Identity{AccessKey: "k", Secret: "very secret", Root: true}); err != nil {
		t.Fatal(err)
	}
	key, err := CopyKey("very secret", in.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	drives := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.KeepCopies(run, time.Millisecond, func() []string { return drives }, func() []byte { return key })
	}()
	if err := s.PutSetting(ctx, "last", "1"); err != nil {
		t.Fatal(err)
	}
	var newest *Copy
	poll.True(t, poll.Within, "copies of the last change", func() (ok bool) {
		var held int
		_, newest, held = ReadCopies(drives)
		return held == 3 && newest.Revision >= s.Map().Revision
	})
	stop()
	<-done
	if b, err := os.ReadFile(filepath.Join(drives[0], CopyFile)); err != nil || strings.Contains(string(b), "very secret") {
		t.Fatalf("the secret is readable in the copy (%v)", err)
	}
	if err := newest.Unseal(make([]byte, 32)); !errors.Is(err, ErrSealed) {
		t.Fatalf("wrong key: %v", err)
	}
	if err := newest.Unseal(key); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(ctx, newest); !errors.Is(err, ErrBootstrapped) {
		t.Fatalf("over a living cluster: %v", err)
	}

	before := s.Map()
	r := open(t, newEtcd(t))
	if err := r.Restore(ctx, newest); err != nil {
		t.Fatal(err)
	}
	after := r.Map()
	if after.Cluster != in.Cluster || after.Generation != 2 || after.Revision < before.Revision+restoreBump {
		t.Fatalf("cluster %s generation %d revision %d after %d", after.Cluster, after.Generation, after.Revision, before.Revision)
	}
	for i, pg := range after.Pools[1].PGs {
		if !reflect.DeepEqual(pg.Slots, before.Pools[1].PGs[i].Slots) {
			t.Fatalf("pg %d differs", i)
		}
	}
	if after.Buckets["b"].ID != before.Buckets["b"].ID || after.Buckets["b"].Revision < restoreBump || after.Identities["k"].Secret != "very secret" {
		t.Fatalf("%+v %+v", after.Buckets["b"], after.Identities["k"])
	}
	if after.Settings[RestoredSetting] == "" {
		t.Error("nothing says that it was restored")
	}
	c, _, err := r.CreateBucket(ctx, "c", "root", "", 1)
	if err != nil || c.ID <= before.Buckets["b"].ID {
		t.Fatalf("I20: %+v, %v", c, err)
	}
	if err := r.SetDeleting(ctx, "b", true); err != nil { // rows can be changed by their bumped revisions
		t.Fatal(err)
	}
	old := *newest
	if err := WriteCopy(drives[0], &Copy{Cluster: old.Cluster, Generation: 1, Revision: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, still, _ := ReadCopies(drives[:1]); still.Revision != old.Revision {
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
