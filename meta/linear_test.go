package meta

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
)

// The operations of the history. A body is "" where the key is absent.
type opKind int

const (
	opGet opKind = iota
	opPut
	opDelete
	opPutIfAbsent
	opPutIfMatch
)

type linearOp struct {
	kind   opKind
	key    string
	body   string
	expect string // opPutIfMatch
}

type linearOut struct {
	body    string
	refused bool
	unknown bool
}

// keyModel is one key: what the records promise of it.
var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(linearOp).key
			byKey[key] = append(byKey[key], o)
		}
		var all [][]porcupine.Operation
		for _, part := range byKey {
			all = append(all, part)
		}
		return all
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(string), input.(linearOp), output.(linearOut)
		switch in.kind {
		case opGet:
			return out.unknown || out.body == now, now
		case opPut:
			return true, in.body
		case opDelete:
			return true, ""
		}
		holds := now == "" && in.kind == opPutIfAbsent || now == in.expect && in.kind == opPutIfMatch
		if !out.unknown && out.refused == holds {
			return false, now
		}
		if holds {
			return true, in.body
		}
		return true, now
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

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
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	var clients sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for c := range 16 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			last := map[string]string{}
			for n := 0; ctx.Err() == nil; n++ {
				in := linearOp{
					kind: opKind(rng.IntN(5)), key: fmt.Sprintf("key-%d", rng.IntN(8)), body: fmt.Sprintf("%d.%d", c, n),
				}
				in.expect = last[in.key]
				if in.kind == opPutIfMatch && in.expect == "" {
					in.kind = opGet
				}
				op := porcupine.Operation{ClientId: c, Input: in, Call: int64(time.Since(begin))}
				out := tn.perform(in)
				op.Output, op.Return = out, int64(time.Since(begin))
				if out.unknown {
					op.Return = math.MaxInt64 // it may still act; a client id is not reused for it, porcupine wants none
				}
				if in.kind == opGet {
					last[in.key] = out.body
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		}()
	}
	load := func(more int) { // has so many operations end
		mu.Lock()
		want := len(history) + more
		mu.Unlock()
		poll.True(t, poll.Within, "operations", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(history) >= want
		})
	}
	for range 8 {
		load(100)
		tn.crashDrive(tn.rng.IntN(5))
	}
	load(300)
	cancel()
	clients.Wait()
	unknown := 0
	for _, o := range history {
		if o.Output.(linearOut).unknown {
			unknown++
		}
	}
	t.Logf("%d operations, %d unknown", len(history), unknown)
	if len(history) < 200 {
		t.Fatalf("only %d operations", len(history))
	}
	switch res := porcupine.CheckOperationsTimeout(keyModel, history, 60*time.Second); res {
	case porcupine.Ok:
	default:
		t.Fatalf("history is not linearizable: %v", res)
	}
	tn.settle(1)
}

// perform does one operation as a client.
func (tn *testNode) perform(in linearOp) (out linearOut) {
	ctx := context.Background()
	var err error
	switch in.kind {
	case opGet:
		var body []byte
		_, body, err = tn.node.Get(ctx, bucket, in.key, GetOptions{Inline: true})
		out.body = string(body)
	case opDelete:
		err = tn.node.DeleteVersions(ctx, 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{in.key}})
	default:
		sum := md5.Sum([]byte(in.body))
		p := putOf(in.key, in.body)
		p.Version.Md5 = sum[:]
		switch in.kind {
		case opPutIfAbsent:
			p.Condition = &metapb.Condition{IfNoneMatch: "*"}
		case opPutIfMatch:
			was := md5.Sum([]byte(in.expect))
			p.Condition = &metapb.Condition{IfMatch: hex.EncodeToString(was[:])}
		}
		_, err = tn.node.PutVersion(ctx, 0, p)
	}
	switch {
	case err == nil, errors.Is(err, ErrNoSuchKey) && in.kind == opGet:
	case errors.Is(err, ErrPrecondition), errors.Is(err, ErrNoSuchKey):
		out.refused = true
	case errors.Is(err, ErrUnavailable):
		out.unknown = true
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
