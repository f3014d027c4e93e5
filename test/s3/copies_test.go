package s3

import "strings"

func copyGroups() []group { return []group{copyObject(), deleteObjects()} }

// copied copies src of the case's bucket to k.
func copied(header ...string) *request {
	return PUT("k", "", append([]string{"x-amz-copy-source", "/{bucket}/src"}, header...)...)
}

func copyObject() group {
	const doc = "API_CopyObject"
	src := func(header ...string) []*request {
		return given(PUT("src", ten, append([]string{"Content-Type", "a/b", "x-amz-meta-a", "1", "x-amz-tagging", "t=1"}, header...)...).save("etag", "ETag"), HEAD("src").save("date", "Last-Modified"))
	}
	self := func(header ...string) *request {
		return PUT("src", "", append([]string{"x-amz-copy-source", "/{bucket}/src"}, header...)...)
	}
	none := then(HEAD("k"), fails(404, ""))
	source := func(name string) *request { return PUT("k", "", "x-amz-copy-source", name) }
	return group{"CopyObject", shared, []kase{
		{"plain", doc, src(), copied(), is(200, val("ETag", quoted(ten)), valLike("LastModified", `^\d{4}-.*Z$`), then(GET("k"), is(200, has(ten), header("Content-Type", "a/b"), header("x-amz-meta-a", "1"), header("x-amz-tagging-count", "1"))))},
		{"source without slash", doc + ": x-amz-copy-source", src(), source("{bucket}/src"), is(200)},
		{"source escaped", doc + ": must be URL-encoded", given(PUT("a%20b%2B%C3%A4", ten)), source("{bucket}/a%20b%2B%C3%A4"), is(200, then(GET("k"), is(200, has(ten))))},
		{"source with a plus", doc + ": a plus is a plus in a path", given(PUT("a%2Bb", ten)), source("{bucket}/a+b"), is(200)},
		{"source with an escaped slash", "boto3 escapes with safe='/~', others escape all", src(), source("{bucket}%2Fsrc"), is(200)},
		{"of nothing", doc, given(PUT("src", "")), copied(), is(200, then(GET("k"), is(200, has(""))))},
		{"over an object", doc, append(src(), PUT("k", "old")), copied(), is(200, then(GET("k"), is(200, has(ten))))},
		{"to another bucket", doc, append(src(), PUT("/{none}-2", "")), PUT("/{none}-2/k", "", "x-amz-copy-source", "/{bucket}/src"), is(200, then(GET("/{none}-2/k"), is(200, has(ten))))},
		{"of more than a record holds", doc, given(PUT("src", part5[:3<<20])), copied(), is(200, val("ETag", quoted(part5[:3<<20])), then(GET("k"), is(200, has(part5[:3<<20]))))},
		{"of a multipart object has a plain ETag", doc, given(POST("src?uploads", "").save("id", "UploadId"), PUT("src?partNumber=1&uploadId={id}", ten).save("e1", "ETag"), POST("src?uploadId={id}", named(1))), copied(), is(200, val("ETag", quoted(ten)))},
		{"metadata COPY", doc + ": x-amz-metadata-directive", src(), copied("x-amz-metadata-directive", "COPY", "x-amz-meta-b", "2", "Content-Type", "c/d"), is(200, then(HEAD("k"), is(200, header("Content-Type", "a/b"), header("x-amz-meta-a", "1"), header("x-amz-meta-b", ""))))},
		{"metadata REPLACE", doc + ": x-amz-metadata-directive", src(), copied("x-amz-metadata-directive", "REPLACE", "x-amz-meta-b", "2", "Content-Type", "c/d"), is(200, then(HEAD("k"), is(200, header("Content-Type", "c/d"), header("x-amz-meta-a", ""), header("x-amz-meta-b", "2"))))},
		{"metadata REPLACE with nothing", doc + ": x-amz-metadata-directive", src(), copied("x-amz-metadata-directive", "REPLACE"), is(200, then(HEAD("k"), is(200, header("Content-Type", "binary/octet-stream"), header("x-amz-meta-a", ""))))},
		{"redirect of the source", doc + ": x-amz-website-redirect-location is not copied", given(PUT("src", ten, "x-amz-meta-a", "1", "x-amz-website-redirect-location", "/page")), copied(), is(200, then(HEAD("k"), is(200, header("x-amz-meta-a", "1"), header("x-amz-website-redirect-location", ""))))},
		{"redirect of its own", doc + ": x-amz-website-redirect-location", src(), copied("x-amz-website-redirect-location", "/other"), is(200, then(HEAD("k"), is(200, header("x-amz-meta-a", "1"), header("x-amz-website-redirect-location", "/other"))))},
		{"onto itself with a redirect", doc + ": x-amz-website-redirect-location", src(), self("x-amz-website-redirect-location", "/other"), is(200, then(HEAD("src"), is(200, header("x-amz-meta-a", "1"), header("x-amz-website-redirect-location", "/other"))))},
		{"metadata directive that does not exist", doc + ": InvalidArgument", src(), copied("x-amz-metadata-directive", "MERGE"), fails(400, "InvalidArgument", none)},
		{"tags COPY", doc + ": x-amz-tagging-directive", src(), copied("x-amz-tagging-directive", "COPY"), is(200, then(HEAD("k"), is(200, header("x-amz-tagging-count", "1"))))},
		{"tags REPLACE", doc + ": x-amz-tagging-directive", src(), copied("x-amz-tagging-directive", "REPLACE", "x-amz-tagging", "x=1&y=2"), is(200, then(HEAD("k"), is(200, header("x-amz-tagging-count", "2"))))},
		{"tags REPLACE with nothing", doc + ": x-amz-tagging-directive", src(), copied("x-amz-tagging-directive", "REPLACE"), is(200, then(HEAD("k"), is(200, header("x-amz-tagging-count", ""))))},
		{"tagging directive that does not exist", doc + ": InvalidArgument", src(), copied("x-amz-tagging-directive", "MERGE"), fails(400, "InvalidArgument", none)},
		{"storage class is not copied", doc + ": x-amz-storage-class", src("x-amz-storage-class", "REDUCED_REDUNDANCY"), copied(), is(200, then(HEAD("k"), is(200, header("x-amz-storage-class", ""))))},
		{"storage class", doc + ": x-amz-storage-class", src(), copied("x-amz-storage-class", "REDUCED_REDUNDANCY"), is(200, then(HEAD("k"), is(200, header("x-amz-storage-class", "REDUCED_REDUNDANCY"))))},
		{"storage class that does not exist", "API/ErrorResponses: InvalidStorageClass", src(), copied("x-amz-storage-class", "MARBLE"), fails(400, "InvalidStorageClass", none)},
		{"onto itself", doc + ": InvalidRequest", src(), self(), fails(400, "InvalidRequest")},
		{"onto itself with metadata", doc, src(), self("x-amz-metadata-directive", "REPLACE", "x-amz-meta-b", "2"), is(200, val("ETag", quoted(ten)), then(GET("src"), is(200, has(ten), header("x-amz-meta-a", ""), header("x-amz-meta-b", "2"))))},
		{"onto itself with a storage class", doc, src(), self("x-amz-storage-class", "REDUCED_REDUNDANCY"), is(200, then(GET("src"), is(200, has(ten), header("x-amz-meta-a", "1"), header("x-amz-storage-class", "REDUCED_REDUNDANCY"))))},
		{"onto itself with a checksum", doc, src(), self("x-amz-checksum-algorithm", "SHA256"), is(200, val("ChecksumSHA256", sum("sha256", ten)))},
		{"onto itself, absent", "API/ErrorResponses: NoSuchKey", nil, self("x-amz-metadata-directive", "REPLACE"), fails(404, "NoSuchKey")},
		{"checksum is copied", "UserGuide/checking-object-integrity", src("x-amz-checksum-sha1", sum("sha1", ten)), copied(), is(200, val("ChecksumSHA1", sum("sha1", ten)), val("ChecksumType", "FULL_OBJECT"))},
		{"checksum of another algorithm", doc + ": x-amz-checksum-algorithm", src(), copied("x-amz-checksum-algorithm", "CRC32C"), is(200, val("ChecksumCRC32C", sum("crc32c", ten)))},
		{"checksum of an algorithm that does not exist", doc, src(), copied("x-amz-checksum-algorithm", "MD4"), fails(400, "InvalidRequest", none)},
		{"source absent", "API/ErrorResponses: NoSuchKey", nil, copied(), fails(404, "NoSuchKey", val("Key", "{prefix}src"), none)},
		{"source's bucket absent", "API/ErrorResponses: NoSuchBucket", nil, source("/{none}/src"), fails(404, "NoSuchBucket", val("BucketName", "{none}"))},
		{"source without key", doc + ": InvalidArgument", nil, source("bucket"), fails(400, "InvalidArgument")},
		{"source with an empty key", doc + ": InvalidArgument", nil, source("/bucket/"), fails(400, "InvalidArgument")},
		{"source empty", doc + ": InvalidArgument", withTen(), source(""), fails(400, "InvalidArgument", then(GET("k"), is(200, has(ten))))},
		{"source escaped badly", doc + ": InvalidArgument", nil, source("{bucket}/%zz"), fails(400, "InvalidArgument")},
		{"destination's bucket absent", "API/ErrorResponses: NoSuchBucket", src(), PUT("/{none}/k", "", "x-amz-copy-source", "/{bucket}/src"), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", src(), copied().by(nobody), fails(403, "AccessDenied", none)},
		{"if-match", doc + ": x-amz-copy-source-if-match", src(), copied("x-amz-copy-source-if-match", "{etag}"), is(200)},
		{"if-match of another", doc + ": x-amz-copy-source-if-match", src(), copied("x-amz-copy-source-if-match", absentTag), fails(412, "PreconditionFailed", none)},
		{"if-none-match", doc + ": x-amz-copy-source-if-none-match", src(), copied("x-amz-copy-source-if-none-match", "{etag}"), fails(412, "PreconditionFailed", none)},
		{"if-none-match of another", doc + ": x-amz-copy-source-if-none-match", src(), copied("x-amz-copy-source-if-none-match", absentTag), is(200)},
		{"if-modified-since long ago", doc + ": x-amz-copy-source-if-modified-since", src(), copied("x-amz-copy-source-if-modified-since", longAgo), is(200)},
		{"if-modified-since its date", doc + ": x-amz-copy-source-if-modified-since", src(), copied("x-amz-copy-source-if-modified-since", "{date}"), fails(412, "PreconditionFailed", none)},
		{"if-unmodified-since long ago", doc + ": x-amz-copy-source-if-unmodified-since", src(), copied("x-amz-copy-source-if-unmodified-since", longAgo), fails(412, "PreconditionFailed", none)},
		{"if-unmodified-since its date", doc + ": x-amz-copy-source-if-unmodified-since", src(), copied("x-amz-copy-source-if-unmodified-since", "{date}"), is(200)},
		{"if-match beats if-unmodified-since", doc + ": returns 200 OK", src(), copied("x-amz-copy-source-if-match", "{etag}", "x-amz-copy-source-if-unmodified-since", longAgo), is(200)},
		{"if-none-match beats if-modified-since", doc + ": returns 412", src(), copied("x-amz-copy-source-if-none-match", "{etag}", "x-amz-copy-source-if-modified-since", longAgo), fails(412, "PreconditionFailed", none)},
		{"destination If-None-Match and none there", "UserGuide/conditional-writes", src(), copied("If-None-Match", "*"), is(200)},
		{"destination If-None-Match and one there", "UserGuide/conditional-writes", append(src(), PUT("k", "old")), copied("If-None-Match", "*"), fails(412, "PreconditionFailed", then(GET("k"), is(200, has("old"))))},
		{"destination If-Match", "UserGuide/conditional-writes", append(src(), PUT("k", "old")), copied("If-Match", quoted("old")), is(200, then(GET("k"), is(200, has(ten))))},
		{"destination If-Match of another", "UserGuide/conditional-writes", append(src(), PUT("k", "old")), copied("If-Match", absentTag), fails(412, "PreconditionFailed", then(GET("k"), is(200, has("old"))))},
		{"destination If-Match and none there", "UserGuide/conditional-writes", src(), copied("If-Match", absentTag), fails(404, "NoSuchKey")},
		{"versionId null of the source", doc + ": x-amz-copy-source", src(), source("/{bucket}/src?versionId=null"), is(200)},
		{"versionId of the source that is none", "API/ErrorResponses: InvalidArgument", src(), source("/{bucket}/src?versionId=nonsense"), fails(400, "InvalidArgument", none)},
		{"source's owner as expected", "UserGuide/bucket-owner-condition", src(), copied("x-amz-source-expected-bucket-owner", "{account}"), is(200)},
		{"source's owner not as expected", "UserGuide/bucket-owner-condition", src(), copied("x-amz-source-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied", none)},
		{"source header among a presigned URL's parameters", "API/sigv4-query-string-auth; SDKs hoist headers", src(), PUT("k?x-amz-copy-source={bucket}%2Fsrc", "").presigned(), is(200, then(GET("k"), is(200, has(ten))))},
		{"of a version", doc + ": x-amz-copy-source-version-id", append(versioned("Enabled"), PUT("src", ten).save("v", "x-amz-version-id"), PUT("src", "new")), source("/{bucket}/src?versionId={v}"), is(200, header("x-amz-copy-source-version-id", "{v}"), then(GET("k"), is(200, has(ten))))},
		{"of a delete marker", doc, append(versioned("Enabled"), PUT("src", ten), DELETE("src")), copied(), fails(404, "NoSuchKey")},
		{"of a delete marker by its id", doc + ": InvalidRequest", append(versioned("Enabled"), PUT("src", ten), DELETE("src").save("m", "x-amz-version-id")), source("/{bucket}/src?versionId={m}"), fails(400, "InvalidRequest")},
		{"restores an old version", "UserGuide/RestoringPreviousVersions", append(versioned("Enabled"), PUT("k", ten).save("v", "x-amz-version-id"), PUT("k", "new")), PUT("k", "", "x-amz-copy-source", "/{bucket}/k?versionId={v}"), is(200, headerLike("x-amz-version-id", ".+"), then(GET("k"), is(200, has(ten))))},
	}}
}

// deleting is DeleteObjects of keys that need no escaping.
func deleting(keys ...string) string {
	doc := "<Delete" + ns + ">"
	for _, k := range keys {
		doc += "<Object><Key>" + k + "</Key></Object>"
	}
	return doc + "</Delete>"
}

// deleteMany sends a document with its MD5, as DeleteObjects wants one.
func deleteMany(doc string, header ...string) *request {
	return POST("?delete", doc, append([]string{"x-amz-sdk-checksum-algorithm", "CRC32", "x-amz-checksum-crc32", sum("crc32", doc)}, header...)...)
}

func deleteObjects() group {
	const doc = "API_DeleteObjects"
	entry := func(fields string) string {
		return "<Delete" + ns + "><Object><Key>k</Key>" + fields + "</Object></Delete>"
	}
	gone, there := then(HEAD("k"), fails(404, "")), then(HEAD("k"), is(200))
	tagged := "<ETag>" + hexMD5(ten) + "</ETag>"
	return group{"DeleteObjects", own, []kase{
		{"one", doc, withTen(), deleteMany(deleting("k")), is(200, val("Deleted/Key", "k"), val("Error"), gone)},
		{"some", doc, given(PUT("a", ""), PUT("b", ""), PUT("c", "")), deleteMany(deleting("a", "b")), is(200, val("Deleted/Key", "a", "b"), then(GET(""), is(200, val("Contents/Key", "c"))))},
		{"absent is deleted already", doc, nil, deleteMany(deleting("k")), is(200, val("Deleted/Key", "k"))},
		{"the same twice", doc, withTen(), deleteMany(deleting("k", "k")), is(200, gone)},
		{"quiet", doc + ": Quiet", withTen(), deleteMany("<Delete><Quiet>true</Quiet><Object><Key>k</Key></Object></Delete>"), is(200, val("Deleted"), val("Error"), gone)},
		{"not quiet", doc + ": Quiet", withTen(), deleteMany("<Delete><Object><Key>k</Key></Object><Quiet>false</Quiet></Delete>"), is(200, val("Deleted/Key", "k"))},
		{"1000 keys", doc + ": up to 1000", withTen(), deleteMany("<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", 1000) + "</Delete>"), is(200, gone)},
		{"1001 keys", doc + ": MalformedXML", withTen(), deleteMany("<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", 1001) + "</Delete>"), fails(400, "MalformedXML", there)},
		{"Content-MD5", doc + ": Content-MD5", withTen(), POST("?delete", deleting("k"), "Content-MD5", md5Of(deleting("k"))), is(200, gone)},
		{"SHA256 checksum", doc + ": x-amz-checksum-sha256", withTen(), POST("?delete", deleting("k"), "x-amz-checksum-sha256", sum("sha256", deleting("k"))), is(200, gone)},
		{"checksum in a trailer", "aws-sdk-go-v2 and Java send it so", withTen(), POST("?delete", deleting("k")).streamed(trailing("crc32", deleting("k"))), is(200, gone)},
		{"no checksum at all", doc + ": InvalidRequest, Missing required header", withTen(), POST("?delete", deleting("k")), fails(400, "InvalidRequest", there)},
		{"Content-MD5 of something else", "API/ErrorResponses: BadDigest", withTen(), POST("?delete", deleting("k"), "Content-MD5", md5Of("other")), fails(400, "BadDigest", there)},
		{"checksum of something else", "API/ErrorResponses: BadDigest", withTen(), POST("?delete", deleting("k"), "x-amz-checksum-crc32", sum("crc32", "other")), fails(400, "BadDigest", there)},
		{"key with entities", "UserGuide/object-keys: XML", given(PUT("%3Ca%3E%26%22b%22'", "")), deleteMany(deleting("&lt;a&gt;&amp;&quot;b&quot;&apos;")), is(200, val("Deleted/Key", `<a>&"b"'`), then(GET(""), is(200, val("Contents"))))},
		{"key with a carriage return", "UserGuide/object-keys: &#13;", given(PUT("a%0Db", "")), deleteMany(deleting("a&#13;b")), is(200, then(GET(""), is(200, val("Contents"))))},
		{"key with a newline", "UserGuide/object-keys: &#10;", given(PUT("a%0Ab", "")), deleteMany(deleting("a&#10;b")), is(200, then(GET(""), is(200, val("Contents"))))},
		{"key with a tab", "UserGuide/object-keys", given(PUT("a%09b", "")), deleteMany(deleting("a&#9;b")), is(200, then(GET(""), is(200, val("Contents"))))},
		{"key with a control character", "UserGuide/object-keys; botocore sends &#x1;", given(PUT("a%01b", "")), deleteMany(deleting("a&#x1;b")), is(200, val("Deleted/Key", "a\x01b"), then(GET(""), is(200, val("Contents"))))},
		{"key with spaces around", doc, given(PUT("%20k%20", "")), deleteMany(deleting(" k ")), is(200, val("Deleted/Key", " k "), then(GET(""), is(200, val("Contents"))))},
		{"key with an emoji", "UserGuide/object-keys", given(PUT("%F0%9F%98%80", "")), deleteMany(deleting("😀")), is(200, val("Deleted/Key", "😀"), then(GET(""), is(200, val("Contents"))))},
		{"key too long", "API/ErrorResponses: KeyTooLongError", withTen(), deleteMany(deleting(strings.Repeat("k", 1025), "k")), is(200, val("Error/Code", "KeyTooLongError"), val("Deleted/Key", "k"), gone)},
		{"key empty", "API/ErrorResponses: UserKeyMustBeSpecified", nil, deleteMany(deleting("")), is(200, val("Error/Code", "UserKeyMustBeSpecified"))},
		{"no object", "API/ErrorResponses: MalformedXML", nil, deleteMany(deleting()), fails(400, "MalformedXML")},
		{"no document", "API/ErrorResponses: MalformedXML", nil, deleteMany(""), fails(400, "MalformedXML")},
		{"not XML", "API/ErrorResponses: MalformedXML", withTen(), deleteMany("k"), fails(400, "MalformedXML", there)},
		{"another root", "API/ErrorResponses: MalformedXML", withTen(), deleteMany("<Remove><Object><Key>k</Key></Object></Remove>"), fails(400, "MalformedXML", there)},
		{"a doctype", "API/ErrorResponses: MalformedXML", withTen(), deleteMany(`<!DOCTYPE d [<!ENTITY e "k">]>` + deleting("&e;")), fails(400, "MalformedXML", there)},
		{"too deep", "API/ErrorResponses: MalformedXML", withTen(), deleteMany("<Delete>" + strings.Repeat("<a>", 50) + strings.Repeat("</a>", 50) + "</Delete>"), fails(400, "MalformedXML", there)},
		{"cut short", "API/ErrorResponses: MalformedXML", withTen(), deleteMany("<Delete><Object><Key>k</Key></Object>"), fails(400, "MalformedXML", there)},
		{"byte order mark", "XML 1.0, 4.3.3", withTen(), deleteMany("\ufeff" + deleting("k")), is(200, gone)},
		{"ETag", doc + ": ETag", withTen(), deleteMany(entry(tagged)), is(200, val("Deleted/Key", "k"), gone)},
		{"ETag that is empty", doc + ": ETag", withTen(), deleteMany(entry(`<ETag>""</ETag>`)), is(200, val("Error/Code", "PreconditionFailed"), val("Error/Key", "k"), there)},
		{"ETag of another", doc + ": ETag", withTen(), deleteMany(entry("<ETag>" + absentTag + "</ETag>")), is(200, val("Error/Code", "PreconditionFailed"), val("Error/Key", "k"), there)},
		{"size", doc + ": Size", withTen(), deleteMany(entry("<Size>10</Size>")), is(200, val("Deleted/Key", "k"), gone)},
		{"size of another", doc + ": Size", withTen(), deleteMany(entry("<Size>11</Size>")), is(200, val("Error/Code", "PreconditionFailed"), there)},
		{"LastModifiedTime", doc + ": LastModifiedTime", withTen(), deleteMany(entry("<LastModifiedTime>Thu, 01 Dec 1994 16:00:00 GMT</LastModifiedTime>")), is(200, val("Error/Code", "PreconditionFailed"), there)},
		{"a version", doc + ": VersionId", append(versioned("Enabled"), PUT("k", ten)), deleteMany(entry("<VersionId>null</VersionId>")), is(200, val("Deleted/VersionId", "null"), there)},
		{"makes delete markers", doc + ": DeleteMarker", append(versioned("Enabled"), PUT("k", ten)), deleteMany(deleting("k")), is(200, val("Deleted/DeleteMarker", "true"), count("Deleted/DeleteMarkerVersionId", 1), gone)},
		{"a version that is none", "API/ErrorResponses: NoSuchVersion", withTen(), deleteMany(entry("<VersionId>nonsense</VersionId>")), is(200, val("Error/Code", "NoSuchVersion"), there)},
		{"bucket absent", "API/ErrorResponses: NoSuchBucket", nil, POST("/{none}?delete", deleting("k"), "Content-MD5", md5Of(deleting("k"))), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", withTen(), deleteMany(deleting("k")).by(nobody), fails(403, "AccessDenied", there)},
		{"a user without permissions", "UserGuide/security_iam_service-with-iam: each key has an error", append(newUser(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`), withTen()...), deleteMany(deleting("k")).by(user), is(200, val("Error/Code", "AccessDenied"), there)},
		{"owner not as expected", "UserGuide/bucket-owner-condition", withTen(), deleteMany(deleting("k"), "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied", there)},
	}}
}
