package plan

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

func TestShow(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
	used := map[ids.Drive]int64{}
	for id := range m.Drives {
		used[id] = 256 << 20 // 1 MiB a slot
	}
	if o := Show(m, used); !o.Idle() || o.Bytes != 0 || o.Stuck != 0 {
		t.Errorf("nothing is due: %+v", o)
	}
	grown, err := WhatIf{Add: []placement.Drive{{Node: "z0n0", Weight: 1}, {Node: "z0n0", Weight: 1}}}.Edit(m)
	if err != nil || len(m.Drives) != 6 {
		t.Fatal(err, len(m.Drives))
	}
	o := Show(grown, used)
	if o.Slots < 360 || o.Slots > 384 || o.Bytes != int64(o.Slots)<<20 || o.Rebuilt != 0 || o.Stuck != 0 {
		t.Errorf("two drives more: %d slots, %d rebuilt, %d stuck, %d bytes", o.Slots, o.Rebuilt, o.Stuck, o.Bytes)
	}
	in, out := 0, 0
	for _, s := range o.Drives {
		if s.Slots != s.SlotsNow+s.In-s.Out || s.Share != 192 || s.Slots < 186 || s.Slots > 198 {
			t.Errorf("%+v", s)
		}
		in, out = in+s.In, out+s.Out
	}
	if len(o.Drives) != 8 || in != o.Slots || out != o.Slots {
		t.Errorf("%d drives, %d in, %d out", len(o.Drives), in, out)
	}
	if p := PromiseOf(o.After, 0, 0); p.Data != 2 || p.Metadata != 2 {
		t.Errorf("%+v", p)
	}
	host := m.Ranges[0].Replicas[0].Drive
	lost, err := WhatIf{Out: []ids.Drive{host}}.Edit(grown)
	if err != nil {
		t.Fatal(err)
	}
	if o := Show(lost, used); o.Rebuilt != 256 || o.Replicas != 1 || o.Stuck != 0 {
		t.Errorf("one lost: %d rebuilt, %d replicas, %d stuck", o.Rebuilt, o.Replicas, o.Stuck)
	}
	drained, err := WhatIf{Drain: []ids.Drive{host}}.Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	if o := Show(drained, used); o.Slots != 0 || o.Stuck != 256 {
		t.Errorf("a drain that cannot be: %+v", o)
	}
	for _, w := range []WhatIf{{Drain: []ids.Drive{{1}}}, {DrainNodes: []string{"x"}}, {Weights: map[ids.Drive]float64{{2}: 1}}} {
		if _, err := w.Edit(m); !errors.Is(err, ErrUnknown) {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

func TestShowWeightsAndNodes(t *testing.T) {
	m := simulated(t, 1, 5, 3, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
	next, err := WhatIf{DrainNodes: []string{"z0n1"}, Weights: map[ids.Drive]float64{drivesOf(m, "z0n0")[0].ID: 2}}.Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	o := Show(next, nil)
	if o.Stuck != 0 || o.Bytes != 0 {
		t.Errorf("%d stuck, %d bytes", o.Stuck, o.Bytes)
	}
	for _, s := range o.Drives {
		if s.Drive.Node == "z0n1" && (s.Slots != 0 || s.In != 0) {
			t.Errorf("%+v", s)
		}
	}
	for _, r := range o.After.Ranges {
		for _, rep := range r.Replicas {
			if o.After.Drives[rep.Drive].Node == "z0n1" {
				t.Error("a replica is left")
			}
		}
	}
}
