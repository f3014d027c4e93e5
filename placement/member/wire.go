package member

import (
	"go.etcd.io/etcd/client/pkg/v3/types"
)

// The supervisor writes one JSON command a line to the child's standard input, and reads one JSON event a line from its
// standard output. When its input ends, the child does.

// settings is the first line the child gets.
type settings struct {
	MemoryBytes int64 `json:"memoryBytes,omitempty"` // Go's soft limit; 0: none
	HeartbeatMs uint  `json:"heartbeatMs"`
	ElectionMs  uint  `json:"electionMs"`
	// Dir is the working directory, with the sockets: removed when the child ends because its parent did.
	Dir string `json:"dir"`
}

// command asks for one thing: the field that is set.
type command struct {
	Start *spec  `json:"start,omitempty"`
	Stop  string `json:"stop,omitempty"` // a member's name
	Keep  bool   `json:"keep,omitempty"` // the directory of sockets, when the end of input follows: the parent lives
}

// spec is what a member is started with.
type spec struct {
	Name  string   `json:"name"`
	Dir   string   `json:"dir"`   // its data directory, absolute
	Token string   `json:"token"` // the same for all members of one etcd cluster, and no other
	Peers []string `json:"peers"` // names of all members, this one included
	Mode  mode     `json:"mode"`
}

// mode says in what way a member starts.
type mode string

const (
	modeForm  mode = "form"  // the first start of a new etcd cluster
	modeRun   mode = "run"   // again, or as a member that was just added
	modeAlone mode = "alone" // as the only member of a new generation: all others are forgotten
)

// event is what the child reports.
type event struct {
	Event  string `json:"event"`
	Member string `json:"member,omitempty"`
	Error  string `json:"error,omitempty"`
}

const (
	eventStarting = "starting" // from here to ready or failed, the end of the process is this member's doing
	eventStarted  = "started"  // its data is read, it is looking for the others
	eventReady    = "ready"    // it is in touch with a leader and serves
	eventFailed   = "failed"   // it has ended by itself; the process may end with it
	eventStopped  = "stopped"  // it was told to
)

// peerURL and clientURL name a member's sockets. They are relative to the child's working directory, so they stay the same
// wherever that is, and below the 108 bytes that a socket's path may have. etcd takes what follows unix:// as
// host:port, and the transport underneath wants the port: hence the ":1".
func peerURL(name string) string   { return "unix://" + peerSocket(name) }
func clientURL(name string) string { return "unix://" + clientSocket(name) }

func peerSocket(name string) string   { return name + ":1" }
func clientSocket(name string) string { return name + ":2" }

// initialCluster is what etcd wants to know of the peers.
func initialCluster(names []string) string {
	urls := types.URLsMap{}
	for _, n := range names {
		urls[n] = types.MustNewURLs([]string{peerURL(n)})
	}
	return urls.String()
}
