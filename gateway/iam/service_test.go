package iam

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

var okPolicy, otherPolicy = namedDocument("ok"), namedDocument("ok2")

func form1(pairs ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

// must is do that succeeds.
func (k *kit) must(action string, pairs ...string) *node {
	k.t.Helper()
	status, answer := k.do(root(), action, form1(pairs...))
	if status != http.StatusOK {
		k.t.Fatalf("%s %v: %d %s", action, pairs, status, answer.at("Error", "Message"))
	}
	return answer
}

// refused is do that is refused; code is why.
func (k *kit) refused(who Caller, action string, pairs ...string) (code string) {
	k.t.Helper()
	status, answer := k.do(who, action, form1(pairs...))
	if status == http.StatusOK {
		k.t.Errorf("%s %v is not refused", action, pairs)
	}
	return answer.at("Error", "Code")
}

// example is a value that each parameter can have.
var example = map[string]string{
	"UserName": "bob", "NewUserName": "rob", "GroupName": "devs", "NewGroupName": "ops", "PolicyName": "p", "Path": "/x/", "NewPath": "/x/",
	"PolicyArn": "arn:aws:iam::111111111111:policy/p", "PolicyDocument": okPolicy, "VersionId": "v1", "AccessKeyId": "AKIA0000", "Status": "Inactive",
	"Tags": "k", "TagKeys": "k", "AccountName": "acme", "AccountId": "222222222222",
}

// examples is a form with what op requires.
func examples(t *testing.T, op *operation) url.Values {
	f := url.Values{"Version": {op.api.namespace()[len("https://iam.amazonaws.com/doc/"):][:len(iamVersion)]}}
	for _, p := range op.params {
		value := example[p.name]
		switch {
		case !p.required:
			continue
		case value == "":
			t.Fatalf("no example of %s", p.name)
		case p.shape.kind == scalar:
			f.Set(p.name, value)
		case p.shape.kind == strList:
			f.Set(p.name+".member.1", value)
		case p.shape.kind == tagsList:
			f.Set(p.name+".member.1.Key", value)
			f.Set(p.name+".member.1.Value", "")
		}
	}
	return f
}

func TestNothingIsDoneWithoutPermission(t *testing.T) {
	for i := range operations {
		op := &operations[i]
		if op.api == apiSTS {
			continue // who am I?
		}
		k := newKit(t)
		k.must("CreateUser", "UserName", "bob")
		k.must("CreateGroup", "GroupName", "devs")
		k.must("CreatePolicy", "PolicyName", "p", "PolicyDocument", okPolicy)
		before, edits := dump(k.records.Map()), k.records.edits
		status, answer := k.do(user("bob"), op.name, examples(t, op))
		if status != http.StatusForbidden || answer.at("Error", "Code") != "AccessDenied" {
			t.Errorf("%s: %d %s", op.name, status, answer.at("Error", "Message"))
		}
		if dump(k.records.Map()) != before || k.records.edits != edits {
			t.Errorf("%s: the control store was troubled", op.name)
		}
		if !op.rootOnly && (len(k.asked) != 1 || !strings.HasPrefix(k.asked[0].Action, "iam:"+op.name)) {
			t.Errorf("%s: asked for %+v", op.name, k.asked)
		}
	}
}

func TestPermissionsSayWhatARequestIsAbout(t *testing.T) {
	k := newKit(t)
	k.must("CreateUser", "UserName", "bob", "Path", "/s/", "Tags.member.1.Key", "team", "Tags.member.1.Value", "x")
	k.must("CreatePolicy", "PolicyName", "p", "PolicyDocument", okPolicy, "Tags.member.1.Key", "k", "Tags.member.1.Value", "v")
	k.must("CreateAccessKey", "UserName", "bob")
	const bob, policy = "arn:aws:iam::111111111111:user/s/bob", "arn:aws:iam::111111111111:policy/p"
	bobs, policys := []placement.Tag{{Key: "team", Value: "x"}}, []placement.Tag{{Key: "k", Value: "v"}}
	k.allowed = []Permission{{Action: "*", Resource: "*"}}
	for _, c := range []struct {
		action string
		form   []string
		want   []Permission
	}{
		{"AttachUserPolicy", []string{"UserName", "BOB", "PolicyArn", policy},
			[]Permission{{Action: "iam:AttachUserPolicy", Resource: bob, PolicyARN: policy, ResourceTags: bobs}}},
		{"DetachUserPolicy", []string{"UserName", "bob", "PolicyArn", policy},
			[]Permission{{Action: "iam:DetachUserPolicy", Resource: bob, PolicyARN: policy, ResourceTags: bobs}}},
		// what an operation does not have is no ground for a permission
		{"GetUser", []string{"UserName", "bob", "PolicyArn", policy, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", "TagKeys.member.1", "a"},
			[]Permission{{Action: "iam:GetUser", Resource: bob, ResourceTags: bobs}}},
		{"GetPolicy", []string{"PolicyArn", policy, "UserName", "bob"},
			[]Permission{{Action: "iam:GetPolicy", Resource: policy, ResourceTags: policys}}},
		{"TagUser", []string{"UserName", "bob", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"},
			[]Permission{{Action: "iam:TagUser", Resource: bob, RequestTags: []placement.Tag{{Key: "a", Value: "b"}}, TagKeys: []string{"a"}, ResourceTags: bobs}}},
		{"UntagPolicy", []string{"PolicyArn", policy, "TagKeys.member.1", "k"},
			[]Permission{{Action: "iam:UntagPolicy", Resource: policy, TagKeys: []string{"k"}, ResourceTags: policys}}},
		{"CreateUser", []string{"UserName", "new", "Path", "/n/", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"}, []Permission{
			{Action: "iam:CreateUser", Resource: "arn:aws:iam::111111111111:user/n/new", RequestTags: []placement.Tag{{Key: "a", Value: "b"}}, TagKeys: []string{"a"}},
			{Action: "iam:TagUser", Resource: "arn:aws:iam::111111111111:user/n/new", RequestTags: []placement.Tag{{Key: "a", Value: "b"}}, TagKeys: []string{"a"}},
		}},
	} {
		status, answer := k.do(user("bob"), c.action, form1(c.form...))
		// the permission is asked for twice: before the control store is asked for anything, and of the state that counts
		if want := append(c.want, c.want...); status != http.StatusOK || !reflect.DeepEqual(k.asked, want) {
			t.Errorf("%s: %d %s\n%+v\n%+v", c.action, status, answer.at("Error", "Message"), k.asked, want)
		}
	}
}

func TestConflictsAreDecidedByTheStateThatCounts(t *testing.T) {
	k := newKit(t)
	k.records.between = func() { k.must("CreateUser", "UserName", "BOB") }
	if code := k.refused(root(), "CreateUser", "UserName", "bob"); code != "EntityAlreadyExists" {
		t.Errorf("a name that was taken meanwhile: %s", code)
	}
	k.records.between = func() { k.must("CreateAccessKey", "UserName", "bob") }
	answer := k.must("CreateAccessKey", "UserName", "bob")
	id := k.records.m.Identities[answer.at("CreateAccessKeyResult", "AccessKey", "AccessKeyId")]
	if id == nil || id.Secret != answer.at("CreateAccessKeyResult", "AccessKey", "SecretAccessKey") || len(k.records.m.Identities) != 2 {
		t.Errorf("the answer is not of the try that was made: %+v", k.records.m.Identities)
	}
	k.allowed = []Permission{{Action: "*", Resource: "*"}}
	k.records.between = func() {
		k.must("CreateGroup", "GroupName", "other")
		k.allowed = nil
	}
	if code := k.refused(user("bob"), "CreateGroup", "GroupName", "devs"); code != "AccessDenied" || k.records.m.Group(defaultAccount, "devs") != nil {
		t.Errorf("a permission that was taken away meanwhile: %s", code)
	}
}

func TestWithoutTheControlStoreNothingIsPromised(t *testing.T) {
	k := newKit(t)
	k.must("CreateUser", "UserName", "bob")
	k.records.away = errAway
	for _, c := range []struct{ action, name string }{{"CreateUser", "UserName"}, {"GetUser", "UserName"}, {"DeleteUser", "UserName"}} {
		status, answer := k.do(root(), c.action, form1(c.name, "bob"+c.action[:1]))
		if c.action == "DeleteUser" {
			status, answer = k.do(root(), c.action, form1(c.name, "bob"))
		}
		if status != http.StatusServiceUnavailable || answer.at("Error", "Code") != "ServiceUnavailable" || answer.at("Error", "Type") != "Receiver" {
			t.Errorf("%s: %d %+v", c.action, status, answer)
		}
	}
	if _, answer := k.do(root(), "GetCallerIdentity", form1("Version", stsVersion)); answer.at("GetCallerIdentityResult", "Account") != defaultAccount {
		t.Errorf("who am I, while etcd is away: %+v", answer)
	}
}

func TestQuotas(t *testing.T) {
	k := newKit(t)
	k.must("CreateUser", "UserName", "bob")
	k.must("CreateGroup", "GroupName", "devs")
	for i := range attachedMax + 1 {
		name := fmt.Sprintf("p%02d", i)
		k.must("CreatePolicy", "PolicyName", name, "PolicyDocument", okPolicy)
		arn := "arn:aws:iam::" + defaultAccount + ":policy/" + name
		for holder, action := range map[string]string{"UserName": "AttachUserPolicy", "GroupName": "AttachGroupPolicy"} {
			name := map[string]string{"UserName": "bob", "GroupName": "devs"}[holder]
			if i < attachedMax {
				k.must(action, holder, name, "PolicyArn", arn)
			} else if code := k.refused(root(), action, holder, name, "PolicyArn", arn); code != "LimitExceeded" {
				t.Errorf("%s: %s", action, code)
			}
		}
	}
	for i := range tagsMax {
		k.must("TagUser", "UserName", "bob", "Tags.member.1.Key", fmt.Sprint("k", i), "Tags.member.1.Value", "")
	}
	k.must("TagUser", "UserName", "bob", "Tags.member.1.Key", "K0", "Tags.member.1.Value", "again")
	if code := k.refused(root(), "TagUser", "UserName", "bob", "Tags.member.1.Key", "one more", "Tags.member.1.Value", ""); code != "LimitExceeded" {
		t.Errorf("51 tags: %s", code)
	}
	many := url.Values{"UserName": {"bob"}}
	for i := range tagsMax + 1 {
		many.Set(fmt.Sprintf("TagKeys.member.%d", i+1), "k")
	}
	if status, answer := k.do(root(), "UntagUser", many); status != http.StatusBadRequest || answer.at("Error", "Code") != "ValidationError" {
		t.Errorf("51 keys: %d", status)
	}
}

func TestAccountsAreBounded(t *testing.T) {
	k := newKit(t)
	k.quick = true
	m := k.records.m
	for i := range usersMax {
		name := fmt.Sprint("u", i)
		m.Users[placement.NameOf(defaultAccount, name)] = &placement.User{Account: defaultAccount, Name: name, Path: "/"}
		m.Groups[placement.NameOf(defaultAccount, name)] = &placement.Group{Account: defaultAccount, Name: name, Path: "/"}
		m.Policies[placement.NameOf(defaultAccount, name)] = &placement.Policy{Account: defaultAccount, Name: name, Path: "/"}
		m.Accounts[name] = &placement.Account{ID: name, Name: name}
	}
	for action, form := range map[string][]string{
		"CreateUser": {"UserName", "x"}, "CreateGroup": {"GroupName", "x"}, "CreatePolicy": {"PolicyName", "x", "PolicyDocument", okPolicy},
		"CreateAccount": {"AccountName", "x"},
	} {
		if code := k.refused(root(), action, form...); code != "LimitExceeded" {
			t.Errorf("%s: %s", action, code)
		}
	}
	k.must("UpdateGroup", "GroupName", "u0", "NewPath", "/x/")
}

// TestLargeGroupsAreRenamed: a group of more users than one step can change gets its name in several. In between it has both names, with the same
// policies, and nobody can change these; a rename that was cut short is gone on with.
func TestLargeGroupsAreRenamed(t *testing.T) {
	k := newKit(t)
	k.must("CreateGroup", "GroupName", "old", "Path", "/p/")
	k.must("PutGroupPolicy", "GroupName", "old", "PolicyName", "inline", "PolicyDocument", okPolicy)
	users := 2*renamedMembers + 50
	for i := range users {
		k.must("CreateUser", "UserName", fmt.Sprint("u", i))
		k.must("AddUserToGroup", "GroupName", "old", "UserName", fmt.Sprint("u", i))
	}
	members := func(group string) int { return len(directory{k.records.m, defaultAccount}.members(group)) }
	id := k.records.m.Group(defaultAccount, "old").ID
	k.records.last = 2
	if code := k.refused(root(), "UpdateGroup", "GroupName", "old", "NewGroupName", "new"); code != "ServiceUnavailable" {
		t.Fatalf("cut short: %s", code)
	}
	if g := k.records.m.Group(defaultAccount, "new"); g == nil || g.ID != id || len(g.Inline) != 1 || members("old") != users-renamedMembers || members("new") != renamedMembers {
		t.Fatalf("half renamed: %+v, %d and %d users", g, members("old"), members("new"))
	}
	for action, form := range map[string][]string{
		"PutGroupPolicy": {"PolicyName", "more", "PolicyDocument", okPolicy}, "DeleteGroupPolicy": {"PolicyName", "inline"}, "DeleteGroup": nil,
		"UpdateGroup": {"NewGroupName", "third"},
	} {
		for _, name := range []string{"old", "new"} {
			if code := k.refused(root(), action, append(form, "GroupName", name)...); code != "ConcurrentModification" {
				t.Errorf("%s of %s: %s", action, name, code)
			}
		}
	}
	k.must("UpdateGroup", "GroupName", "old", "NewGroupName", "new")
	if g := k.records.m.Group(defaultAccount, "new"); k.records.m.Group(defaultAccount, "old") != nil || g.ID != id || g.Path != "/p/" || len(g.Inline) != 1 || members("new") != users {
		t.Errorf("renamed: %+v, %d users", g, members("new"))
	}
	k.must("UpdateGroup", "GroupName", "new", "NewGroupName", "NEW") // which is the same to who looks for it
	if g := k.records.m.Group(defaultAccount, "new"); g.Name != "NEW" || members("new") != users {
		t.Errorf("in capitals: %+v, %d users", g, members("new"))
	}
}

// TestPagesAreTheWhole follows the markers of each list, one entry at a time.
func TestPagesAreTheWhole(t *testing.T) {
	k := newKit(t)
	tag := []string{"Tags.member.1.Key", "b", "Tags.member.1.Value", "", "Tags.member.2.Key", "A", "Tags.member.2.Value", "", "Tags.member.3.Key", "c", "Tags.member.3.Value", ""}
	for _, n := range []string{"a", "B", "c"} {
		k.must("CreateUser", append([]string{"UserName", n}, tag...)...)
		k.must("CreateGroup", "GroupName", n)
		k.must("CreatePolicy", append([]string{"PolicyName", n, "PolicyDocument", okPolicy}, tag...)...)
		k.must("CreateAccount", "AccountName", n)
	}
	const arn = "arn:aws:iam::111111111111:policy/a"
	for _, n := range []string{"a", "B", "c"} {
		k.must("AddUserToGroup", "UserName", "a", "GroupName", n)
		if n != "a" {
			k.must("AddUserToGroup", "UserName", n, "GroupName", "a")
		}
		k.must("AttachUserPolicy", "UserName", n, "PolicyArn", arn)
		k.must("AttachGroupPolicy", "GroupName", n, "PolicyArn", arn)
		k.must("PutUserPolicy", "UserName", "a", "PolicyName", n, "PolicyDocument", okPolicy)
		k.must("PutGroupPolicy", "GroupName", "a", "PolicyName", n, "PolicyDocument", okPolicy)
		k.must("CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", okPolicy)
	}
	for _, p := range []string{"arn:aws:iam::111111111111:policy/B", "arn:aws:iam::aws:policy/AdministratorAccess"} {
		k.must("AttachUserPolicy", "UserName", "a", "PolicyArn", p)
		k.must("AttachGroupPolicy", "GroupName", "a", "PolicyArn", p)
	}
	k.must("CreateAccessKey", "UserName", "a")
	k.must("CreateAccessKey", "UserName", "a")
	example := map[string]string{"UserName": "a", "GroupName": "a", "PolicyArn": arn}
	lists := 0
	for _, op := range operations {
		switch paged := strings.HasPrefix(op.name, "List") || op.name == "GetGroup" || op.name == "GetAccountAuthorizationDetails"; {
		case !paged, slices.Contains([]string{"ListAccountAliases", "ListRoles", "ListOpenIDConnectProviders"}, op.name): // always empty
			continue
		}
		lists++
		var form []string
		for _, p := range op.params {
			if value := example[p.name]; value != "" {
				form = append(form, p.name, value)
			}
		}
		whole := entries(k.must(op.name, form...))
		var parts []string
		marker := []string{}
		for range len(whole) {
			answer := k.must(op.name, append(append(form, "MaxItems", "1"), marker...)...)
			parts = append(parts, entries(answer)...)
			result := answer.children[0]
			if more := result.at("IsTruncated") == "true"; more != (len(parts) < len(whole)) || more != (result.at("Marker") != "") {
				t.Errorf("%s: %d of %d, truncated %v", op.name, len(parts), len(whole), more)
				break
			}
			marker = []string{"Marker", result.at("Marker")}
		}
		slices.Sort(whole) // ListEntitiesForPolicy's pages are of users first, its answer has groups first
		slices.Sort(parts)
		if len(whole) < 2 || !reflect.DeepEqual(parts, whole) {
			t.Errorf("%s:\n%q\n%q", op.name, parts, whole)
		}
	}
	if lists != 16 {
		t.Errorf("%d lists", lists)
	}
}

// entries are the members of the lists in an answer.
func entries(answer *node) (all []string) {
	for _, list := range answer.children[0].children {
		if list.name == "Tags" && len(list.children) == 0 {
			continue
		}
		for _, m := range list.children {
			if m.name == "member" {
				var text strings.Builder
				m.print(&text, "", func(n *node) string { return n.text })
				all = append(all, m.text+text.String())
			}
		}
	}
	return all
}

func TestRefuse(t *testing.T) {
	req := Request{ID: requestID, Form: url.Values{"Version": {stsVersion}}}
	status, body := Refuse(req, InvalidClientTokenID, "The security token included in the request is invalid.")
	answer, err := parseXML(body)
	if err != nil || status != http.StatusForbidden || answer.space != apiSTS.namespace() || answer.at("Error", "Code") != "InvalidClientTokenId" ||
		answer.at("Error", "Type") != "Sender" || answer.at("RequestId") != requestID {
		t.Errorf("%d %s", status, body)
	}
}

func TestDocumentInForce(t *testing.T) {
	k := newKit(t)
	k.must("CreatePolicy", "PolicyName", "p", "PolicyDocument", okPolicy)
	const arn = "arn:aws:iam::111111111111:policy/p"
	k.must("CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", otherPolicy)
	for _, c := range []struct {
		account, arn, want string
	}{
		{defaultAccount, arn, okPolicy},
		{"222222222222", arn, ""},
		{defaultAccount, arn + "x", ""},
		{defaultAccount, "p", ""},
		{defaultAccount, managedPrefix + "/AdministratorAccess", policy.Managed()[0].Document},
	} {
		if got, ok := Document(k.records.m, c.account, c.arn); got != c.want || ok != (c.want != "") {
			t.Errorf("%s for %s: %s, %v", c.arn, c.account, got, ok)
		}
	}
	k.must("SetDefaultPolicyVersion", "PolicyArn", arn, "VersionId", "v2")
	if got, _ := Document(k.records.m, defaultAccount, arn); got != otherPolicy {
		t.Errorf("after the change: %s", got)
	}
}

// FuzzForm: whatever is sent, the answer is a document with a known status, and who may nothing changes nothing.
func FuzzForm(f *testing.F) {
	for _, op := range operations {
		f.Add("Action=" + op.name + "&Version=2010-05-08&UserName=bob&GroupName=devs&PolicyName=p&PolicyDocument=%7B%7D&PolicyArn=arn:aws:iam::111111111111:policy/p&" +
			"Tags.member.1.Key=a&Tags.member.1.Value=b&TagKeys.member.1=a&Filter.member.1=User&VersionId=v1&Status=Active&AccessKeyId=AKIA&MaxItems=1&Marker=YQ&NewPath=/x/&Path=/y/")
	}
	f.Add("Action=GetPolicy&Version=2010-05-08&PolicyArn=arn:aws:iam::111111111111:policy//")
	f.Add("Action=TagUser&Version=2010-05-08&UserName=bob&Tags.member.=&Tags.member.1=&Tags.member.1.=&Tags.member.1.Key=%ff")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		k := newKit(t)
		k.must("CreateUser", "UserName", "bob")
		k.must("CreateGroup", "GroupName", "devs")
		k.must("CreatePolicy", "PolicyName", "p", "PolicyDocument", okPolicy)
		before := dump(k.records.Map())
		for _, who := range []Caller{user("bob"), root()} {
			status, body := k.service.Do(t.Context(), Request{ID: requestID, Caller: who, Form: form})
			if _, err := parseXML(body); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			switch status {
			case 200, 400, 403, 404, 409:
			default:
				t.Fatalf("%d %s", status, body)
			}
			if !who.root() && dump(k.records.Map()) != before {
				t.Fatalf("changed by who may nothing: %s", body)
			}
		}
	})
}
