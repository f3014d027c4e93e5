package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement/plan"
)

// drivePlaceCommands are the commands of `sherd drive` that change where data is.
func drivePlaceCommands(c *adminClient) []*cobra.Command {
	return []*cobra.Command{newDriveAddCommand(c), newDriveDrainCommand(c), newDriveRemoveCommand(c), newDriveWeightCommand(c)}
}

// namesDrive says how drives are named on the command line.
const namesDrive = "DRIVE is a path, NODE:PATH, or the first digits of an id (`sherd drive ls`)."

// driveName is text as the server takes it: a path that is not absolute is one of this machine.
func driveName(text string) string {
	if strings.HasPrefix(text, ".") {
		if abs, err := filepath.Abs(text); err == nil {
			return abs
		}
	}
	return text
}

func newDriveAddCommand(c *adminClient) *cobra.Command {
	return &cobra.Command{
		Use:   "add PATH…",
		Short: "Take empty directories as drives more, while the server runs",
		Long: "PATH is a path on the machine of the server that --endpoint names; {1...6} in it counts. Its share of the data moves there by\n" +
			"itself: see `sherd plan`. The server remembers the drive: it need not be added to its arguments.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := expandDrives(args)
			if err != nil {
				return err
			}
			for _, path := range paths {
				if path, err = filepath.Abs(path); err != nil {
					return err
				}
				err = fetch(cmd, c, "POST", "drives/add", &adminapi.DriveRequest{Drive: path}, func(out io.Writer, d *adminapi.Drive) error {
					_, err := fmt.Fprintf(out, "%s is drive %.8s now, of %s\n", d.Path, d.ID, formatBytes(d.Bytes))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newDriveDrainCommand(c *adminClient) *cobra.Command {
	var req adminapi.DriveRequest
	var wait bool
	cmd := &cobra.Command{
		Use:   "drain DRIVE",
		Short: "Have a drive give away all that it holds, so that it can be removed",
		Long:  namesDrive + " It serves until it is empty; `sherd plan` shows how far that is.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Drive = driveName(args[0])
			err := fetch(cmd, c, "POST", "drives/drain", &req, func(out io.Writer, d *adminapi.Drive) error {
				if req.Cancel {
					_, err := fmt.Fprintf(out, "%s is not drained any more\n", d.Path)
					return err
				}
				_, err := fmt.Fprintf(out, "%s is being drained: %s to go\n", d.Path, plural.Of(d.Slots, "slot"))
				return err
			})
			if err != nil || !wait || req.Cancel {
				return err
			}
			return followDrain(cmd, c, req.Drive)
		},
	}
	cmd.Flags().BoolVar(&req.Cancel, "cancel", false, "take the order back")
	cmd.Flags().BoolVar(&req.Force, "force", false, "drain it though a node or zone could not be lost any more then")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the drive is empty")
	return cmd
}

// followDrain prints how far a drain is until the drive can be removed.
func followDrain(cmd *cobra.Command, c *adminClient, name string) error {
	if c.json {
		return errJSONFollow
	}
	var total int
	return follow(cmd.Context(), cmd.OutOrStdout(), time.Second, func() (string, bool, error) {
		var drives []adminapi.Drive
		if err := c.call(cmd.Context(), "GET", "drives", nil, &drives); err != nil {
			return "", false, err
		}
		for _, d := range drives {
			if d.Path != name && !strings.HasPrefix(d.ID, name) && d.Node+":"+d.Path != name {
				continue
			}
			total = max(total, d.Slots)
			left := []string{plural.Of(d.Slots, "slot")}
			if d.Replicas > 0 {
				left = append(left, plural.Of(d.Replicas, "replica"))
			}
			if d.Etcd {
				left = append(left, "an etcd member")
			}
			done := d.Slots == 0 && d.Replicas == 0 && !d.Etcd
			return fmt.Sprintf("%s to go %s", bar(int64(total-d.Slots), int64(total), 24), strings.Join(left, ", ")), done, nil
		}
		return "", false, fmt.Errorf("drive %s is not listed any more", name)
	})
}

func newDriveRemoveCommand(c *adminClient) *cobra.Command {
	var req adminapi.DriveRequest
	cmd := &cobra.Command{
		Use:   "remove DRIVE",
		Short: "Take a drive that was drained, or is lost, out of the cluster",
		Long: namesDrive + "\nIt does not come back as the drive that it was: empty the directory to use it again.\n" +
			"With --lost a drive that does not answer is given up at once; what it held is made again on the others.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Drive = driveName(args[0])
			return fetch(cmd, c, "POST", "drives/remove", &req, func(out io.Writer, d *adminapi.Drive) error {
				text := "is removed; take it from the server's drives, if it is among them"
				if d.State != "removed" {
					text = fmt.Sprintf("is given up; %s to be made again on other drives (`sherd heal status`), then remove it again", plural.Of(d.Slots, "slot"))
				}
				_, err := fmt.Fprintf(out, "%s %s\n", d.Path, text)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&req.Lost, "lost", false, "the drive does not come back: give it up")
	return cmd
}

func newDriveWeightCommand(c *adminClient) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weight DRIVE WEIGHT",
		Short: "Change a drive's share of the data: 1 for each TiB by default",
		Long:  namesDrive,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			weight, err := parseWeight(args[1])
			if err != nil {
				return err
			}
			req := adminapi.DriveRequest{Drive: driveName(args[0]), Weight: weight}
			return fetch(cmd, c, "POST", "drives/weight", &req, func(out io.Writer, d *adminapi.Drive) error {
				_, err := fmt.Fprintf(out, "%s has weight %.3g now (`sherd plan` shows what moves)\n", d.Path, d.Weight)
				return err
			})
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { // -5 is taken for a flag
		return fmt.Errorf("%w: %w", err, errWeight)
	})
	return cmd
}

var errWeight = errors.New("a weight is a number above 0 and below 1000000, 1 for each TiB by default; to empty a drive, `sherd drive drain` it")

// parseWeight reads a drive's weight. Error: errWeight.
func parseWeight(text string) (float64, error) {
	weight, err := strconv.ParseFloat(text, 64)
	if err != nil || !(weight > 0 && weight < plan.WeightMax) { // NaN is neither
		return 0, fmt.Errorf("%s: %w", text, errWeight)
	}
	return weight, nil
}
