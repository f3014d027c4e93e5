package s3

import (
	"fmt"
	"strings"
)

func objectGroups() []group {
	return []group{putObject(), writeConditions(), getObject(), ranges(), readConditions(), headObject(), deleteObject(), keys()}
}

const (
	ten       = "0123456789"
	longAgo   = "Thu, 01 Dec 1994 16:00:00 GMT"
	absentTag = `"00000000000000000000000000000000"`
)

// withTen is a bucket with the object k.
func withTen() []*request {
	return given(PUT("k", ten).save("etag", "ETag"), HEAD("k").save("date", "Last-Modified"))
}

func putObject() group {
	const doc = "API_PutObject"
	kept := func(name, value string) kase {
		return kase{"keeps " + name, doc + ": " + name, nil, PUT("k", "x", name, value), is(200, then(HEAD("k"), is(200, header(name, value))))}
	}
	unchanged := then(GET("k"), is(200, has(ten)))
	none := then(HEAD("k"), fails(404, ""))
	return group{"PutObject", shared, []kase{
		{"plain", doc, nil, PUT("k", ten), is(200, header("ETag", quoted(ten)), header("Content-Length", "0"), then(GET("k"), is(200, has(ten))))},
		{"empty", doc, nil, PUT("k", ""), is(200, header("ETag", quoted("")), then(GET("k"), is(200, has(""), header("Content-Length", "0"))))},
		{"overwrites", doc, withTen(), PUT("k", "new"), is(200, then(GET("k"), is(200, has("new"))))},
		{"just more than a record holds", doc, nil, PUT("k", strings.Repeat("x", 2049)), is(200, then(GET("k"), is(200, has(strings.Repeat("x", 2049)))))},
		{"1 MiB and a byte", doc, nil, PUT("k", strings.Repeat("y", 1<<20+1)), is(200, header("ETag", quoted(strings.Repeat("y", 1<<20+1))), then(GET("k"), is(200, has(strings.Repeat("y", 1<<20+1)))))},
		{"default content type", doc + ": Content-Type", nil, PUT("k", "x"), is(200, then(HEAD("k"), is(200, header("Content-Type", "binary/octet-stream"))))},
		kept("Content-Type", "text/plain; charset=utf-8"), kept("Cache-Control", "max-age=60"), kept("Content-Disposition", `attachment; filename="a.txt"`),
		kept("Content-Encoding", "gzip"), kept("Content-Language", "de-DE"), kept("Expires", "Thu, 01 Dec 2094 16:00:00 GMT"),
		kept("x-amz-meta-name", "value"), kept("x-amz-meta-with-dashes_and_underscores", "1"), kept("x-amz-meta-comma", "a, b"), kept("x-amz-meta-empty", ""),
		{"metadata names are lower case", "UserGuide/UsingMetadata", nil, PUT("k", "x", "X-Amz-Meta-UPPER", "Value"), is(200, then(HEAD("k"), is(200, header("x-amz-meta-upper", "Value"))))},
		{"metadata given twice is joined", "UserGuide/UsingMetadata", nil, PUT("k", "x", "x-amz-meta-a", "1", "x-amz-meta-a", "2"), is(200, then(HEAD("k"), is(200, header("x-amz-meta-a", "1,2"))))},
		{"metadata of 2 KB", "UserGuide/UsingMetadata: 2 KB", nil, PUT("k", "x", "x-amz-meta-a", strings.Repeat("x", 2047)), is(200)},
		{"metadata of more than 2 KB", "API/ErrorResponses: MetadataTooLarge", nil, PUT("k", "x", "x-amz-meta-a", strings.Repeat("x", 2048)), fails(400, "MetadataTooLarge", none)},
		{"metadata replaced by an overwrite", "UserGuide/UsingMetadata", given(PUT("k", "x", "x-amz-meta-a", "1")), PUT("k", "x"), is(200, then(HEAD("k"), is(200, header("x-amz-meta-a", ""))))},
		{"redirect to a page", doc + ": x-amz-website-redirect-location", nil, PUT("k", "x", "x-amz-website-redirect-location", "/page"), is(200, then(GET("k"), is(200, has("x"), header("x-amz-website-redirect-location", "/page"))), then(HEAD("k"), is(200, header("x-amz-website-redirect-location", "/page"))))},
		{"redirect to another site", doc + ": x-amz-website-redirect-location", nil, PUT("k", "x", "x-amz-website-redirect-location", "https://example.com/"), is(200, then(HEAD("k"), is(200, header("x-amz-website-redirect-location", "https://example.com/"))))},
		{"redirect to neither", "UserGuide/how-to-page-redirect: prefixed with /, http:// or https://", nil, PUT("k", "x", "x-amz-website-redirect-location", "ftp://example.com/"), fails(400, "InvalidRedirectLocation", none)},
		{"aws-chunked is no coding of the object", "API/sigv4-streaming", nil, PUT("k", "x", "Content-Encoding", "gzip").streamed(signedChunks), is(200, then(HEAD("k"), is(200, header("Content-Encoding", "gzip"))))},
		{"storage class STANDARD is not shown", doc + ": x-amz-storage-class", nil, PUT("k", "x", "x-amz-storage-class", "STANDARD"), is(200, then(HEAD("k"), is(200, header("x-amz-storage-class", ""))))},
		{"storage class REDUCED_REDUNDANCY", doc + ": x-amz-storage-class", nil, PUT("k", "x", "x-amz-storage-class", "REDUCED_REDUNDANCY"), is(200, then(HEAD("k"), is(200, header("x-amz-storage-class", "REDUCED_REDUNDANCY"))))},
		{"storage class that does not exist", "API/ErrorResponses: InvalidStorageClass", nil, PUT("k", "x", "x-amz-storage-class", "MARBLE"), fails(400, "InvalidStorageClass", none)},
		{"Content-MD5", doc + ": Content-MD5", nil, PUT("k", ten, "Content-MD5", md5Of(ten)), is(200)},
		{"Content-MD5 of something else", "API/ErrorResponses: BadDigest", withTen(), PUT("k", "new", "Content-MD5", md5Of("other")), fails(400, "BadDigest", unchanged)},
		{"Content-MD5 not base64", "API/ErrorResponses: InvalidDigest", nil, PUT("k", ten, "Content-MD5", "!!"), fails(400, "InvalidDigest", none)},
		{"Content-MD5 too short", "API/ErrorResponses: InvalidDigest", nil, PUT("k", ten, "Content-MD5", "AAAA"), fails(400, "InvalidDigest", none)},
		{"Content-MD5 empty", "API/ErrorResponses: InvalidDigest", nil, PUT("k", ten, "Content-MD5", ""), fails(400, "InvalidDigest", none)},
		{"x-amz-content-sha256 of something else", "API/ErrorResponses: XAmzContentSHA256Mismatch", withTen(), PUT("k", "new", "x-amz-content-sha256", digestOf([]byte("other"))), fails(400, "XAmzContentSHA256Mismatch", unchanged)},
		{"UNSIGNED-PAYLOAD", "API/sig-v4-header-based-auth", nil, PUT("k", ten, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"), is(200, unchanged)},
		{"no Content-Length", "API/ErrorResponses: MissingContentLength", withTen(), PUT("k", "").onWire(func(head string) string { return head + "\r\n" }), fails(411, "MissingContentLength", unchanged)},
		{"chunked without length", "API/ErrorResponses: MissingContentLength", nil, PUT("k", ten, "x-amz-content-sha256", "UNSIGNED-PAYLOAD").onWire(func(head string) string {
			return head + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"
		}), fails(411, "MissingContentLength", none)},
		{"Expect: 100-continue", "API/RESTCommonRequestHeaders: Expect", nil, PUT("k", ten, "Expect", "100-continue"), is(200, unchanged)},
		{"Expect: 100-continue and an empty body", "API/RESTCommonRequestHeaders: Expect; botocore sends it", nil, PUT("k", "", "Expect", "100-continue"), is(200)},
		{"Expect: 100-continue, refused before the body", "API/RESTCommonRequestHeaders: Expect", withTen(), PUT("k", "new", "Expect", "100-continue").changed(spoil), fails(403, "SignatureDoesNotMatch", unchanged)},
		{"bucket absent", "API/ErrorResponses: NoSuchBucket", nil, PUT("/{none}/k", "x"), fails(404, "NoSuchBucket", val("BucketName", "{none}"))},
		{"anonymous", "API/ErrorResponses: AccessDenied", withTen(), PUT("k", "new").by(nobody), fails(403, "AccessDenied", unchanged)},
		{"key of 1025 bytes", "API/ErrorResponses: KeyTooLongError", nil, PUT(strings.Repeat("k", 1025), "x"), fails(400, "KeyTooLongError", val("MaxSizeAllowed", "1024"))},
		{"key that is not UTF-8", "UserGuide/object-keys", nil, PUT("%ff%fe", "x"), fails(400, "InvalidURI")},
		{"versionId", doc, withTen(), PUT("k?versionId=null", "new"), fails(400, "InvalidArgument", unchanged)},
		{"a sub-resource without PUT", "API/ErrorResponses: MethodNotAllowed", withTen(), PUT("k?torrent", "new"), fails(405, "MethodNotAllowed", unchanged)},
		{"partNumber without uploadId", "API_UploadPart", withTen(), PUT("k?partNumber=1", "new"), fails(405, "MethodNotAllowed", unchanged)},
		{"owner not as expected", "UserGuide/bucket-owner-condition", withTen(), PUT("k", "new", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied", unchanged)},
		{"owner as expected", "UserGuide/bucket-owner-condition", nil, PUT("k", "new", "x-amz-expected-bucket-owner", "{account}"), is(200)},
		{"tags of the system's", "UserGuide/object-tagging: aws: is reserved", nil, PUT("k", "x", "x-amz-tagging", "aws:a=1"), fails(400, "InvalidTag", then(GET("k"), fails(404, "NoSuchKey")))},
		{"tags", doc + ": x-amz-tagging", nil, PUT("k", "x", "x-amz-tagging", "a=1&b=two%20words"), is(200, then(HEAD("k"), is(200, header("x-amz-tagging-count", "2"))), then(GET("k?tagging"), is(200, val("TagSet/Tag/Value", "1", "two words"))))},
		{"11 tags", "UserGuide/object-tagging: 10 at most", nil, PUT("k", "x", "x-amz-tagging", "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1"), fails(400, "BadRequest", none)},
		{"a tag twice", "open-io/swift3#92 has AWS's answer to it: InvalidArgument", nil, PUT("k", "x", "x-amz-tagging", "a=1&a=2"), fails(400, "InvalidArgument", val("ArgumentName", "x-amz-tagging"), none)},
		{"a tag without a key", "versity/versitygw#1215 has AWS's answer to it: InvalidArgument", nil, PUT("k", "x", "x-amz-tagging", "=1"), fails(400, "InvalidArgument", none)},
		{"a tag's key of 129 characters", "API/ErrorResponses: InvalidTag", nil, PUT("k", "x", "x-amz-tagging", strings.Repeat("k", 129)+"=1"), fails(400, "InvalidTag", none)},
		{"a tag's value of 257 characters", "API/ErrorResponses: InvalidTag", nil, PUT("k", "x", "x-amz-tagging", "a="+strings.Repeat("v", 257)), fails(400, "InvalidTag", none)},
		{"canned ACL private", "UserGuide/about-object-ownership; AWS refuses it, and some tools always send it", nil, PUT("k", "x", "x-amz-acl", "private"), is(200)},
		{"canned ACL bucket-owner-full-control", "UserGuide/about-object-ownership", nil, PUT("k", "x", "x-amz-acl", "bucket-owner-full-control"), is(200)},
		{"canned ACL with ACLs disabled", "UserGuide/about-object-ownership: AccessControlListNotSupported", nil, PUT("k", "x", "x-amz-acl", "public-read"), fails(400, "AccessControlListNotSupported", none)},
		{"canned ACL that does not exist", doc + ": x-amz-acl", nil, PUT("k", "x", "x-amz-acl", "public-everything"), fails(400, "InvalidArgument", none)},
		{"object lock without a locked bucket", "UserGuide/object-lock-configure: InvalidRequest", nil, PUT("k", "x", "x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", "2094-12-01T16:00:00Z"), fails(400, "InvalidRequest", none)},
		{"presigned", "API/sigv4-query-string-auth", nil, PUT("k", ten).presigned(), is(200, unchanged)},
	}}
}

func writeConditions() group {
	const doc = "UserGuide/conditional-writes"
	unchanged := then(GET("k"), is(200, has(ten)))
	return group{"ConditionalWrites", shared, []kase{
		{"If-None-Match * and none there", doc, nil, PUT("k", ten, "If-None-Match", "*"), is(200, unchanged)},
		{"If-None-Match * and one there", doc, withTen(), PUT("k", "new", "If-None-Match", "*"), fails(412, "PreconditionFailed", val("Condition", "If-None-Match"), unchanged)},
		{"If-None-Match * after a deletion", doc, append(withTen(), DELETE("k")), PUT("k", "new", "If-None-Match", "*"), is(200)},
		{"If-None-Match of a tag", doc + ": expects *", withTen(), PUT("k", "new", "If-None-Match", absentTag), fails(501, "NotImplemented", unchanged)},
		{"If-Match", doc, withTen(), PUT("k", "new", "If-Match", "{etag}"), is(200, then(GET("k"), is(200, has("new"))))},
		{"If-Match without quotes", doc + "; botocore sends what the user gave", withTen(), PUT("k", "new", "If-Match", hexMD5(ten)), is(200)},
		{"If-Match of another", doc, withTen(), PUT("k", "new", "If-Match", absentTag), fails(412, "PreconditionFailed", val("Condition", "If-Match"), unchanged)},
		{"If-Match of an empty tag", doc, withTen(), PUT("k", "new", "If-Match", `""`), fails(412, "PreconditionFailed", unchanged)},
		{"If-Match and none there", doc + ": 404", nil, PUT("k", "new", "If-Match", absentTag), fails(404, "NoSuchKey", val("Key", "{prefix}k"))},
		{"If-Match and If-None-Match", doc, withTen(), PUT("k", "new", "If-Match", "{etag}", "If-None-Match", "*"), fails(412, "PreconditionFailed", unchanged)},
		{"If-Modified-Since", "API/ErrorResponses: NotImplemented", withTen(), PUT("k", "new", "If-Modified-Since", longAgo), fails(501, "NotImplemented", unchanged)},
		{"If-Unmodified-Since", "API/ErrorResponses: NotImplemented", withTen(), PUT("k", "new", "If-Unmodified-Since", longAgo), fails(501, "NotImplemented", unchanged)},
		{"a wrong digest and a wrong tag", doc, withTen(), PUT("k", "new", "If-Match", absentTag, "Content-MD5", "!!"), fails(400, "InvalidDigest", unchanged)},
		{"If-Match after the overwrite", doc, append(withTen(), PUT("k", "second")), PUT("k", "third", "If-Match", "{etag}"), fails(412, "PreconditionFailed", then(GET("k"), is(200, has("second"))))},
	}}
}

func getObject() group {
	const doc = "API_GetObject"
	override := func(param, value, name, shown string) kase {
		return kase{param, doc + ": " + param, given(PUT("k", ten, "Content-Type", "a/b")), GET("k?" + param + "=" + value), is(200, has(ten), header(name, shown))}
	}
	return group{"GetObject", shared, []kase{
		{"plain", doc, withTen(), GET("k"), is(200, has(ten), header("ETag", quoted(ten)), header("Accept-Ranges", "bytes"), header("Content-Length", "10"), header("Content-Range", ""), header("x-amz-version-id", ""))},
		{"Last-Modified", doc, withTen(), GET("k"), is(200, headerLike("Last-Modified", `^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$`), header("Last-Modified", "{date}"))},
		{"absent", doc + ": NoSuchKey", nil, GET("k"), fails(404, "NoSuchKey", val("Key", "{prefix}k"))},
		{"bucket absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}/k"), fails(404, "NoSuchBucket")},
		{"deleted", doc, append(withTen(), DELETE("k")), GET("k"), fails(404, "NoSuchKey")},
		{"anonymous", "API/ErrorResponses: AccessDenied", withTen(), GET("k").by(nobody), fails(403, "AccessDenied")},
		{"anonymous and absent", "API/ErrorResponses: AccessDenied; who may not list learns nothing", nil, GET("k").by(nobody), fails(403, "AccessDenied")},
		{"a user without permissions", "UserGuide/security_iam_service-with-iam", append(newUser(""), withTen()...), GET("k").by(user), fails(403, "AccessDenied")},
		{"another account", "UserGuide/about-object-ownership", withTen(), GET("k").by(other), fails(403, "AccessDenied")},
		{"presigned", "API/sigv4-query-string-auth", withTen(), GET("k").presigned(), is(200, has(ten))},
		override("response-content-type", "x%2Fy", "Content-Type", "x/y"), override("response-cache-control", "no-store", "Cache-Control", "no-store"),
		override("response-content-disposition", "attachment%3B%20filename%3Da", "Content-Disposition", "attachment; filename=a"), override("response-content-language", "fr", "Content-Language", "fr"),
		override("response-content-encoding", "br", "Content-Encoding", "br"), override("response-expires", "Thu%2C%2001%20Dec%201994%2016%3A00%3A00%20GMT", "Expires", longAgo),
		{"override, anonymous", doc + ": only for signed requests", append(withTen(), PUT("?policy", allow("*", "s3:GetObject", "/*"))), GET("k?response-content-type=a%2Fb").by(nobody), fails(400, "InvalidRequest")},
		{"unknown parameter", "boto3 event hooks add x-id", withTen(), GET("k?x-id=GetObject"), is(200, has(ten))},
		{"versionId null", doc + ": versionId", withTen(), GET("k?versionId=null"), is(200, has(ten))},
		{"versionId that is none", "API/ErrorResponses: InvalidArgument, Invalid version id specified", withTen(), GET("k?versionId=nonsense"), fails(400, "InvalidArgument")},
		{"versionId empty", "API/ErrorResponses: InvalidArgument, Version id cannot be the empty string", withTen(), GET("k?versionId="), fails(400, "InvalidArgument")},
		{"partNumber 1 of a plain object", doc + ": partNumber", withTen(), GET("k?partNumber=1"), is(206, has(ten), header("Content-Range", "bytes 0-9/10"), header("x-amz-mp-parts-count", ""))},
		{"partNumber 2 of a plain object", "API/ErrorResponses: InvalidPartNumber", withTen(), GET("k?partNumber=2"), fails(416, "InvalidPartNumber")},
		{"partNumber 0", doc + ": partNumber, 1 to 10000", withTen(), GET("k?partNumber=0"), fails(400, "InvalidArgument")},
		{"partNumber 10001", doc + ": partNumber, 1 to 10000", withTen(), GET("k?partNumber=10001"), fails(400, "InvalidArgument")},
		{"partNumber no number", doc + ": partNumber", withTen(), GET("k?partNumber=one"), fails(400, "InvalidArgument")},
		{"partNumber and Range", "API/ErrorResponses: InvalidRequest", withTen(), GET("k?partNumber=1", "Range", "bytes=0-1"), fails(400, "InvalidRequest")},
		{"owner as expected", "UserGuide/bucket-owner-condition", withTen(), GET("k", "x-amz-expected-bucket-owner", "{account}"), is(200)},
		{"owner not as expected", "UserGuide/bucket-owner-condition", withTen(), GET("k", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
		{"an escaped slash is a slash", "RFC 3986, as S3's signature has it", given(PUT("a/b", ten)), GET("a%2Fb"), is(200, has(ten))},
		{"method that is none", "API/ErrorResponses: MethodNotAllowed", withTen(), do("PATCH", "k", "", nil), fails(405, "MethodNotAllowed", val("Method", "PATCH"), val("ResourceType", "OBJECT"))},
	}}
}

func ranges() group {
	const doc = "API_GetObject: Range; RFC 9110, 14"
	g := group{name: "Ranges", buckets: shared}
	for _, c := range []struct{ spec, body, shown string }{
		{"bytes=0-0", "0", "0-0"}, {"bytes=0-3", "0123", "0-3"}, {"bytes=2-4", "234", "2-4"}, {"bytes=9-9", "9", "9-9"}, {"bytes=3-", "3456789", "3-9"},
		{"bytes=0-", ten, "0-9"}, {"bytes=8-100", "89", "8-9"}, {"bytes=-1", "9", "9-9"}, {"bytes=-3", "789", "7-9"}, {"bytes=-10", ten, "0-9"},
		{"bytes=-100", ten, "0-9"}, {"bytes=0-9", ten, "0-9"}, {"bytes=5-18446744073709551616", "56789", "5-9"},
	} {
		g.cases = append(g.cases,
			kase{c.spec, doc, withTen(), GET("k", "Range", c.spec), is(206, has(c.body), header("Content-Range", "bytes "+c.shown+"/10"), header("Content-Length", itoa(len(c.body))), header("ETag", "{etag}"))})
	}
	for _, spec := range []string{"bytes=10-", "bytes=10-11", "bytes=100-200", "bytes=-0"} {
		g.cases = append(g.cases, kase{spec + " of ten", "API/ErrorResponses: InvalidRange", withTen(), GET("k", "Range", spec), fails(416, "InvalidRange", val("RangeRequested", spec), val("ActualObjectSize", "10"))})
	}
	for _, spec := range []string{"bytes=4-2", "bytes=a-b", "bytes=", "bytes=-", "lines=0-1", "0-1", "bytes=0-1,3-4", "bytes 0-1"} {
		g.cases = append(g.cases, kase{spec + " is ignored", doc + ", 14.2; S3 gives several ranges whole", withTen(), GET("k", "Range", spec), is(200, has(ten), header("Content-Range", ""))})
	}
	g.cases = append(g.cases,
		kase{"of nothing", "API/ErrorResponses: InvalidRange", given(PUT("k", "")), GET("k", "Range", "bytes=0-0"), fails(416, "InvalidRange")},
		kase{"suffix of nothing", "API/ErrorResponses: InvalidRange", given(PUT("k", "")), GET("k", "Range", "bytes=-1"), fails(416, "InvalidRange")},
		kase{"across stripes", doc, given(PUT("k", strings.Repeat(ten, 300_000))), GET("k", "Range", "bytes=1048570-1048589"), is(206, has(strings.Repeat(ten, 3)[0:20]), header("Content-Range", "bytes 1048570-1048589/3000000"))},
		kase{"no checksum of the whole", "UserGuide/checking-object-integrity", withTen(), GET("k", "Range", "bytes=0-1", "x-amz-checksum-mode", "ENABLED"), is(206, header("x-amz-checksum-crc64nvme", ""))},
		kase{"If-Range holds", "RFC 9110, 13.1.5", withTen(), GET("k", "Range", "bytes=0-1", "If-Range", "{etag}"), is(206, has("01"))},
		kase{"If-Range does not hold", "RFC 9110, 13.1.5", withTen(), GET("k", "Range", "bytes=0-1", "If-Range", absentTag), is(200, has(ten))},
		kase{"If-Range of a date", "RFC 9110, 13.1.5", withTen(), GET("k", "Range", "bytes=0-1", "If-Range", "{date}"), is(206, has("01"))},
		kase{"If-Range of another date", "RFC 9110, 13.1.5", withTen(), GET("k", "Range", "bytes=0-1", "If-Range", longAgo), is(200, has(ten))},
		kase{"a condition before the range", "RFC 9110, 13.2.2", withTen(), GET("k", "Range", "bytes=100-", "If-Match", absentTag), fails(412, "PreconditionFailed")},
		kase{"304 before the range", "RFC 9110, 13.2.2", withTen(), GET("k", "Range", "bytes=100-", "If-None-Match", "{etag}"), is(304, has(""))},
		kase{"HEAD", "API_HeadObject: Range", withTen(), HEAD("k", "Range", "bytes=2-4"), is(206, header("Content-Length", "3"), header("Content-Range", "bytes 2-4/10"))},
		kase{"HEAD past the end", "API_HeadObject: Range", withTen(), HEAD("k", "Range", "bytes=10-"), fails(416, "")},
		kase{"override with a range", "API_GetObject: response-content-type", withTen(), GET("k?response-content-type=a%2Fb", "Range", "bytes=0-1"), is(206, has("01"), header("Content-Type", "a/b"))},
	)
	return g
}

// readConditions are tried on GET and HEAD alike.
func readConditions() group {
	const doc = "UserGuide/conditional-reads; RFC 9110, 13.2.2"
	g := group{name: "ConditionalReads", buckets: shared}
	for _, c := range []struct {
		name   string
		status int
		header []string
	}{
		{"If-Match", 200, []string{"If-Match", "{etag}"}},
		{"If-Match without quotes", 200, []string{"If-Match", hexMD5(ten)}},
		{"If-Match *", 200, []string{"If-Match", "*"}},
		{"If-Match one of several", 200, []string{"If-Match", absentTag + ", {etag}"}},
		{"If-Match of another", 412, []string{"If-Match", absentTag}},
		{"If-None-Match", 304, []string{"If-None-Match", "{etag}"}},
		{"If-None-Match weak", 304, []string{"If-None-Match", "W/{etag}"}},
		{"If-None-Match *", 304, []string{"If-None-Match", "*"}},
		{"If-None-Match one of several", 304, []string{"If-None-Match", absentTag + ",{etag}"}},
		{"If-None-Match of another", 200, []string{"If-None-Match", absentTag}},
		{"If-Modified-Since long ago", 200, []string{"If-Modified-Since", longAgo}},
		{"If-Modified-Since its own date", 304, []string{"If-Modified-Since", "{date}"}},
		{"If-Modified-Since no date", 200, []string{"If-Modified-Since", "yesterday"}},
		{"If-Unmodified-Since long ago", 412, []string{"If-Unmodified-Since", longAgo}},
		{"If-Unmodified-Since its own date", 200, []string{"If-Unmodified-Since", "{date}"}},
		{"If-Unmodified-Since no date", 200, []string{"If-Unmodified-Since", "yesterday"}},
		{"If-Match beats If-Unmodified-Since", 200, []string{"If-Match", "{etag}", "If-Unmodified-Since", longAgo}},
		{"If-None-Match beats If-Modified-Since", 304, []string{"If-None-Match", "{etag}", "If-Modified-Since", longAgo}},
		{"If-None-Match of another beats If-Modified-Since", 200, []string{"If-None-Match", absentTag, "If-Modified-Since", "{date}"}},
		{"If-Match comes before If-None-Match", 412, []string{"If-Match", absentTag, "If-None-Match", "{etag}"}},
		{"If-Match holds and If-None-Match does not", 304, []string{"If-Match", "{etag}", "If-None-Match", "{etag}"}},
		{"If-Unmodified-Since comes before If-None-Match", 412, []string{"If-Unmodified-Since", longAgo, "If-None-Match", "{etag}"}},
	} {
		var get want
		switch c.status {
		case 200:
			get = is(200, has(ten))
		case 304:
			get = is(304, has(""), header("ETag", "{etag}"))
		default:
			get = fails(412, "PreconditionFailed", val("Condition", strings.SplitN(c.name, " ", 2)[0]))
		}
		g.cases = append(g.cases, kase{"GET " + c.name, doc, withTen(), GET("k", c.header...), get}, kase{"HEAD " + c.name, doc, withTen(), HEAD("k", c.header...), fails(c.status, "")})
	}
	g.cases = append(g.cases,
		kase{"GET If-Match and none there", doc, nil, GET("k", "If-Match", "*"), fails(404, "NoSuchKey")},
		kase{"GET If-None-Match and none there", doc, nil, GET("k", "If-None-Match", "*"), fails(404, "NoSuchKey")},
	)
	return g
}

func headObject() group {
	const doc = "API_HeadObject"
	return group{"HeadObject", shared, []kase{
		{"plain", doc, withTen(), HEAD("k"), is(200, header("Content-Length", "10"), header("ETag", quoted(ten)), header("Accept-Ranges", "bytes"))},
		{"absent", doc, nil, HEAD("k"), fails(404, "")},
		{"bucket absent", doc, nil, HEAD("/{none}/k"), fails(404, "")},
		{"anonymous", doc, withTen(), HEAD("k").by(nobody), fails(403, "")},
		{"presigned", "API/sigv4-query-string-auth", withTen(), HEAD("k").presigned(), is(200)},
		{"partNumber", doc + ": partNumber", withTen(), HEAD("k?partNumber=1"), is(206, header("Content-Length", "10"), header("Content-Range", "bytes 0-9/10"))},
		{"partNumber absent", doc + ": partNumber", withTen(), HEAD("k?partNumber=2"), fails(416, "")},
		{"partNumber and Range", doc, withTen(), HEAD("k?partNumber=1", "Range", "bytes=0-0"), fails(400, "")},
		{"override", doc + ": response-content-type", withTen(), HEAD("k?response-content-type=a%2Fb"), is(200, header("Content-Type", "a/b"))},
		{"checksum", doc + ": x-amz-checksum-mode", withTen(), HEAD("k", "x-amz-checksum-mode", "ENABLED"), is(200, header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)), header("x-amz-checksum-type", "FULL_OBJECT"))},
		{"no checksum unasked", doc + ": x-amz-checksum-mode", withTen(), HEAD("k"), is(200, header("x-amz-checksum-crc64nvme", ""))},
		{"owner not as expected", "UserGuide/bucket-owner-condition", withTen(), HEAD("k", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "")},
		{"versionId that is none", doc + ": versionId", withTen(), HEAD("k?versionId=nonsense"), fails(400, "")},
	}}
}

func deleteObject() group {
	const doc, conditional = "API_DeleteObject", "UserGuide/conditional-deletes"
	gone, unchanged := then(HEAD("k"), fails(404, "")), then(GET("k"), is(200, has(ten)))
	return group{"DeleteObject", shared, []kase{
		{"plain", doc, withTen(), DELETE("k"), is(204, header("x-amz-delete-marker", ""), gone)},
		{"absent is deleted already", doc, nil, DELETE("k"), is(204)},
		{"twice", doc, append(withTen(), DELETE("k")), DELETE("k"), is(204)},
		{"not what begins alike", doc, given(PUT("k", ten), PUT("k/below", ten)), DELETE("k"), is(204, then(HEAD("k/below"), is(200)))},
		{"bucket absent", "API/ErrorResponses: NoSuchBucket", nil, DELETE("/{none}/k"), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", withTen(), DELETE("k").by(nobody), fails(403, "AccessDenied", unchanged)},
		{"presigned", "API/sigv4-query-string-auth", withTen(), DELETE("k").presigned(), is(204, gone)},
		{"If-Match", conditional, withTen(), DELETE("k", "If-Match", "{etag}"), is(204, gone)},
		{"If-Match *", conditional, withTen(), DELETE("k", "If-Match", "*"), is(204, gone)},
		{"If-Match of another", conditional, withTen(), DELETE("k", "If-Match", absentTag), fails(412, "PreconditionFailed", unchanged)},
		{"If-Match * and none there", conditional, nil, DELETE("k", "If-Match", "*"), fails(412, "PreconditionFailed")},
		{"size as expected", doc + ": x-amz-if-match-size", withTen(), DELETE("k", "x-amz-if-match-size", "10"), is(204, gone)},
		{"size not as expected", doc + ": x-amz-if-match-size", withTen(), DELETE("k", "x-amz-if-match-size", "11"), fails(412, "PreconditionFailed", unchanged)},
		{"size and none there", doc + ": x-amz-if-match-size, 204 if the object doesn't exist", nil, DELETE("k", "x-amz-if-match-size", "11"), is(204)},
		{"date and none there", doc + ": x-amz-if-match-last-modified-time, 204 if the object doesn't exist", nil, DELETE("k", "x-amz-if-match-last-modified-time", longAgo), is(204)},
		{"date as expected", doc + ": x-amz-if-match-last-modified-time", withTen(), DELETE("k", "x-amz-if-match-last-modified-time", "{date}"), is(204, gone)},
		{"date not as expected", doc + ": x-amz-if-match-last-modified-time", withTen(), DELETE("k", "x-amz-if-match-last-modified-time", longAgo), fails(412, "PreconditionFailed", unchanged)},
		{"date before there were objects", doc + ": x-amz-if-match-last-modified-time", withTen(), DELETE("k", "x-amz-if-match-last-modified-time", "Thu, 01 Jan 1970 00:00:00 GMT"), fails(412, "PreconditionFailed", unchanged)},
		{"versionId null", doc + ": versionId", withTen(), DELETE("k?versionId=null"), is(204, gone)},
		{"versionId that is none", "API/ErrorResponses: InvalidArgument", withTen(), DELETE("k?versionId=nonsense"), fails(400, "InvalidArgument", unchanged)},
		{"sub-resource that cannot be deleted", "API/ErrorResponses: MethodNotAllowed", withTen(), DELETE("k?acl"), fails(405, "MethodNotAllowed", unchanged)},
		{"owner not as expected", "UserGuide/bucket-owner-condition", withTen(), DELETE("k", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied", unchanged)},
		{"a user without permissions", "UserGuide/security_iam_service-with-iam", append(newUser(""), withTen()...), DELETE("k").by(user), fails(403, "AccessDenied", unchanged)},
	}}
}

// hardKeys are legal keys that something between client and server likes to change, as a path spells them.
var hardKeys = []struct{ what, path string }{
	{"space", "a%20b"}, {"plus", "a+b"}, {"escaped plus", "a%2Bb"}, {"percent", "100%25"}, {"escaped escape", "a%252Fb"}, {"question mark", "a%3Fb"}, {"hash", "a%23b"},
	{"ampersand and equals", "a%26b%3Dc"}, {"semicolon", "a%3Bb"}, {"colon", "C%3A%5Cx"}, {"quotes", "%22%27"}, {"angle brackets", "%3Cb%3E%26amp%3B"},
	{"umlaut", "%C3%A4%C3%B6"}, {"decomposed umlaut", "a%CC%88"}, {"Japanese", "%E6%97%A5%E6%9C%AC"}, {"emoji", "%F0%9F%98%80"}, {"line separator", "%E2%80%A8"},
	{"byte order mark", "%EF%BB%BFk"}, {"tab", "a%09b"}, {"newline", "a%0Ab"}, {"carriage return", "a%0Db"}, {"control 1", "%01"}, {"delete", "%7F"},
	{"NUL", "a%00b"}, {"1024 bytes", strings.Repeat("k", 1024)}, {"1024 bytes of umlauts", strings.Repeat("%C3%A4", 512)}, {"dot", "."}, {"dots", ".."}, {"dots before", "../a"}, {"dots within", "a/../b"},
	{"dot within", "a/./b"}, {"dots last", "a/.."}, {"trailing slash", "a/"}, {"leading slash", "/a"}, {"slashes", "a//b"}, {"only slashes", "//"}, {"underscore", "_/live"},
	{"reserved", "-_.!~*'()"}, {"tilde", "~"}, {"backslash", "a%5Cb"}, {"brackets", "%5Ba%5D%7Bb%7D"}, {"soft hyphen", "a%C2%ADb"},
}

// keys round-trip: what is put under them is read, listed and deleted under them.
func keys() group {
	g := group{name: "Keys"}
	for _, k := range hardKeys {
		path := "/{bucket}/" + k.path
		key := unescaped(k.path)
		g.cases = append(g.cases, kase{k.what, "UserGuide/object-keys", nil, PUT(path, ten), is(200,
			then(GET(path), is(200, has(ten))),
			then(GET("?list-type=2&encoding-type=url"), is(200, count("Contents", 1), decoded("Contents/Key", key))),
			then(GET("?prefix="+escape(key)), is(200, count("Contents", 1))),
			then(DELETE(path), is(204)),
			then(GET(path), fails(404, "NoSuchKey")),
		)})
	}
	g.cases = append(g.cases,
		kase{"a key below a key", "UserGuide/object-keys", given(PUT("a", "1"), PUT("a/b", "2"), PUT("a/b/", "3"), PUT("a/b/c", "4")), GET("?list-type=2"),
			is(200, val("Contents/Key", "a", "a/b", "a/b/", "a/b/c"), then(GET("a/b"), is(200, has("2"))), then(GET("a/b/"), is(200, has("3"))))},
		kase{"upper and lower case", "UserGuide/object-keys", given(PUT("Key", "1"), PUT("key", "2")), GET("Key"), is(200, has("1"))},
		kase{"order is of bytes", "API_ListObjectsV2: UTF-8 binary order", given(PUT("Z", ""), PUT("a", ""), PUT("%C3%A4", ""), PUT("%EF%BF%BD", ""), PUT("%F0%9F%98%80", "")), GET("?list-type=2"), is(200, val("Contents/Key", "Z", "a", "ä", "\ufffd", "😀"))},
	)
	return g
}

// decoded wants the one element at a path to be text, URL-encoded as S3 encodes keys.
func decoded(path, text string) check {
	return func(_ *run, a *answer) error {
		for _, got := range a.xml.all(path) {
			if strings.ReplaceAll(unescaped(strings.ReplaceAll(got, "+", "%20")), "\r\n", "\n") == text {
				return nil
			}
		}
		return fmt.Errorf("%s: %.300q, want %.300q encoded", path, a.xml.all(path), text)
	}
}
