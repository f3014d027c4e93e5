package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
)

// Supervisor keeps the embedded etcd running in a child process. All methods may run together.
type Supervisor struct {
	opt     Options
	dir     string   // of the sockets
	dirFile *os.File // the same, open
	client  *clientv3.Client

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup
	closed sync.Once

	reconcile chan struct{} // wakes the membership loop; capacity 1

	mu                sync.Mutex
	hosts             map[ids.Drive]Host
	want              []ids.Drive
	truth             *record         // the newest record: who is a member
	lost              map[string]loss // members that must not run
	failures          map[string]int  // starts in a row that failed
	ready             []string        // members that serve, the one to be dialled next first
	proc              *process
	dialled           string          // the member that was connected to last
	trusted           []string        // members that serve and have the content that a majority has
	verified          time.Time       // when that was found out
	starting          map[string]bool // members that were told to start again and have not answered
	started           map[string]bool // members that have read their data; ready or about to be
	recovering        bool            // the child is not to be started
	starts            int             // of the child, for backoff and status
	changed           chan struct{}   // closed and replaced when anything above changes
	conns             map[*conn]struct{}
	swept             bool                  // etcd's members were compared with the records
	asked, settledFor int                   // Reconcile's calls, and those that are done
	settleErr         error                 // of the last try
	retry             map[ids.Drive]attempt // drives that could not take a member
	inspecting        map[string]bool       // members whose drive has not answered the last check
}

// Start reads what members the drives have, starts them, and returns when a quorum serves; or makes a new etcd cluster
// when Bootstrap allows it. ctx matters no longer then.
//
// Errors: ErrNoMembers, ErrNoQuorum, ctx's, and the system's.
func Start(ctx context.Context, opt Options) (*Supervisor, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opt.RuntimeDir, "sherd-etcd-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("member: directory for sockets: %w", err)
	}
	dirFile, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("member: directory for sockets: %w", err)
	}
	s := &Supervisor{
		opt: opt, dir: dir, dirFile: dirFile,
		reconcile: make(chan struct{}, 1),
		hosts:     make(map[ids.Drive]Host), want: slices.Clone(opt.Want),
		lost: make(map[string]loss), failures: make(map[string]int),
		retry: make(map[ids.Drive]attempt), inspecting: make(map[string]bool), started: make(map[string]bool), starting: make(map[string]bool),
		changed: make(chan struct{}), conns: make(map[*conn]struct{}),
	}
	for _, h := range opt.Drives {
		s.hosts[h.Drive] = h
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.begin(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Supervisor) begin(ctx context.Context) (err error) {
	if s.client, err = s.newClient(); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	if err := s.ensureQuorum(); err != nil {
		return err
	}
	s.done.Add(1)
	go s.keepRunning()
	if err := s.awaitQuorum(ctx); err != nil {
		return err
	}
	if err := s.settleStart(ctx); err != nil {
		return err
	}
	s.awaitAll(ctx)
	s.look(ctx)
	s.done.Add(1)
	go s.keepMembers()
	return nil
}

// load finds the truth among the records, or begins a new cluster.
func (s *Supervisor) load() error {
	newest := s.newestRecord()
	if newest == nil {
		if !s.opt.Bootstrap {
			return ErrNoMembers
		}
		return s.form()
	}
	s.truth = newest.clone()
	if s.truth.Forming && !s.anyData() { // the first start was cut short before any member ran
		return s.writeTruth()
	}
	s.want = s.want[:0:0] // the members stay where they are, until Reconcile
	for _, p := range s.truth.Peers {
		if p.State != peerLeaving {
			s.want = append(s.want, p.Drive)
		}
	}
	s.inspectAll()
	return nil
}

// newestRecord is the newest on the drives; nil if there is none of a control state that still counts.
func (s *Supervisor) newestRecord() (newest *record) {
	for _, h := range s.opt.Drives {
		r, err := s.readRecord(h)
		switch {
		case err == nil:
			if newest == nil || r.newer(newest) {
				newest = r
			}
		case !errors.Is(err, errNoRecord):
			s.opt.Logger.Warn("etcd member record not used", "path", recordPath(h.Path), "error", err)
		}
	}
	return newest
}

// inspectAll finds the members that cannot run.
func (s *Supervisor) inspectAll() {
	for _, p := range s.truth.Peers {
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
		if h, ok := s.hosts[p.Drive]; ok && hasData(h.Path, p.Name) {
			return true
		}
	}
	return false
}

// form writes the records of a new etcd cluster; its members have no data yet.
func (s *Supervisor) form() error {
	r := &record{Version: recordVersion, Cluster: s.opt.Cluster, Token: newName(), Generation: 1, Serial: 1, Forming: true, Control: s.opt.Control}
	for _, id := range s.want {
		h, ok := s.hosts[id]
		if !ok {
			return fmt.Errorf("member: drive %s is wanted but not there", id)
		}
		if err := os.RemoveAll(filepath.Join(h.Path, etcdDir)); err != nil {
			return err
		}
		r.Peers = append(r.Peers, peer{Name: newName(), Drive: id, State: peerVoter})
	}
	if len(r.Peers) == 0 {
		return errors.New("member: no drive is wanted to have a member")
	}
	s.truth = r
	return s.writeTruth()
}

// startable are the members that can run.
func (s *Supervisor) startable() (names []string) {
	for _, p := range s.truth.Peers {
		if s.lost[p.Name] == (loss{}) && p.State != peerLeaving {
			names = append(names, p.Name)
		}
	}
	return names
}

// quorate reports whether have members are enough, joining ones counted either way.
func (s *Supervisor) quorate(names []string) bool {
	voters, all, haveVoters, haveAll := s.count(names)
	return haveVoters > voters/2 && haveAll > all/2
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
		s.done.Wait()
		if s.client != nil {
			s.client.Close()
		}
		s.dirFile.Close()
		os.RemoveAll(s.dir)
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
	Name   string
	Drive  ids.Drive
	Path   string // of the drive; empty if it is not there
	Ready  bool
	Reason string // why it is not running
}

// Members lists the members in the order they were added.
func (s *Supervisor) Members() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, p := range s.truth.Peers {
		all = append(all, Status{
			Name: p.Name, Drive: p.Drive, Path: s.hosts[p.Drive].Path,
			Ready: slices.Contains(s.ready, p.Name), Reason: s.lost[p.Name].reason,
		})
	}
	return all
}

const (
	restartWaitMin = 50 * time.Millisecond
	restartWaitMax = 5 * time.Second
)
