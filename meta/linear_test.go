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

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/internal/register"
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
	tn := newNode(t, nodeConfig{drives: 5, seed: seed, opt: Options{
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
	load := func(more int) { // has so many operations end
		want := h.Len() + more
		poll.True(t, poll.Within, "operations", func() bool { return h.Len() >= want })
	}
	for range 8 {
		load(100)
		tn.crashDrive(tn.rng.IntN(5))
	}
	load(300)
	cancel()
	clients.Wait()
	h.Check(t, 200)
	tn.settle(1)
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
		err = tn.node.DeleteVersions(ctx, 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{in.Key}})
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
