package meta

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/internal/register"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
)

// lossy loses some of the messages between replicas.
type lossy struct {
	replica.Transport
	mu  sync.Mutex
	rng *rand.Rand
}

func (l *lossy) Send(e replica.Envelope) {
	l.mu.Lock()
	drop := l.rng.IntN(20) == 0
	l.mu.Unlock()
	if !drop {
		l.Transport.Send(e)
	}
}

var soak = flag.Bool("soak", false, "full counts")

func TestLinearizableUnderDropsAndCrashes(t *testing.T) {
	n := uint64(2)
	if *soak {
		n = 50
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testLinearizable(t, seed) })
	}
}

func testLinearizable(t *testing.T, seed uint64) {
	tn, load, end := startRegisters(t, seed)
	for range 8 {
		load(100)
		tn.crashDrive(tn.rng.IntN(5))
	}
	load(300)
	end()
	tn.settle(1)
}

// Clients see one register for each key while its range splits, also when drives crash meanwhile (I1, I20).
func TestI20_LinearizableWhileRangesSplit(t *testing.T) {
	n := uint64(2)
	if *soak {
		n = 50
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			tn, load, end := startRegisters(t, seed)
			for _, split := range []struct {
				id ids.Range
				at string
			}{{1, "key-4"}, {2, "key-6"}, {1, "key-1"}, {3, "key-7"}} {
				load(100)
				tn.order(split.id, keys.Route(bucket, split.at))
				if seed%2 == 1 {
					tn.crashDrive(tn.rng.IntN(5))
				}
				tn.makeSplit(split.id)
				load(100) // the map does not have it yet
				tn.recordSplit(split.id)
			}
			load(200)
			end()
		})
	}
}

// startRegisters has clients use a few keys over links that lose messages. load waits until so many more of their operations have ended;
// end ends them, and checks what they saw.
func startRegisters(t *testing.T, seed uint64) (tn *testNode, load func(more int), end func()) {
	tn = newNode(t, nodeConfig{drives: 5, seed: seed, opt: Options{
		LogBytes: 1 << 20, CommandTimeout: 3 * time.Second, AttemptTimeout: 300 * time.Millisecond,
		Transport: func(m *replica.Mesh) replica.Transport {
			return &lossy{Transport: m, rng: rand.New(rand.NewPCG(seed, 5))}
		},
	}})
	h := register.NewHistory()
	var clients sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for c := range 16 {
		clients.Go(func() { h.Client(ctx, c, seed, tn.perform) })
	}
	load = func(more int) {
		want := h.Len() + more
		poll.True(t, poll.Within, "operations", func() bool { return h.Len() >= want })
	}
	return tn, load, func() {
		cancel()
		clients.Wait()
		h.Check(t, 200)
	}
}

// perform does one operation as a client.
func (tn *testNode) perform(in register.Op) (out register.Out) {
	ctx := context.Background()
	var err error
	switch in.Kind {
	case register.Get:
		var body []byte
		_, body, err = tn.node.Get(ctx, bucket, in.Key, GetOptions{Inline: true})
		out.Body = string(body)
	case register.Delete:
		_, err = tn.node.DeleteVersions(ctx, 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{in.Key}})
	default:
		sum := md5.Sum([]byte(in.Body))
		p := putOf(in.Key, in.Body)
		p.Version.Md5 = sum[:]
		switch in.Kind {
		case register.PutIfAbsent:
			p.Condition = &metapb.Condition{IfNoneMatch: "*"}
		case register.PutIfMatch:
			was := md5.Sum([]byte(in.Expect))
			p.Condition = &metapb.Condition{IfMatch: hex.EncodeToString(was[:])}
		}
		_, err = tn.node.PutVersion(ctx, 0, p)
	}
	switch {
	case err == nil, errors.Is(err, ErrNoSuchKey) && in.Kind == register.Get:
	case errors.Is(err, ErrPrecondition), errors.Is(err, ErrNoSuchKey):
		out.Refused = true
	case errors.Is(err, ErrUnavailable):
		out.Unknown = true
	default:
		panic(fmt.Sprintf("%+v: %v", in, err))
	}
	return out
}

// crashDrive cuts the power of one drive while the rest goes on, and adds it again.
func (tn *testNode) crashDrive(i int) {
	tn.t.Helper()
	d := tn.drives[i]
	tn.lose(i)
	mem := d.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: tn.rng.IntN(101), RNG: rand.New(rand.NewPCG(tn.rng.Uint64(), 3)),
	})
	d.close(tn.t)
	d.mem, d.fs = mem, mem
	tn.openDrive(i, false)
	check(tn.t, tn.node.AddDrive(d.id, replica.SegmentLog[segmentPos](d.log), d.rows))
}
