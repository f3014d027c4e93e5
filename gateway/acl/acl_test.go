package acl

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

var (
	one   = strings.Repeat("1", 64)
	two   = strings.Repeat("2", 64)
	three = strings.Repeat("3", 64)
)

// TestMapping is the table "Mapping of ACL permissions and access policy permissions", whole: what is not in it is not allowed.
func TestMapping(t *testing.T) {
	bucket := map[Permission][]string{
		Read:     {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"},
		Write:    {"s3:PutObject"},
		ReadACP:  {"s3:GetBucketAcl"},
		WriteACP: {"s3:PutBucketAcl"},
	}
	object := map[Permission][]string{
		Read:     {"s3:GetObject", "s3:GetObjectVersion"},
		ReadACP:  {"s3:GetObjectAcl", "s3:GetObjectVersionAcl"},
		WriteACP: {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"},
	}
	all := []string{
		"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteBucket", "s3:PutBucketPolicy", "s3:GetObjectTagging", "s3:GetObjectAttributes",
		"s3:AbortMultipartUpload", "s3:ListAllMyBuckets", "iam:CreateUser", "",
	}
	for _, actions := range []map[Permission][]string{bucket, object} {
		for p, list := range actions {
			all = append(all, list...)
			actions[FullControl] = append(actions[FullControl], actions[p]...)
		}
	}
	for _, p := range []Permission{FullControl, Write, WriteACP, Read, ReadACP, "OTHER", ""} {
		a := ACL{Owner: one, Grants: []Grant{{Grantee(two), p}}}
		for _, action := range all {
			if got, want := a.AllowsOnBucket(two, action) == ToAccount, contains(bucket[p], action); got != want {
				t.Errorf("%s on a bucket, %s: %v", p, action, got)
			}
			if got, want := a.AllowsOnObject(two, action) == ToAccount, contains(object[p], action); got != want {
				t.Errorf("%s on an object, %s: %v", p, action, got)
			}
			for _, who := range []string{one, three, ""} {
				if a.AllowsOnBucket(who, action) != Not || a.AllowsOnObject(who, action) != Not {
					t.Errorf("%s to %s lets %q do %s", p, two, who, action)
				}
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// TestGroups: who belongs to which group, and that a grant to a group counts for more than one to the account.
func TestGroups(t *testing.T) {
	for _, row := range []struct {
		grantee Grantee
		signed  Level
		not     Level
	}{{AllUsers, ToAll, ToAll}, {AuthenticatedUsers, ToAll, Not}, {LogDelivery, Not, Not}, {Grantee(two), ToAccount, Not}, {"", Not, Not}} {
		a := ACL{Owner: one, Grants: []Grant{{row.grantee, Read}}}
		if got := a.AllowsOnObject(two, "s3:GetObject"); got != row.signed {
			t.Errorf("%s, signed: %d", row.grantee, got)
		}
		if got := a.AllowsOnObject("", "s3:GetObject"); got != row.not {
			t.Errorf("%s, not signed: %d", row.grantee, got)
		}
	}
	both := ACL{Owner: one, Grants: []Grant{{Grantee(two), FullControl}, {AllUsers, Read}}}
	if both.AllowsOnObject(two, "s3:GetObject") != ToAll || both.AllowsOnObject(two, "s3:PutObjectAcl") != ToAccount {
		t.Error("the greater of two grants does not count")
	}
	if (&ACL{}).AllowsOnBucket("", "s3:ListBucket") != Not {
		t.Error("the zero ACL allows")
	}
}

// TestCanned is the table "Canned ACL".
func TestCanned(t *testing.T) {
	owner := Grant{Grantee(one), FullControl}
	for _, row := range []struct {
		name           string
		bucket, object []Grant // besides the owner's; nil: refused
		public         bool
	}{
		{CannedPrivate, []Grant{}, []Grant{}, false},
		{CannedPublicRead, []Grant{{AllUsers, Read}}, []Grant{{AllUsers, Read}}, true},
		{CannedPublicReadWrite, []Grant{{AllUsers, Read}, {AllUsers, Write}}, []Grant{{AllUsers, Read}, {AllUsers, Write}}, true},
		{CannedAuthenticatedRead, []Grant{{AuthenticatedUsers, Read}}, []Grant{{AuthenticatedUsers, Read}}, true},
		{CannedAwsExecRead, []Grant{}, []Grant{}, false},
		{CannedBucketOwnerRead, []Grant{}, []Grant{{Grantee(two), Read}}, false},
		{CannedBucketOwnerFullControl, []Grant{}, []Grant{{Grantee(two), FullControl}}, false},
		{CannedLogDeliveryWrite, []Grant{{LogDelivery, Write}, {LogDelivery, ReadACP}}, nil, false},
		{"Private", nil, nil, false},
		{"", nil, nil, false},
	} {
		b, err := ForBucket(row.name, one)
		check(t, row.name+" on a bucket", b, err, row.bucket, owner, row.public)
		o, err := ForObject(row.name, one, two)
		check(t, row.name+" on an object", o, err, row.object, owner, row.public)
		if row.object != nil {
			own, _ := ForObject(row.name, one, one)
			if !row.public && !own.OnlyOwnerControls() {
				t.Errorf("%s on the bucket owner's own object: %v", row.name, own)
			}
		}
	}
}

func check(t *testing.T, what string, a ACL, err error, more []Grant, owner Grant, public bool) {
	t.Helper()
	if more == nil {
		if !errors.Is(err, ErrCanned) || a.Grants != nil {
			t.Errorf("%s: %v %v", what, a, err)
		}
		return
	}
	want := ACL{Owner: one, Grants: append([]Grant{owner}, more...)}
	if err != nil || !reflect.DeepEqual(a, want) || a.Validate() != nil || a.Public() != public {
		t.Errorf("%s: %v, %v", what, a, err)
	}
	if left := a.WithoutPublic(); left.Public() || !public && !reflect.DeepEqual(left, a) {
		t.Errorf("%s without what is public: %v", what, left)
	}
}

func TestValidate(t *testing.T) {
	grants := func(n int) []Grant {
		list := make([]Grant, n)
		for i := range list {
			list[i] = Grant{Grantee(fmt.Sprintf("%064x", i)), Read}
		}
		return list
	}
	for _, row := range []struct {
		acl  ACL
		want error
	}{
		{Private(one), nil},
		{ACL{Owner: one}, nil},
		{ACL{Owner: one, Grants: grants(GrantsMax)}, nil},
		{ACL{Owner: one, Grants: grants(GrantsMax + 1)}, ErrTooMany},
		{ACL{Owner: "me"}, ErrGrantee},
		{ACL{Owner: one, Grants: []Grant{{Grantee(two), "READ "}}}, ErrPermission},
		{ACL{Owner: one, Grants: []Grant{{"http://acs.amazonaws.com/groups/global/Everyone", Read}}}, ErrGrantee},
		{ACL{Owner: one, Grants: []Grant{{Grantee(two[1:]), Read}}}, ErrGrantee},
		{ACL{Owner: one, Grants: []Grant{{Grantee(strings.Repeat("A", 64)), Read}}}, ErrGrantee},
	} {
		if got := row.acl.Validate(); got != row.want {
			t.Errorf("%v: %v", row.acl, got)
		}
	}
}

func TestParseHeader(t *testing.T) {
	for _, row := range []struct {
		value string
		want  []Grant
		err   error
	}{
		{`id="` + one + `"`, []Grant{{Grantee(one), Read}}, nil},
		{`id=` + one, []Grant{{Grantee(one), Read}}, nil},
		{` id = "` + one + `" ,uri="` + string(AllUsers) + `"`, []Grant{{Grantee(one), Read}, {AllUsers, Read}}, nil},
		{`uri=` + string(LogDelivery), []Grant{{LogDelivery, Read}}, nil},
		{`uri="http://example.com/group"`, nil, ErrGrantee},
		{`id="me"`, nil, ErrGrantee},
		{`id="` + string(AllUsers) + `"`, nil, ErrGrantee},
		{`uri="` + one + `"`, nil, ErrGrantee},
		{`emailAddress="xyz@amazon.com", id=` + one, nil, ErrEmail},
		{`name="` + one + `"`, nil, ErrHeader},
		{`id="` + one, nil, ErrHeader},
		{`id=` + one + `"`, nil, ErrHeader},
		{`id=`, nil, ErrHeader},
		{`id=""`, nil, ErrHeader},
		{one, nil, ErrHeader},
		{``, nil, ErrHeader},
		{`id=` + one + `,`, nil, ErrHeader},
		{strings.Repeat(`id=`+one+`,`, GrantsMax) + `id=` + one, nil, ErrTooMany},
	} {
		got, err := ParseHeader(row.value, Read)
		if err != row.err || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%q: %v %v", row.value, got, err)
		}
	}
	for _, h := range HeaderPermissions() {
		name := "x-amz-grant-" + strings.ReplaceAll(strings.ToLower(string(h.Permission)), "_", "-")
		if h.Name != name || !h.Permission.Valid() {
			t.Errorf("%v", h)
		}
	}
	if len(HeaderPermissions()) != 5 {
		t.Error("a header is missing")
	}
}

// TestStored holds the stored form: what is on the left must be readable for ever.
func TestStored(t *testing.T) {
	for _, row := range []struct {
		json string
		acl  ACL
	}{
		{`{"o":"` + one + `"}`, Private(one)},
		{`{"o":"` + one + `","g":[]}`, ACL{Owner: one, Grants: []Grant{}}},
		{`{"o":"` + one + `","g":[["` + one + `","F"],["@all","R"],["@authenticated","RA"],["@logs","W"],["` + two + `","WA"]]}`, ACL{one, []Grant{
			{Grantee(one), FullControl}, {AllUsers, Read}, {AuthenticatedUsers, ReadACP}, {LogDelivery, Write}, {Grantee(two), WriteACP},
		}}},
	} {
		data, err := json.Marshal(row.acl)
		if err != nil || string(data) != row.json {
			t.Errorf("%s %v, want %s", data, err, row.json)
		}
		var back ACL
		if err := json.Unmarshal([]byte(row.json), &back); err != nil || !reflect.DeepEqual(back, row.acl) {
			t.Errorf("%s: %v %v", row.json, back, err)
		}
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"o":"x"}`, `{"o":"` + one + `","g":[["` + one + `","X"]]}`, `{"o":"` + one + `","g":[["@some","R"]]}`, `{"o":"` + one + `","g":1}`} {
		a := Private(two)
		if err := json.Unmarshal([]byte(bad), &a); err == nil || !reflect.DeepEqual(a, Private(two)) {
			t.Errorf("%s: %v %v", bad, a, err)
		}
	}
}

// FuzzParseHeader: no header panics, and what is taken is a valid grant.
func FuzzParseHeader(f *testing.F) {
	for _, s := range []string{`id="` + one + `", uri="` + string(AllUsers) + `"`, `emailAddress=a@b`, `id=`, `,`, `"`, `id=""`, `uri=` + string(LogDelivery)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		grants, err := ParseHeader(value, Write)
		a := ACL{Owner: one, Grants: grants}
		if (err == nil) != (len(grants) > 0) || a.Validate() != nil {
			t.Fatalf("%v %v", grants, err)
		}
	})
}

// FuzzStored: no stored form panics, and what is read is written again in the same meaning.
func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"o":"` + one + `"}`))
	f.Add([]byte(`{"o":"` + one + `","g":[["@all","R"],["` + two + `","F"]]}`))
	f.Add([]byte(`{"o":"` + one + `","g":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b ACL
		if json.Unmarshal(data, &a) != nil {
			return
		}
		if err := a.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%s: %v, %v", again, b, err)
		}
	})
}
