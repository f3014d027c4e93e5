package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/acl"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

const (
	aclHead    = `<AccessControlPolicy><Owner><ID>OWNER</ID></Owner><AccessControlList>`
	aclTail    = `</AccessControlList></AccessControlPolicy>`
	privateACL = aclHead + `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>OWNER</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>` + aclTail
)

// aclDoc is a document of one grant more than the owner's.
func aclDoc(owner, kind, grantee, permission string) []byte {
	return []byte(strings.ReplaceAll(aclHead, "OWNER", owner) + `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="` + kind + `">` + grantee +
		`</Grantee><Permission>` + permission + `</Permission></Grant>` + aclTail)
}

// owned makes a bucket of an ownership, "" for what there is by default.
func (k *kit) owned(bucket, ownership string, header ...string) {
	k.t.Helper()
	header = append(header, "x-amz-object-ownership", ownership)
	if ownership == "" {
		header = header[:len(header)-2]
	}
	k.want("200", call{method: "PUT", path: "/" + bucket, header: pairs(header)})
}

var (
	shownOwner = regexp.MustCompile(`<Owner><ID>([0-9a-f]*)</ID>`)
	shownGrant = regexp.MustCompile(`<Grant><Grantee[^>]*>(?:<ID>([0-9a-f]*)</ID><DisplayName>[^<]*</DisplayName>|<URI>[^<]*/([A-Za-z]*)</URI>)</Grantee><Permission>([A-Z_]*)</Permission></Grant>`)
)

// acl is what GetBucketAcl or GetObjectAcl answers root, in short: "sherd: sherd FULL_CONTROL, AllUsers READ".
func (k *kit) acl(path, by string) string {
	k.t.Helper()
	a := k.want("200", call{method: "GET", path: path, credentials: as(by)})
	name := func(id string) string {
		switch id {
		case testAccount.Canonical:
			return "sherd"
		case other.Canonical:
			return "other"
		}
		return id
	}
	var grants []string
	for _, g := range shownGrant.FindAllStringSubmatch(string(a.body), -1) {
		grants = append(grants, name(g[1]+g[2])+" "+g[3])
	}
	owner := shownOwner.FindStringSubmatch(string(a.body))
	if owner == nil || strings.Count(string(a.body), "<Grant>") != len(grants) {
		k.t.Fatalf("%s: %s", path, a.body)
	}
	return name(owner[1]) + ": " + strings.Join(grants, ", ")
}

// TestCannedACLs: what each stands for, on a bucket, on an object of the bucket's owner, and on one that another account wrote. Source: "Canned ACL"
// (Amazon S3 User Guide).
func TestCannedACLs(t *testing.T) {
	k := newKit(t)
	k.users(nil)
	k.owned("bucket", objectWriter, "x-amz-acl", "public-read-write")
	for _, c := range []struct{ canned, bucket, own, theirs string }{ // besides the owner's full control; a code: it is refused
		{"private", "", "", ""},
		{"public-read", ", AllUsers READ", ", AllUsers READ", ", AllUsers READ"},
		{"public-read-write", ", AllUsers READ, AllUsers WRITE", ", AllUsers READ, AllUsers WRITE", ", AllUsers READ, AllUsers WRITE"},
		{"authenticated-read", ", AuthenticatedUsers READ", ", AuthenticatedUsers READ", ", AuthenticatedUsers READ"},
		{"bucket-owner-read", "", "", ", sherd READ"},
		{"bucket-owner-full-control", "", "", ", sherd FULL_CONTROL"},
		{"aws-exec-read", "", "", ""},
		{"log-delivery-write", ", LogDelivery WRITE, LogDelivery READ_ACP", "InvalidArgument", "InvalidArgument"},
		{"public-everything", "InvalidArgument", "InvalidArgument", "InvalidArgument"},
	} {
		check := func(want, who string, put call, path string) {
			t.Helper()
			put.header, put.credentials = pairs([]string{"x-amz-acl", c.canned}), as(who)
			if want != "" && want[0] != ',' {
				k.want(want, put)
				return
			}
			k.want("200", put)
			if who == "root" {
				who = "sherd"
			}
			by := map[string]string{"sherd": "root", "other": "other"}[who]
			if want = who + ": " + who + " FULL_CONTROL" + want; k.acl(path, by) != want {
				t.Errorf("%s by %s on %s: %s, want %s", c.canned, who, path, k.acl(path, by), want)
			}
		}
		check(c.own, "root", call{method: "PUT", path: "/bucket/own", body: []byte("b")}, "/bucket/own?acl")
		check(c.theirs, "other", call{method: "PUT", path: "/bucket/theirs", body: []byte("b")}, "/bucket/theirs?acl")
		check(c.own, "root", call{method: "PUT", path: "/bucket/own?acl"}, "/bucket/own?acl")
		check(c.theirs, "other", call{method: "PUT", path: "/bucket/theirs?acl"}, "/bucket/theirs?acl")
		k.owned("other-"+strings.ToLower(c.canned), objectWriter)
		check(c.bucket, "root", call{method: "PUT", path: "/other-" + c.canned + "?acl"}, "/other-"+c.canned+"?acl")
	}
}

