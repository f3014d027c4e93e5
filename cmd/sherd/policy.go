package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	documentBytesMax  = 1 << 20 // more than any policy may have
	policyVersionsMax = 5       // of a managed policy; IAM refuses more
)

func newPolicyCommand() *cobra.Command {
	var c iamClient
	cmd := &cobra.Command{Use: "policy", Short: "Managed policies: what users and groups may do"}
	c.addFlags(cmd)
	cmd.AddCommand(
		newPolicyListCommand(&c), newPolicyAddCommand(&c), newPolicyRemoveCommand(&c),
		iamCommand("show POLICY", "Show the document in force", func(cmd *cobra.Command, args []string) error {
			document, err := c.documentInForce(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printDocument(cmd.OutOrStdout(), document)
		}),
		iamCommand("update POLICY FILE", "Put another document in force at once, from a file with JSON (-: standard input); the oldest of five versions goes",
			func(cmd *cobra.Command, args []string) error {
				document, err := readDocument(cmd, args[1])
				if err != nil {
					return err
				}
				if err := c.updatePolicy(cmd.Context(), args[0], document); err != nil {
					return err
				}
				return c.say(cmd, "policy "+args[0]+" is changed")
			}),
	)
	return cmd
}

func newPolicyListCommand(c *iamClient) *cobra.Command {
	var own bool
	cmd := iamCommand("ls", "List policies, those that come with sherd first", func(cmd *cobra.Command, _ []string) error {
		scope := "All"
		if own {
			scope = "Local"
		}
		policies, err := c.policies(cmd.Context(), scope)
		if err != nil {
			return err
		}
		return show(cmd, c, policies, printPolicies)
	})
	cmd.Flags().BoolVar(&own, "own", false, "without those that come with sherd")
	return cmd
}

func newPolicyAddCommand(c *iamClient) *cobra.Command {
	var path, description string
	cmd := iamCommand("add POLICY FILE", "Make a policy from a file with JSON (-: standard input)", func(cmd *cobra.Command, args []string) error {
		document, err := readDocument(cmd, args[1])
		if err != nil {
			return err
		}
		return iamDo(cmd, c, "CreatePolicy", iamParams{"PolicyName", args[0], "Path", path, "Description", description, "PolicyDocument", document},
			"policy "+args[0]+" is made; attach it with `sherd user attach USER "+args[0]+"`")
	})
	cmd.Flags().StringVar(&path, "path", "", "such as /staff/ (default /)")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

func newPolicyRemoveCommand(c *iamClient) *cobra.Command {
	return iamCommand("rm POLICY", "Remove a policy that nobody has, with all its versions", func(cmd *cobra.Command, args []string) error {
		arn, err := c.policyARN(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		versions, err := c.versions(cmd.Context(), arn)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if v.Default {
				continue
			}
			if _, err := c.call(cmd.Context(), "DeletePolicyVersion", iamParams{"PolicyArn", arn, "VersionId", v.ID}); err != nil {
				return err
			}
		}
		return iamDo(cmd, c, "DeletePolicy", iamParams{"PolicyArn", arn}, "policy "+args[0]+" is removed")
	})
}

// policyARN is the ARN of a policy that is called by its name, or by its ARN.
func (c *iamClient) policyARN(ctx context.Context, name string) (string, error) {
	if strings.HasPrefix(name, "arn:") {
		return name, nil
	}
	policies, err := c.policies(ctx, "All")
	if err != nil {
		return "", err
	}
	for _, p := range slices.Backward(policies) { // the account's own, which come last, before those that come with sherd
		if strings.EqualFold(p.Name, name) {
			return p.ARN, nil
		}
	}
	return "", fmt.Errorf("there is no policy %s: `sherd policy ls` lists them", name)
}

func (c *iamClient) documentInForce(ctx context.Context, name string) (string, error) {
	arn, err := c.policyARN(ctx, name)
	if err != nil {
		return "", err
	}
	type policy struct{ Policy iamPolicy }
	p, err := iamGet[policy](ctx, c, "GetPolicy", iamParams{"PolicyArn", arn})
	if err != nil {
		return "", err
	}
	type version struct{ PolicyVersion iamVersionRow }
	v, err := iamGet[version](ctx, c, "GetPolicyVersion", iamParams{"PolicyArn", arn, "VersionId", p.Policy.Default})
	return v.PolicyVersion.Document, err
}

// updatePolicy puts a new version in force. Where there are as many as there may be, the oldest that is not in force goes.
func (c *iamClient) updatePolicy(ctx context.Context, name, document string) error {
	arn, err := c.policyARN(ctx, name)
	if err != nil {
		return err
	}
	create := func() error {
		_, err := c.call(ctx, "CreatePolicyVersion", iamParams{"PolicyArn", arn, "PolicyDocument", document, "SetAsDefault", "true"})
		return err
	}
	if err = create(); !isIAM(err, "LimitExceeded") {
		return err
	}
	versions, listErr := c.versions(ctx, arn)
	switch {
	case listErr != nil:
		return listErr
	case len(versions) < policyVersionsMax:
		return err // another limit: the document is too long
	}
	for _, v := range slices.Backward(versions) { // the newest come first
		if !v.Default {
			if _, err := c.call(ctx, "DeletePolicyVersion", iamParams{"PolicyArn", arn, "VersionId", v.ID}); err != nil {
				return err
			}
			return create()
		}
	}
	return err
}

// readDocument reads a policy from a file, or from standard input.
func readDocument(cmd *cobra.Command, file string) (string, error) {
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, documentBytesMax))
	if err == nil && !json.Valid(b) {
		return "", fmt.Errorf("%s is no JSON", file)
	}
	return string(b), err
}

// printDocument prints a policy as the API has it, which is percent-encoded.
func printDocument(out io.Writer, encoded string) error {
	document, err := url.PathUnescape(encoded)
	if err != nil {
		return fmt.Errorf("the server's document is not percent-encoded: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(document), "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, b.String())
	return err
}

func printPolicies(out io.Writer, policies []iamPolicy) error {
	w := table(out)
	fmt.Fprintln(w, "POLICY\tATTACHED\tVERSION\tUPDATED\tARN")
	for _, p := range policies {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", p.Name, p.Attached, p.Default, p.Updated.Format(time.DateTime), p.ARN)
	}
	return w.Flush()
}
