package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
)

// admin answers the calls of internal/adminapi.
type admin struct{ n *Node }

// Admin implements gateway.Admin.
func (a admin) Admin(ctx context.Context, call gateway.AdminCall) (any, error) {
	switch call.Method + " " + call.Path {
	case "GET status":
		return a.n.status(ctx), nil
	case "GET drives":
		return a.n.driveList(ctx), nil
	case "POST drives/replace":
		return a.replace(ctx, call.Body)
	case "GET heal":
		return a.n.healStatus(), nil
	case "POST heal/start":
		a.n.heal.Kick()
		return a.n.healStatus(), nil
	case "POST heal/pause":
		a.n.heal.Pause()
		return a.n.healStatus(), nil
	case "POST heal/resume":
		a.n.heal.Resume()
		return a.n.healStatus(), nil
	case "GET scrub":
		return a.n.scrubStatus(), nil
	case "POST scrub/start":
		return a.n.scrubStart()
	case "POST scrub/pause":
		a.n.heal.PauseScrub()
		return a.n.scrubStatus(), nil
	case "GET quarantine":
		return a.n.quarantined(ctx)
	case "POST quarantine/restore":
		return a.restore(ctx, call.Body)
	case "POST control/confirm":
		return a.confirm(ctx)
	}
	return a.placement(ctx, call)
}

func decode[T any](body json.RawMessage) (v T, err error) {
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("%w: %w", gateway.ErrBadCall, err)
	}
	return v, nil
}

// replace adopts a blank directory in the place of the drive that was there (`sherd drive replace`).
func (a admin) replace(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.ReplaceRequest](body)
	if err != nil {
		return nil, err
	}
	b := a.n.bays.at(req.Path)
	if b == nil {
		return nil, fmt.Errorf("%w: the server was not started with a drive at %s", gateway.ErrBadCall, req.Path)
	}
	if err := a.n.replaceByHand(ctx, b, req.Force); err != nil {
		return nil, err
	}
	for _, d := range a.n.driveList(ctx) {
		if d.Path == b.path {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%w: %s was lost again", gateway.ErrConflict, b.path)
}

func (a admin) restore(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.RestoreRequest](body)
	if err != nil {
		return nil, err
	}
	list, err := a.n.quarantined(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range list {
		if q.Chunk != req.Chunk || (req.Drive != "" && q.Drive != req.Drive) {
			continue
		}
		return q, a.n.restoreChunk(ctx, q)
	}
	return nil, fmt.Errorf("%w: no such chunk in quarantine", gateway.ErrBadCall)
}

func (n *Node) restoreChunk(ctx context.Context, q adminapi.Quarantined) error {
	var id ids.Drive
	if err := id.UnmarshalText([]byte(q.Drive)); err != nil {
		return err
	}
	d := n.bays.drive(id)
	if d == nil {
		return fmt.Errorf("%w: drive %s is not in service", gateway.ErrConflict, q.Drive)
	}
	entries, err := d.Quarantined(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Key.String() == q.Chunk {
			return d.RestoreQuarantined(ctx, e.Key)
		}
	}
	return fmt.Errorf("%w: no such chunk in quarantine", gateway.ErrBadCall)
}

// quarantined lists what is in quarantine on all open drives.
func (n *Node) quarantined(ctx context.Context) ([]adminapi.Quarantined, error) {
	out := []adminapi.Quarantined{}
	for _, b := range n.bays.list() {
		d, id, _ := b.current()
		if d == nil {
			continue
		}
		entries, err := d.Quarantined(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.path, err)
		}
		for _, e := range entries {
			out = append(out, adminapi.Quarantined{
				Drive: id.String(), Path: b.path, Chunk: e.Key.String(), Bucket: uint64(e.Bucket), Object: e.Object,
				Bytes: int64(e.Bytes), Reason: e.Reason, Since: e.Time, Expires: e.Time.Add(n.cfg.QuarantineTerm),
			})
		}
	}
	return out, nil
}
