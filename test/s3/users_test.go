package s3

import (
	"net/url"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// iam calls the IAM query API as root. Source: IAM/APIReference/API_<action>.
func iam(action string, params ...string) *request {
	form := "Action=" + action + "&Version=2010-05-08"
	for i := 0; i+1 < len(params); i += 2 {
		form += "&" + params[i] + "=" + params[i+1]
	}
	q := POST("/", form, "Content-Type", "application/x-www-form-urlencoded").signed(signature{service: "iam"})
	q.iam = true
	return q
}

// newUser are the steps that make a user of the case's own, who signs what is by(user). Without a policy it may do nothing.
func newUser(policy string) []*request {
	steps := []*request{iam("CreateUser", "UserName", "{user}"), iam("CreateAccessKey", "UserName", "{user}")}
	if policy != "" {
		steps = append(steps, iam("PutUserPolicy", "UserName", "{user}", "PolicyName", "inline", "PolicyDocument", url.QueryEscape(policy)))
	}
	return steps
}

// queryAPIs is what the two rows of the router's table for them need; gateway/iam has tests of its own, and test/clients the aws CLI.
func queryAPIs() group {
	sts := POST("/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", "application/x-www-form-urlencoded").signed(signature{service: "sts"})
	sts.iam = true
	inURL := func(query string) *request {
		q := GET("/?" + query).signed(signature{service: "iam"})
		q.iam = true
		return q
	}
	const urls = "IAM/UserGuide/programming: GET and POST for all actions"
	return group{"QueryAPIs", shared, []kase{
		{"GetUser in a URL", urls, nil, inURL("Action=GetUser&Version=2010-05-08"), is(200, count("GetUserResult/User", 1))},
		{"an action in a URL that does not exist", "IAM/APIReference/CommonErrors: InvalidAction", nil, inURL("Action=Juggle&Version=2010-05-08"), fails(400, "InvalidAction")},
		{"a user in a URL that does not exist", "IAM/APIReference/API_GetUser: NoSuchEntity", nil, inURL("Action=GetUser&Version=2010-05-08&UserName={user}"), fails(404, "NoSuchEntity")},
		{"GetCallerIdentity", "STS/APIReference/API_GetCallerIdentity", nil, sts, is(200, valLike("GetCallerIdentityResult/Account", `^\d{12}$`))},
		{"an action that does not exist", "IAM/APIReference/CommonErrors: InvalidAction", nil, iam("Juggle"), fails(400, "InvalidAction")},
		{"a user that does not exist", "IAM/APIReference/API_GetUser: NoSuchEntity", nil, iam("GetUser", "UserName", "{user}"), fails(404, "NoSuchEntity")},
	}}
}

// keepUser takes the credentials out of CreateAccessKey's answer.
func (r *run) keepUser(a *answer) {
	const key = "CreateAccessKeyResult/AccessKey/"
	if id := a.xml.all(key + "AccessKeyId"); len(id) == 1 {
		r.creds = sigv4.Credentials{AccessKey: id[0], Secret: a.xml.all(key + "SecretAccessKey")[0]}
	}
}

// removeUser removes what newUser made.
func (r *run) removeUser() {
	if r.creds.AccessKey == "" {
		return
	}
	for _, q := range []*request{
		iam("DeleteUserPolicy", "UserName", "{user}", "PolicyName", "inline"),
		iam("DeleteAccessKey", "UserName", "{user}", "AccessKeyId", r.creds.AccessKey),
		iam("DeleteUser", "UserName", "{user}"),
	} {
		_, _ = r.send(q)
	}
}
