package heal

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Options configures New. A zero field means the default given here.
type Options struct {
	Map     func() *placement.Map // required
	Drive   func(ids.Drive) Drive // nil if it is not reachable from here; required
	Store   *erasure.Store        // required
	Records Records               // required
	Planner Planner               // required
	Clock   *hlc.Clock            // required
	// ReadMark is a stamp of a range: what died there before it no read needs that is open on any gateway, or begins from now on (I13).
	// false: it is not known; reclaim waits. Required.
	ReadMark func(context.Context, ids.Range) (hlc.Stamp, bool)

	// Where several processes heal one cluster, each does a share. Shares change as processes come and go: what two do at once, or none for
	// a while, does no harm. The zero values are those of a process that is alone.
	Name  string                                  // of the process, in the names of settings
	Share func(*placement.Map) []*placement.Range // the ranges of a map that are this process's; nil: all
	Mine  func(ids.Drive) bool                    // drives that it fills, sweeps and scrubs: those of its node; nil: all
	Lead  func() bool                             // it decides what needs a view of all: that a drive is drained; nil: always

	// Busy says that requests are being served, which healing is not to slow down; nil: those of Store.
	Busy func() bool
	// Held says that nothing is to be reclaimed or to leave quarantine now: metadata was restored (I9). nil: never.
	Held func() bool
	// Reading begins a read: what dies from then on is not reclaimed until the function that it returns was called (I13). nil: others see
	// to that.
	Reading func() (ended func())
	// Reencodes says that rows may be made to refer to other bodies: every process knows how by now. nil: always.
	Reencodes func() bool
	// VerifyState checks what drives hold besides chunks, at the end of a full scrub; nil: nothing.
	VerifyState func(context.Context) error
	// Version is another number after every change of the rows of this process's ranges, of drives, or of the map; nil: it always is.
	Version func() uint64
	Logger  *slog.Logger // slog.Default()

	Workers        int           // 2: blobs healed at once
	HealBytes      int64         // blob bytes repaired and rebuilt a second; 0: as fast as goes, but a fraction of it while Busy
	ScrubBytes     int64         // 32 MiB: blob bytes verified a second; less while Busy
	Tick           time.Duration // 30s: how long a loop sleeps if nothing wakes it
	Page           int           // 512: rows or chunks asked for at once
	DrainedAfter   time.Duration // 15s: how long a drive must have been seen suspect before it may count as up
	GarbageAge     time.Duration // 24h: uploads older than this can no longer commit (I6)
	CollectEvery   time.Duration // 1h: how often that is told to the ranges
	ScrubEvery     time.Duration // 336h: from the end of a scrub to the start of the next; < 0: only when asked
	ScrubMarkEvery time.Duration // 1m: how often it is noted how far a scrub is, at most
	QuarantineTerm time.Duration // 168h: how long what scrub could not explain is kept
	LedgerEvery    time.Duration // 5m: how old the ledger may grow by itself, if Version is another by then
	StuckMax       int           // 4096: about how many rows that wait for a drive one pass of reclaim tries
	OrphanMax      int           // 1000 and
	OrphanShare    float64       // 0.001 of a drive's chunks: if more than both are unexplained, scrub stops (I15)
	ReportsMax     int           // 10000: reported shards that wait to be healed; more are left to scrub
}

const scrubEvery = 14 * 24 * time.Hour

func (o *Options) validate() error {
	if o.Map == nil || o.Drive == nil || o.Store == nil || o.Records == nil || o.Planner == nil || o.Clock == nil || o.ReadMark == nil {
		return errors.New("heal: a required option is missing")
	}
	if o.Share == nil {
		o.Share = func(m *placement.Map) []*placement.Range { return m.Ranges }
	}
	if o.Mine == nil {
		o.Mine = func(ids.Drive) bool { return true }
	}
	if o.Lead == nil {
		o.Lead = func() bool { return true }
	}
	if o.Busy == nil {
		o.Busy = o.Store.Busy
	}
	if o.Held == nil {
		o.Held = func() bool { return false }
	}
	if o.Reading == nil {
		o.Reading = func() func() { return func() {} }
	}
	if o.Reencodes == nil {
		o.Reencodes = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	fill(&o.Workers, 2)
	fill(&o.ScrubBytes, 32<<20)
	fill(&o.Tick, 30*time.Second)
	fill(&o.Page, 512)
	fill(&o.DrainedAfter, 15*time.Second)
	fill(&o.GarbageAge, 24*time.Hour)
	fill(&o.CollectEvery, time.Hour)
	fill(&o.ScrubEvery, scrubEvery)
	fill(&o.ScrubMarkEvery, time.Minute)
	fill(&o.QuarantineTerm, 7*24*time.Hour)
	fill(&o.LedgerEvery, 5*time.Minute)
	fill(&o.StuckMax, 1<<12)
	fill(&o.OrphanMax, 1000)
	fill(&o.OrphanShare, 0.001)
	fill(&o.ReportsMax, 10_000)
	if o.Workers < 1 || o.Page < 2 || o.HealBytes < 0 || o.ScrubBytes < 1 || o.Tick < 0 || o.GarbageAge < 0 {
		return errors.New("heal: an option is out of range")
	}
	return nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Healer heals until Run's context ends. All methods are safe for concurrent use.
type Healer struct {
	opt     Options
	log     *slog.Logger
	healing gate // repair and rebuild
	pace    pacer
	mender  *erasure.Mender // at the pace of healing
	checker *erasure.Mender // at the pace of scrub
	// at the pace of healing, and pausing with it in the middle of a body
	converter *erasure.Mender

	repair, rebuild, reclaim, swept, convert loop

	sweeps  sweeper
	reports reports
	counts  counters
	scrub   scrubber
	books   books

	reclaiming  sync.Mutex           // one pass at a time
	reclaimFrom map[ids.Range][]byte // where the next begins

	suspectMu sync.Mutex
	suspects  map[ids.Drive]sighting

	alarmMu sync.Mutex
	alarms  map[string]alarm // by source
}

// New returns a healer that does nothing until Run.
func New(opt Options) (*Healer, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	h := &Healer{opt: opt, log: opt.Logger.With("part", "heal"), alarms: map[string]alarm{}, suspects: map[ids.Drive]sighting{}, reclaimFrom: map[ids.Range][]byte{}}
	h.pace.rate, h.scrub.pace.rate = opt.HealBytes, opt.ScrubBytes
	h.mender, h.checker = opt.Store.Mender(h.paceHealing), opt.Store.Mender(h.paceScrub)
	h.converter = opt.Store.Mender(h.paceConverting)
	h.repair.init()
	h.rebuild.init()
	h.reclaim.init()
	h.swept.init()
	h.convert.init()
	h.sweeps.init()
	h.scrub.init()
	h.books.init()
	h.reports.max = opt.ReportsMax
	return h, nil
}

// Run heals until ctx ends. It starts every goroutine it uses and returns after the last has ended, with ctx's error.
func (h *Healer) Run(ctx context.Context) error {
	h.recallOrphans()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.repair.run(ctx, h.opt.Tick, h.Repair) })
	g.Go(func() error { return h.rebuild.run(ctx, h.opt.Tick, h.Rebuild) })
	g.Go(func() error { return h.reclaim.run(ctx, h.opt.Tick, h.Reclaim) })
	g.Go(func() error { return h.swept.run(ctx, h.opt.Tick, h.Sweep) })
	g.Go(func() error { return h.convert.run(ctx, h.opt.Tick, h.convertPass) })
	g.Go(func() error { return h.collectLoop(ctx) })
	g.Go(func() error { return h.scrubLoop(ctx) })
	g.Go(func() error { return h.ledgerLoop(ctx) })
	return g.Wait()
}

