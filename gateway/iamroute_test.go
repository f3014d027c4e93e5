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
	r := k.request(call{method: "POST", path: "/", body: []byte(grant)}) // signed for s3
	if a := k.send(r); a.status != 403 || !strings.Contains(string(a.body), "<ErrorResponse") {
		t.Errorf("a call that is signed for another service: %d %s", a.status, a.body)
	}
	closed := newKit(t)
	if a := closed.iam("root", grant); a.status != 400 || !strings.Contains(string(a.body), "InvalidAction") {
		t.Errorf("no identity management: %d %s", a.status, a.body)
	}
}
