package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta/metapb"
)

// What the model says of versions and locks: all versions of a key are a slice, and every rule goes through it from the start.

func (o *modelObject) id() string {
	if !o.versioned {
		return ""
	}
	return fmt.Sprintf(" id=%d", o.ts)
}

func (o *modelObject) locked(ts hlc.Stamp, bypass bool) bool {
	retained := o.details.mode != metapb.LockMode_NO_RETENTION && ts.Time().UnixMilli() < o.details.until
	return o.details.hold || retained && (o.details.mode == metapb.LockMode_COMPLIANCE || !bypass)
}

func (m *model) newest(key string) *modelObject {
	if all := m.objects[key]; len(all) > 0 {
		return all[0]
	}
	return nil
}

func (m *model) find(key string, fits func(*modelObject) bool) *modelObject {
	if i := slices.IndexFunc(m.objects[key], fits); i >= 0 {
		return m.objects[key][i]
	}
	return nil
}

func (m *model) at(key string, ts hlc.Stamp) *modelObject {
	return m.find(key, func(o *modelObject) bool { return o.ts == ts })
}

func (m *model) null(key string) *modelObject {
	return m.find(key, func(o *modelObject) bool { return !o.versioned })
}

// named is the version that a command names; version 0 and not null is the newest.
func (m *model) named(key string, version uint64, null bool) *modelObject {
	switch {
	case null:
		return m.null(key)
	case version == 0:
		return m.newest(key)
	}
	return m.find(key, func(o *modelObject) bool { return o.versioned && uint64(o.ts) == version })
}

// remove takes o, which may be nil, away.
func (m *model) remove(key string, o *modelObject, bypass bool) string {
	if o == nil {
		return ""
	}
	if o.locked(m.last, bypass) {
		return "LOCKED"
	}
	for _, b := range o.bodies {
		m.reclaim(key, b)
	}
	all := slices.DeleteFunc(slices.Clone(m.objects[key]), func(x *modelObject) bool { return x == o })
	if m.objects[key] = all; len(all) == 0 {
		delete(m.objects, key)
	}
	return ""
}

// add puts o on top, as the bucket's versioning has it.
func (m *model) add(key string, o *modelObject) string {
	if m.set.GetVersioning() == metapb.Versioning_ENABLED {
		o.versioned = true
	} else if a := m.remove(key, m.null(key), false); a != "" {
		return a
	}
	if m.set.GetDefaultMode() != metapb.LockMode_NO_RETENTION && !o.marker && o.details.mode == metapb.LockMode_NO_RETENTION {
		o.details.mode = m.set.DefaultMode
		o.details.until = o.ts.Time().AddDate(int(m.set.DefaultYears), 0, int(m.set.DefaultDays)).UnixMilli()
	}
	m.objects[key] = append([]*modelObject{o}, m.objects[key]...)
	return ""
}

// marks reports whether deleting a key makes a marker.
func (m *model) marks(key string) bool {
	o := m.newest(key)
	return m.set.GetVersioning() != metapb.Versioning_NEVER || o != nil && o.versioned
}

func (m *model) delete(d *metapb.DeleteVersions, ts hlc.Stamp) string {
	for _, key := range d.Keys {
		if a := m.check(m.newest(key), d.Condition); a != "" {
			return a
		}
		if m.sealed && m.marks(key) {
			return "SEALED"
		}
		if o := m.null(key); m.set.GetVersioning() != metapb.Versioning_ENABLED && o != nil && o.locked(ts, false) {
			return "LOCKED"
		}
	}
	for _, key := range d.Keys {
		m.deleteTarget(&metapb.DeleteTarget{Key: key}, ts)
	}
	text := "OK"
	for _, t := range d.Targets {
		text += " (" + m.deleteTarget(t, ts) + ")"
	}
	return text
}

func (m *model) deleteTarget(t *metapb.DeleteTarget, ts hlc.Stamp) string {
	says := func(code string, made, removed bool, version hlc.Stamp, versioned bool) string {
		return fmt.Sprintf("%s made=%v removed=%v version=%d versioned=%v", code, made, removed, version, versioned)
	}
	o, key := m.named(t.Key, t.Version, t.Null), t.Key
	if a := m.check(o, t.Condition); a != "" {
		return says(a, false, false, 0, false)
	}
	switch {
	case t.Version != 0 || t.Null || !m.marks(key):
		if a := m.remove(key, o, t.BypassGovernance && (t.Version != 0 || t.Null)); a != "" {
			return says(a, false, false, 0, false)
		}
		if o == nil || t.Version == 0 && !t.Null {
			return says("OK", false, false, 0, false)
		}
		return says("OK", false, o.marker, o.ts, o.versioned)
	case m.sealed:
		return says("SEALED", false, false, 0, false)
	case o != nil && o.ts == ts: // named twice
		return says("OK", true, false, ts, o.versioned)
	}
	marker := &modelObject{marker: true, ts: ts}
	if a := m.add(key, marker); a != "" {
		return says(a, false, false, 0, false)
	}
	return says("OK", true, false, ts, marker.versioned)
}

