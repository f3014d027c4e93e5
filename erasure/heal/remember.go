package heal

import (
	"context"
	"strings"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// The settings of the map that tell later processes of the last scrub. After the first two comes "/" and Options.Name, if there is one.
const (
	scrubbedSetting = "heal.scrubbed" // when the last full one ended, or the first process began to wait for one; RFC 3339
	scrubAtSetting  = "heal.scrub-at" // how far the one under way is: JSON of scrubMark
	orphansSetting  = "heal.orphans/" // and a drive's id: the alarm about too many orphans that it ended with
)

// own is a setting's name for this process.
func (h *Healer) own(setting string) string {
	if h.opt.Name == "" {
		return setting
	}
	return setting + "/" + h.opt.Name
}

// SettingsOf are the names of the settings that the process of that name keeps: of no use when it is gone for good.
func SettingsOf(name string) []string {
	return []string{scrubbedSetting + "/" + name, scrubAtSetting + "/" + name}
}

// scrubDue is when the next full scrub is to begin by itself: a process that is started again now and then scrubs as often as others.
// One that was not ended is due at once.
func (h *Healer) scrubDue(ctx context.Context) time.Time {
	if m, ok := h.mark(); ok {
		return m.Began
	}
	last, err := time.Parse(time.RFC3339, h.opt.Map().Settings[h.own(scrubbedSetting)])
	if err != nil || last.After(time.Now()) {
		last = time.Now()
		h.rememberScrub(ctx, last)
	}
	return last.Add(h.opt.ScrubEvery)
}

func (h *Healer) rememberScrub(ctx context.Context, ended time.Time) {
	h.remember(ctx, h.own(scrubbedSetting), ended.UTC().Format(time.RFC3339))
}

// rememberOrphans keeps the alarms that hold up the emptying of quarantine (I15): those of this process's drives, and as the leader it
// forgets those of drives that are gone for good.
func (h *Healer) rememberOrphans(ctx context.Context) {
	m := h.opt.Map()
	found := map[string]string{}
	h.alarmMu.Lock()
	for source, a := range h.alarms {
		if id, of := strings.CutPrefix(source, orphanAlarm); of {
			found[orphansSetting+id] = a.text
		}
	}
	h.alarmMu.Unlock()
	for name, text := range found {
		h.remember(ctx, name, text)
	}
	for name := range m.Settings {
		if _, still := found[name]; strings.HasPrefix(name, orphansSetting) && !still && h.forgets(m, strings.TrimPrefix(name, orphansSetting)) {
			h.remember(ctx, name, "")
		}
	}
}

// forgets reports that the alarm about a drive is this process's to end.
func (h *Healer) forgets(m *placement.Map, drive string) bool {
	for id, d := range m.Drives {
		if id.String() == drive && d.State != placement.DriveOut {
			return h.opt.Mine(id)
		}
	}
	return h.opt.Lead()
}

// orphansAnywhere reports an alarm about too many orphans, whosever drive it is of (I15).
func (h *Healer) orphansAnywhere() bool {
	for _, alarm := range h.Alarms() {
		if strings.HasPrefix(alarm, orphanAlarm) {
			return true
		}
	}
	for name := range h.opt.Map().Settings {
		if strings.HasPrefix(name, orphansSetting) {
			return true
		}
	}
	return false
}

// recallOrphans raises again what rememberOrphans kept of this process's drives.
func (h *Healer) recallOrphans() {
	m := h.opt.Map()
	for name, text := range m.Settings {
		if id, of := strings.CutPrefix(name, orphansSetting); of && h.forgets(m, id) {
			h.alarm(orphanAlarm+id, text)
		}
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
