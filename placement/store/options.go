package store

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// Errors by what a caller can do.
var (
	ErrUnavailable     = errors.New("store: etcd does not answer")          // try again later; a write's outcome may be unknown
	ErrConflict        = errors.New("store: the row changed meanwhile")     // read the map again, plan again
	ErrNotLeader       = errors.New("store: no longer the elected planner") // stop planning, campaign again
	ErrNotFound        = errors.New("store: no such record")                //
	ErrExists          = errors.New("store: record exists")                 //
	ErrInvalid         = errors.New("store: record refused")                // a bug of the caller
	ErrBootstrapped    = errors.New("store: the cluster exists already")    // somebody else was first: use what is there
	ErrNotBootstrapped = errors.New("store: no cluster under this prefix")  // Bootstrap first
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
	Prefix  string      // "/sherd/" and the cluster id; "/sherd/" if that is zero

	RequestTimeout time.Duration // 5s: after it a change is ErrUnavailable
	TryTimeout     time.Duration // 2s: of one try within it
	ContactEvery   time.Duration // 10s: etcd is asked for a sign of life when nothing else did
	Now            func() time.Time
	Logger         *slog.Logger
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
	o.ContactEvery = orDefault(o.ContactEvery, 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
