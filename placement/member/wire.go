package member

import (
	"regexp"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"

	"github.com/sherd-io/sherd/internal/ids"
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
	Name  string    `json:"name"`
	Dir   string    `json:"dir"`            // its data directory, absolute
	Token string    `json:"token"`          // the same for all members of one etcd cluster, and no other
	Peers []string  `json:"peers"`          // addresses of all members as etcd knows them, this one included
	Node  string    `json:"node,omitempty"` // where it is: etcd may know it under a former name of the node
	Drive ids.Drive `json:"drive"`
	Mode  mode      `json:"mode"`
}

// addresses are where etcd knows the member, and where it is: the same but after the node was given another name.
func (s *spec) addresses() (known, here address) {
	here = address{s.Name, s.Node}
	for _, p := range s.Peers {
		if a, ok := parseAddress(p); ok && a.name == s.Name {
			return a, here
		}
	}
	return here, here
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

// address is where a member is found: its name and, after a dot, the node that it is on. It names the member's socket for
// its peers and stands in its peer URL, so that etcd's own list tells on which node each member is. It has no node where the
// member was made by a node that was alone and did not say its name.
type address struct{ name, node string }

var addressForm = regexp.MustCompile(`^(m[0-9a-f]{12})(?:\.([a-z0-9-]{1,63}))?$`)

// parseAddress is the inverse of String.
func parseAddress(s string) (a address, ok bool) {
	m := addressForm.FindStringSubmatch(s)
	if m == nil {
		return address{}, false
	}
	return address{m[1], m[2]}, true
}

// String is at most 77 bytes long, so that a socket of this name has a path even where the directory's is long.
func (a address) String() string {
	if a.node == "" {
		return a.name
	}
	return a.name + "." + a.node
}

// peerURL and clientURL name a member's sockets. They are relative to the child's working directory, so they stay the same
// wherever that is, and below the 108 bytes that a socket's path may have. etcd takes what follows unix:// as
// host:port, and the transport underneath wants the port: hence the ":1".
func peerURL(a address) string     { return urlScheme + peerSocket(a) }
func clientURL(name string) string { return urlScheme + clientSocket(name) }
func peerSocket(a address) string  { return a.String() + peerPort }
func clientSocket(n string) string { return n + ":2" }

// advertised is the client URL that etcd's list shows: nobody dials it, but it tells which drive the member is on.
func advertised(id ids.Drive) string { return urlScheme + id.String() + ":2" }

const (
	urlScheme = "unix://"
	peerPort  = ":1"
)

// seen is a member as etcd lists it.
type seen struct {
	peer
	id uint64
}

// seenOf reads etcd's description of a member. The drive is known once it has started.
func seenOf(m *etcdserverpb.Member) seen {
	s := seen{peer{Name: m.Name, State: peerVoter}, m.ID}
	if m.IsLearner {
		s.State = peerJoining
	}
	for _, u := range m.PeerURLs {
		host, _ := strings.CutPrefix(u, urlScheme)
		if a, ok := parseAddress(strings.TrimSuffix(host, peerPort)); ok {
			s.Name, s.Node = a.name, a.node
		}
	}
	for _, u := range m.ClientURLs {
		host, _ := strings.CutPrefix(u, urlScheme)
		if err := s.Drive.UnmarshalText([]byte(strings.TrimSuffix(host, ":2"))); err != nil {
			s.Drive = ids.Drive{} // a member of before, which has not started since
		}
	}
	return s
}

func allSeen(members []*etcdserverpb.Member) (all []seen) {
	for _, m := range members {
		all = append(all, seenOf(m))
	}
	return all
}

// initialCluster is what etcd wants to know of the peers.
func initialCluster(peers []string) string {
	urls := types.URLsMap{}
	for _, p := range peers {
		if a, ok := parseAddress(p); ok {
			urls[a.name] = types.MustNewURLs([]string{peerURL(a)})
		}
	}
	return urls.String()
}
