package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newKeyCommand() *cobra.Command {
	var c iamClient
	var user string
	cmd := &cobra.Command{
		Use: "key", Short: "Access keys of users",
		Long: "A user has two access keys at most, so that one can be replaced by another while both hold.\nWithout --user, keys are the caller's own.",
	}
	c.addFlags(cmd)
	cmd.PersistentFlags().StringVar(&user, "user", "", "whose keys (default: the caller's)")
	update := func(use, short, status, done string) *cobra.Command {
		return iamCommand(use, short, func(cmd *cobra.Command, args []string) error {
			return iamDo(cmd, &c, "UpdateAccessKey", iamParams{"UserName", user, "AccessKeyId", args[0], "Status", status}, args[0]+done)
		})
	}
	ls := iamCommand("ls", "List access keys", func(cmd *cobra.Command, _ []string) error {
		keys, err := c.keys(cmd.Context(), user)
		if err != nil {
			return err
		}
		return show(cmd, &c, keys, printKeys)
	})
	cmd.AddCommand(
		ls,
		&cobra.Command{
			Use: "add [USER]", Short: "Make an access key; its secret is shown once", Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return addKey(cmd, &c, firstNonEmpty(append(args, user)...))
			},
		},
		iamCommand("rm KEY", "Remove an access key", func(cmd *cobra.Command, args []string) error {
			return iamDo(cmd, &c, "DeleteAccessKey", iamParams{"UserName", user, "AccessKeyId", args[0]}, args[0]+" is removed")
		}),
		update("disable KEY", "Refuse an access key until it is enabled again", "Inactive", " is refused from now on"),
		update("enable KEY", "Take an access key again", "Active", " is taken again"),
	)
	return cmd
}

// addKey makes an access key of a user, or of the caller if user is "", and shows it.
func addKey(cmd *cobra.Command, c *iamClient, user string) error {
	type result struct{ AccessKey iamKey }
	got, err := iamGet[result](cmd.Context(), c, "CreateAccessKey", iamParams{"UserName", user})
	if err != nil {
		return err
	}
	return show(cmd, c, got.AccessKey, printNewKey)
}

func printNewKey(out io.Writer, k iamKey) error {
	_, err := fmt.Fprintf(out, "The access key of %s, its secret shown only now:\n\nexport AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\n",
		firstNonEmpty(k.User, "root"), k.AccessKey, k.Secret)
	return err
}

func printKeys(out io.Writer, keys []iamKey) error {
	w := table(out)
	fmt.Fprintln(w, "KEY\tUSER\tSTATUS\tCREATED")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.AccessKey, firstNonEmpty(k.User, "(root)"), strings.ToLower(k.Status), k.Created.Format(time.DateTime))
	}
	return w.Flush()
}
