package s3

import (
	"net/http"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

func checksumGroups() []group { return []group{checksums(), chunkedBodies()} }

// trailing sends a body unsigned in chunks, with the checksum of sumOf in the trailer: what AWS's SDKs do by default.
func trailing(algorithm, sumOf string) func(*http.Request, sigv4.Credentials, string) []byte {
	return inChunks(sigv4.PayloadUnsignedChunkTrailer, map[string]string{"x-amz-checksum-" + algorithm: sum(algorithm, sumOf)})
}

// signedTrailing is trailing with signed chunks.
func signedTrailing(algorithm, sumOf string) func(*http.Request, sigv4.Credentials, string) []byte {
	return inChunks(sigv4.PayloadChunksTrailer, map[string]string{"x-amz-checksum-" + algorithm: sum(algorithm, sumOf)})
}

// mismatch is what S3 says of a part with another checksum than its upload's. Source: API_PutObject, InvalidRequest.
func mismatch(expected, actual string) string {
	return "Checksum Type mismatch occurred, expected checksum Type: " + expected + ", actual checksum Type: " + actual
}

func checksums() group {
	const doc = "UserGuide/checking-object-integrity"
	const hoisted = "UserGuide/using-presigned-url and aws-sdk-js-v3, which puts the checksum of no body into the URL: AWS passes over checksums in the query"
	g := group{name: "Checksums", buckets: shared}
	unchanged := then(GET("k"), is(200, has("old")))
	for _, a := range algorithmNames {
		name, value, element := "x-amz-checksum-"+a, sum(a, ten), "Checksum"+strings.ToUpper(a)
		shown := then(GET("k", "x-amz-checksum-mode", "ENABLED"), is(200, has(ten), header(name, value), header("x-amz-checksum-type", "FULL_OBJECT")))
		old := given(PUT("k", "old"))
		g.cases = append(g.cases,
			kase{a + " in a header", doc, nil, PUT("k", ten, name, value), is(200, header(name, value), header("x-amz-checksum-type", "FULL_OBJECT"), shown)},
			kase{a + " in a header, with the SDK's", "boto3 default checksums", nil, PUT("k", ten, name, value, "x-amz-sdk-checksum-algorithm", strings.ToUpper(a)), is(200, shown)},
			kase{a + " in a trailer", "aws-sdk-go-v2 default checksums", nil, PUT("k", ten).streamed(trailing(a, ten)), is(200, header(name, value), shown)},
			kase{a + " in a signed trailer", "API/sigv4-streaming-trailers", nil, PUT("k", ten).streamed(signedTrailing(a, ten)), is(200, header(name, value), shown)},
			kase{a + " of something else in a header", "API/ErrorResponses: BadDigest", old, PUT("k", ten, name, sum(a, "other")), fails(400, "BadDigest", unchanged)},
			kase{a + " of something else in a trailer", "API/ErrorResponses: BadDigest", old, PUT("k", ten).streamed(trailing(a, "other")), fails(400, "BadDigest", unchanged)},
			kase{a + " of something else in a signed trailer", "API/ErrorResponses: BadDigest", old, PUT("k", ten).streamed(signedTrailing(a, "other")), fails(400, "BadDigest", unchanged)},
			kase{a + " that is no base64", "API/ErrorResponses: InvalidRequest", old, PUT("k", ten, name, "!!"), fails(400, "InvalidRequest", unchanged)},
			kase{a + " too short", "API/ErrorResponses: InvalidRequest", old, PUT("k", ten, name, "AAA="), fails(400, "InvalidRequest", unchanged)},
			kase{a + " of nothing", doc, nil, PUT("k", "", name, sum(a, "")), is(200, header(name, sum(a, "")))},
			kase{a + " in attributes", "API_GetObjectAttributes: Checksum", given(PUT("k", ten, name, value)), GET("k?attributes", "x-amz-object-attributes", "Checksum"), is(200, val("Checksum/"+element, value), val("Checksum/ChecksumType", "FULL_OBJECT"))},
			kase{a + " of a copy", "API_CopyObject: x-amz-checksum-algorithm", withTen(), PUT("k2", "", "x-amz-copy-source", "/{bucket}/k", "x-amz-checksum-algorithm", strings.ToUpper(a)), is(200, val(element, value))},
			kase{a + " listed", "API_ListObjectsV2: ChecksumAlgorithm", given(PUT("", ""), PUT("k", ten, name, value)), GET("?list-type=2"), is(200, val("Contents/ChecksumAlgorithm", strings.ToUpper(a)))},
		)
	}
	for _, a := range algorithmNames {
		if a == "crc64nvme" {
			continue // never composite
		}
		of := func(header ...string) *request {
			return upload(append([]string{"x-amz-checksum-algorithm", strings.ToUpper(a)}, header...)...)
		}
		element, composed := "Checksum"+strings.ToUpper(a), composite(a, ten)
		g.cases = append(g.cases,
			kase{a + " of parts", doc + ": COMPOSITE", given(of(), part(1, ten, "x-amz-checksum-"+a, sum(a, ten))), complete(namedWith(a, ten)), is(200, val(element, composed), val("ChecksumType", "COMPOSITE"),
				then(HEAD("k", "x-amz-checksum-mode", "ENABLED"), is(200, header("x-amz-checksum-"+a, composed), header("x-amz-checksum-type", "COMPOSITE"))),
				then(GET("k?attributes", "x-amz-object-attributes", "Checksum"), is(200, val("Checksum/"+element, strings.TrimSuffix(composed, "-1")), val("Checksum/ChecksumType", "COMPOSITE"))))},
			kase{a + " of a part that is something else", "API/ErrorResponses: BadDigest", given(of()), part(1, ten, "x-amz-checksum-"+a, sum(a, "other")), fails(400, "BadDigest")},
			kase{a + " of a part, not given", "API_UploadPart: InvalidRequest, Checksum Type mismatch occurred", given(of()), part(1, ten), fails(400, "InvalidRequest", val("Message", mismatch(a, "null")), then(GET("k?uploadId={id}"), is(200, val("Part"))))},
			kase{a + " of a part, not named", "API_CompleteMultipartUpload; aws-sdk-php#2648", given(of(), summed(a, 1, ten)), complete(named(1)), fails(400, "InvalidRequest", val("Message", "The upload was created using a "+a+" checksum. The complete request must include the checksum for each part. It was missing for part 1 in the request."), then(HEAD("k"), fails(404, "")))},
			kase{a + " of a part, listed", "API_ListParts", given(of(), summed(a, 1, ten)), GET("k?uploadId={id}"), is(200, val("Part/"+element, sum(a, ten)), val("ChecksumAlgorithm", strings.ToUpper(a)))},
		)
		if !strings.HasPrefix(a, "crc") {
			g.cases = append(g.cases, kase{a + " of the whole of parts", doc + ": full object checksums of uploads are of CRCs only", nil, of("x-amz-checksum-type", "FULL_OBJECT"), fails(400, "InvalidRequest")})
		}
	}
	g.cases = append(g.cases,
		kase{"by default", doc + ": CRC64NVME", nil, PUT("k", ten), is(200, header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)))},
		kase{"two of them", "API/ErrorResponses: InvalidRequest", nil, PUT("k", ten, "x-amz-checksum-crc32", sum("crc32", ten), "x-amz-checksum-sha1", sum("sha1", ten)), fails(400, "InvalidRequest")},
		kase{"named and not sent", "API_PutObject: x-amz-sdk-checksum-algorithm", nil, PUT("k", ten, "x-amz-sdk-checksum-algorithm", "CRC32"), fails(400, "InvalidRequest")},
		kase{"named another", "API_PutObject: x-amz-sdk-checksum-algorithm", nil, PUT("k", ten, "x-amz-sdk-checksum-algorithm", "SHA1", "x-amz-checksum-crc32", sum("crc32", ten)), fails(400, "InvalidRequest")},
		kase{"named one that does not exist", "API_PutObject: x-amz-sdk-checksum-algorithm", nil, PUT("k", ten, "x-amz-sdk-checksum-algorithm", "MD4", "x-amz-checksum-crc32", sum("crc32", ten)), fails(400, "InvalidRequest")},
		kase{"mode in lower case", "API_GetObject: x-amz-checksum-mode", withTen(), GET("k", "x-amz-checksum-mode", "enabled"), is(200, header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)))},
		kase{"not shown unasked", "API_GetObject: x-amz-checksum-mode", withTen(), GET("k"), is(200, header("x-amz-checksum-crc64nvme", ""), header("x-amz-checksum-type", ""))},
		kase{"presigned with a checksum", hoisted, nil, PUT("k?x-amz-checksum-crc32="+escape(sum("crc32", ten)), ten).presigned(), is(200, header("x-amz-checksum-crc32", ""), header("x-amz-checksum-crc64nvme", sum("crc64nvme", ten)))},
		kase{"presigned with a checksum of nothing", hoisted, nil, PUT("k?x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32", ten).presigned(), is(200, then(GET("k"), is(200, has(ten))))},
		kase{"presigned with a checksum of something else", hoisted, nil, PUT("k?x-amz-checksum-crc32="+escape(sum("crc32", "other")), ten).presigned(), is(200)},
	)
	return g
}

