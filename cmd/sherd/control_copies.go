package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/cmd/sherd/restore"
	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement/store"
)

// copiesFlags are those of `control copies`.
type copiesFlags struct {
	server serverFlags
	to     string
	out    string
	cancel bool
}

func newControlCopiesCommand() *cobra.Command {
	var f copiesFlags
	cmd := &cobra.Command{
		Use:   "copies --for NODE [--out FILE] DRIVE…",
		Short: "Give the copies of the control state on a stopped node's drives to a restore on another node",
		Long: "Only when all of etcd is lost, or most of its members. Stop the node, and give all of its drives as for `sherd server`.\n" +
			"What is written, to --out or standard output, is to be brought to the node that makes the restore, for `sherd control\n" +
			"restore --copies`. From then on this node starts with no older control state than the restored one; --cancel takes that\n" +
			"back, if nothing is restored after all.",
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := nodeDrives(cmd, args)
			if err != nil {
				return err
			}
			switch {
			case len(paths) == 0:
				return errNoDrives
			case f.cancel == (f.to != ""):
				return errors.New("give --for NODE, the node that makes the restore, or --cancel")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), restoreWithin)
			defer cancel()
			return f.run(ctx, cmd, paths)
		},
	}
	addServerConfig(cmd, &f.server)
	cmd.Flags().StringVar(&f.to, "for", "", "name of the node that makes the restore")
	cmd.Flags().StringVar(&f.out, "out", "", "file to write to (default standard output)")
	cmd.Flags().BoolVar(&f.cancel, "cancel", false, "take back what was given: it must not be restored any more")
	return cmd
}

func (f *copiesFlags) run(ctx context.Context, cmd *cobra.Command, paths []string) error {
	cluster, hosts, unlock, err := lockDrives(paths, "left out")
	defer unlock()
	if err != nil {
		return err
	}
	if f.cancel {
		var errs []error
		for _, h := range hosts {
			errs = append(errs, store.TakeBack(h.Path, cluster))
		}
		return errors.Join(errs...)
	}
	g, err := restore.Give(ctx, cluster, hosts, f.to)
	if err != nil {
		return restoreError(err)
	}
	b, err := g.Encode()
	if err != nil {
		return err
	}
	if f.out == "" {
		_, err = cmd.OutOrStdout().Write(b)
	} else {
		err = atomicfile.Write(f.out, b)
	}
	if err != nil {
		return err
	}
	printGiven(cmd, g)
	return nil
}

// printGiven says on standard error what was given: standard output may be the file.
func printGiven(cmd *cobra.Command, g *restore.Given) {
	out := cmd.ErrOrStderr()
	for _, d := range g.Drives {
		if d.Error != "" {
			fmt.Fprintf(out, "no copy: %s: %s\n", d.Path, d.Error)
		}
	}
	readable := slices.DeleteFunc(slices.Clone(g.Drives), func(d restore.GivenDrive) bool { return d.Error != "" })
	fmt.Fprintf(out, "%s of %s given to %s, the newest of %s. Until that node has restored it, this one does not start; --cancel takes it back.\n",
		plural.Of(len(readable), "drive"), g.Node, g.For, g.Copy.Position())
}

// readGiven reads what other nodes gave.
func readGiven(files []string) (all []*restore.Given, err error) {
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		g, err := restore.ParseGiven(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, g)
	}
	return all, nil
}
