package s3

func accessGroups() []group {
	return []group{bucketACLs(), objectACLs(), policyStatus(), userPolicies(), queryAPIs()}
}

// acls has the case's bucket take ACLs, public ones too.
func acls() []*request {
	return given(DELETE("?publicAccessBlock"), sent("?ownershipControls", owned("ObjectWriter")))
}

const allUsers = "http://acs.amazonaws.com/groups/global/AllUsers"

func accessControl(grants string) string {
	return "<AccessControlPolicy" + ns + "><Owner><ID>{canonical}</ID></Owner><AccessControlList>" + grants + "</AccessControlList></AccessControlPolicy>"
}

func grant(kind, grantee, permission string) string {
	return `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="` + kind + `">` + grantee + "</Grantee><Permission>" + permission + "</Permission></Grant>"
}

func bucketACLs() group {
	const doc, canned = "API_PutBucketAcl", "UserGuide/acl-overview: canned ACL"
	put := func(acl string) *request { return PUT("?acl", "", "x-amz-acl", acl) }
	const permissions = "AccessControlList/Grant/Permission"
	return group{"BucketAcl", own, []kase{
		{"by default", "API_GetBucketAcl", nil, GET("?acl"), is(200, val("Owner/ID", "{canonical}"), val("AccessControlList/Grant/Grantee/ID", "{canonical}"), val(permissions, "FULL_CONTROL"))},
		{"private", canned, append(acls(), put("private")), GET("?acl"), is(200, val(permissions, "FULL_CONTROL"))},
		{"public-read", canned, append(acls(), put("public-read")), GET("?acl"), is(200, val("AccessControlList/Grant/Grantee/URI", allUsers), val(permissions, "FULL_CONTROL", "READ"))},
		{"public-read-write", canned, append(acls(), put("public-read-write")), GET("?acl"), is(200, val(permissions, "FULL_CONTROL", "READ", "WRITE"))},
		{"authenticated-read", canned, append(acls(), put("authenticated-read")), GET("?acl"), is(200, val("AccessControlList/Grant/Grantee/URI", "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"))},
		{"log-delivery-write", canned, append(acls(), put("log-delivery-write")), GET("?acl"), is(200, count("AccessControlList/Grant", 3))},
		{"put", doc, acls(), put("private"), is(200)},
		{"public-read lets anybody list", "UserGuide/acl-overview", append(acls(), put("public-read"), PUT("k", ten)), GET("?list-type=2").by(nobody), is(200, val("Contents/Key", "k"))},
		{"public-read lets nobody write", "UserGuide/acl-overview", append(acls(), put("public-read")), PUT("k", ten).by(nobody), fails(403, "AccessDenied")},
		{"public-read lets nobody read objects", "UserGuide/acl-overview", append(acls(), put("public-read"), PUT("k", ten)), GET("k").by(nobody), fails(403, "AccessDenied")},
		{"public-read-write lets anybody write", "UserGuide/acl-overview", append(acls(), put("public-read-write")), PUT("k", ten).by(nobody), is(200)},
		{"grants in headers", doc + ": x-amz-grant-read", append(acls(), PUT("?acl", "", "x-amz-grant-read", `uri="`+allUsers+`"`, "x-amz-grant-full-control", `id="{canonical}"`)), GET("?acl"), is(200, count("AccessControlList/Grant", 2))},
		{"a document", doc, append(acls(), sent("?acl", accessControl(grant("CanonicalUser", "<ID>{canonical}</ID>", "READ_ACP")))), GET("?acl"), is(200, val(permissions, "READ_ACP"))},
		{"the owner reads his ACL without a grant", "UserGuide/acl-overview", append(acls(), sent("?acl", accessControl(""))), GET("?acl"), is(200, val("AccessControlList/Grant"))},
		{"canned that does not exist", "API/ErrorResponses: InvalidArgument", acls(), put("public-everything"), fails(400, "InvalidArgument")},
		{"canned and grants", "API/ErrorResponses: InvalidRequest, Specifying both Canned ACLs and Header Grants is not allowed", acls(), PUT("?acl", "", "x-amz-acl", "private", "x-amz-grant-read", `uri="`+allUsers+`"`), fails(400, "InvalidRequest")},
		{"canned and a document", "API/ErrorResponses: UnexpectedContent", acls(), sent("?acl", accessControl(""), "x-amz-acl", "private"), fails(400, "UnexpectedContent")},
		{"neither", "API/ErrorResponses: MissingSecurityHeader", acls(), PUT("?acl", ""), fails(400, "MissingSecurityHeader")},
		{"permission that does not exist", "API/ErrorResponses: MalformedACLError", acls(), sent("?acl", accessControl(grant("CanonicalUser", "<ID>{canonical}</ID>", "LOOK"))), fails(400, "MalformedACLError")},
		{"grantee that does not exist", "API/ErrorResponses: InvalidArgument, Invalid id", acls(), sent("?acl", accessControl(grant("CanonicalUser", "<ID>nobody</ID>", "READ"))), fails(400, "InvalidArgument")},
		{"group that does not exist", "API/ErrorResponses: InvalidArgument, Invalid group uri", acls(), sent("?acl", accessControl(grant("Group", "<URI>http://example.com/all</URI>", "READ"))), fails(400, "InvalidArgument")},
		{"grantee by mail", "API/ErrorResponses: UnresolvableGrantByEmailAddress", acls(), PUT("?acl", "", "x-amz-grant-read", `emailAddress="nobody@example.com"`), fails(400, "UnresolvableGrantByEmailAddress")},
		{"not XML", "API/ErrorResponses: MalformedACLError", acls(), sent("?acl", "private"), fails(400, "MalformedACLError")},
		{"with ACLs disabled", "UserGuide/about-object-ownership: AccessControlListNotSupported", nil, put("public-read"), fails(400, "AccessControlListNotSupported")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", nil, put("private").by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?acl").by(nobody), fails(403, "AccessDenied")},
		{"get of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}?acl"), fails(404, "NoSuchBucket")},
		{"another account, allowed", "UserGuide/acl-overview: authenticated-read", append(acls(), put("authenticated-read"), PUT("k", ten)), GET("?list-type=2").by(other), is(200, val("Contents/Key", "k"))},
	}}
}

