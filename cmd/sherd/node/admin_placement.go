package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// placement answers the calls of adminapi/placement.go.
func (a admin) placement(ctx context.Context, call gateway.AdminCall) (any, error) {
	switch call.Method + " " + call.Path {
	case "POST drives/add":
		return withDrive(ctx, call.Body, a.addDrive)
	case "POST drives/drain":
		return withDrive(ctx, call.Body, a.drainDrive)
	case "POST drives/remove":
		return withDrive(ctx, call.Body, a.removeDrive)
	case "POST drives/weight":
		return withDrive(ctx, call.Body, a.weighDrive)
	case "GET nodes":
		return a.n.nodeList(), nil
	case "POST nodes/drain":
		return a.drainNode(ctx, call.Body)
	case "POST nodes/remove":
		return a.removeNode(ctx, call.Body)
	case "POST plan":
		return a.plan(ctx, call.Body)
	case "GET pools":
		return a.n.poolRows(ctx), nil
	case "POST pools/create":
		return a.createPool(ctx, call.Body)
	case "POST pools/set":
		return a.setPool(ctx, call.Body)
	case "POST pools/remove":
		return a.removePool(ctx, call.Body)
	case "GET buckets":
		return a.n.bucketRows(ctx)
	case "POST buckets/pool":
		return a.setBucketPool(ctx, call.Body)
	}
	return nil, fmt.Errorf("%w: %s %s", gateway.ErrNoSuchCall, call.Method, call.Path)
}

func withDrive(ctx context.Context, body json.RawMessage, do func(context.Context, adminapi.DriveRequest) (any, error)) (any, error) {
	req, err := decode[adminapi.DriveRequest](body)
	if err != nil {
		return nil, err
	}
	answer, err := do(ctx, req)
	return answer, refusal(err)
}

// refusal tells what a caller can mend from what failed.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, plan.ErrInUse), errors.Is(err, plan.ErrTooFew), errors.Is(err, plan.ErrNoRoom), errors.Is(err, plan.ErrDomains), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists):
		return fmt.Errorf("%w: %w", gateway.ErrConflict, err)
	case errors.Is(err, plan.ErrUnknown), errors.Is(err, plan.ErrProfile), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid):
		return fmt.Errorf("%w: %w", gateway.ErrBadCall, err)
	}
	return err
}

// idDigits is how many digits of an id name a drive at least.
const idDigits = 4

// findDrive is the drive of the map that text names: a path of this node, NODE:PATH, or the first digits of an id. One that is out is
// meant only if no other is.
func (n *Node) findDrive(m *placement.Map, text string) (*placement.Drive, error) {
	node, path := n.cfg.Name, text
	if name, rest, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(rest, "/") {
		node, path = name, rest
	}
	var live []*placement.Drive
	var out *placement.Drive // the last
	for id, d := range m.Drives {
		byID := len(text) >= idDigits && strings.HasPrefix(id.String(), text)
		switch {
		case d.Removed || !byID && (d.Node != node || d.Path != path):
		case d.State != placement.DriveOut:
			live = append(live, d)
		case out == nil || d.Since.After(out.Since):
			out = d
		}
	}
	switch {
	case len(live) == 1:
		return live[0], nil
	case len(live) > 1:
		return nil, fmt.Errorf("%w: %d drives are named by %s: give more of the id", gateway.ErrBadCall, len(live), text)
	case out != nil:
		return out, nil
	}
	return nil, fmt.Errorf("%w: there is no drive %s: `sherd drive ls` shows them", gateway.ErrBadCall, text)
}

// drive is a drive's row as it is now; one that is on another node, or removed, has only what the map says.
func (a admin) drive(ctx context.Context, id ids.Drive) (any, error) {
	for _, d := range a.n.driveList(ctx) {
		if d.ID == id.String() {
			return d, nil
		}
	}
	m := a.n.store.Map()
	d := m.Drives[id]
	rows := []adminapi.Drive{{ID: id.String(), Node: d.Node, Path: d.Path, State: string(d.State), Since: d.Since, Bytes: d.Bytes, Reason: d.Reason}}
	placeDrives(m, rows)
	return rows[0], nil
}

