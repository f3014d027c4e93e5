package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// TestLinearizable runs 16 clients on a few keys, with drives and the process killed meanwhile, and asks
// porcupine whether one order of all operations explains every answer.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	rng := random(t)
	must(t, s.client().makeBucket("linear"))
	var (
		mu      sync.Mutex
		history []porcupine.Operation
		halt    atomic.Bool
		values  atomic.Int64
		wg      sync.WaitGroup
	)
	began := time.Now()
	for id := range 16 {
		rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(id)))
		wg.Go(func() {
			c := s.client()
			c.http.Timeout = 15 * time.Second
			seen := ""
			for !halt.Load() {
				in := registerInput{key: rng.IntN(8), match: seen}
				in.op = []string{"put", "get", "get", "delete", "create", "swap"}[rng.IntN(6)]
				if in.op != "get" && in.op != "delete" {
					in.value = strconv.FormatInt(values.Add(1), 10)
				}
				call := time.Since(began)
				out, ok := registerCall(c, in)
				if !ok { // a read without an answer says nothing
					await(20 * time.Millisecond)
					continue
				}
				op := porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(began))}
				if out.unknown {
					op.Return = int64(1 << 62)
				}
				if in.op == "get" {
					seen = out.value
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
				await(time.Duration(rng.IntN(80)) * time.Millisecond) // so that porcupine can finish
			}
		})
	}
	disturb(t, s, rng, count(3, 40))
	halt.Store(true)
	wg.Wait()
	result, info := porcupine.CheckOperationsVerbose(registerModel(), history, 2*time.Minute)
	t.Logf("%d operations in %s: %v", len(history), time.Since(began).Round(time.Second), result)
	if result != porcupine.Ok {
		path := "linear-failure.html"
		porcupine.VisualizePath(registerModel(), info, path)
		t.Errorf("the history is %v; see test/e2e/%s", result, path)
	}
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
func registerCall(c *s3, in registerInput) (registerOutput, bool) {
	key := "r" + strconv.Itoa(in.key)
	header := map[string]string{}
	switch in.op {
	case "get":
		b, err := c.get("linear", key)
		if code(err) == "NoSuchKey" {
			return registerOutput{}, true
		}
		value, _, _ := strings.Cut(string(b), ":")
		if err == nil && string(b) != string(registerBody(value)) {
			return registerOutput{value: "torn " + value}, true
		}
		return registerOutput{value: value}, err == nil
	case "delete":
		err := c.remove("linear", key)
		if errors.Is(err, syscall.ECONNREFUSED) {
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
	_, _, err := c.do(c.newRequest(context.Background(), "PUT", "linear", key, "", registerBody(in.value), header))
	switch {
	case err == nil:
		return registerOutput{}, true
	case code(err) == "PreconditionFailed" || (in.op == "swap" && code(err) == "NoSuchKey"):
		return registerOutput{failed: true}, true
	case errors.Is(err, syscall.ECONNREFUSED): // it never left
		return registerOutput{}, false
	}
	return registerOutput{unknown: true}, true
}
