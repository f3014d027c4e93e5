package plan

import "github.com/sherd-io/sherd/internal/ids"

// mend moves slots out of domains that hold more of a PG than may be lost with them: as where there were fewer domains once.
func (t *table) mend() {
	zones, nodes := max(t.l.zones.least, t.pool.M), max(t.l.nodes.least, t.pool.M)
	for id := range t.pgs {
		st := &t.pgs[id]
		if st.fixed {
			continue
		}
		g := group{l: t.l, members: st.members}
		for _, from := range st.members {
			p := &t.l.places[from]
			if (g.in(p.zone) > zones || g.on(p.node) > nodes) && !t.busy(from) && t.shift(ids.PG(id), from, " to spread over domains", spread) {
				break
			}
		}
	}
}

// spare moves slots out of domains that more PGs touch than should, each the only one that its domain has of the PG: writes then go
// on at full strength in that PG when the domain dies (I19). It makes no domain touched by more PGs than should be, and balance
// does not either: so they do not work against each other.
func (t *table) spare() {
	for id := range t.pgs {
		st := &t.pgs[id]
		if st.fixed || st.weak {
			continue
		}
		g := group{l: t.l, members: st.members}
		for _, from := range st.members {
			p := &t.l.places[from]
			tired := t.l.zones.over(p.zone) && g.in(p.zone) == 1 || t.l.nodes.over(p.node) && g.on(p.node) == 1
			if tired && !t.busy(from) && t.shift(ids.PG(id), from, " so that its domain can be done without", allowed) {
				break
			}
		}
	}
}

// over reports whether more PGs touch a domain than should.
func (v *level) over(domain int) bool {
	d := &v.domains[domain]
	return d.touched > d.touchMax
}
