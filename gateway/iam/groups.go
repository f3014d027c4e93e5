package iam

import (
	"slices"

	"github.com/sherd-io/sherd/placement"
)

// renamedMembers is how many users a group may have that gets another name: users name their groups, and the group itself is two
// records, the old one and the new.
const renamedMembers = placement.IAMChangesMax - 2

type groupXML struct {
	Path       string
	GroupName  string
	GroupID    string `xml:"GroupId"`
	ARN        string `xml:"Arn"`
	CreateDate moment
}

func (c *call) groupXML(g *placement.Group) groupXML {
	return groupXML{Path: g.Path, GroupName: g.Name, GroupID: g.ID, ARN: c.dir.groupARN(g), CreateDate: moment{g.Created}}
}

type groupResult struct{ Group groupXML }

func (c *call) createGroup() (any, error) {
	name := c.get("GroupName")
	if c.dir.m.Group(c.dir.account, name) != nil {
		return nil, fail(EntityAlreadyExists, "Group with name %s already exists.", name)
	}
	if len(c.dir.groups("")) >= groupsMax {
		return nil, overQuota("GroupsPerAccount", groupsMax)
	}
	g := &placement.Group{Account: c.dir.account, Name: name, Path: c.or("Path", "/"), ID: newID("AGPA"), Created: c.now}
	c.putGroup(g)
	return groupResult{c.groupXML(g)}, nil
}

type groupMembersResult struct {
	Group groupXML
	Users members[userXML]
	page
}

func (c *call) getGroup() (any, error) {
	g, err := c.dir.group(c.get("GroupName"))
	if err != nil {
		return nil, err
	}
	users, rest, err := paged(c, c.dir.members(g.Name), userKey)
	if err != nil {
		return nil, err
	}
	return groupMembersResult{c.groupXML(g), members[userXML]{each(users, c.userXML)}, rest}, nil
}

type groupsResult struct {
	Groups members[groupXML]
	page
}

func (c *call) listGroups() (any, error) { return c.groupsPage(c.dir.groups(c.or("PathPrefix", "/"))) }

func (c *call) listGroupsForUser() (any, error) {
	u, err := c.dir.user(c.get("UserName"))
	if err != nil {
		return nil, err
	}
	return c.groupsPage(slices.DeleteFunc(c.dir.groups(""), func(g *placement.Group) bool { return !holds(u.Groups, g.Name) }))
}

func (c *call) groupsPage(groups []*placement.Group) (any, error) {
	groups, rest, err := paged(c, groups, groupKey)
	if err != nil {
		return nil, err
	}
	return groupsResult{members[groupXML]{each(groups, c.groupXML)}, rest}, nil
}

func groupKey(g *placement.Group) string { return placement.FoldName(g.Name) }

// updateGroup gives a group another name, path or both. Users name their groups, so a group of many is renamed in steps: until the last it is
// there under both names, with the same id and policies, and each user is in one of the two. Who finds it so goes on with it.
func (c *call) updateGroup() (any, error) {
	old, err := c.dir.group(c.get("GroupName"))
	if err != nil {
		return nil, err
	}
	g := *old
	g.Name, g.Path = c.or("NewGroupName", old.Name), c.or("NewPath", old.Path)
	switch other := c.dir.m.Group(c.dir.account, g.Name); {
	case other == nil || other == old:
		if err := c.settled(old); err != nil {
			return nil, err
		}
	case other.ID != old.ID || old.ID == "":
		return nil, fail(EntityAlreadyExists, "Group with name %s already exists.", g.Name)
	}
	if g.Name != old.Name {
		c.again = c.renameInMembers(old.Name, g.Name)
	}
	moved := groupKey(&g) != groupKey(old)
	if c.again && !moved {
		return nil, nil // they may have it in either case
	}
	if moved && !c.again {
		c.dropGroup(old)
	}
	c.putGroup(&g)
	return nil, nil
}

// settled refuses to change a group that is about to get another name. Errors: ConcurrentModification.
func (c *call) settled(g *placement.Group) error {
	for _, other := range c.dir.groups("") {
		if other != g && other.ID == g.ID && g.ID != "" {
			return fail(ConcurrentModification, "The group %s is also there as %s: it is being renamed. Wait until that is done, or rename it again.", g.Name, other.Name)
		}
	}
	return nil
}

// renameInMembers gives as many of a group's users its new name as one step can, and reports whether there are more.
func (c *call) renameInMembers(old, fresh string) (more bool) {
	renamed := 0
	for _, member := range c.dir.members(old) {
		if slices.Contains(member.Groups, fresh) && !slices.Contains(member.Groups, old) {
			continue
		}
		if renamed++; renamed > renamedMembers {
			return true
		}
		u := *member
		u.Groups = append(remove(remove(member.Groups, old), fresh), fresh)
		c.putUser(&u)
	}
	return false
}

// remove is a copy of names without name, in any case.
func remove(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return placement.FoldName(n) == placement.FoldName(name) })
}

func (c *call) deleteGroup() (any, error) {
	g, err := c.dir.group(c.get("GroupName"))
	if err == nil {
		err = c.settled(g)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case len(c.dir.members(g.Name)) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must remove users from group first.")
	case len(g.Attached) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must detach all policies first.")
	case len(g.Inline) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must delete policies first.")
	}
	c.dropGroup(g)
	return nil, nil
}

// addUserToGroup does nothing if the user is in the group.
func (c *call) addUserToGroup() (any, error) {
	g, old, err := c.membership()
	if err != nil || holds(old.Groups, g.Name) {
		return nil, err
	}
	if len(old.Groups) >= groupsPerUser {
		return nil, overQuota("GroupsPerUser", groupsPerUser)
	}
	u := *old
	u.Groups = append(slices.Clone(old.Groups), g.Name)
	c.putUser(&u)
	return nil, nil
}

func (c *call) removeUserFromGroup() (any, error) {
	g, old, err := c.membership()
	if err != nil {
		return nil, err
	}
	if !holds(old.Groups, g.Name) {
		return nil, fail(NoSuchEntity, "The user with name %s is not in the group %s.", old.Name, g.Name)
	}
	u := *old
	u.Groups = remove(old.Groups, g.Name)
	c.putUser(&u)
	return nil, nil
}

// membership is the group and the user that a call names. Errors: NoSuchEntity.
func (c *call) membership() (*placement.Group, *placement.User, error) {
	g, err := c.dir.group(c.get("GroupName"))
	if err != nil {
		return nil, nil, err
	}
	u, err := c.dir.user(c.get("UserName"))
	return g, u, err
}
