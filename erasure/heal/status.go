package heal

import (
	"slices"
	"time"
)

// Status is what `sherd heal status` shows.
type Status struct {
	Ledger     Ledger
	LedgerErr  string // why the last count failed: Ledger is the one before
	Paused     bool
	Repairing  bool
	Rebuilding bool
	Groups     int // placement groups with a slot that is not complete
	Reported   int // shards that readers found bad and that wait

	Healed      int64 // slots, since the start
	HealedBytes int64
	Failed      int64         // slots, each time they could not be healed
	Rate        float64       // slots a second, of late
	ETA         time.Duration // until nothing lacks; 0: nothing does, or not known
	Reclaimed   int64         // extents, since the start
	Dropped     int64         // reports that found no room

	RepairErr, RebuildErr, ReclaimErr string // of the last pass
	Convert                           ConvertStatus
	Scrub                             ScrubStatus
	Alarms                            []string
}

// Status says how things are now. It never blocks for long; the ledger is as of Ledger.At.
func (h *Healer) Status() Status {
	s := Status{
		Paused: h.healing.isClosed(), Reported: len(h.reports.all()),
		Healed: h.counts.healed.Load(), HealedBytes: h.counts.healedBytes.Load(), Failed: h.counts.healFailed.Load(),
		Reclaimed: h.counts.reclaimed.Load(), Dropped: h.counts.reportsDropped.Load(),
		Rate: h.books.healed.rate(), Scrub: h.ScrubStatus(), Convert: h.convertStatus(),
	}
	h.books.mu.Lock()
	s.Ledger, s.LedgerErr = h.books.led, text(h.books.err)
	h.books.mu.Unlock()
	s.Repairing, s.RepairErr = describe(&h.repair)
	s.Rebuilding, s.RebuildErr = describe(&h.rebuild)
	_, s.ReclaimErr = describe(&h.reclaim)
	for _, p := range h.opt.Map().Pools {
		for _, pg := range p.PGs {
			for _, sl := range pg.Slots {
				if !sl.Complete {
					s.Groups++
					break
				}
			}
		}
	}
	if lacking := s.Ledger.Lacking(); lacking > 0 && s.Rate > 0 {
		s.ETA = time.Duration(float64(lacking) / s.Rate * float64(time.Second))
	}
	s.Alarms = h.Alarms()
	return s
}

// Alarms are what a person should see, by source.
func (h *Healer) Alarms() (all []string) {
	h.alarmMu.Lock()
	defer h.alarmMu.Unlock()
	for source, a := range h.alarms {
		all = append(all, source+": "+a.text)
	}
	slices.Sort(all)
	return all
}

func describe(l *loop) (active bool, err string) {
	active, last := l.state()
	return active, text(last)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
