package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
)

// iam posts a call, signed by who.
func (k *kit) iam(who, form string) *answerTo {
	k.t.Helper()
	r, err := http.NewRequest(http.MethodPost, k.http.URL+"/", strings.NewReader(form))
	check(k.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if who != "" {
		sum := sha256.Sum256([]byte(form))
		sigv4.SignFor(r, *as(who), hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now())
	}
	return k.send(r)
}

// iamQuery is a call in the query of a GET, signed by who.
func (k *kit) iamQuery(who, form string) *http.Request {
	k.t.Helper()
	r, err := http.NewRequest(http.MethodGet, k.http.URL+"/?"+form, nil)
	check(k.t, err)
	if who != "" {
		sigv4.SignFor(r, *as(who), sigv4.EmptySHA256, "sts", "us-east-1", time.Now())
	}
	return r
}

// TestIAMRoute: who calls is found out, allowed by his policies, and what he changes holds for the next request to S3.
func TestIAMRoute(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IAM = o.Buckets.(*buckets) })
	k.makeBucket("bucket")
	k.put("/bucket/key", "body")
	k.users(map[string]string{
		"nothing": "",
		"manager": statement("Allow", `["iam:PutUserPolicy","iam:GetUser"]`, `"arn:aws:iam::*:user/nothing"`, ""),
	})
	get := call{method: "GET", path: "/bucket/key", credentials: as("nothing")}
	k.want("AccessDenied", get)
	const grant = "Action=PutUserPolicy&Version=2010-05-08&UserName=nothing&PolicyName=p&PolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D"
	for _, c := range []struct {
		who, form string
		status    int
		says      string
	}{
		{"", grant, 403, "<Code>MissingAuthenticationToken</Code>"},
		{"nobody", grant, 403, "<Code>InvalidClientTokenId</Code>"},
		{"nothing", grant, 403, "<Code>AccessDenied</Code>"},
		{"other", grant, 404, "<Code>NoSuchEntity</Code>"}, // there is none of the name in his account
		{"manager", strings.Replace(grant, "UserName=nothing", "UserName=manager", 1), 403, "<Code>AccessDenied</Code>"},
		{"root", "Action=Nothing&Version=2010-05-08", 400, "<Code>InvalidAction</Code>"},
		{"root", "Action=%zz", 400, "<Code>ValidationError</Code>"},
		{"root", "Action=" + strings.Repeat("x", iamBytesMax), 400, "MaxMessageLengthExceeded"},
		{"manager", grant, 200, "<PutUserPolicyResponse"},
		{"root", "Action=GetUser&Version=2010-05-08&UserName=nothing", 200, "<UserName>nothing</UserName>"},
		{"nothing", "Action=GetCallerIdentity&Version=2011-06-15", 200, "user/nothing</Arn>"},
	} {
		if a := k.iam(c.who, c.form); a.status != c.status || !strings.Contains(string(a.body), c.says) {
			t.Errorf("%.60s by %q: %d %s, want %d %s", c.form, c.who, a.status, a.body, c.status, c.says)
		}
	}
	k.want("200", get)
	if a := k.send(k.iamQuery("nothing", "Action=GetCallerIdentity&Version=2011-06-15")); a.status != 200 || !strings.Contains(string(a.body), "user/nothing</Arn>") {
		t.Errorf("in the query: %d %s", a.status, a.body)
	}
	if a := k.send(k.iamQuery("", "Action=ListUsers&Version=2010-05-08")); a.status != 403 || !strings.Contains(string(a.body), "<Code>MissingAuthenticationToken</Code>") {
		t.Errorf("in the query, of nobody: %d %s", a.status, a.body)
	}
	malformed := k.iamQuery("nothing", "Action=GetCallerIdentity&Version=2011-06-15")
	malformed.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=nothing")
	if a := k.send(malformed); a.status != 400 || !strings.Contains(string(a.body), "<Code>IncompleteSignature</Code>") {
		t.Errorf("a malformed signature: %d %s", a.status, a.body)
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
		says   string
	}{
		{"of another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 403, "<Code>MissingAuthenticationToken</Code>"},
		{"signature version 2", func(r *http.Request) { r.Header.Set("Authorization", "AWS nothing:x") }, 400, "<Code>IncompleteSignature</Code>"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 400, "<Code>IncompleteSignature</Code><Message>Authorization header requires existence of either a &#39;X-Amz-Date&#39; or a &#39;Date&#39; header."},
		{"a date that is none", func(r *http.Request) { r.Header.Set("X-Amz-Date", "03032006") }, 400, "<Code>IncompleteSignature</Code><Message>Date must be in ISO-8601 &#39;basic format&#39;. Got &#39;03032006&#39;."},
		{"host not signed", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SignedHeaders=host;", "SignedHeaders=", 1))
		}, 403, "<Code>SignatureDoesNotMatch</Code><Message>&#39;Host&#39; or &#39;:authority&#39; must be a"},
	} {
		r := k.iamQuery("nothing", "Action=GetCallerIdentity&Version=2011-06-15")
		c.change(r)
		if a := k.send(r); a.status != c.status || !strings.Contains(string(a.body), c.says) {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	r := k.request(call{method: "POST", path: "/", body: []byte(grant)}) // signed for s3
	if a := k.send(r); a.status != 403 || !strings.Contains(string(a.body), "<ErrorResponse") {
		t.Errorf("a call that is signed for another service: %d %s", a.status, a.body)
	}
	closed := newKit(t)
	if a := closed.iam("root", grant); a.status != 400 || !strings.Contains(string(a.body), "InvalidAction") {
		t.Errorf("no identity management: %d %s", a.status, a.body)
	}
}

// TestUnreadSecret: a key whose secret this gateway cannot read is refused as what another gateway may serve, in S3's words and in IAM's.
func TestUnreadSecret(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IAM = o.Buckets.(*buckets) })
	k.makeBucket("bucket")
	k.users(map[string]string{"alice": statement("Allow", `"*"`, `"*"`, "")})
	k.want("200", call{method: "GET", path: "/bucket", credentials: as("alice")})
	k.buckets.mu.Lock()
	k.buckets.m.Identities["alice"].Secret = ""
	k.buckets.mu.Unlock()
	for what, credentials := range map[string]*sigv4.Credentials{"right": as("alice"), "empty": {AccessKey: "alice"}} {
		a := k.want("ServiceUnavailable", call{method: "GET", path: "/bucket", credentials: credentials})
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s secret: %d %v", what, a.status, a.header)
		}
	}
	a := k.iam("alice", "Action=GetUser&Version=2010-05-08")
	if a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "<Code>ServiceUnavailable</Code>") {
		t.Errorf("IAM: %d %s", a.status, a.body)
	}
}

