package node

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// register adds the metrics of runtime, drives and healing to those of the gateway.
func (n *Node) register(r *prometheus.Registry) {
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&gauges{
			n:       n,
			up:      prometheus.NewDesc("sherd_drive_up", "Whether the drive is up: 1, or 0.", []string{"path", "state"}, nil),
			bytes:   prometheus.NewDesc("sherd_drive_bytes", "Size of the drive's file system.", []string{"path"}, nil),
			free:    prometheus.NewDesc("sherd_drive_free_bytes", "Free bytes of the drive's file system.", []string{"path"}, nil),
			errors:  prometheus.NewDesc("sherd_drive_errors_total", "Failed reads and writes since the start.", []string{"path"}, nil),
			queued:  prometheus.NewDesc("sherd_drive_repairs_queued", "Repairs that wait for the drive.", []string{"path"}, nil),
			blobs:   prometheus.NewDesc("sherd_blobs", "Blobs by the number of shards that they lack.", []string{"short"}, nil),
			made:    prometheus.NewDesc("sherd_heal_shards_total", "Shards made since the queue was last empty.", nil, nil),
			damaged: prometheus.NewDesc("sherd_scrub_damaged", "Damaged shards that the last scrub found.", nil, nil),
		},
	)
}

// gauges asks the node when it is asked.
type gauges struct {
	n                                                     *Node
	up, bytes, free, errors, queued, blobs, made, damaged *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.up, g.bytes, g.free, g.errors, g.queued, g.blobs, g.made, g.damaged} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	seen := map[string]bool{}
	for _, d := range g.n.driveList(ctx) {
		if seen[d.Path] { // a drive that another took the place of
			continue
		}
		seen[d.Path] = true
		up := 0.0
		if d.State == "up" {
			up = 1
		}
		gauge(g.up, up, d.Path, d.State)
		gauge(g.bytes, float64(d.Bytes), d.Path)
		gauge(g.free, float64(d.FreeBytes), d.Path)
		gauge(g.queued, float64(d.Queued), d.Path)
		out <- prometheus.MustNewConstMetric(g.errors, prometheus.CounterValue, float64(d.Errors), d.Path)
	}
	heal := g.n.healStatus()
	for i, n := range heal.Ledger.Short {
		gauge(g.blobs, float64(n), strconv.Itoa(i))
	}
	gauge(g.made, float64(heal.Done))
	gauge(g.damaged, float64(g.n.scrubStatus().Damaged))
}
