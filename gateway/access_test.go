package gateway

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
)

// other is an account that owns nothing of the kit's.
var other = &placement.Account{ID: "222233334444", Name: "other", Canonical: strings.Repeat("2f", 32)}

// users gives the kit's map an account more, and users with a policy each; "" is none.
func (k *kit) users(policies map[string]string) {
	k.buckets.mu.Lock()
	defer k.buckets.mu.Unlock()
	next := *k.buckets.m
	next.IAM++
	next.Accounts = map[string]*placement.Account{testAccount.ID: testAccount, other.ID: other}
	next.Users = map[placement.Name]*placement.User{}
	next.Identities = map[string]*placement.Identity{
		rootKey: {AccessKey: rootKey, Secret: rootSecret, Root: true},
		"other": {AccessKey: "other", Secret: "othersecret", Root: true, Account: other.ID},
	}
	for name, document := range policies {
		account := testAccount.ID
		if strings.HasPrefix(name, "their-") {
			account = other.ID
		}
		u := &placement.User{Account: account, Name: name, Path: "/", ID: "AIDA" + strings.ToUpper(name), Tags: []placement.Tag{{Key: "team", Value: name}}}
		if document != "" {
			u.Inline = map[string]string{"p": document}
		}
		next.Users[placement.NameOf(account, name)] = u
		next.Identities[name] = &placement.Identity{AccessKey: name, Secret: name + "secret", Account: account, User: name}
	}
	k.buckets.m = &next
}

// config gives a bucket a document.
func (k *kit) config(bucket, kind string, doc any) {
	raw, err := json.Marshal(doc)
	check(k.t, err)
	check(k.t, k.buckets.SetBucketConfig(k.t.Context(), k.buckets.Map().Buckets[bucket], kind, raw))
}

func as(name string) *sigv4.Credentials {
	switch name {
	case "":
		return nil
	case "root":
		return &rootCredentials
	}
	return &sigv4.Credentials{AccessKey: name, Secret: name + "secret"}
}

const allowS3 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`

func statement(effect, actions, resources, more string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Action":%s,"Resource":%s%s}]}`, effect, actions, resources, more)
}