// TestWhoMayByACL goes through what grants on buckets and objects let whom do. Source: "Mapping of ACL permissions and access policy permissions".
func TestWhoMayByACL(t *testing.T) {
	k := newKit(t)
	k.users(map[string]string{"guest": "", "their-it": allowS3, "their-guest": ""})
	k.owned("closed", objectWriter)
	k.owned("open", objectWriter, "x-amz-acl", "public-read-write")
	k.owned("theirs", objectWriter, "x-amz-grant-full-control", `id="`+other.Canonical+`"`)
	k.owned("off", "")
	for _, acl := range []string{"private", "public-read", "authenticated-read"} {
		k.put("/closed/"+acl, "body", "x-amz-acl", acl)
	}
	k.put("/closed/to-other", "body", "x-amz-grant-read", `id="`+other.Canonical+`"`)
	k.put("/closed/acp", "body", "x-amz-grant-read-acp", "uri="+string(acl.AllUsers), "x-amz-grant-write-acp", `id=`+other.Canonical)
	k.put("/off/key", "body")
	k.want("200", call{method: "PUT", path: "/open/of-other", body: []byte("body"), credentials: as("other")})
	k.want("200", call{method: "PUT", path: "/open/left", body: []byte("body"), credentials: as("other"), header: pairs([]string{"x-amz-acl", "bucket-owner-full-control"})})
	get := func(path string) call { return call{method: "GET", path: path} }
	put := func(path string, header ...string) call {
		return call{method: "PUT", path: path, body: []byte("new"), header: pairs(header)}
	}
	for _, c := range []struct {
		who, code string
		call
	}{
		{"", "AccessDenied", get("/closed/private")},
		{"other", "AccessDenied", get("/closed/private")},
		{"guest", "AccessDenied", get("/closed/private")},
		{"root", "200", get("/closed/private")},
		{"", "200", get("/closed/public-read")},
		{"", "200", call{method: "HEAD", path: "/closed/public-read"}},
		{"guest", "200", get("/closed/public-read")},
		{"their-it", "200", get("/closed/public-read")},
		{"their-guest", "AccessDenied", get("/closed/public-read")}, // his own account has to let him
		{"", "AccessDenied", get("/closed/public-read?acl")},
		{"", "AccessDenied", put("/closed/public-read")},
		{"", "AccessDenied", call{method: "DELETE", path: "/closed/public-read"}},
		{"", "AccessDenied", get("/closed/authenticated-read")},
		{"guest", "200", get("/closed/authenticated-read")},
		{"other", "200", get("/closed/authenticated-read")},
		{"other", "200", get("/closed/to-other")},
		{"their-it", "200", get("/closed/to-other")},
		{"their-guest", "AccessDenied", get("/closed/to-other")},
		{"guest", "AccessDenied", get("/closed/to-other")},
		{"", "AccessDenied", get("/closed/to-other")},
		{"", "200", get("/closed/acp?acl")},
		{"", "AccessDenied", get("/closed/acp")},
		{"", "AccessDenied", call{method: "PUT", path: "/closed/acp?acl", header: pairs([]string{"x-amz-acl", "public-read"})}},
		{"", "AccessDenied", get("/closed/absent")},
		{"other", "AccessDenied", get("/closed/absent?acl")},
		{"root", "NoSuchKey", get("/closed/absent?acl")},
		{"", "AccessDenied", get("/closed")},

		{"", "200", get("/open")},
		{"", "200", get("/open?uploads")},
		{"", "AccessDenied", get("/open?acl")},
		{"", "AccessDenied", get("/open?policy")},
		{"", "200", put("/open/of-nobody")},
		{"", "AccessDenied", put("/open/of-nobody", "x-amz-acl", "public-read")},
		{"", "AccessDenied", call{method: "DELETE", path: "/open/of-nobody"}},
		{"root", "200", get("/open/of-nobody")}, // it is the bucket owner's
		{"", "NoSuchKey", get("/open/absent")},  // who may list is told
		{"their-it", "200", put("/open/of-it", "x-amz-acl", "public-read")},
		{"their-guest", "AccessDenied", put("/open/of-guest")},
		{"", "200", get("/open/of-it")},
		{"root", "AccessDenied", get("/open/of-other")}, // the writer kept it
		{"root", "AccessDenied", get("/open/of-other?acl")},
		{"root", "AccessDenied", call{method: "PUT", path: "/open/of-other?acl", header: pairs([]string{"x-amz-acl", "public-read"})}},
		{"root", "200", get("/open/left")},
		{"root", "200", get("/open/left?acl")},
		{"their-it", "200", get("/open/of-other")},
		{"root", "AccessDenied", put("/open/copy", "x-amz-copy-source", "/open/of-other")},
		{"other", "200", put("/open/copy", "x-amz-copy-source", "/open/of-other")},
		{"other", "AccessDenied", put("/open/copy", "x-amz-copy-source", "/closed/private")},
		{"root", "AccessDenied", get("/open/copy")},
		{"root", "204", call{method: "DELETE", path: "/open/of-other"}}, // whosever it is

		{"other", "200", get("/theirs")},
		{"their-it", "200", put("/theirs/key")},
		{"their-it", "200", get("/theirs?acl")},
		{"other", "AccessDenied", get("/theirs?policy")},
		{"guest", "AccessDenied", get("/theirs")},
		{"", "AccessDenied", get("/theirs")},
		{"other", "AccessDenied", call{method: "DELETE", path: "/theirs"}},
		{"other", "200", call{method: "PUT", path: "/theirs?acl", header: pairs([]string{"x-amz-acl", "private"})}},
		{"other", "AccessDenied", get("/theirs")},
		{"root", "200", get("/theirs")}, // the owner needs no grant

		{"other", "AccessDenied", get("/off/key?acl")},
		{"guest", "AccessDenied", get("/off/key?acl")},
		{"other", "AccessDenied", call{method: "PUT", path: "/off/key?acl", header: pairs([]string{"x-amz-acl", "private"})}},
	} {
		c.credentials, c.anonymous = as(c.who), c.who == ""
		if a := k.do(c.call); a.code() != c.code && !(c.method == "HEAD" && fmt.Sprint(a.status) == c.code) {
			t.Errorf("%s %s by %q: %s, want %s: %s", c.method, c.path, c.who, a.code(), c.code, a.body)
		}
	}

	// What a policy allows does not reach what others own; what it denies does. And turning ACLs off makes everything the bucket owner's.
	k.want("200", call{method: "PUT", path: "/open/kept", body: []byte("body"), credentials: as("other"), header: pairs([]string{"x-amz-acl", "authenticated-read"})})
	k.config("open", configPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::open/*"},
		{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::open/of-it"}]}`)
	k.want("AccessDenied", call{method: "GET", path: "/open/kept", anonymous: true})
	k.want("200", call{method: "GET", path: "/open/kept"})
	k.want("AccessDenied", call{method: "GET", path: "/open/of-it", credentials: as("other")})
	k.want("200", call{method: "GET", path: "/open/left", credentials: as("other")})
	k.want("204", call{method: "DELETE", path: "/open?policy"})
	k.want("200", call{method: "PUT", path: "/open?acl", header: pairs([]string{"x-amz-acl", "private"})})
	k.want("AccessDenied", call{method: "PUT", path: "/open/more", body: []byte("body"), credentials: as("other")})
	k.want("200", call{method: "PUT", path: "/open?ownershipControls", body: ownershipDoc(ownerEnforced)})
	k.want("200", call{method: "GET", path: "/open/of-it"})
	k.want("AccessDenied", call{method: "GET", path: "/open/of-it", anonymous: true})
	k.want("AccessDenied", call{method: "GET", path: "/open/kept", credentials: as("other")})
	if got := k.acl("/open/kept?acl", "root"); got != "sherd: sherd FULL_CONTROL" {
		t.Errorf("with ACLs off: %s", got)
	}
	k.want("200", call{method: "PUT", path: "/open/kept?acl", header: pairs([]string{"x-amz-acl", "bucket-owner-full-control"})})
	k.want("204", call{method: "DELETE", path: "/open?ownershipControls"}) // on again, as they were
	k.want("200", call{method: "GET", path: "/open/of-it", anonymous: true})
}

func ownershipDoc(ownership string) []byte {
	return []byte("<OwnershipControls><Rule><ObjectOwnership>" + ownership + "</ObjectOwnership></Rule></OwnershipControls>")
}

// TestOwnership: whose a new object is, by who wrote it and what the bucket says. Source: "Controlling ownership of objects and disabling ACLs".
func TestOwnership(t *testing.T) {
	k := newKit(t)
	k.users(map[string]string{"writer": allowS3, "their-writer": statement("Allow", `["s3:PutObject"]`, `"*"`, "")})
	for _, b := range []struct {
		ownership, by, canned, want string
	}{
		{ownerEnforced, "other", "", "sherd: sherd FULL_CONTROL"},
		{ownerEnforced, "other", "bucket-owner-full-control", "sherd: sherd FULL_CONTROL"},
		{ownerEnforced, "their-writer", "", "sherd: sherd FULL_CONTROL"},
		{ownerEnforced, "their-writer", "bucket-owner-full-control", "AccessDenied"},
		{ownerPreferred, "other", "", "other: other FULL_CONTROL"},
		{ownerPreferred, "other", "bucket-owner-full-control", "sherd: sherd FULL_CONTROL"},
		{ownerPreferred, "other", "bucket-owner-read", "other: other FULL_CONTROL, sherd READ"},
		{objectWriter, "other", "", "other: other FULL_CONTROL"},
		{objectWriter, "other", "bucket-owner-full-control", "other: other FULL_CONTROL, sherd FULL_CONTROL"},
		{objectWriter, "their-writer", "", "other: other FULL_CONTROL"},
		{objectWriter, "their-writer", "bucket-owner-full-control", "AccessDenied"}, // his account did not let him put ACLs
		{objectWriter, "writer", "bucket-owner-full-control", "sherd: sherd FULL_CONTROL"},
		{objectWriter, "", "", "sherd: sherd FULL_CONTROL"},
	} {
		k.owned("bucket", b.ownership)
		k.config("bucket", configPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:PutObject","s3:GetObject","s3:GetObjectAcl"],"Resource":"arn:aws:s3:::bucket/*"}]}`)
		header := map[string]string{}
		if b.canned != "" {
			header["x-amz-acl"] = b.canned
		}
		name := fmt.Sprintf("%s, %q, %s", b.ownership, b.by, b.canned)
		upload := call{method: "POST", path: "/bucket/key?uploads", header: header, credentials: as(b.by), anonymous: b.by == ""}
		write := upload
		write.method, write.path, write.body = "PUT", "/bucket/key", []byte("body")
		if b.want == "AccessDenied" {
			k.want(b.want, write)
			k.want(b.want, upload)
		} else {
			reader := strings.SplitN(b.want, ":", 2)[0]
			if reader == "sherd" {
				reader = "root"
			}
			k.want("200", write)
			if got := k.acl("/bucket/key?acl", reader); got != b.want {
				t.Errorf("%s: %s, want %s", name, got, b.want)
			}
			id := between(string(k.want("200", upload).body), "<UploadId>", "</UploadId>")
			part := k.want("200", call{method: "PUT", path: "/bucket/key?partNumber=1&uploadId=" + id, body: []byte("part")})
			k.want("200", call{method: "POST", path: "/bucket/key?uploadId=" + id,
				body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + part.header.Get("ETag") + "</ETag></Part></CompleteMultipartUpload>")})
			if got := k.acl("/bucket/key?acl", reader); got != b.want {
				t.Errorf("%s, in parts: %s, want %s", name, got, b.want)
			}
			k.want("204", call{method: "DELETE", path: "/bucket/key"})
		}
		k.want("204", call{method: "DELETE", path: "/bucket"})
	}
}

// TestCopiedACL: an ACL is not copied; the copy has that of the request, and belongs to who made it. Source: CopyObject, "Access Control List (ACL)".
func TestCopiedACL(t *testing.T) {
	k := newKit(t)
	k.users(nil)
	k.owned("bucket", objectWriter, "x-amz-acl", "public-read-write")
	k.put("/bucket/src", "body", "x-amz-acl", "public-read")
	for _, path := range []string{"/bucket/copy", "/bucket/src"} { // also onto itself
		for _, c := range []struct{ by, acl, want string }{
			{"root", "authenticated-read", "sherd: sherd FULL_CONTROL, AuthenticatedUsers READ"},
			{"other", "authenticated-read", "other: other FULL_CONTROL, AuthenticatedUsers READ"},
			{"root", "public-read", "sherd: sherd FULL_CONTROL, AllUsers READ"},
			{"root", "", "sherd: sherd FULL_CONTROL"},
		} {
			header := pairs([]string{"x-amz-copy-source", "/bucket/src", "x-amz-metadata-directive", "REPLACE", "x-amz-acl", c.acl})
			k.want("200", call{method: "PUT", path: path, header: header, credentials: as(c.by)})
			if got := k.acl(path+"?acl", c.by); got != c.want {
				t.Errorf("%s by %s: %s, want %s", path, c.by, got, c.want)
			}
		}
	}
}

// TestRefusedACLs: each error, on what puts an ACL. Nothing is changed.
func TestRefusedACLs(t *testing.T) {
	k := newKit(t)
	k.users(nil)
	k.owned("open", objectWriter)
	k.owned("off", "")
	k.put("/open/key", "body", "x-amz-acl", "authenticated-read")
	k.put("/off/key", "body")
	me, all := testAccount.Canonical, string(acl.AllUsers)
	many := strings.Repeat("id="+me+",", acl.GrantsMax/2)
	before := k.everything()
	for _, c := range []struct {
		code   string
		header []string
		body   []byte
	}{
		{"InvalidRequest", []string{"x-amz-acl", "private", "x-amz-grant-read", "id=" + me}, nil},
		{"InvalidArgument", []string{"x-amz-acl", "public-everything"}, nil},
		{"InvalidArgument", []string{"x-amz-grant-read", "me"}, nil},
		{"InvalidArgument", []string{"x-amz-grant-read", "id=me"}, nil},
		{"InvalidArgument", []string{"x-amz-grant-read", "id=" + strings.Repeat("3a", 32)}, nil},
		{"InvalidArgument", []string{"x-amz-grant-write", "uri=http://example.com/all"}, nil},
		{"UnresolvableGrantByEmailAddress", []string{"x-amz-grant-read-acp", "emailAddress=me@example.com"}, nil},
		{"MalformedACLError", []string{"x-amz-grant-read", many + "id=" + me, "x-amz-grant-write-acp", many + "id=" + me}, nil},
		{"UnexpectedContent", []string{"x-amz-acl", "private"}, []byte(privateACL)},
		{"MissingSecurityHeader", nil, nil},
		{"MalformedACLError", nil, []byte("private")},
		{"MalformedACLError", nil, aclDoc(me, "CanonicalUser", "<ID>"+me+"</ID>", "LOOK")},
		{"InvalidArgument", nil, aclDoc(me, "CanonicalUser", "<ID>"+strings.Repeat("3a", 32)+"</ID>", "READ")},
		{"InvalidArgument", nil, aclDoc(me, "Group", "<URI>http://example.com/all</URI>", "READ")},
		{"UnresolvableGrantByEmailAddress", nil, aclDoc(me, "AmazonCustomerByEmail", "<EmailAddress>me@example.com</EmailAddress>", "READ")},
		{"InvalidArgument", nil, aclDoc(strings.Repeat("3a", 32), "CanonicalUser", "<ID>"+me+"</ID>", "READ")},
		{"AccessDenied", nil, aclDoc(other.Canonical, "CanonicalUser", "<ID>"+me+"</ID>", "READ")}, // it would be another's
	} {
		for _, path := range []string{"/open?acl", "/open/key?acl"} {
			k.want(c.code, call{method: "PUT", path: path, header: pairs(c.header), body: c.body})
		}
		if c.body == nil && c.header != nil {
			k.want(c.code, call{method: "PUT", path: "/open/new", body: []byte("new"), header: pairs(c.header)})
			k.want(c.code, call{method: "POST", path: "/open/new?uploads", header: pairs(c.header)})
			k.want(c.code, call{method: "PUT", path: "/open/new", header: pairs(append(c.header, "x-amz-copy-source", "/open/key"))})
			k.want(c.code, call{method: "PUT", path: "/new", header: pairs(append(c.header, "x-amz-object-ownership", "ObjectWriter"))})
		}
	}
	for _, c := range []call{
		{method: "PUT", path: "/off?acl", header: pairs([]string{"x-amz-acl", "public-read"})},
		{method: "PUT", path: "/off?acl", body: aclDoc(me, "Group", "<URI>"+all+"</URI>", "READ")},
		{method: "PUT", path: "/off/key?acl", header: pairs([]string{"x-amz-acl", "bucket-owner-read"})},
		{method: "PUT", path: "/off/key?acl", header: pairs([]string{"x-amz-grant-read", "id=" + me})},
		{method: "PUT", path: "/off/new", body: []byte("new"), header: pairs([]string{"x-amz-acl", "public-read"})},
		{method: "PUT", path: "/off/new", header: pairs([]string{"x-amz-acl", "public-read", "x-amz-copy-source", "/open/key"})},
		{method: "POST", path: "/off/new?uploads", header: pairs([]string{"x-amz-grant-read", "uri=" + all})},
	} {
		k.want("AccessControlListNotSupported", c)
	}
	k.want("InvalidBucketAclWithObjectOwnership", call{method: "PUT", path: "/new", header: pairs([]string{"x-amz-acl", "public-read"})})
	k.want("InvalidBucketAclWithObjectOwnership", call{method: "PUT", path: "/new", header: pairs([]string{"x-amz-acl", "public-read", "x-amz-object-ownership", ownerEnforced})})
	k.want("InvalidArgument", call{method: "PUT", path: "/new", header: pairs([]string{"x-amz-object-ownership", "Nobody"})})
	k.want("NoSuchKey", call{method: "PUT", path: "/open/absent?acl", header: pairs([]string{"x-amz-acl", "private"})})
	k.want("InvalidArgument", call{method: "GET", path: "/open/key?acl&versionId=none"})
	k.want("NoSuchVersion", call{method: "PUT", path: "/open/key?acl&versionId=" + string(object.AppendVersionID(nil, 1, true)), header: pairs([]string{"x-amz-acl", "private"})})
	if after := k.everything(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}

	// What changes nothing is taken where ACLs are off, whatever tools send by default.
	for _, c := range []call{
		{method: "PUT", path: "/off?acl", header: pairs([]string{"x-amz-acl", "private"})},
		{method: "PUT", path: "/off/key?acl", body: []byte(strings.ReplaceAll(privateACL, "OWNER", me))},
		{method: "PUT", path: "/off/key?acl&versionId=null", header: pairs([]string{"x-amz-grant-full-control", `id="` + me + `"`})},
		{method: "PUT", path: "/off/new", body: []byte("new"), header: pairs([]string{"x-amz-acl", "private"})},
		{method: "PUT", path: "/new", header: pairs([]string{"x-amz-acl", "private"})},
	} {
		k.want("200", c)
	}
}

// TestOwnershipControls: what is shown and what is refused. Source: Put-, Get- and DeleteBucketOwnershipControls.
func TestOwnershipControls(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	get := call{method: "GET", path: "/bucket?ownershipControls"}
	shows := func(want string) {
		t.Helper()
		if a := k.want("200", get); between(string(a.body), "<ObjectOwnership>", "</") != want {
			t.Errorf("%s, want %s", a.body, want)
		}
	}
	set := func(ownership string) call {
		return call{method: "PUT", path: "/bucket?ownershipControls", body: ownershipDoc(ownership)}
	}
	shows(ownerEnforced)
	for _, ownership := range []string{objectWriter, ownerPreferred} {
		k.want("200", set(ownership))
		shows(ownership)
	}
	k.want("MalformedXML", set("Nobody"))
	k.want("200", call{method: "PUT", path: "/bucket?acl", header: pairs([]string{"x-amz-acl", "public-read"})})
	k.want("InvalidBucketAclWithObjectOwnership", set(ownerEnforced))
	shows(ownerPreferred)
	k.want("204", call{method: "DELETE", path: "/bucket?ownershipControls"})
	k.want("OwnershipControlsNotFoundError", get)
	k.want("200", call{method: "GET", path: "/bucket", anonymous: true}) // as ObjectWriter
	k.want("200", call{method: "PUT", path: "/bucket?acl", header: pairs([]string{"x-amz-acl", "private"})})
	k.want("200", set(ownerEnforced))
	shows(ownerEnforced)
}

// TestBlockPublicACLs: source "Blocking public access to your Amazon S3 storage".
func TestBlockPublicACLs(t *testing.T) {
	k := newKit(t)
	k.users(nil)
	k.owned("bucket", objectWriter, "x-amz-acl", "public-read")
	k.put("/bucket/key", "body", "x-amz-grant-read", "uri="+string(acl.AllUsers)+",id="+other.Canonical)
	block := func(what string) {
		k.want("200", call{method: "PUT", path: "/bucket?publicAccessBlock", body: []byte("<PublicAccessBlockConfiguration><" + what + ">true</" + what + "></PublicAccessBlockConfiguration>")})
	}
	list, read := call{method: "GET", path: "/bucket", anonymous: true}, call{method: "GET", path: "/bucket/key", anonymous: true}
	block("BlockPublicAcls")
	k.want("200", list) // of what is there it says nothing
	k.want("200", read)
	for _, acl := range []string{"public-read", "authenticated-read"} {
		header := pairs([]string{"x-amz-acl", acl})
		k.want("AccessDenied", call{method: "PUT", path: "/bucket?acl", header: header})
		k.want("AccessDenied", call{method: "PUT", path: "/bucket/key?acl", header: header})
		k.want("AccessDenied", call{method: "PUT", path: "/bucket/new", header: header, body: []byte("new")})
		k.want("AccessDenied", call{method: "POST", path: "/bucket/new?uploads", header: header})
		header["x-amz-copy-source"] = "/bucket/key"
		k.want("AccessDenied", call{method: "PUT", path: "/bucket/new", header: header})
	}
	k.put("/bucket/new", "new", "x-amz-grant-read", "id="+other.Canonical)
	block("IgnorePublicAcls")
	k.want("AccessDenied", list)
	k.want("AccessDenied", read)
	k.want("200", call{method: "GET", path: "/bucket/key", credentials: as("other")}) // an account is not everybody
	if got := k.acl("/bucket?acl", "root") + "; " + k.acl("/bucket/key?acl", "root"); got != "sherd: sherd FULL_CONTROL; sherd: other READ" {
		t.Errorf("what is ignored is shown: %s", got)
	}
	k.want("204", call{method: "DELETE", path: "/bucket?publicAccessBlock"})
	k.want("200", list)
	k.want("200", read)
}

// TestACLChangedMeanwhile: an ACL is put where the one that allowed it still is; else it is looked at again.
func TestACLChangedMeanwhile(t *testing.T) {
	k := newKit(t)
	k.users(nil)
	k.owned("bucket", objectWriter)
	k.put("/bucket/key", "body", "x-amz-grant-write-acp", "id="+other.Canonical)
	put := call{method: "PUT", path: "/bucket/key?acl", header: pairs([]string{"x-amz-acl", "public-read"}), credentials: as("other")}
	between := func(change call) {
		k.records.fail = func(cmd *metapb.Command) error {
			if cmd.GetUpdate() == nil {
				return nil
			}
			k.records.fail = nil
			k.records.mu.Unlock()
			defer k.records.mu.Lock()
			k.want("200", change)
			return nil
		}
	}
	between(call{method: "PUT", path: "/bucket/key?acl", header: pairs([]string{"x-amz-acl", "private"})})
	k.want("AccessDenied", put)
	between(call{method: "PUT", path: "/bucket/key?acl", header: pairs([]string{"x-amz-grant-write-acp", "id=" + testAccount.Canonical})})
	put.credentials = nil
	k.want("200", put)
	k.want("200", call{method: "GET", path: "/bucket/key", anonymous: true})
}

// TestUnreadACL: what is not understood of an object's ACL gives nothing; the owner stays.
func TestUnreadACL(t *testing.T) {
	k := newKit(t)
	k.owned("bucket", objectWriter)
	k.put("/bucket/key", "body", "x-amz-acl", "public-read")
	read := call{method: "GET", path: "/bucket/key", anonymous: true}
	k.want("200", read)
	b := k.buckets.Map().Buckets["bucket"]
	_, err := k.records.UpdateVersion(t.Context(), b.Rules, &metapb.UpdateVersion{Bucket: uint64(b.ID), Key: "key", Change: &metapb.UpdateVersion_Acl{Acl: `{"later":1}`}})
	check(t, err)
	k.want("AccessDenied", read)
	read.anonymous = false
	k.want("200", read)
	k.want("InternalError", call{method: "GET", path: "/bucket/key?acl"})
	k.want("200", call{method: "PUT", path: "/bucket/key?acl", header: pairs([]string{"x-amz-acl", "private"})})
	k.want("200", call{method: "GET", path: "/bucket/key?acl"})
	k.config("bucket", configACL, "of a later version")
	k.want("AccessDenied", read)
}

// TestNobodysObject: an object that cannot be read when it is asked about is nobody's: no policy opens it.
func TestNobodysObject(t *testing.T) {
	k := newKit(t)
	k.owned("bucket", objectWriter)
	r := &request{s: k.server, ctx: context.Background(), http: new(http.Request), caller: &caller{}}
	r.caller.Account, r.caller.Root, r.caller.Canonical = testAccount.ID, true, testAccount.Canonical
	on := &subject{bucket: k.buckets.Map().Buckets["bucket"], name: "bucket", key: "absent"}
	if r.may("s3:GetObject", on) {
		t.Error("what is not there may be read")
	}
	if !r.may("s3:DeleteObject", on) || !r.may("s3:PutObject", on) {
		t.Error("what is the bucket owner's to allow needs the object")
	}
	if _, err := r.stat(on); toAPI(err).code != toAPI(meta.ErrNoSuchKey).code {
		t.Error(err)
	}
}

// TestPolicyPrincipals: whom a bucket's policy names has to be there. Source: PutBucketPolicy, "Invalid principal in policy".
func TestPolicyPrincipals(t *testing.T) {
	k := newKit(t)
	k.users(map[string]string{"ann": ""})
	k.buckets.mu.Lock()
	u := *k.buckets.m.Users[placement.NameOf(testAccount.ID, "ann")]
	u.Path = "/team/"
	k.buckets.m.Users[placement.NameOf(testAccount.ID, "ann")] = &u
	k.buckets.mu.Unlock()
	k.makeBucket("bucket")
	mine := "arn:aws:iam::" + testAccount.ID
	for _, c := range []struct{ code, principal string }{
		{"204", `"*"`},
		{"204", `{"AWS":"` + testAccount.ID + `"}`},
		{"204", `{"AWS":["` + other.ID + `","` + mine + `:root"]}`},
		{"204", `{"AWS":"` + mine + `:user/team/ann"}`},
		{"204", `{"CanonicalUser":"` + other.Canonical + `"}`},
		{"204", `{"AWS":"` + mine + `:role/none"}`}, // there are no roles: it is nobody
		{"204", `{"Service":"logging.s3.amazonaws.com"}`},
		{"MalformedPolicy", `{"AWS":"999988887777"}`},
		{"MalformedPolicy", `{"AWS":"arn:aws:iam::999988887777:root"}`},
		{"MalformedPolicy", `{"AWS":"arn:aws:iam::999988887777:user/team/ann"}`},
		{"MalformedPolicy", `{"AWS":"` + mine + `:user/ann"}`},
		{"MalformedPolicy", `{"AWS":"` + mine + `:user/team/Ann"}`},
		{"MalformedPolicy", `{"AWS":"` + mine + `:user/team/bob"}`},
		{"MalformedPolicy", `{"AWS":["` + testAccount.ID + `","` + mine + `:user/team/bob"]}`},
		{"MalformedPolicy", `{"CanonicalUser":"` + strings.Repeat("3a", 32) + `"}`},
	} {
		doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + c.principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`
		a := k.want(c.code, call{method: "PUT", path: "/bucket?policy", body: []byte(doc)})
		if c.code != "204" && !strings.Contains(string(a.body), "Invalid principal in policy") {
			t.Errorf("%s: %s", c.principal, a.body)
		}
	}
}

// TestExpectedOwner: of the bucket, and of a copy's source. Source: "Verifying bucket ownership with bucket owner condition".
func TestExpectedOwner(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "body")
	for _, o := range operations {
		if o.scope == service || o.name == "CreateBucket" || o.method == http.MethodOptions {
			continue
		}
		path := [...]string{"/", "/bucket", "/bucket/key"}[o.scope]
		if o.sub != "" {
			path += "?" + o.sub + "=1"
		}
		if o.sub2 != "" {
			path += "&" + o.sub2 + "=x"
		}
		c := call{method: o.method, path: path, header: pairs([]string{"x-amz-expected-bucket-owner", other.ID})}
		if o.header != "" {
			c.header[o.header] = "/bucket/key"
		}
		if a := k.do(c); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", o.name, a.status, a.body)
		}
	}
	for owner, code := range map[string]string{testAccount.ID: "200", other.ID: "AccessDenied", "": "200"} {
		header := pairs([]string{"x-amz-copy-source", "/bucket/key", "x-amz-source-expected-bucket-owner", owner, "x-amz-expected-bucket-owner", testAccount.ID})
		k.want(code, call{method: "PUT", path: "/bucket/copy", header: header})
	}
}

// TestOwnershipByDefault: what --object-ownership says holds for buckets that name none, and only those.
func TestOwnershipByDefault(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Ownership = objectWriter })
	k.want("200", call{method: "PUT", path: "/open", header: pairs([]string{"x-amz-acl", "public-read"})})
	k.want("200", call{method: "GET", path: "/open", anonymous: true})
	if a := k.want("200", call{method: "GET", path: "/open?ownershipControls"}); !strings.Contains(string(a.body), ">ObjectWriter<") {
		t.Errorf("%s", a.body)
	}
	enforced := []string{"x-amz-object-ownership", ownerEnforced}
	k.want("InvalidBucketAclWithObjectOwnership", call{method: "PUT", path: "/closed", header: pairs(append(enforced, "x-amz-acl", "public-read"))})
	k.want("200", call{method: "PUT", path: "/closed", header: pairs(enforced)})
	k.want("AccessControlListNotSupported", call{method: "PUT", path: "/closed?acl", header: pairs([]string{"x-amz-acl", "public-read"})})
	if _, err := New(Options{Objects: k.objects, Records: k.records, Buckets: k.buckets, Ownership: "Nobody"}); err == nil {
		t.Error("an ownership that there is not was taken")
	}
}

// TestUploadOfInitiator: who began an upload may list its parts and abort it, and so may the root of his account, unless it is denied; nobody else
// in his place. Source: Amazon S3 User Guide, "Multipart upload API and permissions".
func TestUploadOfInitiator(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	const may = `{"Statement":{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}}`
	k.users(map[string]string{"ours": may, "their-one": may, "their-two": may})
	letIn := `{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}`
	k.config("bucket", configPolicy, `{"Statement":[`+letIn+`]}`)
	begin := func(who string) string {
		t.Helper()
		a := k.want("200", call{method: "POST", path: "/bucket/key?uploads", credentials: as(who)})
		_, rest, _ := strings.Cut(string(a.body), "<UploadId>")
		id, _, _ := strings.Cut(rest, "<")
		return "/bucket/key?uploadId=" + id
	}
	for _, by := range []struct {
		initiator, caller string
		code              string
	}{
		{"ours", "ours", ""}, {"ours", "root", ""}, {"ours", "other", "AccessDenied"}, {"root", "ours", "AccessDenied"},
		{"their-one", "their-one", ""}, {"their-one", "other", ""}, {"their-one", "their-two", "AccessDenied"}, {"their-one", "root", ""},
		{"other", "other", ""}, {"other", "their-one", "AccessDenied"}, {"root", "other", "AccessDenied"},
	} {
		upload := begin(by.initiator)
		for method, code := range map[string]string{"GET": "200", "DELETE": "204"} {
			k.want(cmp.Or(by.code, code), call{method: method, path: upload, credentials: as(by.caller)})
			upload = begin(by.initiator)
		}
		k.want("AccessDenied", call{method: "DELETE", path: upload, anonymous: true})
	}
	upload := begin("other")
	k.config("bucket", configPolicy, `{"Statement":[`+letIn+`,{"Effect":"Deny","Principal":"*","Action":"s3:AbortMultipartUpload","Resource":"arn:aws:s3:::bucket/*"}]}`)
	k.want("AccessDenied", call{method: "DELETE", path: upload, credentials: as("other")})
	k.want("200", call{method: "GET", path: upload, credentials: as("other")})
	k.want("AccessDenied", call{method: "GET", path: "/bucket/key?uploadId=nonsense", credentials: as("other")})
}

// TestACLOfVersions: each version has its own; without an id it is the newest's. Source: GetObjectAcl and PutObjectAcl, versionId.
func TestACLOfVersions(t *testing.T) {
	k := newKit(t)
	k.owned("bucket", objectWriter)
	k.want("200", call{method: "PUT", path: "/bucket?versioning", body: []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")})
	first := k.put("/bucket/key", "1", "x-amz-acl", "public-read").header.Get("x-amz-version-id")
	second := k.put("/bucket/key", "2").header.Get("x-amz-version-id")
	read := func(code, version string) {
		t.Helper()
		k.want(code, call{method: "GET", path: "/bucket/key" + version, anonymous: true})
	}
	read("AccessDenied", "")
	read("200", "?versionId="+first)
	read("AccessDenied", "?versionId="+second)
	private, public := pairs([]string{"x-amz-acl", "private"}), pairs([]string{"x-amz-acl", "public-read"})
	a := k.want("200", call{method: "PUT", path: "/bucket/key?acl&versionId=" + first, header: private})
	if got := a.header.Get("x-amz-version-id"); got != first {
		t.Errorf("version %q, want %q", got, first)
	}
	read("AccessDenied", "?versionId="+first)
	k.want("200", call{method: "PUT", path: "/bucket/key?acl", header: public})
	read("200", "")
	read("200", "?versionId="+second)
	read("AccessDenied", "?versionId="+first)
	marker := k.want("204", call{method: "DELETE", path: "/bucket/key"}).header.Get("x-amz-version-id")
	k.want("NoSuchKey", call{method: "GET", path: "/bucket/key?acl"})
	k.want("MethodNotAllowed", call{method: "GET", path: "/bucket/key?acl&versionId=" + marker})
	k.want("MethodNotAllowed", call{method: "PUT", path: "/bucket/key?acl&versionId=" + marker, header: public})
	read("200", "?versionId="+second)
}
