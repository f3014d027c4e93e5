package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/member/membertest"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

func TestMain(m *testing.M) { membertest.Main(m) }

// within is how long anything awaited may take on a loaded machine.
const within = 2 * poll.Within

// testPGs are as many placement groups as it takes for each drive to have some of each slot: each that moves is a change in etcd.
const testPGs = 32

// rig is a node's drives, and the node while it runs.
type rig struct {
	t     *testing.T
	paths []string
	edit  func(*Config)
	n     *Node
	log   *logBuffer
}

// newRig prepares drives in fresh directories; edit may change the configuration, and be nil. The test runs beside others.
func newRig(t *testing.T, drives int, edit func(*Config)) *rig {
	t.Helper()
	t.Parallel()
	return newRigAlone(t, drives, edit)
}

// newRigAlone is newRig for a test that counts goroutines.
func newRigAlone(t *testing.T, drives int, edit func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, edit: edit, log: &logBuffer{}}
	root := t.TempDir()
	for i := range drives {
		r.paths = append(r.paths, filepath.Join(root, fmt.Sprint("d", i+1)))
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

func (r *rig) config() Config {
	r.t.Helper()
	etcd, env := membertest.Child()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	cfg := Config{
		FS: smallDisk{vfs.Default}, Drives: r.paths, Listeners: []net.Listener{l}, MemoryLimit: MemoryLimitMin,
		EtcdCommand: etcd, EtcdEnv: env,
		CheckEvery: 50 * time.Millisecond, DrainedAfter: 100 * time.Millisecond, StrandedGrace: 300 * time.Millisecond,
		PlanEvery: 200 * time.Millisecond, HealEvery: 200 * time.Millisecond,
		Patience: within, HangAfter: within, ControlTimeout: within, // a busy machine is no fault
		PGs:        testPGs,
		ScrubEvery: -1,
		Logger:     slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if r.edit != nil {
		r.edit(&cfg)
	}
	return cfg
}

// smallDisk is a file system that is said to have 8 GiB. Each drive keeps back a part of all there is, which on a large disk is more than
// a test's drives, and those of tests beside it, need together.
type smallDisk struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (s smallDisk) Unwrap() vfs.FS { return s.FS }

// GetDiskUsage implements vfs.FS.
func (s smallDisk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := s.FS.GetDiskUsage(path)
	usage.TotalBytes = min(usage.TotalBytes, 8<<30)
	return usage, err
}

// try starts the node.
func (r *rig) try() error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	n, err := Start(ctx, r.config())
	if err == nil {
		r.n = n
	}
	return err
}

func (r *rig) start() *Node {
	r.t.Helper()
	must(r.t, r.try())
	return r.n
}

func (r *rig) stop() {
	r.t.Helper()
	if r.n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	must(r.t, r.n.Close(ctx))
	r.n = nil
}

// wipe empties drive i's directory.
func (r *rig) wipe(i int) {
	r.t.Helper()
	was := r.paths[i] + ".wiped"
	must(r.t, os.Rename(r.paths[i], was)) // at once: what is opened again while its files go one by one may be back in the new directory
	must(r.t, os.Mkdir(r.paths[i], 0o755))
	eventually(r.t, "the end of "+was, func() error { return os.RemoveAll(was) })
}

// hide moves drive i's directory away, and back.
func (r *rig) hide(i int, away bool) {
	r.t.Helper()
	from, to := r.paths[i], r.paths[i]+".away"
	if !away {
		from, to = to, from
	}
	must(r.t, os.Rename(from, to))
}

// id is the drive that sherd.json says drive i is.
func (r *rig) id(i int) ids.Drive {
	r.t.Helper()
	id, state, err := disk.Probe(vfs.Default, r.paths[i])
	if err != nil || state != disk.Formatted {
		r.t.Fatalf("%s: %v, %v", r.paths[i], state, err)
	}
	return id.Drive
}

// row is the map's row of a drive.
func (r *rig) row(id ids.Drive) *placement.Drive { return r.n.store.Map().Drives[id] }

// awaitState waits until the map says so of a drive.
func (r *rig) awaitState(id ids.Drive, want placement.DriveState) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := r.n.store.Wait(ctx, func(m *placement.Map) bool { return m.Drives[id] != nil && m.Drives[id].State == want })
	if err != nil {
		r.t.Fatalf("drive %s is %+v, want %s", id, r.row(id), want)
	}
}

