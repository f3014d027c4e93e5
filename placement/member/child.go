package member

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	quotaBytes       = 1 << 30 // the control state is a few MiB; the quota also sizes a mapping
	walSegmentBytes  = 4 << 20 // preallocated twice by each member
	snapshotEvery    = 5000    // entries: each member keeps as many in memory
	catchUpEntries   = 1000
	historyRevisions = "5000" // what a watch can go back; then it loads again
	txnOpsMax        = 1024
	learnersMax      = 8 // nodes add members at the same time; it must be the same in all of a cluster's members
	exitMemberFailed = 3
)

// RunChild runs etcd members as in tells until in ends, which it does when the supervisor ends. Sockets are made in the
// working directory. It returns only errors of in; a member's failure ends the process after it is reported, because
// etcd cannot stop a member whose disk fails without stopping the world: the supervisor starts the others again.
func RunChild(in io.Reader, out, log io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return fmt.Errorf("member: no settings on standard input: %w", lines.Err())
	}
	var set settings
	if err := json.Unmarshal(lines.Bytes(), &set); err != nil {
		return fmt.Errorf("member: settings: %w", err)
	}
	if set.MemoryBytes > 0 {
		debug.SetMemoryLimit(set.MemoryBytes)
	}
	debug.SetGCPercent(50)
	wal.SegmentSizeBytes = walSegmentBytes // etcd has no option for it, and this process is etcd's alone
	c := &child{set: set, out: out, log: log, running: map[string]*embed.Etcd{}, queues: map[string][]func(){}}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE) // or the first line of log after the parent's death would be the end, with no tidying up
	ended := make(chan error, 1)
	go func() { ended <- c.commands(lines) }()
	var err error
	select {
	case <-term: // the parent died
	case err = <-ended:
	}
	c.stopAll()
	if !c.keep.Load() {
		removeSockets(set.Dir)
	}
	return err
}

// child is the state of the etcd process.
type child struct {
	set  settings
	log  io.Writer
	keep atomic.Bool // command.Keep

	starts sync.Mutex // held by the member that starts

	mu      sync.Mutex
	out     io.Writer
	running map[string]*embed.Etcd
	queues  map[string][]func() // of each member that has something to do: what comes after that
}

// commands carries out what comes in until there is no more. Starts come one after another, so that the end of the process
// can be laid at the door of one; a stop, which can take seconds, holds nobody up but what comes after it for its member.
func (c *child) commands(lines *bufio.Scanner) error {
	for lines.Scan() {
		var cmd command
		if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
			return fmt.Errorf("member: command: %w", err)
		}
		switch {
		case cmd.Start != nil:
			c.enqueue(cmd.Start.Name, func() { c.start(*cmd.Start) })
		case cmd.Stop != "":
			c.enqueue(cmd.Stop, func() { c.stop(cmd.Stop) })
		case cmd.Keep:
			c.keep.Store(true)
		}
	}
	return lines.Err()
}

// enqueue has what concerns one member done one after another. An etcd that closes still has the names of its sockets, and
// removes them: the next one under its name must not have made its own yet. And one that still reads its data cannot be
// stopped before it has.
func (c *child) enqueue(name string, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue, busy := c.queues[name]
	c.queues[name] = append(queue, do)
	if !busy {
		go c.work(name)
	}
}

// work does what is in a member's queue until there is nothing left.
func (c *child) work(name string) {
	for {
		c.mu.Lock()
		queue := c.queues[name]
		if len(queue) == 0 {
			delete(c.queues, name)
			c.mu.Unlock()
			return
		}
		c.queues[name] = queue[1:]
		c.mu.Unlock()
		queue[0]()
	}
}

func (c *child) report(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, _ := json.Marshal(e) // strings only
	c.out.Write(append(b, '\n'))
}

// start starts a member and reports how it goes. It returns when the member has read its data.
func (c *child) start(s spec) {
	c.mu.Lock()
	twice := c.running[s.Name] != nil
	c.mu.Unlock()
	if twice { // another etcd on the same files would wait for them for ever, and take the sockets meanwhile
		return
	}
	c.starts.Lock()
	defer c.starts.Unlock()
	c.report(event{Event: eventStarting, Member: s.Name})
	_, err := os.Stat(filepath.Dir(s.Dir)) // etcd would make a drive's directory again that was just taken away
	if err == nil && s.Mode == modeAlone {
		err = commitAll(s.Dir)
	}
	var e *embed.Etcd
	if err == nil {
		e, err = embed.StartEtcd(c.config(s))
	}
	if err != nil {
		c.report(event{Event: eventFailed, Member: s.Name, Error: err.Error()})
		return
	}
	c.mu.Lock()
	c.running[s.Name] = e
	c.mu.Unlock()
	c.report(event{Event: eventStarted, Member: s.Name})
	go c.watch(s.Name, e)
}