func objectACLs() group {
	const doc, canned = "API_PutObjectAcl", "UserGuide/acl-overview: canned ACL"
	object := func(acl string, more ...*request) []*request {
		return append(append(acls(), PUT("k", ten, "x-amz-acl", acl)), more...)
	}
	const permissions = "AccessControlList/Grant/Permission"
	return group{"ObjectAcl", own, []kase{
		{"by default", "API_GetObjectAcl", withTen(), GET("k?acl"), is(200, val("Owner/ID", "{canonical}"), val(permissions, "FULL_CONTROL"))},
		{"public-read in a put", canned, object("public-read"), GET("k?acl"), is(200, val("AccessControlList/Grant/Grantee/URI", allUsers), val(permissions, "FULL_CONTROL", "READ"))},
		{"public-read lets anybody read", "UserGuide/acl-overview", object("public-read"), GET("k").by(nobody), is(200, has(ten))},
		{"public-read lets anybody read ranges", "UserGuide/acl-overview", object("public-read"), GET("k", "Range", "bytes=0-1").by(nobody), is(206, has("01"))},
		{"public-read lets nobody delete", "UserGuide/acl-overview", object("public-read"), DELETE("k").by(nobody), fails(403, "AccessDenied")},
		{"public-read lets nobody read the ACL", "UserGuide/acl-overview", object("public-read"), GET("k?acl").by(nobody), fails(403, "AccessDenied")},
		{"private again", doc, object("public-read", PUT("k?acl", "", "x-amz-acl", "private")), GET("k").by(nobody), fails(403, "AccessDenied")},
		{"put", doc, object("private"), PUT("k?acl", "", "x-amz-acl", "public-read"), is(200, then(GET("k").by(nobody), is(200, has(ten))))},
		{"a document", doc, object("private", sent("k?acl", accessControl(grant("Group", "<URI>"+allUsers+"</URI>", "READ_ACP")))), GET("k?acl").by(nobody), is(200, val(permissions, "READ_ACP"))},
		{"is not copied", "API_CopyObject: ACLs are not copied", append(append(acls(), PUT("src", ten, "x-amz-acl", "public-read")), copied()), GET("k").by(nobody), fails(403, "AccessDenied")},
		{"an overwrite is private", doc, object("public-read", PUT("k", "new")), GET("k").by(nobody), fails(403, "AccessDenied")},
		{"in a multipart upload", "API_CreateMultipartUpload: x-amz-acl", append(acls(), upload("x-amz-acl", "public-read"), part(1, ten), complete(named(1))), GET("k").by(nobody), is(200, has(ten))},
		{"date and ETag stay", doc, append(object("private"), HEAD("k").save("date", "Last-Modified")), PUT("k?acl", "", "x-amz-acl", "public-read"), is(200, then(HEAD("k"), is(200, header("Last-Modified", "{date}"))))},
		{"with ACLs disabled", "UserGuide/about-object-ownership", withTen(), PUT("k?acl", "", "x-amz-acl", "public-read"), fails(400, "AccessControlListNotSupported")},
		{"neither", "API/ErrorResponses: MissingSecurityHeader", object("private"), PUT("k?acl", ""), fails(400, "MissingSecurityHeader")},
		{"permission that is of buckets", "API/ErrorResponses: MalformedACLError", object("private"), sent("k?acl", accessControl(grant("CanonicalUser", "<ID>{canonical}</ID>", "LOOK"))), fails(400, "MalformedACLError")},
		{"put of an absent object", "API/ErrorResponses: NoSuchKey", acls(), PUT("k?acl", "", "x-amz-acl", "private"), fails(404, "NoSuchKey")},
		{"get of an absent object", "API/ErrorResponses: NoSuchKey", nil, GET("k?acl"), fails(404, "NoSuchKey")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", withTen(), PUT("k?acl", "", "x-amz-acl", "private").by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", withTen(), GET("k?acl").by(nobody), fails(403, "AccessDenied")},
	}}
}