// Kick wakes every loop: the map changed, a drive came back, a write missed a slot, an object was deleted.
func (h *Healer) Kick() {
	h.repair.kick()
	h.rebuild.kick()
	h.reclaim.kick()
	h.swept.kick()
	h.books.stale()
}

// Recount says that the ledger is out of date: objects were written or deleted.
func (h *Healer) Recount() { h.books.stale() }

// KickReclaim says that there may be something to reclaim.
func (h *Healer) KickReclaim() { h.reclaim.kick() }

// Pause stops repair and rebuild between two blobs, and the conversion to other pools between two stripes; Resume lets them go on. The scrubber has its own.
func (h *Healer) Pause()  { h.healing.close() }
func (h *Healer) Resume() { h.healing.open() }

// Report takes what erasure.Options.Report is told. It never blocks. More than Options.ReportsMax that wait are
// dropped and counted: scrub finds them.
func (h *Healer) Report(b erasure.BadShard) {
	switch b.Kind {
	case erasure.Missing, erasure.Corrupt, erasure.Unsound:
		if !h.reports.add(b) {
			h.counts.reportsDropped.Add(1)
		}
	default: // the drive's state is its owner's to see to
		h.counts.unavailable.Add(1)
		if !b.Write { // a pass over all rows for each read of a drive that is away would mend nothing
			return
		}
	}
	h.repair.kick()
}

// ranges are those of this process's share.
func (h *Healer) ranges() []*placement.Range { return h.opt.Share(h.opt.Map()) }

// usable gives the drive if it can be read; writable if it takes chunks too.
func (h *Healer) usable(id ids.Drive) Drive {
	d := h.opt.Drive(id)
	if d == nil || d.Health().State == disk.Failed || !h.opt.Map().Drives[id].Up() {
		return nil
	}
	return d
}

func (h *Healer) writable(id ids.Drive) Drive {
	if d := h.usable(id); d != nil && d.Health().State == disk.OK {
		return d
	}
	return nil
}

// alarm is what a person should see.
type alarm struct {
	text string
	at   time.Time // when it was raised last
}

// alarmsMax bounds how many are kept: a person reads no more. All are logged, and the status has their number.
const alarmsMax = 1000

// alarm raises or, with an empty text, ends what a person should see.
func (h *Healer) alarm(source, text string) {
	h.alarmMu.Lock()
	defer h.alarmMu.Unlock()
	if text == "" {
		delete(h.alarms, source)
		return
	}
	old, known := h.alarms[source]
	if old.text != text {
		h.log.Error("alarm", "source", source, "what", text)
	}
	if known || len(h.alarms) < alarmsMax || !strings.HasPrefix(source, blobAlarm) {
		h.alarms[source] = alarm{text, time.Now()}
	}
}

// endAlarms ends those of the sources of that kind that were not raised again since.
func (h *Healer) endAlarms(since time.Time, of func(source string) bool) {
	h.alarmMu.Lock()
	defer h.alarmMu.Unlock()
	for source, a := range h.alarms {
		if of(source) && a.at.Before(since) {
			delete(h.alarms, source)
		}
	}
}

// counters are since the start.
type counters struct {
	healed, healedBytes, healFailed       atomic.Int64 // slots
	moved                                 atomic.Int64 // chunks dropped by owners of old
	reclaimed, reclaimFailed              atomic.Int64 // extents
	converted, convertedBytes             atomic.Int64 // bodies
	convertFailed                         atomic.Int64 // bodies
	reportsDropped, unavailable           atomic.Int64
	scrubbed, scrubbedBytes, scrubDamaged atomic.Int64 // blobs; slots
	quarantined                           atomic.Int64 // chunks
}
