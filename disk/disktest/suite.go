package disktest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// Drive is what the suite asks of a drive. Its methods are disk.Drive's, and so is what they promise.
type Drive interface {
	Put(h chunk.Header, units [][]byte, f chunk.Footer, done func(error))
	Create(ctx context.Context, h chunk.Header, shardBytes int64) (Writer, error)
	Open(ctx context.Context, key ids.Chunk) (Reader, error)
	Delete(keys []ids.Chunk, done func(error))
	Chunks(ctx context.Context, pool ids.Pool, pg ids.PG, after ids.Chunk, max int) ([]disk.ChunkInfo, error)
	AllChunks(ctx context.Context, after *ids.Chunk, max int) ([]disk.ChunkInfo, error)
	Verify(ctx context.Context, key ids.Chunk) (chunk.Header, chunk.Footer, error)
	Quarantine(ctx context.Context, key ids.Chunk, reason string) error
	Quarantined(ctx context.Context) ([]disk.QuarantineEntry, error)
	RestoreQuarantined(ctx context.Context, key ids.Chunk) error
	RaiseEpoch(ctx context.Context, pool ids.Pool, pg ids.PG, epoch uint64) error
	Epoch(pool ids.Pool, pg ids.PG) uint64
	Drop(ctx context.Context, keys []ids.Chunk, epoch uint64) error
	Health() disk.Health
}

// Writer is disk.Writer's part of the contract.
type Writer interface {
	Write(ctx context.Context, unit []byte) error
	Seal(ctx context.Context, f chunk.Footer) error
	Abort()
}

// Reader is disk.Reader's part of the contract.
type Reader interface {
	Header() chunk.Header
	Footer() chunk.Footer
	Size() int64
	Read(ctx context.Context, off, n int64) (*bufpool.Buf, error)
	Close()
}

// Local presents a drive of this process to the suite.
func Local(d *disk.Drive) Drive { return local{d} }

type local struct{ *disk.Drive }

