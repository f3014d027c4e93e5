package s3

import "strings"

func configGroups() []group {
	return []group{configurations(), versioning(), lockConfiguration(), policies(), corsRules(), bucketTags(), ownership(), publicAccess(), getters(), directoryOnly()}
}

// configuration is a document that a bucket may have, and what S3 says of it.
type configuration struct {
	get, put, del string // operations; del "": it cannot be taken away
	sub           string // the parameter, with an id where there may be several
	doc           string // that is accepted
	absent        string // the code where there is none; "": an empty document
	path, value   string // in what get answers after put
	root          string // of another document than the schema has; "": a configuration that is no XML
	post          bool   // it is made by POST
}

// tables are the configurations of buckets that are documents and no more to the conformance of the API.
var tables = []configuration{
	{"GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging", "tagging", tagging("a", "1"), "NoSuchTagSet", "TagSet/Tag/Key", "a", "Tagging", false},
	{"GetBucketCors", "PutBucketCors", "DeleteBucketCors", "cors", cors("http://a.example", "GET"), "NoSuchCORSConfiguration", "CORSRule/AllowedOrigin", "http://a.example", "CORSConfiguration", false},
	{"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy", "policy", allow("*", "s3:GetObject", "/*"), "NoSuchBucketPolicy", "", "", "", false},
	{"GetBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls", "ownershipControls", owned("ObjectWriter"), "", "Rule/ObjectOwnership", "ObjectWriter", "OwnershipControls", false},
	{"GetPublicAccessBlock", "PutPublicAccessBlock", "DeletePublicAccessBlock", "publicAccessBlock", blocks("true"), "", "BlockPublicAcls", "true", "PublicAccessBlockConfiguration", false},
	{"GetBucketEncryption", "PutBucketEncryption", "DeleteBucketEncryption", "encryption", "<ServerSideEncryptionConfiguration" + ns + "><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>", "", "Rule/ApplyServerSideEncryptionByDefault/SSEAlgorithm", "AES256", "ServerSideEncryptionConfiguration", false},
	{"GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle", "lifecycle", "<LifecycleConfiguration" + ns + "><Rule><ID>r</ID><Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>", "NoSuchLifecycleConfiguration", "Rule/ID", "r", "LifecycleConfiguration", false},
	{"GetBucketReplication", "PutBucketReplication", "DeleteBucketReplication", "replication", "<ReplicationConfiguration" + ns + "><Role>arn:aws:iam::{account}:role/r</Role><Rule><ID>r</ID><Status>Enabled</Status><Priority>1</Priority><Filter/><DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::{none}</Bucket></Destination></Rule></ReplicationConfiguration>", "ReplicationConfigurationNotFoundError", "Rule/ID", "r", "ReplicationConfiguration", false},
	{"GetBucketWebsite", "PutBucketWebsite", "DeleteBucketWebsite", "website", "<WebsiteConfiguration" + ns + "><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>", "NoSuchWebsiteConfiguration", "IndexDocument/Suffix", "index.html", "WebsiteConfiguration", false},
	{"GetBucketLogging", "PutBucketLogging", "", "logging", "<BucketLoggingStatus" + ns + "/>", "", "LoggingEnabled", "", "BucketLoggingStatus", false},
	{"GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration", "", "notification", "<NotificationConfiguration" + ns + "/>", "", "QueueConfiguration", "", "NotificationConfiguration", false},
	{"GetBucketAccelerateConfiguration", "PutBucketAccelerateConfiguration", "", "accelerate", "<AccelerateConfiguration" + ns + "><Status>Suspended</Status></AccelerateConfiguration>", "", "Status", "Suspended", "AccelerateConfiguration", false},
	{"GetBucketRequestPayment", "PutBucketRequestPayment", "", "requestPayment", "<RequestPaymentConfiguration" + ns + "><Payer>BucketOwner</Payer></RequestPaymentConfiguration>", "", "Payer", "BucketOwner", "RequestPaymentConfiguration", false},
	{"GetBucketAbac", "PutBucketAbac", "", "abac", "<AbacStatus" + ns + "><Status>Disabled</Status></AbacStatus>", "", "Status", "Disabled", "AbacStatus", false},
	{"GetBucketAnalyticsConfiguration", "PutBucketAnalyticsConfiguration", "DeleteBucketAnalyticsConfiguration", "analytics&id=r", "<AnalyticsConfiguration" + ns + "><Id>r</Id><StorageClassAnalysis/></AnalyticsConfiguration>", "NoSuchConfiguration", "Id", "r", "AnalyticsConfiguration", false},
	{"GetBucketMetricsConfiguration", "PutBucketMetricsConfiguration", "DeleteBucketMetricsConfiguration", "metrics&id=r", "<MetricsConfiguration" + ns + "><Id>r</Id></MetricsConfiguration>", "NoSuchConfiguration", "Id", "r", "MetricsConfiguration", false},
	{"GetBucketInventoryConfiguration", "PutBucketInventoryConfiguration", "DeleteBucketInventoryConfiguration", "inventory&id=r", "<InventoryConfiguration" + ns + "><Destination><S3BucketDestination><Bucket>arn:aws:s3:::{bucket}</Bucket><Format>CSV</Format></S3BucketDestination></Destination><IsEnabled>true</IsEnabled><Id>r</Id><IncludedObjectVersions>All</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule></InventoryConfiguration>", "NoSuchConfiguration", "Id", "r", "InventoryConfiguration", false},
	{"GetBucketIntelligentTieringConfiguration", "PutBucketIntelligentTieringConfiguration", "DeleteBucketIntelligentTieringConfiguration", "intelligent-tiering&id=r", "<IntelligentTieringConfiguration" + ns + "><Id>r</Id><Status>Enabled</Status><Tiering><AccessTier>ARCHIVE_ACCESS</AccessTier><Days>90</Days></Tiering></IntelligentTieringConfiguration>", "NoSuchConfiguration", "Id", "r", "IntelligentTieringConfiguration", false},
	{"GetBucketMetadataConfiguration", "CreateBucketMetadataConfiguration", "DeleteBucketMetadataConfiguration", "metadataConfiguration", "<MetadataConfiguration" + ns + "><JournalTableConfiguration><RecordExpiration><Expiration>DISABLED</Expiration></RecordExpiration></JournalTableConfiguration></MetadataConfiguration>", "MetadataConfigurationNotFound", "MetadataConfigurationResult/JournalTableConfigurationResult/RecordExpiration/Expiration", "DISABLED", "MetadataConfiguration", true},
	{"GetBucketMetadataTableConfiguration", "CreateBucketMetadataTableConfiguration", "DeleteBucketMetadataTableConfiguration", "metadataTable", "<MetadataTableConfiguration" + ns + "><S3TablesDestination><TableBucketArn>arn:aws:s3tables:us-east-1:{account}:bucket/t</TableBucketArn><TableName>t</TableName></S3TablesDestination></MetadataTableConfiguration>", "MetadataTableConfigurationNotFound", "MetadataTableConfigurationResult/S3TablesDestinationResult/TableName", "t", "MetadataTableConfiguration", true},
}

