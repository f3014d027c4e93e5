package gateway

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// What clients of a bucket with object lock were told, and what follows from it. Nothing here knows how locks are made: it holds what was
// asked, what was answered, and the order of these. What is asked of one version side by side may take effect in any order, so a lock is only
// relied on if it was answered before the other request began, and if nothing that may end it went on since.

// outcome is what a client knows of a deed of his.
type outcome int

const (
	unknown outcome = iota // under way, or its answer was lost: it may have an effect, now or later
	done
	refused // it has none
)

// deed is what a client did to a version or, if it gives a default retention, to the bucket.
type deed struct {
	text         string // for people
	began, ended int    // moments of the ledger; ended 0: not yet
	outcome      outcome
	removes      bool
	bypass       bool // a retention in governance mode is passed over, by who may
	retention    *retained
	hold         string // ON, OFF; "": as it is
}

// retained is a retention, or a default one.
type retained struct {
	mode   string // "": none
	until  time.Time
	period time.Duration // of a default retention, in until's stead
}

func (r *retained) String() string {
	return fmt.Sprintf("%s until %s", r.mode, r.until.Format(time.StampMilli))
}

// knownVersion is a version that a client was told of.
type knownVersion struct {
	key, id string
	body    string
	deeds   []*deed
}

func (v *knownVersion) path() string { return "/" + v.key + "?versionId=" + v.id }

// ledger is safe for concurrent use.
type ledger struct {
	now func() time.Time

	mu       sync.Mutex
	moment   int
	versions []*knownVersion
	defaults []*deed
	gone     int // deletions that were answered with success
	held     int // deletions that were refused
	looked   int // versions that were seen to be there as they should
}

func (l *ledger) begin(d *deed) *deed {
	l.moment++
	d.began = l.moment
	return d
}

// on notes that d of v begins.
func (l *ledger) on(v *knownVersion, d *deed) *deed {
	l.mu.Lock()
	defer l.mu.Unlock()
	v.deeds = append(v.deeds, l.begin(d))
	return d
}

// end notes what became of d: its answer's status. One that says that the server does not know is unknown.
func (l *ledger) end(d *deed, a *answerTo) {
	l.moment++
	switch {
	case a.err != nil || a.status >= 500:
		return
	case a.status < 300:
		d.outcome = done
	default:
		d.outcome = refused
	}
	d.ended = l.moment
}

// may reports whether d may have had an effect after a moment.
func (d *deed) may(after int) bool {
	return d.outcome == unknown || d.outcome == done && d.ended > after
}

// told reports whether d's effect was known before a moment.
func (d *deed) told(before int) bool { return d.outcome == done && d.ended < before }

// onHold reports whether v has a legal hold for all that began at a moment or later, and has ended by now.
func (v *knownVersion) onHold(began int) bool {
	for _, on := range v.deeds {
		if on.hold == "ON" && on.told(began) && !v.any(func(d *deed) bool { return d.hold == "OFF" && d.may(on.began) }) {
			return true
		}
	}
	return false
}

func (v *knownVersion) any(is func(*deed) bool) bool {
	for _, d := range v.deeds {
		if is(d) {
			return true
		}
	}
	return false
}

// promised is the retention that v has at least, in a mode, for all that began at a moment or later, and has ended by now. Compliance is
// ended by its time only, governance also by who may.
func (v *knownVersion) promised(mode string, began int, now time.Time) (until time.Time) {
	for _, given := range v.deeds {
		r := given.retention
		if r == nil || r.mode != mode || !given.told(began) || !r.until.After(now) || r.until.Before(until) {
			continue
		}
		weakened := func(d *deed) bool { return d != given && d.retention != nil && d.bypass && d.may(given.began) }
		if mode == placement.LockCompliance || !v.any(weakened) {
			until = r.until
		}
	}
	return until
}

// defaultRetention is the retention that a version gets at least which is put without one of its own, from began until now; nil if that is
// not certain, for somebody changes the default.
func (l *ledger) defaultRetention(began int, at time.Time) *retained {
	for _, given := range l.defaults {
		if !given.told(began) {
			continue
		}
		changed := false
		for _, d := range l.defaults {
			changed = changed || d != given && d.may(given.began)
		}
		if !changed {
			return &retained{mode: given.retention.mode, until: at.Add(given.retention.period)}
		}
	}
	return nil
}

// judgeRemovals says what is wrong if v was deleted. Who deletes what is gone is told of success too, so one is enough that might.
func (l *ledger) judgeRemovals(v *knownVersion) (wrong string) {
	if !v.any(func(d *deed) bool { return d.removes && d.outcome == done }) {
		return ""
	}
	for _, d := range v.deeds {
		if !d.removes || d.outcome == refused {
			continue
		}
		if wrong = l.judgeRemoval(v, d); wrong == "" {
			return ""
		}
	}
	return wrong
}

func (l *ledger) judgeRemoval(v *knownVersion, d *deed) string {
	now := l.now()
	switch {
	case v.onHold(d.began):
		return "a version on legal hold was deleted"
	case !v.promised(placement.LockCompliance, d.began, now).IsZero():
		return "a version in compliance mode was deleted"
	case !d.bypass && !v.promised(placement.LockGovernance, d.began, now).IsZero():
		return "a version in governance mode was deleted by who may not bypass it"
	}
	return ""
}

// judgeRetention says what is wrong with the change d of v's retention, which was answered with success.
func (l *ledger) judgeRetention(v *knownVersion, d *deed) string {
	now, r := l.now(), d.retention
	if until := v.promised(placement.LockCompliance, d.began, now); !until.IsZero() && (r.mode != placement.LockCompliance || r.until.Before(until)) {
		return "compliance was weakened"
	}
	if until := v.promised(placement.LockGovernance, d.began, now); !d.bypass && (r.mode == "" && !until.IsZero() || r.until.Before(until)) {
		return "governance was weakened by who may not bypass it"
	}
	return ""
}

// judgeLook says what is wrong with an answer to a GET of v that began at a moment.
func (l *ledger) judgeLook(v *knownVersion, began int, a *answerTo) string {
	if v.any(func(d *deed) bool { return d.removes && d.told(began) }) {
		if a.status < 300 {
			return "a version that was deleted is there"
		}
		return ""
	}
	leaving := v.any(func(d *deed) bool { return d.removes && d.may(0) })
	if a.status != 200 || a.err != nil {
		if !leaving {
			return fmt.Sprintf("a version is lost that nobody deleted: %s %v", a.code(), a.err)
		}
		return ""
	}
	now, h := l.now(), a.header
	shown, _ := time.Parse(time.RFC3339, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	compliance, governance := v.promised(placement.LockCompliance, began, now), v.promised(placement.LockGovernance, began, now)
	switch {
	case string(a.body) != v.body:
		return "a version has other bytes than were put"
	case v.onHold(began) && h.Get("X-Amz-Object-Lock-Legal-Hold") != "ON":
		return "a legal hold is not there any more"
	case shown.Before(compliance) || shown.Before(governance) || !compliance.IsZero() && h.Get("X-Amz-Object-Lock-Mode") != placement.LockCompliance:
		return "a lock is weaker than promised: " + h.Get("X-Amz-Object-Lock-Mode") + " until " + shown.String()
	}
	l.looked++
	return ""
}

// tell is v with all that was done to it.
func (v *knownVersion) tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d bytes", v.path(), len(v.body))
	for _, d := range v.deeds {
		fmt.Fprintf(&b, "\n\t%4d to %4d: %s, %s", d.began, d.ended, d.text, [...]string{"unknown", "done", "refused"}[d.outcome])
	}
	return b.String()
}
