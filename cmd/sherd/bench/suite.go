package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Unit is what a row of the suite counts.
type Unit string

// The units of the suite's rows.
const (
	PerRequest Unit = "request"
	PerKey     Unit = "key"
	PerMiB     Unit = "MiB"
)

// Row is one line of the suite's table, with its goals.
type Row struct {
	Name     string  `json:"name"`
	Rate     Unit    `json:"rateUnit"`
	Cost     Unit    `json:"costUnit"`
	GoalCPU  float64 `json:"goalCpuMs"`
	GoalRate float64 `json:"goalRate"`
	Reports  []Report
	cfg      Config
}

// SuiteRows are the rows of issue 2's table.
func SuiteRows() []Row {
	const small, large = 4 << 10, 1 << 20
	return []Row{
		{Name: "put 4 KiB (16)", Rate: PerRequest, Cost: PerRequest, GoalCPU: 0.25, GoalRate: 5000, cfg: Config{Op: "put", Size: small}},
		{Name: "get 4 KiB (16)", Rate: PerRequest, Cost: PerRequest, GoalCPU: 0.10, GoalRate: 12000, cfg: Config{Op: "get", Size: small}},
		{Name: "head 4 KiB (16)", Rate: PerRequest, Cost: PerRequest, GoalCPU: 0.07, GoalRate: 15000, cfg: Config{Op: "head", Size: small}},
		{Name: "list, 16 × 1,250-key prefixes (16)", Rate: PerKey, Cost: PerKey, GoalCPU: 0.002, GoalRate: 400000, cfg: Config{Op: "list"}},
		{Name: "delete, batches of 100 (16)", Rate: PerKey, Cost: PerKey, GoalCPU: 0.05, GoalRate: 20000, cfg: Config{Op: "delete"}},
		{Name: "put 1 MiB (16)", Rate: PerMiB, Cost: PerRequest, GoalCPU: 1.8, GoalRate: 500, cfg: Config{Op: "put", Size: large}},
		{Name: "get 1 MiB (16)", Rate: PerMiB, Cost: PerRequest, GoalCPU: 0.5, GoalRate: 1800, cfg: Config{Op: "get", Size: large, Objects: 512}},
		{Name: "put 64 MiB (4)", Rate: PerMiB, Cost: PerMiB, GoalCPU: 2.2, GoalRate: 400, cfg: Config{Op: "put", Size: 64 << 20, Concurrency: 4}},
		{Name: "get 64 MiB (4)", Rate: PerMiB, Cost: PerMiB, GoalCPU: 0.40, GoalRate: 2200, cfg: Config{Op: "get", Size: 64 << 20, Concurrency: 4, Objects: 16}},
		{Name: "multipart, 16 MiB parts (4)", Rate: PerMiB, Cost: PerMiB, GoalCPU: 2.2, GoalRate: 400, cfg: Config{Op: "multipart", Concurrency: 4}},
		{Name: "mixed 1 MiB 45/30/15/10 (16)", Rate: PerRequest, Cost: PerRequest, GoalCPU: 0.7, GoalRate: 1800, cfg: Config{Op: "mixed", Size: large, Objects: 512}},
	}
}

// Suite runs every row runs times, interleaved, with base's endpoint, credentials, duration and server.
// rows keep their reports, so that what was measured before an error is not lost.
func Suite(ctx context.Context, base Config, runs int, rows []Row, note func(string)) ([]Row, error) {
	for n := range runs {
		for i := range rows {
			cfg := rows[i].cfg
			cfg.Endpoint, cfg.Insecure, cfg.Credentials, cfg.Bucket = base.Endpoint, base.Insecure, base.Credentials, base.Bucket
			cfg.Duration, cfg.ServerPID, cfg.Unsigned, cfg.NoVerify, cfg.Timeout = base.Duration, base.ServerPID, base.Unsigned, base.NoVerify, base.Timeout
			r, err := Run(ctx, cfg, func(s string) { note(fmt.Sprintf("[%d/%d] %s: %s", n+1, runs, rows[i].Name, s)) })
			if err != nil {
				return rows, fmt.Errorf("%s: %w", rows[i].Name, err)
			}
			rows[i].Reports = append(rows[i].Reports, r)
			if err := ctx.Err(); err != nil {
				return rows, err
			}
		}
	}
	return rows, nil
}

// rate and cost of one report, in the row's units.
func (row *Row) rate(r *Report) float64 {
	return map[Unit]float64{PerRequest: r.PerSecond, PerKey: r.KeysPerSec, PerMiB: r.MiBPerSec}[row.Rate]
}

func (row *Row) cost(r *Report) float64 {
	return map[Unit]float64{PerRequest: r.ServerPerRequest, PerKey: r.ServerPerKey, PerMiB: r.ServerPerMiB}[row.Cost]
}

// Median is the median over the row's reports of what fn takes from each.
func (row *Row) Median(fn func(*Report) float64) float64 {
	var v []float64
	for i := range row.Reports {
		v = append(v, fn(&row.Reports[i]))
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// PrintSuite writes the medians as a Markdown table.
func PrintSuite(out io.Writer, rows []Row) error {
	fmt.Fprintln(out, "| op (clients) | rate | goal | p50 ms | p99 ms | server CPU ms | goal | client CPU ms | errors |")
	_, err := fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for i := range rows {
		row := &rows[i]
		rate, spent := row.Median(row.rate), row.Median(row.cost)
		failed := int64(0)
		for j := range row.Reports {
			failed += row.Reports[j].Failed()
		}
		_, err = fmt.Fprintf(out, "| %s | %s%s | ≥ %s | %.2f | %.2f | %s | ≤ %.4g a %s | %.4f a request | %d |\n",
			row.Name, rateText(rate, row.Rate), mark(rate >= row.GoalRate), rateText(row.GoalRate, row.Rate),
			row.Median(func(r *Report) float64 { return r.Latency.P50.Float() }),
			row.Median(func(r *Report) float64 { return r.Latency.P99.Float() }),
			costText(spent, row.GoalCPU), row.GoalCPU, row.Cost,
			row.Median(func(r *Report) float64 { return r.ClientPerRequest }), failed)
	}
	return err
}

func rateText(v float64, u Unit) string {
	switch u {
	case PerKey:
		return fmt.Sprintf("%.0f keys/s", v)
	case PerMiB:
		return fmt.Sprintf("%.0f MiB/s", v)
	}
	return fmt.Sprintf("%.0f/s", v)
}

func costText(v, goal float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.4g%s", v, mark(v <= goal))
}

func mark(met bool) string {
	if met {
		return " ✓"
	}
	return ""
}
