package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Errors by what a caller can do.
var (
	ErrUnavailable     = errors.New("store: etcd does not answer")                               // try again later; a write's outcome may be unknown
	ErrConflict        = errors.New("store: the row changed meanwhile")                          // read the map again, plan again
	ErrNotLeader       = errors.New("store: no longer the elected planner")                      // stop planning, campaign again
	ErrNotFound        = placement.ErrNotFound                                                   //
	ErrExists          = errors.New("store: record exists")                                      //
	ErrInvalid         = placement.ErrInvalid                                                    // a bug of the caller
	ErrTooLarge        = placement.ErrTooLarge                                                   //
	ErrNoDataKey       = errors.New("store: the key of the cluster's secrets is not known here") // SetDataKey first
	ErrBootstrapped    = errors.New("store: the cluster exists already")                         // somebody else was first: use what is there
	ErrNotBootstrapped = errors.New("store: no cluster under this prefix")                       // Bootstrap first
	ErrWrongCluster    = errors.New("store: these records are of another cluster")
	ErrCorrupt         = errors.New("store: record cannot be decoded")                       // only where nothing can go on without it
	ErrTimeTravel      = errors.New("store: etcd holds an older state than was seen before") // I9: restore, by a person
)

// Options configures Open. A zero field means the default given here.
type Options struct {
	Endpoints []string    // at least one: http(s)://host:port, or what Dialer understands
	TLS       *tls.Config // nil: plain
	Username  string
	Password  string
	// Dialer connects to an endpoint's address; nil: TCP. member.Supervisor has one for the embedded etcd.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
	// Redial is called when a request got no answer in time, so that a Dialer may choose another member next. May be nil.
	Redial func()

	Cluster ids.Cluster // zero: any
	// Floor is the latest state that is known from elsewhere, from copies: a cluster's earlier one is refused (I9).
	Floor  Position
	Prefix string // "/sherd/" and the cluster id; "/sherd/" if that is zero

	RequestTimeout time.Duration // 5s: after it a change is ErrUnavailable
	TryTimeout     time.Duration // 2s: of one try within it
	CopyTimeout    time.Duration // 5s: KeepCopies waits for no drive longer
	ContactEvery   time.Duration // 10s: etcd is asked for a sign of life when nothing else did
	Now            func() time.Time
	Logger         *slog.Logger

	// A test's, that lose answers; nil: none.
	between      func(clientv3.KV) clientv3.KV
	betweenWatch func(clientv3.Watcher) clientv3.Watcher
}

func (o *Options) validate() error {
	if len(o.Endpoints) == 0 {
		return errors.New("store: no etcd endpoints")
	}
	if o.Prefix == "" {
		o.Prefix = "/sherd/"
		if o.Cluster != (ids.Cluster{}) {
			o.Prefix += o.Cluster.String() + "/"
		}
	}
	if o.Prefix[len(o.Prefix)-1] != '/' {
		o.Prefix += "/"
	}
	o.RequestTimeout = orDefault(o.RequestTimeout, 5*time.Second)
	o.TryTimeout = min(orDefault(o.TryTimeout, 2*time.Second), o.RequestTimeout)
	o.CopyTimeout = orDefault(o.CopyTimeout, 5*time.Second)
	o.ContactEvery = orDefault(o.ContactEvery, 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Position says how late a state of the records is.
type Position struct {
	Generation uint64 // raised by a restore; it outweighs Revision
	Revision   int64  // as Map.Revision
}

func positionOf(m *placement.Map) Position { return Position{m.Generation, m.Revision} }

// later is whichever of p and q is the later one.
func (p Position) later(q Position) Position {
	if q.Generation > p.Generation || q.Generation == p.Generation && q.Revision > p.Revision {
		return q
	}
	return p
}

// String is p for people.
func (p Position) String() string {
	return fmt.Sprintf("generation %d, revision %d", p.Generation, p.Revision)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
