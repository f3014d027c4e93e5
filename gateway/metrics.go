package gateway

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the server's own, in a registry of their own. What a request touches is looked up once, here.
type metrics struct {
	registry *prometheus.Registry
	ops      []opMetrics // by op.index
	unknown  opMetrics   // of requests that fit no row
	errors   *prometheus.CounterVec
	panics   prometheus.Counter
	aborted  prometheus.Counter
}

type opMetrics struct {
	class   [6]prometheus.Counter // by status/100
	latency prometheus.Observer
	in, out prometheus.Counter
	flight  prometheus.Gauge
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	label := []string{"op"}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sherd_s3_requests_total", Help: "S3 requests by operation and class of status."}, []string{"op", "code"})
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sherd_s3_request_seconds", Help: "Time from a request's header to the end of its answer.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
	}, label)
	in := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sherd_s3_received_bytes_total", Help: "Bytes of request bodies on the wire."}, label)
	out := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sherd_s3_sent_bytes_total", Help: "Bytes of answers' bodies."}, label)
	flight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sherd_s3_requests_in_flight", Help: "Requests under way."}, label)
	m.errors = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sherd_s3_server_errors_total", Help: "Requests answered with a 5xx by error code."}, []string{"code"})
	m.panics = prometheus.NewCounter(prometheus.CounterOpts{Name: "sherd_s3_panics_total", Help: "Panics recovered: each is a bug."})
	m.aborted = prometheus.NewCounter(prometheus.CounterOpts{Name: "sherd_s3_answers_cut_total", Help: "Answers that were cut short by a fault after the header was sent."})
	m.registry.MustRegister(requests, latency, in, out, flight, m.errors, m.panics, m.aborted,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sherd_s3_admitted_bytes", Help: "Memory that requests under way may use."}, func() float64 { return float64(s.admit.held.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sherd_s3_open_reads", Help: "Reads that hold what they read against reclaim."}, func() float64 { return float64(s.opt.Objects.OpenReads().Count) }),
	)
	of := func(name string) (o opMetrics) {
		for i, class := range [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			o.class[i] = requests.WithLabelValues(name, class)
		}
		o.latency, o.flight = latency.WithLabelValues(name), flight.WithLabelValues(name)
		o.in, o.out = in.WithLabelValues(name), out.WithLabelValues(name)
		return o
	}
	m.ops = make([]opMetrics, len(s.ops.all))
	m.unknown = of("Unknown")
	notThere := of("NotImplemented") // one series for all that is not there, not one each
	for i := range s.ops.all {
		if o := &s.ops.all[i]; o.handle != nil {
			m.ops[i] = of(o.name)
		} else {
			m.ops[i] = notThere
		}
	}
	return m
}

// Registry is where other parts of the process may register their own collectors; they are served together.
func (s *Server) Registry() *prometheus.Registry { return s.metrics.registry }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) begin(o *op) { m.ops[o.index].flight.Inc() }

// done counts a request. A status of 0 is a connection that ended without an answer.
func (m *metrics) done(r *request) {
	o := &m.unknown
	if r.op != nil {
		o = &m.ops[r.op.index]
		o.flight.Dec()
	}
	o.class[min(r.status/100, len(o.class)-1)].Inc()
	o.latency.Observe(time.Since(r.began).Seconds())
	if r.in > 0 {
		o.in.Add(float64(r.in))
	}
	if r.out > 0 {
		o.out.Add(float64(r.out))
	}
}

func (m *metrics) failed(code string) { m.errors.WithLabelValues(code).Inc() }
