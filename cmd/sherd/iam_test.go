package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/iam"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// mapRecords is iam.Records of one process, over a map.
type mapRecords struct{ m *placement.Map }

func (r *mapRecords) Map() *placement.Map        { return r.m }
func (r *mapRecords) Sync(context.Context) error { return nil }

func (r *mapRecords) EditIAM(_ context.Context, edit func(*placement.Map) ([]placement.IAMChange, error)) error {
	changes, err := edit(r.m)
	if err != nil {
		return err
	}
	m := *r.m
	m.Accounts, m.Users, m.Groups = maps.Clone(m.Accounts), maps.Clone(m.Users), maps.Clone(m.Groups)
	m.Policies, m.Identities = maps.Clone(m.Policies), maps.Clone(m.Identities)
	for _, c := range changes {
		switch {
		case c.Account != nil:
			set(m.Accounts, c.Account.ID, c.Account, c.Delete)
		case c.User != nil:
			set(m.Users, placement.NameOf(c.User.Account, c.User.Name), c.User, c.Delete)
		case c.Group != nil:
			set(m.Groups, placement.NameOf(c.Group.Account, c.Group.Name), c.Group, c.Delete)
		case c.Policy != nil:
			set(m.Policies, placement.NameOf(c.Policy.Account, c.Policy.Name), c.Policy, c.Delete)
		case c.Identity != nil:
			set(m.Identities, c.Identity.AccessKey, c.Identity, c.Delete)
		}
	}
	r.m = &m
	return nil
}

func set[K comparable, T any](records map[K]*T, key K, record *T, gone bool) {
	if gone {
		delete(records, key)
	} else {
		records[key] = record
	}
}