// TestIAMConditions: what a call says is asked of the call, and not of headers that mean something to S3 only.
func TestIAMConditions(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.IAM = o.Buckets.(*buckets) })
	k.users(map[string]string{
		"tagger":   statement("Allow", `["iam:CreateUser","iam:TagUser"]`, `"*"`, `,"Condition":{"StringEquals":{"aws:RequestTag/team":"red"}}`),
		"plain":    statement("Allow", `"iam:CreateUser"`, `"*"`, `,"Condition":{"Null":{"aws:TagKeys":"true"}}`),
		"attacher": statement("Allow", `"iam:AttachUserPolicy"`, `"*"`, `,"Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}}`),
		"keeper":   statement("Allow", `"iam:DeleteUser"`, `"*"`, `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}`),
	})
	const red, blue = "&Tags.member.1.Key=team&Tags.member.1.Value=red", "&Tags.member.1.Key=team&Tags.member.1.Value=blue"
	const attach = "Action=AttachUserPolicy&UserName=plain&PolicyArn=arn:aws:iam::aws:policy/"
	for i, c := range []struct {
		who, form string
		status    int
	}{
		{"tagger", "Action=CreateUser&UserName=one" + blue, 403},
		{"tagger", "Action=CreateUser&UserName=one", 403},
		{"tagger", "Action=CreateUser&UserName=one" + red, 200},
		{"plain", "Action=CreateUser&UserName=two" + red, 403},
		{"plain", "Action=CreateUser&UserName=two", 200},
		{"attacher", attach + "AdministratorAccess", 403},
		{"attacher", attach + "AmazonS3ReadOnlyAccess", 200},
		{"keeper", "Action=DeleteUser&UserName=two", 403},
		{"keeper", "Action=DeleteUser&UserName=one", 200},
	} {
		form := c.form + "&Version=2010-05-08"
		r, err := http.NewRequest(http.MethodPost, k.http.URL+"/", strings.NewReader(form))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		r.Header.Set("X-Amz-Tagging", "team=red") // as if it were a PutObject
		sum := sha256.Sum256([]byte(form))
		sigv4.SignFor(r, *as(c.who), hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now())
		if a := k.send(r); a.status != c.status {
			t.Errorf("%d: %s by %s: %d %s, want %d", i, c.form, c.who, a.status, a.body, c.status)
		}
	}
}
