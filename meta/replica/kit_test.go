package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// memLog is a Log whose crash takes what was not acknowledged, or only a part of it.
type memLog struct {
	mu      sync.Mutex
	recs    [][]byte // of segment i/perSegment+1
	low     int      // released below
	per     int
	queue   chan memAppend
	stopped chan struct{}
	once    sync.Once
	fail    error
	hang    chan struct{} // not nil: appends wait for it
}

type memAppend struct {
	recs [][]byte
	done func([]Pos, error)
}

// recordBytesMax is what a segment of a drive's log holds.
const recordBytesMax = 16 << 20

func newMemLog(recs [][]byte, low int) *memLog {
	l := &memLog{recs: recs, low: low, per: 64, queue: make(chan memAppend, 16), stopped: make(chan struct{})}
	go l.run()
	return l
}

func (l *memLog) run() {
	for {
		select {
		case a := <-l.queue:
			l.mu.Lock()
			hang := l.hang
			l.mu.Unlock()
			if hang != nil {
				<-hang
			}
			a.done(l.write(a.recs))
		case <-l.stopped:
			return
		}
	}
}

func (l *memLog) write(recs [][]byte) ([]Pos, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, l.fail
	}
	var pos []Pos
	for _, r := range recs {
		if len(r) > recordBytesMax {
			return nil, fmt.Errorf("a record of %d bytes", len(r))
		}
		pos = append(pos, l.pos(len(l.recs), len(r)))
		l.recs = append(l.recs, append([]byte(nil), r...))
	}
	return pos, nil
}

func (l *memLog) pos(i, bytes int) Pos {
	return Pos{Segment: uint64(i/l.per + 1), Offset: uint32(i % l.per), Bytes: uint32(bytes)}
}

func (l *memLog) Append(recs [][]byte, done func([]Pos, error)) {
	select {
	case l.queue <- memAppend{recs, done}:
	case <-l.stopped:
	}
}

func (l *memLog) Read(p Pos) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := int(p.Segment-1)*l.per + int(p.Offset)
	if i < l.low || i >= len(l.recs) {
		return nil, fmt.Errorf("no record at %v", p)
	}
	return append([]byte(nil), l.recs[i]...), nil
}

func (l *memLog) Scan(fn func(Pos, []byte) error) error {
	for i := l.low; i < len(l.recs); i++ {
		if err := fn(l.pos(i, len(l.recs[i])), l.recs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *memLog) Release(n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.low = max(l.low, int(n-1)*l.per)
	for i := range l.recs[:l.low] {
		l.recs[i] = nil
	}
	return nil
}

func (l *memLog) close() { l.once.Do(func() { close(l.stopped) }) }

// crash returns the log as it is after a power cut.
func (l *memLog) crash() *memLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return newMemLog(append([][]byte(nil), l.recs...), l.low)
}

// drive is one drive of a test cluster.
type drive struct {
	id    ids.Drive
	fs    *vfs.MemFS
	log   *memLog
	rows  *pebble.DB
	host  *Host
	found int    // by tryOpen: replicas
	flush func() // before rows are flushed
}

// cluster is one range's replicas in one process, one a drive.
type cluster struct {
	t      testing.TB
	mesh   *Mesh
	net    *network
	clock  *hlc.Clock
	rng    *rand.Rand
	drives []*drive
	span   state.Span
	opt    Options // template
}

const testRange ids.Range = 1

func newCluster(t testing.TB, n int, seed uint64, opt Options) *cluster {
	t.Helper()
	c := &cluster{
		t: t, mesh: NewMesh(), clock: hlc.New(nil), rng: rand.New(rand.NewPCG(seed, 1)),
		span: state.Span{ID: testRange}, opt: opt,
	}
	c.net = &network{mesh: c.mesh}
	if c.opt.Tick == 0 {
		c.opt.Tick = 20 * time.Millisecond
	}
	c.opt.Mesh, c.opt.Transport, c.opt.Clock, c.opt.Batches = c.mesh, c.net, c.clock, NewBatches()
	for range n {
		c.drives = append(c.drives, &drive{id: ids.NewDrive(), fs: vfs.NewCrashableMem(), log: newMemLog(nil, 0)})
	}
	for i := range c.drives {
		c.open(i)
	}
	t.Cleanup(c.close)
	return c
}

// begin makes the range with all drives as voters, and has the first campaign.
func (c *cluster) begin() {
	c.t.Helper()
	voters := make([]ids.Replica, len(c.drives))
	for i := range voters {
		voters[i] = ids.Replica(i + 1)
	}
	for i, d := range c.drives {
		check(c.t, d.host.Create(c.ctx(), Spec{
			Range: testRange, Replica: voters[i], Generation: 1, Voters: voters, Start: c.span.Start, End: c.span.End,
		}))
		check(c.t, d.host.Start(c.ctx(), testRange, false))
	}
	check(c.t, c.drives[0].host.Replica(testRange).Campaign(c.ctx()))
}

func (c *cluster) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *cluster) open(i int) {
	c.t.Helper()
	d := c.drives[i]
	d.rows = openRows(c.t, d.fs, d.flush)
	opt := c.opt
	opt.Drive, opt.Log, opt.Rows, opt.FS, opt.Staging = d.id, d.log, d.rows, d.fs, "incoming"
	var err error
	d.host, err = Open(opt)
	check(c.t, err)
}

