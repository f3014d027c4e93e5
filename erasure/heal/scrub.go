package heal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// scrubber is the state of the scrub that runs, or of the last one.
type scrubber struct {
	gate  gate
	pace  pacer
	start chan ScrubKind // asked for; holds one
	speed meter          // blobs

	mu     sync.Mutex
	status ScrubStatus
}

// ScrubKind says how thorough a scrub is.
type ScrubKind uint8

const (
	ScrubFull  ScrubKind = iota // read and verify everything
	ScrubLight                  // compare rows with chunk indexes, both ways, reading no payload
)

// ScrubStatus is where a scrub is.
type ScrubStatus struct {
	Running, Paused bool
	Kind            ScrubKind
	Phase           string // "blobs", then "chunks", then "state"
	Started, Ended  time.Time
	Blobs, Chunks   int64         // looked at so far
	Total           int64         // blobs or chunks there are, as far as known
	Bytes           int64         // of blobs read
	Missing         int64         // slots that had no chunk
	Corrupt         int64         // slots with a damaged one
	Lost            int64         // blobs beyond repair
	Unknown         int64         // chunks whose home gave no answer
	Quarantined     int64         // chunks that nothing refers to
	Strays          int64         // chunks on drives that hold their slot no more, removed
	Rate            float64       // blobs a second
	ETA             time.Duration // 0: not known
	Err             string        // why it ended early
}

func (s *scrubber) init() { s.start = make(chan ScrubKind, 1) }

func (s *scrubber) update(fn func(*ScrubStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.status)
}

// StartScrub asks for a scrub and lets a paused one go on. One runs at a time; a second waits for its end.
func (h *Healer) StartScrub(kind ScrubKind) {
	h.scrub.gate.open()
	select {
	case h.scrub.start <- kind:
	default:
	}
}

// PauseScrub stops the scrub between two blobs; ResumeScrub lets it go on.
func (h *Healer) PauseScrub()  { h.scrub.gate.close() }
func (h *Healer) ResumeScrub() { h.scrub.gate.open() }

// ScrubStatus says where the scrub is.
func (h *Healer) ScrubStatus() ScrubStatus {
	h.scrub.mu.Lock()
	st := h.scrub.status
	h.scrub.mu.Unlock()
	st.Paused = h.scrub.gate.isClosed()
	if st.Running {
		st.Rate = h.scrub.speed.rate()
		if left := st.Total - st.Blobs; st.Phase == "blobs" && left > 0 && st.Rate > 0 {
			st.ETA = time.Duration(float64(left) / st.Rate * float64(time.Second))
		}
	}
	return st
}

// scrubSettle is the least time from a start to a scrub that is due: others have more to do then.
const scrubSettle = 5 * time.Minute

func (h *Healer) scrubLoop(ctx context.Context) error {
	var due <-chan time.Time
	pause := min(scrubSettle, h.opt.ScrubEvery)
	for {
		if h.opt.ScrubEvery > 0 {
			due = time.After(max(time.Until(h.scrubDue(ctx)), pause))
		}
		kind := ScrubFull
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
		case kind = <-h.scrub.start:
		}
		switch err := h.Scrub(ctx, kind); {
		case err != nil && ctx.Err() == nil:
			h.log.Warn("scrub ended early", "err", err)
			pause = h.opt.ScrubEvery / 8 // it is due still
		case err == nil && kind == ScrubFull:
			pause = h.opt.ScrubEvery // though the map may not have heard of this one
		}
	}
}

