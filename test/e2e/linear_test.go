package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The register that a key is: its value is the number in the object, or "" if there is none.
type registerInput struct {
	op    string // put, get, delete, create (If-None-Match: *), swap (If-Match)
	key   int
	value string
	match string // the value whose ETag swap names
}

type registerOutput struct {
	value   string
	failed  bool // a precondition did not hold
	unknown bool // no answer: it may act at any time from its start on, or never
}

func registerModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[int][]porcupine.Operation{}
			for _, op := range history {
				k := op.Input.(registerInput).key
				byKey[k] = append(byKey[k], op)
			}
			var out [][]porcupine.Operation
			for _, ops := range byKey {
				out = append(out, ops)
			}
			return out
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			now, in, out := state.(string), input.(registerInput), output.(registerOutput)
			next, applies := now, true
			switch in.op {
			case "get":
				return out.value == now, now
			case "put":
				next = in.value
			case "delete":
				next = ""
			case "create":
				applies = now == ""
				next = in.value
			case "swap":
				applies = now != "" && now == in.match
				next = in.value
			}
			if !applies {
				next = now
			}
			return out.unknown || out.failed == !applies, next
		},
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v -> %+v", input, output)
		},
	}
}

// registerBody is the object for a value: small ones live in the range, odd ones on the drives.
func registerBody(value string) []byte {
	n, _ := strconv.Atoi(value)
	size := 20
	if n%2 == 1 {
		size = 20_000
	}
	return []byte(value + ":" + strings.Repeat("x", size))
}

// registersPerGroup is how many keys clients use at a time.
const registersPerGroup = 8

// registers is a run of clients on a few keys of a bucket, and all that they saw.
type registers struct {
	t      *testing.T
	bucket string
	began  time.Time
	halt   atomic.Bool
	wg     sync.WaitGroup
	values atomic.Int64 // so many were written
	group  atomic.Int64 // of keys in use; with the next one, writes of unknown outcome are left behind

	mu      sync.Mutex
	history []porcupine.Operation
	tags    map[string]string // value by ETag
}

// startRegisters runs n clients, each of which goes to any of the gateways, and to another one when an answer was lost.
func startRegisters(t *testing.T, bucket string, n int, gateways func() []*s3, rng *rand.Rand) *registers {
	r := &registers{t: t, bucket: bucket, began: time.Now(), tags: map[string]string{}}
	for id := range n {
		c := &registerClient{r: r, id: id, rng: rand.New(rand.NewPCG(rng.Uint64(), uint64(id))), gateways: gateways()}
		c.shun = make([]time.Time, len(c.gateways))
		r.wg.Go(c.run)
	}
	return r
}

// nextGroup has all clients go on with fresh keys.
func (r *registers) nextGroup() { r.group.Add(1) }

// check ends the run, and asks porcupine whether one order of all operations explains every answer.
func (r *registers) check() {
	r.t.Helper()
	r.halt.Store(true)
	r.wg.Wait()
	unknown := 0
	for _, op := range r.history {
		if op.Output.(registerOutput).unknown {
			unknown++
		}
	}
	result, info := porcupine.CheckOperationsVerbose(registerModel(), r.history, 2*time.Minute)
	r.t.Logf("%d operations, %d of unknown outcome, in %s: %v", len(r.history), unknown, time.Since(r.began).Round(time.Second), result)
	if result != porcupine.Ok {
		path := filepath.Join(os.TempDir(), "sherd-failed-"+r.t.Name()+".html")
		porcupine.VisualizePath(registerModel(), info, path)
		r.t.Errorf("the history is %v; see %s", result, path)
	}
}

// registerClient does one operation after another.
type registerClient struct {
	r        *registers
	id       int
	rng      *rand.Rand
	gateways []*s3
	shun     []time.Time // until when a gateway that gave no answer is left alone
}

func (c *registerClient) run() {
	seen := map[int]string{} // what was read last, by key
	for !c.r.halt.Load() {
		key := int(c.r.group.Load())*registersPerGroup + c.rng.IntN(registersPerGroup)
		in := registerInput{key: key, match: seen[key]}
		in.op = []string{"put", "get", "get", "delete", "create", "swap", "list"}[c.rng.IntN(7)]
		switch in.op {
		case "put", "create", "swap":
			in.value = strconv.FormatInt(c.r.values.Add(1), 10)
			c.r.mu.Lock()
			c.r.tags[etag(registerBody(in.value))] = in.value
			c.r.mu.Unlock()
		}
		out, ok := c.try(in)
		if ok && out.unknown { // as a client does that lost the answer
			out, ok = c.try(in)
		}
		if ok && in.op == "get" {
			seen[key] = out.value
		}
		await(time.Duration(c.rng.IntN(80)) * time.Millisecond) // so that porcupine can finish
	}
}

// gateway is any that is not shunned, or any.
func (c *registerClient) gateway() int {
	for range 4 * len(c.gateways) {
		if i := c.rng.IntN(len(c.gateways)); time.Now().After(c.shun[i]) {
			return i
		}
	}
	return c.rng.IntN(len(c.gateways))
}

