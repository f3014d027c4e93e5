package s3

import (
	"strings"
	"time"
)

func versionGroups() []group {
	return []group{versions(), listVersions(), retention(), legalHolds(), objectTags(), attributes()}
}

// three versions of k: {v1} "one", {v2} "two", and a delete marker {m} on top.
func history() []*request {
	return append(versioned("Enabled"),
		PUT("k", "one").save("v1", "x-amz-version-id"), PUT("k", "two").save("v2", "x-amz-version-id"), DELETE("k").save("m", "x-amz-version-id"))
}

func versions() group {
	const doc = "UserGuide/Versioning"
	enabled := func(more ...*request) []*request { return append(versioned("Enabled"), more...) }
	suspended := func(before ...*request) []*request { return append(enabled(before...), versioned("Suspended")...) }
	return group{"Versions", own, []kase{
		{"put answers with an id", doc, enabled(), PUT("k", ten), is(200, headerLike("x-amz-version-id", "^[^ ]{1,1000}$"))},
		{"put without versioning has none", doc, nil, PUT("k", ten), is(200, header("x-amz-version-id", ""))},
		{"get the newest", doc, enabled(PUT("k", "one"), PUT("k", "two").save("v", "x-amz-version-id")), GET("k"), is(200, has("two"), header("x-amz-version-id", "{v}"))},
		{"get an old one", doc, history(), GET("k?versionId={v1}"), is(200, has("one"), header("x-amz-version-id", "{v1}"))},
		{"head an old one", doc, history(), HEAD("k?versionId={v1}"), is(200, header("Content-Length", "3"), header("x-amz-version-id", "{v1}"))},
		{"range of an old one", doc, history(), GET("k?versionId={v1}", "Range", "bytes=1-"), is(206, has("ne"))},
		{"get what is deleted", "UserGuide/DeleteMarker", history(), GET("k"), fails(404, "NoSuchKey", header("x-amz-delete-marker", "true"), header("x-amz-version-id", "{m}"))},
		{"head what is deleted", "UserGuide/DeleteMarker", history(), HEAD("k"), fails(404, "", header("x-amz-delete-marker", "true"))},
		{"get a delete marker", "UserGuide/DeleteMarker: MethodNotAllowed", history(), GET("k?versionId={m}"), fails(405, "MethodNotAllowed", header("x-amz-delete-marker", "true"), header("Allow", "DELETE"))},
		{"head a delete marker", "UserGuide/DeleteMarker", history(), HEAD("k?versionId={m}"), fails(405, "", header("x-amz-delete-marker", "true"))},
		{"get a version that is absent", "API/ErrorResponses: NoSuchVersion", history(), GET("k2?versionId={v1}"), fails(404, "NoSuchVersion", val("VersionId", "{v1}"))},
		{"delete makes a marker", "API_DeleteObject", enabled(PUT("k", "one")), DELETE("k"), is(204, header("x-amz-delete-marker", "true"), headerLike("x-amz-version-id", ".+"), then(GET("k"), fails(404, "NoSuchKey")))},
		{"delete of none makes a marker", "API_DeleteObject", enabled(), DELETE("k"), is(204, header("x-amz-delete-marker", "true"))},
		{"delete of the marker brings it back", "UserGuide/RemDelMarker", history(), DELETE("k?versionId={m}"), is(204, header("x-amz-delete-marker", "true"), header("x-amz-version-id", "{m}"), then(GET("k"), is(200, has("two"))))},
		{"delete of a version", "API_DeleteObject", history(), DELETE("k?versionId={v1}"), is(204, header("x-amz-version-id", "{v1}"), header("x-amz-delete-marker", ""), then(GET("k?versionId={v1}"), fails(404, "NoSuchVersion")), then(GET("k?versionId={v2}"), is(200, has("two"))))},
		{"delete of the newest shows the one before", "API_DeleteObject", enabled(PUT("k", "one"), PUT("k", "two").save("v", "x-amz-version-id")), DELETE("k?versionId={v}"), is(204, then(GET("k"), is(200, has("one"))))},
		{"delete of a version that is absent", "API_DeleteObject", history(), DELETE("k2?versionId={v1}"), is(204)},
		{"what was there is version null", doc, append(given(PUT("k", "old")), enabled(PUT("k", "new"))...), GET("k?versionId=null"), is(200, has("old"), header("x-amz-version-id", "null"))},
		{"suspended, put makes version null", "UserGuide/AddingObjectstoVersionSuspendedBuckets", suspended(PUT("k", "one").save("v", "x-amz-version-id")), PUT("k", "two"), is(200, header("x-amz-version-id", "null"), then(GET("k?versionId={v}"), is(200, has("one"))), then(GET("k?versionId=null"), is(200, has("two"))))},
		{"suspended, put replaces version null", "UserGuide/AddingObjectstoVersionSuspendedBuckets", append(suspended(), PUT("k", "one")), PUT("k", "two"), is(200, then(GET("?versions"), is(200, val("Version/VersionId", "null"))))},
		{"suspended, delete makes a null marker", "UserGuide/DeletingObjectsfromVersionSuspendedBuckets", append(suspended(PUT("k", "one")), PUT("k", "two")), DELETE("k"), is(204, header("x-amz-version-id", "null"), header("x-amz-delete-marker", "true"), then(GET("?versions"), is(200, count("Version", 1), val("DeleteMarker/VersionId", "null"))))},
		{"null within is replaced", "UserGuide/AddingObjectstoVersionSuspendedBuckets", append(given(PUT("k", "null one")), suspended(PUT("k", "middle"))...), PUT("k", "null two"), is(200, then(GET("?versions"), is(200, count("Version", 2))), then(GET("k?versionId=null"), is(200, has("null two"))))},
		{"copy makes a version", "API_CopyObject", enabled(PUT("src", ten)), copied(), is(200, headerLike("x-amz-version-id", ".+"), headerLike("x-amz-copy-source-version-id", ".+"))},
		{"complete makes a version", "API_CompleteMultipartUpload", enabled(upload(), part(1, ten)), complete(named(1)), is(200, headerLike("x-amz-version-id", ".+"))},
		{"put keeps If-None-Match", "UserGuide/conditional-writes: delete marker", history(), PUT("k", "three", "If-None-Match", "*"), is(200)},
		{"If-Match over a delete marker", "UserGuide/conditional-writes", history(), PUT("k", "three", "If-Match", absentTag), fails(404, "NoSuchKey")},
		{"listing shows the newest alone", "API_ListObjectsV2", append(history(), PUT("k", "three")), GET("?list-type=2"), is(200, val("Contents/Key", "k"), val("Contents/Size", "5"))},
		{"listing leaves out the deleted", "API_ListObjectsV2", history(), GET("?list-type=2"), is(200, val("Contents"))},
		{"versionId in a put", "API/ErrorResponses: InvalidArgument", history(), PUT("k?versionId={v1}", "x"), fails(400, "InvalidArgument")},
		{"versionId empty", "API/ErrorResponses: InvalidArgument", history(), GET("k?versionId="), fails(400, "InvalidArgument")},
		{"versionId that is none", "API/ErrorResponses: InvalidArgument", history(), GET("k?versionId=nonsense"), fails(400, "InvalidArgument")},
		{"tags of an old one", "API_PutObjectTagging: versionId", append(history(), sent("k?tagging&versionId={v1}", tagging("a", "1"))), GET("k?tagging&versionId={v1}"), is(200, val("TagSet/Tag/Key", "a"), header("x-amz-version-id", "{v1}"))},
	}}
}

