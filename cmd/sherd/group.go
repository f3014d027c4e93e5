package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func newGroupCommand() *cobra.Command {
	var c iamClient
	cmd := &cobra.Command{Use: "group", Short: "Groups of users, who have their policies"}
	c.addFlags(cmd)
	cmd.AddCommand(
		newGroupListCommand(&c), newGroupAddCommand(&c), newGroupRemoveCommand(&c),
		iamCommand("show GROUP", "Show a group with its users and policies", func(cmd *cobra.Command, args []string) error {
			g, err := c.groupDetail(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, &c, g, printGroup)
		}),
		iamCommand("join GROUP USER", "Put a user into a group", func(cmd *cobra.Command, args []string) error {
			return iamDo(cmd, &c, "AddUserToGroup", iamParams{"GroupName", args[0], "UserName", args[1]}, args[1]+" is in "+args[0])
		}),
		iamCommand("leave GROUP USER", "Take a user out of a group", func(cmd *cobra.Command, args []string) error {
			return iamDo(cmd, &c, "RemoveUserFromGroup", iamParams{"GroupName", args[0], "UserName", args[1]}, args[1]+" is not in "+args[0]+" any more")
		}),
		iamCommand("rename GROUP NEW", "Give a group another name; its users and policies stay", func(cmd *cobra.Command, args []string) error {
			return iamDo(cmd, &c, "UpdateGroup", iamParams{"GroupName", args[0], "NewGroupName", args[1]}, args[0]+" is now "+args[1])
		}),
	)
	cmd.AddCommand(policyCommands(&c, groupHolder)...)
	return cmd
}

func newGroupListCommand(c *iamClient) *cobra.Command {
	var prefix string
	cmd := iamCommand("ls", "List groups", func(cmd *cobra.Command, _ []string) error {
		groups, err := c.groups(cmd.Context(), prefix)
		if err != nil {
			return err
		}
		return show(cmd, c, groups, printGroups)
	})
	cmd.Flags().StringVar(&prefix, "path", "", "only those whose path begins so: /staff/")
	return cmd
}

func newGroupAddCommand(c *iamClient) *cobra.Command {
	var path string
	cmd := iamCommand("add GROUP", "Make a group", func(cmd *cobra.Command, args []string) error {
		return iamDo(cmd, c, "CreateGroup", iamParams{"GroupName", args[0], "Path", path}, "group "+args[0]+" is made")
	})
	cmd.Flags().StringVar(&path, "path", "", "such as /staff/, which policies may name (default /)")
	return cmd
}

func newGroupRemoveCommand(c *iamClient) *cobra.Command {
	var force bool
	cmd := iamCommand("rm GROUP", "Remove a group", func(cmd *cobra.Command, args []string) error {
		if force {
			if err := c.disband(cmd.Context(), args[0]); err != nil {
				return err
			}
		}
		return iamDo(cmd, c, "DeleteGroup", iamParams{"GroupName", args[0]}, "group "+args[0]+" is removed")
	})
	cmd.Flags().BoolVar(&force, "force", false, "with its policies, and though users are in it: they stay")
	return cmd
}

// disband takes all from a group that stands in the way of its removal.
func (c *iamClient) disband(ctx context.Context, group string) error {
	g, err := c.groupDetail(ctx, group)
	if err != nil {
		return err
	}
	for _, u := range g.Users {
		if _, err := c.call(ctx, "RemoveUserFromGroup", iamParams{"UserName", u, "GroupName", group}); err != nil {
			return err
		}
	}
	return groupHolder.strip(ctx, c, group)
}

// groupDetail is what `sherd group show` shows.
type groupDetail struct {
	iamGroup
	Users    []string      `json:"users"`
	Policies []iamAttached `json:"policies"`
	Inline   []string      `json:"inlinePolicies"`
}

func (c *iamClient) groupDetail(ctx context.Context, name string) (*groupDetail, error) {
	type page struct {
		Group iamGroup
		Users []iamUser `xml:"Users>member"`
		iamPage
	}
	g := groupDetail{Users: []string{}}
	users, err := iamList(ctx, c, "GetGroup", iamParams{"GroupName", name}, func(p page) ([]iamUser, iamPage) {
		g.iamGroup = p.Group
		return p.Users, p.iamPage
	})
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		g.Users = append(g.Users, u.Name)
	}
	if g.Policies, err = groupHolder.attached(ctx, c, name); err != nil {
		return nil, err
	}
	g.Inline, err = groupHolder.inline(ctx, c, name)
	return &g, err
}

func printGroups(out io.Writer, groups []iamGroup) error {
	w := table(out)
	fmt.Fprintln(w, "GROUP\tPATH\tCREATED\tID")
	for _, g := range groups {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", g.Name, g.Path, g.Created.Format(time.DateTime), g.ID)
	}
	return w.Flush()
}

func printGroup(out io.Writer, g *groupDetail) error {
	w := table(out)
	fmt.Fprintf(w, "group\t%s\narn\t%s\nid\t%s\ncreated\t%s\nusers\t%s\n", g.Name, g.ARN, g.ID, g.Created.Format(time.DateTime), listed(g.Users))
	printHeld(w, g.Policies, g.Inline)
	return w.Flush()
}
