// Command sherd is an S3-compatible, erasure-coded object store: the server, and the tools to run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:])) }

// exitCode lets a command end with a code of its own after it said what there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := rootCommand()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "sherd: "+err.Error())
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sherd",
		Short: "S3-compatible object storage that heals itself",
		Long: "sherd cuts every object into erasure-coded shards, spreads them over drives, and heals itself.\n" +
			"Start with:  sherd server './data/d{1...6}'",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return applyConfig(cmd, os.LookupEnv) },
	}
	root.AddCommand(
		newServerCommand(),
		newEtcdCommand(),
		newStatusCommand(),
		newDriveCommand(),
		newRangeCommand(),
		newMetaCommand(),
		newNodeCommand(),
		newPlanCommand(),
		newPoolCommand(),
		newBucketCommand(),
		newHealCommand(),
		newScrubCommand(),
		newQuarantineCommand(),
		newUserCommand(),
		newGroupCommand(),
		newPolicyCommand(),
		newKeyCommand(),
		newAccountCommand(),
		newControlCommand(),
		newRescueCommand(),
		newDoctorCommand(),
		newBenchCommand(),
		newDevCommand(),
		newVersionCommand(),
	)
	for _, group := range root.Commands() {
		if group.HasSubCommands() && !group.Runnable() {
			refuseUnknown(group)
		}
	}
	return root
}

// refuseUnknown makes a slip in the name of one of group's commands an error. Of a command that cannot run by itself
// cobra shows the help instead, and ends with code 0, which a script takes for success.
func refuseUnknown(group *cobra.Command) {
	group.Args = cobra.NoArgs
	group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}