func listVersions() group {
	const doc = "API_ListObjectVersions"
	many := func() []*request {
		return append(versioned("Enabled"), PUT("a", "1").save("a1", "x-amz-version-id"), PUT("a", "2").save("a2", "x-amz-version-id"), PUT("b/1", "x"), PUT("b/2", "x"), DELETE("b/1"), PUT("c", "1").save("c1", "x-amz-version-id"))
	}
	return group{"ListObjectVersions", own, []kase{
		{"empty", doc, nil, GET("?versions"), is(200, val("Version"), val("DeleteMarker"), val("IsTruncated", "false"), val("MaxKeys", "1000"), val("Name", "{bucket}"))},
		{"without versioning", doc, given(PUT("k", ten)), GET("?versions"), is(200, val("Version/VersionId", "null"), val("Version/IsLatest", "true"), val("Version/Size", "10"), val("Version/ETag", quoted(ten)))},
		{"the newest first", doc, many(), GET("?versions&prefix=a"), is(200, val("Version/VersionId", "{a2}", "{a1}"), val("Version/IsLatest", "true", "false"))},
		{"delete markers", doc, history(), GET("?versions"), is(200, val("Version/VersionId", "{v2}", "{v1}"), val("DeleteMarker/VersionId", "{m}"), val("DeleteMarker/IsLatest", "true"), val("Version/IsLatest", "false", "false"))},
		{"owner", doc, history(), GET("?versions"), is(200, val("Version/Owner/ID", "{canonical}", "{canonical}"), val("DeleteMarker/Owner/ID", "{canonical}"))},
		{"owner of what another account wrote, ACLs on", doc + ": Owner", append(append(acls(), append(versioned("Enabled"), letIn("s3:PutObject")...)...), PUT("k", ten), PUT("k", "other").by(other)), GET("?versions"), is(200, val("Version/Owner/ID", "{stranger}", "{canonical}"))},
		{"owner of what another account wrote, ACLs on and off again", "UserGuide/about-object-ownership: BucketOwnerEnforced", append(append(acls(), letIn("s3:PutObject")...), PUT("k", "other").by(other), sent("?ownershipControls", owned("BucketOwnerEnforced"))), GET("?versions"), is(200, val("Version/Owner/ID", "{canonical}"))},
		{"owner of a marker that another account made, ACLs on", "API_DeleteMarkerEntry: the account that created the delete marker", append(append(acls(), append(versioned("Enabled"), letIn("s3:DeleteObject")...)...), PUT("k", ten), DELETE("k").by(other)), GET("?versions"), is(200, val("Version/Owner/ID", "{canonical}"), val("DeleteMarker/Owner/ID", "{stranger}"))},
		{"owner of a marker among many", "API_DeleteMarkerEntry: the account that created the delete marker", append(append(acls(), append(versioned("Enabled"), letIn("s3:DeleteObject")...)...), deleteMany(deleting("k")).by(other)), GET("?versions"), is(200, val("DeleteMarker/Owner/ID", "{stranger}"))},
		{"owner of a marker that another account made, ACLs off", "UserGuide/about-object-ownership: BucketOwnerEnforced", append(append(versioned("Enabled"), letIn("s3:DeleteObject")...), DELETE("k").by(other)), GET("?versions"), is(200, val("DeleteMarker/Owner/ID", "{canonical}"))},
		{"prefix", doc + ": prefix", many(), GET("?versions&prefix=b/"), is(200, val("Version/Key", "b/1", "b/2"), val("DeleteMarker/Key", "b/1"))},
		{"delimiter", doc + ": delimiter", many(), GET("?versions&delimiter=/"), is(200, val("Version/Key", "a", "a", "c"), val("DeleteMarker"), val("CommonPrefixes/Prefix", "b/"))},
		{"first page", doc + ": max-keys", many(), GET("?versions&max-keys=1"), is(200, val("Version/VersionId", "{a2}"), val("IsTruncated", "true"), val("NextKeyMarker", "a"), val("NextVersionIdMarker", "{a2}"))},
		{"next page", doc + ": version-id-marker", many(), GET("?versions&max-keys=1&key-marker=a&version-id-marker={a2}"), is(200, val("Version/VersionId", "{a1}"), val("KeyMarker", "a"), val("VersionIdMarker", "{a2}"))},
		{"last page", doc + ": key-marker", many(), GET("?versions&key-marker=b/2"), is(200, val("Version/VersionId", "{c1}"), val("IsTruncated", "false"), val("NextKeyMarker"))},
		{"key-marker alone passes its key", doc + ": key-marker", many(), GET("?versions&key-marker=a&max-keys=1"), is(200, val("DeleteMarker/Key", "b/1"))},
		{"max-keys 0", doc + ": max-keys", many(), GET("?versions&max-keys=0"), is(200, val("Version"), val("IsTruncated", "false"))},
		{"max-keys counts common prefixes", doc + ": CommonPrefixes", many(), GET("?versions&delimiter=/&max-keys=3"), is(200, count("Version", 2), val("CommonPrefixes/Prefix", "b/"), val("IsTruncated", "true"), val("NextKeyMarker", "b/"))},
		{"encoding-type", doc + ": encoding-type", append(versioned("Enabled"), PUT("a%20b", "")), GET("?versions&encoding-type=url"), is(200, valLike("Version/Key", `^a(\+|%20)b$`), val("EncodingType", "url"))},
		{"a page that ends with version null", doc + ": NextVersionIdMarker", append(append(given(PUT("k", "old")), versioned("Enabled")...), PUT("k", "new"), PUT("z", "")), GET("?versions&max-keys=2"), is(200, val("NextKeyMarker", "k"), val("NextVersionIdMarker", "null"), then(GET("?versions&key-marker=k&version-id-marker=null"), is(200, val("Version/Key", "z"), val("VersionIdMarker", "null"))))},
		{"behind version null", doc + ": version-id-marker", append(append(versioned("Enabled"), PUT("k", "one").save("v", "x-amz-version-id")), append(versioned("Suspended"), PUT("k", "two"))...), GET("?versions&max-keys=1"), is(200, val("Version/VersionId", "null"), val("NextVersionIdMarker", "null"), then(GET("?versions&key-marker=k&version-id-marker=null"), is(200, val("Version/VersionId", "{v}"))))},
		{"behind version null when it is gone", "tools that empty a bucket page by page", append(append(versioned("Enabled"), PUT("k", "one").save("v", "x-amz-version-id")), append(versioned("Suspended"), PUT("k", "two"), DELETE("k?versionId=null"))...), GET("?versions&key-marker=k&version-id-marker=null"), is(200, val("Version/VersionId", "{v}"))},
		{"version-id-marker without key-marker", "API/ErrorResponses: InvalidArgument", many(), GET("?versions&version-id-marker={a2}"), fails(400, "InvalidArgument")},
		{"version-id-marker that is none", "API/ErrorResponses: InvalidArgument", many(), GET("?versions&key-marker=a&version-id-marker=nonsense"), fails(400, "InvalidArgument")},
		{"max-keys negative", "API/ErrorResponses: InvalidArgument", nil, GET("?versions&max-keys=-1"), fails(400, "InvalidArgument")},
		{"encoding-type that is none", "API/ErrorResponses: InvalidArgument", nil, GET("?versions&encoding-type=base64"), fails(400, "InvalidArgument")},
		{"absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}?versions"), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?versions").by(nobody), fails(403, "AccessDenied")},
	}}
}

