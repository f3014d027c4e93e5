package s3

import (
	"fmt"
	"strings"
)

func multipartGroups() []group {
	return []group{createUpload(), uploadPart(), uploadPartCopy(), completeUpload(), abortUpload(), listParts(), listUploads(), partReads()}
}

// part5 is a part of the least size that one which is not the last may have.
var part5 = strings.Repeat("0123456789abcdef", 5<<20/16)

const partBytesMin = 5 << 20

// upload begins one of the object k; {id} is its id.
func upload(header ...string) *request {
	return POST("k?uploads", "", header...).save("id", "UploadId")
}

// part stores one; {eN} is its ETag.
func part(n int, body string, header ...string) *request {
	return PUT(fmt.Sprintf("k?partNumber=%d&uploadId={id}", n), body, header...).save(fmt.Sprintf("e%d", n), "ETag")
}

// summed stores a part with its checksum.
func summed(algorithm string, n int, body string) *request {
	return part(n, body, "x-amz-checksum-"+algorithm, sum(algorithm, body))
}

// namedWith is named of the parts from 1 on, with their checksums.
func namedWith(algorithm string, bodies ...string) string {
	doc, element := "<CompleteMultipartUpload"+ns+">", "Checksum"+strings.ToUpper(algorithm)
	for i, body := range bodies {
		doc += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>{e%d}</ETag><%s>%s</%s></Part>", i+1, i+1, element, sum(algorithm, body), element)
	}
	return doc + "</CompleteMultipartUpload>"
}

// named is CompleteMultipartUpload's document of parts as they were stored.
func named(parts ...int) string {
	doc := "<CompleteMultipartUpload" + ns + ">"
	for _, n := range parts {
		doc += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>{e%d}</ETag></Part>", n, n)
	}
	return doc + "</CompleteMultipartUpload>"
}

