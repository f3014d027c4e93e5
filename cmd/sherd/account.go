package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newAccountCommand() *cobra.Command {
	var c iamClient
	cmd := &cobra.Command{
		Use: "account", Short: "Accounts: owners of buckets, with users of their own",
		Long: "One account is there from the start. Others keep tenants apart: each has its own root, users, groups and policies, and owns the buckets\n" +
			"that they make. Only the first account's root may use these commands.",
	}
	c.addFlags(cmd)
	cmd.AddCommand(
		iamCommand("ls", "List accounts", func(cmd *cobra.Command, _ []string) error {
			accounts, err := c.accounts(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, &c, accounts, printAccounts)
		}),
		iamCommand("add NAME", "Make an account, with an access key of its root, which is shown once", func(cmd *cobra.Command, args []string) error {
			got, err := iamGet[newAccount](cmd.Context(), &c, "CreateAccount", iamParams{"AccountName", args[0]})
			if err != nil {
				return err
			}
			return show(cmd, &c, got, printNewAccount)
		}),
		iamCommand("reset-root ACCOUNT", "Give an account's root, by its name or id, a new access key in the place of those that it has", func(cmd *cobra.Command, args []string) error {
			id, err := c.accountID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			type result struct{ AccessKey iamKey }
			got, err := iamGet[result](cmd.Context(), &c, "ResetAccountRoot", iamParams{"AccountId", id})
			if err != nil {
				return err
			}
			return show(cmd, &c, got.AccessKey, printNewKey)
		}),
		iamCommand("rm ACCOUNT", "Remove an account, by its name or id, that has no user, group, policy or bucket", func(cmd *cobra.Command, args []string) error {
			id, err := c.accountID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return iamDo(cmd, &c, "DeleteAccount", iamParams{"AccountId", id}, "account "+args[0]+" is removed")
		}),
	)
	return cmd
}

// newAccount is an account with the first key of its root.
type newAccount struct {
	Account iamAccount `json:"account"`
	Key     iamKey     `xml:"AccessKey" json:"key"`
}

func (c *iamClient) accountID(ctx context.Context, name string) (string, error) {
	accounts, err := c.accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range accounts {
		if a.ID == name || strings.EqualFold(a.Name, name) {
			return a.ID, nil
		}
	}
	return "", fmt.Errorf("there is no account %s: `sherd account ls` lists them", name)
}

func printNewAccount(out io.Writer, a newAccount) error {
	fmt.Fprintf(out, "account %s is made, its id is %s\n", a.Account.Name, a.Account.ID)
	return printNewKey(out, a.Key)
}

func printAccounts(out io.Writer, accounts []iamAccount) error {
	w := table(out)
	fmt.Fprintln(w, "ACCOUNT\tID\tCREATED\tCANONICAL ID")
	for _, a := range accounts {
		created := "-" // the first one has no record
		if a.Created.Unix() > 0 {
			created = a.Created.Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Name, a.ID, created, a.Canonical)
	}
	return w.Flush()
}