func openRows(t testing.TB, fs vfs.FS, flush func()) *pebble.DB {
	t.Helper()
	check(t, fs.MkdirAll("rows", 0o755))
	rows, err := pebble.Open("rows", &pebble.Options{
		EventListener: &pebble.EventListener{FlushBegin: func(pebble.FlushInfo) {
			if flush != nil {
				flush()
			}
		}},
		FS: fs, Comparer: keys.Comparer, DisableWAL: true, Logger: silent{}, MemTableSize: 1 << 20,
		FormatMajorVersion: pebble.FormatNewest,
	})
	check(t, err)
	return rows
}

// crash cuts the power of drive i and opens it again; unsynced files are lost, all or in part. The host ends first,
// at any point of its work: what it acknowledged is then before the cut.
func (c *cluster) crash(i int, grace bool) {
	c.t.Helper()
	d := c.drives[i]
	d.log.close()
	d.host.Close()
	log := d.log.crash()
	fs := d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: rand.New(rand.NewPCG(c.rng.Uint64(), 2))})
	c.stop(i)
	d.log, d.fs = log, fs
	c.open(i)
	for _, r := range d.host.Replicas() {
		if err := d.host.Start(c.ctx(), r.rng, grace); !errors.Is(err, ErrUnborn) { // its parent's log brings it
			check(c.t, err)
		}
	}
}

func (c *cluster) stop(i int) {
	d := c.drives[i]
	if d.host == nil {
		return
	}
	d.log.close()
	d.host.Close()
	check(c.t, d.rows.Close())
	d.host = nil
}

func (c *cluster) close() {
	for i := range c.drives {
		c.stop(i)
	}
}

// leader waits for a replica of the test's range that serves.
func (c *cluster) leader() *Replica { return c.leaderOf(testRange) }

func (c *cluster) leaderOf(rng ids.Range) *Replica {
	c.t.Helper()
	deadline := time.After(poll.Within)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, d := range c.drives {
			if d.host == nil {
				continue
			}
			if r := d.host.Replica(rng); r != nil && r.Serving() {
				return r
			}
		}
		select {
		case <-deadline:
			for i, d := range c.drives {
				if d.host != nil && d.host.Replica(rng) != nil {
					c.t.Logf("drive %d: %+v", i, d.host.Replica(rng).Status())
				}
			}
			c.t.Fatalf("range %d has no leader", rng)
		case <-tick.C:
		}
	}
}

