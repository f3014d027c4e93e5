package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/placement/member"
)

// newEtcdCommand is the child that the server runs its etcd members in. A person has no use for it.
func newEtcdCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "etcd",
		Short:  "Run embedded etcd members, as the server tells on standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return member.RunChild(os.Stdin, os.Stdout, os.Stderr) },
	}
}
