package iam

import (
	"maps"
	"slices"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

type entryXML struct {
	Key   string `xml:"key"`
	Value int    `xml:"value"`
}

type summaryResult struct {
	SummaryMap struct {
		Entries []entryXML `xml:"entry"`
	}
}

func (c *call) getAccountSummary() (any, error) {
	policies := c.dir.policies("")
	versions := 0
	for _, p := range policies {
		versions += len(p.Versions)
	}
	rootKeys := 0
	if len(c.dir.keys("")) > 0 {
		rootKeys = 1 // AWS: whether there are any
	}
	count := map[string]int{
		"Users": len(c.dir.users("")), "UsersQuota": usersMax,
		"Groups": len(c.dir.groups("")), "GroupsQuota": groupsMax,
		"Policies": len(policies), "PoliciesQuota": policiesMax,
		"PolicyVersionsInUse": versions, "PolicyVersionsInUseQuota": policiesMax * versionsMax,
		"VersionsPerPolicyQuota": versionsMax, "PolicySizeQuota": policy.ManagedSizeMax,
		"UserPolicySizeQuota": policy.UserInlineMax, "GroupPolicySizeQuota": policy.GroupInlineMax,
		"AccessKeysPerUserQuota": keysPerUser, "GroupsPerUserQuota": groupsPerUser,
		"AttachedPoliciesPerUserQuota": attachedMax, "AttachedPoliciesPerGroupQuota": attachedMax,
		"AccountAccessKeysPresent": rootKeys,
		// what there is nothing of here, and audits look for
		"AccountMFAEnabled": 0, "AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0, "MFADevices": 0, "MFADevicesInUse": 0,
		"Roles": 0, "InstanceProfiles": 0, "Providers": 0, "ServerCertificates": 0,
	}
	var r summaryResult
	for _, key := range slices.Sorted(maps.Keys(count)) {
		r.SummaryMap.Entries = append(r.SummaryMap.Entries, entryXML{key, count[key]})
	}
	return r, nil
}

type documentXML struct {
	PolicyName     string
	PolicyDocument string // percent-encoded
}

type userDetailXML struct {
	Path                    string
	UserName                string
	UserID                  string `xml:"UserId"`
	ARN                     string `xml:"Arn"`
	CreateDate              moment
	UserPolicyList          members[documentXML]
	GroupList               members[string]
	AttachedManagedPolicies members[attachedXML]
	Tags                    *members[tagXML] `xml:",omitempty"`
}

type groupDetailXML struct {
	Path                    string
	GroupName               string
	GroupID                 string `xml:"GroupId"`
	ARN                     string `xml:"Arn"`
	CreateDate              moment
	GroupPolicyList         members[documentXML]
	AttachedManagedPolicies members[attachedXML]
}

type policyDetailXML struct {
	policyXML
	PolicyVersionList members[versionXML]
}

type detailsResult struct {
	UserDetailList  members[userDetailXML]
	GroupDetailList members[groupDetailXML]
	RoleDetailList  members[struct{}] // there are no roles
	Policies        members[policyDetailXML]
	page
}

// entity is one of the things that two lists share the pages of: one field is set.
type entity struct {
	user   *placement.User
	group  *placement.Group
	policy *placement.Policy
}

// key orders users before groups before policies.
func (e entity) key() string {
	switch {
	case e.user != nil:
		return "1" + userKey(e.user)
	case e.group != nil:
		return "2" + groupKey(e.group)
	}
	return "3" + policyKey(e.policy)
}

// getAccountAuthorizationDetails lists all that there is of the kinds in Filter, or of all kinds.
func (c *call) getAccountAuthorizationDetails() (any, error) {
	filter := c.form.list("Filter", len(entityShape.enum))
	want := func(kind string) bool { return len(filter) == 0 || slices.Contains(filter, kind) }
	var all []entity
	if want(entityUser) {
		all = append(all, each(c.dir.users(""), func(u *placement.User) entity { return entity{user: u} })...)
	}
	if want(entityGroup) {
		all = append(all, each(c.dir.groups(""), func(g *placement.Group) entity { return entity{group: g} })...)
	}
	asEntity := func(p *placement.Policy) entity { return entity{policy: p} }
	attached := c.dir.attachments()
	if want(entityAWSPolicy) { // AWS lists those of its own that are in use
		used := slices.DeleteFunc(managedUnder("/"), func(p *placement.Policy) bool { return attached[c.dir.policyARN(p)] == 0 })
		all = append(all, each(used, asEntity)...)
	}
	if want(entityLocalPolicy) {
		all = append(all, each(c.dir.policies(""), asEntity)...)
	}
	all, rest, err := paged(c, all, entity.key)
	if err != nil {
		return nil, err
	}
	r := detailsResult{page: rest}
	for _, e := range all {
		switch {
		case e.user != nil:
			r.UserDetailList.Member = append(r.UserDetailList.Member, c.userDetail(e.user))
		case e.group != nil:
			r.GroupDetailList.Member = append(r.GroupDetailList.Member, c.groupDetail(e.group))
		default:
			r.Policies.Member = append(r.Policies.Member, c.policyDetail(e.policy, attached))
		}
	}
	return r, nil
}

func (c *call) userDetail(u *placement.User) userDetailXML {
	return userDetailXML{
		Path: u.Path, UserName: u.Name, UserID: u.ID, ARN: c.dir.userARN(u), CreateDate: moment{u.Created},
		UserPolicyList: documentList(u.Inline), GroupList: members[string]{u.Groups},
		AttachedManagedPolicies: members[attachedXML]{each(u.Attached, newAttachedXML)}, Tags: tagsXML(u.Tags),
	}
}

func (c *call) groupDetail(g *placement.Group) groupDetailXML {
	return groupDetailXML{
		Path: g.Path, GroupName: g.Name, GroupID: g.ID, ARN: c.dir.groupARN(g), CreateDate: moment{g.Created},
		GroupPolicyList: documentList(g.Inline), AttachedManagedPolicies: members[attachedXML]{each(g.Attached, newAttachedXML)},
	}
}

func (c *call) policyDetail(p *placement.Policy, attached map[string]int) policyDetailXML {
	x := policyDetailXML{policyXML: c.policyXML(p, attached[c.dir.policyARN(p)])}
	x.Description = p.Description
	for i := range p.Versions {
		v := newVersionXML(p, &p.Versions[i])
		v.Document = encodeDocument(p.Versions[i].Document)
		x.PolicyVersionList.Member = append(x.PolicyVersionList.Member, v)
	}
	return x
}

func documentList(inline map[string]string) members[documentXML] {
	return members[documentXML]{each(slices.Sorted(maps.Keys(inline)), func(name string) documentXML {
		return documentXML{name, encodeDocument(inline[name])}
	})}
}

type policyGroupXML struct {
	GroupName string
	GroupID   string `xml:"GroupId"`
}

type policyUserXML struct {
	UserName string
	UserID   string `xml:"UserId"`
}

type entitiesResult struct {
	PolicyGroups members[policyGroupXML]
	PolicyUsers  members[policyUserXML]
	PolicyRoles  members[struct{}] // there are no roles
	page
}

// listEntitiesForPolicy lists the users and groups that have a managed policy.
func (c *call) listEntitiesForPolicy() (any, error) {
	p, err := c.named()
	if err != nil {
		return nil, err
	}
	arn, prefix, filter := c.dir.policyARN(p), c.or("PathPrefix", "/"), c.get("EntityFilter")
	want := func(kind string) bool {
		return (filter == "" || filter == kind) && c.get("PolicyUsageFilter") != usageBoundary
	}
	var all []entity
	for _, u := range c.dir.users(prefix) {
		if want(entityUser) && slices.Contains(u.Attached, arn) {
			all = append(all, entity{user: u})
		}
	}
	for _, g := range c.dir.groups(prefix) {
		if want(entityGroup) && slices.Contains(g.Attached, arn) {
			all = append(all, entity{group: g})
		}
	}
	all, rest, err := paged(c, all, entity.key)
	if err != nil {
		return nil, err
	}
	r := entitiesResult{page: rest}
	for _, e := range all {
		if e.user != nil {
			r.PolicyUsers.Member = append(r.PolicyUsers.Member, policyUserXML{e.user.Name, e.user.ID})
		} else {
			r.PolicyGroups.Member = append(r.PolicyGroups.Member, policyGroupXML{e.group.Name, e.group.ID})
		}
	}
	return r, nil
}

type aliasesResult struct {
	AccountAliases members[string]
	page
}

// listAccountAliases answers that there are none.
func (c *call) listAccountAliases() (any, error) { return aliasesResult{}, nil }

type rolesResult struct {
	Roles members[struct{}]
	page
}

// listRoles answers that there are none: what clears an account lists its roles before it is done.
func (c *call) listRoles() (any, error) { return rolesResult{}, nil }

type openIDConnectProvidersResult struct {
	OpenIDConnectProviderList members[struct{}]
}

// listOpenIDConnectProviders answers that there are none, for the same reason.
func (c *call) listOpenIDConnectProviders() (any, error) { return openIDConnectProvidersResult{}, nil }

type identityResult struct {
	ARN     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string
}

// getCallerIdentity tells a caller who it is; that needs no permission.
func (c *call) getCallerIdentity() (any, error) {
	r := identityResult{ARN: c.callerARN(), UserID: c.dir.account, Account: c.dir.account}
	if !c.caller.root() {
		u, err := c.dir.user(c.caller.User)
		if err != nil { // deleted since the request was authenticated
			return nil, fail(InvalidClientTokenID, "The security token included in the request is invalid.")
		}
		r.UserID = u.ID
	}
	return r, nil
}