// statement is a policy of one statement for everybody.
func statement(effect, action, resource, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":"*","Action":` + action + `,"Resource":` + resource + condition + `}]}`
}

// open has the case's bucket take public policies, and one of them when k is there.
func open(policy string) []*request {
	return given(DELETE("?publicAccessBlock"), PUT("k", ten), PUT("?policy", policy))
}

// letIn has everybody do something with the objects of the case's bucket.
func letIn(action string) []*request {
	return given(DELETE("?publicAccessBlock"), PUT("?policy", statement("Allow", `"`+action+`"`, `"arn:aws:s3:::{bucket}/*"`, "")))
}

func policies() group {
	const doc, access = "API_PutBucketPolicy", "UserGuide/bucket-policies"
	const objects, bucket = `"arn:aws:s3:::{bucket}/*"`, `"arn:aws:s3:::{bucket}"`
	put := func(policy string) *request { return PUT("?policy", policy) }
	bad := func(what, policy string) kase {
		return kase{what, "API/ErrorResponses: MalformedPolicy", nil, put(policy), fails(400, "MalformedPolicy", then(GET("?policy"), fails(404, "NoSuchBucketPolicy")))}
	}
	read := func(condition string) []*request {
		return open(statement("Allow", `"s3:GetObject"`, objects, condition))
	}
	get := GET("k").by(nobody)
	conditional := statement("Deny", `"s3:PutObject"`, objects, `{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}`)
	return group{"BucketPolicy", own, []kase{
		{"is given back as it was", "API_GetBucketPolicy", open(allow("*", "s3:GetObject", "/*")), GET("?policy"), is(200, has(allow("*", "s3:GetObject", "/*")), header("Content-Type", "application/json"))},
		{"allows to get", access, read(""), get, is(200, has(ten))},
		{"does not allow more", access, read(""), DELETE("k").by(nobody), fails(403, "AccessDenied")},
		{"allows to put", access, open(statement("Allow", `["s3:PutObject"]`, objects, "")), PUT("k2", ten).by(nobody), is(200)},
		{"allows to list", access, open(statement("Allow", `"s3:ListBucket"`, bucket, "")), GET("?list-type=2").by(nobody), is(200, val("Contents/Key", "k"))},
		{"allows to delete", access, open(statement("Allow", `"s3:DeleteObject"`, objects, "")), DELETE("k").by(nobody), is(204)},
		{"actions with wildcards", access, open(statement("Allow", `"s3:Get*"`, objects, "")), get, is(200)},
		{"all actions", access, open(statement("Allow", `"s3:*"`, `["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]`, "")), get, is(200)},
		{"actions in another case", access, open(statement("Allow", `"S3:getobject"`, objects, "")), get, is(200)},
		{"resources with wildcards", access, open(statement("Allow", `"s3:GetObject"`, `"arn:aws:s3:::{bucket}/?"`, "")), get, is(200)},
		{"resources of other keys", access, open(statement("Allow", `"s3:GetObject"`, `"arn:aws:s3:::{bucket}/other/*"`, "")), get, fails(403, "AccessDenied")},
		{"the bucket alone is no object", access, open(statement("Allow", `"s3:ListBucket"`, bucket, "")), get, fails(403, "AccessDenied")},
		{"Principal AWS *", access, open(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`), get, is(200)},
		{"an account is not everybody", access, open(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"{account}"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`), get, fails(403, "AccessDenied")},
		{"Deny beats Allow", "UserGuide/access-policy-language-overview", open(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::{bucket}/*"},{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`), get, fails(403, "AccessDenied")},
		{"Deny holds for root", "UserGuide/access-policy-language-overview", open(statement("Deny", `"s3:GetObject"`, objects, "")), GET("k"), fails(403, "AccessDenied")},
		{"root can always take a policy away", "API_DeleteBucketPolicy: to ensure that bucket owners don't inadvertently lock themselves out, root can perform Get, Put and DeleteBucketPolicy", open(statement("Deny", `"s3:*"`, `["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]`, "")), DELETE("?policy"), is(204, then(GET("k"), is(200, has(ten))))},
		{"NotAction", access, open(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","NotAction":"s3:DeleteObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`), get, is(200)},
		{"NotResource", access, open(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","NotResource":"arn:aws:s3:::{bucket}/other"}]}`), GET("k"), fails(403, "AccessDenied")},
		{"IpAddress", "UserGuide/amazon-s3-policy-keys: aws:SourceIp", read(`{"IpAddress":{"aws:SourceIp":["127.0.0.0/8","::1/128"]}}`), get, is(200)},
		{"NotIpAddress", "UserGuide/amazon-s3-policy-keys: aws:SourceIp", read(`{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`), get, fails(403, "AccessDenied")},
		{"SecureTransport", "UserGuide/amazon-s3-policy-keys: aws:SecureTransport", open(statement("Deny", `"s3:GetObject"`, objects, `{"Bool":{"aws:SecureTransport":"false"}}`)), GET("k"), fails(403, "AccessDenied")},
		{"Referer", "UserGuide/example-bucket-policies: aws:Referer", read(`{"StringLike":{"aws:Referer":"https://a.example/*"}}`), GET("k", "Referer", "https://a.example/page").by(nobody), is(200)},
		{"another Referer", "UserGuide/example-bucket-policies: aws:Referer", read(`{"StringLike":{"aws:Referer":"https://a.example/*"}}`), GET("k", "Referer", "https://b.example/page").by(nobody), fails(403, "AccessDenied")},
		{"prefix", "UserGuide/amazon-s3-policy-keys: s3:prefix", open(statement("Allow", `"s3:ListBucket"`, bucket, `{"StringEquals":{"s3:prefix":"public/"}}`)), GET("?list-type=2&prefix=public/").by(nobody), is(200)},
		{"another prefix", "UserGuide/amazon-s3-policy-keys: s3:prefix", open(statement("Allow", `"s3:ListBucket"`, bucket, `{"StringEquals":{"s3:prefix":"public/"}}`)), GET("?list-type=2&prefix=secret/").by(nobody), fails(403, "AccessDenied")},
		{"max-keys", "UserGuide/amazon-s3-policy-keys: s3:max-keys", open(statement("Allow", `"s3:ListBucket"`, bucket, `{"NumericLessThanEquals":{"s3:max-keys":"10"}}`)), GET("?list-type=2&max-keys=11").by(nobody), fails(403, "AccessDenied")},
		{"dates past", "UserGuide/amazon-s3-policy-keys: aws:CurrentTime", read(`{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`), get, fails(403, "AccessDenied")},
		{"dates to come", "UserGuide/amazon-s3-policy-keys: aws:CurrentTime", read(`{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`), get, is(200)},
		{"existing tags", "UserGuide/tagging-and-policies: s3:ExistingObjectTag", append(read(`{"StringEquals":{"s3:ExistingObjectTag/public":"yes"}}`), sent("k?tagging", tagging("public", "yes"))), get, is(200)},
		{"existing tags, others", "UserGuide/tagging-and-policies: s3:ExistingObjectTag", read(`{"StringEquals":{"s3:ExistingObjectTag/public":"yes"}}`), get, fails(403, "AccessDenied")},
		{"conditional writes required", "UserGuide/conditional-writes-enforce: s3:if-none-match", open(conditional), PUT("k2", ten), fails(403, "AccessDenied")},
		{"conditional writes required and done", "UserGuide/conditional-writes-enforce: s3:if-none-match", open(conditional), PUT("k2", ten, "If-None-Match", "*"), is(200)},
		{"conditional writes required, of a copy", "UserGuide/conditional-writes-enforce: s3:ObjectCreationOperation", open(conditional), PUT("k2", "", "x-amz-copy-source", "/{bucket}/k"), fails(403, "AccessDenied")},
		{"conditional writes required, a part", "UserGuide/conditional-writes-enforce: s3:ObjectCreationOperation", append(open(conditional), upload()), part(1, ten), is(200)},
		{"conditional writes required, parts completed", "UserGuide/conditional-writes-enforce: s3:ObjectCreationOperation", append(open(conditional), upload(), part(1, ten)), complete(named(1)), fails(403, "AccessDenied")},
		{"conditional writes required by ETag", "UserGuide/conditional-writes-enforce: s3:if-match", open(statement("Deny", `"s3:PutObject"`, objects, `{"Null":{"s3:if-match":"true"}}`)), PUT("k", "new", "If-Match", quoted(ten)), is(200)},
		{"who may not list learns nothing", "API_GetObject: 403 without s3:ListBucket", read(""), GET("k2").by(nobody), fails(403, "AccessDenied")},
		{"who may list learns that it is absent", "API_GetObject: 404 with s3:ListBucket", open(statement("Allow", `["s3:GetObject","s3:ListBucket"]`, `["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]`, "")), GET("k2").by(nobody), fails(404, "NoSuchKey")},
		{"delete", "API_DeleteBucketPolicy", read(""), DELETE("?policy"), is(204, then(get, fails(403, "AccessDenied")))},
		bad("not JSON", "policy"), bad("no document", ""), bad("no statement", `{"Version":"2012-10-17","Statement":[]}`), bad("no Principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`),
		bad("another bucket", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::{none}/*"}]}`),
		bad("an action that does not exist", allow("*", "s3:Juggle", "/*")), bad("an action of objects for the bucket", allow("*", "s3:GetObject", "")), bad("another effect", statement("Maybe", `"s3:GetObject"`, objects, "")),
		bad("another version", `{"Version":"2030-01-01","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`),
		bad("a condition that does not exist", statement("Allow", `"s3:GetObject"`, objects, `{"StringSounds":{"aws:Referer":"a"}}`)), bad("a condition key that does not exist", statement("Allow", `"s3:GetObject"`, objects, `{"StringEquals":{"s3:colour":"a"}}`)),
		bad("a principal that does not exist", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::{account}:user/{none}"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`),
	}}
}

func policyStatus() group {
	const doc = "API_GetBucketPolicyStatus"
	get := GET("?policyStatus")
	return group{"PolicyStatus", own, []kase{
		{"none", doc + ": NoSuchBucketPolicy", nil, get, fails(404, "NoSuchBucketPolicy")},
		{"public", "UserGuide/access-control-block-public-access: the meaning of public", open(allow("*", "s3:GetObject", "/*")), get, is(200, val("IsPublic", "true"))},
		{"not public", "UserGuide/access-control-block-public-access: the meaning of public", open(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"{account}"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`), get, is(200, val("IsPublic", "false"))},
		{"a source IP makes it not public", "UserGuide/access-control-block-public-access: the meaning of public", open(statement("Allow", `"s3:GetObject"`, `"arn:aws:s3:::{bucket}/*"`, `{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`)), get, is(200, val("IsPublic", "false"))},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?policyStatus").by(nobody), fails(403, "AccessDenied")},
		{"of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}?policyStatus"), fails(404, "NoSuchBucket")},
	}}
}

// userPolicies are what a user of the owner's account may do by his own policies and the bucket's.
func userPolicies() group {
	const doc = "IAM/UserGuide/reference_policies_evaluation-logic"
	policy := func(effect, action, resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":"` + action + `","Resource":"` + resource + `"}]}`
	}
	with := func(p string, more ...*request) []*request {
		return append(append(newUser(p), withTen()...), more...)
	}
	const objects = "arn:aws:s3:::{bucket}/*"
	get := GET("k").by(user)
	return group{"UserPolicies", own, []kase{
		{"none", doc, with(""), get, fails(403, "AccessDenied")},
		{"get", doc, with(policy("Allow", "s3:GetObject", objects)), get, is(200, has(ten))},
		{"get is not put", doc, with(policy("Allow", "s3:GetObject", objects)), PUT("k", "new").by(user), fails(403, "AccessDenied")},
		{"all", doc, with(policy("Allow", "s3:*", "*")), PUT("k", "new").by(user), is(200)},
		{"another bucket's", doc, with(policy("Allow", "s3:*", "arn:aws:s3:::{none}/*")), get, fails(403, "AccessDenied")},
		{"the user's name in a resource", "IAM/UserGuide/reference_policies_variables: ${aws:username}", newUser(policy("Allow", "s3:PutObject", "arn:aws:s3:::{bucket}/${aws:username}/*")), PUT("{user}/k", ten).by(user), is(200)},
		{"another's name in a resource", "IAM/UserGuide/reference_policies_variables: ${aws:username}", newUser(policy("Allow", "s3:PutObject", "arn:aws:s3:::{bucket}/${aws:username}/*")), PUT("somebody/k", ten).by(user), fails(403, "AccessDenied")},
		{"a bucket's policy allows", doc + ": within an account either is enough", with("", PUT("?policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::{account}:user/{user}"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}]}`)), get, is(200)},
		{"a bucket's policy denies", doc + ": an explicit deny", with(policy("Allow", "s3:*", "*"), PUT("?policy", statement("Deny", `"s3:GetObject"`, `"arn:aws:s3:::{bucket}/*"`, ""))), get, fails(403, "AccessDenied")},
		{"a key of a deleted user", "API/ErrorResponses: InvalidAccessKeyId", with(policy("Allow", "s3:*", "*"), iam("DeleteUserPolicy", "UserName", "{user}", "PolicyName", "inline")), get, fails(403, "AccessDenied")},
		{"buckets of the account", "API_ListBuckets: s3:ListAllMyBuckets", with(policy("Allow", "s3:ListAllMyBuckets", "*")), GET("/?prefix={bucket}").by(user), is(200, val("Buckets/Bucket/Name", "{bucket}"))},
		{"presigned", "API/sigv4-query-string-auth", with(policy("Allow", "s3:GetObject", objects)), GET("k").by(user).presigned(), is(200, has(ten))},
		{"another account, allowed by the bucket's policy", doc + ": cross-account", given(DELETE("?publicAccessBlock"), PUT("?policy", statement("Allow", `"s3:GetObject"`, `"arn:aws:s3:::{bucket}/*"`, "")), PUT("k", ten)), GET("k").by(other), is(200, has(ten))},
	}}
}
