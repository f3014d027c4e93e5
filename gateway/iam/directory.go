package iam

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

// directory is one account's part of a map.
type directory struct {
	m       *placement.Map
	account string // id
}

func (d directory) arn(kind, path, name string) string {
	return "arn:aws:iam::" + d.account + ":" + kind + path + name
}

func (d directory) userARN(u *placement.User) string   { return d.arn("user", u.Path, u.Name) }
func (d directory) groupARN(g *placement.Group) string { return d.arn("group", g.Path, g.Name) }
func (d directory) policyARN(p *placement.Policy) string {
	if p.Account == "" {
		return managedPrefix + p.Path + p.Name
	}
	return d.arn("policy", p.Path, p.Name)
}

// user finds a user. Errors: NoSuchEntity.
func (d directory) user(name string) (*placement.User, error) {
	if u := d.m.User(d.account, name); u != nil {
		return u, nil
	}
	return nil, fail(NoSuchEntity, "The user with name %s cannot be found.", name)
}

// group finds a group. Errors: NoSuchEntity.
func (d directory) group(name string) (*placement.Group, error) {
	if g := d.m.Group(d.account, name); g != nil {
		return g, nil
	}
	return nil, fail(NoSuchEntity, "The group with name %s cannot be found.", name)
}

// users are the account's users whose path begins with prefix, by name.
func (d directory) users(prefix string) []*placement.User {
	return sorted(d, d.m.Users, func(u *placement.User) bool { return strings.HasPrefix(u.Path, prefix) })
}

// groups are the account's groups whose path begins with prefix, by name.
func (d directory) groups(prefix string) []*placement.Group {
	return sorted(d, d.m.Groups, func(g *placement.Group) bool { return strings.HasPrefix(g.Path, prefix) })
}

// policies are the account's own policies whose path begins with prefix, by name.
func (d directory) policies(prefix string) []*placement.Policy {
	return sorted(d, d.m.Policies, func(p *placement.Policy) bool { return strings.HasPrefix(p.Path, prefix) })
}

// sorted are those of all that are of d's account and that keep takes, by name.
func sorted[T any](d directory, all map[placement.Name]*T, keep func(*T) bool) []*T {
	var names []placement.Name
	for name, record := range all {
		if name.Account == d.account && keep(record) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b placement.Name) int { return cmp.Compare(a.Folded, b.Folded) })
	chosen := make([]*T, len(names))
	for i, name := range names {
		chosen[i] = all[name]
	}
	return chosen
}

// members are a group's users, by name.
func (d directory) members(group string) []*placement.User {
	return slices.DeleteFunc(d.users(""), func(u *placement.User) bool { return !holds(u.Groups, group) })
}

// holds reports whether names have name, in any case.
func holds(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return placement.FoldName(n) == placement.FoldName(name) })
}

// keys are the access keys of a user, or of the account's root if user is "", oldest first.
func (d directory) keys(user string) []*placement.Identity {
	var keys []*placement.Identity
	for _, id := range d.m.Identities {
		if d.owns(id) && placement.FoldName(id.User) == placement.FoldName(user) {
			keys = append(keys, id)
		}
	}
	slices.SortFunc(keys, func(a, b *placement.Identity) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.AccessKey, b.AccessKey))
	})
	return keys
}

// owns reports whether id is of d's account.
func (d directory) owns(id *placement.Identity) bool {
	a := d.m.Account(id.Account)
	return a != nil && a.ID == d.account && (id.User != "" || id.Root)
}

// policy finds a managed policy, the account's own or one of AWS's. Errors: InvalidInput, NoSuchEntity.
func (d directory) policy(arn string) (*placement.Policy, error) {
	if !validPolicyARN(arn) {
		return nil, fail(InvalidInput, "ARN %s is not valid.", arn)
	}
	if p := d.lookPolicy(arn); p != nil {
		return p, nil
	}
	return nil, fail(NoSuchEntity, "Policy %s was not found.", arn)
}

func (d directory) lookPolicy(arn string) *placement.Policy {
	if strings.HasPrefix(arn, managedPrefix) {
		if p, ok := policy.FindManaged(arn); ok {
			return newManaged(p)
		}
		return nil
	}
	p := d.m.Policy(d.account, arn[strings.LastIndexByte(arn, '/')+1:])
	if p == nil || d.policyARN(p) != arn {
		return nil
	}
	return p
}

// attachments counts, for each managed policy's ARN, the users and groups that have it.
func (d directory) attachments() map[string]int {
	count := make(map[string]int)
	for _, u := range d.users("") {
		for _, arn := range u.Attached {
			count[arn]++
		}
	}
	for _, g := range d.groups("") {
		for _, arn := range g.Attached {
			count[arn]++
		}
	}
	return count
}

// validPolicyARN reports whether arn has the form of a managed policy's: arn:aws:iam::ACCOUNT:policy/PATH/NAME.
func validPolicyARN(arn string) bool {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::")
	account, resource, more := strings.Cut(rest, ":")
	path, isPolicy := strings.CutPrefix(resource, "policy/")
	isAccount := account == "aws" || len(account) == 12 && !strings.ContainsFunc(account, func(r rune) bool { return !isDigit(r) })
	return ok && more && isPolicy && isAccount && path != "" && path[len(path)-1] != '/' &&
		!strings.ContainsFunc(path, func(r rune) bool { return !isPolicyPathRune(r) })
}
