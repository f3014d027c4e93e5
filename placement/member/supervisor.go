package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
)

// Supervisor keeps the embedded etcd running in a child process. All methods may run together.
type Supervisor struct {
	opt     Options
	dir     string           // of the sockets
	dirFile *os.File         // the same, open
	client  *clientv3.Client // connected by inside
	inside  *dialer          // for the supervisor's own questions
	clients *dialer          // for all others
	tunnels *tunnels

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup
	closed sync.Once

	reconcile chan struct{} // wakes the membership loop; capacity 1

	mu                sync.Mutex
	hosts             map[ids.Drive]Host
	want              []ids.Drive
	truth             *record              // the newest record: who is a member
	lost              map[string]loss      // members that must not run
	failures          map[string]int       // starts in a row that failed
	ready             []string             // this node's members that serve
	remote            map[string]bool      // members of other nodes that served when they were last asked
	avoids            map[target]time.Time // when a client had no answer from it
	ways              map[address]*way
	former            string // this node's name in the records, if renamed
	renamed           bool   // ... and it is not Options.Node
	unwritten         bool   // the truth is not on the drives as it should be
	proc              *process
	trusted           []string              // members that serve and have the content that a majority has
	verified          time.Time             // when that was found out
	starting          map[string]bool       // members that were told to start again and have not answered
	started           map[string]bool       // members that have read their data; ready or about to be
	adding            map[string]bool       // members that etcd is not sure to know yet: not to be started
	recovering        bool                  // the child is not to be started
	starts            int                   // of the child, for backoff and status
	changed           chan struct{}         // closed and replaced when anything above changes
	learned           bool                  // etcd's members were compared with the records since the start
	asked, settledFor int                   // Reconcile's calls, and those that are done
	settleErr         error                 // of the last try
	retry             map[ids.Drive]attempt // drives that could not take a member
	asking            map[Host]bool         // drives without a member that have not answered whether they can take one
	inspecting        map[string]bool       // members whose last check is not over: their drive hangs
}

