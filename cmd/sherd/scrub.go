package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
)

func newScrubCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "scrub", Short: "Read and verify all that is stored"}
	c.addFlags(cmd)
	var wait bool
	start := &cobra.Command{
		Use: "start", Short: "Begin a pass, or go on with a paused one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !wait || c.json {
				return fetch(cmd, &c, "POST", "scrub/start", nil, printScrub)
			}
			if err := c.call(cmd.Context(), "POST", "scrub/start", nil, nil); err != nil {
				return err
			}
			var s adminapi.Scrub
			err := follow(cmd.Context(), cmd.OutOrStdout(), time.Second, func() (string, bool, error) {
				err := c.call(cmd.Context(), "GET", "scrub", nil, &s)
				return scrubLine(&s), s.State != "running", err
			})
			if err != nil {
				return err
			}
			return printScrub(cmd.OutOrStdout(), &s)
		},
	}
	start.Flags().BoolVar(&wait, "wait", false, "show progress until the pass ends")
	cmd.AddCommand(
		start,
		&cobra.Command{
			Use: "status", Short: "Print what the scrubber does and found", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return fetch(cmd, &c, "GET", "scrub", nil, printScrub) },
		},
		&cobra.Command{
			Use: "pause", Short: "Stop after the blob in hand; start goes on from there", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return fetch(cmd, &c, "POST", "scrub/pause", nil, printScrub)
			},
		},
	)
	return cmd
}

func scrubLine(s *adminapi.Scrub) string {
	if s.Total == 0 {
		return fmt.Sprintf("%s: %s", s.State, plural.Of(s.Blobs, "blob"))
	}
	return fmt.Sprintf("%s %s %d of %s, %s/s", s.State, bar(s.Blobs, s.Total, 24), s.Blobs, plural.Of(s.Total, "blob"), formatBytes(int64(s.Rate)))
}

func printScrub(out io.Writer, s *adminapi.Scrub) error {
	if s.Started.IsZero() {
		_, err := fmt.Fprintf(out, "%s: nothing was read since the server started; `sherd scrub start` begins a pass\n", s.State)
		return err
	}
	fmt.Fprintln(out, scrubLine(s))
	if s.Reason != "" {
		fmt.Fprintf(out, "reason  %s\n", s.Reason)
	}
	fmt.Fprintf(out, "read    %s, %s\n", plural.Of(s.Blobs, "blob"), formatBytes(s.Bytes))
	fmt.Fprintf(out, "shards  %d damaged, %d missing, %d repaired\n", s.Damaged, s.Missing, s.Repaired)
	fmt.Fprintf(out, "chunks  %d removed as garbage, %d put into quarantine\n", s.Garbage, s.Quarantined)
	ended := "no whole pass yet"
	if !s.Finished.IsZero() {
		ended = "last whole pass " + s.Finished.Local().Format(time.DateTime)
	}
	_, err := fmt.Fprintf(out, "ended   %s\n", ended)
	return err
}

func newQuarantineCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "quarantine", Short: "List and restore chunks that the scrubber could not explain"}
	c.addFlags(cmd)
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List them", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return fetch(cmd, &c, "GET", "quarantine", nil, printQuarantine)
			},
		},
		&cobra.Command{
			Use: "restore DRIVE CHUNK", Short: "Put one back, as `quarantine ls` names it", Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				req := adminapi.RestoreRequest{Drive: args[0], Chunk: args[1]}
				return fetch(cmd, &c, "POST", "quarantine/restore", req, func(out io.Writer, q *adminapi.Quarantined) error {
					_, err := fmt.Fprintf(out, "%s is back on %s\n", q.Chunk, q.Path)
					return err
				})
			},
		},
	)
	return cmd
}

func printQuarantine(out io.Writer, all *adminapi.Quarantine) error {
	for _, d := range all.Unread {
		fmt.Fprintf(out, "MISSING what is on %s of node %s: %s\n", d.Path, d.Node, d.Reason)
	}
	if len(all.Chunks) == 0 {
		where := ""
		if len(all.Unread) > 0 {
			where = " on the others"
		}
		_, err := fmt.Fprintf(out, "nothing is in quarantine%s\n", where)
		return err
	}
	w := table(out)
	fmt.Fprintln(w, "SINCE\tDRIVE\tCHUNK\tBYTES\tOBJECT\tREASON")
	for _, q := range all.Chunks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%q\t%s\n",
			q.Since.Local().Format(time.DateTime), q.Drive, q.Chunk, formatBytes(q.Bytes), q.Object, q.Reason)
	}
	return w.Flush()
}