// iamServer serves the IAM API alone, to root.
func iamServer(t *testing.T) *mapRecords {
	first := placement.NewDefaultAccount(ids.Cluster{})
	records := &mapRecords{&placement.Map{
		DefaultAccount: first, Accounts: map[string]*placement.Account{first.ID: first}, Users: map[placement.Name]*placement.User{},
		Groups: map[placement.Name]*placement.Group{}, Policies: map[placement.Name]*placement.Policy{}, Identities: map[string]*placement.Identity{},
	}}
	service, err := iam.New(iam.Options{
		Records: records,
		Authorize: func(context.Context, *placement.Map, iam.Caller, iam.Permission) policy.Decision {
			return policy.NotAllowedByIdentity
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier := &sigv4.Verifier{Credentials: func(string) (string, any, bool) { return "of-root", nil, true }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		req := iam.Request{ID: "1", Caller: iam.Caller{Account: first.ID}, Form: form}
		status, answer := 0, []byte(nil)
		if auth, err := verifier.VerifyForm(r, r.Host, body, "iam", "sts"); err != nil || auth.Anonymous {
			status, answer = iam.Refuse(req, iam.SignatureDoesNotMatch, "no")
		} else {
			status, answer = service.Do(r.Context(), req)
		}
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "root")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of-root")
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	t.Setenv("AWS_SESSION_TOKEN", "")
	return records
}

// sherd runs a command, and returns what it prints with what is random hidden.
func sherd(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	cmd := rootCommand()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetIn(strings.NewReader(in))
	err := cmd.ExecuteContext(t.Context())
	text := regexp.MustCompile(`(AIDA|AGPA|ANPA|AKIA)[A-Z2-7]+`).ReplaceAllString(out.String(), "$1")
	text = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?`).ReplaceAllString(text, "TIME")
	text = regexp.MustCompile(`(SECRET_ACCESS_KEY=|"secretKey": ")[A-Za-z0-9+/]{40}`).ReplaceAllString(text, "${1}SECRET")
	text = regexp.MustCompile(` +(\n|$)`).ReplaceAllString(text, "$1")
	return text, err
}

const anyPolicy = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}`

func TestCommandsOfUsersGroupsAndPolicies(t *testing.T) {
	records := iamServer(t)
	account := records.m.DefaultAccount.ID
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(anyPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want, err string }{
		{line: "policy add all " + file + " --description x", want: "policy all is made; attach it with `sherd user attach USER all`\n"},
		{line: "policy add all " + file, err: "EntityAlreadyExists: A policy called all already exists"},
		{line: "group add devs --path /d/", want: "group devs is made\n"},
		{line: "user add bob --group devs --tag team=a --tag b=c", want: "user bob is made; give it a key with `sherd key add bob`\n"},
		{line: "user add ann --key", want: "The access key of ann, its secret shown only now:\n\nexport AWS_ACCESS_KEY_ID=AKIA\nexport AWS_SECRET_ACCESS_KEY=SECRET\n"},
		{line: "user add eve --group none", err: "the user is made, but is not in group none: NoSuchEntity"},
		{line: "user attach bob ALL", want: "bob has ALL\n"},
		{line: "user attach bob AmazonS3FullAccess", want: "bob has AmazonS3FullAccess\n"},
		{line: "user attach bob none", err: "there is no policy none"},
		{line: "group attach devs arn:aws:iam::" + account + ":policy/all", want: "devs has arn:aws:iam::" + account + ":policy/all\n"},
		{line: "user put-policy bob own -", want: "bob has policy own\n"},
		{line: "user show-policy bob own", want: "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\": \"Allow\",\n      \"Action\": \"s3:*\",\n      \"Resource\": \"*\"\n    }\n  ]\n}\n"},
		{line: "key add bob --json", want: "{\n  \"user\": \"bob\",\n  \"accessKey\": \"AKIA\",\n  \"secretKey\": \"SECRET\",\n  \"status\": \"Active\",\n  \"created\": \"TIME\"\n}\n"},
		{line: "key ls --user bob", want: "KEY                   USER  STATUS  CREATED\nAKIA  bob   active  TIME\n"},
		{line: "user ls --path /x/", want: "USER  PATH  CREATED  ID\n"},
		{line: "user ls --path /x/ --json", want: "[]\n"},
		{line: "user show bob", want: "user      bob\narn       arn:aws:iam::" + account + ":user/bob\nid        AIDA\ncreated   TIME\ntags      b=c, team=a\ngroups    devs\n" +
			"policies  arn:aws:iam::aws:policy/AmazonS3FullAccess, arn:aws:iam::" + account + ":policy/all\ninline    own\nkey       AKIA, active, since TIME\n"},
		{line: "group show devs", want: "group     devs\narn       arn:aws:iam::" + account + ":group/d/devs\nid        AGPA\ncreated   TIME\nusers     bob\n" +
			"policies  arn:aws:iam::" + account + ":policy/all\n"},
		{line: "policy show AmazonS3FullAccess", want: "*"},
		{line: "policy update all -", want: "policy all is changed\n"},
		{line: "policy update all -", want: "policy all is changed\n"},
		{line: "policy update all -", want: "policy all is changed\n"},
		{line: "policy update all -", want: "policy all is changed\n"},
		{line: "policy update all -", want: "policy all is changed\n"}, // the oldest goes
		{line: "policy ls --own", want: "*"},
		{line: "policy rm all", err: "DeleteConflict: Cannot delete a policy attached"},
		{line: "user rename bob rob", want: "bob is now rob\n"},
		{line: "user rm rob", err: "DeleteConflict"},
		{line: "user rm rob --force", want: "user rob is removed\n"},
		{line: "group rm devs --force", want: "group devs is removed\n"},
		{line: "policy rm all", want: "policy all is removed\n"},
		{line: "user show rob", err: "NoSuchEntity: The user with name rob cannot be found."},
		{line: "user add", err: "accepts 1 arg(s)"},
		{line: "account add acme", want: "*"},
		{line: "account reset-root ACME", want: "The access key of root, its secret shown only now:\n\nexport AWS_ACCESS_KEY_ID=AKIA\nexport AWS_SECRET_ACCESS_KEY=SECRET\n"},
		{line: "account reset-root none", err: "there is no account none"},
		{line: "account rm acme", want: "account acme is removed\n"},
		{line: "account rm acme", err: "there is no account acme"},
		{line: "account ls", want: "ACCOUNT  ID            CREATED  CANONICAL ID\nsherd    " + account + "  -        " + records.m.DefaultAccount.Canonical + "\n"},
	} {
		got, err := sherd(t, anyPolicy, strings.Fields(c.line)...)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %s", c.line, err, c.err)
		case c.err == "" && (err != nil || c.want != "*" && got != c.want):
			t.Errorf("%s: %v\n%s", c.line, err, got)
		}
	}
	if len(records.m.Users) != 2 || len(records.m.Groups)+len(records.m.Policies) != 0 || len(records.m.Accounts) != 1 || len(records.m.Identities) != 1 {
		t.Errorf("left: %+v", records.m)
	}
}

// TestListsAreReadToTheirEnd: more than one page of a hundred.
func TestListsAreReadToTheirEnd(t *testing.T) {
	records := iamServer(t)
	account := records.m.DefaultAccount.ID
	for i := range 250 {
		name := "u" + strings.Repeat("x", i%50) + string(rune('a'+i/50))
		records.m.Users[placement.NameOf(account, name)] = &placement.User{Account: account, Name: name, Path: "/"}
	}
	if got, err := sherd(t, "", "user", "ls"); err != nil || strings.Count(got, "\n") != 251 {
		t.Errorf("%v, %d lines", err, strings.Count(got, "\n"))
	}
}

func TestSecretsAreAskedFor(t *testing.T) {
	iamServer(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if _, err := sherd(t, "", "user", "ls"); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("a wrong secret: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := sherd(t, "", "user", "ls"); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("none: %v", err)
	}
}