// Start is New and the supervisor's Start in one, for where no other node has to be let in meanwhile.
func Start(ctx context.Context, opt Options) (*Supervisor, error) {
	s, err := New(opt)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// New makes a supervisor that runs nothing yet. Its Accept is to be called from now on, so that the nodes of a cluster that
// all start find each other. It is to be closed.
func New(opt Options) (*Supervisor, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	dirFile, err := makeSockets(opt.RuntimeDir)
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		opt: opt, dir: dirFile.Name(), dirFile: dirFile,
		reconcile: make(chan struct{}, 1),
		hosts:     make(map[ids.Drive]Host), want: slices.Clone(opt.Want), truth: &record{},
		lost: make(map[string]loss), failures: make(map[string]int),
		retry: make(map[ids.Drive]attempt), inspecting: make(map[string]bool), asking: make(map[Host]bool), started: make(map[string]bool), starting: make(map[string]bool),
		changed: make(chan struct{}), remote: make(map[string]bool), avoids: make(map[target]time.Time),
		adding: make(map[string]bool), ways: make(map[address]*way), tunnels: newTunnels(),
	}
	s.inside, s.clients = newDialer(s), newDialer(s)
	for _, h := range opt.Drives {
		s.hosts[h.Drive] = h
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Start reads what members the drives have, starts them, and returns when a quorum serves; or makes a new etcd cluster
// when Bootstrap or Found has it so. Members of other nodes are waited for until ctx ends. ctx matters no longer then.
// It is called once; after an error only Close may follow.
//
// Errors: ErrNoMembers, ErrNoQuorum, ErrFounding, ctx's, and the system's.
func (s *Supervisor) Start(ctx context.Context) (err error) {
	if s.client, err = s.newClient(s.inside.dial); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	if err := s.openWays(); err != nil {
		return err
	}
	if err := s.consult(ctx); err != nil {
		return err
	}
	if err := s.ensureQuorum(); err != nil {
		return err
	}
	s.done.Go(s.keepRunning)
	if err := s.awaitServing(ctx); err != nil {
		return err
	}
	if err := s.settleStart(ctx); err != nil {
		return err
	}
	s.awaitAll(ctx)
	s.look(ctx)
	s.done.Go(s.keepMembers)
	if s.opt.Dial != nil {
		s.done.Go(s.keepProbing)
	}
	return nil
}

// load finds the truth among the records, or begins a new cluster.
func (s *Supervisor) load() error {
	newest := s.newestRecord()
	switch {
	case newest != nil:
	case s.opt.Bootstrap || len(s.opt.Found) > 0:
		return s.form()
	case len(s.opt.Seeds) > 0: // the other nodes have all members: they will tell
		s.setTruth(&record{Cluster: s.opt.Cluster, Node: s.opt.Node, Token: NewName(), Generation: 1, Control: s.opt.Control})
		s.want = nil
		return nil
	default:
		return ErrNoMembers
	}
	s.setTruth(newest.clone())
	if err := s.checkFounding(); err != nil {
		return err
	}
	s.want = s.want[:0:0] // the members stay where they are, until Reconcile
	for _, p := range s.truth.Peers {
		if p.State != peerLeaving && s.own(p) {
			s.want = append(s.want, p.Drive)
		}
	}
	if s.truth.Forming && !s.anyData() { // the first start was cut short before any member ran
		return s.writeTruth()
	}
	s.inspectAll()
	return nil
}

// setTruth begins with r: this node is what r calls it, or has another name now.
func (s *Supervisor) setTruth(r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opt.Node == "" {
		s.opt.Node = r.Node
	}
	s.truth, s.former, s.renamed = r, r.Node, r.Node != s.opt.Node
}

// newestRecord is the newest on the drives; nil if there is none of this node and of a control state that still counts. Those
// of another node are this one's where that had all members and the caller says that there is no other: it has a new name.
func (s *Supervisor) newestRecord() *record {
	var newest, others *record
	for _, h := range s.opt.Drives {
		r, err := s.readRecord(h)
		switch {
		case errors.Is(err, errNoRecord):
		case err != nil:
			s.opt.Logger.Warn("etcd member record not used", "path", recordPath(h.Path), "error", err)
		case s.opt.Node == "" || r.Node == "" || r.Node == s.opt.Node:
			newest = newer(newest, r)
		default:
			others = newer(others, r)
		}
	}
	if newest != nil || others == nil {
		return newest
	}
	spread := slices.ContainsFunc(others.Peers, func(p peer) bool { return p.Node != others.Node && p.Node != s.opt.Node })
	if spread || !s.opt.Sole {
		s.opt.Logger.Warn("etcd member records are of another node, and not used", "node", others.Node)
		return nil
	}
	return others
}

func newer(a, b *record) *record {
	if a == nil || b.newer(a) {
		return b
	}
	return a
}

// inspectAll finds the members that cannot run.
func (s *Supervisor) inspectAll() {
	for _, p := range s.truth.Peers {
		if !s.own(p) {
			continue
		}
		h, ok := s.hosts[p.Drive]
		if l := s.inspect(h, ok, p, s.truth.Generation, s.truth.Forming); l != (loss{}) {
			s.lost[p.Name] = l
		}
	}
}

// readRecord reads a drive's record, where the drive is usable.
func (s *Supervisor) readRecord(h Host) (*record, error) {
	if err := s.opt.Usable(h); err != nil {
		return nil, err
	}
	r, err := readRecord(h, s.opt.Cluster)
	if err == nil && r.control() < s.opt.Control {
		return nil, fmt.Errorf("%w: generation %d of the control state, now %d", errOutlived, r.control(), s.opt.Control)
	}
	return r, err
}

func (s *Supervisor) anyData() bool {
	for _, p := range s.truth.Peers {
		if h, ok := s.hosts[p.Drive]; ok && s.own(p) && hasData(h.Path, p.Name) {
			return true
		}
	}
	return false
}

// startable are this node's members that can run. Where other nodes have members too, one that leaves runs until etcd has
// removed it: others may be leaving elsewhere.
func (s *Supervisor) startable() (names []string) {
	spread := s.spread()
	for _, p := range s.truth.Peers {
		if s.own(p) && s.lost[p.Name] == (loss{}) && (p.State != peerLeaving || spread) {
			names = append(names, p.Name)
		}
	}
	return names
}

// serving are the members that serve, on this node and on others, as far as is known. s.mu is held.
func (s *Supervisor) serving() (names []string) {
	for _, p := range s.truth.Peers {
		if slices.Contains(s.ready, p.Name) || !s.own(p) && s.remote[p.Name] {
			names = append(names, p.Name)
		}
	}
	return names
}

// quorate reports whether these members are enough, joining ones counted either way: they may have a vote already. Not so
// where other nodes have members, and what counts is what etcd says. s.mu is held.
func (s *Supervisor) quorate(names []string) bool {
	voters, all, haveVoters, haveAll := s.count(names)
	return haveVoters > voters/2 && (haveAll > all/2 || s.spread())
}

func (s *Supervisor) count(names []string) (voters, all, haveVoters, haveAll int) {
	for _, p := range s.truth.Peers {
		all++
		have := slices.Contains(names, p.Name)
		if have {
			haveAll++
		}
		if p.State != peerJoining {
			voters++
			if have {
				haveVoters++
			}
		}
	}
	return voters, all, haveVoters, haveAll
}

// notify wakes all who wait for a change. s.mu is held.
func (s *Supervisor) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until cond, called with s.mu held, is true. Errors: ctx's, ErrClosed.
func (s *Supervisor) await(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return ErrClosed
		}
	}
}

