package erasure

import (
	"encoding/binary"
	"maps"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// grade says what a write may expect of a drive. Greater is better.
type grade int8 // 0 is gradeLost, also of drives that the map does not know

const (
	gradeLost grade = iota // not asked: down, out, failed or unreachable
	gradeFull              // up, but under its reserve: takes no data, and may not be missed
	gradeWeak              // asked, but counts as lost already (suspect): its acknowledgement is not waited for long
	gradeUp                // asked and waited for
)

// view is the map and the drives' health as one moment's choice of placement groups. It is never changed.
type view struct {
	m      *placement.Map
	made   time.Time
	grades map[ids.Drive]grade
	pools  map[ids.Pool]*choice
}

// choice lists the placement groups of a pool among which a write picks: those with the most drives up.
type choice struct {
	pgs  []ids.PG
	full bool // there is none, for want of space
}

// current returns a view of the newest map, at most ViewTTL old as to health.
func (s *Store) current() *view {
	m, now := s.opt.Map(), time.Now()
	v := s.view.Load()
	if v != nil && v.m == m && now.Sub(v.made) < s.opt.ViewTTL {
		return v
	}
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	if v = s.view.Load(); v != nil && v.m == m && now.Sub(v.made) < s.opt.ViewTTL {
		return v
	}
	grades := s.grades(m)
	if v != nil && v.m == m && maps.Equal(grades, v.grades) {
		v = &view{m: m, made: now, grades: grades, pools: v.pools}
	} else {
		v = &view{m: m, made: now, grades: grades, pools: map[ids.Pool]*choice{}}
		for id, p := range m.Pools {
			v.pools[id] = v.choose(p, s.need(p))
		}
	}
	s.view.Store(v)
	return v
}

func (s *Store) grades(m *placement.Map) map[ids.Drive]grade {
	grades := make(map[ids.Drive]grade, len(m.Drives))
	for id, d := range m.Drives {
		grades[id] = s.grade(d)
	}
	return grades
}

func (s *Store) grade(d *placement.Drive) grade {
	if !d.Up() {
		return gradeLost
	}
	drive := s.opt.Drive(d.ID)
	switch {
	case drive == nil:
		return gradeLost
	case drive.Health().State != disk.OK: // it takes no more chunks
		return gradeLost
	case d.State == placement.DriveSuspect:
		return gradeWeak
	case drive.Space().Low:
		return gradeFull
	}
	return gradeUp
}

// choose finds the groups with most drives up, among those that can reach need slots.
func (v *view) choose(p *placement.Pool, need int) *choice {
	c, best := &choice{}, -1
	for i, pg := range p.PGs {
		up, asked, full := v.tally(pg)
		if full {
			c.full = true
			continue
		}
		if asked < need || up < best {
			continue
		}
		if up > best {
			best, c.pgs = up, c.pgs[:0]
		}
		c.pgs = append(c.pgs, ids.PG(i))
	}
	c.full = c.full && len(c.pgs) == 0
	return c
}

func (v *view) tally(pg *placement.PG) (up, asked int, full bool) {
	if pg == nil {
		return 0, 0, false
	}
	for _, slot := range pg.Slots {
		switch v.grades[slot.Drive] {
		case gradeUp:
			up++
			asked++
		case gradeWeak:
			asked++
		case gradeFull:
			full = true
		}
	}
	return up, asked, full
}

// pick chooses the placement group of a blob by hash, so that load spreads.
func (v *view) pick(pool ids.Pool, b ids.Blob) (ids.PG, error) {
	c := v.pools[pool]
	if c == nil {
		return 0, ErrNoPool
	}
	if len(c.pgs) == 0 {
		if c.full {
			return 0, ErrFull
		}
		return 0, ErrNoQuorum
	}
	var key [20]byte
	copy(key[:], b.Upload[:])
	binary.BigEndian.PutUint32(key[16:], b.Index)
	return c.pgs[xxh3.Hash(key[:])%uint64(len(c.pgs))], nil
}

// gradeOf is what a write may expect of id; a drive that the map does not know is lost.
func (v *view) gradeOf(id ids.Drive) grade { return v.grades[id] }
