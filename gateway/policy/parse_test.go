package policy

import (
	"errors"
	"strings"
	"testing"
)

// TestRefused goes through testdata/refused.txt.
func TestRefused(t *testing.T) {
	for _, b := range read(t, "testdata/refused.txt") {
		document := strings.TrimSpace(b.body)
		_, err := ParseBucket(document, "b")
		if b.head[0] == "identity" {
			_, err = ParseIdentity(document)
		}
		got := "ok"
		if err != nil {
			got = err.Error()
		}
		if want := strings.Join(b.head[1:], " "); got != want {
			t.Errorf("line %d: %s\n got %s\nwant %s", b.line, document, got, want)
		}
		if e := (&Error{}); err != nil && !errors.As(err, &e) {
			t.Errorf("line %d: %v is not an *Error", b.line, err)
		}
	}
}

func TestSizes(t *testing.T) {
	if n := Size("{ \"a\" :\n\t\"é\" }"); n != 9 {
		t.Errorf("Size is %d", n)
	}
	const head, tail = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},"Id":"`, `"}`
	document := func(n int) string { return head + strings.Repeat("x", n-len(head)-len(tail)) + tail }
	if _, err := ParseBucket(document(BucketBytesMax), "b"); err != nil {
		t.Error(err)
	}
	if _, err := ParseBucket(document(BucketBytesMax+1), "b"); err == nil || err.Error() != "Policy exceeds the maximum allowed document size." {
		t.Error(err)
	}
	if _, err := ParseIdentity(`{"Statement":[` + strings.Repeat(" ", identityBytesMax) + `]}`); err == nil {
		t.Error("a document of any length is read")
	}
}

// TestTables: the tables are in order, without double rows, and the lookups find what is in them.
func TestTables(t *testing.T) {
	for i, a := range actions {
		if i > 0 && actions[i-1].name >= a.name {
			t.Errorf("%s is not in order", a.name)
		}
	}
	for i, k := range conditionKeys {
		name := strings.ToLower(k.name)
		if strings.HasSuffix(name, "/") {
			name += "any/thing"
		}
		if found := findKey(name); found != &conditionKeys[i] {
			t.Errorf("%s finds %v", k.name, found)
		}
		if strings.HasSuffix(k.name, "/") && findKey(strings.ToLower(k.name)) != nil {
			t.Errorf("%s is a key without a name", k.name)
		}
	}
}

// TestManaged: the built-in policies parse, and mean what their names say.
func TestManaged(t *testing.T) {
	alice, _ := cast("alice")
	may := func(name, action string) bool {
		m, ok := FindManaged("arn:aws:iam::aws:policy/" + name)
		if !ok {
			t.Fatalf("%s is not there", name)
		}
		p, err := ParseIdentity(m.Document)
		if err != nil {
			t.Fatal(name, err)
		}
		if Size(m.Document) > ManagedSizeMax || m.Name != name || m.ID == "" || m.Description == "" {
			t.Errorf("%+v", m)
		}
		return p.Evaluate(&Request{Principal: alice, Action: action, Resource: "arn:aws:s3:::b/k"}) == Allow
	}
	for _, row := range []struct {
		name            string
		can, canNeither string
	}{
		{"AdministratorAccess", "s3:GetObject s3:PutBucketPolicy iam:CreateUser sts:GetCallerIdentity", ""},
		{"AmazonS3FullAccess", "s3:GetObject s3:DeleteObjectVersion s3:BypassGovernanceRetention", "iam:ListUsers"},
		{"AmazonS3ReadOnlyAccess", "s3:GetObject s3:ListBucket s3:GetBucketPolicy", "s3:PutObject s3:DeleteObject iam:ListUsers"},
		{"IAMFullAccess", "iam:CreateUser iam:DeleteUser iam:ListUsers", "s3:GetObject"},
		{"IAMReadOnlyAccess", "iam:GetUser iam:ListUsers", "iam:CreateUser s3:GetObject"},
	} {
		for _, action := range strings.Fields(row.can) {
			if !may(row.name, action) {
				t.Errorf("%s does not allow %s", row.name, action)
			}
		}
		for _, action := range strings.Fields(row.canNeither) {
			if may(row.name, action) {
				t.Errorf("%s allows %s", row.name, action)
			}
		}
	}
	if n := len(Managed()); n != 5 {
		t.Errorf("%d built-in policies", n)
	}
	if _, ok := FindManaged("arn:aws:iam::aws:policy/None"); ok {
		t.Error("a policy is found that there is none of")
	}
}

// TestCheckPrincipals: everybody who is named is asked for, in Principal and NotPrincipal; everybody, services and others are not.
func TestCheckPrincipals(t *testing.T) {
	p, err := ParseBucket(`{"Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},
		{"Effect":"Allow","Principal":{"AWS":["*","111111111111","arn:aws:iam::222222222222:root"],"Service":"s3.amazonaws.com"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111111111111:user/a","CanonicalUser":"`+canonical1+`"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`, "b")
	if err != nil {
		t.Fatal(err)
	}
	named := []string{"AWS 111111111111", "AWS 222222222222", "AWS arn:aws:iam::111111111111:user/a", "CanonicalUser " + canonical1}
	var asked []string
	if err := p.CheckPrincipals(func(kind, name string) bool { asked = append(asked, kind+" "+name); return true }); err != nil {
		t.Error(err)
	}
	if strings.Join(asked, "\n") != strings.Join(named, "\n") {
		t.Errorf("asked for %q", asked)
	}
	for _, missing := range named {
		err := p.CheckPrincipals(func(kind, name string) bool { return kind+" "+name != missing })
		if e := (&Error{}); !errors.As(err, &e) || e.Message != "Invalid principal in policy" {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	identity, err := ParseIdentity(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if err != nil || identity.CheckPrincipals(func(string, string) bool { return false }) != nil {
		t.Error("a policy without principals is refused", err)
	}
}
