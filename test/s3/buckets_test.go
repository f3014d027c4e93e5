package s3

import "strings"

func bucketGroups() []group {
	return []group{createBucket(), bucketNames(), headBucket(), deleteBucket(), bucketLocation(), listBuckets()}
}

const ns = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`

// inRegion is CreateBucket's document.
func inRegion(region string) string {
	return "<CreateBucketConfiguration" + ns + "><LocationConstraint>" + region + "</LocationConstraint></CreateBucketConfiguration>"
}

func createBucket() group {
	const doc, another = "API_CreateBucket", "/{bucket}-2"
	var (
		plain = PUT(another, "")
		there = then(HEAD(another), is(200))
		none  = then(HEAD(another), fails(404, ""))
	)
	return group{"CreateBucket", own, []kase{
		{"plain", doc, nil, plain, is(200, header("Location", another), there)},
		{"path ends with a slash", doc, nil, PUT(another+"/", ""), is(200, there)},
		{"again in us-east-1 is 200", doc + ": BucketAlreadyOwnedByYou", given(PUT(another, "")), plain, is(200)},
		{"again keeps the objects", doc + ": BucketAlreadyOwnedByYou", given(PUT(another, ""), PUT(another+"/k", "kept")), plain, is(200, then(GET(another+"/k"), is(200, has("kept"))))},
		{"with a region", doc + ": LocationConstraint", nil, PUT(another, inRegion("eu-west-1")), is(200, then(GET(another+"?location"), is(200, val(".", "eu-west-1"))))},
		{"with the region EU", doc + ": LocationConstraint", nil, PUT(another, inRegion("EU")), is(200, there)},
		{"again elsewhere is 409", doc + ": BucketAlreadyOwnedByYou", given(PUT(another, inRegion("eu-west-1"))), PUT(another, inRegion("eu-west-1")), fails(409, "BucketAlreadyOwnedByYou")},
		{"empty document", doc, nil, PUT(another, "<CreateBucketConfiguration"+ns+"/>"), is(200, there)},
		{"document without namespace", "boto3 and minio-go send none", nil, PUT(another, "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"), is(200, there)},
		{"document with prolog", doc, nil, PUT(another, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+inRegion("eu-west-1")), is(200, there)},
		{"document with BOM", "XML 1.0, 4.3.3", nil, PUT(another, "\ufeff"+inRegion("eu-west-1")), is(200, there)},
		{"bad region", doc + ": InvalidLocationConstraint", nil, PUT(another, inRegion("not a region")), fails(400, "InvalidLocationConstraint", none)},
		{"not XML", "API/ErrorResponses: MalformedXML", nil, PUT(another, "not XML"), fails(400, "MalformedXML", none)},
		{"XML cut short", "API/ErrorResponses: MalformedXML", nil, PUT(another, "<CreateBucketConfiguration>"), fails(400, "MalformedXML", none)},
		{"another root", "API/ErrorResponses: MalformedXML", nil, PUT(another, "<Delete/>"), fails(400, "MalformedXML", none)},
		{"a doctype", "API/ErrorResponses: MalformedXML", nil, PUT(another, `<!DOCTYPE x [<!ENTITY e "eu-west-1">]>`+inRegion("&e;")), fails(400, "MalformedXML", none)},
		{"too deep", "API/ErrorResponses: MalformedXML", nil, PUT(another, strings.Repeat("<CreateBucketConfiguration>", 100)+strings.Repeat("</CreateBucketConfiguration>", 100)), fails(400, "MalformedXML", none)},
		{"wrong digest", "API/ErrorResponses: BadDigest", nil, PUT(another, inRegion("eu-west-1"), "Content-MD5", md5Of("other")), fails(400, "BadDigest", none)},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, PUT(another, "").by(nobody), fails(403, "AccessDenied", none)},
		{"canned ACL private", doc + ": x-amz-acl", nil, PUT(another, "", "x-amz-acl", "private"), is(200, there)},
		{"canned ACL that does not exist", doc + ": x-amz-acl", nil, PUT(another, "", "x-amz-acl", "public-everything"), fails(400, "InvalidArgument", none)},
		{"canned ACL public-read with ACLs disabled", "UserGuide/about-object-ownership: InvalidBucketAclWithObjectOwnership", nil, PUT(another, "", "x-amz-acl", "public-read"), fails(400, "InvalidBucketAclWithObjectOwnership", none)},
		{"ownership ObjectWriter", doc + ": x-amz-object-ownership", nil, PUT(another, "", "x-amz-object-ownership", "ObjectWriter"), is(200, then(GET(another+"?ownershipControls"), is(200, val("Rule/ObjectOwnership", "ObjectWriter"))))},
		{"ownership by default", "UserGuide/about-object-ownership", nil, plain, is(200, then(GET(another+"?ownershipControls"), is(200, val("Rule/ObjectOwnership", "BucketOwnerEnforced"))))},
		{"ownership that does not exist", doc + ": x-amz-object-ownership", nil, PUT(another, "", "x-amz-object-ownership", "Nobody"), fails(400, "InvalidArgument", none)},
		{"object lock", doc + ": x-amz-bucket-object-lock-enabled", nil, PUT(another, "", "x-amz-bucket-object-lock-enabled", "true"),
			is(200, then(GET(another+"?object-lock"), is(200, val("ObjectLockEnabled", "Enabled"))), then(GET(another+"?versioning"), is(200, val("Status", "Enabled"))))},
		{"object lock false", doc + ": x-amz-bucket-object-lock-enabled", nil, PUT(another, "", "x-amz-bucket-object-lock-enabled", "false"), is(200, there)},
		{"tags", doc + ": Tags", nil, PUT(another, "<CreateBucketConfiguration"+ns+"><Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags></CreateBucketConfiguration>"), is(200, then(GET(another+"?tagging"), is(200, val("TagSet/Tag/Key", "a"))))},
		{"unknown sub-resource", "API/ErrorResponses: MethodNotAllowed", nil, PUT(another+"?location", ""), fails(405, "MethodNotAllowed", none)},
	}}
}

// bucketNames is what CreateBucket says of names.
func bucketNames() group {
	const doc = "UserGuide/bucketnamingrules"
	g := group{name: "BucketNames"}
	for _, n := range []struct{ what, name string }{
		{"two characters", "ab"}, {"64 characters", strings.Repeat("a", 64)}, {"upper case", "Upper-case"}, {"underscore", "with_underscore"},
		{"hyphen first", "-first"}, {"hyphen last", "last-"}, {"dot first", ".first"}, {"dot last", "last."}, {"two dots", "two..dots"}, {"an IP address", "192.168.5.4"},
		{"xn-- first", "xn--punycode"}, {"sthree- first", "sthree-name"}, {"amzn-s3-demo- first", "amzn-s3-demo-name"}, {"-s3alias last", "name-s3alias"},
		{"--ol-s3 last", "name--ol-s3"}, {".mrap last", "name.mrap"}, {"--x-s3 last", "name--x-s3"}, {"--table-s3 last", "name--table-s3"},
		{"a space", "a%20space"}, {"not ASCII", "%C3%A4%C3%B6%C3%BC"}, {"a percent sign", "per%25cent"}, {"a control character", "a%01b"}, {"underscore alone", "___"},
	} {
		g.cases = append(g.cases, kase{n.what, doc, nil, PUT("/"+n.name, ""), fails(400, "InvalidBucketName", val("BucketName", unescaped(n.name)))})
	}
	for _, n := range []struct{ what, suffix string }{{"dots", ".with.dots"}, {"digits last", "9"}, {"two hyphens", "--x"}} {
		g.cases = append(g.cases, kase{n.what, doc, nil, PUT("/{bucket}"+n.suffix, ""), is(200, then(HEAD("/{bucket}"+n.suffix), is(200)))})
	}
	g.cases = append(g.cases,
		kase{"read of a name that cannot be", doc, nil, GET("/No_Name?list-type=2"), fails(400, "InvalidBucketName")},
		kase{"path with two slashes first", "API/ErrorResponses: InvalidURI", nil, GET("//{bucket}"), fails(400, "InvalidURI")},
	)
	return g
}

func headBucket() group {
	const doc = "API_HeadBucket"
	return group{"HeadBucket", own, []kase{
		{"there", doc, nil, HEAD(""), is(200, header("x-amz-bucket-region", "us-east-1"))},
		{"with a slash", doc, nil, HEAD("/{bucket}/"), is(200)},
		{"region of another", doc + ": x-amz-bucket-region", given(PUT("/{bucket}-2", inRegion("ap-south-1"))), HEAD("/{bucket}-2"), is(200, header("x-amz-bucket-region", "ap-south-1"))},
		{"access point alias", doc + ": x-amz-access-point-alias", nil, HEAD(""), is(200, headerLike("x-amz-access-point-alias", "^(false)?$"))},
		{"absent", doc, nil, HEAD("/{none}"), fails(404, "")},
		{"name that cannot be", doc, nil, HEAD("/No_Name"), fails(400, "")},
		{"anonymous", doc, nil, HEAD("").by(nobody), fails(403, "")},
		{"wrong secret", "API/ErrorResponses: SignatureDoesNotMatch", nil, HEAD("").changed(spoil), fails(403, "")},
		{"owner as expected", "UserGuide/bucket-owner-condition", nil, HEAD("", "x-amz-expected-bucket-owner", "{account}"), is(200)},
		{"owner not as expected", "UserGuide/bucket-owner-condition", nil, HEAD("", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "")},
		{"another account", doc, nil, HEAD("").by(other), fails(403, "")},
	}}
}

func deleteBucket() group {
	const doc = "API_DeleteBucket"
	return group{"DeleteBucket", own, []kase{
		{"empty", doc, nil, DELETE(""), is(204, then(HEAD(""), fails(404, "")))},
		{"with a slash", doc, nil, DELETE("/{bucket}/"), is(204)},
		{"emptied", doc, given(PUT("k", "x"), DELETE("k")), DELETE(""), is(204)},
		{"not empty", doc + "; API/ErrorResponses: BucketNotEmpty", given(PUT("k", "x")), DELETE(""), fails(409, "BucketNotEmpty", val("BucketName", "{bucket}"), then(GET("k"), is(200, has("x"))))},
		{"delete marker left", "UserGuide/delete-bucket", append(versioned("Enabled"), PUT("k", "x"), DELETE("k")), DELETE(""), fails(409, "BucketNotEmpty")},
		{"absent", doc, nil, DELETE("/{none}"), fails(404, "NoSuchBucket", val("BucketName", "{none}"))},
		{"twice", doc, given(DELETE("")), DELETE(""), fails(404, "NoSuchBucket")},
		{"made again", doc, given(PUT("k", "old"), DELETE("k"), DELETE(""), PUT("", "")), GET("?list-type=2"), is(200, val("KeyCount", "0"))},
		{"anonymous", doc, nil, DELETE("").by(nobody), fails(403, "AccessDenied", then(HEAD(""), is(200)))},
		{"owner as expected", "UserGuide/bucket-owner-condition", nil, DELETE("", "x-amz-expected-bucket-owner", "{account}"), is(204)},
		{"owner not as expected", "UserGuide/bucket-owner-condition", nil, DELETE("", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied", then(HEAD(""), is(200)))},
		{"sub-resource that cannot be deleted", "API/ErrorResponses: MethodNotAllowed", nil, DELETE("?versioning"), fails(405, "MethodNotAllowed", then(HEAD(""), is(200)))},
		{"another account", doc, nil, DELETE("").by(other), fails(403, "AccessDenied")},
	}}
}

func bucketLocation() group {
	const doc = "API_GetBucketLocation"
	return group{"GetBucketLocation", own, []kase{
		{"us-east-1 is empty", doc + ": LocationConstraint", nil, GET("?location"), is(200, val(".", ""))},
		{"another", doc, given(PUT("/{bucket}-2", inRegion("eu-central-1"))), GET("/{bucket}-2?location"), is(200, val(".", "eu-central-1"))},
		{"absent", doc, nil, GET("/{none}?location"), fails(404, "NoSuchBucket")},
		{"anonymous", doc, nil, GET("?location").by(nobody), fails(403, "AccessDenied")},
		{"owner not as expected", "UserGuide/bucket-owner-condition", nil, GET("?location", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
	}}
}

func listBuckets() group {
	const doc, mine = "API_ListBuckets", "/?prefix={bucket}"
	two := given(PUT("/{bucket}-2", ""), PUT("/{bucket}-3", inRegion("eu-west-1")))
	return group{"ListBuckets", own, []kase{
		{"owner", doc, nil, GET("/"), is(200, val("Owner/ID", "{canonical}"))},
		{"prefix", doc + ": prefix", two, GET(mine), is(200, val("Buckets/Bucket/Name", "{bucket}", "{bucket}-2", "{bucket}-3"), val("Prefix", "{bucket}"), val("ContinuationToken"))},
		{"prefix of none", doc + ": prefix", nil, GET("/?prefix={none}"), is(200, val("Buckets/Bucket/Name"), count("Buckets", 1))},
		{"dates", doc + ": CreationDate", nil, GET(mine), is(200, valLike("Buckets/Bucket/CreationDate", `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$`))},
		{"region", doc + ": bucket-region", two, GET(mine + "&bucket-region=eu-west-1"), is(200, val("Buckets/Bucket/Name", "{bucket}-3"), val("Buckets/Bucket/BucketRegion", "eu-west-1"))},
		{"first page", doc + ": max-buckets", two, GET(mine + "&max-buckets=2"), is(200, val("Buckets/Bucket/Name", "{bucket}", "{bucket}-2"), count("ContinuationToken", 1))},
		{"last page", doc + ": continuation-token", append(two, GET(mine+"&max-buckets=2").save("token", "ContinuationToken")), GET(mine + "&max-buckets=2&continuation-token={token}"), is(200, val("Buckets/Bucket/Name", "{bucket}-3"), val("ContinuationToken"))},
		{"a page that is just full", doc + ": max-buckets", two, GET(mine + "&max-buckets=3"), is(200, count("Buckets/Bucket", 3), val("ContinuationToken"))},
		{"max-buckets 0", doc + ": max-buckets, 1 to 10000", nil, GET("/?max-buckets=0"), fails(400, "InvalidArgument")},
		{"max-buckets negative", doc + ": max-buckets", nil, GET("/?max-buckets=-1"), fails(400, "InvalidArgument")},
		{"max-buckets no number", doc + ": max-buckets", nil, GET("/?max-buckets=ten"), fails(400, "InvalidArgument")},
		{"max-buckets 10001", doc + ": max-buckets, 1 to 10000", nil, GET("/?max-buckets=10001"), fails(400, "InvalidArgument")},
		{"token of another kind", doc + ": continuation-token", nil, GET("/?continuation-token=!"), fails(400, "InvalidArgument")},
		{"anonymous", doc, nil, GET("/").by(nobody), fails(403, "AccessDenied")},
		{"POST", "API/ErrorResponses: MethodNotAllowed", nil, DELETE("/"), fails(405, "MethodNotAllowed")},
		{"of another account", doc, nil, GET(mine).by(other), is(200, count("Buckets/Bucket", 0))},
	}}
}
