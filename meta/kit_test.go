package meta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

const bucket ids.Bucket = 1

type segmentPos = segment.Pos

// testDrive is a drive's log and rows on a file system that can lose power.
type testDrive struct {
	id   ids.Drive
	fs   vfs.FS
	mem  *vfs.MemFS // nil: real files
	dir  string
	log  *segment.Log
	rows *pebble.DB
}

// testNode is a Node over test drives, with a map that the test changes.
type testNode struct {
	t      testing.TB
	rng    *rand.Rand
	drives []*testDrive
	node   *Node
	clock  *hlc.Clock
	opt    Options

	mu   sync.Mutex
	m    *placement.Map
	lost []placement.Replica
}

type nodeConfig struct {
	drives int
	seed   uint64
	dir    string // real files under it; empty: in memory
	ranges [][]byte
	opt    Options
}

func newNode(t testing.TB, cfg nodeConfig) *testNode {
	t.Helper()
	tn := &testNode{t: t, rng: rand.New(rand.NewPCG(cfg.seed, 7)), clock: hlc.New(nil), opt: cfg.opt}
	for i := range cfg.drives {
		tn.drives = append(tn.drives, newTestDrive(t, cfg.dir, i))
	}
	tn.m = tn.firstMap(cfg.ranges)
	for i := range tn.drives {
		tn.openDrive(i, true)
	}
	tn.start()
	t.Cleanup(tn.close)
	return tn
}

// newTestDrive makes a drive's directories; with dir on real files.
func newTestDrive(t testing.TB, dir string, i int) *testDrive {
	t.Helper()
	d := &testDrive{id: ids.NewDrive()}
	if dir == "" {
		d.mem = vfs.NewCrashableMem()
		d.fs, d.dir = d.mem, "d"
	} else {
		d.fs, d.dir = vfs.Default, fmt.Sprintf("%s/d%d", dir, i)
	}
	check(t, d.fs.MkdirAll(d.dir+"/log", 0o755))
	check(t, d.fs.MkdirAll(d.dir+"/rows", 0o755))
	if d.mem != nil {
		syncDir(t, d.fs, "")
		syncDir(t, d.fs, d.dir)
	}
	return d
}

func syncDir(t testing.TB, fs vfs.FS, dir string) {
	d, err := fs.OpenDir(dir)
	check(t, err)
	check(t, d.Sync())
	check(t, d.Close())
}

// firstMap has one range for each border, and one more, over all drives.
func (tn *testNode) firstMap(borders [][]byte) *placement.Map {
	m := &placement.Map{Revision: 1, Drives: map[ids.Drive]*placement.Drive{}}
	var replicas []placement.Replica
	for i, d := range tn.drives {
		m.Drives[d.id] = &placement.Drive{ID: d.id, Node: "n1", State: placement.DriveUp}
		replicas = append(replicas, placement.Replica{ID: ids.Replica(i + 1), Drive: d.id})
	}
	starts := append([][]byte{nil}, borders...)
	for i, start := range starts {
		r := &placement.Range{
			ID: ids.Range(i + 1), Start: start, Generation: 1,
			Replicas: replicas, NextReplica: ids.Replica(len(replicas) + 1),
		}
		if i+1 < len(starts) {
			r.End = starts[i+1]
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m
}

func (tn *testNode) current() *placement.Map {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	return tn.m
}

// edit changes one range's row, as the planner does.
func (tn *testNode) edit(id ids.Range, change func(*placement.Range)) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	m := *tn.m
	m.Revision++
	m.Ranges = nil
	for _, r := range tn.m.Ranges {
		if r.ID == id {
			c := *r
			c.Replicas = append([]placement.Replica(nil), r.Replicas...)
			change(&c)
			r = &c
		}
		m.Ranges = append(m.Ranges, r)
	}
	tn.m = &m
}

// order writes into a range's row that it is to split before key, as the planner does.
func (tn *testNode) order(id ids.Range, at []byte) {
	tn.t.Helper()
	child := ids.Range(0)
	for _, r := range tn.current().Ranges {
		child = max(child, r.ID+1)
		if r.Splitting != nil {
			child = max(child, r.Splitting.Child+1)
		}
	}
	tn.edit(id, func(r *placement.Range) {
		r.Begun = true
		r.Splitting = &placement.Splitting{At: at, Child: child, Generation: r.Generation, Replicas: r.Replicas}
	})
}

// recordSplit puts both rows into the map in place of the one, as the planner does.
func (tn *testNode) recordSplit(id ids.Range) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	m := *tn.m
	m.Revision++
	m.Ranges = nil
	for _, r := range tn.m.Ranges {
		if r.ID == id {
			parent, child := r.Divided()
			m.Ranges = append(m.Ranges, parent, child)
		} else {
			m.Ranges = append(m.Ranges, r)
		}
	}
	tn.m = &m
}

// split has a range split before key, and records it.
func (tn *testNode) split(id ids.Range, key string) {
	tn.t.Helper()
	tn.order(id, keys.Route(bucket, key))
	tn.makeSplit(id)
	tn.recordSplit(id)
}

