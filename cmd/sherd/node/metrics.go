package node

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sherd-io/sherd/disk/segment"
)

// register adds the metrics of runtime, drives and healing to those of the gateway.
func (n *Node) register(r *prometheus.Registry) {
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newGauges(n),
	)
}

// gauges asks the node when it is asked.
type gauges struct {
	n    *Node
	desc []*prometheus.Desc

	up, bytes, free, errors, queued *prometheus.Desc // of a drive
	syncs, records, written, wait   *prometheus.Desc // of a drive's logs
	blobs, made, damaged            *prometheus.Desc
	toConvert, converted, unmoved   *prometheus.Desc
}

func newGauges(n *Node) *gauges {
	g := &gauges{n: n}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("sherd_"+name, help, labels, nil)
		g.desc = append(g.desc, d)
		return d
	}
	g.up = desc("drive_up", "Whether the drive is up: 1, or 0.", "path", "state")
	g.bytes = desc("drive_bytes", "Size of the drive's file system.", "path")
	g.free = desc("drive_free_bytes", "Free bytes of the drive's file system.", "path")
	g.errors = desc("drive_errors_total", "Failed reads and writes since the start.", "path")
	g.queued = desc("drive_repairs_queued", "Repairs that wait for the drive.", "path")
	g.syncs = desc("drive_log_syncs_total", "Group commits of a log since the drive was opened; each is one sync.", "path", "log")
	g.records = desc("drive_log_records_total", "Records appended to a log since the drive was opened.", "path", "log")
	g.written = desc("drive_log_bytes_total", "Bytes appended to a log since the drive was opened.", "path", "log")
	g.wait = desc("drive_log_seconds_total", "Time in writes and syncs of a log since the drive was opened.", "path", "log")
	g.blobs = desc("blobs", "Blobs by the number of shards that they lack.", "short")
	g.made = desc("heal_shards_total", "Shards made since the queue was last empty.")
	g.damaged = desc("scrub_damaged", "Damaged shards that the last scrub found.")
	g.toConvert = desc("convert_bytes", "Bytes of objects that are still to go to another pool, of this node's share.")
	g.converted = desc("converted_bytes_total", "Bytes that went to another pool since the start.")
	g.unmoved = desc("convert_failed_total", "Bodies that could not go to another pool, each time, since the start.")
	return g
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range g.desc {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	g.collectDrives(out)
	for _, b := range g.n.bays.list() {
		if d, _, _ := b.current(); d != nil {
			s := d.Stats()
			g.collectLog(out, b.path, "chunks", s.Chunks)
			g.collectLog(out, b.path, "raft", s.Raft)
		}
	}
	heal := g.n.healShare()
	for i, n := range heal.Ledger.Short {
		gauge(out, g.blobs, float64(n), strconv.Itoa(i))
	}
	gauge(out, g.made, float64(heal.Done))
	gauge(out, g.toConvert, float64(heal.Convert.Left.Bytes))
	counter(out, g.converted, float64(heal.Convert.DoneBytes))
	counter(out, g.unmoved, float64(heal.Convert.Failed))
	gauge(out, g.damaged, float64(g.n.scrubShare().Damaged))
}

func (g *gauges) collectDrives(out chan<- prometheus.Metric) {
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
		gauge(out, g.up, up, d.Path, d.State)
		gauge(out, g.bytes, float64(d.Bytes), d.Path)
		gauge(out, g.free, float64(d.FreeBytes), d.Path)
		gauge(out, g.queued, float64(d.Queued), d.Path)
		counter(out, g.errors, float64(d.Errors), d.Path)
	}
}

func (g *gauges) collectLog(out chan<- prometheus.Metric, path, log string, s segment.Stats) {
	counter(out, g.syncs, float64(s.Groups), path, log)
	counter(out, g.records, float64(s.Records), path, log)
	counter(out, g.written, float64(s.Bytes), path, log)
	counter(out, g.wait, s.Syncing.Seconds(), path, log)
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}