// watch reports that a member is ready, and that it has ended by itself.
func (c *child) watch(name string, e *embed.Etcd) {
	select {
	case <-e.Server.ReadyNotify():
		c.enqueue(name, func() {
			if c.runs(name, e) {
				c.report(event{Event: eventReady, Member: name})
			}
		})
	case <-e.Server.StopNotify():
	}
	var reason string
	select {
	case err := <-e.Err():
		reason = fmt.Sprint(err)
	case <-e.Server.StopNotify():
		reason = "it has ended, as one does that the others removed"
	}
	c.enqueue(name, func() {
		if c.runs(name, e) { // else it ended because it was told to
			c.report(event{Event: eventFailed, Member: name, Error: reason})
			c.end(name)
		}
	})
}

// runs reports whether e is not being stopped.
func (c *child) runs(name string, e *embed.Etcd) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[name] == e
}

func (c *child) stop(name string) {
	c.end(name)
	c.report(event{Event: eventStopped, Member: name})
}

// end ends a member, if it runs, and returns when it has closed everything.
func (c *child) end(name string) {
	c.mu.Lock()
	e := c.running[name]
	delete(c.running, name)
	c.mu.Unlock()
	if e != nil {
		e.Server.HardStop() // without handing leadership over: its disk may be what is wrong with it
		e.Close()
	}
}

// stopAll stops the members at once, not one after another: each would look for a new leader meanwhile.
func (c *child) stopAll() {
	done := make(chan struct{})
	c.mu.Lock()
	running := c.running
	c.running = map[string]*embed.Etcd{}
	var g sync.WaitGroup
	for _, e := range running {
		g.Go(func() {
			e.Server.HardStop()
			for _, l := range e.Clients {
				l.Close() // removes the socket
			}
		})
	}
	c.mu.Unlock()
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second): // what is acknowledged is synced: nothing is lost
	}
}

func (c *child) config(s spec) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = s.Name, s.Dir
	known, here := s.addresses()
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls(peerURL(here)), urls(peerURL(known))
	if known != here { // until etcd knows better, the others look for it there
		cfg.ListenPeerUrls = urls(peerURL(here), peerURL(known))
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls(clientURL(s.Name)), urls(advertised(s.Drive))
	cfg.InitialCluster, cfg.InitialClusterToken = initialCluster(s.Peers), s.Token
	cfg.ClusterState = embed.ClusterStateFlagExisting
	if s.Mode == modeForm {
		cfg.ClusterState = embed.ClusterStateFlagNew
	}
	cfg.ForceNewCluster = s.Mode == modeAlone
	cfg.MaxLearners = learnersMax

	cfg.TickMs, cfg.ElectionMs = c.set.HeartbeatMs, c.set.ElectionMs
	cfg.PreVote = true
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = snapshotEvery, catchUpEntries
	cfg.MaxSnapFiles, cfg.MaxWalFiles = 2, 2
	cfg.QuotaBackendBytes = quotaBytes
	cfg.MaxTxnOps = txnOpsMax
	cfg.StrictReconfigCheck = false // the supervisor checks; etcd's own check makes every addition wait for 5 s
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModeRevision, historyRevisions
	cfg.EnableGRPCGateway = false
	cfg.WarningApplyDuration, cfg.WarningUnaryRequestDuration = 2*time.Second, 5*time.Second
	cfg.Logger, cfg.LogLevel = "zap", "warn"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(c.logger(s.Name))
	return cfg
}

func urls(raw ...string) (all []url.URL) {
	for _, r := range raw {
		u, err := url.Parse(r)
		if err != nil {
			panic("member: " + err.Error()) // addresses have a form that is checked
		}
		all = append(all, *u)
	}
	return all
}

// logger writes warnings and worse as JSON lines. What etcd calls fatal is reported as this member's failure first.
func (c *child) logger(name string) *zap.Logger {
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		MessageKey: "msg", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeDuration: zapcore.StringDurationEncoder,
	})
	core := zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(c.log)), zap.WarnLevel)
	hooked := zapcore.RegisterHooks(core, func(e zapcore.Entry) error {
		if e.Level >= zapcore.PanicLevel {
			c.report(event{Event: eventFailed, Member: name, Error: e.Message})
		}
		return nil
	})
	return zap.New(hooked, zap.WithFatalHook(exitHook{})).With(zap.String("member", name))
}

// exitHook ends the process with a code that tells that the reason was reported.
type exitHook struct{}

func (exitHook) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) { os.Exit(exitMemberFailed) }