// later is a date so many hours from now, as the API has dates.
func later(hours int) string {
	return time.Now().Add(time.Duration(hours) * time.Hour).UTC().Format("2006-01-02T15:04:05Z")
}

func retained(mode string, hours int) string {
	return "<Retention" + ns + "><Mode>" + mode + "</Mode><RetainUntilDate>" + later(hours) + "</RetainUntilDate></Retention>"
}

// lockedObject is k in the locked bucket {none}, with its version in {v}.
func lockedObject(header ...string) []*request {
	return append(locked(), PUT("/{none}/k", ten, append([]string{"Content-MD5", md5Of(ten)}, header...)...).save("v", "x-amz-version-id"))
}

func retention() group {
	const doc, version = "API_PutObjectRetention", "/{none}/k?versionId={v}"
	put := func(mode string, hours int, header ...string) *request {
		return sent("/{none}/k?retention", retained(mode, hours), header...)
	}
	with := func(mode string, hours int) []*request { return append(lockedObject(), put(mode, hours)) }
	kept := then(GET(version), is(200, has(ten)))
	bypass := []string{"x-amz-bypass-governance-retention", "true"}
	retainedBy := []string{"x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", later(1)}
	return group{"Retention", own, []kase{
		{"put", doc, lockedObject(), put("GOVERNANCE", 1), is(200)},
		{"get", "API_GetObjectRetention", with("GOVERNANCE", 1), GET("/{none}/k?retention"), is(200, val("Mode", "GOVERNANCE"), valLike("RetainUntilDate", `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`))},
		{"shown by HEAD", "API_HeadObject", with("COMPLIANCE", 1), HEAD("/{none}/k"), is(200, header("x-amz-object-lock-mode", "COMPLIANCE"), headerLike("x-amz-object-lock-retain-until-date", "Z$"))},
		{"in a put's headers", "API_PutObject: x-amz-object-lock-mode", lockedObject("x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", later(1)), DELETE(version), fails(403, "AccessDenied", kept)},
		{"in a put's headers without the date", "API/ErrorResponses: InvalidArgument", locked(), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten), "x-amz-object-lock-mode", "GOVERNANCE"), fails(400, "InvalidArgument")},
		{"in a put's headers without the mode", "API/ErrorResponses: InvalidArgument", locked(), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten), "x-amz-object-lock-retain-until-date", later(1)), fails(400, "InvalidArgument")},
		{"in a put's headers, past", "API/ErrorResponses: InvalidArgument", locked(), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten), "x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", later(-1)), fails(400, "InvalidArgument")},
		{"in a put's headers, more than 100 years ahead", "UserGuide/object-lock: 100 years", locked(), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten), "x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", later(24*36501)), fails(400, "InvalidArgument")},
		{"in a put's headers, 100 years ahead", "UserGuide/object-lock: 100 years", locked(), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten), "x-amz-object-lock-mode", "GOVERNANCE", "x-amz-object-lock-retain-until-date", later(24*36499)), is(200)},
		{"in a put's headers without a digest of the body", "API_PutObject: Content-MD5 is required", locked(), PUT("/{none}/k", ten, retainedBy...), fails(400, "InvalidRequest", then(HEAD("/{none}/k"), fails(404, "")))},
		{"in a put's headers with a checksum", "API_PutObject: or x-amz-checksum-", locked(), PUT("/{none}/k", ten, append([]string{"x-amz-checksum-crc32", sum("crc32", ten)}, retainedBy...)...), is(200)},
		{"in a put's headers with a checksum in the trailer", "aws-sdk-go-v2 default checksums", locked(), PUT("/{none}/k", ten, retainedBy...).streamed(trailing("crc32", ten)), is(200)},
		{"in a multipart upload's headers", "API_CreateMultipartUpload: x-amz-object-lock-mode", append(locked(), POST("/{none}/k?uploads", "", retainedBy...).save("id", "UploadId"), PUT("/{none}/k?partNumber=1&uploadId={id}", ten).save("e1", "ETag")), POST("/{none}/k?uploadId={id}", named(1)), is(200, then(HEAD("/{none}/k"), is(200, header("x-amz-object-lock-mode", "GOVERNANCE"))))},
		{"in a copy's headers", "API_CopyObject: x-amz-object-lock-mode", append(withTen(), locked()...), PUT("/{none}/k", "", append([]string{"x-amz-copy-source", "/{bucket}/k"}, retainedBy...)...), is(200, then(HEAD("/{none}/k"), is(200, header("x-amz-object-lock-mode", "GOVERNANCE"))))},
		{"by the bucket's default without a digest of the body", "API_PutObject: Content-MD5 is required", append(locked(), sent("/{none}?object-lock", lockDoc(lockRule("GOVERNANCE", "<Days>1</Days>")))), PUT("/{none}/k", ten), fails(400, "InvalidRequest")},
		{"by the bucket's default", "UserGuide/object-lock", append(append(locked(), sent("/{none}?object-lock", lockDoc(lockRule("GOVERNANCE", "<Days>1</Days>")))), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten)).save("v", "x-amz-version-id")), DELETE(version), fails(403, "AccessDenied", then(HEAD("/{none}/k"), is(200, header("x-amz-object-lock-mode", "GOVERNANCE"))))},
		{"GOVERNANCE keeps a version", "UserGuide/object-lock", with("GOVERNANCE", 1), DELETE(version), fails(403, "AccessDenied", kept)},
		{"COMPLIANCE keeps a version", "UserGuide/object-lock", with("COMPLIANCE", 1), DELETE(version), fails(403, "AccessDenied", kept)},
		{"bypass of GOVERNANCE", "UserGuide/object-lock: s3:BypassGovernanceRetention", with("GOVERNANCE", 1), DELETE(version, bypass...), is(204, then(GET(version), fails(404, "NoSuchVersion")))},
		{"no bypass of COMPLIANCE", "UserGuide/object-lock", with("COMPLIANCE", 1), DELETE(version, bypass...), fails(403, "AccessDenied", kept)},
		{"a marker may be made", "UserGuide/object-lock", with("COMPLIANCE", 1), DELETE("/{none}/k"), is(204, header("x-amz-delete-marker", "true"), kept)},
		{"a new version may be made", "UserGuide/object-lock", with("COMPLIANCE", 1), PUT("/{none}/k", "new", "Content-MD5", md5Of("new")), is(200, kept)},
		{"GOVERNANCE made longer", doc, with("GOVERNANCE", 1), put("GOVERNANCE", 2), is(200)},
		{"GOVERNANCE made shorter", doc, with("GOVERNANCE", 2), put("GOVERNANCE", 1), fails(403, "AccessDenied")},
		{"GOVERNANCE made shorter with bypass", doc + ": x-amz-bypass-governance-retention", with("GOVERNANCE", 2), put("GOVERNANCE", 1, bypass...), is(200)},
		{"GOVERNANCE taken away with bypass", doc, with("GOVERNANCE", 2), sent("/{none}/k?retention", "<Retention"+ns+"/>", bypass...), is(200, then(GET("/{none}/k?retention"), fails(404, "NoSuchObjectLockConfiguration")))},
		{"GOVERNANCE made COMPLIANCE", "UserGuide/object-lock: alter its lock settings", with("GOVERNANCE", 1), put("COMPLIANCE", 2), fails(403, "AccessDenied")},
		{"GOVERNANCE made COMPLIANCE with bypass", "UserGuide/object-lock: alter its lock settings", with("GOVERNANCE", 1), put("COMPLIANCE", 2, bypass...), is(200)},
		{"COMPLIANCE made longer", doc, with("COMPLIANCE", 1), put("COMPLIANCE", 2), is(200)},
		{"COMPLIANCE made shorter", doc, with("COMPLIANCE", 2), put("COMPLIANCE", 1, bypass...), fails(403, "AccessDenied")},
		{"COMPLIANCE made GOVERNANCE", doc, with("COMPLIANCE", 1), put("GOVERNANCE", 2, bypass...), fails(403, "AccessDenied")},
		{"100 years", "UserGuide/object-lock: 100 years", lockedObject(), put("GOVERNANCE", 24*36499), is(200)},
		{"more than 100 years", "UserGuide/object-lock: 100 years", lockedObject(), put("GOVERNANCE", 24*36501), fails(400, "InvalidArgument")},
		{"date past", "API/ErrorResponses: InvalidArgument, The retain until date must be in the future", lockedObject(), put("GOVERNANCE", -1), fails(400, "InvalidArgument")},
		{"mode that does not exist", "API/ErrorResponses: MalformedXML", lockedObject(), put("SOFT", 1), fails(400, "MalformedXML")},
		{"mode without date", "API/ErrorResponses: MalformedXML", lockedObject(), sent("/{none}/k?retention", "<Retention><Mode>GOVERNANCE</Mode></Retention>"), fails(400, "MalformedXML")},
		{"in a bucket without lock", "API/ErrorResponses: InvalidRequest, Bucket is missing Object Lock Configuration", withTen(), sent("k?retention", retained("GOVERNANCE", 1)), fails(400, "InvalidRequest")},
		{"get in a bucket without lock", "API/ErrorResponses: InvalidRequest", withTen(), GET("k?retention"), fails(400, "InvalidRequest")},
		{"get of none", "API_GetObjectRetention: NoSuchObjectLockConfiguration", lockedObject(), GET("/{none}/k?retention"), fails(404, "NoSuchObjectLockConfiguration")},
		{"of an absent object", "API/ErrorResponses: NoSuchKey", locked(), sent("/{none}/k?retention", retained("GOVERNANCE", 1)), fails(404, "NoSuchKey")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", withTen(), sent("k?retention", retained("GOVERNANCE", 1)).by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", withTen(), GET("k?retention").by(nobody), fails(403, "AccessDenied")},
		{"many versions deleted at once", "API_DeleteObjects", with("GOVERNANCE", 1), POST("/{none}?delete", "<Delete"+ns+"><Object><Key>k</Key><VersionId>{v}</VersionId></Object></Delete>").summed(), is(200, val("Error/Code", "AccessDenied"), kept)},
	}}
}

