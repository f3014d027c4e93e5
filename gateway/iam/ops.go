package iam

import "net/url"

// api is one of the APIs that are spoken.
type api uint8

const (
	apiIAM api = iota
	apiSTS
)

// Versions of the APIs.
const (
	iamVersion = "2010-05-08"
	stsVersion = "2011-06-15"
)

func (a api) namespace() string {
	if a == apiSTS {
		return "https://sts.amazonaws.com/doc/" + stsVersion + "/"
	}
	return "https://iam.amazonaws.com/doc/" + iamVersion + "/"
}

func apiOfVersion(version string) (of api, ok bool) {
	switch version {
	case iamVersion:
		return apiIAM, true
	case stsVersion:
		return apiSTS, true
	}
	return 0, false
}

// apiOf is the API that a request means; IAM if it does not say.
func apiOf(values url.Values) api {
	of, _ := apiOfVersion(values.Get("Version"))
	return of
}

type operationKey struct {
	api  api
	name string
}

// operation is one row of the table.
type operation struct {
	api      api
	name     string
	change   bool // it is made inside Records.EditIAM; else it only reads
	rootOnly bool // for the root of the default account
	local    bool // the map at hand is new enough
	params   []param
	// permissions are what a caller must be allowed to do, all of it; an empty Action is the operation's own. nil: nothing.
	permissions func(*call) []Permission
	run         func(*call) (any, error)
}

// Parameters that many operations have.
var (
	userName    = must("UserName", nameShape)
	maybeUser   = may("UserName", nameShape)
	groupName   = must("GroupName", nameShape)
	policyName  = must("PolicyName", nameShape)
	policyARN   = must("PolicyArn", arnShape)
	document    = must("PolicyDocument", documentShape)
	versionID   = must("VersionId", versionShape)
	accessKeyID = asks("AccessKeyId", accessKeyShape)
	path        = may("Path", pathShape)
	prefix      = may("PathPrefix", prefixShape)
	marker      = may("Marker", markerShape)
	maxItems    = may("MaxItems", maxItemsShape)
	tags        = must("Tags", tagsShape)
	maybeTags   = may("Tags", tagsShape)
	tagKeys     = must("TagKeys", tagKeysShape)
	boundary    = may("PermissionsBoundary", unsupportedShape)
	usageFilter = may("PolicyUsageFilter", usageShape)
)

