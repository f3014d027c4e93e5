package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
)

func newNodeTokenCommand(c *adminClient) *cobra.Command {
	req := adminapi.TokenRequest{}
	cmd := &cobra.Command{
		Use: "token", Short: "Make a token with which one more node joins, once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd, c, "POST", "nodes/token", &req, func(out io.Writer, t *adminapi.Token) error {
				if _, err := fmt.Fprintln(out, t.Token); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.ErrOrStderr(), "\nuntil %s, for one node; start it with:\n\n  SHERD_TOKEN=%s \\\n  sherd server --node NAME --advertise HOST:PORT --join %s DRIVE…\n", // a script takes the token alone
					t.Expires.Local().Format("15:04 on 2 January"), t.Token, t.Join)
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&req.Life, "expires", time.Hour, "how long it holds")
	return cmd
}
