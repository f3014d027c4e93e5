package s3

import "strings"

func listGroups() []group { return []group{listing(), listV1(), listV2(), listErrors()} }

// tree are the keys that most listings are of.
func tree() []*request {
	return given(PUT("a", "1"), PUT("b/1", "22"), PUT("b/2", "333"), PUT("b/c/3", ""), PUT("d", "x"), PUT("e/1", "x"))
}

// both has each case for ListObjects and ListObjectsV2.
func both(g *group, name, doc string, steps func() []*request, query string, w want) {
	g.cases = append(g.cases,
		kase{"V1 " + name, "API_ListObjects: " + doc, steps(), GET("?" + query), w},
		kase{"V2 " + name, "API_ListObjectsV2: " + doc, steps(), GET("?list-type=2&" + query), w},
	)
}

func listing() group {
	g := group{name: "Listing"}
	none := func() []*request { return nil }
	put := func(keys ...string) func() []*request {
		return func() (steps []*request) {
			for _, k := range keys {
				steps = append(steps, PUT("/{bucket}/"+escapeKey(k), "x"))
			}
			return steps
		}
	}
	both(&g, "empty", "Contents", none, "prefix=", is(200, val("Name", "{bucket}"), val("Contents"), val("CommonPrefixes"), val("IsTruncated", "false"), val("MaxKeys", "1000"), val("Prefix", "")))
	both(&g, "one", "Contents", put("k"), "prefix=", is(200, val("Contents/Key", "k"), val("Contents/Size", "1"), val("Contents/ETag", quoted("x")), val("Contents/StorageClass", "STANDARD"), valLike("Contents/LastModified", `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)))
	both(&g, "all in order", "Contents", tree, "prefix=", is(200, val("Contents/Key", "a", "b/1", "b/2", "b/c/3", "d", "e/1"), val("Contents/Size", "1", "2", "3", "0", "1", "1")))
	both(&g, "prefix", "prefix", tree, "prefix=b/", is(200, val("Contents/Key", "b/1", "b/2", "b/c/3"), val("Prefix", "b/")))
	both(&g, "prefix that is a key", "prefix", tree, "prefix=b/1", is(200, val("Contents/Key", "b/1")))
	both(&g, "prefix of none", "prefix", tree, "prefix=zzz", is(200, val("Contents/Key")))
	both(&g, "prefix with a space", "prefix", put("a b/1", "a+b/1"), "prefix=a%20b", is(200, val("Contents/Key", "a b/1")))
	both(&g, "prefix with a plus for a space", "prefix", put("a b/1", "a+b/1"), "prefix=a+b", is(200, val("Contents/Key", "a b/1")))
	both(&g, "prefix with an escaped plus", "prefix", put("a b/1", "a+b/1"), "prefix=a%2Bb", is(200, val("Contents/Key", "a+b/1")))
	both(&g, "delimiter", "delimiter", tree, "delimiter=/", is(200, val("Contents/Key", "a", "d"), val("CommonPrefixes/Prefix", "b/", "e/"), val("Delimiter", "/")))
	both(&g, "delimiter and prefix", "delimiter", tree, "delimiter=/&prefix=b/", is(200, val("Contents/Key", "b/1", "b/2"), val("CommonPrefixes/Prefix", "b/c/")))
	both(&g, "delimiter and half a prefix", "delimiter", tree, "delimiter=/&prefix=b", is(200, val("Contents/Key"), val("CommonPrefixes/Prefix", "b/")))
	both(&g, "prefix is the delimiter", "delimiter", put("/", "/a", "//b", "c"), "delimiter=/&prefix=/", is(200, val("Contents/Key", "/", "/a"), val("CommonPrefixes/Prefix", "//")))
	both(&g, "delimiter that is in no key", "delimiter", tree, "delimiter=%23", is(200, count("Contents", 6), val("CommonPrefixes")))
	both(&g, "delimiter empty", "delimiter", tree, "delimiter=", is(200, count("Contents", 6), val("Delimiter")))
	both(&g, "delimiter of several bytes", "delimiter", put("a--b", "a--c", "a-d", "e"), "delimiter=--", is(200, val("Contents/Key", "a-d", "e"), val("CommonPrefixes/Prefix", "a--")))
	both(&g, "delimiter that is a letter", "delimiter", put("bar", "baz", "cab", "foo"), "delimiter=a", is(200, val("Contents/Key", "foo"), val("CommonPrefixes/Prefix", "ba", "ca")))
	both(&g, "delimiter not ASCII", "delimiter", put("1ä2", "1ä3", "4"), "delimiter=%C3%A4", is(200, val("Contents/Key", "4"), val("CommonPrefixes/Prefix", "1ä")))
	both(&g, "delimiter a space", "delimiter", put("b ar", "b az", "foo"), "delimiter=%20", is(200, val("Contents/Key", "foo"), val("CommonPrefixes/Prefix", "b ")))
	both(&g, "delimiter a percent sign", "delimiter", put("b%ar", "b%az", "foo"), "delimiter=%25", is(200, val("CommonPrefixes/Prefix", "b%")))
	both(&g, "a key that is a common prefix", "delimiter", put("b", "b/", "b/1"), "delimiter=/", is(200, val("Contents/Key", "b"), val("CommonPrefixes/Prefix", "b/")))
	both(&g, "max-keys 0", "max-keys", tree, "max-keys=0", is(200, val("Contents"), val("IsTruncated", "false"), val("MaxKeys", "0")))
	both(&g, "max-keys 1", "max-keys", tree, "max-keys=1", is(200, val("Contents/Key", "a"), val("IsTruncated", "true"), val("MaxKeys", "1")))
	both(&g, "max-keys of all there are", "max-keys", tree, "max-keys=6", is(200, count("Contents", 6), val("IsTruncated", "false")))
	both(&g, "max-keys 1001", "max-keys: at most 1000", tree, "max-keys=1001", is(200, count("Contents", 6), val("MaxKeys", "1000")))
	both(&g, "max-keys empty", "max-keys; ceph/s3-tests test_bucket_list_maxkeys_none", tree, "max-keys=", is(200, count("Contents", 6), val("MaxKeys", "1000")))
	both(&g, "max-keys counts common prefixes", "CommonPrefixes", tree, "max-keys=2&delimiter=/", is(200, val("Contents/Key", "a"), val("CommonPrefixes/Prefix", "b/"), val("IsTruncated", "true")))
	both(&g, "max-keys ends with common prefixes", "CommonPrefixes", tree, "max-keys=4&delimiter=/", is(200, val("CommonPrefixes/Prefix", "b/", "e/"), val("IsTruncated", "false")))
	both(&g, "encoding-type url", "encoding-type", put("a b/ä+1"), "encoding-type=url&delimiter=%2B&prefix=a%20", is(200, val("EncodingType", "url"), valLike("CommonPrefixes/Prefix", `^a(\+|%20)b/%C3%A4%2B$`), val("Delimiter", "%2B"), valLike("Prefix", `^a(\+|%20)$`)))
	both(&g, "encoding-type url leaves slashes", "encoding-type", put("a/b.c-d_e~*"), "encoding-type=url", is(200, valLike("Contents/Key", `^a/b\.c-d_e(~|%7E)(\*|%2A)$`)))
	both(&g, "control characters", "UserGuide/object-keys", put("a\x01b"), "prefix=a", is(200, val("Contents/Key", "a\x01b")))
	both(&g, "checksums", "ChecksumAlgorithm", put("k"), "prefix=", is(200, val("Contents/ChecksumAlgorithm", "CRC64NVME"), val("Contents/ChecksumType", "FULL_OBJECT")))
	both(&g, "deleted", "Contents", func() []*request { return append(tree(), DELETE("a"), DELETE("b/1")) }, "prefix=", is(200, val("Contents/Key", "b/2", "b/c/3", "d", "e/1")))
	both(&g, "a prefix longer than a key may be", "prefix", none, "prefix="+strings.Repeat("p", 1025), fails(400, "KeyTooLongError"))
	both(&g, "restore status asked for", "x-amz-optional-object-attributes", tree, "prefix=a", is(200, val("Contents/RestoreStatus")))
	return g
}

func listV1() group {
	const doc = "API_ListObjects"
	return group{"ListObjects", own, []kase{
		{"owner", doc + ": Owner", tree(), GET("?prefix=a"), is(200, val("Contents/Owner/ID", "{canonical}"))},
		{"marker", doc + ": marker", tree(), GET("?marker=b/1"), is(200, val("Contents/Key", "b/2", "b/c/3", "d", "e/1"), val("Marker", "b/1"))},
		{"marker empty", doc + ": marker", tree(), GET("?marker="), is(200, count("Contents", 6), val("Marker", ""))},
		{"marker that is no key", doc + ": marker", tree(), GET("?marker=b/11"), is(200, val("Contents/Key", "b/2", "b/c/3", "d", "e/1"))},
		{"marker past all", doc + ": marker", tree(), GET("?marker=zzz"), is(200, val("Contents"), val("IsTruncated", "false"))},
		{"marker before the prefix", doc + ": marker", tree(), GET("?marker=a&prefix=b/"), is(200, val("Contents/Key", "b/1", "b/2", "b/c/3"))},
		{"marker behind the prefix", doc + ": marker", tree(), GET("?marker=d&prefix=b/"), is(200, val("Contents"))},
		{"marker that is a common prefix", doc + ": marker", tree(), GET("?marker=b/&delimiter=/"), is(200, val("Contents/Key", "d"), val("CommonPrefixes/Prefix", "e/"))},
		{"marker before a common prefix", doc + ": marker", tree(), GET("?marker=b&delimiter=/"), is(200, val("Contents/Key", "d"), val("CommonPrefixes/Prefix", "b/", "e/"))},
		{"marker inside a common prefix", doc + ": marker; all entries come after it", tree(), GET("?marker=b/1&delimiter=/"), is(200, val("Contents/Key", "d"), val("CommonPrefixes/Prefix", "e/"))},
		{"NextMarker with a delimiter", doc + ": NextMarker", tree(), GET("?delimiter=/&max-keys=2"), is(200, val("NextMarker", "b/"), val("IsTruncated", "true"))},
		{"NextMarker that is a key", doc + ": NextMarker", tree(), GET("?delimiter=/&max-keys=3"), is(200, val("NextMarker", "d"))},
		{"no NextMarker without a delimiter", doc + ": NextMarker", tree(), GET("?max-keys=2"), is(200, val("NextMarker"), val("IsTruncated", "true"))},
		{"no NextMarker at the end", doc + ": NextMarker", tree(), GET("?delimiter=/"), is(200, val("NextMarker"))},
		{"next page", doc + ": NextMarker", append(tree(), GET("?delimiter=/&max-keys=2").save("next", "NextMarker")), GET("?delimiter=/&max-keys=2&marker={next}"), is(200, val("Contents/Key", "d"), val("CommonPrefixes/Prefix", "e/"), val("IsTruncated", "false"))},
		{"NextMarker is encoded", doc + ": encoding-type", given(PUT("a%20b/1", ""), PUT("c", "")), GET("?delimiter=/&max-keys=1&encoding-type=url"), is(200, valLike("NextMarker", `^a(\+|%20)b/$`))},
		{"absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}"), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, GET("").by(nobody), fails(403, "AccessDenied")},
		{"a user without permissions", "UserGuide/security_iam_service-with-iam", newUser(""), GET("").by(user), fails(403, "AccessDenied")},
		{"owner not as expected", "UserGuide/bucket-owner-condition", nil, GET("", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
		{"presigned", "API/sigv4-query-string-auth", tree(), GET("?prefix=a").presigned(), is(200, val("Contents/Key", "a"))},
		{"with a slash", doc, tree(), GET("/{bucket}/"), is(200, count("Contents", 6))},
	}}
}

func listV2() group {
	const doc = "API_ListObjectsV2"
	page := func(query string) *request { return GET("?list-type=2&"+query).save("token", "NextContinuationToken") }
	return group{"ListObjectsV2", own, []kase{
		{"KeyCount", doc + ": KeyCount", tree(), GET("?list-type=2&delimiter=/"), is(200, val("KeyCount", "4"), val("Marker"), val("NextMarker"))},
		{"no owner", doc + ": fetch-owner", tree(), GET("?list-type=2&prefix=a"), is(200, val("Contents/Owner"))},
		{"owner asked for", doc + ": fetch-owner", tree(), GET("?list-type=2&prefix=a&fetch-owner=true"), is(200, val("Contents/Owner/ID", "{canonical}"))},
		{"owner not asked for", doc + ": fetch-owner", tree(), GET("?list-type=2&prefix=a&fetch-owner=false"), is(200, val("Contents/Owner"))},
		{"start-after", doc + ": start-after", tree(), GET("?list-type=2&start-after=b/2"), is(200, val("Contents/Key", "b/c/3", "d", "e/1"), val("StartAfter", "b/2"))},
		{"start-after that is no key", doc + ": start-after", tree(), GET("?list-type=2&start-after=c"), is(200, val("Contents/Key", "d", "e/1"))},
		{"start-after past all", doc + ": start-after", tree(), GET("?list-type=2&start-after=zzz"), is(200, val("Contents"), val("KeyCount", "0"))},
		{"start-after a common prefix", doc + ": start-after", tree(), GET("?list-type=2&start-after=b/&delimiter=/"), is(200, val("Contents/Key", "d"), val("CommonPrefixes/Prefix", "e/"))},
		{"start-after before a common prefix", doc + ": start-after; versitygw#1275", tree(), GET("?list-type=2&start-after=b&delimiter=/&prefix=b"), is(200, val("CommonPrefixes/Prefix", "b/"))},
		{"first page", doc + ": NextContinuationToken", tree(), GET("?list-type=2&max-keys=4"), is(200, val("IsTruncated", "true"), count("NextContinuationToken", 1), val("KeyCount", "4"))},
		{"last page", doc + ": continuation-token", append(tree(), page("max-keys=4")), GET("?list-type=2&max-keys=4&continuation-token={token}"), is(200, val("Contents/Key", "d", "e/1"), val("ContinuationToken", "{token}"), val("NextContinuationToken"), val("IsTruncated", "false"))},
		{"page after a common prefix", doc + ": continuation-token", append(tree(), page("max-keys=2&delimiter=/")), GET("?list-type=2&delimiter=/&continuation-token={token}"), is(200, val("Contents/Key", "d"), val("CommonPrefixes/Prefix", "e/"))},
		{"token beats start-after", doc + ": start-after; ceph/s3-tests test_bucket_listv2_both_continuationtoken_startafter", append(tree(), page("max-keys=1&start-after=a")), GET("?list-type=2&start-after=a&continuation-token={token}"), is(200, val("Contents/Key", "b/2", "b/c/3", "d", "e/1"), val("StartAfter", "a"))},
		{"token of a key since deleted", doc + ": continuation-token", append(tree(), page("max-keys=3"), DELETE("b/2")), GET("?list-type=2&continuation-token={token}"), is(200, val("Contents/Key", "b/c/3", "d", "e/1"))},
		{"token is as good for a key put since", doc + ": continuation-token", append(tree(), page("max-keys=3"), PUT("c", "")), GET("?list-type=2&continuation-token={token}"), is(200, val("Contents/Key", "b/c/3", "c", "d", "e/1"))},
		{"token empty", doc + ": The continuation token provided is incorrect", nil, GET("?list-type=2&continuation-token="), fails(400, "InvalidArgument")},
		{"token that is none", doc + ": The continuation token provided is incorrect", nil, GET("?list-type=2&continuation-token=%21%21"), fails(400, "InvalidArgument")},
		{"StartAfter is encoded", doc + ": encoding-type", nil, GET("?list-type=2&start-after=a%20b&encoding-type=url"), is(200, valLike("StartAfter", `^a(\+|%20)b$`))},
		{"list-type 3", "API/ErrorResponses: InvalidArgument", nil, GET("?list-type=3"), fails(400, "InvalidArgument")},
		{"absent", "API/ErrorResponses: NoSuchBucket", nil, GET("/{none}?list-type=2"), fails(404, "NoSuchBucket")},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, GET("?list-type=2").by(nobody), fails(403, "AccessDenied")},
		{"another account", "UserGuide/about-object-ownership", nil, GET("?list-type=2").by(other), fails(403, "AccessDenied")},
		{"owner not as expected", "UserGuide/bucket-owner-condition", nil, GET("?list-type=2", "x-amz-expected-bucket-owner", "111122223333"), fails(403, "AccessDenied")},
	}}
}

func listErrors() group {
	g := group{name: "ListingErrors"}
	none := func() []*request { return nil }
	for _, bad := range []struct{ what, query string }{
		{"max-keys negative", "max-keys=-1"}, {"max-keys no number", "max-keys=many"}, {"max-keys with a fraction", "max-keys=1.5"}, {"max-keys out of all range", "max-keys=99999999999"},
		{"encoding-type base64", "encoding-type=base64"},
	} {
		both(&g, bad.what, "API/ErrorResponses: InvalidArgument", none, bad.query, fails(400, "InvalidArgument"))
	}
	both(&g, "query that is not escaped well", "API/ErrorResponses: InvalidURI", none, "prefix=%zz", fails(400, "InvalidURI"))
	return g
}