// mayPut is the policy of a user who may write objects.
const mayPut = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}`

func complete(doc string, header ...string) *request { return POST("k?uploadId={id}", doc, header...) }

func createUpload() group {
	const doc = "API_CreateMultipartUpload"
	return group{"CreateMultipartUpload", shared, []kase{
		{"plain", doc, nil, upload(), is(200, count("UploadId", 1), header("Content-Type", "application/xml"))},
		{"names bucket and key", doc, given(PUT("", "")), POST("a%20b?uploads", ""), is(200, val("Bucket", "{bucket}"), val("Key", "a b"))},
		{"with uploads=", "aws-sdk-go-v2 sends it so", nil, POST("k?uploads=", ""), is(200, count("UploadId", 1))},
		{"is not there before it is completed", doc, nil, upload(), is(200, then(HEAD("k"), fails(404, "")))},
		{"two of one key", doc, given(upload()), POST("k?uploads", "").save("id2", "UploadId"), is(200, then(GET("k?uploadId={id}"), is(200)), then(GET("k?uploadId={id2}"), is(200)))},
		{"keeps headers", doc, given(upload("Content-Type", "a/b", "x-amz-meta-a", "1", "Cache-Control", "no-store"), part(1, ten)), complete(named(1)), is(200, then(HEAD("k"), is(200, header("Content-Type", "a/b"), header("x-amz-meta-a", "1"), header("Cache-Control", "no-store"))))},
		{"keeps tags", doc + ": x-amz-tagging", given(upload("x-amz-tagging", "a=1"), part(1, ten)), complete(named(1)), is(200, then(HEAD("k"), is(200, header("x-amz-tagging-count", "1"))))},
		{"storage class", doc + ": x-amz-storage-class", given(upload("x-amz-storage-class", "REDUCED_REDUNDANCY"), part(1, ten)), complete(named(1)), is(200, then(HEAD("k"), is(200, header("x-amz-storage-class", "REDUCED_REDUNDANCY"))))},
		{"algorithm", doc + ": x-amz-checksum-algorithm", nil, upload("x-amz-checksum-algorithm", "SHA256"), is(200, header("x-amz-checksum-algorithm", "SHA256"), header("x-amz-checksum-type", "COMPOSITE"))},
		{"algorithm and type", doc + ": x-amz-checksum-type", nil, upload("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT"), is(200, header("x-amz-checksum-type", "FULL_OBJECT"))},
		{"CRC64NVME is of the whole", "UserGuide/checking-object-integrity", nil, upload("x-amz-checksum-algorithm", "CRC64NVME"), is(200, header("x-amz-checksum-type", "FULL_OBJECT"))},
		{"CRC64NVME composite", "UserGuide/checking-object-integrity", nil, upload("x-amz-checksum-algorithm", "CRC64NVME", "x-amz-checksum-type", "COMPOSITE"), fails(400, "InvalidRequest")},
		{"SHA1 of the whole", "UserGuide/checking-object-integrity", nil, upload("x-amz-checksum-algorithm", "SHA1", "x-amz-checksum-type", "FULL_OBJECT"), fails(400, "InvalidRequest")},
		{"algorithm that does not exist", doc, nil, upload("x-amz-checksum-algorithm", "MD4"), fails(400, "InvalidRequest")},
		{"type that does not exist", doc, nil, upload("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "HALF"), fails(400, "InvalidRequest")},
		{"type without algorithm", doc, nil, upload("x-amz-checksum-type", "COMPOSITE"), fails(400, "InvalidRequest")},
		{"storage class that does not exist", "API/ErrorResponses: InvalidStorageClass", nil, upload("x-amz-storage-class", "MARBLE"), fails(400, "InvalidStorageClass")},
		{"metadata too large", "API/ErrorResponses: MetadataTooLarge", nil, upload("x-amz-meta-a", strings.Repeat("x", 2048)), fails(400, "MetadataTooLarge")},
		{"bucket absent", "API/ErrorResponses: NoSuchBucket", nil, POST("/{none}/k?uploads", ""), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, POST("k?uploads", "").by(nobody), fails(403, "AccessDenied")},
		{"canned ACL with ACLs disabled", "UserGuide/about-object-ownership", nil, upload("x-amz-acl", "public-read"), fails(400, "AccessControlListNotSupported")},
		{"owner not as expected", "UserGuide/bucket-owner-condition", nil, upload("x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
		{"presigned", "API/sigv4-query-string-auth", nil, POST("k?uploads", "").presigned(), is(200, count("UploadId", 1))},
	}}
}

func uploadPart() group {
	const doc = "API_UploadPart"
	return group{"UploadPart", shared, []kase{
		{"plain", doc, given(upload()), part(1, ten), is(200, header("ETag", quoted(ten)))},
		{"number 10000", doc, given(upload()), part(10000, ten), is(200)},
		{"again replaces", doc, given(upload(), part(1, "old"), part(1, ten)), GET("k?uploadId={id}"), is(200, val("Part/Size", "10"), val("Part/ETag", quoted(ten)))},
		{"empty", doc, given(upload()), part(1, ""), is(200, header("ETag", quoted("")))},
		{"Content-MD5", doc, given(upload()), part(1, ten, "Content-MD5", md5Of(ten)), is(200)},
		{"Content-MD5 of something else", "API/ErrorResponses: BadDigest", given(upload()), part(1, ten, "Content-MD5", md5Of("other")), fails(400, "BadDigest", then(GET("k?uploadId={id}"), is(200, val("Part"))))},
		{"checksum", doc, given(upload("x-amz-checksum-algorithm", "SHA256")), part(1, ten, "x-amz-checksum-sha256", sum("sha256", ten)), is(200, header("x-amz-checksum-sha256", sum("sha256", ten)))},
		{"checksum of something else", "API/ErrorResponses: BadDigest", given(upload("x-amz-checksum-algorithm", "SHA256")), part(1, ten, "x-amz-checksum-sha256", sum("sha256", "other")), fails(400, "BadDigest")},
		{"checksum of another algorithm", doc + ": InvalidRequest", given(upload("x-amz-checksum-algorithm", "SHA256")), part(1, ten, "x-amz-checksum-crc32", sum("crc32", ten)), fails(400, "InvalidRequest", val("Message", mismatch("sha256", "crc32")))},
		{"checksum of another algorithm than CRC64NVME", doc + ": InvalidRequest", given(upload("x-amz-checksum-algorithm", "CRC64NVME")), part(1, ten, "x-amz-checksum-crc32", sum("crc32", ten)), fails(400, "InvalidRequest", val("Message", mismatch("crc64nvme", "crc32")))},
		{"checksum of another algorithm in a trailer", doc + ": InvalidRequest", given(upload("x-amz-checksum-algorithm", "CRC32C")), part(1, ten).streamed(trailing("crc32", ten)), fails(400, "InvalidRequest", val("Message", mismatch("crc32c", "crc32")))},
		{"checksum where none was asked for", "boto3's client: CRC32 of parts, none of the upload", given(upload()), part(1, ten).streamed(trailing("crc32", ten)), is(200, header("x-amz-checksum-crc32", sum("crc32", ten)), header("x-amz-checksum-crc64nvme", ""))},
		{"checksum of something else where none was asked for", "API/ErrorResponses: BadDigest", given(upload()), part(1, ten, "x-amz-checksum-sha1", sum("sha1", "other")), fails(400, "BadDigest")},
		{"checksum of the whole, not given", doc + "; AWS computes it, versity/versitygw#1342", given(upload("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT")), part(1, ten), is(200, header("x-amz-checksum-crc32", sum("crc32", ten)))},
		{"checksum of CRC64NVME, not given", doc + "; AWS computes it", given(upload("x-amz-checksum-algorithm", "CRC64NVME")), part(1, ten), is(200, header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)))},
		{"aws-chunked", "API/sigv4-streaming", given(upload()), part(1, ten).streamed(signedChunks), is(200, header("ETag", quoted(ten)))},
		{"number 0", doc + ": partNumber, 1 to 10000", given(upload()), part(0, ten), fails(400, "InvalidArgument")},
		{"number 10001", doc + ": partNumber, 1 to 10000", given(upload()), part(10001, ten), fails(400, "InvalidArgument")},
		{"number negative", doc, given(upload()), part(-1, ten), fails(400, "InvalidArgument")},
		{"no number", doc, given(upload()), PUT("k?partNumber=x&uploadId={id}", ten), fails(400, "InvalidArgument")},
		{"upload absent", "API/ErrorResponses: NoSuchUpload", nil, PUT("k?partNumber=1&uploadId=nonsense", ten), fails(404, "NoSuchUpload", val("UploadId", "nonsense"))},
		{"upload of another key", "API/ErrorResponses: NoSuchUpload", given(upload()), PUT("k2?partNumber=1&uploadId={id}", ten), fails(404, "NoSuchUpload")},
		{"upload aborted", "API/ErrorResponses: NoSuchUpload", given(upload(), DELETE("k?uploadId={id}")), part(1, ten), fails(404, "NoSuchUpload")},
		{"upload completed", "API/ErrorResponses: NoSuchUpload", given(upload(), part(1, ten), complete(named(1))), part(2, ten), fails(404, "NoSuchUpload")},
		{"anonymous", "API/ErrorResponses: AccessDenied", given(upload()), part(1, ten).by(nobody), fails(403, "AccessDenied")},
		{"uploadId without number", "API/ErrorResponses: MethodNotAllowed", given(upload()), PUT("k?uploadId={id}", ten), fails(405, "MethodNotAllowed", then(HEAD("k"), fails(404, "")))},
		{"no Content-Length", "API/ErrorResponses: MissingContentLength", given(upload()), PUT("k?partNumber=1&uploadId={id}", "").onWire(func(head string) string { return head + "\r\n" }), fails(411, "MissingContentLength")},
		{"presigned", "API/sigv4-query-string-auth; browsers upload so", given(upload()), part(1, ten).presigned(), is(200, header("ETag", quoted(ten)))},
	}}
}

func uploadPartCopy() group {
	const doc = "API_UploadPartCopy"
	from := func(n int, header ...string) *request {
		return PUT(fmt.Sprintf("k?partNumber=%d&uploadId={id}", n), "", append([]string{"x-amz-copy-source", "/{bucket}/src"}, header...)...).save(fmt.Sprintf("e%d", n), "ETag")
	}
	begun := func() []*request { return given(PUT("src", ten).save("etag", "ETag"), upload()) }
	return group{"UploadPartCopy", shared, []kase{
		{"whole", doc, begun(), from(1), is(200, val("ETag", quoted(ten)), valLike("LastModified", "Z$"))},
		{"range", doc + ": x-amz-copy-source-range", append(begun(), from(1, "x-amz-copy-source-range", "bytes=2-4")), complete(named(1)), is(200, then(GET("k"), is(200, has("234"))))},
		{"range of the last byte", doc + ": x-amz-copy-source-range", begun(), from(1, "x-amz-copy-source-range", "bytes=9-9"), is(200, val("ETag", quoted("9")))},
		{"range past the end", doc + ": InvalidArgument", begun(), from(1, "x-amz-copy-source-range", "bytes=0-10"), fails(400, "InvalidArgument")},
		{"range open", doc + ": bytes=first-last", begun(), from(1, "x-amz-copy-source-range", "bytes=2-"), fails(400, "InvalidArgument")},
		{"range of a suffix", doc + ": bytes=first-last", begun(), from(1, "x-amz-copy-source-range", "bytes=-2"), fails(400, "InvalidArgument")},
		{"range without unit", doc + ": bytes=first-last", begun(), from(1, "x-amz-copy-source-range", "2-4"), fails(400, "InvalidArgument")},
		{"range backwards", doc + ": bytes=first-last", begun(), from(1, "x-amz-copy-source-range", "bytes=4-2"), fails(400, "InvalidArgument")},
		{"source absent", "API/ErrorResponses: NoSuchKey", given(upload()), from(1), fails(404, "NoSuchKey")},
		{"source's bucket absent", "API/ErrorResponses: NoSuchBucket", given(upload()), PUT("k?partNumber=1&uploadId={id}", "", "x-amz-copy-source", "/{none}/src"), fails(404, "NoSuchBucket")},
		{"upload absent", "API/ErrorResponses: NoSuchUpload", given(PUT("src", ten)), PUT("k?partNumber=1&uploadId=nonsense", "", "x-amz-copy-source", "/{bucket}/src"), fails(404, "NoSuchUpload")},
		{"number 0", doc + ": partNumber", begun(), from(0), fails(400, "InvalidArgument")},
		{"if-match", doc + ": x-amz-copy-source-if-match", begun(), from(1, "x-amz-copy-source-if-match", "{etag}"), is(200)},
		{"if-match of another", doc + ": x-amz-copy-source-if-match", begun(), from(1, "x-amz-copy-source-if-match", absentTag), fails(412, "PreconditionFailed")},
		{"if-none-match", doc + ": x-amz-copy-source-if-none-match", begun(), from(1, "x-amz-copy-source-if-none-match", "{etag}"), fails(412, "PreconditionFailed")},
		{"if-modified-since", doc + ": x-amz-copy-source-if-modified-since", begun(), from(1, "x-amz-copy-source-if-modified-since", longAgo), is(200)},
		{"if-unmodified-since", doc + ": x-amz-copy-source-if-unmodified-since", begun(), from(1, "x-amz-copy-source-if-unmodified-since", longAgo), fails(412, "PreconditionFailed")},
		{"anonymous", "API/ErrorResponses: AccessDenied", begun(), from(1).by(nobody), fails(403, "AccessDenied")},
		{"source owner not as expected", "UserGuide/bucket-owner-condition", begun(), from(1, "x-amz-source-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
		{"source with a version", doc + ": x-amz-copy-source", append(versioned("Enabled"), PUT("src", ten).save("v", "x-amz-version-id"), PUT("src", "new"), upload()), PUT("k?partNumber=1&uploadId={id}", "", "x-amz-copy-source", "/{bucket}/src?versionId={v}"), is(200, val("ETag", quoted(ten)), header("x-amz-copy-source-version-id", "{v}"))},
		{"a checksum of the part", doc, given(PUT("src", ten), upload("x-amz-checksum-algorithm", "CRC32")), from(1), is(200, val("ChecksumCRC32", sum("crc32", ten)))},
		{"into an upload with checksums of its parts", doc + "; there is no client who could give one", append(given(PUT("src", ten), upload("x-amz-checksum-algorithm", "SHA256")), from(1)), complete(namedWith("sha256", ten)), is(200, val("ChecksumSHA256", composite("sha256", ten)))},
		{"empty source", doc, given(PUT("src", ""), upload()), from(1), is(200, val("ETag", quoted("")))},
	}}
}

func completeUpload() group {
	const doc = "API_CompleteMultipartUpload"
	three := func(header ...string) []*request {
		return given(upload(header...), part(1, part5), part(2, part5), part(3, ten))
	}
	one := func(header ...string) []*request { return given(upload(header...), part(1, ten)) }
	allOf := func(algorithm string) []*request {
		return given(upload("x-amz-checksum-algorithm", strings.ToUpper(algorithm)), summed(algorithm, 1, part5), summed(algorithm, 2, part5), summed(algorithm, 3, ten))
	}
	sha256One := func() []*request {
		return given(upload("x-amz-checksum-algorithm", "SHA256"), summed("sha256", 1, ten))
	}
	withSum := func(elements string) string {
		return strings.ReplaceAll(named(1), "</ETag>", "</ETag>"+elements)
	}
	element := func(algorithm, value string) string {
		name := "Checksum" + strings.ToUpper(algorithm)
		return "<" + name + ">" + value + "</" + name + ">"
	}
	none := then(HEAD("k"), fails(404, ""))
	number := func(n string) string {
		return "<CompleteMultipartUpload><Part><PartNumber>" + n + "</PartNumber><ETag>{e1}</ETag></Part></CompleteMultipartUpload>"
	}
	return group{"CompleteMultipartUpload", shared, []kase{
		{"one part", doc, one(), complete(named(1)), is(200, val("ETag", etagOf(ten)), val("Location", "{endpoint}/{bucket}/k"), then(GET("k"), is(200, has(ten), header("ETag", etagOf(ten)))))},
		{"three parts", doc, three(), complete(named(1, 2, 3)), is(200, val("ETag", etagOf(part5, part5, ten)), then(GET("k", "Range", "bytes=5242870-5242889"), is(206, has(part5[len(part5)-10:]+part5[:10]))))},
		{"numbers with gaps", doc, given(upload(), part(3, part5), part(7, ten)), complete(named(3, 7)), is(200, val("ETag", etagOf(part5, ten)))},
		{"some of the parts", doc, three(), complete(named(1, 3)), is(200, val("ETag", etagOf(part5, ten)))},
		{"ETags without quotes", "s3cmd and minio-go send them so", given(upload(), part(1, ten)), complete("<CompleteMultipartUpload><Part><ETag>" + hexMD5(ten) + "</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"), is(200)},
		{"ETags with &quot;", "Java SDK sends them so", given(upload(), part(1, ten)), complete("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;" + hexMD5(ten) + "&quot;</ETag></Part></CompleteMultipartUpload>"), is(200)},
		{"repeated gives the same answer", doc + ": idempotent", append(one(), complete(named(1))), complete(named(1)), is(200, val("ETag", etagOf(ten)))},
		{"repeated with other parts", doc, append(three(), complete(named(1, 2, 3))), complete(named(1)), fails(404, "NoSuchUpload")},
		{"overwrites", doc, append(given(PUT("k", "old")), one()...), complete(named(1)), is(200, then(GET("k"), is(200, has(ten))))},
		{"the upload is gone", doc, append(one(), complete(named(1))), GET("k?uploadId={id}"), fails(404, "NoSuchUpload")},
		{"order", "API/ErrorResponses: InvalidPartOrder", three(), complete(named(2, 1, 3)), fails(400, "InvalidPartOrder", none)},
		{"a part twice", "API/ErrorResponses: InvalidPartOrder", one(), complete(named(1, 1)), fails(400, "InvalidPartOrder", none)},
		{"a part that is absent", "API/ErrorResponses: InvalidPart", one(), complete(strings.ReplaceAll(named(2), "{e2}", "{e1}")), fails(400, "InvalidPart", val("PartNumber", "2"), none)},
		{"a part's tag is another", "API/ErrorResponses: InvalidPart", one(), complete(strings.ReplaceAll(named(1), "{e1}", absentTag)), fails(400, "InvalidPart", none)},
		{"a part was replaced", "API/ErrorResponses: InvalidPart", append(one(), PUT("k?partNumber=1&uploadId={id}", "other")), complete(named(1)), fails(400, "InvalidPart", none)},
		{"a small part before the last", "API/ErrorResponses: EntityTooSmall", given(upload(), part(1, ten), part(2, ten)), complete(named(1, 2)), fails(400, "EntityTooSmall", val("MinSizeAllowed", itoa(partBytesMin)), val("ProposedSize", "10"), none)},
		{"no parts", "API/ErrorResponses: MalformedXML", one(), complete(named()), fails(400, "MalformedXML", none)},
		{"no document", "API/ErrorResponses: MalformedXML", one(), complete(""), fails(400, "MalformedXML", none)},
		{"not XML", "API/ErrorResponses: MalformedXML", one(), complete("parts: 1"), fails(400, "MalformedXML", none)},
		{"another root", "API/ErrorResponses: MalformedXML", one(), complete("<Delete/>"), fails(400, "MalformedXML", none)},
		{"a doctype", "API/ErrorResponses: MalformedXML", one(), complete("<!DOCTYPE x>" + named(1)), fails(400, "MalformedXML", none)},
		{"another namespace is as good", "minio-go and others send none", one(), complete(strings.ReplaceAll(named(1), "2006-03-01", "2099-01-01")), is(200)},
		{"number 0", doc + ": PartNumber", one(), complete(number("0")), fails(400, "InvalidArgument", none)},
		{"number 10001", doc + ": PartNumber", one(), complete(number("10001")), fails(400, "InvalidArgument", none)},
		{"number is none", "API/ErrorResponses: MalformedXML", one(), complete(number("one")), fails(400, "MalformedXML", none)},
		{"upload absent", "API/ErrorResponses: NoSuchUpload", nil, POST("k?uploadId=nonsense", strings.ReplaceAll(named(1), "{e1}", absentTag)), fails(404, "NoSuchUpload")},
		{"upload aborted", "API/ErrorResponses: NoSuchUpload", append(one(), DELETE("k?uploadId={id}")), complete(named(1)), fails(404, "NoSuchUpload", none)},
		{"anonymous", "API/ErrorResponses: AccessDenied", one(), complete(named(1)).by(nobody), fails(403, "AccessDenied", none)},
		{"If-None-Match * and none there", "UserGuide/conditional-writes", one(), complete(named(1), "If-None-Match", "*"), is(200)},
		{"If-None-Match * and one there", "UserGuide/conditional-writes", append(given(PUT("k", "old")), one()...), complete(named(1), "If-None-Match", "*"), fails(412, "PreconditionFailed", val("Condition", "If-None-Match"), then(GET("k"), is(200, has("old"))))},
		{"If-Match", "UserGuide/conditional-writes", append(withTen(), one()...), complete(named(1), "If-Match", "{etag}"), is(200)},
		{"If-Match of another", "UserGuide/conditional-writes", append(withTen(), one()...), complete(named(1), "If-Match", absentTag), fails(412, "PreconditionFailed")},
		{"If-Match and none there", "UserGuide/conditional-writes", one(), complete(named(1), "If-Match", absentTag), fails(404, "NoSuchKey")},
		{"size as announced", doc + ": x-amz-mp-object-size", one(), complete(named(1), "x-amz-mp-object-size", "10"), is(200)},
		{"size not as announced", doc + ": x-amz-mp-object-size", one(), complete(named(1), "x-amz-mp-object-size", "11"), fails(400, "InvalidRequest", val("Message", "The provided 'x-amz-mp-object-size' header value 11 does not match what was computed: 10"), none)},
		{"size that is none", doc + ": x-amz-mp-object-size", one(), complete(named(1), "x-amz-mp-object-size", "ten"), fails(400, "InvalidRequest", none)},
		{"checksum by default is of the whole", "UserGuide/checking-object-integrity: CRC64NVME", three(), complete(named(1, 2, 3)), is(200, val("ChecksumCRC64NVME", sum("crc64nvme", part5+part5+ten)), val("ChecksumType", "FULL_OBJECT"))},
		{"checksum composite", "UserGuide/checking-object-integrity: COMPOSITE", allOf("sha256"), complete(namedWith("sha256", part5, part5, ten)), is(200, val("ChecksumSHA256", composite("sha256", part5, part5, ten)), val("ChecksumType", "COMPOSITE"))},
		{"checksum composite of CRC32C", "UserGuide/checking-object-integrity: COMPOSITE", allOf("crc32c"), complete(namedWith("crc32c", part5, part5, ten)), is(200, val("ChecksumCRC32C", composite("crc32c", part5, part5, ten)), val("ChecksumType", "COMPOSITE"))},
		{"checksum of the whole, CRC32", "UserGuide/checking-object-integrity: FULL_OBJECT", three("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT"), complete(named(1, 2, 3), "x-amz-checksum-crc32", sum("crc32", part5+part5+ten), "x-amz-checksum-type", "FULL_OBJECT"), is(200, val("ChecksumCRC32", sum("crc32", part5+part5+ten)), val("ChecksumType", "FULL_OBJECT"))},
		{"checksum of something else", "API/ErrorResponses: BadDigest", one("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT"), complete(named(1), "x-amz-checksum-crc32", sum("crc32", "other")), fails(400, "BadDigest", none)},
		{"checksum type is another", doc + ": x-amz-checksum-type", one("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT"), complete(named(1), "x-amz-checksum-type", "COMPOSITE"), fails(400, "InvalidRequest", val("Message", "The upload was created using the FULL_OBJECT checksum mode. The complete request must use the same checksum mode."), none)},
		{"checksum of a part is another", "API/ErrorResponses: InvalidPart", sha256One(), complete(namedWith("sha256", "other")), fails(400, "InvalidPart", val("PartNumber", "1"), none)},
		{"checksum of a part by another algorithm", "API/ErrorResponses: BadDigest; AWS says the algorithm and the part", sha256One(), complete(namedWith("sha1", ten)), fails(400, "BadDigest", val("Message", "The sha1 you specified for part 1 did not match what we received."), none)},
		{"checksum of a part that is no base64", "API/ErrorResponses: InvalidArgument", sha256One(), complete(withSum(element("sha256", "!!"))), fails(400, "InvalidArgument", val("Message", "Invalid Base64 or multiple checksums present in request"), val("ArgumentName", "Checksum"), val("ArgumentValue", "SHA256:!!;"), none)},
		{"two checksums of a part", "API/ErrorResponses: InvalidArgument", sha256One(), complete(withSum(element("sha1", sum("sha1", ten)) + element("sha256", sum("sha256", ten)))), fails(400, "InvalidArgument", val("Message", "Invalid Base64 or multiple checksums present in request"), none)},
		{"checksum of a part of the whole is optional", doc + "; versity/versitygw#1342", one("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT"), complete(namedWith("crc32", ten)), is(200)},
		{"checksum of a part where none was asked for", "API/ErrorResponses: InvalidPart; AWS keeps none, also where UploadPart had one", given(upload(), summed("crc32", 1, ten)), complete(namedWith("crc32", ten)), fails(400, "InvalidPart", none)},
		{"default checksum of a part, from UploadPart's answer", "aws-sdk-go-v2's manager copies it", one(), complete(namedWith("crc64nvme", ten)), is(200)},
		{"two checksums of the whole", "API/ErrorResponses: InvalidRequest", sha256One(), complete(namedWith("sha256", ten), "x-amz-checksum-sha256", sum("sha256", ten), "x-amz-checksum-sha1", sum("sha1", ten)), fails(400, "InvalidRequest", none)},
		{"checksum of the whole where none was asked for", "API_PutObject: InvalidRequest", one(), complete(named(1), "x-amz-checksum-sha512", sum("sha512", ten)), fails(400, "InvalidRequest", val("Message", mismatch("null", "sha512")), none)},
		{"composite with its number of parts", doc + ": x-amz-checksum-sha256", sha256One(), complete(namedWith("sha256", ten), "x-amz-checksum-sha256", composite("sha256", ten)), is(200)},
		{"composite with another number of parts", "API/ErrorResponses: BadDigest", sha256One(), complete(namedWith("sha256", ten), "x-amz-checksum-sha256", strings.Replace(composite("sha256", ten), "-1", "-2", 1)), fails(400, "BadDigest", val("Message", "The sha256 you specified did not match the calculated checksum."), none)},
		{"composite with a number that is none", "API/ErrorResponses: InvalidRequest", sha256One(), complete(namedWith("sha256", ten), "x-amz-checksum-sha256", sum("sha256", ten)+"-a"), fails(400, "InvalidRequest", val("Message", "Value for x-amz-checksum-sha256 header is invalid."), none)},
		{"key with a space", doc + ": Location", given(POST("a%20b?uploads", "").save("id", "UploadId"), PUT("a%20b?partNumber=1&uploadId={id}", ten).save("e1", "ETag")), POST("a%20b?uploadId={id}", named(1)), is(200, val("Location", "{endpoint}/{bucket}/a%20b"), val("Key", "{prefix}a b"))},
	}}
}

func abortUpload() group {
	const doc, permissions = "API_AbortMultipartUpload", "UserGuide/mpuoverview: Multipart upload API and permissions"
	return group{"AbortMultipartUpload", shared, []kase{
		{"plain", doc, given(upload(), part(1, ten)), DELETE("k?uploadId={id}"), is(204, then(GET("k?uploadId={id}"), fails(404, "NoSuchUpload")))},
		{"without parts", doc, given(upload()), DELETE("k?uploadId={id}"), is(204)},
		{"leaves the object", doc, append(withTen(), upload(), part(1, "new")), DELETE("k?uploadId={id}"), is(204, then(GET("k"), is(200, has(ten))))},
		{"twice", "API/ErrorResponses: NoSuchUpload", given(upload(), DELETE("k?uploadId={id}")), DELETE("k?uploadId={id}"), fails(404, "NoSuchUpload")},
		{"absent", "API/ErrorResponses: NoSuchUpload", nil, DELETE("k?uploadId=nonsense"), fails(404, "NoSuchUpload")},
		{"empty id", "API/ErrorResponses: NoSuchUpload", withTen(), DELETE("k?uploadId="), fails(404, "NoSuchUpload", then(HEAD("k"), is(200)))},
		{"of another key", "API/ErrorResponses: NoSuchUpload", given(upload()), DELETE("k2?uploadId={id}"), fails(404, "NoSuchUpload", then(GET("k?uploadId={id}"), is(200)))},
		{"completed", "API/ErrorResponses: NoSuchUpload", given(upload(), part(1, ten), complete(named(1))), DELETE("k?uploadId={id}"), fails(404, "NoSuchUpload", then(GET("k"), is(200, has(ten))))},
		{"anonymous", "API/ErrorResponses: AccessDenied", given(upload()), DELETE("k?uploadId={id}").by(nobody), fails(403, "AccessDenied", then(GET("k?uploadId={id}"), is(200)))},
		{"its initiator, of another account", permissions, append(letIn("s3:PutObject"), upload().by(other)), DELETE("k?uploadId={id}").by(other), is(204)},
		{"its initiator, a user who may only put", permissions, append(newUser(mayPut), upload().by(user)), DELETE("k?uploadId={id}").by(user), is(204)},
		{"its initiator, denied", permissions, append(letIn("s3:PutObject"), upload().by(other), PUT("?policy", statement("Deny", `"s3:AbortMultipartUpload"`, `"arn:aws:s3:::{bucket}/*"`, ""))), DELETE("k?uploadId={id}").by(other), fails(403, "AccessDenied", then(GET("k?uploadId={id}"), is(200)))},
		{"another account than its initiator's", permissions, append(letIn("s3:PutObject"), upload()), DELETE("k?uploadId={id}").by(other), fails(403, "AccessDenied", then(GET("k?uploadId={id}"), is(200)))},
		{"another account, absent", permissions, letIn("s3:PutObject"), DELETE("k?uploadId=nonsense").by(other), fails(403, "AccessDenied")},
		{"owner not as expected", "UserGuide/bucket-owner-condition", given(upload()), DELETE("k?uploadId={id}", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
	}}
}

func listParts() group {
	const doc = "API_ListParts"
	five := func() []*request {
		return given(upload(), part(1, ten), part(3, "x"), part(5, "y"), part(7, "z"), part(10000, "last"))
	}
	return group{"ListParts", shared, []kase{
		{"all", doc, five(), GET("k?uploadId={id}"), is(200, val("Part/PartNumber", "1", "3", "5", "7", "10000"), val("Part/Size", "10", "1", "1", "1", "4"), val("IsTruncated", "false"), val("MaxParts", "1000"), val("UploadId", "{id}"), val("StorageClass", "STANDARD"))},
		{"none", doc, given(upload()), GET("k?uploadId={id}"), is(200, val("Part"), val("IsTruncated", "false"))},
		{"owner and initiator", doc, given(upload()), GET("k?uploadId={id}"), is(200, val("Owner/ID", "{canonical}"), count("Initiator/ID", 1))},
		{"owner and initiator of another account, ACLs off", doc, append(letIn("s3:PutObject"), upload().by(other)), GET("k?uploadId={id}"), is(200, val("Owner/ID", "{canonical}"), val("Initiator/ID", "{stranger}"))},
		{"owner and initiator of another account, ACLs on", doc, append(append(acls(), letIn("s3:PutObject")...), upload().by(other)), GET("k?uploadId={id}"), is(200, val("Owner/ID", "{stranger}"), val("Initiator/ID", "{stranger}"))},
		{"its initiator, of another account", "UserGuide/mpuoverview: Multipart upload API and permissions", append(letIn("s3:PutObject"), upload().by(other), part(1, ten).by(other)), GET("k?uploadId={id}").by(other), is(200, val("Part/PartNumber", "1"))},
		{"initiator who is a user", "API_Initiator: ID", append(newUser(mayPut), upload().by(user)), GET("k?uploadId={id}"), is(200, val("Owner/ID", "{canonical}"), val("Initiator/ID", "arn:aws:iam::{account}:user/{user}"), val("Initiator/DisplayName", "{user}"))},
		{"ETags and dates", doc, given(upload(), part(1, ten)), GET("k?uploadId={id}"), is(200, val("Part/ETag", quoted(ten)), valLike("Part/LastModified", `^\d{4}-.*Z$`))},
		{"first page", doc + ": max-parts", five(), GET("k?uploadId={id}&max-parts=2"), is(200, val("Part/PartNumber", "1", "3"), val("IsTruncated", "true"), val("NextPartNumberMarker", "3"), val("MaxParts", "2"))},
		{"next page", doc + ": part-number-marker", five(), GET("k?uploadId={id}&max-parts=2&part-number-marker=3"), is(200, val("Part/PartNumber", "5", "7"), val("PartNumberMarker", "3"), val("IsTruncated", "true"))},
		{"last page", doc + ": part-number-marker", five(), GET("k?uploadId={id}&max-parts=2&part-number-marker=7"), is(200, val("Part/PartNumber", "10000"), val("IsTruncated", "false"))},
		{"marker between parts", doc + ": part-number-marker", five(), GET("k?uploadId={id}&part-number-marker=4"), is(200, val("Part/PartNumber", "5", "7", "10000"))},
		{"marker past all", doc + ": part-number-marker", five(), GET("k?uploadId={id}&part-number-marker=10000"), is(200, val("Part"), val("IsTruncated", "false"))},
		{"max-parts 1001", doc + ": max-parts", five(), GET("k?uploadId={id}&max-parts=1001"), is(200, val("MaxParts", "1000"))},
		{"max-parts negative", "API/ErrorResponses: InvalidArgument", five(), GET("k?uploadId={id}&max-parts=-1"), fails(400, "InvalidArgument")},
		{"max-parts no number", "API/ErrorResponses: InvalidArgument", five(), GET("k?uploadId={id}&max-parts=x"), fails(400, "InvalidArgument")},
		{"marker negative", "API/ErrorResponses: InvalidArgument", five(), GET("k?uploadId={id}&part-number-marker=-1"), fails(400, "InvalidArgument")},
		{"checksums", doc + ": ChecksumAlgorithm", given(upload("x-amz-checksum-algorithm", "SHA1"), summed("sha1", 1, ten)), GET("k?uploadId={id}"), is(200, val("ChecksumAlgorithm", "SHA1"), val("ChecksumType", "COMPOSITE"), val("Part/ChecksumSHA1", sum("sha1", ten)))},
		{"checksums of the whole", doc + ": ChecksumType", given(upload("x-amz-checksum-algorithm", "CRC32C", "x-amz-checksum-type", "FULL_OBJECT"), part(1, ten)), GET("k?uploadId={id}"), is(200, val("ChecksumType", "FULL_OBJECT"), val("Part/ChecksumCRC32C", sum("crc32c", ten)))},
		{"checksums that nobody asked for", doc + "; versity/versitygw#1547: AWS shows none", given(upload(), part(1, ten)), GET("k?uploadId={id}"), is(200, val("ChecksumAlgorithm"), val("ChecksumType"), val("Part/PartNumber", "1"), val("Part/ChecksumCRC64NVME"))},
		{"absent", "API/ErrorResponses: NoSuchUpload", nil, GET("k?uploadId=nonsense"), fails(404, "NoSuchUpload")},
		{"of another key", "API/ErrorResponses: NoSuchUpload", given(upload()), GET("k2?uploadId={id}"), fails(404, "NoSuchUpload")},
		{"anonymous", "API/ErrorResponses: AccessDenied", given(upload()), GET("k?uploadId={id}").by(nobody), fails(403, "AccessDenied")},
	}}
}

func listUploads() group {
	const doc = "API_ListMultipartUploads"
	some := func() (steps []*request) {
		for i, key := range []string{"a", "a", "b/1", "b/2", "c"} {
			steps = append(steps, POST(key+"?uploads", "").save("u"+itoa(i), "UploadId"))
		}
		return steps
	}
	return group{"ListMultipartUploads", own, []kase{
		{"none", doc, nil, GET("?uploads"), is(200, val("Upload"), val("IsTruncated", "false"), val("MaxUploads", "1000"), val("Bucket", "{bucket}"))},
		{"all", doc, some(), GET("?uploads"), is(200, val("Upload/Key", "a", "a", "b/1", "b/2", "c"), val("IsTruncated", "false"))},
		{"by key and time", doc + ": in the order of their beginning", some(), GET("?uploads&prefix=a"), is(200, val("Upload/UploadId", "{u0}", "{u1}"))},
		{"owner and initiator", doc, some(), GET("?uploads&prefix=c"), is(200, val("Upload/Owner/ID", "{canonical}"), count("Upload/Initiator/ID", 1), val("Upload/StorageClass", "STANDARD"), valLike("Upload/Initiated", "Z$"))},
		{"owner and initiator of another account, ACLs off", doc, append(letIn("s3:PutObject"), upload().by(other)), GET("?uploads"), is(200, val("Upload/Owner/ID", "{canonical}"), val("Upload/Initiator/ID", "{stranger}"))},
		{"owner and initiator of another account, ACLs on", doc, append(append(acls(), letIn("s3:PutObject")...), upload().by(other)), GET("?uploads"), is(200, val("Upload/Owner/ID", "{stranger}"), val("Upload/Initiator/ID", "{stranger}"))},
		{"initiator who is a user", "API_Initiator: ID", append(newUser(mayPut), upload().by(user)), GET("?uploads"), is(200, val("Upload/Owner/ID", "{canonical}"), val("Upload/Initiator/ID", "arn:aws:iam::{account}:user/{user}"), val("Upload/Initiator/DisplayName", "{user}"))},
		{"delimiter", doc + ": delimiter", some(), GET("?uploads&delimiter=/"), is(200, val("Upload/Key", "a", "a", "c"), val("CommonPrefixes/Prefix", "b/"))},
		{"prefix", doc + ": prefix", some(), GET("?uploads&prefix=b/"), is(200, val("Upload/Key", "b/1", "b/2"), val("Prefix", "b/"))},
		{"prefix and delimiter", doc + ": delimiter", some(), GET("?uploads&prefix=b&delimiter=/"), is(200, val("Upload"), val("CommonPrefixes/Prefix", "b/"))},
		{"first page", doc + ": max-uploads", some(), GET("?uploads&max-uploads=1"), is(200, val("Upload/UploadId", "{u0}"), val("IsTruncated", "true"), val("NextKeyMarker", "a"), val("NextUploadIdMarker", "{u0}"))},
		{"next page", doc + ": upload-id-marker", some(), GET("?uploads&max-uploads=2&key-marker=a&upload-id-marker={u0}"), is(200, val("Upload/UploadId", "{u1}", "{u2}"), val("KeyMarker", "a"), val("UploadIdMarker", "{u0}"))},
		{"last page", doc + ": key-marker", some(), GET("?uploads&key-marker=b/2"), is(200, val("Upload/Key", "c"), val("IsTruncated", "false"))},
		{"key-marker alone passes its key", doc + ": key-marker", some(), GET("?uploads&key-marker=a"), is(200, val("Upload/Key", "b/1", "b/2", "c"))},
		{"upload-id-marker alone is ignored", doc + ": upload-id-marker", some(), GET("?uploads&upload-id-marker={u4}"), is(200, count("Upload", 5))},
		{"upload-id-marker that is none", doc + ": upload-id-marker", some(), GET("?uploads&key-marker=a&upload-id-marker=nonsense"), fails(400, "InvalidArgument")},
		{"max-uploads 0", doc + ": max-uploads", some(), GET("?uploads&max-uploads=0"), is(200, val("Upload"), val("IsTruncated", "false"))},
		{"max-uploads 1001", doc + ": max-uploads", nil, GET("?uploads&max-uploads=1001"), is(200, val("MaxUploads", "1000"))},
		{"max-uploads negative", "API/ErrorResponses: InvalidArgument", nil, GET("?uploads&max-uploads=-1"), fails(400, "InvalidArgument")},
		{"encoding-type", doc + ": encoding-type", given(POST("a%20b?uploads", "")), GET("?uploads&encoding-type=url"), is(200, valLike("Upload/Key", `^a(\+|%20)b$`), val("EncodingType", "url"))},
		{"encoding-type that is none", "API/ErrorResponses: InvalidArgument", nil, GET("?uploads&encoding-type=base64"), fails(400, "InvalidArgument")},
		{"without those that ended", doc, append(some(), DELETE("a?uploadId={u0}")), GET("?uploads&prefix=a"), is(200, val("Upload/UploadId", "{u1}"))},
		{"checksums", doc + ": ChecksumAlgorithm", given(POST("k?uploads", "", "x-amz-checksum-algorithm", "CRC32")), GET("?uploads"), is(200, val("Upload/ChecksumAlgorithm", "CRC32"), val("Upload/ChecksumType", "COMPOSITE"))},
		{"absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}?uploads"), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?uploads").by(nobody), fails(403, "AccessDenied")},
	}}
}

func partReads() group {
	const doc = "API_GetObject: partNumber"
	two := func() []*request { return given(upload(), part(1, part5), part(2, ten), complete(named(1, 2))) }
	composed := func() []*request {
		return given(upload("x-amz-checksum-algorithm", "CRC32"), summed("crc32", 1, part5), summed("crc32", 2, ten), complete(namedWith("crc32", part5, ten)))
	}
	return group{"PartReads", shared, []kase{
		{"last", doc, two(), GET("k?partNumber=2"), is(206, has(ten), header("Content-Range", "bytes 5242880-5242889/5242890"), header("x-amz-mp-parts-count", "2"), header("ETag", etagOf(part5, ten)))},
		{"HEAD of the first", "API_HeadObject: partNumber", two(), HEAD("k?partNumber=1"), is(206, header("Content-Length", itoa(partBytesMin)), header("x-amz-mp-parts-count", "2"))},
		{"absent", "API/ErrorResponses: InvalidPartNumber", two(), GET("k?partNumber=3"), fails(416, "InvalidPartNumber")},
		{"across parts", "API_GetObject: Range", two(), GET("k", "Range", "bytes=-12"), is(206, has(part5[len(part5)-2:]+ten))},
		{"If-Match", "API_GetObject: If-Match", two(), GET("k?partNumber=2", "If-Match", etagOf(part5, ten)), is(206)},
		{"If-Match of another", "API_GetObject: If-Match", two(), GET("k?partNumber=2", "If-Match", quoted(ten)), fails(412, "PreconditionFailed")},
		{"checksum of a composite", "UserGuide/checking-object-integrity", composed(), HEAD("k", "x-amz-checksum-mode", "ENABLED"), is(200, header("x-amz-checksum-crc32", composite("crc32", part5, ten)), header("x-amz-checksum-type", "COMPOSITE"))},
		{"checksum of a part of a composite", "UserGuide/checking-object-integrity", composed(), GET("k?partNumber=2", "x-amz-checksum-mode", "ENABLED"), is(206, has(ten), header("x-amz-checksum-crc32", sum("crc32", ten)), header("x-amz-checksum-type", "COMPOSITE"))},
		{"HEAD of a part of a composite", "UserGuide/checking-object-integrity", composed(), HEAD("k?partNumber=2", "x-amz-checksum-mode", "ENABLED"), is(206, header("x-amz-checksum-crc32", sum("crc32", ten)))},
		{"checksum of a part of a whole", "API_GetObject; AWS has none of a part then, by localstack's tests", two(), GET("k?partNumber=2", "x-amz-checksum-mode", "ENABLED"), is(206, has(ten), header("x-amz-checksum-crc64nvme", ""), header("x-amz-checksum-type", ""))},
		{"checksum of a part that is the whole", "API_GetObject; so AWS, by localstack's tests", given(upload(), part(1, ten), complete(named(1))), GET("k?partNumber=1", "x-amz-checksum-mode", "ENABLED"), is(206, has(ten), header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)), header("x-amz-checksum-type", "FULL_OBJECT"))},
		{"checksum of a range that is the whole", "API_GetObject; so AWS, by localstack's tests", withTen(), GET("k", "Range", "bytes=0-9", "x-amz-checksum-mode", "ENABLED"), is(206, has(ten), header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)))},
		{"listed with its size", "API_ListObjectsV2", append(given(PUT("", "")), two()...), GET("?list-type=2"), is(200, val("Contents/Size", "5242890"), val("Contents/ETag", etagOf(part5, ten)))},
	}}
}