// shunFor is how long a client leaves a gateway alone that gave it no answer, where there are others.
const shunFor = 2 * time.Second

// try does one operation, once, and notes it; false if it has no outcome worth noting.
func (c *registerClient) try(in registerInput) (registerOutput, bool) {
	i := c.gateway()
	call := time.Since(c.r.began)
	if in.op == "list" {
		return registerOutput{}, c.list(i, in.key/registersPerGroup)
	}
	out, ok := registerCall(c.gateways[i], c.r.bucket, in)
	if !ok || out.unknown {
		c.shun[i] = time.Now().Add(shunFor)
	}
	if ok {
		c.r.note(c.id, in, out, call)
	} else {
		await(20 * time.Millisecond)
	}
	return out, ok
}

// list notes what a listing says of each key: it sees every write that ended before it began.
func (c *registerClient) list(i, group int) bool {
	call := time.Since(c.r.began)
	page, err := c.gateways[i].listPage(c.r.bucket, map[string]string{"prefix": registerPrefix(group)})
	if err != nil {
		c.shun[i] = time.Now().Add(shunFor)
		return false
	}
	listed := map[string]string{}
	for _, o := range page.Contents {
		listed[o.Key] = o.ETag
	}
	for i := range registersPerGroup {
		in, out := registerInput{op: "get", key: group*registersPerGroup + i}, registerOutput{}
		if tag, ok := listed[registerKey(in.key)]; ok {
			c.r.mu.Lock()
			out.value = cmp.Or(c.r.tags[tag], "never written: "+tag)
			c.r.mu.Unlock()
		}
		c.r.note(c.id, in, out, call)
	}
	return true
}

func (r *registers) note(id int, in registerInput, out registerOutput, call time.Duration) {
	op := porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(r.began))}
	if out.unknown {
		op.Return = math.MaxInt64 / 2
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, op)
}

func registerPrefix(group int) string { return "g" + strconv.Itoa(group) + "/" }

func registerKey(key int) string {
	return registerPrefix(key/registersPerGroup) + strconv.Itoa(key%registersPerGroup)
}

// TestLinearizable runs 16 clients on a few keys, with drives and the process killed meanwhile.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	rng := random(t)
	must(t, s.client().makeBucket("linear"))
	r := startRegisters(t, "linear", 16, func() []*s3 {
		c := s.client()
		c.http.Timeout = 15 * time.Second
		return []*s3{c}
	}, rng)
	disturb(t, s, rng, count(3, 40))
	r.check()
}

// disturb kills, wipes and moves leaders while clients go on.
func disturb(t *testing.T, s *server, rng *rand.Rand, rounds int) {
	t.Helper()
	for range rounds {
		await(time.Duration(500+rng.IntN(500)) * time.Millisecond)
		s.kill9()
		s.restart()
		await(time.Duration(500+rng.IntN(500)) * time.Millisecond)
		leader, _ := s.leaders()
		lost := []int{leader, (leader + 1 + rng.IntN(5)) % 6}
		for _, i := range lost {
			s.wipe(i)
			await(time.Duration(rng.IntN(1500)) * time.Millisecond)
		}
		for _, i := range lost {
			s.replace(i)
		}
		s.waitHealed(2 * time.Minute)
	}
}

// registerCall does one operation; false if it has no outcome worth noting.
func registerCall(c *s3, bucket string, in registerInput) (registerOutput, bool) {
	key := registerKey(in.key)
	header := map[string]string{}
	switch in.op {
	case "get":
		b, err := c.get(bucket, key)
		if code(err) == "NoSuchKey" {
			return registerOutput{}, true
		}
		value, _, _ := strings.Cut(string(b), ":")
		if err == nil && string(b) != string(registerBody(value)) {
			return registerOutput{value: "torn " + value}, true
		}
		return registerOutput{value: value}, err == nil
	case "delete":
		err := c.remove(bucket, key)
		if errors.Is(err, syscall.ECONNREFUSED) || status(err) >= 400 && status(err) < 500 {
			return registerOutput{}, false
		}
		return registerOutput{unknown: err != nil}, true
	case "create":
		header["If-None-Match"] = "*"
	case "swap":
		if in.match == "" {
			return registerOutput{}, false
		}
		header["If-Match"] = etag(registerBody(in.match))
	}
	_, _, err := c.do(c.newRequest(context.Background(), "PUT", bucket, key, "", registerBody(in.value), header))
	switch {
	case err == nil:
		return registerOutput{}, true
	case code(err) == "PreconditionFailed" || (in.op == "swap" && code(err) == "NoSuchKey"):
		return registerOutput{failed: true}, true
	case errors.Is(err, syscall.ECONNREFUSED): // it never left
		return registerOutput{}, false
	case status(err) >= 400 && status(err) < 500: // refused before anything was done
		return registerOutput{}, false
	}
	return registerOutput{unknown: true}, true
}
