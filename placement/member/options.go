package member

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// Errors of Start, by what can be done.
var (
	ErrNoMembers = errors.New("member: no drive has a member of this cluster's etcd")  // the control state is lost: sherd control restore (I9)
	ErrNoQuorum  = errors.New("member: too few members of the embedded etcd are left") // bring drives back, or restore (I9)
	ErrFounding  = errors.New("member: the drives were part of another founding")      // this node's member must not vote under that name (I10)
	ErrClosed    = errors.New("member: supervisor closed")
)

// Kind says what a connection to a member is for.
type Kind string

const (
	KindPeer   Kind = "peer"   // from another member
	KindClient Kind = "client" // from a client, or a supervisor
)

// Founder is a member that a new etcd cluster begins with.
type Founder struct {
	Name  string // of NewName, and never given before
	Node  string
	Drive ids.Drive
}

// Host is a drive of this process that can have a member.
type Host struct {
	Drive ids.Drive
	Path  string // absolute
}

// Options configures Start. A zero field means the default given here.
type Options struct {
	Cluster ids.Cluster
	// Node is the name of this node: 1 to 63 of a-z, 0-9 and '-'. No two nodes have one name at a time. Empty: as the
	// records on the drives say.
	Node   string
	Drives []Host      // all of this process that are there; none: a node without members, which needs Dial
	Want   []ids.Drive // which of them should have members (plan.EtcdHosts)
	// Bootstrap allows a first start where no drive has a member: the caller vouches that the cluster holds nothing yet.
	Bootstrap bool
	// Found is the list of the members of a new etcd cluster over several nodes: the same for all of them. It matters only
	// where no drive has a record, and is compared where a record says that the founding is not over: then it must be the
	// same list. What is in the nodes' hands: that the list was agreed on while all of them were blank, and is not given
	// again to a node that was emptied since.
	Found []Founder
	// Dial makes an authenticated connection to another node, whose Supervisor.Accept is called with it. An empty member
	// stands for any that serves. nil: there are no other nodes.
	Dial func(ctx context.Context, node, member string, kind Kind) (net.Conn, error)
	// Seeds are nodes that are asked for the members as long as none of another node is known.
	Seeds []string
	// Control is the generation that the control state is known to have had: an etcd of a lower one is never started (I9).
	// A new etcd is of just that one. 0: 1.
	Control uint64
	// Sole allows recovery without a quorum (see the package), as long as no other node has had a member.
	Sole bool
	// Named tells whether the node's name is known to be this process's alone: until then members under the name that its records do not
	// name are left in peace, for they may be those of another. nil: it is.
	Named func() bool
	// Usable tells whether a drive can be written now and is still the one it was; nil: DRIVE/sherd.json names it.
	Usable func(Host) error

	Command    []string // this program, as it was started, with "etcd"
	Env        []string // added to the environment, from which SHERD_…, AWS_… and ETCD_… are taken out
	RuntimeDir string   // where the directory for the sockets is made; $RUNTIME_DIRECTORY, else the system's for temporary files

	MemoryBytes    int64         // 128 MiB: the child's soft limit
	HeartbeatEvery time.Duration // 100ms
	ElectionAfter  time.Duration // 1s
	CheckEvery     time.Duration // 1s: directories are looked at, and members moved
	VerifyEvery    time.Duration // 1m: the members' contents are compared
	ProbeEvery     time.Duration // 3s: members of other nodes are asked whether they serve
	DialTimeout    time.Duration // 2s: of a connection to another node
	AskTimeout     time.Duration // 2s: of a question to etcd, before another member is asked; and of one to a drive, which hangs then
	FailuresMax    int           // 3: starts of a member that fail before it counts as lost
	RequestTimeout time.Duration // 10s: of a membership change
	Logger         *slog.Logger
}

func (o *Options) validate() error {
	if len(o.Drives) == 0 && o.Dial == nil {
		return errors.New("member: no drives")
	}
	if o.Dial != nil && o.Node == "" {
		return errors.New("member: a node among others needs a name")
	}
	if o.Node != "" && !addressForm.MatchString(NewName()+"."+o.Node) {
		return fmt.Errorf("member: node name %q", o.Node)
	}
	for _, h := range o.Drives {
		if !filepath.IsAbs(h.Path) {
			return fmt.Errorf("member: drive path %q is not absolute", h.Path)
		}
	}
	if o.Usable == nil {
		o.Usable = identified
	}
	if len(o.Command) == 0 {
		o.Command = []string{selfExe, "etcd"}
	}
	if o.RuntimeDir == "" {
		o.RuntimeDir = cmp.Or(os.Getenv("RUNTIME_DIRECTORY"), os.TempDir())
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 128 << 20
	}
	orDefault(&o.HeartbeatEvery, 100*time.Millisecond)
	orDefault(&o.ElectionAfter, time.Second)
	orDefault(&o.CheckEvery, time.Second)
	orDefault(&o.VerifyEvery, time.Minute)
	orDefault(&o.RequestTimeout, 10*time.Second)
	orDefault(&o.ProbeEvery, 3*time.Second)
	orDefault(&o.DialTimeout, 2*time.Second)
	orDefault(&o.AskTimeout, 2*time.Second)
	if o.FailuresMax == 0 {
		o.FailuresMax = 3
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// identified is the default of Usable: the drive's identity file is there, and of that drive.
func identified(h Host) error {
	b, err := os.ReadFile(filepath.Join(h.Path, "sherd.json"))
	if err != nil {
		return err
	}
	var id struct{ Drive ids.Drive }
	if err := json.Unmarshal(b, &id); err != nil {
		return fmt.Errorf("member: %s: damaged sherd.json: %w", h.Path, err)
	}
	if id.Drive != h.Drive {
		return fmt.Errorf("member: %s has drive %s now", h.Path, id.Drive)
	}
	return nil
}

// selfExe is this program as it was started, also after an upgrade has put another in its place or removed it.
const selfExe = "/proc/self/exe"

func orDefault(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}