// otherSignature changes the first digit of the first chunk's signature.
func otherSignature(wire string) string {
	const mark = "chunk-signature="
	at := strings.Index(wire, mark) + len(mark)
	digit := "0"
	if wire[at] == '0' {
		digit = "1"
	}
	return wire[:at] + digit + wire[at+1:]
}

// chunkedBodies are aws-chunked bodies, right and broken.
func chunkedBodies() group {
	const doc = "API/sigv4-streaming"
	g := group{name: "ChunkedBodies", buckets: shared}
	old := func() []*request { return given(PUT("k", "old")) }
	unchanged := then(GET("k"), is(200, has("old")))
	broken := func(by func(wire string) string) *request {
		return PUT("k", ten).streamed(func(r *http.Request, c sigv4.Credentials, body string) []byte {
			return []byte(by(string(signedChunks(r, c, body))))
		})
	}
	unsigned := func(wire string, header ...string) *request {
		return PUT("k", ten, append([]string{"x-amz-trailer", "x-amz-checksum-crc32", "x-amz-decoded-content-length", "10", "Content-Encoding", "aws-chunked"}, header...)...).streamed(func(r *http.Request, c sigv4.Credentials, _ string) []byte {
			sigv4.Sign(r, c, sigv4.StreamingUnsignedTrailer, "us-east-1", time.Now())
			return []byte(wire)
		})
	}
	trailer := "x-amz-checksum-crc32:" + sum("crc32", ten) + "\r\n"
	g.cases = []kase{
		{"signed", doc, nil, PUT("k", ten).streamed(signedChunks), is(200, header("ETag", quoted(ten)), then(GET("k"), is(200, has(ten))))},
		{"of nothing", doc, nil, PUT("k", "").streamed(signedChunks), is(200, then(GET("k"), is(200, has(""))))},
		{"a byte changed", "API/ErrorResponses: SignatureDoesNotMatch", old(), broken(func(w string) string { return strings.Replace(w, "4567", "4568", 1) }), fails(403, "SignatureDoesNotMatch", unchanged)},
		{"a chunk's signature changed", "API/ErrorResponses: SignatureDoesNotMatch", old(), broken(otherSignature), fails(403, "SignatureDoesNotMatch", unchanged)},
		{"chunks exchanged", "API/ErrorResponses: SignatureDoesNotMatch", old(), broken(func(w string) string {
			one := strings.Index(w[1:], "4;") + 1
			two := strings.Index(w[one+1:], "2;") + one + 1
			return w[one:two] + w[:one] + w[two:]
		}), fails(403, "SignatureDoesNotMatch", unchanged)},
		{"the last chunk missing", "API/ErrorResponses: IncompleteBody", old(), broken(func(w string) string { return w[:strings.LastIndex(w, "0;")] }), fails(400, "IncompleteBody", unchanged)},
		{"cut within a chunk", "API/ErrorResponses: IncompleteBody", old(), broken(func(w string) string { return w[:90] }), fails(400, "IncompleteBody", unchanged)},
		{"unsigned with a trailer, one chunk", "aws-sdk-js v3", nil, unsigned("a\r\n0123456789\r\n0\r\n" + trailer + "\r\n"), is(200, header("x-amz-checksum-crc32", sum("crc32", ten)))},
		{"unsigned, upper case hexadecimal", "RFC 9112, 7.1", nil, unsigned("A\r\n0123456789\r\n0\r\n" + trailer + "\r\n"), is(200)},
		{"unsigned, space behind the trailer's colon", "aws-sdk-java", nil, unsigned("a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32: " + sum("crc32", ten) + "\r\n\r\n"), is(200)},
		{"unsigned, trailer announced and not sent", "API/ErrorResponses: MalformedTrailerError", old(), unsigned("a\r\n0123456789\r\n0\r\n\r\n"), fails(400, "MalformedTrailerError", unchanged)},
		{"unsigned, another trailer than announced", "API/ErrorResponses: MalformedTrailerError", old(), unsigned("a\r\n0123456789\r\n0\r\nx-amz-checksum-sha1:" + sum("sha1", ten) + "\r\n\r\n"), fails(400, "MalformedTrailerError", unchanged)},
		{"unsigned, shorter than announced", "API/ErrorResponses: IncompleteBody", old(), unsigned("9\r\n012345678\r\n0\r\n" + trailer + "\r\n"), fails(400, "IncompleteBody", unchanged)},
		{"unsigned, longer than announced", "API/ErrorResponses: IncompleteBody", old(), unsigned("b\r\n0123456789a\r\n0\r\n" + trailer + "\r\n"), fails(400, "IncompleteBody", unchanged)},
		{"unsigned, a size that is none", "API/ErrorResponses: InvalidRequest", old(), unsigned("ten\r\n0123456789\r\n0\r\n" + trailer + "\r\n"), fails(400, "InvalidRequest", unchanged)},
	}
	return g
}
