package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// policyHolder is who has policies: the API's actions and parameters differ by a word.
type policyHolder string

const (
	userHolder  policyHolder = "User"
	groupHolder policyHolder = "Group"
)

func (h policyHolder) param() string { return string(h) + "Name" }
func (h policyHolder) noun() string  { return strings.ToUpper(string(h)) }

func (h policyHolder) attached(ctx context.Context, c *iamClient, name string) ([]iamAttached, error) {
	type page struct {
		Entries []iamAttached `xml:"AttachedPolicies>member"`
		iamPage
	}
	return iamList(ctx, c, "ListAttached"+string(h)+"Policies", iamParams{h.param(), name}, func(p page) ([]iamAttached, iamPage) { return p.Entries, p.iamPage })
}

func (h policyHolder) inline(ctx context.Context, c *iamClient, name string) ([]string, error) {
	type page struct {
		Entries []string `xml:"PolicyNames>member"`
		iamPage
	}
	return iamList(ctx, c, "List"+string(h)+"Policies", iamParams{h.param(), name}, func(p page) ([]string, iamPage) { return p.Entries, p.iamPage })
}

// strip takes all policies from a user or a group.
func (h policyHolder) strip(ctx context.Context, c *iamClient, name string) error {
	attached, err := h.attached(ctx, c, name)
	if err != nil {
		return err
	}
	for _, p := range attached {
		if _, err := c.call(ctx, "Detach"+string(h)+"Policy", iamParams{h.param(), name, "PolicyArn", p.ARN}); err != nil {
			return err
		}
	}
	inline, err := h.inline(ctx, c, name)
	if err != nil {
		return err
	}
	for _, p := range inline {
		if _, err := c.call(ctx, "Delete"+string(h)+"Policy", iamParams{h.param(), name, "PolicyName", p}); err != nil {
			return err
		}
	}
	return nil
}

// policyCommands are those of users and groups alike.
func policyCommands(c *iamClient, h policyHolder) []*cobra.Command {
	attach := func(action, done string) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			arn, err := c.policyARN(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			return iamDo(cmd, c, action+string(h)+"Policy", iamParams{h.param(), args[0], "PolicyArn", arn}, fmt.Sprintf(done, args[0], args[1]))
		}
	}
	put := iamCommand("put-policy "+h.noun()+" NAME FILE", "Give it a policy of its own, from a file with JSON (-: standard input)", func(cmd *cobra.Command, args []string) error {
		document, err := readDocument(cmd, args[2])
		if err != nil {
			return err
		}
		return iamDo(cmd, c, "Put"+string(h)+"Policy", iamParams{h.param(), args[0], "PolicyName", args[1], "PolicyDocument", document}, args[0]+" has policy "+args[1])
	})
	show := iamCommand("show-policy "+h.noun()+" NAME", "Show a policy of its own", func(cmd *cobra.Command, args []string) error {
		type result struct{ PolicyDocument string }
		got, err := iamGet[result](cmd.Context(), c, "Get"+string(h)+"Policy", iamParams{h.param(), args[0], "PolicyName", args[1]})
		if err != nil {
			return err
		}
		return printDocument(cmd.OutOrStdout(), got.PolicyDocument)
	})
	remove := iamCommand("rm-policy "+h.noun()+" NAME", "Remove a policy of its own", func(cmd *cobra.Command, args []string) error {
		return iamDo(cmd, c, "Delete"+string(h)+"Policy", iamParams{h.param(), args[0], "PolicyName", args[1]}, args[0]+" has no policy "+args[1]+" any more")
	})
	return []*cobra.Command{
		iamCommand("attach "+h.noun()+" POLICY", "Attach a managed policy, by its name or ARN", attach("Attach", "%s has %s")),
		iamCommand("detach "+h.noun()+" POLICY", "Detach a managed policy", attach("Detach", "%s does not have %s any more")),
		put, show, remove,
	}
}
