package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
)

func newMetaCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "meta", Short: "Recover object records that have lost most of their replicas"}
	cmd.AddCommand(newMetaRecoverCommand())
	return cmd
}

// recoverFlags are those of `meta recover`.
type recoverFlags struct {
	client adminClient
	ranges []uint
	dryRun bool
	yes    bool
}

func newMetaRecoverCommand() *cobra.Command {
	var f recoverFlags
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Have ranges whose majority is gone for good go on with the replicas that are left",
		Long: "A range of the object records that has lost a majority of its replicas refuses everything: they could come back, with\n" +
			"changes that the others do not have. Only when they are gone for good, say so with this command. It shows what is left of\n" +
			"each such range and what may be missing, asks, and has the range go on from the replica that has most.\n\n" +
			"First make sure that the lost drives and their nodes are off, and stay off until this is done. When they come back later,\n" +
			"their replicas are destroyed, and nothing of them is merged.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.client.addFlags(cmd)
	cmd.Flags().UintSliceVar(&f.ranges, "range", nil, "only these ranges, by id; without it all that can be recovered")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what is lost and what is left")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it, without asking")
	return cmd
}

func (f *recoverFlags) run(cmd *cobra.Command) error {
	var lost []adminapi.LostRange
	if err := f.client.call(cmd.Context(), "GET", "meta/recover", nil, &lost); err != nil {
		return err
	}
	if len(f.ranges) > 0 {
		lost = slices.DeleteFunc(lost, func(r adminapi.LostRange) bool { return !slices.Contains(f.ranges, uint(r.ID)) })
	}
	out := cmd.OutOrStdout()
	if f.client.json && f.dryRun {
		return writeJSON(out, lost)
	}
	if !f.client.json {
		printLost(out, lost)
	}
	var req adminapi.RecoverRequest
	for _, r := range lost {
		if r.Refused == "" {
			best := r.Survivors[0]
			req.Ranges = append(req.Ranges, adminapi.RecoverRange{ID: r.ID, Generation: r.Generation, From: best.ID, Index: best.Index})
		}
	}
	switch {
	case f.dryRun || len(lost) == 0:
		return nil
	case len(req.Ranges) == 0:
		return errors.New("none of them can be recovered now")
	}
	const question = "\nFrom then on the lost replicas are never read again, not even if they come back with newer changes.\n" +
		"Are their drives and nodes gone for good? Type recover: "
	if !f.yes && !agreed(cmd.InOrStdin(), out, question, "recover") {
		return errors.New("nothing was changed: give --yes to recover")
	}
	return fetch(cmd, &f.client, "POST", "meta/recover", &req, func(out io.Writer, done *[]adminapi.Range) error {
		for _, r := range *done {
			fmt.Fprintf(out, "range %d goes on with %s\n", r.ID, plural.Of(len(r.Replicas), "replica"))
		}
		_, err := fmt.Fprintln(out, "More replicas are made by themselves, as drives allow. Look at `sherd status`; where blobs lack shards, at `sherd heal status`.")
		return err
	})
}

// printLost says what is left of each range, and what may be missing.
func printLost(out io.Writer, lost []adminapi.LostRange) {
	if len(lost) == 0 {
		fmt.Fprintln(out, "every range has a majority of its replicas: there is nothing to recover")
	}
	for i := range lost {
		r := &lost[i]
		fmt.Fprintf(out, "range %d, from %s to %s: %d of %s left\n", r.ID, quoteBorder(r.Start), quoteBorder(r.End),
			len(r.Survivors), plural.Of(len(r.Survivors)+len(r.Lost), "replica"))
		if len(r.Buckets) > 0 {
			fmt.Fprintf(out, "  buckets: %s\n", strings.Join(r.Buckets, ", "))
		}
		w := table(out)
		fmt.Fprintln(w, "  REPLICA\tDRIVE\tIS\tTERM\tINDEX\tLAST CHANGE")
		for _, s := range r.Survivors {
			fmt.Fprintf(w, "  %d\t%s:%s\tleft\t%d\t%d\t%s\n", s.ID, s.Node, s.Path, s.Term, s.Index, moment(s.Last))
		}
		for _, l := range r.Lost {
			fmt.Fprintf(w, "  %d\t%s:%s\tlost (drive %s)\t-\t-\t-\n", l.ID, l.Node, l.Path, cmp.Or(l.State, "unknown"))
		}
		w.Flush()
		fmt.Fprintln(out, "  "+missing(r))
	}
}

// missing says what a recovery of r would cost.
func missing(r *adminapi.LostRange) string {
	switch {
	case r.Refused != "":
		return "CANNOT be recovered now: " + r.Refused
	case r.Whole:
		return "nothing is missing: any majority of its replicas had one of those that are left"
	case r.Survivors[0].Last.IsZero():
		return "MAY BE MISSING: anything that was written there; what is left has no change at all"
	}
	return fmt.Sprintf("MAY BE MISSING: what was written, changed or deleted there after %s, if only the lost ones took it", moment(r.Survivors[0].Last))
}

// moment shows a time to the millisecond; "-" if it is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}
