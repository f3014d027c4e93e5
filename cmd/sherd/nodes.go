package main

import "github.com/spf13/cobra"

func newNodeCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{Use: "node", Short: "Let nodes join"}
	c.addFlags(cmd)
	cmd.AddCommand(newNodeTokenCommand(&c))
	return cmd
}
