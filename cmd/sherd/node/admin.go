package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement"
)

// admin answers the calls of internal/adminapi.
type admin struct{ n *Node }

// Admin implements gateway.Admin.
func (a admin) Admin(ctx context.Context, call gateway.AdminCall) (any, error) {
	switch call.Method + " " + call.Path {
	case "GET status":
		return a.n.status(ctx), nil
	case "GET drives":
		return a.n.allDrives(ctx), nil
	case "POST drives/replace":
		return a.replace(ctx, call.Body)
	case "GET ranges":
		return a.n.rangeList(ctx), nil
	case "POST ranges/split":
		return a.splitRange(ctx, call.Body)
	case "GET meta/recover":
		return a.lostRanges(ctx)
	case "POST meta/recover":
		return a.recoverRanges(ctx, call.Body)
	case "GET heal":
		return a.n.healStatus(ctx), nil
	case "POST heal/start", "POST heal/pause", "POST heal/resume":
		err := a.n.everywhere(ctx, call.Path)
		return a.n.healStatus(ctx), err
	case "GET scrub":
		return a.n.scrubStatus(ctx), nil
	case "POST scrub/start", "POST scrub/pause":
		err := a.n.everywhere(ctx, call.Path)
		return a.n.scrubStatus(ctx), err
	case "GET quarantine":
		return a.n.quarantined(ctx), nil
	case "POST quarantine/restore":
		return a.restore(ctx, call.Body)
	case "POST nodes/token":
		return a.token(ctx, call.Body)
	case "POST control/confirm":
		return a.confirm(ctx, call.Body)
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
	if req.Node != "" && req.Node != a.n.cfg.Name {
		return a.elsewhere(ctx, req.Node, "POST", "drives/replace", req)
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

// tokenLifeMax is how long a token holds at most.
const tokenLifeMax = 7 * 24 * time.Hour

// token makes one with which a node joins (`sherd node token`, I24).
func (a admin) token(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.TokenRequest](body)
	if err != nil {
		return nil, err
	}
	p := a.n.peers
	switch {
	case p == nil:
		return nil, fmt.Errorf("%w: this server has no node port: start it with --advertise host:port", gateway.ErrConflict)
	case p.signer == nil:
		return nil, fmt.Errorf("%w: this node cannot sign certificates: ask one that was started with the cluster's secret, or the first", gateway.ErrConflict)
	case req.Life <= 0 || req.Life > tokenLifeMax:
		return nil, fmt.Errorf("%w: a token holds for up to %s", gateway.ErrBadCall, tokenLifeMax)
	}
	t := trust.NewToken(p.signer.Hash())
	expires := time.Now().Add(req.Life).UTC().Truncate(time.Second)
	if err := a.n.store.PutToken(ctx, t.Record(expires)); err != nil {
		return nil, err
	}
	return adminapi.Token{Token: t.String(), Expires: expires, Join: a.n.cfg.Cluster.Advertise}, nil
}

func (a admin) restore(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.RestoreRequest](body)
	if err != nil {
		return nil, err
	}
	all := a.n.quarantined(ctx)
	for _, q := range all.Chunks {
		if q.Chunk != req.Chunk || (req.Drive != "" && q.Drive != req.Drive) {
			continue
		}
		return q, a.n.restoreChunk(ctx, q)
	}
	if i := slices.IndexFunc(all.Unread, func(d adminapi.Unread) bool { return req.Drive == "" || req.Drive == d.Drive }); i >= 0 {
		d := all.Unread[i]
		return nil, fmt.Errorf("%w: no such chunk in quarantine, but %s on node %s could not be asked: %s", gateway.ErrConflict, d.Path, d.Node, d.Reason)
	}
	return nil, fmt.Errorf("%w: no such chunk in quarantine", gateway.ErrBadCall)
}

func (n *Node) restoreChunk(ctx context.Context, q adminapi.Quarantined) error {
	var id ids.Drive
	if err := id.UnmarshalText([]byte(q.Drive)); err != nil {
		return err
	}
	d, ok := n.drive(id).(quarantiner)
	if !ok {
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

// quarantiner is a drive, here or on another node, whose quarantine can be looked at.
type quarantiner interface {
	Quarantined(ctx context.Context) ([]disk.QuarantineEntry, error)
	RestoreQuarantined(ctx context.Context, key ids.Chunk) error
}

// quarantinesAtOnce bounds how many drives are asked at a time.
const quarantinesAtOnce = 64

// quarantined lists what is in quarantine on all drives, by node and path, and those that cannot say.
func (n *Node) quarantined(ctx context.Context) adminapi.Quarantine {
	out := adminapi.Quarantine{Chunks: []adminapi.Quarantined{}, Unread: []adminapi.Unread{}}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(quarantinesAtOnce)
	for id, rec := range n.store.Map().Drives {
		if rec.State == placement.DriveOut {
			continue
		}
		g.Go(func() error {
			chunks, err := n.quarantineOf(ctx, id, rec)
			mu.Lock()
			defer mu.Unlock()
			out.Chunks = append(out.Chunks, chunks...)
			if err != nil {
				out.Unread = append(out.Unread, adminapi.Unread{Drive: id.String(), Node: rec.Node, Path: rec.Path, Reason: err.Error()})
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is in Unread
	slices.SortFunc(out.Chunks, func(a, b adminapi.Quarantined) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Path, b.Path), strings.Compare(a.Chunk, b.Chunk))
	})
	slices.SortFunc(out.Unread, func(a, b adminapi.Unread) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Path, b.Path))
	})
	return out
}

// quarantineOf lists what is in quarantine on one drive.
func (n *Node) quarantineOf(ctx context.Context, id ids.Drive, rec *placement.Drive) (out []adminapi.Quarantined, err error) {
	d, ok := n.drive(id).(quarantiner)
	if !ok {
		return nil, errors.New("not in service")
	}
	entries, err := d.Quarantined(ctx)
	for _, e := range entries {
		out = append(out, adminapi.Quarantined{
			Drive: id.String(), Node: rec.Node, Path: rec.Path, Chunk: e.Key.String(), Bucket: uint64(e.Bucket), Object: e.Object,
			Bytes: int64(e.Bytes), Reason: e.Reason, Since: e.Time, Expires: e.Time.Add(n.cfg.QuarantineTerm),
		})
	}
	return out, err
}
