package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

func sizeName(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// Print writes r as a table for people.
func (r *Report) Print(out io.Writer) error {
	fmt.Fprintf(out, "%s, %s, %d clients, %.1f s\n", r.Op, sizeName(r.SizeBytes), r.Concurrency, r.Seconds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "request\tcount\t/s\tp50 ms\tp90 ms\tp99 ms\tmax ms\terrors\t")
	row := func(name string, n uint64, perSecond float64, l Latency, errs map[string]int64) {
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n",
			name, n, perSecond, l.P50.Float(), l.P90.Float(), l.P99.Float(), l.Max.Float(), sum(errs))
	}
	for _, k := range r.Kinds {
		row(k.Kind.String(), k.Requests, k.PerSecond, k.Latency, k.Errors)
	}
	if len(r.Kinds) > 1 {
		row("in all", r.Requests, r.PerSecond, r.Latency, r.Errors)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.MiBPerSec > 0 {
		fmt.Fprintf(out, "%.1f MiB/s\n", r.MiBPerSec)
	}
	if r.KeysPerSec > 0 {
		fmt.Fprintf(out, "%.0f keys/s\n", r.KeysPerSec)
	}
	fmt.Fprintf(out, "CPU of this client: %.4f ms a request\n", r.ClientPerRequest)
	if r.ServerCPU > 0 {
		fmt.Fprintf(out, "CPU of the server:  %.4f ms a request", r.ServerPerRequest)
		if r.ServerPerKey > 0 {
			fmt.Fprintf(out, ", %.5f ms a key", r.ServerPerKey)
		}
		if r.ServerPerMiB > 0 {
			fmt.Fprintf(out, ", %.3f ms a MiB", r.ServerPerMiB)
		}
		fmt.Fprintln(out)
	}
	if len(r.Errors) > 0 {
		fmt.Fprintf(out, "errors: %s\n", errorList(r.Errors))
	}
	return nil
}

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

func errorList(m map[string]int64) string {
	var parts []string
	for code, n := range m {
		parts = append(parts, fmt.Sprintf("%s %d", code, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
