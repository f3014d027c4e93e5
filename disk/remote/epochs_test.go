package remote

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/ids"
)

// I5: every answer about a PG carries the epoch that the drive has of it, also to a client that did not raise it, and also a refusal.
func TestI5_AnswersCarryTheEpoch(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	ctx := t.Context()
	sample := func(i uint64, bytes int) *disktest.Sample {
		s := disktest.NewSample(9, 8*i+1, bytes) // all of PG 1
		s.Header.Epoch = 1000
		return s
	}
	short, long, other := sample(0, 5000), sample(1, 3<<20), sample(2, 5000)
	key := short.Header.Key
	writer := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	must(t, disktest.Put(writer, short))
	must(t, disktest.Put(writer, long))

	epoch := uint64(1000)
	for what, call := range map[string]func(d suiteDrive){
		"open":       func(d suiteDrive) { d.Open(ctx, other.Header.Key) },
		"put":        func(d suiteDrive) { wantErr(t, disktest.Put(d, sample(3, 100)), disk.ErrEpoch) },
		"create":     func(d suiteDrive) { d.Create(ctx, other.Header, 3<<20) },
		"delete":     func(d suiteDrive) { must(t, disktest.Delete(d, sample(4, 1).Header.Key)) },
		"chunks":     func(d suiteDrive) { d.Chunks(ctx, 1, 1, ids.Chunk{Pool: 1, PG: 1}, 1) },
		"drop":       func(d suiteDrive) { wantErr(t, d.Drop(ctx, []ids.Chunk{key}, 1), disk.ErrEpoch) },
		"verify":     func(d suiteDrive) { d.Verify(ctx, key) },
		"quarantine": func(d suiteDrive) { d.Quarantine(ctx, other.Header.Key, "") },
		"restore":    func(d suiteDrive) { d.RestoreQuarantined(ctx, other.Header.Key) },
		"raise":      func(d suiteDrive) { must(t, d.RaiseEpoch(ctx, 1, 1, 1)) },
	} {
		epoch++
		must(t, n.drive.RaiseEpoch(ctx, 1, 1, epoch))
		d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
		if got := d.Epoch(1, 1); got != 0 {
			t.Errorf("epoch %d before any answer", got)
		}
		call(d)
		if got := d.Epoch(1, 1); got != epoch {
			t.Errorf("%s said epoch %d, want %d", what, got, epoch)
		}
		if got := d.Epoch(1, 2); got != 0 {
			t.Errorf("%s said epoch %d of another PG", what, got)
		}
	}
}

// I5: so do those to a reader and a writer that were open before, and what was begun under an older epoch is not sealed (I5(1)).
func TestI5_OpenHandlesHearOfTheEpoch(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	ctx := context.Background()
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	stored, begun := disktest.NewSample(9, 1, 3<<20), disktest.NewSample(9, 9, 3<<20)
	must(t, disktest.Put(d, stored))
	r, err := d.Open(ctx, stored.Header.Key)
	must(t, err)
	defer r.Close()
	w, err := d.Create(ctx, begun.Header, 3<<20)
	must(t, err)
	for i, u := range begun.Units() {
		must(t, n.drive.RaiseEpoch(ctx, 1, 1, uint64(10+i)))
		must(t, w.Write(ctx, u))
		if got := d.Epoch(1, 1); got != uint64(10+i) {
			t.Errorf("the write said epoch %d, want %d", got, 10+i)
		}
	}
	must(t, n.drive.RaiseEpoch(ctx, 1, 1, 30))
	buf, err := r.Read(ctx, 0, 100)
	must(t, err)
	buf.Release()
	if got := d.Epoch(1, 1); got != 30 {
		t.Errorf("the read said epoch %d, want 30", got)
	}
	must(t, n.drive.RaiseEpoch(ctx, 1, 1, 31))
	wantErr(t, w.Seal(ctx, begun.Footer), disk.ErrEpoch)
	if got := d.Epoch(1, 1); got != 31 {
		t.Errorf("the refusal said epoch %d, want 31", got)
	}
	_, err = d.Open(ctx, begun.Header.Key)
	wantErr(t, err, disk.ErrNotFound)
}

// What a peer says of PGs that it was not asked about is not kept.
func TestEpochsAreOfWhatWasAsked(t *testing.T) {
	var e epochs
	e.noteAll(ids.Drive{1}, map[group]bool{{1, 2}: true}, chunk.AppendEpochs(nil, chunk.Epoch{Pool: 1, PG: 2, Epoch: 7}, chunk.Epoch{Pool: 1, PG: 3, Epoch: 8}))
	e.noteAll(ids.Drive{1}, map[group]bool{{1, 2}: true}, []byte("garbage"))
	if len(e.seen) != 1 || e.of(ids.Drive{1}, group{1, 2}) != 7 {
		t.Errorf("%v", e.seen)
	}
	e.note(ids.Drive{1}, group{1, 2}, 6)
	if got := e.of(ids.Drive{1}, group{1, 2}); got != 7 {
		t.Errorf("it fell to %d", got)
	}
}