func (s *Supervisor) awaitQuorum(ctx context.Context) error {
	err := s.await(ctx, func() bool { return s.quorate(s.ready) })
	if err != nil {
		return fmt.Errorf("member: waiting for etcd: %w", err)
	}
	return nil
}

// awaitAll gives the members that can run a moment to be ready together, so that a damaged one is found before any client
// could ask it.
func (s *Supervisor) awaitAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	s.await(ctx, func() bool { return len(s.ready) >= len(s.startable()) }) // later ones are compared when they come
}

// settleStart ends the states that only a start has: forming, and going on alone.
func (s *Supervisor) settleStart(ctx context.Context) error {
	s.mu.Lock()
	forming, alone := s.truth.Forming, s.truth.Alone
	s.mu.Unlock()
	if !forming && !alone {
		return nil
	}
	if forming { // each has its data now, or is lost
		err := s.await(ctx, func() bool { return len(s.ready) == len(s.startable()) })
		if err != nil {
			return fmt.Errorf("member: waiting for all members: %w", err)
		}
	}
	return s.change(func(r *record) { r.Forming, r.Alone = false, false })
}

// Close stops the child and waits. The members go on where they were when Start is called again.
func (s *Supervisor) Close() error {
	s.closed.Do(func() {
		s.cancel()
		s.closeWays()
		s.tunnels.close()
		s.done.Wait()
		if s.client != nil {
			s.client.Close()
		}
		os.RemoveAll(s.dir)
		s.dirFile.Close()
	})
	return nil
}

// Pid is the child's process id; 0 if it is not running.
func (s *Supervisor) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// Status is what is known of one member.
type Status struct {
	Name    string
	Node    string    // empty in a cluster of one node without a name
	Drive   ids.Drive // zero for one of another node that has not started yet
	Path    string    // of the drive; empty if it is not there, or on another node
	Ready   bool      // on another node: when it was last asked
	Joining bool      // it has no vote yet
	Reason  string    // why it is not running
}

// Members lists the members of all nodes, this one's in the order in which they were added.
func (s *Supervisor) Members() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, p := range s.truth.Peers {
		st := Status{Name: p.Name, Node: p.Node, Drive: p.Drive, Joining: p.State == peerJoining}
		if s.own(p) {
			st.Node, st.Path = s.opt.Node, s.hosts[p.Drive].Path
			st.Ready, st.Reason = slices.Contains(s.ready, p.Name), s.lost[p.Name].reason
			if !st.Ready && st.Reason == "" {
				st.Reason = "it does not run"
				if s.proc != nil && !s.adding[p.Name] && slices.Contains(s.startable(), p.Name) {
					st.Reason = "it is starting"
				}
			}
		} else if st.Ready = s.remote[p.Name]; !st.Ready {
			st.Reason = "it does not answer from here"
		}
		all = append(all, st)
	}
	return all
}

const (
	restartWaitMin = 50 * time.Millisecond
	restartWaitMax = 5 * time.Second
)
