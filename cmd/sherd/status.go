package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
)

func newStatusCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Health with its reasons, space, and how many drives may be lost",
		Long:  "Prints the state of the cluster. Ends with code 3 if it is not healthy, so that a script can ask.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s adminapi.Status
			if err := c.call(cmd.Context(), "GET", "status", nil, &s); err != nil {
				return err
			}
			var err error
			if c.json {
				err = writeJSON(cmd.OutOrStdout(), s)
			} else {
				err = printStatus(cmd.OutOrStdout(), &s, time.Now())
			}
			if err == nil && !s.Healthy {
				return exitCode(3)
			}
			return err
		},
	}
	c.addFlags(cmd)
	return cmd
}

// table aligns columns that are separated by tabs.
func table(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

func printStatus(out io.Writer, s *adminapi.Status, now time.Time) error {
	health := "healthy"
	if len(s.Problems) > 0 {
		health = "works, with warnings"
	}
	if !s.Healthy {
		health = "NOT HEALTHY"
	}
	fmt.Fprintf(out, "%s   cluster %s, node %s, sherd %s, up %s\n", health, s.Cluster, s.Node, s.Version, roughly(now.Sub(s.Started)))
	for _, p := range s.Problems {
		fmt.Fprintf(out, "  %s: %s\n", p.Severity, p.Text)
		if p.Remedy != "" {
			fmt.Fprintf(out, "      %s\n", p.Remedy)
		}
	}
	fmt.Fprintf(out, "\nspace   %s usable, %s free (raw: %s, %s free)\n",
		formatBytes(s.Space.Usable), formatBytes(s.Space.UsableFree), formatBytes(s.Space.Raw), formatBytes(s.Space.RawFree))
	fmt.Fprintf(out, "stored  %d objects, %s in %d buckets; %d unfinished uploads, %s\n",
		s.Usage.Objects, formatBytes(s.Usage.Bytes), s.Buckets, s.Usage.Uploads, formatBytes(s.Usage.UploadBytes))
	fmt.Fprintf(out, "blobs   %s\n", ledgerText(&s.Ledger))
	fmt.Fprintf(out, "memory  %s of %s\n", formatBytes(s.Memory.Resident), formatBytes(s.Memory.Limit))
	for i := range s.Pools {
		fmt.Fprintf(out, "pool    %s\n", poolText(&s.Pools[i]))
	}
	fmt.Fprintln(out)
	if err := printDrives(out, &s.Drives); err != nil {
		return err
	}
	for i := range s.Ranges {
		printRange(out, &s.Ranges[i])
	}
	if len(s.Etcd) > 0 {
		healthy := 0
		for _, m := range s.Etcd {
			if m.Healthy {
				healthy++
			}
		}
		fmt.Fprintf(out, "etcd: %d of %d members healthy\n", healthy, len(s.Etcd))
	}
	return nil
}

func poolText(p *adminapi.Pool) string {
	text := fmt.Sprintf("%s %d+%d: any %s may be lost", p.Name, p.K, p.M, drives(p.MayLose))
	switch {
	case p.MayLoseNow < 0:
		text += "; MORE THAN THAT ARE LOST NOW"
	case p.MayLoseNow < p.MayLose:
		text += fmt.Sprintf(", as of now %d more", p.MayLoseNow)
	}
	if p.M > 0 {
		text += fmt.Sprintf("; with %d lost, %s usable remain", p.M, formatBytes(p.UsableAfter))
	}
	if !p.Writable {
		text += "; NOT WRITABLE now"
	}
	return text
}

func drives(n int) string {
	if n == 1 {
		return "1 drive"
	}
	return fmt.Sprintf("%d drives", n)
}

// ledgerText says how many blobs are how far from full strength.
func ledgerText(l *adminapi.Ledger) string {
	var parts []string
	for i, n := range l.Short {
		switch {
		case i == 0:
			parts = append(parts, fmt.Sprintf("%d at full strength", n))
		case n > 0 && i == 1:
			parts = append(parts, fmt.Sprintf("%d one shard short", n))
		case n > 0:
			parts = append(parts, fmt.Sprintf("%d %d shards short", n, i))
		}
	}
	if len(parts) == 0 {
		parts = []string{"not counted yet"}
	} else if !l.Exact {
		parts = append(parts, "being counted again")
	}
	return strings.Join(parts, ", ")
}

func printDrives(out io.Writer, all *[]adminapi.Drive) error {
	w := table(out)
	fmt.Fprintln(w, "DRIVE\tSTATE\tSIZE\tFREE\tCHUNKS\tQUEUED\tID\tREASON")
	for _, d := range *all {
		state := d.State
		if d.Health != "" && d.Health != "ok" && d.Health != d.State {
			state += "/" + d.Health
		}
		if d.Low {
			state += ", full"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%.8s\t%s\n",
			d.Path, state, formatBytes(d.Bytes), formatBytes(d.FreeBytes), d.Chunks, d.Queued, d.ID, d.Reason)
	}
	return w.Flush()
}

func printRange(out io.Writer, r *adminapi.Range) {
	if r.Quorum && r.Leader != "" {
		fmt.Fprintf(out, "range %d: leader on %.8s, %d replicas\n", r.ID, r.Leader, len(r.Replicas))
		return
	}
	fmt.Fprintf(out, "range %d: NO QUORUM, %d replicas\n", r.ID, len(r.Replicas))
}

// roughly writes a duration as people say it.
func roughly(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