// summed sends the checksum of the body along.
func (q *request) summed() *request { q.sum = true; return q }

func legalHolds() group {
	const doc, version = "API_PutObjectLegalHold", "/{none}/k?versionId={v}"
	hold := func(status string) *request {
		return sent("/{none}/k?legal-hold", "<LegalHold"+ns+"><Status>"+status+"</Status></LegalHold>")
	}
	held := func() []*request { return append(lockedObject(), hold("ON")) }
	return group{"LegalHold", own, []kase{
		{"put", doc, lockedObject(), hold("ON"), is(200)},
		{"get", "API_GetObjectLegalHold", held(), GET("/{none}/k?legal-hold"), is(200, val("Status", "ON"))},
		{"get after it was put off", "API_GetObjectLegalHold", append(held(), hold("OFF")), GET("/{none}/k?legal-hold"), is(200, val("Status", "OFF"))},
		{"shown by HEAD", "API_HeadObject", held(), HEAD("/{none}/k"), is(200, header("x-amz-object-lock-legal-hold", "ON"))},
		{"in a put's headers", "API_PutObject: x-amz-object-lock-legal-hold", lockedObject("x-amz-object-lock-legal-hold", "ON"), DELETE(version), fails(403, "AccessDenied")},
		{"in a put's headers, neither", "API/ErrorResponses: InvalidArgument", locked(), PUT("/{none}/k", ten, "Content-MD5", md5Of(ten), "x-amz-object-lock-legal-hold", "MAYBE"), fails(400, "InvalidArgument")},
		{"keeps a version", "UserGuide/object-lock", held(), DELETE(version), fails(403, "AccessDenied", then(GET(version), is(200, has(ten))))},
		{"no bypass", "UserGuide/object-lock", held(), DELETE(version, "x-amz-bypass-governance-retention", "true"), fails(403, "AccessDenied")},
		{"put off lets go", "UserGuide/object-lock", append(held(), hold("OFF")), DELETE(version), is(204)},
		{"neither on nor off", "API/ErrorResponses: MalformedXML", lockedObject(), hold("MAYBE"), fails(400, "MalformedXML")},
		{"not XML", "API/ErrorResponses: MalformedXML", lockedObject(), sent("/{none}/k?legal-hold", "ON"), fails(400, "MalformedXML")},
		{"in a bucket without lock", "API/ErrorResponses: InvalidRequest", withTen(), sent("k?legal-hold", "<LegalHold><Status>ON</Status></LegalHold>"), fails(400, "InvalidRequest")},
		{"get of none", "API_GetObjectLegalHold: NoSuchObjectLockConfiguration", lockedObject(), GET("/{none}/k?legal-hold"), fails(404, "NoSuchObjectLockConfiguration")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", withTen(), sent("k?legal-hold", "<LegalHold><Status>ON</Status></LegalHold>").by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", withTen(), GET("k?legal-hold").by(nobody), fails(403, "AccessDenied")},
	}}
}

