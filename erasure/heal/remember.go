package heal

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// The settings of the map that tell later processes of the last scrub.
const (
	scrubbedSetting = "heal.scrubbed" // when the last full one ended, or the first process began to wait for one; RFC 3339
	orphansSetting  = "heal.orphans"  // the alarms about too many orphans that it ended with: JSON, source to text
)

// scrubDue is when the next full scrub is to begin by itself: a process that is started again now and then scrubs as often as others.
func (h *Healer) scrubDue(ctx context.Context) time.Time {
	last, err := time.Parse(time.RFC3339, h.opt.Map().Settings[scrubbedSetting])
	if err != nil || last.After(time.Now()) {
		last = time.Now()
		h.rememberScrub(ctx, last)
	}
	return last.Add(h.opt.ScrubEvery)
}

func (h *Healer) rememberScrub(ctx context.Context, ended time.Time) {
	h.remember(ctx, scrubbedSetting, ended.UTC().Format(time.RFC3339))
}

// rememberOrphans keeps the alarms that hold up the emptying of quarantine (I15).
func (h *Healer) rememberOrphans(ctx context.Context) {
	found := map[string]string{}
	h.alarmMu.Lock()
	for source, a := range h.alarms {
		if strings.HasPrefix(source, orphanAlarm) {
			found[source] = a.text
		}
	}
	h.alarmMu.Unlock()
	if len(found) == 0 {
		h.remember(ctx, orphansSetting, "")
		return
	}
	b, err := json.Marshal(found)
	if err != nil {
		h.log.Error("alarms about orphans cannot be kept", "err", err)
		return
	}
	h.remember(ctx, orphansSetting, string(b))
}

// recallOrphans raises again what rememberOrphans kept. What cannot be read counts as an alarm: the next scrub ends it.
func (h *Healer) recallOrphans() {
	kept := h.opt.Map().Settings[orphansSetting]
	if kept == "" {
		return
	}
	found := map[string]string{}
	if err := json.Unmarshal([]byte(kept), &found); err != nil {
		found[orphanAlarm+"of an earlier scrub"] = err.Error()
	}
	for source, text := range found {
		h.alarm(source, text)
	}
}

// remember writes a setting, if it says something new.
func (h *Healer) remember(ctx context.Context, name, value string) {
	if h.opt.Map().Settings[name] == value {
		return
	}
	if err := h.opt.Planner.Remember(ctx, name, value); err != nil && ctx.Err() == nil {
		h.log.Warn("what the scrub found is not kept for later processes", "setting", name, "err", err)
	}
}
