package s3

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

func browserGroups() []group { return []group{preflights(), corsAnswers(), forms()} }

const origin = "http://a.example"

// corsRules are what PutBucketCors takes.
func corsRules() group {
	const doc = "API_PutBucketCors"
	put := func(doc string) *request { return sent("?cors", doc) }
	return group{"CorsRules", own, []kase{
		{"all fields", doc, given(put(cors(origin, "PUT", "<ID>r</ID><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds>"))), GET("?cors"), is(200, val("CORSRule/ID", "r"), val("CORSRule/MaxAgeSeconds", "60"), val("CORSRule/ExposeHeader", "ETag"))},
		{"two wildcards in an origin", "API/ErrorResponses: InvalidRequest, AllowedOrigin can not have more than one wildcard", nil, put(cors("http://*.*", "GET")), fails(400, "InvalidRequest")},
		{"two wildcards in a header", "API/ErrorResponses: InvalidRequest, AllowedHeader can not have more than one wildcard", nil, put(cors(origin, "GET", "<AllowedHeader>*-*</AllowedHeader>")), fails(400, "InvalidRequest")},
		{"a wildcard in an exposed header", "API/ErrorResponses: InvalidRequest", nil, put(cors(origin, "GET", "<ExposeHeader>*</ExposeHeader>")), fails(400, "InvalidRequest")},
		{"a method that is not allowed", "API/ErrorResponses: InvalidRequest, Found unsupported HTTP method", nil, put(cors(origin, "PATCH")), fails(400, "InvalidRequest")},
		{"no rules", "API/ErrorResponses: MalformedXML", nil, put("<CORSConfiguration/>"), fails(400, "MalformedXML")},
		{"no origin", "API/ErrorResponses: MalformedXML", nil, put("<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"), fails(400, "MalformedXML")},
		{"100 rules", doc + ": up to 100", nil, put("<CORSConfiguration>" + strings.Repeat("<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>", 100) + "</CORSConfiguration>"), is(200)},
		{"101 rules", doc + ": up to 100; AWS says InvalidRequest, The number of CORS rules should not exceed allowed limit of 100 rules.", nil, put("<CORSConfiguration>" + strings.Repeat("<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>", 101) + "</CORSConfiguration>"), fails(400, "InvalidRequest", then(GET("?cors"), fails(404, "NoSuchCORSConfiguration")))},
		{"wrong digest", "API/ErrorResponses: BadDigest", nil, PUT("?cors", cors(origin, "GET"), "Content-MD5", md5Of("other")), fails(400, "BadDigest")},
	}}
}

