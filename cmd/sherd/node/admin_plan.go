package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

const (
	healBytes   = 256 << 20 // heal.Options.HealBytes' default: of blobs, a second
	addedMax    = 1 << 10   // drives in one what-if
	newDriveTag = "new"
)

// plan shows what moves: by a what-if, or what is due now.
func (a admin) plan(ctx context.Context, body json.RawMessage) (any, error) {
	var req adminapi.WhatIf
	if len(body) > 0 {
		var err error
		if req, err = decode[adminapi.WhatIf](body); err != nil {
			return nil, err
		}
	}
	m := a.n.store.Map()
	w, err := a.n.whatIf(m, req)
	if err != nil {
		return nil, err
	}
	next, err := w.Edit(m)
	if err != nil {
		return nil, refusal(err)
	}
	stock := a.n.stock(ctx)
	out := a.n.outline(m, next, stock.Used)
	out.Convert = a.n.healStatus(ctx).Convert.Left
	switch err := plan.MayDrain(m, next, stock); {
	case out.OutOfReach && !a.n.promise().Short():
		out.Refused = "some data could not be read any more"
	case err != nil:
		out.Refused = err.Error()
	}
	return out, nil
}

// whatIf finds the drives that a request names.
func (n *Node) whatIf(m *placement.Map, req adminapi.WhatIf) (w plan.WhatIf, err error) {
	w.DrainNodes, w.Weights = req.DrainNodes, map[ids.Drive]float64{}
	for _, add := range req.Add {
		if add.Count < 1 || add.Count > addedMax || add.Bytes < 0 {
			return w, fmt.Errorf("%w: %d drives of %d bytes", gateway.ErrBadCall, add.Count, add.Bytes)
		}
		d := placement.Drive{Node: add.Node, Bytes: add.Bytes}
		if d.Node == "" {
			d.Node = n.cfg.Name
		}
		if d.Bytes == 0 {
			d.Weight = meanWeight(m)
		}
		if add.Count < 1 {
			return w, fmt.Errorf("%w: %d drives more", gateway.ErrBadCall, add.Count)
		}
		for range add.Count {
			w.Add = append(w.Add, d)
		}
	}
	find := func(list []string) (found []ids.Drive) {
		for _, text := range list {
			d, bad := n.findDrive(m, text)
			if bad != nil {
				err = bad
				continue
			}
			found = append(found, d.ID)
		}
		return found
	}
	w.Drain, w.Out = find(req.Drain), find(req.Out)
	for text, weight := range req.Weights {
		for _, id := range find([]string{text}) {
			w.Weights[id] = weight
		}
	}
	return w, err
}

// meanWeight is that of the drives there are: new ones are most often like them.
func meanWeight(m *placement.Map) float64 {
	sum, n := 0.0, 0
	for _, d := range m.Drives {
		if d.State != placement.DriveOut {
			sum += d.Weight
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// outline is what next, which is m or what becomes of it, leads to.
func (n *Node) outline(m, next *placement.Map, used map[ids.Drive]int64) *adminapi.Plan {
	o := plan.Show(next, used)
	after := plan.PromiseOf(o.After, 0, 0)
	out := &adminapi.Plan{
		InMotion: plan.InMotion(m), Slots: o.Slots, Rebuilt: o.Rebuilt, Replicas: o.Replicas, Bytes: o.Bytes, Stuck: o.Stuck,
		MayLose: max(n.promise().Drives(), 0), MayLoseAfter: max(after.Drives(), 0), OutOfReach: after.Short(),
	}
	k := int64(1)
	for _, p := range m.Pools {
		k = max(k, int64(p.K)) // the healer's pace counts whole blobs, a slot has the k-th part of one
	}
	if o.Slots > 0 {
		out.Seconds = 1 + o.Bytes*k/healBytes
	}
	for _, s := range o.Drives {
		row := adminapi.PlanDrive{
			ID: s.Drive.ID.String(), Node: s.Drive.Node, Path: s.Drive.Path, State: string(s.Drive.State),
			Draining: next.Draining(s.Drive), Weight: s.Drive.Weight,
			SlotsNow: s.SlotsNow, Slots: s.Slots, Share: s.Share, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		}
		if m.Drives[s.Drive.ID] == nil {
			row.ID, row.Path, row.State = "", newDriveTag, newDriveTag
		}
		out.Drives = append(out.Drives, row)
	}
	return out
}
