package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
)

func newNodeCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "node", Short: "List nodes, let one join, drain or remove one"}
	c.addFlags(cmd)
	var drain adminapi.NodeRequest
	drainCmd := &cobra.Command{
		Use: "drain NODE", Short: "Have a node's drives give away all that they hold, so that it can be removed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			drain.Node = args[0]
			return fetch(cmd, &c, "POST", "nodes/drain", &drain, func(out io.Writer, n *adminapi.Node) error {
				if drain.Cancel {
					_, err := fmt.Fprintf(out, "%s is not drained any more\n", n.Name)
					return err
				}
				_, err := fmt.Fprintf(out, "%s is being drained: %s to go\n", n.Name, plural.Of(n.Slots, "slot"))
				return err
			})
		},
	}
	drainCmd.Flags().BoolVar(&drain.Force, "force", false, "drain it though a node or zone could not be lost any more then")
	drainCmd.Flags().BoolVar(&drain.Cancel, "cancel", false, "take the order back")
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List nodes", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return fetch(cmd, &c, "GET", "nodes", nil, printNodes) },
		},
		newNodeTokenCommand(&c),
		drainCmd,
		&cobra.Command{
			Use: "remove NODE", Short: "Take a node that is stopped, and was drained or is lost, out of the cluster", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return fetch(cmd, &c, "POST", "nodes/remove", &adminapi.NodeRequest{Node: args[0]}, func(out io.Writer, n *adminapi.Node) error {
					_, err := fmt.Fprintf(out, "%s is removed\n", n.Name)
					return err
				})
			},
		},
	)
	return cmd
}

func printNodes(out io.Writer, nodes *[]adminapi.Node) error {
	w := table(out)
	fmt.Fprintln(w, "NODE\tZONE\tSTATE\tDRIVES\tSIZE\tSLOTS\tREPLICAS\tADDRESS")
	for _, n := range *nodes {
		state := "up"
		if !n.Alive {
			state = "down"
		}
		if n.Draining {
			state += ", draining"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%s\n", n.Name, firstNonEmpty(n.Zone, "-"), state, n.Drives,
			formatBytes(n.Bytes), n.Slots, n.Replicas, firstNonEmpty(n.Addr, "-"))
	}
	return w.Flush()
}