// awaitProblem waits until the bay of drive i says why it is not in service.
func (r *rig) awaitProblem(i int, want string) {
	r.t.Helper()
	eventually(r.t, want, func() error {
		if _, _, problem := r.n.bays.list()[i].current(); !strings.Contains(problem, want) {
			return fmt.Errorf("drive %d says %q", i, problem)
		}
		return nil
	})
}

// awaitWhole waits until every slot is complete on a drive that is up, and every range has all its replicas.
func (r *rig) awaitWhole() {
	r.t.Helper()
	eventually(r.t, "full strength", func() error {
		m := r.n.store.Map()
		for _, p := range m.Pools {
			for id, pg := range p.PGs {
				for slot, s := range pg.Slots {
					if d := m.Drives[s.Drive]; d == nil || d.State != placement.DriveUp || !s.Complete {
						return fmt.Errorf("pg %d slot %d: %+v on %+v", id, slot, s, d)
					}
				}
			}
		}
		for _, rng := range r.n.records.Status() {
			for _, rep := range rng.Replicas {
				if d := m.Drives[rep.Drive]; !rep.Here || rep.Joining || d == nil || d.State == placement.DriveOut {
					return fmt.Errorf("range %d: %+v", rng.ID, rep)
				}
			}
		}
		return nil
	})
}

// bucket is made if it is not there.
func (r *rig) bucket() *placement.Bucket {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	b, _, err := r.n.store.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: 1})
	must(r.t, err)
	return b
}

const bodyBytes = 20 << 10 // more than is kept inline

func body(key string) []byte {
	b := make([]byte, bodyBytes)
	seed := [32]byte{}
	copy(seed[:], key)
	rand.NewChaCha8(seed).Read(b)
	return b
}

func (r *rig) put(key string) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := r.n.objects.Put(ctx, object.Put{
		Bucket: r.bucket().ID, Pool: 1, Key: key, Size: bodyBytes, Body: bytes.NewReader(body(key)),
	})
	return err
}

// fill puts count objects.
func (r *rig) fill(count int) {
	r.t.Helper()
	for i := range count {
		must(r.t, r.put(fmt.Sprint("key", i)))
	}
}

// check reads what fill put.
func (r *rig) check(count int) {
	r.t.Helper()
	for i := range count {
		key := fmt.Sprint("key", i)
		var got []byte
		eventually(r.t, "a read of "+key, func() (err error) { got, err = r.get(key); return err })
		if !bytes.Equal(got, body(key)) {
			r.t.Fatalf("%s: wrong bytes", key)
		}
	}
}

func (r *rig) get(key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	g, err := r.n.objects.Open(ctx, r.bucket().ID, key, meta.VersionRef{}, func(v *metapb.Version) (object.Span, error) {
		return object.Span{N: int64(v.Size)}, nil
	})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	var out bytes.Buffer
	_, err = g.WriteTo(ctx, &out)
	return out.Bytes(), err
}

// control runs f on the control state of a node that is stopped, its etcd running.
func (r *rig) control(f func(ctx context.Context, s *store.Store)) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cfg := r.config()
	cfg.Listeners[0].Close()
	opt := member.Options{Sole: true, Command: cfg.EtcdCommand, Env: cfg.EtcdEnv}
	for _, path := range r.paths {
		if id, state, err := disk.Probe(vfs.Default, path); err == nil && state == disk.Formatted {
			opt.Cluster = id.Cluster
			opt.Drives = append(opt.Drives, member.Host{Drive: id.Drive, Path: path})
		}
	}
	s, err := member.Start(ctx, opt)
	must(r.t, err)
	defer s.Close()
	st, err := store.Open(ctx, store.Options{
		Cluster: opt.Cluster, Endpoints: s.Endpoints(), Dialer: s.Dial, Redial: s.Redial, RequestTimeout: within, TryTimeout: within,
	})
	must(r.t, err)
	defer st.Close()
	f(ctx, st)
}

// eventually waits until f gives no error.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	poll.Nil(t, within, what, f)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noGoroutines fails if goroutines of ours go on, but for the tests' own.
func noGoroutines(t *testing.T) {
	t.Helper()
	eventually(t, "the end of all goroutines", func() error {
		buf := make([]byte, 1<<20)
		var left []string
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "sherd-io/sherd") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.Main") && !strings.Contains(g, "testing.(*M)") {
				left = append(left, g)
			}
		}
		if len(left) > 0 {
			return errors.New(strings.Join(left, "\n\n"))
		}
		return nil
	})
}

// profile sets the first pool's.
func profile(k, m int) func(*Config) {
	return func(c *Config) { c.Profile = plan.Profile{K: k, M: m} }
}

// logBuffer keeps what is logged, for when a test fails.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
