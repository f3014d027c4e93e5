package replica

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

const (
	loadSamples     = 128 // routes of the latest commands that are kept
	commandsASample = 16
)

// load counts the commands that were proposed to a replica, and keeps the routes of some. It is safe for concurrent use.
type load struct {
	commands atomic.Uint64

	mu   sync.Mutex
	ring [][]byte // guarded by mu; the latest loadSamples
	next int      // guarded by mu
}

func (l *load) note(cmd *metapb.Command) {
	if l.commands.Add(1)%commandsASample != 0 {
		return
	}
	route := routeOf(cmd)
	if route == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < loadSamples {
		l.ring = append(l.ring, route)
		return
	}
	l.ring[l.next] = route
	l.next = (l.next + 1) % loadSamples
}

// routeOf is where the key of a command lies; nil if it has none.
func routeOf(cmd *metapb.Command) []byte {
	switch op := cmd.Op.(type) {
	case *metapb.Command_Put:
		return keys.Route(ids.Bucket(op.Put.GetBucket()), op.Put.GetKey())
	case *metapb.Command_Delete:
		if all := op.Delete.GetKeys(); len(all) > 0 {
			return keys.Route(ids.Bucket(op.Delete.GetBucket()), all[0])
		}
	case *metapb.Command_CreateUpload:
		return keys.Route(ids.Bucket(op.CreateUpload.GetBucket()), op.CreateUpload.GetKey())
	case *metapb.Command_PutPart:
		return keys.Route(ids.Bucket(op.PutPart.GetBucket()), op.PutPart.GetKey())
	case *metapb.Command_CompleteUpload:
		return keys.Route(ids.Bucket(op.CompleteUpload.GetBucket()), op.CompleteUpload.GetKey())
	}
	return nil
}

// Load is how many commands were ever proposed here, and where the latest of them were, oldest first.
func (r *Replica) Load() (commands uint64, routes [][]byte) {
	l := &r.load
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commands.Load(), slices.Concat(l.ring[l.next:], l.ring[:l.next])
}

// Bytes is about how much of the drive the replica's rows take.
func (r *Replica) Bytes() (bytes uint64, err error) {
	err = r.ReadStale(func(_ pebble.Reader) error {
		bytes, err = state.DiskBytes(r.host.opt.Rows, r.Span())
		return err
	})
	return bytes, err
}

// Middle is a border that divides the replica's rows about evenly; nil if there is none.
func (r *Replica) Middle(ctx context.Context) (border []byte, err error) {
	ctx, cancel := r.host.Within(ctx)
	defer cancel()
	err = r.ReadStale(func(_ pebble.Reader) error {
		border, err = state.Middle(ctx, r.host.opt.Rows, r.Span())
		return err
	})
	return border, err
}