func objectTags() group {
	const doc = "API_PutObjectTagging"
	put := func(tags ...string) *request { return sent("k?tagging", tagging(tags...)) }
	g := group{"ObjectTags", shared, []kase{
		{"put", doc, withTen(), put("a", "1"), is(200, then(HEAD("k"), is(200, header("x-amz-tagging-count", "1"), header("ETag", "{etag}"), header("Last-Modified", "{date}"))))},
		{"get", "API_GetObjectTagging", append(withTen(), put("b", "2", "a", "1")), GET("k?tagging"), is(200, count("TagSet/Tag", 2))},
		{"get of none", "API_GetObjectTagging", withTen(), GET("k?tagging"), is(200, count("TagSet", 1), val("TagSet/Tag"))},
		{"get what a put's header said", "API_PutObject: x-amz-tagging", given(PUT("k", ten, "x-amz-tagging", "a=x%2By")), GET("k?tagging"), is(200, val("TagSet/Tag/Value", "x+y"))},
		{"put replaces", doc, append(withTen(), put("a", "1", "b", "2"), put("c", "3")), GET("k?tagging"), is(200, val("TagSet/Tag/Key", "c"))},
		{"put of none", doc, append(withTen(), put("a", "1"), put()), GET("k?tagging"), is(200, val("TagSet/Tag"))},
		{"delete", "API_DeleteObjectTagging", append(withTen(), put("a", "1")), DELETE("k?tagging"), is(204, then(GET("k?tagging"), is(200, val("TagSet/Tag"))))},
		{"delete of none", "API_DeleteObjectTagging", withTen(), DELETE("k?tagging"), is(204)},
		{"an overwrite has none", "UserGuide/object-tagging", append(withTen(), put("a", "1"), PUT("k", "new")), GET("k?tagging"), is(200, val("TagSet/Tag"))},
		{"a value that is empty", doc, withTen(), put("a", ""), is(200, then(GET("k?tagging"), is(200, val("TagSet/Tag/Value", ""))))},
		{"not ASCII", doc, append(withTen(), put("schlüssel", "wert 1 + 2")), GET("k?tagging"), is(200, val("TagSet/Tag/Key", "schlüssel"), val("TagSet/Tag/Value", "wert 1 + 2"))},
		{"128 and 256 characters", "UserGuide/object-tagging", withTen(), put(strings.Repeat("ä", 128), strings.Repeat("ö", 256)), is(200)},
		{"10 of them", "UserGuide/object-tagging", withTen(), put(manyTags(10)...), is(200)},
		{"11 of them", "API/ErrorResponses: BadRequest, Object tags cannot be greater than 10", withTen(), put(manyTags(11)...), fails(400, "BadRequest", val("Message", "Object tags cannot be greater than 10"))},
		{"a key of 129 characters", "API/ErrorResponses: InvalidTag", withTen(), put(strings.Repeat("k", 129), "1"), fails(400, "InvalidTag")},
		{"a value of 257 characters", "API/ErrorResponses: InvalidTag", withTen(), put("a", strings.Repeat("v", 257)), fails(400, "InvalidTag")},
		{"a key that is empty", "API/ErrorResponses: InvalidTag", withTen(), put("", "1"), fails(400, "InvalidTag")},
		{"a key twice", "API/ErrorResponses: InvalidTag, Cannot provide multiple Tags with the same key", withTen(), put("a", "1", "a", "2"), fails(400, "InvalidTag")},
		{"characters that are not allowed", "API/ErrorResponses: InvalidTag", withTen(), put("a;b", "1"), fails(400, "InvalidTag")},
		{"not XML", "API/ErrorResponses: MalformedXML", withTen(), sent("k?tagging", "a=1"), fails(400, "MalformedXML")},
		{"another root", "API/ErrorResponses: MalformedXML", withTen(), sent("k?tagging", "<Tags/>"), fails(400, "MalformedXML")},
		{"wrong digest", "API/ErrorResponses: BadDigest", withTen(), PUT("k?tagging", tagging("a", "1"), "Content-MD5", md5Of("other")), fails(400, "BadDigest")},
		{"put of an absent object", "API/ErrorResponses: NoSuchKey", nil, put("a", "1"), fails(404, "NoSuchKey")},
		{"get of an absent object", "API/ErrorResponses: NoSuchKey", nil, GET("k?tagging"), fails(404, "NoSuchKey")},
		{"delete of an absent object", "API/ErrorResponses: NoSuchKey", nil, DELETE("k?tagging"), fails(404, "NoSuchKey")},
		{"put anonymous", "API/ErrorResponses: AccessDenied", withTen(), put("a", "1").by(nobody), fails(403, "AccessDenied")},
		{"get anonymous", "API/ErrorResponses: AccessDenied", withTen(), GET("k?tagging").by(nobody), fails(403, "AccessDenied")},
		{"delete anonymous", "API/ErrorResponses: AccessDenied", withTen(), DELETE("k?tagging").by(nobody), fails(403, "AccessDenied")},
	}}
	return g
}