// TestWhoMayDoWhat goes through the gateway's part in a decision: who asks, for which action, on what, with which context.
// gateway/policy has the rest in its own table.
func TestWhoMayDoWhat(t *testing.T) {
	k := newKit(t)
	for _, b := range []string{"bucket", "open"} {
		k.makeBucket(b)
		k.put("/"+b+"/key", "body", "x-amz-tagging", "team=red")
		k.put("/"+b+"/home/ann/key", "body")
	}
	k.users(map[string]string{
		"admin": allowS3, "nothing": "",
		"reader":   statement("Allow", `["s3:GetObject"]`, `"arn:aws:s3:::bucket/*"`, ""),
		"lister":   statement("Allow", `["s3:ListBucket"]`, `"arn:aws:s3:::bucket"`, `,"Condition":{"StringLike":{"s3:prefix":"home/*"}}`),
		"ann":      statement("Allow", `["s3:*Object"]`, `"arn:aws:s3:::bucket/home/${aws:username}/*"`, ""),
		"red":      statement("Allow", `["s3:GetObject"]`, `"arn:aws:s3:::bucket/*"`, `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/team":"${aws:PrincipalTag/team}"}}`),
		"writer":   statement("Allow", `["s3:PutObject","s3:GetObject"]`, `"arn:aws:s3:::bucket/*"`, ""),
		"deleter":  statement("Allow", `["s3:DeleteObject"]`, `"arn:aws:s3:::bucket/home/*"`, ""),
		"their-it": allowS3,
		// Source: "Walkthrough: Controlling access to a bucket with user policies" (Amazon S3 User Guide).
		"console": statement("Allow", `["s3:ListAllMyBuckets","s3:GetBucketLocation"]`, `"arn:aws:s3:::*"`, ""),
		"narrow":  statement("Allow", `["s3:ListAllMyBuckets"]`, `"arn:aws:s3:::bucket"`, ""),
	})
	k.config("open", configPolicy, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::open/*"},
		{"Effect":"Allow","Principal":{"AWS":"`+other.ID+`"},"Action":["s3:PutObject","s3:ListBucket"],"Resource":["arn:aws:s3:::open","arn:aws:s3:::open/*"]},
		{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::open/home/*"}]}`)
	get := func(path string) call { return call{method: "GET", path: path} }
	put := func(path string, header ...string) call {
		return call{method: "PUT", path: path, body: []byte("new"), header: pairs(header)}
	}
	for _, c := range []struct {
		who, code string
		call
	}{
		{"root", "200", get("/bucket/key")},
		{"admin", "200", get("/bucket/key")},
		{"admin", "200", get("/")},
		{"admin", "200", call{method: "PUT", path: "/of-admin"}},
		{"", "AccessDenied", get("/bucket/key")},
		{"", "AccessDenied", get("/")},
		{"", "AccessDenied", call{method: "PUT", path: "/of-nobody"}},
		{"", "NoSuchBucket", get("/no-such-bucket/key")},
		{"nothing", "AccessDenied", get("/bucket/key")},
		{"nothing", "AccessDenied", get("/")},
		{"nothing", "AccessDenied", call{method: "PUT", path: "/of-nothing"}},
		{"nobody", "InvalidAccessKeyId", get("/bucket/key")},

		{"console", "200", get("/")},
		{"console", "200", get("/bucket?location")},
		{"console", "AccessDenied", get("/bucket")},
		{"narrow", "AccessDenied", get("/")},

		{"reader", "200", get("/bucket/key")},
		{"reader", "200", call{method: "HEAD", path: "/bucket/key"}},
		{"reader", "AccessDenied", get("/bucket/absent")}, // who may not list is not told
		{"admin", "NoSuchKey", get("/bucket/absent")},
		{"reader", "AccessDenied", get("/bucket")},
		{"reader", "AccessDenied", put("/bucket/key")},
		{"reader", "200", get("/open/key")}, // by the bucket's policy
		{"lister", "200", get("/bucket?prefix=home/")},
		{"lister", "AccessDenied", get("/bucket?prefix=")},
		{"lister", "AccessDenied", get("/bucket")},
		{"ann", "200", get("/bucket/home/ann/key")},
		{"ann", "AccessDenied", get("/bucket/home/bob/key")},
		{"ann", "204", call{method: "DELETE", path: "/bucket/home/ann/none"}},
		{"red", "200", get("/bucket/key")},
		{"red", "AccessDenied", get("/bucket/home/ann/key")},

		{"writer", "200", put("/bucket/w")},
		{"writer", "AccessDenied", put("/bucket/w", "x-amz-tagging", "a=b")},
		{"writer", "200", put("/bucket/w2", "x-amz-copy-source", "/bucket/key", "x-amz-tagging-directive", "REPLACE")},
		{"writer", "AccessDenied", put("/bucket/w2", "x-amz-copy-source", "/of-admin/key")},
		{"ann", "AccessDenied", put("/bucket/home/ann/copy", "x-amz-copy-source", "/bucket/key")},
		{"writer", "AccessDenied", call{method: "DELETE", path: "/bucket/w"}},

		{"", "200", get("/open/key")},
		{"", "AccessDenied", get("/open/absent")},
		{"", "AccessDenied", put("/open/key")},
		{"", "AccessDenied", get("/open/home/ann/key")},
		{"root", "AccessDenied", get("/open/home/ann/key")}, // a denial is for everybody
		{"other", "200", put("/open/theirs")},
		{"other", "200", get("/open")},
		{"other", "AccessDenied", get("/bucket/key")},
		{"other", "AccessDenied", call{method: "DELETE", path: "/open/key"}},
		{"other", "BucketAlreadyExists", call{method: "PUT", path: "/bucket"}},
		{"their-it", "200", put("/open/theirs")},
		{"their-it", "AccessDenied", get("/bucket/key")},
	} {
		c.credentials, c.anonymous = as(c.who), c.who == ""
		if a := k.do(c.call); a.code() != c.code && !(c.method == "HEAD" && fmt.Sprint(a.status) == c.code) {
			t.Errorf("%s %s by %q: %s, want %s: %s", c.method, c.path, c.who, a.code(), c.code, a.body)
		}
	}

	doc := `<Delete><Object><Key>home/a</Key></Object><Object><Key>key</Key></Object></Delete>`
	sum := md5.Sum([]byte(doc))
	a := k.want("200", call{method: "POST", path: "/bucket?delete", body: []byte(doc), credentials: as("deleter"), header: pairs([]string{"Content-MD5", base64.StdEncoding.EncodeToString(sum[:])})})
	if body := string(a.body); !strings.Contains(body, "<Deleted><Key>home/a</Key>") || !strings.Contains(body, "<Error><Key>key</Key><Code>AccessDenied</Code>") {
		t.Errorf("deleting two, of which one may go: %s", body)
	}
	k.want("200", get("/bucket/key"))
	if a := k.do(call{method: "GET", path: "/bucket", credentials: as("reader")}); !strings.Contains(string(a.body), "arn:aws:iam::"+testAccount.ID+":user/reader is not authorized to perform: s3:ListBucket") {
		t.Errorf("a user is not told what he lacks: %s", a.body)
	}
	if a := k.do(call{method: "GET", path: "/bucket", credentials: as("other")}); strings.Contains(string(a.body), "ListBucket") {
		t.Errorf("a stranger is told: %s", a.body)
	}
	a = k.do(call{method: "GET", path: "/", credentials: as("other")})
	if a.status != http.StatusOK || strings.Contains(string(a.body), "<Name>") {
		t.Errorf("another account's list of buckets: %s", a.body)
	}
}

// TestChangedIdentities: what is kept of users and buckets follows the map.
func TestChangedIdentities(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "body")
	get := call{method: "GET", path: "/bucket/key", credentials: as("ann")}
	for range 2 {
		k.users(map[string]string{"ann": allowS3})
		k.want("200", get)
		k.users(map[string]string{"ann": ""})
		k.want("AccessDenied", get)
	}
	k.config("bucket", configPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+testAccount.ID+`:user/ann"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`)
	k.want("200", get)
	k.config("bucket", configPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`)
	k.want("AccessDenied", get)
	k.want("AccessDenied", call{method: "GET", path: "/bucket/key"})

	// What is not understood may be what forbids.
	k.config("bucket", configPolicy, `{"Statement":"of a later version"}`)
	k.want("AccessDenied", call{method: "GET", path: "/bucket/key"})
	k.users(map[string]string{"ann": `{"Version":"2037-01-01"}`})
	k.want("AccessDenied", call{method: "GET", path: "/", credentials: as("ann")})
	k.users(map[string]string{})
	k.want("InvalidAccessKeyId", get)
}

// TestUnreadTags: where the tags that a denial hangs on cannot be read, nothing is allowed.
func TestUnreadTags(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "body", "x-amz-tagging", "keep=yes")
	k.config("bucket", configPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObjectTagging","Resource":"arn:aws:s3:::bucket/*",
		"Condition":{"StringEquals":{"s3:ExistingObjectTag/keep":"yes"}}}]}`)
	r := &request{s: k.server, ctx: t.Context(), http: k.request(call{method: "GET", path: "/bucket/key"})}
	r.caller = &caller{Principal: policy.Principal{Account: testAccount.ID, Root: true, ARN: "root"}, account: testAccount}
	decide := func() error {
		return r.authorize("s3:GetObjectTagging", &subject{bucket: k.buckets.Map().Buckets["bucket"], name: "bucket", key: "key"})
	}
	if err := decide(); !errors.Is(err, errAccessDenied) {
		t.Errorf("a denial by a tag: %v", err)
	}
	k.records.away = meta.ErrUnavailable
	if err := decide(); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("while the tags cannot be read: %v", err)
	}
}

// TestNoRouteWithoutRight asks for every operation as those who may do nothing: it is refused, and nothing is read or changed.
func TestNoRouteWithoutRight(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IAM = o.Buckets.(*buckets) })
	k.makeBucket("bucket")
	k.put("/bucket/key", "secret body")
	k.put("/bucket/source", "secret body")
	upload := k.upload("/bucket/upload")
	k.users(map[string]string{"nothing": "", "their-it": allowS3})
	before := k.everything()
	for _, o := range operations {
		path := [...]string{"/", "/bucket", "/bucket/key"}[o.scope]
		if o.sub != "" {
			path += "?" + o.sub + "=1"
		}
		if o.sub2 != "" {
			path += "&" + o.sub2 + "=" + upload
		}
		c := call{method: o.method, path: path, header: map[string]string{}}
		if o.header != "" {
			c.header[o.header] = "/bucket/source"
		}
		if o.method == put || o.method == post {
			c.body = []byte("<x/>")
		}
		for _, who := range []string{"", "nothing", "their-it", "nobody"} {
			if o.method == http.MethodOptions {
				continue // asks for nothing
			}
			if o.scope == service && who == "their-it" || o.name == "CreateBucket" && who == "their-it" {
				continue // his own account's
			}
			c.credentials, c.anonymous = as(who), who == ""
			a := k.do(c)
			if o.name == "PostObject" && who == "" && a.code() == "PreconditionFailed" {
				continue // no form, so nobody's: TestPostObjectRefuses has those that are
			}
			if a.status != http.StatusForbidden && o.name != "DeleteObjects" || strings.Contains(string(a.body), "secret") {
				t.Errorf("%s by %q: %d %s", o.name, who, a.status, a.body)
			}
		}
	}
	if after := k.everything(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

// everything is all that the kit stores.
func (k *kit) everything() string {
	var b strings.Builder
	all := k.buckets.Map().Buckets
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s %+v\n", name, *all[name])
	}
	it, err := k.records.db.NewIter(nil)
	check(k.t, err)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if it.Key()[0] < 0x20 { // what is keyed by object
			fmt.Fprintf(&b, "%x %x\n", it.Key(), it.Value())
		}
	}
	fmt.Fprintln(&b, k.blobs.count())
	return b.String()
}

// TestAdminIsForRoot: the admin API and the profiles are the first account's root's.
func TestAdminIsForRoot(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Pprof = http.NotFoundHandler() })
	k.users(map[string]string{"admin": allowS3})
	for _, who := range []string{"", "admin", "other", "nobody"} {
		for _, path := range []string{"/_/admin/v1/status", "/_/debug/pprof/"} {
			if a := k.do(call{method: "GET", path: path, credentials: as(who), anonymous: who == ""}); a.status != http.StatusForbidden {
				t.Errorf("%s by %q: %d %s", path, who, a.status, a.body)
			}
		}
	}
}