// operations is the table of all operations. It is not changed.
var operations = []operation{
	{name: "CreateUser", change: true, params: []param{must("UserName", userNameShape), path, maybeTags, boundary}, permissions: onNewUser, run: (*call).createUser},
	{name: "GetUser", params: []param{maybeUser}, permissions: onUser, run: (*call).getUser},
	{name: "ListUsers", params: []param{prefix, marker, maxItems}, permissions: onUsers, run: (*call).listUsers},
	{name: "UpdateUser", change: true, params: []param{asks("UserName", nameShape), may("NewUserName", userNameShape), may("NewPath", pathShape)}, permissions: onRenamedUser, run: (*call).updateUser},
	{name: "DeleteUser", change: true, params: []param{asks("UserName", nameShape)}, permissions: onUser, run: (*call).deleteUser},
	{name: "TagUser", change: true, params: []param{userName, tags}, permissions: onUser, run: (*call).tagUser},
	{name: "UntagUser", change: true, params: []param{userName, tagKeys}, permissions: onUser, run: (*call).untagUser},
	{name: "ListUserTags", params: []param{userName, marker, maxItems}, permissions: onUser, run: (*call).listUserTags},

	{name: "CreateAccessKey", change: true, params: []param{maybeUser}, permissions: onUser, run: (*call).createAccessKey},
	{name: "ListAccessKeys", params: []param{maybeUser, marker, maxItems}, permissions: onUser, run: (*call).listAccessKeys},
	{name: "UpdateAccessKey", change: true, params: []param{maybeUser, accessKeyID, asks("Status", statusShape)}, permissions: onUser, run: (*call).updateAccessKey},
	{name: "DeleteAccessKey", change: true, params: []param{maybeUser, accessKeyID}, permissions: onUser, run: (*call).deleteAccessKey},
	{name: "GetAccessKeyLastUsed", params: []param{accessKeyID}, permissions: onKey, run: (*call).getAccessKeyLastUsed},

	{name: "CreateGroup", change: true, params: []param{groupName, path}, permissions: onNewGroup, run: (*call).createGroup},
	{name: "GetGroup", params: []param{groupName, marker, maxItems}, permissions: onGroup, run: (*call).getGroup},
	{name: "ListGroups", params: []param{prefix, marker, maxItems}, permissions: onGroups, run: (*call).listGroups},
	{name: "UpdateGroup", change: true, params: []param{groupName, may("NewGroupName", nameShape), may("NewPath", pathShape)}, permissions: onRenamedGroup, run: (*call).updateGroup},
	{name: "DeleteGroup", change: true, params: []param{groupName}, permissions: onGroup, run: (*call).deleteGroup},
	{name: "AddUserToGroup", change: true, params: []param{groupName, userName}, permissions: onGroup, run: (*call).addUserToGroup},
	{name: "RemoveUserFromGroup", change: true, params: []param{groupName, userName}, permissions: onGroup, run: (*call).removeUserFromGroup},
	{name: "ListGroupsForUser", params: []param{userName, marker, maxItems}, permissions: onUser, run: (*call).listGroupsForUser},

	{name: "CreatePolicy", change: true, params: []param{policyName, may("Path", policyPathShape), document, may("Description", descriptionShape), maybeTags}, permissions: onNewPolicy, run: (*call).createPolicy},
	{name: "GetPolicy", params: []param{policyARN}, permissions: onPolicy, run: (*call).getPolicy},
	{name: "ListPolicies", params: []param{may("Scope", scopeShape), may("OnlyAttached", boolShape), prefix, usageFilter, marker, maxItems}, permissions: onPolicies, run: (*call).listPolicies},
	{name: "DeletePolicy", change: true, params: []param{policyARN}, permissions: onPolicy, run: (*call).deletePolicy},
	{name: "TagPolicy", change: true, params: []param{policyARN, tags}, permissions: onPolicy, run: (*call).tagPolicy},
	{name: "UntagPolicy", change: true, params: []param{policyARN, tagKeys}, permissions: onPolicy, run: (*call).untagPolicy},
	{name: "ListPolicyTags", params: []param{policyARN, marker, maxItems}, permissions: onPolicy, run: (*call).listPolicyTags},
	{name: "CreatePolicyVersion", change: true, params: []param{policyARN, document, may("SetAsDefault", boolShape)}, permissions: onPolicy, run: (*call).createPolicyVersion},
	{name: "GetPolicyVersion", params: []param{policyARN, versionID}, permissions: onPolicy, run: (*call).getPolicyVersion},
	{name: "ListPolicyVersions", params: []param{policyARN, marker, maxItems}, permissions: onPolicy, run: (*call).listPolicyVersions},
	{name: "SetDefaultPolicyVersion", change: true, params: []param{policyARN, versionID}, permissions: onPolicy, run: (*call).setDefaultPolicyVersion},
	{name: "DeletePolicyVersion", change: true, params: []param{policyARN, versionID}, permissions: onPolicy, run: (*call).deletePolicyVersion},
	{name: "ListEntitiesForPolicy", params: []param{policyARN, may("EntityFilter", entityShape), prefix, usageFilter, marker, maxItems}, permissions: onPolicy, run: (*call).listEntitiesForPolicy},

	{name: "AttachUserPolicy", change: true, params: []param{userName, policyARN}, permissions: onUser, run: holderOf(ofUser).attach},
	{name: "DetachUserPolicy", change: true, params: []param{userName, policyARN}, permissions: onUser, run: holderOf(ofUser).detach},
	{name: "ListAttachedUserPolicies", params: []param{userName, prefix, marker, maxItems}, permissions: onUser, run: holderOf(ofUser).listAttached},
	{name: "PutUserPolicy", change: true, params: []param{userName, policyName, document}, permissions: onUser, run: holderOf(ofUser).putInline},
	{name: "GetUserPolicy", params: []param{userName, policyName}, permissions: onUser, run: holderOf(ofUser).getInline},
	{name: "ListUserPolicies", params: []param{userName, marker, maxItems}, permissions: onUser, run: holderOf(ofUser).listInline},
	{name: "DeleteUserPolicy", change: true, params: []param{userName, policyName}, permissions: onUser, run: holderOf(ofUser).deleteInline},

	{name: "AttachGroupPolicy", change: true, params: []param{groupName, policyARN}, permissions: onGroup, run: holderOf(ofGroup).attach},
	{name: "DetachGroupPolicy", change: true, params: []param{groupName, policyARN}, permissions: onGroup, run: holderOf(ofGroup).detach},
	{name: "ListAttachedGroupPolicies", params: []param{groupName, prefix, marker, maxItems}, permissions: onGroup, run: holderOf(ofGroup).listAttached},
	{name: "PutGroupPolicy", change: true, params: []param{groupName, policyName, document}, permissions: onGroup, run: holderOf(ofGroup).putInline},
	{name: "GetGroupPolicy", params: []param{groupName, policyName}, permissions: onGroup, run: holderOf(ofGroup).getInline},
	{name: "ListGroupPolicies", params: []param{groupName, marker, maxItems}, permissions: onGroup, run: holderOf(ofGroup).listInline},
	{name: "DeleteGroupPolicy", change: true, params: []param{groupName, policyName}, permissions: onGroup, run: holderOf(ofGroup).deleteInline},

	{name: "GetAccountSummary", permissions: onAccount, run: (*call).getAccountSummary},
	{name: "GetAccountAuthorizationDetails", params: []param{may("Filter", entitiesShape), marker, maxItems}, permissions: onAccount, run: (*call).getAccountAuthorizationDetails},
	{name: "ListAccountAliases", params: []param{marker, maxItems}, permissions: onAccount, run: (*call).listAccountAliases},
	{name: "ListRoles", params: []param{prefix, marker, maxItems}, permissions: onRoles, run: (*call).listRoles},
	{name: "ListOpenIDConnectProviders", permissions: onAccount, run: (*call).listOpenIDConnectProviders},

	{api: apiSTS, name: "GetCallerIdentity", local: true, run: (*call).getCallerIdentity},

	// of our own
	{name: "CreateAccount", change: true, rootOnly: true, params: []param{must("AccountName", accountNameShape)}, run: (*call).createAccount},
	{name: "ListAccounts", rootOnly: true, params: []param{marker, maxItems}, run: (*call).listAccounts},
	{name: "ResetAccountRoot", change: true, rootOnly: true, params: []param{must("AccountId", accountIDShape)}, run: (*call).resetAccountRoot},
	{name: "DeleteAccount", change: true, rootOnly: true, params: []param{must("AccountId", accountIDShape)}, run: (*call).deleteAccount},
}
