package iam

import (
	"strings"

	"github.com/sherd-io/sherd/placement"
)

// Values are those of a condition key, given in lower case, as policy.Context has them: ok is false if the call gives it none. known is false
// for the keys that do not follow from the call: who made it, from where, and when.
func (p *Permission) Values(key string) (values []string, ok, known bool) {
	switch key {
	case "aws:tagkeys":
		return p.TagKeys, len(p.TagKeys) > 0, true
	case "iam:policyarn":
		return []string{p.PolicyARN}, p.PolicyARN != "", true
	}
	for _, of := range [...]struct {
		prefix string
		tags   []placement.Tag
	}{{"aws:requesttag/", p.RequestTags}, {"aws:resourcetag/", p.ResourceTags}, {"iam:resourcetag/", p.ResourceTags}} {
		if name, found := strings.CutPrefix(key, of.prefix); found {
			values, ok = tagValue(of.tags, name)
			return values, ok, true
		}
	}
	return nil, false, false
}

func tagValue(tags []placement.Tag, name string) (values []string, ok bool) {
	for _, t := range tags {
		if placement.FoldName(t.Key) == placement.FoldName(name) {
			return []string{t.Value}, true
		}
	}
	return nil, false
}

// The functions of this file say what a caller needs for an operation, as the Service Authorization Reference has it. Who or what
// is named may not be there: then the ARN is the one that it would have at the path "/".

// onUser is of the user that a call is about.
func onUser(c *call) []Permission {
	p := c.permission(c.userARN(c.subject()))
	if u := c.dir.m.User(c.dir.account, c.subject()); u != nil {
		p.ResourceTags = u.Tags
	}
	return []Permission{p}
}

// permission is for the call's operation on a resource, with what the call says of tags and managed policies.
func (c *call) permission(resource string) Permission {
	p := Permission{Resource: resource, RequestTags: c.form.tags(), TagKeys: c.form.list("TagKeys", tagsMax)}
	if c.attaches() {
		p.PolicyARN = c.get("PolicyArn")
	}
	for _, t := range p.RequestTags {
		p.TagKeys = append(p.TagKeys, t.Key)
	}
	return p
}

// attaches reports whether the call attaches a managed policy to a user or a group, or detaches it.
func (c *call) attaches() bool {
	return c.form.has("PolicyArn") && (c.form.has("UserName") || c.form.has("GroupName"))
}

// onNewUser is of a user that is to be, with the permission to tag it if it is to have tags.
func onNewUser(c *call) []Permission {
	return c.tagging("iam:TagUser", c.permission(c.dir.arn("user", c.or("Path", "/"), c.get("UserName"))))
}

func (c *call) tagging(action string, p Permission) []Permission {
	if len(p.RequestTags) == 0 {
		return []Permission{p}
	}
	tag := p
	tag.Action = action
	return []Permission{p, tag}
}

// onRenamedUser is of a user as it is and as it is to be.
func onRenamedUser(c *call) []Permission {
	before := onUser(c)
	u := c.dir.m.User(c.dir.account, c.get("UserName"))
	if u == nil {
		return before
	}
	return append(before, c.permission(c.dir.arn("user", c.or("NewPath", u.Path), c.or("NewUserName", u.Name))))
}

func onUsers(c *call) []Permission {
	return []Permission{c.permission(c.dir.arn("user", c.or("PathPrefix", "/"), ""))}
}

// onKey is of the user whose access key a call names.
func onKey(c *call) []Permission {
	k := c.dir.m.Identities[c.get("AccessKeyId")]
	switch {
	case k == nil || !c.dir.owns(k):
		return []Permission{c.permission("*")}
	case k.User == "":
		return []Permission{c.permission(c.dir.arn("root", "", ""))}
	}
	return []Permission{c.permission(c.userARN(k.User))}
}

func onGroup(c *call) []Permission { return []Permission{c.permission(c.groupARN(c.get("GroupName")))} }

func onNewGroup(c *call) []Permission {
	return []Permission{c.permission(c.dir.arn("group", c.or("Path", "/"), c.get("GroupName")))}
}

// onRenamedGroup is of a group as it is and as it is to be.
func onRenamedGroup(c *call) []Permission {
	before := onGroup(c)
	g := c.dir.m.Group(c.dir.account, c.get("GroupName"))
	if g == nil {
		return before
	}
	return append(before, c.permission(c.dir.arn("group", c.or("NewPath", g.Path), c.or("NewGroupName", g.Name))))
}

func onGroups(c *call) []Permission {
	return []Permission{c.permission(c.dir.arn("group", c.or("PathPrefix", "/"), ""))}
}

// onPolicy is of the managed policy that a call names.
func onPolicy(c *call) []Permission {
	p := c.permission(c.get("PolicyArn"))
	if there, err := c.named(); err == nil {
		p.ResourceTags = there.Tags
	}
	return []Permission{p}
}

func onNewPolicy(c *call) []Permission {
	return c.tagging("iam:TagPolicy", c.permission(c.dir.arn("policy", c.or("Path", "/"), c.get("PolicyName"))))
}

func onPolicies(c *call) []Permission {
	return []Permission{c.permission(c.dir.arn("policy", c.or("PathPrefix", "/"), ""))}
}

func onRoles(c *call) []Permission {
	return []Permission{c.permission(c.dir.arn("role", c.or("PathPrefix", "/"), ""))}
}

func onAccount(c *call) []Permission { return []Permission{c.permission("*")} }