// Scrub compares rows with chunks and chunks with rows: those of this process's ranges and drives. What is missing or damaged is put into
// the repair queue, damaged chunks and those that nothing explains into quarantine. A full one goes on where the last one was ended.
//
// Errors: ctx's; of the ranges and drives, of which the rest is unlooked at; ErrTooManyOrphans.
func (h *Healer) Scrub(ctx context.Context, kind ScrubKind) (err error) {
	mark := scrubMark{Began: time.Now()}
	if kind == ScrubFull {
		mark = h.recallMark(mark)
	}
	h.scrub.update(func(s *ScrubStatus) {
		*s = ScrubStatus{Running: true, Kind: kind, Phase: "blobs", Started: mark.Began, Total: h.books.last().Blobs}
	})
	defer func() {
		h.scrub.update(func(s *ScrubStatus) {
			s.Running, s.Ended = false, time.Now()
			if err != nil {
				s.Err = err.Error()
			}
		})
	}()
	if err := h.scrubRanges(ctx, kind, &mark); err != nil {
		return err
	}
	h.repair.kick()
	err = h.scrubDrives(ctx)
	if kind == ScrubFull && (err == nil || errors.Is(err, ErrTooManyOrphans)) {
		h.rememberScrub(ctx, time.Now())
	}
	if err != nil || kind == ScrubLight || h.opt.VerifyState == nil {
		return err
	}
	h.scrub.update(func(s *ScrubStatus) { s.Phase, s.Total = "state", 0 })
	return h.opt.VerifyState(ctx)
}

