package iam

import (
	"cmp"
	"slices"

	"github.com/sherd-io/sherd/placement"
)

// Limits of an account. AWS has them as quotas that its support raises; these are the most that it raises them to.
const (
	usersMax      = 5000
	groupsMax     = 5000
	policiesMax   = 5000
	keysPerUser   = 2
	groupsPerUser = 10
	attachedMax   = 10
	versionsMax   = 5
)

type tagXML struct{ Key, Value string }

// tagsXML is nil if there are no tags: AWS leaves the element out.
func tagsXML(tags []placement.Tag) *members[tagXML] {
	if len(tags) == 0 {
		return nil
	}
	return &members[tagXML]{tagList(tags)}
}

func tagList(tags []placement.Tag) []tagXML {
	out := make([]tagXML, len(tags))
	for i, t := range tags {
		out[i] = tagXML(t)
	}
	return out
}

type userXML struct {
	Path       string
	UserName   string
	UserID     string `xml:"UserId"`
	ARN        string `xml:"Arn"`
	CreateDate moment
	Tags       *members[tagXML] `xml:",omitempty"`
}

type userResult struct{ User userXML }

// userXML is u as lists have it.
func (c *call) userXML(u *placement.User) userXML {
	return userXML{Path: u.Path, UserName: u.Name, UserID: u.ID, ARN: c.dir.userARN(u), CreateDate: moment{u.Created}}
}

// userAnswer is u with its tags.
func (c *call) userAnswer(u *placement.User) userResult {
	x := c.userXML(u)
	x.Tags = tagsXML(u.Tags)
	return userResult{x}
}

func (c *call) createUser() (any, error) {
	name := c.get("UserName")
	if c.dir.m.User(c.dir.account, name) != nil {
		return nil, fail(EntityAlreadyExists, "User with name %s already exists.", name)
	}
	if len(c.dir.users("")) >= usersMax {
		return nil, overQuota("UsersPerAccount", usersMax)
	}
	u := &placement.User{
		Account: c.dir.account, Name: name, Path: c.or("Path", "/"), ID: newID("AIDA"), Created: c.now, Tags: c.form.tags(),
	}
	c.putUser(u)
	return c.userAnswer(u), nil
}

func overQuota(quota string, most int) error {
	return fail(LimitExceeded, "Cannot exceed quota for %s: %d", quota, most)
}

// getUser answers root, which is no user, as AWS does: with the account's name and id.
func (c *call) getUser() (any, error) {
	if c.subject() == "" {
		a := c.dir.m.Account(c.dir.account)
		if a == nil {
			return nil, fail(NoSuchEntity, "The account %s cannot be found.", c.dir.account)
		}
		return userResult{userXML{Path: "/", UserName: a.Name, UserID: a.ID, ARN: c.callerARN(), CreateDate: moment{a.Created}}}, nil
	}
	u, err := c.dir.user(c.subject())
	if err != nil {
		return nil, err
	}
	return c.userAnswer(u), nil
}

type usersResult struct {
	Users members[userXML]
	page
}

func (c *call) listUsers() (any, error) {
	users, rest, err := paged(c, c.dir.users(c.or("PathPrefix", "/")), userKey)
	if err != nil {
		return nil, err
	}
	return usersResult{members[userXML]{each(users, c.userXML)}, rest}, nil
}

func userKey(u *placement.User) string { return placement.FoldName(u.Name) }

func each[T, X any](records []T, shape func(T) X) []X {
	out := make([]X, len(records))
	for i, r := range records {
		out[i] = shape(r)
	}
	return out
}

// updateUser gives a user another name, path or both. Access keys name their user, so they are written too.
func (c *call) updateUser() (any, error) {
	old, err := c.dir.user(c.get("UserName"))
	if err != nil {
		return nil, err
	}
	u := *old
	u.Name, u.Path = c.or("NewUserName", old.Name), c.or("NewPath", old.Path)
	if other := c.dir.m.User(c.dir.account, u.Name); other != nil && other != old {
		return nil, fail(EntityAlreadyExists, "User with name %s already exists.", u.Name)
	}
	if userKey(&u) != userKey(old) {
		c.dropUser(old)
	}
	if u.Name != old.Name {
		for _, key := range c.dir.keys(old.Name) {
			k := *key
			k.User = u.Name
			c.putKey(&k)
		}
	}
	c.putUser(&u)
	return nil, nil
}

func (c *call) deleteUser() (any, error) {
	u, err := c.dir.user(c.get("UserName"))
	if err != nil {
		return nil, err
	}
	switch {
	case len(u.Attached) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must detach all policies first.")
	case len(u.Inline) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must delete policies first.")
	case len(u.Groups) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must remove users from group first.")
	case len(c.dir.keys(u.Name)) > 0:
		return nil, fail(DeleteConflict, "Cannot delete entity, must delete access keys first.")
	}
	c.dropUser(u)
	return nil, nil
}

func (c *call) tagUser() (any, error) {
	return nil, c.changeUser(func(u *placement.User) (err error) {
		u.Tags, err = merged(u.Tags, c.form.tags(), "TagsPerUser")
		return err
	})
}

func (c *call) untagUser() (any, error) {
	return nil, c.changeUser(func(u *placement.User) error {
		u.Tags = without(u.Tags, c.form.list("TagKeys", tagsMax))
		return nil
	})
}

// changeUser makes a change to the user that the call names.
func (c *call) changeUser(change func(*placement.User) error) error {
	old, err := c.dir.user(c.get("UserName"))
	if err != nil {
		return err
	}
	u := *old
	if err := change(&u); err != nil {
		return err
	}
	c.putUser(&u)
	return nil
}

type tagsResult struct {
	Tags members[tagXML]
	page
}

func (c *call) listUserTags() (any, error) {
	u, err := c.dir.user(c.get("UserName"))
	if err != nil {
		return nil, err
	}
	return c.tagsPage(u.Tags)
}

func (c *call) tagsPage(tags []placement.Tag) (any, error) {
	tags, rest, err := paged(c, tags, tagOrder)
	if err != nil {
		return nil, err
	}
	return tagsResult{members[tagXML]{tagList(tags)}, rest}, nil
}

// tagOrder is what tags are sorted and told apart by: their keys, in any case.
func tagOrder(t placement.Tag) string { return placement.FoldName(t.Key) }

// merged are old with more, which win where both have a key. Errors: LimitExceeded.
func merged(old, more []placement.Tag, quota string) ([]placement.Tag, error) {
	keys := each(more, func(t placement.Tag) string { return t.Key })
	all := append(without(old, keys), more...)
	if len(all) > tagsMax {
		return nil, overQuota(quota, tagsMax)
	}
	slices.SortFunc(all, func(a, b placement.Tag) int { return cmp.Compare(tagOrder(a), tagOrder(b)) })
	return all, nil
}

// without are a copy of tags but those with one of keys, in any case.
func without(tags []placement.Tag, keys []string) []placement.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t placement.Tag) bool { return holds(keys, t.Key) })
}