func attributes() group {
	const doc, of = "API_GetObjectAttributes", "x-amz-object-attributes"
	all := "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"
	get := func(header ...string) *request { return GET("k?attributes", header...) }
	two := func() []*request {
		return given(upload("x-amz-checksum-algorithm", "SHA256"), summed("sha256", 1, part5), summed("sha256", 2, ten), complete(namedWith("sha256", part5, ten)))
	}
	whole := func(header ...string) []*request {
		return given(upload(header...), part(1, part5), part(2, ten), complete(named(1, 2)))
	}
	return group{"ObjectAttributes", shared, []kase{
		{"ETag", doc, withTen(), get(of, "ETag"), is(200, val("ETag", hexMD5(ten)), val("ObjectSize"), header("Last-Modified", "{date}"))},
		{"all of a plain object", doc, withTen(), get(of, all), is(200, val("ETag", hexMD5(ten)), val("ObjectSize", "10"), val("StorageClass", "STANDARD"), val("Checksum/ChecksumCRC64NVME", sum("crc64nvme", ten)), val("ObjectParts"))},
		{"in several headers", doc, withTen(), get(of, "ETag", of, "ObjectSize"), is(200, val("ETag", hexMD5(ten)), val("ObjectSize", "10"))},
		{"checksum's type", doc, withTen(), get(of, "Checksum"), is(200, val("Checksum/ChecksumType", "FULL_OBJECT"))},
		{"parts", doc, two(), get(of, "ObjectParts"), is(200, val("ObjectParts/PartsCount", "2"), val("ObjectParts/Part/PartNumber", "1", "2"), val("ObjectParts/Part/Size", itoa(partBytesMin), "10"), val("ObjectParts/Part/ChecksumSHA256", sum("sha256", part5), sum("sha256", ten)), val("ObjectParts/IsTruncated", "false"))},
		{"first page of parts", doc + ": x-amz-max-parts", two(), get(of, "ObjectParts", "x-amz-max-parts", "1"), is(200, val("ObjectParts/Part/PartNumber", "1"), val("ObjectParts/IsTruncated", "true"), val("ObjectParts/NextPartNumberMarker", "1"), val("ObjectParts/MaxParts", "1"))},
		{"last page of parts", doc + ": x-amz-part-number-marker", two(), get(of, "ObjectParts", "x-amz-part-number-marker", "1"), is(200, val("ObjectParts/Part/PartNumber", "2"), val("ObjectParts/IsTruncated", "false"))},
		{"max-parts of more than a page", doc + "; AWS shows what was asked for", two(), get(of, "ObjectParts", "x-amz-max-parts", "5000"), is(200, val("ObjectParts/MaxParts", "5000"), val("ObjectParts/Part/PartNumber", "1", "2"))},
		{"parts of a full object checksum", doc + "; AWS says their number alone, localstack/localstack#12764", whole("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "FULL_OBJECT"), get(of, "ObjectParts,Checksum"), is(200, val("ObjectParts/PartsCount", "2"), val("ObjectParts/Part"), val("ObjectParts/IsTruncated"), val("Checksum/ChecksumCRC32", sum("crc32", part5+ten)))},
		{"parts without a checksum asked for", doc + "; AWS says their number alone, localstack/localstack#12764", whole(), get(of, "ObjectParts"), is(200, val("ObjectParts/PartsCount", "2"), val("ObjectParts/Part"))},
		{"composite checksum", doc + "; AWS leaves the number of parts out, floci-io/floci#3083", two(), get(of, "Checksum"), is(200, val("Checksum/ChecksumSHA256", strings.TrimSuffix(composite("sha256", part5, ten), "-2")), val("Checksum/ChecksumType", "COMPOSITE"))},
		{"none asked for", "API/ErrorResponses: InvalidRequest", withTen(), get(), fails(400, "InvalidRequest")},
		{"one that does not exist", "API/ErrorResponses: InvalidArgument, Invalid attribute name specified", withTen(), get(of, "Colour"), fails(400, "InvalidArgument")},
		{"max-parts negative", "API/ErrorResponses: InvalidArgument", withTen(), get(of, "ObjectParts", "x-amz-max-parts", "-1"), fails(400, "InvalidArgument")},
		{"of an absent object", "API/ErrorResponses: NoSuchKey", nil, get(of, "ETag"), fails(404, "NoSuchKey")},
		{"anonymous", "API/ErrorResponses: AccessDenied", withTen(), get(of, "ETag").by(nobody), fails(403, "AccessDenied")},
	}}
}
