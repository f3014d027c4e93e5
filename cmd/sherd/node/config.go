package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/placement/plan"
)

// Config says what a node is. A zero field means the default given here.
type Config struct {
	Drives  []string // paths, at least one; required
	Name    string   // "node1"
	Zone    string
	Profile plan.Profile // of the first pool; by the number of drives
	PGs     int          // of the first pool, a power of two; plan.PGCount

	Etcd    EtcdConfig // external etcd; the embedded one if it has no endpoints
	Cluster ClusterConfig

	Listeners      []net.Listener // what the gateway serves on; required. The node closes them
	Connections    int            // see gateway.Options
	Domains        []string       // virtual-host style: bucket.DOMAIN
	Region         string         // us-east-1
	Ownership      string         // gateway.Options.Ownership
	Root           Credentials    // from the environment; empty: the stored pair, or a new one
	TrustedProxies []string       // CIDRs whose X-Forwarded-* count
	Pprof          bool           // serves /_/debug/pprof to root
	NoObjects      bool           // a dedicated storage node: only /_/ is served

	MemoryLimit  int64         // bytes; DefaultMemoryLimit
	WriteQuorum  int           // erasure.Options.WriteQuorum
	InlineBytes  int           // object.Options.InlineBytes
	NoReplace    bool          // blank directories are not adopted by themselves (--auto-replace=false)
	HealBytes    int64         // heal.Options.HealBytes
	ScrubEvery   time.Duration // 7 days: a whole scrub begins so often; negative: never
	CollectAfter time.Duration // 24h: uploads older than this are closed (I6)

	QuarantineTerm time.Duration // 7 days: what is in quarantine longer is deleted (I15)
	Version        string        // of the binary, for people

	CheckEvery       time.Duration // 1s: how often a drive's identity is checked
	Patience         time.Duration // 10s: a path that takes longer to answer is worked around
	HangAfter        time.Duration // 15s: disk.Options.HangAfter
	StrandedGrace    time.Duration // 3s: a range without a quorum waits so long for drives that are only being opened again
	PlanEvery        time.Duration // 5s: how often the planner looks though nothing woke it
	HealEvery        time.Duration // heal.Options.Tick
	DrainedAfter     time.Duration // heal.Options.DrainedAfter
	ControlTimeout   time.Duration // store.Options.RequestTimeout
	OutAfter         time.Duration // 10 min: a drive that is down so long is given up
	EtcdGrace        time.Duration // 10 min: after a restart of etcd no drive is given up for so long (I19)
	RestoreHold      time.Duration // 1h: how long the caution after a restore of the control state lasts (I9)
	ControlStaleness time.Duration // 1h (I11)

	Fstab       string   // /etc/fstab
	EtcdCommand []string // runs the embedded etcd; this executable with "etcd"
	EtcdEnv     []string // added to its environment

	FS     vfs.FS           // vfs.Default
	Now    func() time.Time // time.Now; a test's is wrong. Certificates between nodes and time-outs are not subject to it
	Logger *slog.Logger
}

// EtcdConfig names an external etcd.
type EtcdConfig struct {
	Endpoints          []string
	Username, Password string
	CAFile             string
	CertFile, KeyFile  string
	Dial               func(ctx context.Context, addr string) (net.Conn, error) // TCP; a simulation's own
}

func (c *Config) validate() error {
	setDefault(&c.Name, "node1")
	if err := c.Cluster.validate(c.Name, len(c.Etcd.Endpoints) > 0); err != nil {
		return err
	}
	if len(c.Drives) == 0 && !c.Cluster.several() {
		return errors.New("no drives given")
	}
	if len(c.Listeners) == 0 {
		return errors.New("no listener given")
	}
	if err := c.Root.validate(); err != nil {
		return err
	}
	if _, err := prefixes(c.TrustedProxies); err != nil {
		return err
	}
	if err := gateway.CheckOwnership(c.Ownership); err != nil {
		return err
	}
	setDefault(&c.Fstab, "/etc/fstab")
	setDefault(&c.Region, "us-east-1")
	setDefault(&c.MemoryLimit, DefaultMemoryLimit())
	setDefault(&c.ScrubEvery, 7*24*time.Hour)
	setDefault(&c.CollectAfter, 24*time.Hour)
	setDefault(&c.QuarantineTerm, 7*24*time.Hour)
	setDefault(&c.CheckEvery, time.Second)
	setDefault(&c.Patience, 10*time.Second)
	setDefault(&c.HangAfter, 15*time.Second)
	setDefault(&c.StrandedGrace, 3*time.Second)
	setDefault(&c.PlanEvery, 5*time.Second)
	setDefault(&c.OutAfter, 10*time.Minute)
	setDefault(&c.EtcdGrace, 10*time.Minute)
	setDefault(&c.RestoreHold, time.Hour)
	setDefault(&c.ControlStaleness, time.Hour)
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