func preflights() group {
	const doc = "API/RESTOPTIONSobject"
	with := func(doc string) []*request { return given(sent("?cors", doc)) }
	ask := func(path, method string, header ...string) *request {
		return OPTIONS(path, append([]string{"Origin", origin, "Access-Control-Request-Method", method}, header...)...)
	}
	return group{"Preflight", own, []kase{
		{"allowed", doc, with(cors(origin, "PUT")), ask("k", "PUT"), is(200, header("Access-Control-Allow-Origin", origin), headerLike("Access-Control-Allow-Methods", `\bPUT\b`), headerLike("Vary", "Origin"), has(""))},
		{"of a bucket", doc, with(cors(origin, "GET")), ask("", "GET"), is(200, header("Access-Control-Allow-Origin", origin))},
		{"every origin", doc, with(cors("*", "PUT")), ask("k", "PUT"), is(200, header("Access-Control-Allow-Origin", "*"), header("Access-Control-Allow-Credentials", ""))},
		{"one origin has credentials", doc, with(cors(origin, "PUT")), ask("k", "PUT"), is(200, header("Access-Control-Allow-Credentials", "true"))},
		{"a wildcard in the origin", "UserGuide/ManageCorsUsing", with(cors("http://*.example", "PUT")), ask("k", "PUT"), is(200, header("Access-Control-Allow-Origin", origin))},
		{"headers", "UserGuide/ManageCorsUsing: AllowedHeader", with(cors(origin, "PUT", "<AllowedHeader>x-amz-*</AllowedHeader>")), ask("k", "PUT", "Access-Control-Request-Headers", "x-amz-date, X-Amz-Meta-A"), is(200, headerLike("Access-Control-Allow-Headers", "(?i)x-amz-date"))},
		{"age and exposed headers", "UserGuide/ManageCorsUsing: MaxAgeSeconds", with(cors(origin, "PUT", "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds>")), ask("k", "PUT"), is(200, header("Access-Control-Max-Age", "60"), header("Access-Control-Expose-Headers", "ETag"))},
		{"the second rule", "UserGuide/cors: the first rule that matches", with("<CORSConfiguration><CORSRule><AllowedOrigin>http://b.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule></CORSConfiguration>"), ask("k", "PUT"), is(200, header("Access-Control-Allow-Origin", "*"))},
		{"of an absent object", doc, with(cors(origin, "GET")), ask("absent", "GET"), is(200)},
		{"another method", doc + ": AccessForbidden", with(cors(origin, "GET")), ask("k", "PUT"), fails(403, "AccessForbidden")},
		{"another origin", doc + ": AccessForbidden", with(cors("http://b.example", "PUT")), ask("k", "PUT"), fails(403, "AccessForbidden")},
		{"another header", doc + ": AccessForbidden", with(cors(origin, "PUT", "<AllowedHeader>x-amz-*</AllowedHeader>")), ask("k", "PUT", "Access-Control-Request-Headers", "x-other"), fails(403, "AccessForbidden")},
		{"no rules", doc + ": CORS is not enabled for this bucket", nil, ask("k", "PUT"), fails(403, "AccessForbidden")},
		{"no rules, of a bucket", doc + ": CORS is not enabled for this bucket", nil, ask("", "PUT"), fails(403, "AccessForbidden")},
		{"another origin, of a bucket", doc + ": AccessForbidden", with(cors("http://b.example", "PUT")), ask("", "PUT"), fails(403, "AccessForbidden")},
		{"no Origin", "API/ErrorResponses: BadRequest, Insufficient information. Origin request header needed", with(cors(origin, "PUT")), OPTIONS("k", "Access-Control-Request-Method", "PUT"), fails(400, "BadRequest")},
		{"no method", "API/ErrorResponses: BadRequest", with(cors(origin, "PUT")), OPTIONS("k", "Origin", origin), fails(400, "BadRequest")},
		{"a method that does not exist", "API/ErrorResponses: BadRequest", with(cors(origin, "PUT")), ask("k", "JUGGLE"), fails(400, "BadRequest")},
		{"of a bucket that is absent", "AWS answers 403 AccessForbidden, CORSResponse: Bucket not found", nil, ask("/{none}/k", "PUT"), fails(403, "AccessForbidden", val("Message", "CORSResponse: Bucket not found"))},
	}}
}

func corsAnswers() group {
	const doc = "UserGuide/cors"
	with := func(doc string) []*request { return append(withTen(), sent("?cors", doc)) }
	shown := func(value string) check { return header("Access-Control-Allow-Origin", value) }
	return group{"CorsAnswers", own, []kase{
		{"GET", doc, with(cors(origin, "GET", "<ExposeHeader>ETag</ExposeHeader>")), GET("k", "Origin", origin), is(200, has(ten), shown(origin), header("Access-Control-Expose-Headers", "ETag"), headerLike("Vary", "Origin"))},
		{"PUT", doc, with(cors(origin, "PUT")), PUT("k", ten, "Origin", origin), is(200, shown(origin))},
		{"errors too", doc, with(cors(origin, "GET")), GET("absent", "Origin", origin), fails(404, "NoSuchKey", shown(origin))},
		{"who is denied too", doc, with(cors(origin, "GET")), GET("k", "Origin", origin).by(nobody), fails(403, "AccessDenied", shown(origin))},
		{"another origin", doc, with(cors("http://b.example", "GET")), GET("k", "Origin", origin), is(200, has(ten), shown(""))},
		{"another method", doc, with(cors(origin, "PUT")), GET("k", "Origin", origin), is(200, has(ten), shown(""))},
		{"no Origin", doc, with(cors(origin, "GET")), GET("k"), is(200, has(ten), shown(""))},
	}}
}

// form is a browser's upload. Its policy and signature are made as it is sent.
type form struct {
	conditions string            // of the policy, JSON without the brackets; the bucket and the signature's own are added
	fields     map[string]string // before the file, in no order that matters
	file       string
	expired    bool
	unsigned   bool // no policy at all
	spoiled    bool // the signature does not match
	noFile     bool
	button     bool // behind the file, as in the example of the documentation
}

