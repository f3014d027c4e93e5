package sim

import (
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind is what a client asked.
type kind int

const (
	get kind = iota
	put
	remove
	putIfAbsent
	putIfMatch
)

func (k kind) String() string {
	return [...]string{"get", "put", "delete", "put if absent", "put if match"}[k]
}

// input is one request on one key. A body of 0 is none.
type input struct {
	kind   kind
	key    string
	body   body // of puts
	expect body // of putIfMatch
}

// output is its answer.
type output struct {
	body    body // of gets
	refused bool // the condition did not hold
	unknown bool // no answer, or one that promises nothing: it may take place later
}

// history is all that clients asked, and what they were answered.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
	last  body
	tags  map[string]body
	acked map[kind]int
}

func newHistory() *history {
	return &history{began: time.Now(), tags: map[string]body{}, acked: map[kind]int{}}
}

// fresh is a body that was never written, of a size that fits, and its content.
func (h *history) fresh(fits func(size int) bool) (b body, content []byte) {
	h.mu.Lock()
	for h.last++; !fits(h.last.size()); h.last++ {
	}
	b = h.last
	h.mu.Unlock()
	content = b.bytes()
	tag := etagOf(content)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tags[tag] = b
	return b, content
}

// Sizes of bodies that are asked for.
func anySize(int) bool         { return true }
func inRecords(size int) bool  { return size <= inlineBytes }
func onAllSlots(size int) bool { return size >= 20_000 }

const inlineBytes = 2 << 10 // objects of at most so many bytes lie beside their records

// tagged is the body that has a tag, as listings show it; 0: there is none.
func (h *history) tagged(tag string) body {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tags[tag]
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// note adds what was asked at a time and is answered now. What is unknown has no end: and if it read, it says nothing.
func (h *history) note(client int, in input, call int64, out output) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if out.unknown && in.kind == get {
		return
	}
	end := h.now()
	if out.unknown {
		end = int64(1) << 62
	} else {
		h.acked[in.kind]++
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

// model is one key as the store promises it.
var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		at := map[string]int{}
		for _, op := range all {
			key := op.Input.(input).key
			i, ok := at[key]
			if !ok {
				i = len(parts)
				at[key] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	},
	Init: func() any { return body(0) },
	Step: func(state, in, out any) (bool, any) { return step(state.(body), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%+v: %+v", in, out)
	},
}

func step(now body, in input, out output) (bool, body) {
	holds := in.kind != putIfAbsent && in.kind != putIfMatch || in.kind == putIfAbsent && now == 0 || in.kind == putIfMatch && now == in.expect
	switch {
	case in.kind == get:
		return out.body == now, now
	case out.unknown && !holds:
		return true, now
	case out.refused:
		return !holds, now
	case in.kind == remove:
		return true, 0
	}
	return holds, in.body
}

// check finds whether there is an order of all requests that explains all answers.
func (h *history) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	const within = time.Hour // by the simulated clock, which stands still: there is no limit
	for _, part := range model.Partition(h.ops) {
		if porcupine.CheckOperationsTimeout(model, part, within) == porcupine.Ok {
			continue
		}
		text := fmt.Sprintf("the history of %s is not linearizable:", part[0].Input.(input).key)
		for _, op := range part {
			text += fmt.Sprintf("\n  %12.4f to %12.4f client %d: %v %+v: %+v", time.Duration(op.Call).Seconds(), time.Duration(op.Return).Seconds(),
				op.ClientId, op.Input.(input).kind, op.Input, op.Output)
		}
		return fmt.Errorf("%s", text)
	}
	return nil
}