// sent makes a PUT with the checksum that documents of configurations need.
func sent(path, doc string, header ...string) *request {
	q := PUT(path, doc, header...)
	q.sum = true
	return q
}

// configurations has the same cases for each table: there, not there, not allowed, not understood.
func configurations() group {
	g := group{name: "Configurations", buckets: shared}
	for _, c := range tables {
		get, del := GET("?"+c.sub), DELETE("?"+c.sub)
		put := sent("?"+c.sub, c.doc)
		if c.post {
			put.method = "POST"
		}
		shown := is(200, val(c.path, c.value))
		switch {
		case c.path == "":
			shown = is(200, has(c.doc))
		case c.value == "":
			shown = is(200, val(c.path))
		}
		page, of := "API_"+c.put, func(q *request) *request { d := *q; d.path = "/{none}" + d.path; return &d }
		by := func(q *request, w who) *request { d := *q; return (&d).by(w) }
		ok, gone := 200, 204
		if c.sub == "policy" || c.sub == "tagging" {
			ok = 204
		}
		g.cases = append(g.cases,
			kase{c.put + " is kept", page, given(put), get, shown},
			kase{c.put, page, nil, put, is(ok)},
			kase{c.put + " anonymous", "API/ErrorResponses: AccessDenied", nil, by(put, nobody), fails(403, "AccessDenied")},
			kase{c.put + " by a user without permission", "UserGuide/security_iam_service-with-iam", newUser(""), by(put, user), fails(403, "AccessDenied")},
			kase{c.put + " of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, of(put), fails(404, "NoSuchBucket")},
			kase{c.get + " anonymous", "API/ErrorResponses: AccessDenied", nil, by(get, nobody), fails(403, "AccessDenied")},
			kase{c.get + " of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, of(get), fails(404, "NoSuchBucket")},
			kase{c.get + " owner not as expected", "UserGuide/bucket-owner-condition", nil, GET(get.path, "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
		)
		if c.absent != "" {
			g.cases = append(g.cases, kase{c.get + " of none", "API_" + c.get + ": " + c.absent, nil, get, fails(404, c.absent)})
		}
		if c.root != "" {
			broken := sent("?"+c.sub, strings.Replace(c.doc, "</"+c.root+">", "", 1))
			if !strings.Contains(c.doc, "</"+c.root+">") {
				broken = sent("?"+c.sub, "<"+c.root+">")
			}
			broken.method = put.method
			g.cases = append(g.cases, kase{c.put + " not XML", "API/ErrorResponses: MalformedXML", nil, broken, fails(400, "MalformedXML")})
		}
		if c.del != "" {
			g.cases = append(g.cases,
				kase{c.del, "API_" + c.del, given(put), del, is(gone, then(get, absentOr(c)))},
				kase{c.del + " of none", "API_" + c.del, nil, del, absentDelete(c)},
				kase{c.del + " anonymous", "API/ErrorResponses: AccessDenied", given(put), by(del, nobody), fails(403, "AccessDenied", then(get, shown))},
				kase{c.del + " of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, of(del), fails(404, "NoSuchBucket")},
			)
		}
	}
	return g
}

// absentOr is what get answers after the configuration was taken away.
func absentOr(c configuration) want {
	switch c.sub {
	case "ownershipControls":
		return fails(404, "OwnershipControlsNotFoundError")
	case "publicAccessBlock":
		return fails(404, "NoSuchPublicAccessBlockConfiguration")
	case "encryption":
		return is(200, val(c.path, c.value)) // the default is AES256
	}
	return fails(404, c.absent)
}

// absentDelete is what taking away nothing is answered with: as a rule, that it is done.
func absentDelete(c configuration) want {
	if strings.Contains(c.sub, "&id=") {
		return fails(404, c.absent)
	}
	return is(204)
}

func owned(by string) string {
	return "<OwnershipControls" + ns + "><Rule><ObjectOwnership>" + by + "</ObjectOwnership></Rule></OwnershipControls>"
}

func blocks(all string) string {
	doc := "<PublicAccessBlockConfiguration" + ns + ">"
	for _, name := range []string{"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"} {
		doc += "<" + name + ">" + all + "</" + name + ">"
	}
	return doc + "</PublicAccessBlockConfiguration>"
}

func cors(origin, method string, more ...string) string {
	return "<CORSConfiguration" + ns + "><CORSRule><AllowedOrigin>" + origin + "</AllowedOrigin><AllowedMethod>" + method + "</AllowedMethod>" + strings.Join(more, "") + "</CORSRule></CORSConfiguration>"
}

func status(of string) string {
	return "<VersioningConfiguration" + ns + "><Status>" + of + "</Status></VersioningConfiguration>"
}

func versioning() group {
	const doc = "API_PutBucketVersioning"
	return group{"BucketVersioning", own, []kase{
		{"never set", "API_GetBucketVersioning", nil, GET("?versioning"), is(200, val("Status"), val("MfaDelete"))},
		{"Enabled", doc, versioned("Enabled"), GET("?versioning"), is(200, val("Status", "Enabled"))},
		{"Suspended", doc, append(versioned("Enabled"), versioned("Suspended")...), GET("?versioning"), is(200, val("Status", "Suspended"))},
		{"Suspended before it was enabled", doc, nil, PUT("?versioning", status("Suspended")), is(200)},
		{"enabled again", doc, append(versioned("Suspended"), versioned("Enabled")...), GET("?versioning"), is(200, val("Status", "Enabled"))},
		{"status that does not exist", "API/ErrorResponses: MalformedXML", nil, PUT("?versioning", status("Disabled")), fails(400, "MalformedXML")},
		{"no status", "API/ErrorResponses: IllegalVersioningConfigurationException", nil, PUT("?versioning", "<VersioningConfiguration"+ns+"/>"), fails(400, "IllegalVersioningConfigurationException")},
		{"not XML", "API/ErrorResponses: MalformedXML", nil, PUT("?versioning", "Enabled"), fails(400, "MalformedXML")},
		{"no document", "API/ErrorResponses: MissingRequestBodyError", nil, PUT("?versioning", ""), fails(400, "MissingRequestBodyError")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", nil, PUT("?versioning", status("Enabled")).by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?versioning").by(nobody), fails(403, "AccessDenied")},
		{"get of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}?versioning"), fails(404, "NoSuchBucket")},
		{"put of a bucket that is absent", "API/ErrorResponses: NoSuchBucket", nil, PUT("/{none}?versioning", status("Enabled")), fails(404, "NoSuchBucket")},
		{"a locked bucket cannot be suspended", "UserGuide/object-lock-configure: InvalidBucketState", locked(), PUT("/{none}?versioning", status("Suspended")), fails(409, "InvalidBucketState")},
	}}
}

// locked makes the bucket {none} with object lock.
func locked() []*request {
	return given(PUT("/{none}", "", "x-amz-bucket-object-lock-enabled", "true"))
}

func lockDoc(rule string) string {
	return "<ObjectLockConfiguration" + ns + "><ObjectLockEnabled>Enabled</ObjectLockEnabled>" + rule + "</ObjectLockConfiguration>"
}

func lockRule(mode, period string) string {
	return "<Rule><DefaultRetention><Mode>" + mode + "</Mode>" + period + "</DefaultRetention></Rule>"
}

func lockConfiguration() group {
	const doc = "API_PutObjectLockConfiguration"
	put := func(rule string) *request { return sent("/{none}?object-lock", lockDoc(rule)) }
	return group{"ObjectLockConfiguration", own, []kase{
		{"none", "API_GetObjectLockConfiguration: ObjectLockConfigurationNotFoundError", nil, GET("?object-lock"), fails(404, "ObjectLockConfigurationNotFoundError")},
		{"without a rule", "API_GetObjectLockConfiguration", locked(), GET("/{none}?object-lock"), is(200, val("ObjectLockEnabled", "Enabled"), val("Rule"))},
		{"days", doc, append(locked(), put(lockRule("GOVERNANCE", "<Days>1</Days>"))), GET("/{none}?object-lock"), is(200, val("Rule/DefaultRetention/Mode", "GOVERNANCE"), val("Rule/DefaultRetention/Days", "1"))},
		{"years", doc, append(locked(), put(lockRule("COMPLIANCE", "<Years>1</Years>"))), GET("/{none}?object-lock"), is(200, val("Rule/DefaultRetention/Years", "1"))},
		{"put", doc, locked(), put(lockRule("GOVERNANCE", "<Days>1</Days>")), is(200)},
		{"on a bucket with versions", "UserGuide/object-lock-configure", versioned("Enabled"), sent("?object-lock", lockDoc("")), is(200, then(GET("?object-lock"), is(200, val("ObjectLockEnabled", "Enabled"))))},
		{"on a bucket without versions", "API/ErrorResponses: InvalidBucketState", nil, sent("?object-lock", lockDoc("")), fails(409, "InvalidBucketState")},
		{"rule taken away", doc, append(locked(), put(lockRule("GOVERNANCE", "<Days>1</Days>")), put("")), GET("/{none}?object-lock"), is(200, val("Rule"))},
		{"days and years", "API/ErrorResponses: MalformedXML", locked(), put(lockRule("GOVERNANCE", "<Days>1</Days><Years>1</Years>")), fails(400, "MalformedXML")},
		{"neither days nor years", "API/ErrorResponses: MalformedXML", locked(), put(lockRule("GOVERNANCE", "")), fails(400, "MalformedXML")},
		{"no days", "API/ErrorResponses: InvalidArgument", locked(), put(lockRule("GOVERNANCE", "<Days>0</Days>")), fails(400, "InvalidArgument")},
		{"days negative", "API/ErrorResponses: InvalidArgument", locked(), put(lockRule("GOVERNANCE", "<Days>-1</Days>")), fails(400, "InvalidArgument")},
		{"more than 100 years", "API/ErrorResponses: InvalidArgument", locked(), put(lockRule("GOVERNANCE", "<Years>101</Years>")), fails(400, "InvalidArgument")},
		{"mode that does not exist", "API/ErrorResponses: MalformedXML", locked(), put(lockRule("SOFT", "<Days>1</Days>")), fails(400, "MalformedXML")},
		{"not XML", "API/ErrorResponses: MalformedXML", locked(), sent("/{none}?object-lock", "lock"), fails(400, "MalformedXML")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", nil, sent("?object-lock", lockDoc("")).by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?object-lock").by(nobody), fails(403, "AccessDenied")},
	}}
}

func bucketTags() group {
	const doc = "API_PutBucketTagging"
	return group{"BucketTags", own, []kase{
		{"replaced", doc, given(sent("?tagging", tagging("a", "1", "b", "2")), sent("?tagging", tagging("c", "3"))), GET("?tagging"), is(200, val("TagSet/Tag/Key", "c"), val("TagSet/Tag/Value", "3"))},
		{"none", doc, nil, sent("?tagging", tagging()), is(204)},
		{"a key twice", "API/ErrorResponses: InvalidTag", nil, sent("?tagging", tagging("a", "1", "a", "2")), fails(400, "InvalidTag")},
		{"a key of 129 characters", "API/ErrorResponses: InvalidTag", nil, sent("?tagging", tagging(strings.Repeat("k", 129), "1")), fails(400, "InvalidTag")},
		{"a value of 257 characters", "API/ErrorResponses: InvalidTag", nil, sent("?tagging", tagging("a", strings.Repeat("v", 257))), fails(400, "InvalidTag")},
		{"a key that is empty", "API/ErrorResponses: InvalidTag", nil, sent("?tagging", tagging("", "1")), fails(400, "InvalidTag")},
		{"a key of AWS's own", "API/ErrorResponses: InvalidTag, System tags cannot be added/updated by requester", nil, sent("?tagging", tagging("aws:a", "1")), fails(400, "InvalidTag")},
		{"51 of them", doc + ": 50 at most", nil, sent("?tagging", tagging(manyTags(51)...)), fails(400, "BadRequest", val("Message", "Bucket tag count cannot be greater than 50"))},
		{"wrong digest", "API/ErrorResponses: BadDigest", nil, PUT("?tagging", tagging("a", "1"), "Content-MD5", md5Of("other")), fails(400, "BadDigest")},
	}}
}

func manyTags(n int) (tags []string) {
	for i := range n {
		tags = append(tags, "k"+itoa(i), "v")
	}
	return tags
}

func ownership() group {
	const doc = "API_PutBucketOwnershipControls"
	return group{"Ownership", own, []kase{
		{"by default", "UserGuide/about-object-ownership", nil, GET("?ownershipControls"), is(200, val("Rule/ObjectOwnership", "BucketOwnerEnforced"))},
		{"preferred", doc, given(sent("?ownershipControls", owned("BucketOwnerPreferred"))), GET("?ownershipControls"), is(200, val("Rule/ObjectOwnership", "BucketOwnerPreferred"))},
		{"that does not exist", "API/ErrorResponses: MalformedXML", nil, sent("?ownershipControls", owned("Nobody")), fails(400, "MalformedXML")},
		{"two rules", "API/ErrorResponses: MalformedXML", nil, sent("?ownershipControls", "<OwnershipControls"+ns+"><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>"), fails(400, "MalformedXML")},
		{"enforced over a public ACL", "UserGuide/about-object-ownership: InvalidBucketAclWithObjectOwnership", append(acls(), PUT("?acl", "", "x-amz-acl", "public-read")), sent("?ownershipControls", owned("BucketOwnerEnforced")), fails(400, "InvalidBucketAclWithObjectOwnership")},
	}}
}

func publicAccess() group {
	return group{"PublicAccessBlock", own, []kase{
		{"by default", "API_GetPublicAccessBlock: NoSuchPublicAccessBlockConfiguration; AWS sets all four for new buckets since April 2023, sherd none: what is public was made so by somebody", nil, GET("?publicAccessBlock"), fails(404, "NoSuchPublicAccessBlockConfiguration")},
		{"one of them", "API_PutPublicAccessBlock", given(sent("?publicAccessBlock", "<PublicAccessBlockConfiguration"+ns+"><BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>")), GET("?publicAccessBlock"), is(200, val("BlockPublicAcls", "false"), val("BlockPublicPolicy", "true"))},
		{"refuses a public policy", "UserGuide/access-control-block-public-access: BlockPublicPolicy", given(sent("?publicAccessBlock", blocks("true"))), PUT("?policy", allow("*", "s3:GetObject", "/*")), fails(403, "AccessDenied", then(GET("?policy"), fails(404, "NoSuchBucketPolicy")))},
		{"refuses a public ACL", "UserGuide/access-control-block-public-access: BlockPublicAcls", append(acls(), sent("?publicAccessBlock", blocks("true"))), PUT("?acl", "", "x-amz-acl", "public-read"), fails(403, "AccessDenied")},
		{"ignores a public ACL", "UserGuide/access-control-block-public-access: IgnorePublicAcls", append(acls(), PUT("k", ten, "x-amz-acl", "public-read"), sent("?publicAccessBlock", blocks("true"))), GET("k").by(nobody), fails(403, "AccessDenied")},
		{"restricts a public bucket", "UserGuide/access-control-block-public-access: RestrictPublicBuckets", given(DELETE("?publicAccessBlock"), PUT("?policy", allow("*", "s3:GetObject", "/*")), PUT("k", ten), sent("?publicAccessBlock", blocks("true"))), GET("k").by(nobody), fails(403, "AccessDenied")},
	}}
}

// getters are of what S3 has and a store of one's own need not: the answers of a bucket where nothing was set.
func getters() group {
	return group{"Getters", own, []kase{
		{"GetBucketRequestPayment", "API_GetBucketRequestPayment", nil, GET("?requestPayment"), is(200, val("Payer", "BucketOwner"))},
		{"GetBucketAccelerateConfiguration", "API_GetBucketAccelerateConfiguration", nil, GET("?accelerate"), is(200, val("Status"))},
		{"GetBucketLogging", "API_GetBucketLogging", nil, GET("?logging"), is(200, val("LoggingEnabled"))},
		{"GetBucketNotificationConfiguration", "API_GetBucketNotificationConfiguration", nil, GET("?notification"), is(200, val("TopicConfiguration"))},
		{"PutBucketNotificationConfiguration without a document", "API/ErrorResponses: MissingRequestBodyError", nil, sent("?notification", ""), fails(400, "MissingRequestBodyError")},
		{"PutBucketNotificationConfiguration of something else", "API/ErrorResponses: MalformedXML", nil, sent("?notification", "<NotificationConfiguration"+ns+"><Queue/></NotificationConfiguration>"), fails(400, "MalformedXML")},
		{"GetBucketAbac", "API_GetBucketAbac: off where it was never turned on", nil, GET("?abac"), is(200, val("Status", "Disabled"))},
		{"GetBucketEncryption", "API/ErrorResponses: ServerSideEncryptionConfigurationNotFoundError; AWS has AES256 by default, sherd encrypts nothing yet and says so", nil, GET("?encryption"), fails(404, "ServerSideEncryptionConfigurationNotFoundError")},
		{"ListBucketMetricsConfigurations", "API_ListBucketMetricsConfigurations", nil, GET("?metrics"), is(200, val("MetricsConfiguration"), val("IsTruncated", "false"))},
		{"PutBucketRequestPayment that does not exist", "API/ErrorResponses: MalformedXML", nil, sent("?requestPayment", "<RequestPaymentConfiguration><Payer>Nobody</Payer></RequestPaymentConfiguration>"), fails(400, "MalformedXML")},
		{"PutBucketAccelerateConfiguration that does not exist", "API/ErrorResponses: MalformedXML", nil, sent("?accelerate", "<AccelerateConfiguration><Status>Fast</Status></AccelerateConfiguration>"), fails(400, "MalformedXML")},
	}}
}

// directoryOnly are operations that general purpose buckets do not have, or that AWS has closed: none succeeds.
func directoryOnly() group {
	return group{"DirectoryBuckets", own, []kase{
		{"CreateSession", "API_CreateSession: directory buckets", nil, GET("?session"), fails(501, "NotImplemented")},
		{"CreateSession anonymous", "API_CreateSession", nil, GET("?session").by(nobody), fails(403, "AccessDenied")},
		{"RenameObject", "API_RenameObject: directory buckets", withTen(), PUT("k2?renameObject", "", "x-amz-rename-source", "/{bucket}/k"), fails(501, "NotImplemented", then(HEAD("k"), is(200)))},
		{"RenameObject anonymous", "API_RenameObject", withTen(), PUT("k2?renameObject", "", "x-amz-rename-source", "/{bucket}/k").by(nobody), fails(403, "AccessDenied", then(HEAD("k"), is(200)))},
		{"GetObjectTorrent", "API_GetObjectTorrent: no longer", withTen(), GET("k?torrent"), fails(501, "NotImplemented")},
		{"GetObjectTorrent anonymous", "API_GetObjectTorrent", withTen(), GET("k?torrent").by(nobody), fails(403, "AccessDenied")},
		{"SelectObjectContent", "API_SelectObjectContent: no longer for new customers", withTen(), POST("k?select&select-type=2", "<SelectObjectContentRequest"+ns+"/>"), fails(501, "NotImplemented")},
		{"SelectObjectContent anonymous", "API_SelectObjectContent", withTen(), POST("k?select&select-type=2", "<SelectObjectContentRequest"+ns+"/>").by(nobody), fails(403, "AccessDenied")},
		{"UpdateObjectEncryption", "API_UpdateObjectEncryption: needs KMS", withTen(), PUT("k?encryption", "<ObjectEncryption/>"), fails(501, "NotImplemented")},
		{"UpdateObjectEncryption anonymous", "API_UpdateObjectEncryption", withTen(), PUT("k?encryption", "<ObjectEncryption/>").by(nobody), fails(403, "AccessDenied")},
		{"RestoreObject of what is not archived", "API_RestoreObject: InvalidObjectState", withTen(), POST("k?restore", "<RestoreRequest"+ns+"><Days>1</Days></RestoreRequest>"), fails(403, "InvalidObjectState")},
		{"RestoreObject of none", "API_RestoreObject: NoSuchKey", nil, POST("k?restore", "<RestoreRequest"+ns+"><Days>1</Days></RestoreRequest>"), fails(404, "NoSuchKey")},
	}}
}