const keyCondition = `["starts-with","$key",""]`

// post sends f to the case's bucket.
func post(f form) *request {
	q := POST("", "").by(nobody)
	q.stream = func(r *http.Request, _ sigv4.Credentials, _ string) []byte {
		bucket := strings.Trim(r.URL.Path, "/")
		r.Header.Set("Content-Type", "multipart/form-data; boundary=edge")
		return []byte(f.body(bucket))
	}
	return q
}

func (f form) body(bucket string) string {
	var b strings.Builder
	field := func(name, value string) {
		fmt.Fprintf(&b, "--edge\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, value)
	}
	for name, value := range f.fields {
		field(name, value)
	}
	if !f.unsigned {
		now := time.Now().UTC()
		credential := target.root.AccessKey + "/" + now.Format("20060102") + "/us-east-1/s3/aws4_request"
		ends := now.Add(time.Hour)
		if f.expired {
			ends = now.Add(-time.Hour)
		}
		conditions := []string{`{"bucket":"` + bucket + `"}`, `{"x-amz-algorithm":"AWS4-HMAC-SHA256"}`, `{"x-amz-credential":"` + credential + `"}`, `{"x-amz-date":"` + now.Format(timeFormat) + `"}`}
		if f.conditions != "" {
			conditions = append(conditions, f.conditions)
		}
		policy := base64.StdEncoding.EncodeToString([]byte(`{"expiration":"` + ends.Format("2006-01-02T15:04:05Z") + `","conditions":[` + strings.Join(conditions, ",") + `]}`))
		mark := sigv4.SignPost(target.root, policy, "us-east-1", now)
		if f.spoiled {
			mark = strings.Repeat("0", len(mark))
		}
		field("x-amz-algorithm", "AWS4-HMAC-SHA256")
		field("x-amz-credential", credential)
		field("x-amz-date", now.Format(timeFormat))
		field("policy", policy)
		field("x-amz-signature", mark)
	}
	if !f.noFile {
		fmt.Fprintf(&b, "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n", f.file)
	}
	if f.button {
		field("submit", "Upload to Amazon S3")
	}
	return b.String() + "--edge--\r\n"
}

func forms() group {
	const doc, denied = "API/RESTObjectPOST", "API/sigv4-HTTPPOSTConstructPolicy"
	key := func(more ...string) map[string]string {
		fields := map[string]string{"key": "k"}
		for i := 0; i+1 < len(more); i += 2 {
			fields[more[i]] = more[i+1]
		}
		return fields
	}
	stored, none := then(GET("k"), is(200, has(ten))), then(HEAD("k"), fails(404, ""))
	return group{"Forms", own, []kase{
		{"plain", doc, nil, post(form{conditions: keyCondition, fields: key(), file: ten}), is(204, header("ETag", quoted(ten)), headerLike("Location", "/k$"), stored)},
		{"status 201", doc + ": success_action_status", nil, post(form{conditions: keyCondition + `,{"success_action_status":"201"}`, fields: key("success_action_status", "201"), file: ten}), is(201, val("Bucket", "{bucket}"), val("Key", "k"), val("ETag", quoted(ten)), count("Location", 1), stored)},
		{"status 200", doc + ": success_action_status", nil, post(form{conditions: keyCondition + `,{"success_action_status":"200"}`, fields: key("success_action_status", "200"), file: ten}), is(200, has(""), stored)},
		{"status that is not allowed is 204", doc + ": success_action_status", nil, post(form{conditions: keyCondition + `,{"success_action_status":"404"}`, fields: key("success_action_status", "404"), file: ten}), is(204, stored)},
		{"redirect", doc + ": success_action_redirect", nil, post(form{conditions: keyCondition + `,{"success_action_redirect":"http://a.example/done"}`, fields: key("success_action_redirect", "http://a.example/done"), file: ten}), is(303, headerLike("Location", `^http://a\.example/done\?bucket=.*&key=k&etag=`), stored)},
		{"file name in the key", doc + ": ${filename}", nil, post(form{conditions: keyCondition, fields: map[string]string{"key": "up/${filename}"}, file: ten}), is(204, then(GET("up/photo.jpg"), is(200, has(ten))))},
		{"content type and metadata", doc, nil, post(form{conditions: keyCondition + `,["starts-with","$Content-Type","image/"],{"x-amz-meta-a":"1"}`, fields: key("Content-Type", "image/jpeg", "x-amz-meta-a", "1"), file: ten}), is(204, then(HEAD("k"), is(200, header("Content-Type", "image/jpeg"), header("x-amz-meta-a", "1"))))},
		{"tags", doc + ": tagging", nil, post(form{conditions: keyCondition + `,["starts-with","$tagging",""]`, fields: key("tagging", tagging("a", "1")), file: ten}), is(204, then(HEAD("k"), is(200, header("x-amz-tagging-count", "1"))))},
		{"a field behind the file", doc + ": any fields below it are ignored", nil, post(form{conditions: keyCondition, fields: key(), file: ten, button: true}), is(204, stored)},
		{"a field behind a large file", doc + ": any fields below it are ignored", nil, post(form{conditions: keyCondition, fields: key(), file: part5, button: true}), is(204, header("ETag", quoted(part5)), then(GET("k"), is(200, has(part5))))},
		{"length in range", denied + ": content-length-range", nil, post(form{conditions: keyCondition + `,["content-length-range",1,10]`, fields: key(), file: ten}), is(204, stored)},
		{"too long", "API/ErrorResponses: EntityTooLarge", nil, post(form{conditions: keyCondition + `,["content-length-range",1,9]`, fields: key(), file: ten}), fails(400, "EntityTooLarge", none)},
		{"too short", "API/ErrorResponses: EntityTooSmall", nil, post(form{conditions: keyCondition + `,["content-length-range",11,20]`, fields: key(), file: ten}), fails(400, "EntityTooSmall", none)},
		{"exact condition", denied, nil, post(form{conditions: `{"key":"k"}`, fields: key(), file: ten}), is(204, stored)},
		{"eq condition", denied, nil, post(form{conditions: `["eq","$key","k"]`, fields: key(), file: ten}), is(204, stored)},
		{"exact condition fails", denied, nil, post(form{conditions: `{"key":"other"}`, fields: key(), file: ten}), fails(403, "AccessDenied", none)},
		{"starts-with fails", denied, nil, post(form{conditions: `["starts-with","$key","up/"]`, fields: key(), file: ten}), fails(403, "AccessDenied", none)},
		{"a field without condition", denied + ": Extra input fields", nil, post(form{conditions: keyCondition, fields: key("x-amz-meta-a", "1"), file: ten}), fails(403, "AccessDenied", none)},
		{"a field to be ignored", denied + ": x-ignore-", nil, post(form{conditions: keyCondition, fields: key("x-ignore-a", "1"), file: ten}), is(204, stored)},
		{"expired", denied + ": Policy expired", nil, post(form{conditions: keyCondition, fields: key(), file: ten, expired: true}), fails(403, "AccessDenied", none)},
		{"wrong signature", "API/ErrorResponses: SignatureDoesNotMatch", nil, post(form{conditions: keyCondition, fields: key(), file: ten, spoiled: true}), fails(403, "SignatureDoesNotMatch", none)},
		{"anonymous", "API/ErrorResponses: AccessDenied", nil, post(form{fields: key(), file: ten, unsigned: true}), fails(403, "AccessDenied", none)},
		{"no key", "API/ErrorResponses: InvalidArgument, Bucket POST must contain a field named 'key'", nil, post(form{conditions: keyCondition, file: ten}), fails(400, "InvalidArgument")},
		{"no file", "API/ErrorResponses: InvalidArgument, POST requires exactly one file upload per request", nil, post(form{conditions: keyCondition, fields: key(), noFile: true}), fails(400, "InvalidArgument")},
		{"conditions that are none", "API/ErrorResponses: InvalidPolicyDocument", nil, post(form{conditions: `["sounds-like","$key","k"]`, fields: key(), file: ten}), fails(400, "InvalidPolicyDocument", none)},
		{"bucket absent", "API/ErrorResponses: NoSuchBucket", nil, elsewhere(post(form{conditions: keyCondition, fields: key(), file: ten})), fails(404, "NoSuchBucket")},
		{"no form", "API/ErrorResponses: PreconditionFailed, Bucket POST must be of the enclosure-type multipart/form-data", nil, POST("", "k=v", "Content-Type", "application/x-www-form-urlencoded").by(nobody), fails(412, "PreconditionFailed")},
	}}
}

func elsewhere(q *request) *request { q.path = "/{none}"; return q }