// put commits one object by whoever leads the range of its key, retrying under one request id, which is its range's.
func (c *cluster) put(ctx context.Context, key, body string) (*metapb.Result, error) {
	cmd, sent := c.putCommand(key, body), ids.Range(0)
	for {
		r := c.anyServing(func(r *Replica) bool { return r.rng == sent || sent == 0 && r.Covers(keys.Route(1, key)) })
		if r != nil {
			sent = r.rng
			try, cancel := context.WithTimeout(ctx, time.Second)
			res, err := r.Propose(try, cmd)
			cancel()
			switch {
			case err == nil && res.Code == metapb.Code_STALE_RANGE:
				cmd, sent = c.putCommand(key, body), 0
			case err == nil:
				return res, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func (c *cluster) anyServing(ok func(*Replica) bool) *Replica {
	for _, h := range c.mesh.snapshot() {
		for _, r := range h.Replicas() {
			if r.Serving() && ok(r) {
				return r
			}
		}
	}
	return nil
}

func (c *cluster) putCommand(key, body string) *metapb.Command {
	id := ids.NewUpload(c.clock.Now())
	return &metapb.Command{
		Request: id[:], Ts: uint64(c.clock.Now()), Generation: 1,
		Op: &metapb.Command_Put{Put: &metapb.PutVersion{
			Bucket: 1, Key: key, Inline: []byte(body), HasInline: true,
			Version: &metapb.Version{Size: uint64(len(body)), Md5: make([]byte, 16), Details: &metapb.Details{}},
		}},
	}
}

// get reads one object's body from a replica, linearizably.
func get(ctx context.Context, r *Replica, key string) (body string, err error) {
	err = r.Read(ctx, func(rows pebble.Reader) error {
		_, inline, err := state.Get(rows, 1, key, state.GetOptions{Inline: true})
		body = string(inline)
		return err
	})
	return body, err
}

// settle waits until all replicas have applied the same, and compares their rows (I17).
func (c *cluster) settle() { c.settleRange(testRange) }

func (c *cluster) settleRange(rng ids.Range) {
	c.t.Helper()
	poll.Nil(c.t, poll.Within, "replicas that have applied the same", func() error {
		at, sums := c.hashes(rng)
		even := true
		for i := range at {
			for j := range i {
				if at[i] == at[j] && sums[i] != sums[j] {
					c.t.Fatalf("drives %d and %d: row hashes differ at %d", j, i, at[i])
				}
				even = even && at[i] == at[j]
			}
		}
		if !even {
			return fmt.Errorf("applied %v", at)
		}
		return nil
	})
}

func (c *cluster) hashes(rng ids.Range) (at []uint64, sums [][16]byte) {
	c.t.Helper()
	for _, d := range c.drives {
		if d.host == nil || d.host.Replica(rng) == nil {
			continue
		}
		sum, index, err := d.host.Replica(rng).hash()
		if errors.Is(err, pebble.ErrNotFound) { // of a split that is not applied yet
			continue
		}
		check(c.t, err)
		at, sums = append(at, index), append(sums, sum)
	}
	return at, sums
}

func (m *Mesh) snapshot() (all []*Host) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, h := range m.hosts {
		all = append(all, h)
	}
	return all
}

// hash is the row hash with the applied index it belongs to.
func (r *Replica) hash() (sum [16]byte, at uint64, err error) {
	snap := r.host.opt.Rows.NewSnapshot()
	defer snap.Close()
	span, err := r.ReadSpan(snap)
	if err != nil {
		return sum, 0, err
	}
	m, err := state.Load(snap, span)
	if err != nil {
		return sum, 0, err
	}
	at, _ = m.Applied()
	sum, err = state.Hash(snap, span)
	return sum, at, err
}

// network is the mesh with faults.
type network struct {
	mesh *Mesh
	mu   sync.Mutex
	drop func(Envelope) bool
	late func(Envelope) time.Duration
	wg   sync.WaitGroup
}

func (n *network) set(drop func(Envelope) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop = drop
}

func (n *network) Send(e Envelope) {
	n.mu.Lock()
	drop := n.drop != nil && n.drop(e)
	var late time.Duration
	if n.late != nil {
		late = n.late(e)
	}
	n.mu.Unlock()
	if drop {
		return
	}
	if late > 0 {
		n.wg.Add(1)
		time.AfterFunc(late, func() { defer n.wg.Done(); n.mesh.Send(e) })
		return
	}
	n.mesh.Send(e)
}

func (n *network) Snapshot(ctx context.Context, h SnapshotHeader) (SnapshotSink, error) {
	n.mu.Lock()
	drop := n.drop != nil && n.drop(h.Envelope)
	n.mu.Unlock()
	if drop {
		return nil, ErrNoReplica
	}
	return n.mesh.Snapshot(ctx, h)
}

type silent struct{}

func (silent) Infof(string, ...any)      {}
func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
