package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
)

func newDriveCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "drive", Short: "List drives, add, drain, remove or replace one"}
	c.addFlags(cmd)
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List drives", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return fetch(cmd, &c, "GET", "drives", nil, printDrives)
			},
		},
		newDriveReplaceCommand(&c),
	)
	cmd.AddCommand(drivePlaceCommands(&c)...)
	return cmd
}

func newDriveReplaceCommand(c *adminClient) *cobra.Command {
	var req adminapi.ReplaceRequest
	var wait bool
	cmd := &cobra.Command{
		Use:   "replace PATH",
		Short: "Take the empty directory at PATH as a new drive in the place of the one that was there",
		Long: "PATH is one of the paths that the server was started with, with a new, empty file system mounted there.\n" +
			"The new drive gets an id of its own, and what the old one held is rebuilt on it: see `sherd heal status`.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Path = args[0]; !filepath.IsAbs(req.Path) && req.Node != "" {
				return fmt.Errorf("%s: give the path on node %s as it is there, from /", req.Path, req.Node)
			}
			abs, err := filepath.Abs(req.Path)
			if err != nil {
				return err
			}
			req.Path = abs
			err = fetch(cmd, c, "POST", "drives/replace", &req, func(out io.Writer, d *adminapi.Drive) error {
				_, err := fmt.Fprintf(out, "%s is drive %s now; it is being rebuilt (see `sherd heal status --follow`)\n", d.Path, d.ID)
				return err
			})
			if err != nil || !wait {
				return err
			}
			return followHeal(cmd, c)
		},
	}
	cmd.Flags().StringVar(&req.Node, "node", "", "the node that has the path (default: the one at --endpoint)")
	cmd.Flags().BoolVar(&req.Force, "force", false, "also where a mount point is missing, or more drives are empty than may be lost")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all is rebuilt")
	return cmd
}

func newHealCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "heal", Short: "Watch, start, pause and resume repair and rebuild"}
	c.addFlags(cmd)
	var live bool
	status := &cobra.Command{
		Use: "status", Short: "Print what is short of shards, and how repair goes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if live {
				return followHeal(cmd, &c)
			}
			return fetch(cmd, &c, "GET", "heal", nil, printHeal)
		},
	}
	status.Flags().BoolVar(&live, "follow", false, "go on until all is at full strength")
	cmd.AddCommand(status)
	for _, verb := range []struct{ name, short string }{
		{"start", "Repair all that is short now, without waiting"},
		{"pause", "Stop repair until resume; objects stay readable"},
		{"resume", "Go on after pause"},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: verb.name, Short: verb.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return fetch(cmd, &c, "POST", "heal/"+verb.name, nil, printHeal)
			},
		})
	}
	return cmd
}

var errJSONFollow = errors.New("--follow and --wait print for people: with --json, ask again and again instead")

func followHeal(cmd *cobra.Command, c *adminClient) error {
	if c.json {
		return errJSONFollow
	}
	return follow(cmd.Context(), cmd.OutOrStdout(), time.Second, func() (string, bool, error) {
		var h adminapi.Heal
		err := c.call(cmd.Context(), "GET", "heal", nil, &h)
		done := h.Queued == 0 && h.State == "idle"
		return healLine(&h, time.Now()), done, err
	})
}

// healLine is repair's progress in one line.
func healLine(h *adminapi.Heal, now time.Time) string {
	total := h.Done + h.Queued
	if total == 0 && h.State == "idle" {
		return "idle: nothing to heal; blobs: " + ledgerText(&h.Ledger, now)
	}
	line := fmt.Sprintf("%s %s %d of %s", h.State, bar(h.Done, total, 24), h.Done, plural.Of(total, "shard"))
	if h.Rate > 0 {
		line += fmt.Sprintf(", %s/s", formatBytes(int64(h.Rate)))
	}
	if h.ETASeconds > 0 {
		line += ", about " + roughly(time.Duration(h.ETASeconds*float64(time.Second))) + " left"
	}
	return line
}

func printHeal(out io.Writer, h *adminapi.Heal) error {
	now := time.Now()
	fmt.Fprintln(out, healLine(h, now))
	if h.Reason != "" {
		fmt.Fprintf(out, "reason  %s\n", h.Reason)
	}
	if h.Queued > 0 || h.State != "idle" {
		fmt.Fprintf(out, "blobs   %s\n", ledgerText(&h.Ledger, now))
		fmt.Fprintf(out, "to heal %s, %s\n", plural.Of(h.Queued, "shard"), formatBytes(h.QueuedBytes))
	}
	if h.Done > 0 {
		fmt.Fprintf(out, "healed  %s, %s\n", plural.Of(h.Done, "shard"), formatBytes(h.DoneBytes))
	}
	if h.Failed > 0 {
		fmt.Fprintf(out, "failed  %s, each tried again\n", plural.Of(h.Failed, "time"))
	}
	if text := convertText(&h.Convert); text != "" {
		fmt.Fprintf(out, "convert %s\n", text)
	}
	if len(h.Tasks) == 0 {
		return nil
	}
	w := table(out)
	fmt.Fprintln(w, "\nTASK\tDRIVE\tSTATE\tDONE")
	for _, t := range h.Tasks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Kind, t.Path, t.State, taskDone(&t))
	}
	return w.Flush()
}

// taskDone is how far a task is; one that is a single step has nothing to tell.
func taskDone(t *adminapi.HealTask) string {
	if t.Total <= 1 {
		return "-"
	}
	return fmt.Sprintf("%d of %s", t.Done, plural.Of(t.Total, "group"))
}
