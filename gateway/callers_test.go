package gateway

import (
	"errors"
	"testing"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

const (
	readsTagged = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"b"}}}]}`
	reads       = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	writes      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}`
)

// iamMap is a map with one user, whom change gives what he has.
func iamMap(at int64, change func(*placement.Map, *placement.User)) *placement.Map {
	u := &placement.User{Account: testAccount.ID, Name: "ann", Path: "/team/", ID: "AIDAANN", Tags: []placement.Tag{{Key: "colour", Value: "red"}}}
	m := &placement.Map{
		IAM: at, DefaultAccount: testAccount, Users: map[placement.Name]*placement.User{placement.NameOf(testAccount.ID, "ann"): u},
		Groups: map[placement.Name]*placement.Group{}, Policies: map[placement.Name]*placement.Policy{},
	}
	change(m, u)
	return m
}

var ann = Identity{Account: testAccount.ID, User: "ann"}

// allows reports whether a caller's own policies allow an action.
func (c *caller) allows(action string) bool {
	q := policy.Request{Principal: c.Principal, Action: action, Resource: "arn:aws:s3:::b/k", Context: situation{new(request), new(subject)}}
	return policy.Decide(&q, &policy.Access{Owner: testAccount.ID, Identity: c.policies}).Allowed()
}

// TestCallersFollowTheMap: what is kept of a user is that of the map that is asked about, also where requests with an older map come between.
func TestCallersFollowTheMap(t *testing.T) {
	inline := func(document string) func(*placement.Map, *placement.User) {
		return func(_ *placement.Map, u *placement.User) { u.Inline = map[string]string{"p": document} }
	}
	old, next := iamMap(1, inline(reads)), iamMap(2, inline(writes))
	gone := iamMap(3, func(m *placement.Map, _ *placement.User) { clear(m.Users) })
	var all callers
	for i, step := range []struct {
		m           *placement.Map
		read, write bool
	}{
		{old, true, false}, {old, true, false}, {next, false, true}, {old, true, false}, {next, false, true}, {next, false, true},
	} {
		c, err := all.find(step.m, ann)
		check(t, err)
		if c.allows("s3:GetObject") != step.read || c.allows("s3:PutObject") != step.write {
			t.Errorf("step %d, map %d: %+v", i, step.m.IAM, c)
		}
	}
	if c, err := all.find(gone, ann); !errors.Is(err, errAccessDenied) {
		t.Errorf("a user who is gone: %+v, %v", c, err)
	}
	var fresh callers // which hears of the newer map first
	for _, step := range []struct {
		m    *placement.Map
		read bool
	}{{next, false}, {old, true}, {next, false}} {
		if c, err := fresh.find(step.m, ann); err != nil || c.allows("s3:GetObject") != step.read {
			t.Errorf("map %d after a newer one: %+v, %v", step.m.IAM, c, err)
		}
	}
}

// TestCallersPolicies: a user has his own policies, his groups' and the managed ones that are attached, in the version in force. One that is
// not understood, or not there, closes the door: it may be what was to forbid.
func TestCallersPolicies(t *testing.T) {
	account := testAccount.ID
	arn := "arn:aws:iam::" + account + ":policy/managed"
	managed := func(m *placement.Map) {
		m.Policies[placement.NameOf(account, "managed")] = &placement.Policy{
			Account: account, Name: "managed", Path: "/", Default: "v2", Versions: []placement.PolicyVersion{{ID: "v1", Document: reads}, {ID: "v2", Document: writes}},
		}
	}
	group := func(m *placement.Map, p placement.Permissions) {
		m.Groups[placement.NameOf(account, "group")] = &placement.Group{Account: account, Name: "group", Permissions: p}
	}
	for name, c := range map[string]struct {
		change           func(*placement.Map, *placement.User)
		read, write, ask bool
		fails            bool
	}{
		"none":     {change: func(*placement.Map, *placement.User) {}},
		"inline":   {change: func(_ *placement.Map, u *placement.User) { u.Inline = map[string]string{"p": reads} }, read: true},
		"attached": {change: func(m *placement.Map, u *placement.User) { managed(m); u.Attached = []string{arn} }, write: true},
		"built in": {change: func(m *placement.Map, u *placement.User) {
			u.Attached = []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}
		}, read: true},
		"a group's": {change: func(m *placement.Map, u *placement.User) {
			group(m, placement.Permissions{Inline: map[string]string{"p": reads}})
			u.Groups = []string{"group"}
		}, read: true},
		"a group's attached, and what it asks of tags": {change: func(m *placement.Map, u *placement.User) {
			managed(m)
			group(m, placement.Permissions{Attached: []string{arn}})
			u.Inline, u.Groups = map[string]string{"p": readsTagged}, []string{"group"}
		}, write: true, ask: true},
		"a group that is gone": {change: func(m *placement.Map, u *placement.User) { u.Groups = []string{"group"} }},
		"attached and gone":    {change: func(m *placement.Map, u *placement.User) { u.Attached = []string{arn} }, fails: true},
		"not understood":       {change: func(_ *placement.Map, u *placement.User) { u.Inline = map[string]string{"p": "{}"} }, fails: true},
		"of a group, not understood": {change: func(m *placement.Map, u *placement.User) {
			group(m, placement.Permissions{Inline: map[string]string{"p": "{}"}})
			u.Groups = []string{"group"}
		}, fails: true},
	} {
		var all callers
		for range 2 { // the second time from what is kept, if anything is
			got, err := all.find(iamMap(1, c.change), ann)
			if (err != nil) != c.fails {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil {
				continue
			}
			if got.allows("s3:GetObject") != c.read || got.allows("s3:PutObject") != c.write || got.asksTags != c.ask {
				t.Errorf("%s: %+v", name, got)
			}
			if want := "arn:aws:iam::" + account + ":user/team/ann"; got.ARN != want || got.tags().Get("colour") != "red" || got.UserID != "AIDAANN" {
				t.Errorf("%s: %s with tags %v", name, got.ARN, got.tags())
			}
		}
	}
}