func (m *model) update(u *metapb.UpdateVersion, ts hlc.Stamp) string {
	o := m.named(u.Key, u.Version, u.Null)
	switch {
	case m.built != m.rules:
		return "STALE_RULES"
	case (o == nil || o.marker) && (u.Version != 0 || u.Null):
		return "NO_SUCH_VERSION"
	case o == nil || o.marker:
		return "NO_SUCH_KEY"
	case u.Expect != nil && (hlc.Stamp(u.Expect.Ts) != o.ts || hlc.Stamp(u.Expect.Changed) != o.details.changed):
		return "PRECONDITION_FAILED"
	}
	d := o.details
	switch c := u.Change.(type) {
	case *metapb.UpdateVersion_Tags:
		d.tags = c.Tags
	case *metapb.UpdateVersion_Acl:
		d.acl = c.Acl
	case *metapb.UpdateVersion_LegalHold:
		if d.hold = c.LegalHold; !m.set.GetLock() {
			return "BAD_COMMAND"
		}
	case *metapb.UpdateVersion_Retention:
		r := c.Retention
		if !m.set.GetLock() {
			return "BAD_COMMAND"
		}
		if ts.Time().UnixMilli() < d.until {
			weaker := r.Until < d.until || r.Mode == metapb.LockMode_NO_RETENTION
			switch d.mode {
			case metapb.LockMode_COMPLIANCE:
				if weaker || r.Mode != metapb.LockMode_COMPLIANCE {
					return "LOCKED"
				}
			case metapb.LockMode_GOVERNANCE:
				if (weaker || r.Mode != metapb.LockMode_GOVERNANCE) && !r.BypassGovernance {
					return "LOCKED"
				}
			}
		}
		d.mode, d.until = r.Mode, r.Until
	}
	d.changed = ts
	o.details = d
	return "OK" + o.id()
}

// compareListings reads all versions, in pages of one entry and more, with and without a delimiter, and again behind every version.
func (m *model) compareListings(t *testing.T, r *replica) {
	t.Helper()
	for _, delimiter := range []string{"", "/"} {
		want := m.lines(delimiter)
		for _, max := range []int{1, 2, 1000} {
			if got := r.versionLines(ListVersionsRequest{Bucket: 1, Delimiter: delimiter, Max: max}); !slices.Equal(got, want) {
				t.Fatalf("pages of %d with delimiter %q list\n%s\nwant\n%s", max, delimiter, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	want := m.lines("")
	at := 0
	for _, key := range m.keys() {
		gone := ListVersionsRequest{Bucket: 1, KeyMarker: key, NullMarker: true, Max: 1000}
		if got := r.versionLines(gone); m.null(key) == nil && !slices.Equal(got, want[at:]) {
			t.Fatalf("behind the null version of %q, which has none, are listed\n%s\nwant\n%s", key, strings.Join(got, "\n"), strings.Join(want[at:], "\n"))
		}
		for _, o := range m.objects[key] {
			at++
			req := ListVersionsRequest{Bucket: 1, KeyMarker: key, VersionMarker: o.ts, Max: 1000}
			if !o.versioned {
				req.VersionMarker, req.NullMarker = 0, true
			}
			if got := r.versionLines(req); !slices.Equal(got, want[at:]) {
				t.Fatalf("behind %q %d are listed\n%s\nwant\n%s", key, o.ts, strings.Join(got, "\n"), strings.Join(want[at:], "\n"))
			}
		}
	}
}

func (m *model) keys() (all []string) {
	for key := range m.objects {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// lines is the whole listing.
func (m *model) lines(delimiter string) (all []string) {
	for _, key := range m.keys() {
		if before, _, found := strings.Cut(key, "/"); found && delimiter != "" {
			if line := fmt.Sprintf("%q ...", before+"/"); len(all) == 0 || all[len(all)-1] != line {
				all = append(all, line)
			}
			continue
		}
		for i, o := range m.objects[key] {
			all = append(all, fmt.Sprintf("%q ts=%d size=%d latest=%v marker=%v versioned=%v", key, o.ts, o.size, i == 0, o.marker, o.versioned))
		}
	}
	return all
}

// versionLines lists all pages from req on.
func (r *replica) versionLines(req ListVersionsRequest) (all []string) {
	r.t.Helper()
	for {
		page, err := ListVersions(r.db, r.span, req, nil)
		check0(r.t, err)
		n := 0
		var e Entry
		for rest, ok := NextEntry(page.Entries, &e); ok; rest, ok = NextEntry(rest, &e) {
			n++
			if e.Prefix {
				all = append(all, fmt.Sprintf("%q ...", e.Key))
			} else {
				all = append(all, fmt.Sprintf("%q ts=%d size=%d latest=%v marker=%v versioned=%v", e.Key, e.TS, e.Size, e.Latest, e.Marker, e.Versioned))
			}
		}
		if n != page.Count || n > req.Max {
			r.t.Fatalf("a page of at most %d has %d entries and counts %d", req.Max, n, page.Count)
		}
		if !page.Truncated {
			return all
		}
		req.KeyMarker, req.VersionMarker, req.NullMarker = page.NextKey, page.NextVersion, false
	}
}
