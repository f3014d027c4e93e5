package rescue

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/ids"
)

// blobKey names a blob across drives.
type blobKey struct {
	pool ids.Pool
	pg   ids.PG
	blob ids.Blob
}

// shards are the chunks of one blob that were found: for each slot, best copy first.
type shards map[uint8][]*disk.Salvaged

// chunks is all that was found on all drives.
type chunks struct {
	mu      sync.Mutex
	blobs   map[blobKey]shards
	deleted map[ids.Chunk]int // how many drives have a tombstone
	codecs  map[[3]int]*codec.Codec
}

// scan reads all drives side by side.
func scan(drives []string, log *slog.Logger) *chunks {
	c := &chunks{blobs: map[blobKey]shards{}, deleted: map[ids.Chunk]int{}, codecs: map[[3]int]*codec.Codec{}}
	var wg sync.WaitGroup
	for _, path := range drives {
		wg.Go(func() {
			found, bad := 0, 0
			report, err := disk.Salvage(vfs.Default, path, func(s *disk.Salvaged) error {
				found++
				if len(s.Bad) > 0 {
					bad++
				}
				c.add(s)
				return nil
			})
			if err != nil {
				log.Error("drive cannot be read", "drive", path, "err", err)
			}
			if report == nil {
				return
			}
			for _, err := range report.Errs {
				log.Warn("passed over", "drive", path, "err", err)
			}
			c.mu.Lock()
			for key := range report.Deleted {
				c.deleted[key]++
			}
			c.mu.Unlock()
			log.Info("drive read", "drive", path, "chunks", found, "damaged", bad, "damage", len(report.Damages))
		})
	}
	wg.Wait()
	return c
}

func (c *chunks) add(s *disk.Salvaged) {
	k := s.Header.Key
	at := blobKey{k.Pool, k.PG, k.Blob}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blobs[at] == nil {
		c.blobs[at] = shards{}
	}
	all := append(c.blobs[at][k.Slot], s)
	slices.SortStableFunc(all, func(a, b *disk.Salvaged) int { return len(a.Bad) - len(b.Bad) })
	c.blobs[at][k.Slot] = all
}

// read puts a blob together, from any k shards of each stripe, and checks it as a whole.
func (c *chunks) read(at blobKey, size int64) ([]byte, error) {
	found := c.blobs[at]
	var head *disk.Salvaged
	for _, copies := range found {
		if int64(copies[0].Footer.BlobBytes) == size {
			head = copies[0]
		}
	}
	if head == nil {
		return nil, fmt.Errorf("blob %s: no shard of it was found", at.blob)
	}
	h := head.Header
	lay := codec.NewLayout(size, int(h.K), int(h.M), int(h.UnitBytes))
	code, err := c.codec(&h)
	if err != nil {
		return nil, err
	}
	pieces := loadShards(found, lay)
	blob := make([]byte, 0, size)
	for i := range lay.Stripes() {
		if blob, err = appendStripe(blob, code, lay, i, pieces); err != nil {
			return nil, fmt.Errorf("blob %s, stripe %d: %w (%d of %d shards found)", at.blob, i, err, len(found), lay.Chunks())
		}
	}
	sum := xxh3.Hash128(blob).Bytes()
	if int64(len(blob)) != size || !bytes.Equal(sum[:], head.Footer.BlobSum[:]) {
		return nil, fmt.Errorf("blob %s: its bytes do not match its checksum", at.blob)
	}
	return blob, nil
}

func (c *chunks) codec(h *chunk.Header) (*codec.Codec, error) {
	shape := [3]int{int(h.K), int(h.M), int(h.UnitBytes)}
	if c.codecs[shape] == nil {
		made, err := codec.New(shape[0], shape[1], shape[2])
		if err != nil {
			return nil, err
		}
		c.codecs[shape] = made
	}
	return c.codecs[shape], nil
}

// shard is a chunk's payload, and which of its blocks cannot be trusted.
type shard struct {
	payload []byte
	bad     map[int]bool
}

// loadShards reads the best copy of each slot. A good block of another copy takes the place of a bad one.
func loadShards(found shards, lay codec.Layout) []*shard {
	out := make([]*shard, lay.N())
	for slot, copies := range found {
		if int(slot) >= lay.N() {
			continue
		}
		for _, s := range copies {
			if int64(s.Footer.ShardBytes) != lay.ShardBytes(int(slot)) {
				continue
			}
			payload, err := s.ReadPayload()
			if err != nil {
				continue
			}
			bad := map[int]bool{}
			for _, b := range s.Bad {
				bad[b] = true
			}
			out[slot] = merge(out[slot], &shard{payload, bad})
			if len(out[slot].bad) == 0 {
				break
			}
		}
	}
	return out
}

func merge(have, more *shard) *shard {
	if have == nil {
		return more
	}
	for b := range have.bad {
		if !more.bad[b] {
			from, to := b*chunk.BlockBytes, min((b+1)*chunk.BlockBytes, len(have.payload))
			copy(have.payload[from:to], more.payload[from:to])
			delete(have.bad, b)
		}
	}
	return have
}

// unit is stripe i's part of s as it is stored; nil if any of its blocks is bad.
func (s *shard) unit(lay codec.Layout, i, slot int) []byte {
	from := int(lay.ShardOffset(i))
	to := from + lay.UnitBytes(i, slot)
	if s == nil || to > len(s.payload) {
		return nil
	}
	for b := from / chunk.BlockBytes; b*chunk.BlockBytes < to; b++ {
		if s.bad[b] {
			return nil
		}
	}
	return s.payload[from:to]
}

// appendStripe appends stripe i's bytes of the blob.
func appendStripe(blob []byte, code *codec.Codec, lay codec.Layout, i int, pieces []*shard) ([]byte, error) {
	length := lay.UnitLen(i)
	units, want := make([][]byte, lay.N()), make([]bool, lay.N())
	missing := false
	for slot := range units {
		stored := lay.UnitBytes(i, slot)
		unit := pieces[slot].unit(lay, i, slot)
		switch {
		case stored == 0:
			units[slot] = code.Zeros(length)
		case unit == nil:
			want[slot] = slot < lay.K
			missing = missing || want[slot]
		case stored < length: // implied zeros behind it
			units[slot] = append(bytes.Clone(unit), make([]byte, length-stored)...)
		default:
			units[slot] = unit
		}
	}
	if missing {
		if err := code.Reconstruct(units, want); err != nil {
			return blob, err
		}
	}
	for slot := range lay.K {
		blob = append(blob, units[slot][:lay.UnitBytes(i, slot)]...)
	}
	return blob, nil
}
