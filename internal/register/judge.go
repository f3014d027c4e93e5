package register

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// judgeWithin bounds each search for an order in which one register could have done what was done to a key.
const judgeWithin = time.Minute

// judge tells whether one register could have answered so.
//
// The search takes time and memory exponential in how many operations without an answer may act at any time. Most of them never did, or
// what they did was seen soon. So an order is first searched for in which none acted but those whose body was seen, then in which deletions may have,
// and only then in which any may have: each is one that the history allows.
func (h *History) judge() porcupine.CheckResult {
	for _, ops := range model.Partition(h.ops) {
		seen := firstSeen(ops)
		var res porcupine.CheckResult
		for _, may := range []func(Op) bool{
			func(Op) bool { return false },
			func(in Op) bool { return in.Kind == Delete },
			func(in Op) bool { return in.Kind != Get },
		} {
			if res = porcupine.CheckOperationsTimeout(model, acting(ops, seen, may), judgeWithin); res == porcupine.Ok {
				break
			}
		}
		if res != porcupine.Ok {
			return res
		}
	}
	return porcupine.Ok
}

// firstSeen is when each body that was read, or that a condition was right about, had been by the latest. Bodies are written once.
func firstSeen(ops []porcupine.Operation) map[string]int64 {
	seen := map[string]int64{}
	note := func(body string, at int64) {
		if was, ok := seen[body]; body != "" && (!ok || at < was) {
			seen[body] = at
		}
	}
	for _, o := range ops {
		in, out := o.Input.(Op), o.Output.(Out)
		switch {
		case out.Unknown:
		case in.Kind == Get:
			note(out.Body, o.Return)
		case in.Kind == PutIfMatch && !out.Refused:
			note(in.Expect, o.Return)
		}
	}
	return seen
}

// acting are the operations that were answered, those without an answer whose body was seen, which have acted by then, and those others that may
// have acted.
func acting(ops []porcupine.Operation, seen map[string]int64, may func(Op) bool) (kept []porcupine.Operation) {
	for _, o := range ops {
		in := o.Input.(Op)
		if o.Output.(Out).Unknown {
			at, acted := seen[in.Body]
			acted = acted && in.Kind != Get && in.Kind != Delete && at > o.Call
			if !acted && !may(in) {
				continue
			}
			if o.Return = math.MaxInt64; acted {
				o.Return = at
			}
		}
		kept = append(kept, o)
	}
	return kept
}