// makeSplit carries out what is ordered, until it is made.
func (tn *testNode) makeSplit(id ids.Range) {
	tn.t.Helper()
	poll.Nil(tn.t, poll.Within, "a split", func() error { return tn.node.Split(tn.ctx(), id) })
}

// record is the Record of Recover.
func (tn *testNode) record(id ids.Range) Record {
	return func(_ context.Context, gen uint64, replicas []placement.Replica) error {
		tn.edit(id, func(r *placement.Range) { r.Generation, r.Replicas = gen, replicas })
		return nil
	}
}

func (tn *testNode) openDrive(i int, create bool) {
	tn.t.Helper()
	d := tn.drives[i]
	opt := segment.Options{
		FS: d.fs, Dir: d.dir + "/log", ID: d.id, SegmentBytes: 1 << 20, Prefix: true, Buffered: d.mem != nil,
		PrefillBytes: -1, Logger: slog.New(slog.DiscardHandler),
	}
	if d.mem == nil {
		opt.SegmentBytes, opt.PrefillBytes = 64<<20, 0
	}
	if create {
		check(tn.t, segment.Create(opt))
	}
	var err error
	d.log, err = segment.Open(opt)
	check(tn.t, err)
	d.rows, err = pebble.Open(d.dir+"/rows", &pebble.Options{
		FS: d.fs, Comparer: keys.Comparer, DisableWAL: true, Logger: silent{}, MemTableSize: 8 << 20,
		FormatMajorVersion: pebble.FormatNewest,
	})
	check(tn.t, err)
}

func (tn *testNode) start() {
	tn.t.Helper()
	opt := tn.opt
	opt.Map, opt.Clock = tn.current, tn.clock
	if opt.Level == nil {
		opt.Level = func() int { return state.LevelVersions }
	}
	if opt.Tick == 0 {
		opt.Tick = 20 * time.Millisecond
	}
	if opt.CommandTimeout == 0 {
		opt.CommandTimeout = poll.Within
	}
	if os.Getenv("SHERD_TEST_LOG") != "" {
		opt.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	opt.Staging = func(id ids.Drive) (vfs.FS, string) {
		for _, d := range tn.drives {
			if d.id == id {
				return d.fs, d.dir + "/incoming"
			}
		}
		return nil, ""
	}
	opt.OnLost = func(_ ids.Range, r placement.Replica) {
		tn.mu.Lock()
		defer tn.mu.Unlock()
		tn.lost = append(tn.lost, r)
	}
	if opt.OnFailed == nil {
		opt.OnFailed = func(id ids.Drive, err error) { tn.t.Errorf("drive %v failed: %v", id, err) }
	}
	var err error
	tn.node, err = New(opt)
	check(tn.t, err)
	for _, d := range tn.drives {
		if d.log != nil {
			check(tn.t, tn.node.AddDrive(d.id, replica.SegmentLog[segmentPos](d.log), d.rows))
		}
	}
}

func (d *testDrive) close(t testing.TB) {
	if d.log == nil {
		return
	}
	_ = d.log.Close() // may have failed on purpose
	check(t, d.rows.Close())
	d.log, d.rows = nil, nil
}

func (tn *testNode) close() {
	tn.node.Close()
	for _, d := range tn.drives {
		d.close(tn.t)
	}
}

// crashAll cuts the power of the whole process and starts it again.
func (tn *testNode) crashAll() {
	tn.t.Helper()
	tn.node.Close() // hosts end at any point of their work; what they acknowledged is before the cut
	var after []*vfs.MemFS
	for _, d := range tn.drives {
		after = append(after, d.mem.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: tn.rng.IntN(101), RNG: rand.New(rand.NewPCG(tn.rng.Uint64(), 3)),
		}))
	}
	tn.close()
	for i, d := range tn.drives {
		d.mem, d.fs = after[i], after[i]
		tn.openDrive(i, false)
	}
	tn.start()
}

// lose takes a drive away for good, as one that failed.
func (tn *testNode) lose(i int) {
	h := tn.node.host(tn.drives[i].id)
	tn.node.RemoveDrive(tn.drives[i].id, errors.New("pulled"))
	h.Close() // only so that the test may close what it uses
}

func (tn *testNode) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	tn.t.Cleanup(cancel)
	return ctx
}

func putOf(key, body string) *metapb.PutVersion {
	return &metapb.PutVersion{
		Bucket: uint64(bucket), Key: key, Inline: []byte(body), HasInline: true,
		Version: &metapb.Version{Size: uint64(len(body)), Md5: make([]byte, 16), Details: &metapb.Details{}},
	}
}

func (tn *testNode) put(key, body string) {
	tn.t.Helper()
	_, err := tn.node.PutVersion(tn.ctx(), 0, putOf(key, body))
	check(tn.t, err)
}

func (tn *testNode) want(key, body string) {
	tn.t.Helper()
	_, got, err := tn.node.Get(tn.ctx(), bucket, key, GetOptions{Inline: true})
	check(tn.t, err)
	if string(got) != body {
		tn.t.Fatalf("get %q: %q, want %q", key, got, body)
	}
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