// drainDrive has a drive give away what it holds, or takes that back.
func (a admin) drainDrive(ctx context.Context, req adminapi.DriveRequest) (any, error) {
	d, err := a.n.findDrive(a.n.store.Map(), req.Drive)
	if err != nil {
		return nil, err
	}
	if !req.Cancel {
		if err := a.mayDrain(ctx, plan.WhatIf{Drain: []ids.Drive{d.ID}}, req.Force); err != nil {
			return nil, err
		}
	}
	err = a.n.store.EditDrive(ctx, d.ID, func(r *placement.Drive) error {
		r.Draining = !req.Cancel
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.n.planner.wake()
	return a.drive(ctx, d.ID)
}

// mayDrain reports why a drain is refused.
func (a admin) mayDrain(ctx context.Context, w plan.WhatIf, force bool) error {
	m := a.n.store.Map()
	after, err := w.Edit(m)
	if err != nil {
		return err
	}
	err = plan.MayDrain(m, after, a.n.stock(ctx))
	switch {
	case errors.Is(err, plan.ErrDomains) && force:
		return nil
	case errors.Is(err, plan.ErrDomains):
		return fmt.Errorf("%w: --force drains all the same", err)
	}
	return err
}

// stock is what the drives of all nodes have, as far as these answer.
func (n *Node) stock(ctx context.Context) plan.Stock {
	s := plan.Stock{Used: map[ids.Drive]int64{}, Room: map[ids.Drive]int64{}, Device: map[ids.Drive]string{}}
	for _, d := range n.allDrives(ctx) {
		var id ids.Drive
		if id.UnmarshalText([]byte(d.ID)) != nil || d.Health == "failed" || d.Health == "" {
			continue
		}
		s.Used[id], s.Room[id] = d.ChunkBytes, d.RoomBytes
		if d.Device != "" {
			s.Device[id] = d.Node + "/" + d.Device
		}
	}
	return s
}

// weighDrive changes a drive's share of placement.
func (a admin) weighDrive(ctx context.Context, req adminapi.DriveRequest) (any, error) {
	d, err := a.n.findDrive(a.n.store.Map(), req.Drive)
	if err != nil {
		return nil, err
	}
	if !(req.Weight > 0 && req.Weight < plan.WeightMax) { // also what is no number
		return nil, fmt.Errorf("%w: weight %g: want more than 0 and less than %d; to empty a drive, drain it", gateway.ErrBadCall, req.Weight, plan.WeightMax)
	}
	err = a.n.store.EditDrive(ctx, d.ID, func(r *placement.Drive) error {
		r.Weight = req.Weight
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.n.planner.wake()
	return a.drive(ctx, d.ID)
}

// removeDrive takes an empty drive out of the cluster, or gives up one that is lost.
func (a admin) removeDrive(ctx context.Context, req adminapi.DriveRequest) (any, error) {
	if req.Lost { // the map may not have heard yet which drives are back, or away
		if err := a.n.store.Sync(ctx); err != nil {
			return nil, err
		}
	}
	d, err := a.n.findDrive(a.n.store.Map(), req.Drive)
	if err != nil {
		return nil, err
	}
	if req.Lost && d.State != placement.DriveOut {
		if err := a.loseDrive(ctx, d); err != nil {
			return nil, err
		}
	}
	err = a.n.store.RemoveDrive(ctx, d.ID, a.n.memberDrives())
	switch {
	case errors.Is(err, plan.ErrInUse) && req.Lost:
		return a.drive(ctx, d.ID) // its slots have to find new owners first
	case errors.Is(err, plan.ErrInUse):
		return nil, fmt.Errorf("%w: drain it first, and wait until it is empty (`sherd drive drain %s`, `sherd plan`)", err, d.Path)
	case err != nil:
		return nil, err
	}
	a.n.dropRemoved(ctx)
	a.n.log.Info("drive removed", "drive", d.ID, "node", d.Node, "path", d.Path)
	return a.drive(ctx, d.ID)
}

// loseDrive gives up a drive that does not answer, where what is left of every blob can make it whole again.
func (a admin) loseDrive(ctx context.Context, d *placement.Drive) error {
	m := a.n.store.Map()
	if d.State != placement.DriveDown {
		return fmt.Errorf("%w: drive %s is %s: only one that does not answer can be lost; to take it away, drain it", plan.ErrInUse, d.Path, d.State)
	}
	after, err := plan.WhatIf{Out: []ids.Drive{d.ID}}.Edit(m)
	if err != nil {
		return err
	}
	if plan.PromiseOf(after, 0, 0).Data < 0 {
		return fmt.Errorf("%w: without drive %s some data cannot be read any more: bring it, or others, back", plan.ErrTooFew, d.Path)
	}
	return a.n.store.GiveUp(ctx, d, "given up by an operator")
}

// memberDrives are those with a member of the embedded etcd, as far as this node knows.
func (n *Node) memberDrives() (out []ids.Drive) {
	if n.members == nil {
		return nil
	}
	for _, m := range n.members.Members() {
		out = append(out, m.Drive)
	}
	return out
}

// nodeList is all nodes, by name.
func (n *Node) nodeList() []adminapi.Node {
	m := n.store.Map()
	rows := make(map[string]*adminapi.Node, len(m.Nodes))
	for name, r := range m.Nodes {
		rows[name] = &adminapi.Node{
			Name: name, Zone: r.Zone, Addr: r.Addr, Alive: m.Alive[name] || name == n.cfg.Name, Draining: r.Draining,
		}
	}
	holds := plan.Holdings(m, nil)
	for id, d := range m.Drives {
		if row := rows[d.Node]; row != nil && d.State != placement.DriveOut {
			row.Drives++
			row.Bytes += d.Bytes
			row.Slots += holds[id].Slots
			row.Replicas += holds[id].Replicas
		}
	}
	out := make([]adminapi.Node, 0, len(rows))
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b adminapi.Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (a admin) node(name string) (any, error) {
	for _, row := range a.n.nodeList() {
		if row.Name == name {
			return row, nil
		}
	}
	return adminapi.Node{Name: name}, nil
}

// drainNode has all drives of a node give away what they hold, or takes that back.
func (a admin) drainNode(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.NodeRequest](body)
	if err != nil {
		return nil, err
	}
	if !req.Cancel {
		if err := a.mayDrain(ctx, plan.WhatIf{DrainNodes: []string{req.Node}}, req.Force); err != nil {
			return nil, refusal(err)
		}
	}
	err = a.n.store.EditNode(ctx, req.Node, func(r *placement.Node) error {
		r.Draining = !req.Cancel
		return nil
	})
	if err != nil {
		return nil, refusal(err)
	}
	a.n.planner.wake()
	return a.node(req.Node)
}

// removeNode takes a node that is stopped and empty out of the cluster.
func (a admin) removeNode(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.NodeRequest](body)
	if err != nil {
		return nil, err
	}
	if req.Node == a.n.cfg.Name {
		return nil, fmt.Errorf("%w: node %s is running, it answers you: drain it, stop it, and ask another node", gateway.ErrConflict, req.Node)
	}
	if err := a.n.store.RemoveNode(ctx, req.Node, a.n.memberDrives()); err != nil {
		return nil, refusal(err)
	}
	for _, setting := range heal.SettingsOf(req.Node) {
		if err := a.n.store.PutSetting(ctx, setting, ""); err != nil {
			a.n.log.Warn("a removed node's setting stays", "setting", setting, "err", err)
		}
	}
	a.n.log.Info("node removed", "node", req.Node)
	return a.node(req.Node)
}

// placeDrives adds what the map has on drives to their rows.
func placeDrives(m *placement.Map, rows []adminapi.Drive) {
	holds := plan.Holdings(m, nil)
	for i := range rows {
		var id ids.Drive
		if id.UnmarshalText([]byte(rows[i].ID)) != nil || m.Drives[id] == nil {
			continue
		}
		d, row := m.Drives[id], &rows[i]
		row.Weight, row.Draining, row.Slots = d.Weight, m.Draining(d), holds[id].Slots+holds[id].Source
		if d.Removed {
			row.State, row.Health = "removed", ""
		}
	}
}
