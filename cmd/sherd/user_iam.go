package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// userCommands are the commands of `sherd user` that speak to a server.
func userCommands(c *iamClient) []*cobra.Command {
	rename := iamCommand("rename USER NEW", "Give a user another name; its keys, groups and policies stay", func(cmd *cobra.Command, args []string) error {
		return iamDo(cmd, c, "UpdateUser", iamParams{"UserName", args[0], "NewUserName", args[1]}, args[0]+" is now "+args[1])
	})
	return append([]*cobra.Command{
		newUserListCommand(c), newUserAddCommand(c), newUserRemoveCommand(c), rename,
		iamCommand("show USER", "Show a user with its groups, policies and access keys", func(cmd *cobra.Command, args []string) error {
			u, err := c.userDetail(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, c, u, printUser)
		}),
	}, policyCommands(c, userHolder)...)
}

func newUserListCommand(c *iamClient) *cobra.Command {
	var prefix string
	cmd := iamCommand("ls", "List users", func(cmd *cobra.Command, _ []string) error {
		users, err := c.users(cmd.Context(), prefix)
		if err != nil {
			return err
		}
		return show(cmd, c, users, printUsers)
	})
	cmd.Flags().StringVar(&prefix, "path", "", "only those whose path begins so: /staff/")
	return cmd
}

func newUserAddCommand(c *iamClient) *cobra.Command {
	var path string
	var groups, tags []string
	var key bool
	cmd := iamCommand("add USER", "Make a user; without a policy or a group it may do nothing", func(cmd *cobra.Command, args []string) error {
		params := iamParams{"UserName", args[0], "Path", path}
		for i, tag := range tags {
			name, value, _ := strings.Cut(tag, "=")
			member := fmt.Sprintf("Tags.member.%d.", i+1)
			params = append(params, member+"Key", name, member+"Value", value)
		}
		if _, err := c.call(cmd.Context(), "CreateUser", params); err != nil {
			return err
		}
		for _, group := range groups {
			if _, err := c.call(cmd.Context(), "AddUserToGroup", iamParams{"GroupName", group, "UserName", args[0]}); err != nil {
				return fmt.Errorf("the user is made, but is not in group %s: %w", group, err)
			}
		}
		if key {
			return addKey(cmd, c, args[0])
		}
		return c.say(cmd, "user "+args[0]+" is made; give it a key with `sherd key add "+args[0]+"`")
	})
	cmd.Example = "  sherd user add backup --group writers --key"
	cmd.Flags().StringVar(&path, "path", "", "such as /staff/, which policies may name (default /)")
	cmd.Flags().StringSliceVar(&groups, "group", nil, "put it into these groups")
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "NAME=VALUE")
	cmd.Flags().BoolVar(&key, "key", false, "make an access key too, and show it")
	return cmd
}

func newUserRemoveCommand(c *iamClient) *cobra.Command {
	var force bool
	cmd := iamCommand("rm USER", "Remove a user", func(cmd *cobra.Command, args []string) error {
		if force {
			if err := c.strip(cmd.Context(), args[0]); err != nil {
				return err
			}
		}
		return iamDo(cmd, c, "DeleteUser", iamParams{"UserName", args[0]}, "user "+args[0]+" is removed")
	})
	cmd.Flags().BoolVar(&force, "force", false, "with its access keys, policies and memberships")
	return cmd
}

// strip takes all from a user that stands in the way of its removal; its keys first, so that it can do nothing any more.
func (c *iamClient) strip(ctx context.Context, user string) error {
	u, err := c.userDetail(ctx, user)
	if err != nil {
		return err
	}
	for _, k := range u.Keys {
		if _, err := c.call(ctx, "DeleteAccessKey", iamParams{"UserName", user, "AccessKeyId", k.AccessKey}); err != nil {
			return err
		}
	}
	for _, g := range u.Groups {
		if _, err := c.call(ctx, "RemoveUserFromGroup", iamParams{"UserName", user, "GroupName", g}); err != nil {
			return err
		}
	}
	return userHolder.strip(ctx, c, user)
}

// userDetail is what `sherd user show` shows.
type userDetail struct {
	iamUser
	Groups   []string      `json:"groups"`
	Policies []iamAttached `json:"policies"`
	Inline   []string      `json:"inlinePolicies"`
	Keys     []iamKey      `json:"keys"`
}

func (c *iamClient) userDetail(ctx context.Context, name string) (*userDetail, error) {
	type result struct{ User iamUser }
	got, err := iamGet[result](ctx, c, "GetUser", iamParams{"UserName", name})
	if err != nil {
		return nil, err
	}
	u := userDetail{iamUser: got.User, Groups: []string{}}
	groups, err := c.groupsOf(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		u.Groups = append(u.Groups, g.Name)
	}
	if u.Policies, err = userHolder.attached(ctx, c, name); err != nil {
		return nil, err
	}
	if u.Inline, err = userHolder.inline(ctx, c, name); err != nil {
		return nil, err
	}
	u.Keys, err = c.keys(ctx, name)
	return &u, err
}

func printUsers(out io.Writer, users []iamUser) error {
	w := table(out)
	fmt.Fprintln(w, "USER\tPATH\tCREATED\tID")
	for _, u := range users {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.Path, u.Created.Format(time.DateTime), u.ID)
	}
	return w.Flush()
}

func printUser(out io.Writer, u *userDetail) error {
	w := table(out)
	fmt.Fprintf(w, "user\t%s\narn\t%s\nid\t%s\ncreated\t%s\n", u.Name, u.ARN, u.ID, u.Created.Format(time.DateTime))
	if len(u.Tags) > 0 {
		var tags []string
		for _, t := range u.Tags {
			tags = append(tags, t.Key+"="+t.Value)
		}
		fmt.Fprintf(w, "tags\t%s\n", strings.Join(tags, ", "))
	}
	fmt.Fprintf(w, "groups\t%s\n", listed(u.Groups))
	printHeld(w, u.Policies, u.Inline)
	for _, k := range u.Keys {
		fmt.Fprintf(w, "key\t%s, %s, since %s\n", k.AccessKey, strings.ToLower(k.Status), k.Created.Format(time.DateTime))
	}
	return w.Flush()
}

// printHeld are the lines of a user's or a group's policies.
func printHeld(w io.Writer, attached []iamAttached, inline []string) {
	var names []string
	for _, p := range attached {
		names = append(names, p.ARN)
	}
	fmt.Fprintf(w, "policies\t%s\n", listed(names))
	if len(inline) > 0 {
		fmt.Fprintf(w, "inline\t%s\n", listed(inline))
	}
}

// listed is names in a line.
func listed(names []string) string { return firstNonEmpty(strings.Join(names, ", "), "-") }
