package bench

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"
)

// Kind is what one request does.
type Kind int

// The kinds, in the order in which they are printed.
const (
	Put Kind = iota
	Get
	Head
	List
	Delete
	Create // of a multipart upload
	Part
	Complete
	kinds
)

var kindNames = [kinds]string{"put", "get", "head", "list", "delete", "create", "part", "complete"}

func (k Kind) String() string { return kindNames[k] }

// MarshalText gives k's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(kindNames[k]), nil }

// kindStats is what one worker counted of one kind.
type kindStats struct {
	hist   Histogram
	bytes  int64
	keys   int64
	errors map[string]int64 // by code
}

func (s *kindStats) merge(o *kindStats) {
	s.hist.Merge(&o.hist)
	s.bytes += o.bytes
	s.keys += o.keys
	for code, n := range o.errors {
		s.fail(code, n)
	}
}

func (s *kindStats) fail(code string, n int64) {
	if s.errors == nil {
		s.errors = map[string]int64{}
	}
	s.errors[code] += n
}

// Codes of errors that are not the server's.
const (
	CodeConnection  = "Connection"
	CodeWrongBytes  = "WrongBytes"
	CodeWrongLength = "WrongLength"
	CodeWrongETag   = "WrongETag"
	CodeWrongList   = "WrongList"
)

// wrong is an answer that is not what was stored.
type wrong string

func (w wrong) Error() string { return string(w) }

// CodeOf is the code under which err is counted.
func CodeOf(err error) string {
	var status *StatusError
	var w wrong
	switch {
	case errors.As(err, &status):
		return status.Code
	case errors.As(err, &w):
		return string(w)
	}
	return CodeConnection
}

// Latency is a summary of a Histogram.
type Latency struct {
	P50 Millis `json:"p50Ms"`
	P90 Millis `json:"p90Ms"`
	P99 Millis `json:"p99Ms"`
	Max Millis `json:"maxMs"`
}

// Millis is a duration that is written in milliseconds.
type Millis time.Duration

// MarshalJSON gives a number of milliseconds.
func (m Millis) MarshalJSON() ([]byte, error) { return json.Marshal(m.Float()) }

// Float is m in milliseconds.
func (m Millis) Float() float64 { return float64(m) / float64(time.Millisecond) }

func latencyOf(h *Histogram) Latency {
	return Latency{
		P50: Millis(h.Quantile(0.50)), P90: Millis(h.Quantile(0.90)), P99: Millis(h.Quantile(0.99)), Max: Millis(h.Max()),
	}
}

// KindReport is one kind's share of a run.
type KindReport struct {
	Kind      Kind             `json:"kind"`
	Requests  uint64           `json:"requests"` // that succeeded
	PerSecond float64          `json:"perSecond"`
	Latency   Latency          `json:"latency"`
	Errors    map[string]int64 `json:"errors,omitempty"`
}

// Report is what a run measured.
type Report struct {
	Op          string           `json:"op"`
	SizeBytes   int64            `json:"sizeBytes"`
	Concurrency int              `json:"concurrency"`
	Seconds     float64          `json:"seconds"`
	Requests    uint64           `json:"requests"` // that succeeded
	PerSecond   float64          `json:"perSecond"`
	MiBPerSec   float64          `json:"mibPerSecond"`
	KeysPerSec  float64          `json:"keysPerSecond,omitempty"` // list, delete
	Latency     Latency          `json:"latency"`
	Errors      map[string]int64 `json:"errors,omitempty"`
	Kinds       []KindReport     `json:"kinds"`

	// CPU time, user and system; ServerCPU is zero without a server's pid.
	ClientCPU Millis `json:"clientCpuMs"`
	ServerCPU Millis `json:"serverCpuMs,omitempty"`
	// Of one request; and of one key (list, delete), of one MiB.
	ClientPerRequest float64 `json:"clientCpuMsPerRequest"`
	ServerPerRequest float64 `json:"serverCpuMsPerRequest,omitempty"`
	ServerPerKey     float64 `json:"serverCpuMsPerKey,omitempty"`
	ServerPerMiB     float64 `json:"serverCpuMsPerMiB,omitempty"`
}

// Failed is how many requests failed.
func (r *Report) Failed() int64 {
	n := int64(0)
	for _, c := range r.Errors {
		n += c
	}
	return n
}

// Wrong is how many answers were not what was stored.
func (r *Report) Wrong() int64 {
	n := int64(0)
	for _, code := range []string{CodeWrongBytes, CodeWrongLength, CodeWrongETag, CodeWrongList} {
		n += r.Errors[code]
	}
	return n
}

// cost is CPU time spent while a run measured.
type cost struct{ client, server time.Duration }

// report sums up what the workers counted. Of a multipart run the parts are the requests.
func report(cfg *Config, workers []*worker, took time.Duration, spent cost) Report {
	r := Report{
		Op: cfg.Op, SizeBytes: cfg.Size, Concurrency: cfg.Concurrency, Seconds: took.Seconds(),
		ClientCPU: Millis(spent.client), ServerCPU: Millis(spent.server),
	}
	var all kindStats
	for k := range kinds {
		var s kindStats
		for _, w := range workers {
			s.merge(&w.stats[k])
		}
		if s.hist.Count() == 0 && len(s.errors) == 0 {
			continue
		}
		r.Kinds = append(r.Kinds, KindReport{
			Kind: k, Requests: s.hist.Count(), PerSecond: float64(s.hist.Count()) / r.Seconds,
			Latency: latencyOf(&s.hist), Errors: maps.Clone(s.errors),
		})
		if cfg.Op == "multipart" && k != Part {
			for code, n := range s.errors {
				all.fail(code, n)
			}
			continue
		}
		all.merge(&s)
	}
	slices.SortFunc(r.Kinds, func(a, b KindReport) int { return int(a.Kind - b.Kind) })
	r.Requests, r.Latency, r.Errors = all.hist.Count(), latencyOf(&all.hist), all.errors
	mib := float64(all.bytes) / (1 << 20)
	r.PerSecond, r.MiBPerSec, r.KeysPerSec = float64(r.Requests)/r.Seconds, mib/r.Seconds, float64(all.keys)/r.Seconds
	r.ClientPerRequest = ratio(r.ClientCPU.Float(), float64(r.Requests))
	r.ServerPerRequest = ratio(r.ServerCPU.Float(), float64(r.Requests))
	r.ServerPerKey = ratio(r.ServerCPU.Float(), float64(all.keys))
	r.ServerPerMiB = ratio(r.ServerCPU.Float(), mib)
	return r
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