func (l local) Create(ctx context.Context, h chunk.Header, shardBytes int64) (Writer, error) {
	w, err := l.Drive.Create(ctx, h, shardBytes)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (l local) Open(ctx context.Context, key ids.Chunk) (Reader, error) {
	r, err := l.Drive.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Put stores a sample, by Put or by Create as its length wants it.
func Put(d Drive, s *Sample) error {
	ctx := context.Background()
	if s.Footer.ShardBytes <= chunk.PutMax {
		done := make(chan error, 2)
		d.Put(s.Header, s.Units(), s.Footer, func(err error) { done <- err })
		return <-done
	}
	w, err := d.Create(ctx, s.Header, int64(s.Footer.ShardBytes))
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, u := range s.Units() {
		if err := w.Write(ctx, u); err != nil {
			return err
		}
	}
	return w.Seal(ctx, s.Footer)
}

// Delete deletes keys and waits.
func Delete(d Drive, keys ...ids.Chunk) error {
	done := make(chan error, 1)
	d.Delete(keys, func(err error) { done <- err })
	return <-done
}

// Check fails t unless d has s, whole.
func Check(t testing.TB, d Drive, s *Sample) {
	t.Helper()
	r, err := d.Open(context.Background(), s.Header.Key)
	if err != nil {
		t.Fatalf("%v: %v", s.Header.Key, err)
	}
	defer r.Close()
	if r.Header() != s.Header || r.Footer() != s.Footer || r.Size() != int64(len(s.Payload)) {
		t.Fatalf("head differs: %+v %+v", r.Header(), r.Footer())
	}
	b, err := r.Read(context.Background(), 0, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	if !bytes.Equal(b.B, s.Payload) {
		t.Fatal("payload differs")
	}
}

// Run tries a drive against the contract. make returns a new, empty drive.
func Run(t *testing.T, make func(t *testing.T) Drive) {
	for name, test := range map[string]func(*testing.T, Drive){
		"lengths": lengths, "ranges": ranges, "unsealed": unsealed, "one content": oneContent, "deleted": deleted,
		"epochs": epochs, "dropped": dropped, "listing": listing, "quarantine": quarantine, "quarantine raced": quarantineRaced, "refusals": refusals,
	} {
		t.Run(name, func(t *testing.T) {
			d := make(t)
			test(t, d)
			if h := d.Health(); h.State != disk.OK {
				t.Fatal(h)
			}
		})
	}
}

func mustPut(t *testing.T, d Drive, s *Sample) {
	t.Helper()
	if err := Put(d, s); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, is error) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Fatalf("%v, want %v", err, is)
	}
}

func absent(t *testing.T, d Drive, key ids.Chunk) {
	t.Helper()
	_, err := d.Open(context.Background(), key)
	want(t, err, disk.ErrNotFound)
}

// Chunks of every length near a border come back as they were.
func lengths(t *testing.T, d Drive) {
	var all []*Sample
	for i, n := range []int{
		0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 262143, 262144, 262145, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2 << 20, 5<<20 + 4097,
	} {
		s := NewSample(1, uint64(i), n)
		mustPut(t, d, s)
		all = append(all, s)
	}
	for _, s := range all {
		Check(t, d, s)
		h, f, err := d.Verify(context.Background(), s.Header.Key)
		if err != nil || h != s.Header || f != s.Footer {
			t.Fatal(h, f, err)
		}
	}
}

// Any range can be read, again and again, from one reader.
func ranges(t *testing.T, d Drive) {
	for i, size := range []int{50_000, 300_000, 3 << 20} {
		s := NewSample(2, uint64(i), size)
		mustPut(t, d, s)
		r, err := d.Open(context.Background(), s.Header.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []int{0, 1, 16383, 16384, 20000, size - 16385, size - 1, size} {
			for _, n := range []int{0, 1, 100, 16384, 40000, size - off} {
				if off+n > size {
					continue
				}
				b, err := r.Read(context.Background(), int64(off), int64(n))
				if err != nil {
					t.Fatal(off, n, err)
				}
				if !bytes.Equal(b.B, s.Payload[off:off+n]) {
					t.Fatalf("[%d, %d) differs", off, off+n)
				}
				b.Release()
			}
		}
		for _, at := range [][2]int64{{-1, 1}, {0, int64(size) + 1}, {int64(size), 1}, {0, -1}} {
			_, err := r.Read(context.Background(), at[0], at[1])
			want(t, err, disk.ErrInvalid)
		}
		r.Close()
		r.Close()
	}
}

// A chunk that was not sealed is not there.
func unsealed(t *testing.T, d Drive) {
	ctx := context.Background()
	s := NewSample(3, 1, 2<<20)
	w, err := d.Create(ctx, s.Header, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(ctx, s.Units()[0]); err != nil {
		t.Fatal(err)
	}
	absent(t, d, s.Header.Key)
	want(t, w.Seal(ctx, s.Footer), disk.ErrInvalid) // the footer says more than was written
	w.Abort()
	w.Abort()
	absent(t, d, s.Header.Key)
	mustPut(t, d, s) // a later attempt is free to
	Check(t, d, s)
	w.Abort()
	Check(t, d, s)
}

// I7: the same chunk again is no error, another under its key is.
func oneContent(t *testing.T, d Drive) {
	for i, size := range []int{5000, 1<<20 + 5000} {
		s, other := NewSample(4, uint64(i), size), NewSample(5, uint64(i), size)
		mustPut(t, d, s)
		mustPut(t, d, s)
		other.Header.Key = s.Header.Key
		want(t, Put(d, other), disk.ErrExists)
		Check(t, d, s)
	}
	// At once, too.
	s, other := NewSample(4, 7, 5000), NewSample(5, 7, 5000)
	other.Header.Key = s.Header.Key
	answers := make(chan error, 20)
	for range 10 {
		d.Put(s.Header, s.Units(), s.Footer, func(err error) { answers <- err })
		d.Put(other.Header, other.Units(), other.Footer, func(err error) { answers <- err })
	}
	stored := 0
	for range 20 {
		if err := <-answers; err == nil {
			stored++
		} else {
			want(t, err, disk.ErrExists)
		}
	}
	if stored != 10 {
		t.Fatalf("%d of two contents stored, ten times each", stored)
	}
}

// I16: a deleted key refuses writes, for ever as far as a test can see; absent keys can be deleted.
func deleted(t *testing.T, d Drive) {
	a, b, c := NewSample(6, 1, 5000), NewSample(6, 2, 2<<20), NewSample(6, 3, 100)
	mustPut(t, d, a)
	mustPut(t, d, b)
	for range 2 {
		if err := Delete(d, a.Header.Key, b.Header.Key, c.Header.Key); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Sample{a, b, c} {
			absent(t, d, s.Header.Key)
			want(t, Put(d, s), disk.ErrDeleted)
		}
	}
	if err := Delete(d); err != nil {
		t.Fatal(err)
	}
	want(t, d.Quarantine(context.Background(), a.Header.Key, "gone"), disk.ErrNotFound)
}

// I5: nothing is sealed under an epoch older than the drive has seen.
func epochs(t *testing.T, d Drive) {
	ctx := context.Background()
	at := func(n, epoch uint64, size int) *Sample {
		s := NewSample(7, n*8+1, size) // all of one PG
		s.Header.Epoch = epoch
		return s
	}
	old := at(0, 4, 2<<20)
	w, err := d.Create(ctx, old.Header, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range old.Units() {
		if err := w.Write(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.RaiseEpoch(ctx, 1, 1, 5); err != nil {
		t.Fatal(err)
	}
	want(t, w.Seal(ctx, old.Footer), disk.ErrEpoch)
	absent(t, d, old.Header.Key)
	want(t, Put(d, at(1, 4, 5000)), disk.ErrEpoch)
	mustPut(t, d, at(2, 5, 5000))
	if err := d.RaiseEpoch(ctx, 1, 1, 3); err != nil { // it never falls
		t.Fatal(err)
	}
	want(t, Put(d, at(3, 4, 5000)), disk.ErrEpoch)
	if got := d.Epoch(1, 1); got != 5 {
		t.Errorf("epoch %d after 5 was persisted", got)
	}
	mustPut(t, d, at(4, 9, 5000)) // a chunk tells of its epoch, too
	want(t, Put(d, at(5, 8, 5000)), disk.ErrEpoch)
	if got := d.Epoch(1, 1); got != 9 {
		t.Errorf("epoch %d after a chunk of 9", got)
	}
	mustPut(t, d, NewSample(7, 2, 100)) // another PG's
}

// I5: what is dropped is gone, and may come again under a newer epoch; a drive that knows such a one drops nothing.
func dropped(t *testing.T, d Drive) {
	ctx := context.Background()
	short, long, kept := NewSample(10, 1, 5000), NewSample(10, 9, 2<<20), NewSample(10, 17, 5000)
	for _, s := range []*Sample{short, long, kept} {
		s.Header.Epoch = 3
		mustPut(t, d, s)
	}
	keys := []ids.Chunk{long.Header.Key, NewSample(10, 25, 1).Header.Key, short.Header.Key, long.Header.Key}
	want(t, d.Drop(ctx, keys, 2), disk.ErrEpoch)
	Check(t, d, short)
	Check(t, d, long)
	want(t, d.Drop(ctx, append(keys, NewSample(10, 2, 1).Header.Key), 4), disk.ErrInvalid)
	want(t, d.Drop(ctx, keys, 0), disk.ErrInvalid)
	for range 2 {
		if err := d.Drop(ctx, keys, 4); err != nil {
			t.Fatal(err)
		}
		absent(t, d, short.Header.Key)
		absent(t, d, long.Header.Key)
		Check(t, d, kept)
	}
	if got := d.Epoch(1, 1); got != 4 {
		t.Errorf("epoch %d, want 4", got)
	}
	want(t, Put(d, short), disk.ErrEpoch)
	short.Header.Epoch = 5
	mustPut(t, d, short) // the slot has come back
	Check(t, d, short)
	want(t, d.Drop(ctx, []ids.Chunk{short.Header.Key}, 4), disk.ErrEpoch)
	Check(t, d, short)
	if err := Delete(d, long.Header.Key); err != nil { // what is deleted stays so
		t.Fatal(err)
	}
	if err := d.Drop(ctx, keys, 5); err != nil {
		t.Fatal(err)
	}
	long.Header.Epoch = 5
	want(t, Put(d, long), disk.ErrDeleted)
}

// Listings are complete, in order, and go on where they stopped.
func listing(t *testing.T, d Drive) {
	ctx := context.Background()
	perPG := make(map[ids.PG]map[ids.Chunk]*Sample)
	for n := range uint64(100) {
		s := NewSample(8, n, 100)
		mustPut(t, d, s)
		if perPG[s.Header.Key.PG] == nil {
			perPG[s.Header.Key.PG] = make(map[ids.Chunk]*Sample)
		}
		perPG[s.Header.Key.PG][s.Header.Key] = s
	}
	gone := NewSample(8, 3, 100)
	if err := Delete(d, gone.Header.Key); err != nil {
		t.Fatal(err)
	}
	delete(perPG[3], gone.Header.Key)
	total := 0
	for pg, chunks := range perPG {
		var after ids.Chunk
		seen := 0
		for {
			page, err := d.Chunks(ctx, 1, pg, after, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range page {
				s := chunks[info.Key]
				if s == nil || bytes.Compare(info.Key.Append(nil), after.Append(nil)) <= 0 {
					t.Fatalf("%v is of another group, deleted, or out of order", info.Key)
				}
				if info.Object != s.Header.Object || info.Bucket != s.Header.Bucket || info.Part != s.Header.Part || info.Stamp != s.Header.Stamp ||
					info.ShardBytes != s.Footer.ShardBytes || info.BlobBytes != s.Footer.BlobBytes || info.K != 4 || info.M != 2 {
					t.Fatalf("%+v", info)
				}
				after = info.Key
				seen++
			}
			if len(page) < 5 {
				break
			}
		}
		if seen != len(chunks) {
			t.Fatalf("group %d: %d of %d", pg, seen, len(chunks))
		}
		total += seen
	}
	all, err := d.AllChunks(ctx, nil, 1000)
	if err != nil || len(all) != total {
		t.Fatal(len(all), total, err)
	}
	rest, err := d.AllChunks(ctx, &all[49].Key, 1000)
	if err != nil || len(rest) != total-50 || rest[0].Key != all[50].Key {
		t.Fatal(len(rest), err)
	}
}

// What is put aside is not found, may be written again, is listed, and comes back.
func quarantine(t *testing.T, d Drive) {
	ctx := context.Background()
	for i, size := range []int{5000, 300_000, 2 << 20} {
		s := NewSample(9, uint64(i), size)
		key := s.Header.Key
		mustPut(t, d, s)
		if err := d.Quarantine(ctx, key, "no row"); err != nil {
			t.Fatal(err)
		}
		absent(t, d, key)
		want(t, d.Quarantine(ctx, key, "again"), disk.ErrNotFound)
		entries, err := d.Quarantined(ctx)
		if err != nil || len(entries) != 1 || entries[0].Key != key || entries[0].Reason != "no row" || entries[0].Object != s.Header.Object {
			t.Fatalf("%+v %v", entries, err)
		}
		if err := d.RestoreQuarantined(ctx, key); err != nil {
			t.Fatal(err)
		}
		Check(t, d, s)
		want(t, d.RestoreQuarantined(ctx, key), disk.ErrNotFound)
		if err := d.Quarantine(ctx, key, "no row"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, d, s) // healed meanwhile
		Check(t, d, s)
		if err := d.RestoreQuarantined(ctx, key); err != nil { // the same: no error, and the copy goes
			t.Fatal(err)
		}
		Check(t, d, s)
		if err := Delete(d, key); err != nil {
			t.Fatal(err)
		}
	}
}

// What several put aside at the same time, one of them does; nobody takes it for a fault of the drive.
func quarantineRaced(t *testing.T, d Drive) {
	for i, size := range []int{5000, 300_000, 2 << 20} {
		s := NewSample(11, uint64(i), size)
		mustPut(t, d, s)
		errs := make(chan error)
		for range 8 {
			go func() { errs <- d.Quarantine(context.Background(), s.Header.Key, "raced") }()
		}
		done := 0
		for range 8 {
			if err := <-errs; err == nil {
				done++
			} else {
				want(t, err, disk.ErrNotFound)
			}
		}
		if done != 1 {
			t.Errorf("put aside %d times", done)
		}
		if err := d.RestoreQuarantined(context.Background(), s.Header.Key); err != nil {
			t.Fatal(err)
		}
		Check(t, d, s)
	}
}

// Arguments that no caller should give are refused, and change nothing.
func refusals(t *testing.T, d Drive) {
	s := NewSample(10, 1, 5000)
	try := func(spoil func(h *chunk.Header, f *chunk.Footer)) {
		t.Helper()
		h, f := s.Header, s.Footer
		spoil(&h, &f)
		done := make(chan error, 2)
		d.Put(h, s.Units(), f, func(err error) { done <- err })
		want(t, <-done, disk.ErrInvalid)
	}
	try(func(h *chunk.Header, _ *chunk.Footer) { h.K = 0 })
	try(func(h *chunk.Header, _ *chunk.Footer) { h.UnitBytes = 5 })
	try(func(_ *chunk.Header, f *chunk.Footer) { f.ShardBytes++ })
	big := NewSample(10, 2, chunk.PutMax+1)
	done := make(chan error, 2)
	d.Put(big.Header, big.Units(), big.Footer, func(err error) { done <- err })
	want(t, <-done, disk.ErrInvalid)
	absent(t, d, s.Header.Key)
	absent(t, d, big.Header.Key)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Open(ctx, s.Header.Key); err == nil {
		t.Fatal("opened under a context that had ended")
	}
}
