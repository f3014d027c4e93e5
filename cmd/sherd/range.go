package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
)

func newRangeCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "range", Short: "List the ranges of object records, split one"}
	c.addFlags(cmd)
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List ranges", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return fetch(cmd, &c, "GET", "ranges", nil, printRanges)
			},
		},
		newRangeSplitCommand(&c),
	)
	return cmd
}

func newRangeSplitCommand(c *adminClient) *cobra.Command {
	var req adminapi.SplitRequest
	cmd := &cobra.Command{
		Use:   "split BUCKET/KEY | --range ID",
		Short: "Split a range of object records in two, before a key or in its middle",
		Long: "Ranges split by themselves when they are large or busy. This one splits now: before the key, or, with\n" +
			"--range, where half of its rows are. No data moves, and nothing waits.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (req.Range != 0) {
				return errors.New("give either BUCKET/KEY or --range ID")
			}
			if len(args) == 1 {
				req.Bucket, req.Key, _ = strings.Cut(args[0], "/")
			}
			return fetch(cmd, c, "POST", "ranges/split", &req, func(out io.Writer, r *adminapi.Range) error {
				_, err := fmt.Fprintf(out, "range %d begins at %s\n", r.ID, quoteBorder(r.Start))
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&req.Range, "range", 0, "id of the range, to split it in its middle")
	return cmd
}

// quoteBorder shows a border; a key cannot steer the terminal.
func quoteBorder(border string) string {
	if border == "" {
		return "-"
	}
	return fmt.Sprintf("%q", border)
}

func printRanges(out io.Writer, ranges *[]adminapi.Range) error {
	w := table(out)
	fmt.Fprintln(w, "ID\tFROM\tTO\tLEADER\tREPLICAS\tSTATE")
	for _, r := range *ranges {
		leader, state := "none", "ok"
		if r.Leader != "" {
			leader = r.Leader[:min(len(r.Leader), 8)]
		}
		switch {
		case !r.Quorum:
			state = "no quorum"
		case r.Splitting != "":
			state = "splits at " + quoteBorder(r.Splitting)
		}
		running := 0
		for _, rep := range r.Replicas {
			if rep.State != "lost" {
				running++
			}
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d of %d\t%s\n", r.ID, quoteBorder(r.Start), quoteBorder(r.End), leader, running, len(r.Replicas), state)
	}
	return w.Flush()
}
