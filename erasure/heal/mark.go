package heal

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// scrubMark is how far a full scrub is: a later process goes on from there. Ranges are looked at in order.
type scrubMark struct {
	Began time.Time `json:"began"`
	Start []byte    `json:"start,omitempty"` // of the range it is in; those that start before are done
	After []byte    `json:"after,omitempty"` // and where in it to go on; nil: at its beginning
	// Alarms are what it has found so far of blobs, the first markAlarms of them: source to text.
	Alarms map[string]string `json:"alarms,omitempty"`

	at time.Time // when it was remembered last
}

const markAlarms = 20

// from says where a scrub of r begins; false: it is done.
func (m *scrubMark) from(r *placement.Range) (after []byte, todo bool) {
	switch order := bytes.Compare(r.Start, m.Start); {
	case order < 0:
		return nil, false
	case order == 0:
		return m.After, true
	}
	return nil, true
}

// recallMark is the mark of the scrub that an earlier process, or pass, has not ended; fresh, if there is none or it is too old.
func (h *Healer) recallMark(fresh scrubMark) scrubMark {
	m, ok := h.mark()
	if !ok {
		return fresh
	}
	for source, text := range m.Alarms {
		h.alarm(source, text)
	}
	return m
}

// mark reads what rememberMark wrote.
func (h *Healer) mark() (m scrubMark, ok bool) {
	kept := h.opt.Map().Settings[h.own(scrubAtSetting)]
	if kept == "" || json.Unmarshal([]byte(kept), &m) != nil {
		return m, false
	}
	age := time.Since(m.Began)
	return m, age >= 0 && age < max(h.opt.ScrubEvery, scrubEvery)
}

// rememberMark notes that all of r before next is done, if the last time is long enough ago.
func (h *Healer) rememberMark(ctx context.Context, m *scrubMark, r *placement.Range, next []byte) {
	if time.Since(m.at) < h.opt.ScrubMarkEvery {
		return
	}
	m.Start, m.After, m.at, m.Alarms = r.Start, next, time.Now(), map[string]string{}
	h.alarmMu.Lock()
	for source, a := range h.alarms {
		if strings.HasPrefix(source, blobAlarm) && len(m.Alarms) < markAlarms {
			m.Alarms[source] = a.text
		}
	}
	h.alarmMu.Unlock()
	b, err := json.Marshal(m)
	if err != nil {
		h.log.Error("how far the scrub is cannot be kept", "err", err)
		return
	}
	h.remember(ctx, h.own(scrubAtSetting), string(b))
}

func (h *Healer) forgetMark(ctx context.Context) { h.remember(ctx, h.own(scrubAtSetting), "") }
