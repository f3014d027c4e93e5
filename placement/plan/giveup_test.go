package plan

import (
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// TestI19_GiveUp: a drive is given up by itself when it was down for long, unless something speaks against it.
func TestI19_GiveUp(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	since := func(d time.Duration) time.Time { return now.Add(-d) }
	const outAfter, grace = 10 * time.Minute, 10 * time.Minute
	all := drives(6) // of a 2+1 pool
	nobody := ids.Drive{}
	for _, c := range []struct {
		name string
		edit func(m map[ids.Drive]*placement.Drive, o *Outlook)
		want ids.Drive
	}{
		{"all up", func(m map[ids.Drive]*placement.Drive, o *Outlook) { m[all[0].ID].State = placement.DriveUp }, nobody},
		{"down for long", func(map[ids.Drive]*placement.Drive, *Outlook) {}, all[0].ID},
		{"not yet", func(m map[ids.Drive]*placement.Drive, o *Outlook) { m[all[0].ID].Since = since(outAfter - 1) }, nobody},
		{"the process is new", func(_ map[ids.Drive]*placement.Drive, o *Outlook) {
			o.Down = func(*placement.Drive) time.Duration { return outAfter - 1 }
		}, nobody},
		{"etcd was restarted", func(_ map[ids.Drive]*placement.Drive, o *Outlook) { o.Etcd = grace - 1 }, nobody},
		{"restored", func(_ map[ids.Drive]*placement.Drive, o *Outlook) { o.Held = true }, nobody},
		{"more than m down", func(m map[ids.Drive]*placement.Drive, o *Outlook) {
			m[all[1].ID].State, m[all[1].ID].Since = placement.DriveDown, now
		}, nobody},
		{"one out before, and nothing in its place", func(m map[ids.Drive]*placement.Drive, o *Outlook) { m[all[1].ID].State = placement.DriveOut }, nobody},
		{"one out before, and replaced", func(m map[ids.Drive]*placement.Drive, o *Outlook) {
			m[all[1].ID].State, m[all[2].ID].Replaces = placement.DriveOut, all[1].ID
		}, all[0].ID},
		{"it has no slots, and others can have the replicas", func(m map[ids.Drive]*placement.Drive, o *Outlook) {
			m[all[0].ID].State, m[all[4].ID].State, m[all[4].ID].Since = placement.DriveUp, placement.DriveDown, since(outAfter)
		}, all[4].ID},
		{"it has no slots, and is one of three", func(m map[ids.Drive]*placement.Drive, o *Outlook) {
			m[all[0].ID].State, m[all[4].ID].State, m[all[4].ID].Since = placement.DriveUp, placement.DriveDown, since(outAfter)
			for _, i := range []int{2, 3, 5} {
				delete(m, all[i].ID)
			}
		}, nobody},
		{"nobody could take its slots", func(m map[ids.Drive]*placement.Drive, o *Outlook) {
			for _, d := range all[3:] {
				delete(m, d.ID)
			}
		}, nobody},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := make([]*placement.Drive, len(all))
			for i, d := range all {
				next := *d
				own[i] = &next
			}
			in, err := Initial(InitialOptions{Cluster: ids.NewCluster(), Nodes: []placement.Node{{Name: "n1"}}, Drives: own[:3], Profile: Profile{K: 2, M: 1}})
			if err != nil {
				t.Fatal(err)
			}
			m := &placement.Map{Drives: map[ids.Drive]*placement.Drive{}, Pools: map[ids.Pool]*placement.Pool{1: in.Pool}}
			for _, d := range own {
				m.Drives[d.ID] = d
			}
			down := m.Drives[all[0].ID]
			down.State, down.Since = placement.DriveDown, since(outAfter)
			o := Outlook{Down: func(d *placement.Drive) time.Duration { return now.Sub(d.Since) }, Etcd: grace, OutAfter: outAfter, EtcdGrace: grace}
			c.edit(m.Drives, &o)
			if got := GiveUp(m, o); got != c.want {
				t.Errorf("gives up %s, want %s", got, c.want)
			}
		})
	}
}
