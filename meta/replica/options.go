package replica

import (
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// Options configures a Host. A zero field means the default given here.
type Options struct {
	Drive ids.Drive  // for logs and reports
	Log   Log        // the drive's; needed
	Rows  *pebble.DB // the drive's, ordered by keys.Comparer; needed
	FS    vfs.FS     // of Staging; needed to take snapshots
	// Staging is a directory of the host's own, on the file system of Rows, for snapshots that come in.
	Staging   string
	Mesh      *Mesh     // the hosts of this process; needed
	Transport Transport // Mesh
	Clock     *hlc.Clock
	Batches   *Batches // shared by the hosts of a process; its own

	Tick          time.Duration // 100ms: a heartbeat
	ElectionTicks int           // 10
	LogBytes      int64         // 64 MiB: the log is cut when it is longer
	Rest          time.Duration // 30s: a log without appends for so long is cut to its last segment
	QueueMax      int           // 4096: proposals of one range that may wait or be under way
	InboxMax      int           // 8192: messages that may wait; more are lost, which Raft can bear

	stagedFileBytes uint64 // 64 MiB: when a file of a snapshot that comes in is closed and the next begun

	// OnLeader is told on the host's goroutine when a replica begins (leads) and ceases to serve as leader.
	OnLeader func(r *Replica, leads bool)
	// OnChild is told on the host's goroutine when a split has made a replica here, which takes part from then on.
	OnChild func(r *Replica)
	// OnFailed is told once, on a goroutine of its own, when the drive's log or rows failed: no replica here runs on.
	OnFailed func(h *Host, err error)
	Logger   *slog.Logger
}

func (o *Options) validate() error {
	if o.Log == nil || o.Rows == nil || o.Mesh == nil {
		return errors.New("replica: Options need Log, Rows and Mesh")
	}
	if o.Transport == nil {
		o.Transport = o.Mesh
	}
	if o.Clock == nil {
		o.Clock = hlc.New(nil)
	}
	if o.Batches == nil {
		o.Batches = NewBatches()
	}
	setDefault(&o.Tick, 100*time.Millisecond)
	setDefault(&o.ElectionTicks, 10)
	setDefault(&o.LogBytes, 64<<20)
	setDefault(&o.Rest, 30*time.Second)
	setDefault(&o.QueueMax, 4096)
	setDefault(&o.InboxMax, 8192)
	setDefault(&o.stagedFileBytes, 64<<20)
	if o.OnLeader == nil {
		o.OnLeader = func(*Replica, bool) {}
	}
	if o.OnChild == nil {
		o.OnChild = func(*Replica) {}
	}
	if o.OnFailed == nil {
		o.OnFailed = func(*Host, error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// election is how long a follower waits for its leader at least.
func (o *Options) election() time.Duration { return time.Duration(o.ElectionTicks) * o.Tick }
