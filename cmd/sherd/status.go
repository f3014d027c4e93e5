package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
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
	fmt.Fprintf(out, "stored  %s, %s in %s%s\n",
		plural.Of(s.Usage.Objects, "object"), formatBytes(s.Usage.Bytes), plural.Of(s.Buckets, "bucket"), uploadsText(&s.Usage))
	fmt.Fprintf(out, "blobs   %s\n", ledgerText(&s.Ledger, now))
	if text := convertText(&s.Convert); text != "" {
		fmt.Fprintf(out, "convert %s\n", text)
	}
	fmt.Fprintf(out, "memory  %s of %s\n", formatBytes(s.Memory.Resident), formatBytes(s.Memory.Limit))
	for i := range s.Pools {
		fmt.Fprintf(out, "pool    %s\n", poolText(&s.Pools[i]))
	}
	fmt.Fprintln(out)
	if len(s.Nodes) > 1 {
		printNodeStates(out, s.Nodes, now)
	}
	if err := printDrives(out, &s.Drives); err != nil {
		return err
	}
	for i := range s.Ranges {
		printRange(out, &s.Ranges[i])
	}
	printEtcd(out, s.Etcd)
	return nil
}

func printNodeStates(out io.Writer, nodes []adminapi.NodeState, now time.Time) {
	w := table(out)
	fmt.Fprintln(w, "NODE\tSTATE\tZONE\tADDRESS\tUP\tMEMORY\tDRIVES")
	for i := range nodes {
		n := &nodes[i]
		state, up, memory := "up", roughly(now.Sub(n.Started)), formatBytes(n.Memory.Resident)
		switch {
		case !n.Alive:
			state, up, memory = "down", "-", "-"
		case n.Reason != "":
			state, up, memory = "no answer", "-", "-"
		case n.Planner:
			state = "up, planner"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", n.Name, state, cmp.Or(n.Zone, "-"), n.Addr, up, memory, len(n.Drives))
	}
	w.Flush() // to memory or a terminal: the error shows in what follows
	fmt.Fprintln(out)
}

// uploadsText tells of unfinished uploads, if there are any.
func uploadsText(u *adminapi.Usage) string {
	if u.Uploads == 0 {
		return ""
	}
	return fmt.Sprintf("; %s, %s", plural.Of(u.Uploads, "unfinished upload"), formatBytes(u.UploadBytes))
}

func printEtcd(out io.Writer, members []adminapi.Member) {
	if len(members) == 0 {
		return
	}
	healthy := 0
	for _, m := range members {
		if m.Healthy {
			healthy++
		}
	}
	fmt.Fprintf(out, "etcd: %d of %s healthy\n", healthy, plural.Of(len(members), "member"))
}

func poolText(p *adminapi.Pool) string {
	text := fmt.Sprintf("%s %d+%d: any %s may be lost", p.Name, p.K, p.M, plural.Of(p.MayLose, "drive"))
	switch {
	case p.MayLoseNow < 0:
		text += "; MORE THAN THAT ARE LOST NOW"
	case p.MayLoseNow == 0 && p.MayLose > 0:
		text += "; NONE MORE NOW"
	case p.MayLoseNow < p.MayLose:
		text += fmt.Sprintf("; now only %d more", p.MayLoseNow)
	}
	if p.M > 0 {
		text += fmt.Sprintf("; without %s, %s are usable", plural.Of(p.M, "drive"), formatBytes(p.UsableAfter))
	}
	if !p.Writable {
		text += "; NOT WRITABLE now"
	}
	return text
}

// countedLately is how old a ledger may be before its age is told.
const countedLately = 10 * time.Second

// ledgerText says how many blobs are how far from full strength, and as of when.
func ledgerText(l *adminapi.Ledger, now time.Time) string {
	if !l.Exact || len(l.Short) == 0 {
		return "not counted yet"
	}
	var parts []string
	for i, n := range l.Short {
		switch {
		case i == 0:
			parts = append(parts, fmt.Sprintf("%d at full strength", n))
		case n > 0:
			parts = append(parts, fmt.Sprintf("%d short of %s", n, plural.Of(i, "shard")))
		}
	}
	text := strings.Join(parts, ", ")
	if age := now.Sub(l.As); age > countedLately {
		text += fmt.Sprintf(" (%s ago)", roughly(age))
	}
	return text
}

// convertText says what is still to go to another pool; empty: nothing is.
func convertText(c *adminapi.Conversion) string {
	if c.Left.Objects == 0 {
		return ""
	}
	text := fmt.Sprintf("%s to go to another pool, %s; %s", plural.Of(c.Left.Objects, "object"), formatBytes(c.Left.Bytes), c.State)
	if c.State == "running" && c.Rate > 0 {
		text += fmt.Sprintf(", %s/s, about %s", formatBytes(int64(c.Rate)), roughly(time.Duration(float64(c.Left.Bytes)/c.Rate*float64(time.Second))))
	}
	if c.Failed > 0 {
		text += fmt.Sprintf("; failed %s, each tried again", plural.Of(c.Failed, "time"))
	}
	return text
}

func printDrives(out io.Writer, all *[]adminapi.Drive) error {
	w := table(out)
	several := slices.ContainsFunc(*all, func(d adminapi.Drive) bool { return d.Node != (*all)[0].Node })
	if several {
		fmt.Fprint(w, "NODE\t")
	}
	fmt.Fprint(w, "DRIVE\tSTATE\tSIZE\tFREE\tCHUNKS\tTO HEAL\tID")
	reasons := slices.ContainsFunc(*all, func(d adminapi.Drive) bool { return d.Reason != "" })
	if reasons {
		fmt.Fprint(w, "\tREASON")
	}
	fmt.Fprintln(w)
	for i := range *all {
		d := &(*all)[i]
		free, chunks := formatBytes(d.FreeBytes), fmt.Sprint(d.Chunks)
		if d.Health == "failed" {
			free, chunks = "-", "-" // nobody can tell
		}
		if several {
			fmt.Fprintf(w, "%s\t", d.Node)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%.8s", d.Path, stateText(d), formatBytes(d.Bytes), free, chunks, d.Queued, d.ID)
		if reasons {
			fmt.Fprintf(w, "\t%s", firstNonEmpty(d.Reason, "-"))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// stateText is what the map says of a drive, and what its process sees where that is something else.
func stateText(d *adminapi.Drive) string {
	state := d.State
	seen := d.Health != "" && d.Health != "ok" && d.Health != d.State
	if seen && (d.State != "down" || d.Health != "failed") { // a drive that failed is down
		state += "/" + d.Health
	}
	if d.Low {
		state += ", full"
	}
	if d.Draining {
		state += ", draining"
	}
	return state
}

func printRange(out io.Writer, r *adminapi.Range) {
	leader := fmt.Sprintf("leader on %.8s", r.Leader)
	if !r.Quorum || r.Leader == "" {
		leader = "NO QUORUM"
	}
	fmt.Fprintf(out, "range %d: %s, %s", r.ID, leader, plural.Of(len(r.Replicas), "replica"))
	for _, state := range []string{"learner", "lost"} {
		n := 0
		for _, rep := range r.Replicas {
			if rep.State == state {
				n++
			}
		}
		if n > 0 {
			fmt.Fprintf(out, ", %d %s", n, state)
		}
	}
	fmt.Fprintln(out)
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