// scrubRanges looks for the chunks of every row of this process's ranges, from mark on. One that does not answer holds up no other.
func (h *Healer) scrubRanges(ctx context.Context, kind ScrubKind, mark *scrubMark) (first error) {
	for _, r := range h.ranges() {
		after, todo := mark.from(r)
		if !todo {
			continue
		}
		keep := func(next []byte) {
			if kind == ScrubFull {
				h.rememberMark(ctx, mark, r, next)
			}
		}
		keep(after) // all before it is done
		look := func(ctx context.Context, home Home, ref erasure.BlobRef) ([]uint8, error) {
			return h.scrubBlob(ctx, home, ref, kind)
		}
		if err := h.scrubRange(ctx, r, after, look, keep); err != nil && first == nil {
			first = fmt.Errorf("scrub range %d: %w", r.ID, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if kind == ScrubFull {
		h.forgetMark(ctx)
		if first == nil {
			h.endAlarms(mark.Began, func(source string) bool { return strings.HasPrefix(source, blobAlarm) })
		}
	}
	return first
}

// Compare queues every slot of a drive for repair that a row refers to and that has no chunk, reading no payload: for one that came back
// without chunks it should have. nil says that it was asked for each (I2).
//
// Errors: ctx's; those of the ranges, and the drive's where it could not be asked, which leave the rest unlooked at.
func (h *Healer) Compare(ctx context.Context, drive ids.Drive) error {
	look := func(ctx context.Context, _ Home, ref erasure.BlobRef) ([]uint8, error) {
		return h.lacks(ctx, drive, ref)
	}
	for _, r := range h.opt.Map().Ranges {
		if err := h.scrubRange(ctx, r, nil, look, func([]byte) {}); err != nil {
			return fmt.Errorf("compare range %d: %w", r.ID, err)
		}
	}
	h.Kick()
	return nil
}

// looker gives the slots of a blob that need repair. Those that it gives with an error do too.
type looker func(ctx context.Context, home Home, ref erasure.BlobRef) ([]uint8, error)

// scrubRange looks for the chunks of every row of a range behind after, and says after each page where to go on.
func (h *Healer) scrubRange(ctx context.Context, r *placement.Range, after []byte, look looker, keep func(next []byte)) error {
	for {
		items, next, err := h.opt.Records.Walk(ctx, r, after, h.opt.Page)
		if err != nil {
			return err
		}
		rows, err := h.scrubItems(ctx, items, look)
		if len(rows) > 0 {
			if err := h.opt.Records.AddRepair(ctx, rows); err != nil {
				return err
			}
			h.books.stale()
		}
		if err != nil || next == nil {
			return err
		}
		after = next
		keep(next)
	}
}

func (h *Healer) scrubItems(ctx context.Context, items []Item, look looker) (rows []Repair, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(h.opt.Workers)
	for _, item := range items {
		if item.Bad != nil {
			h.badRow(item.Home, item.Bad)
			continue
		}
		for i := range item.Extent.PGs {
			if err := h.scrub.gate.pass(ctx); err != nil {
				if why := g.Wait(); why != nil { // a blob's error ended ctx
					err = why
				}
				return rows, err
			}
			ref := item.Extent.Blob(i)
			g.Go(func() error {
				slots, err := look(ctx, item.Home, ref)
				mu.Lock()
				defer mu.Unlock()
				for _, slot := range slots {
					rows = append(rows, Repair{Home: item.Home, Ref: ref, Slot: slot, Since: h.opt.Clock.Now()})
				}
				return err
			})
		}
	}
	err = g.Wait() // first: rows is complete then
	return rows, err
}

// scrubBlob gives the slots of ref that need repair. A blob that cannot be read now is counted, and no error.
func (h *Healer) scrubBlob(ctx context.Context, home Home, ref erasure.BlobRef, kind ScrubKind) (slots []uint8, err error) {
	if kind == ScrubLight {
		slots = h.absent(ctx, ref)
		h.scrub.update(func(s *ScrubStatus) { s.Missing += int64(len(slots)) })
	} else {
		slots, err = h.check(ctx, ref)
		if errors.Is(err, erasure.ErrLost) && h.lost(ctx, home, ref, err) {
			h.scrub.update(func(s *ScrubStatus) { s.Lost++ })
		}
	}
	h.scrub.speed.add(1)
	h.counts.scrubbed.Add(1)
	h.scrub.update(func(s *ScrubStatus) { s.Blobs++; s.Bytes += ref.Size })
	return slots, ctx.Err()
}

// check verifies a blob whole, makes anew what is damaged, and gives the slots that still need repair.
func (h *Healer) check(ctx context.Context, ref erasure.BlobRef) ([]uint8, error) {
	st, err := h.checker.VerifyBlob(ctx, ref)
	if err != nil {
		return h.expected(ref, st.Slots(erasure.Missing)), err
	}
	h.counts.scrubbedBytes.Add(ref.Size)
	missing, corrupt := h.expected(ref, st.Slots(erasure.Missing)), h.expected(ref, st.Slots(erasure.Corrupt))
	h.scrub.update(func(s *ScrubStatus) { s.Missing += int64(len(missing)); s.Corrupt += int64(len(corrupt)) })
	if !st.Sum {
		h.alarm(blobAlarm+ref.Blob.String(), "its checksum is wrong, and no choice of shards was found that has it")
		return missing, erasure.ErrCorrupt
	}
	if len(corrupt) > 0 {
		h.counts.scrubDamaged.Add(int64(len(corrupt)))
		err = h.mender.Replace(ctx, ref, corrupt)
		h.healedOne(&blobJob{ref: ref, slots: corrupt}, err)
		if err != nil {
			missing = append(missing, corrupt...)
		}
	}
	return missing, err
}

// expected leaves out slots whose owners are still being filled, or are away: rebuild and the drive's return see to them.
func (h *Healer) expected(ref erasure.BlobRef, slots []uint8) (out []uint8) {
	m := h.opt.Map()
	for _, slot := range slots {
		if id, ok := owner(m, ref, slot); ok && m.Pools[ref.Pool].PGs[ref.PG].Slots[slot].Complete && h.usable(id) != nil {
			out = append(out, slot)
		}
	}
	return out
}

// absent gives the slots of ref of which the owners' indexes know nothing.
func (h *Healer) absent(ctx context.Context, ref erasure.BlobRef) (slots []uint8) {
	p := h.opt.Map().Pools[ref.Pool]
	if p == nil {
		return nil
	}
	for _, slot := range slotList(storedSlots(p, ref.Size)) {
		if has, err := h.has(ctx, ref.Chunk(int(slot))); err == nil && !has {
			slots = append(slots, slot)
		}
	}
	return h.expected(ref, slots)
}

// lacks gives the slots of ref that a drive holds and of which its index knows nothing. What it is still being filled with, rebuild asks
// it for. Errors: has's.
func (h *Healer) lacks(ctx context.Context, drive ids.Drive, ref erasure.BlobRef) (slots []uint8, err error) {
	m := h.opt.Map()
	p := m.Pools[ref.Pool]
	if p == nil {
		return nil, nil
	}
	for _, slot := range slotList(storedSlots(p, ref.Size)) {
		if id, ok := owner(m, ref, slot); !ok || id != drive || !p.PGs[ref.PG].Slots[slot].Complete {
			continue
		}
		has, err := h.has(ctx, ref.Chunk(int(slot)))
		if err != nil {
			return slots, fmt.Errorf("drive %s: %w", drive, err)
		}
		if !has {
			slots = append(slots, slot)
		}
	}
	return slots, nil
}

// errStale reports a drive that knows a newer epoch of a group than the map at hand: what it does not have may be elsewhere (I5).
var errStale = errors.New("heal: the map is older than what a drive knows")

// has asks the index of key's owner; nothing is read from the chunk. Errors: errStale, if there is no newer map yet; the drive's.
func (h *Healer) has(ctx context.Context, key ids.Chunk) (bool, error) {
	for {
		pg := group(h.opt.Map(), key.Pool, key.PG)
		if pg == nil || int(key.Slot) >= len(pg.Slots) {
			return false, disk.ErrUnavailable
		}
		d := h.usable(pg.Slots[key.Slot].Drive)
		if d == nil {
			return false, disk.ErrUnavailable
		}
		has, err := holds(ctx, d, key)
		if err != nil || has || d.Epoch(key.Pool, key.PG) <= pg.Epoch {
			return has, err
		}
		if !h.opt.Store.Renewed(ctx, key.Pool, key.PG, pg.Epoch) {
			return false, errStale
		}
	}
}

// holds asks a drive's index.
func holds(ctx context.Context, d Drive, key ids.Chunk) (bool, error) {
	found, err := d.Chunks(ctx, key.Pool, key.PG, before(key), 1)
	return err == nil && len(found) > 0 && found[0].Key == key, err
}

// group finds a placement group; nil if m has none.
func group(m *placement.Map, pool ids.Pool, pg ids.PG) *placement.PG {
	if p := m.Pools[pool]; p != nil && int(pg) < len(p.PGs) {
		return p.PGs[pg]
	}
	return nil
}

// blobAlarm begins the source of an alarm about one blob. A full scrub that does not find it again ends it.
const blobAlarm = "blob "

// before is the greatest key below key in the same group.
func before(key ids.Chunk) ids.Chunk {
	if key.Slot > 0 {
		key.Slot--
		return key
	}
	key.Slot = 255
	key.Blob.Index--
	if key.Blob.Index != math.MaxUint32 {
		return key
	}
	for i := len(key.Blob.Upload) - 1; i >= 0; i-- {
		key.Blob.Upload[i]--
		if key.Blob.Upload[i] != 255 {
			break
		}
	}
	return key
}

// badRow alarms about a row that cannot be read: what it refers to is neither healed nor deleted.
func (h *Healer) badRow(home Home, why error) {
	h.alarm(fmt.Sprintf("%sof bucket %d key %q", blobAlarm, home.Bucket, home.Key), "its row cannot be read: "+why.Error())
}

// lost alarms about a blob that is beyond repair; false: it has died meanwhile.
func (h *Healer) lost(ctx context.Context, home Home, ref erasure.BlobRef, why error) bool {
	if r, err := h.opt.Records.Referenced(ctx, home, ref.Blob.Upload); err != nil || r != Live {
		return false
	}
	h.alarm(blobAlarm+ref.Blob.String(), fmt.Sprintf("lost, of bucket %d key %q: %v", home.Bucket, home.Key, why))
	return true
}
