package gateway

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// TestPresignedByUsers: a URL can do what its signer may do, as a page of another origin uses it, and says so in errors too.
// Sources: ShareObjectPreSignedURL; sigv4-query-string-auth; "Using cross-origin resource sharing (CORS)".
func TestPresignedByUsers(t *testing.T) {
	const page = "http://page.example"
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/own/there", "body")
	k.put("/bucket/other", "body")
	k.want("200", call{method: "PUT", path: "/bucket?cors", body: []byte(`<CORSConfiguration><CORSRule><AllowedOrigin>` + page + `</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedMethod>POST</AllowedMethod><AllowedMethod>HEAD</AllowedMethod><AllowedMethod>DELETE</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>`)})
	k.users(map[string]string{
		"user":   statement("Allow", `["s3:*Object","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"]`, `"arn:aws:s3:::bucket/own/*"`, `,"Condition":{"StringEquals":{"s3:authType":"REST-QUERY-STRING"}}`),
		"recent": statement("Allow", `"s3:GetObject"`, `"*"`, `,"Condition":{"NumericLessThan":{"s3:signatureAge":"240000"}}`),
	})
	use := func(who string, at time.Time, method, path, body string) *answerTo {
		t.Helper()
		r, err := http.NewRequest(method, k.http.URL+path, strings.NewReader(body))
		check(t, err)
		sigv4.Presign(r, *as(who), "us-east-1", 10*time.Minute, at)
		r.Header.Set("Origin", page)
		a := k.send(r)
		if a.err != nil || a.header.Get("Access-Control-Allow-Origin") != page || a.header.Get("Access-Control-Expose-Headers") != "ETag" {
			t.Errorf("%s %s by %s: %v, not for %s: %v", method, path, who, a.err, page, a.header)
		}
		return a
	}
	now := time.Now()
	for _, c := range []struct {
		who, method, path, code string
		at                      time.Time
	}{
		{"user", "PUT", "/bucket/own/new", "200", now},
		{"user", "GET", "/bucket/own/new", "200", now},
		{"user", "GET", "/bucket/own/new?response-content-type=a%2Fb", "200", now},
		{"user", "HEAD", "/bucket/own/new", "200", now},
		{"user", "DELETE", "/bucket/own/new", "204", now},
		{"user", "GET", "/bucket/own/new", "AccessDenied", now}, // gone, and he may not list
		{"user", "HEAD", "/bucket/own/new", "403", now},
		{"user", "PUT", "/bucket/other", "AccessDenied", now},
		{"user", "GET", "/bucket/other", "AccessDenied", now},
		{"user", "HEAD", "/bucket/other", "403", now},
		{"user", "DELETE", "/bucket/other", "AccessDenied", now},
		{"user", "PUT", "/bucket/own/x?x-amz-tagging=a%3Db", "AccessDenied", now}, // s3:PutObjectTagging he has not
		{"user", "GET", "/bucket/own/there", "AccessDenied", now.Add(-time.Hour)},
		{"user", "GET", "/bucket/own/there", "200", now.Add(-5 * time.Minute)},
		{"recent", "GET", "/bucket/own/there", "200", now},
		{"recent", "GET", "/bucket/own/there", "AccessDenied", now.Add(-5 * time.Minute)},
		{"stranger", "GET", "/bucket/own/there", "InvalidAccessKeyId", now},
		{"root", "GET", "/bucket/absent", "NoSuchKey", now},
	} {
		if a := use(c.who, c.at, c.method, c.path, ""); a.code() != c.code {
			t.Errorf("%s %s by %s: %s, want %s: %s", c.method, c.path, c.who, a.code(), c.code, a.body)
		}
	}
	if a := k.do(call{method: "GET", path: "/bucket/own/there", credentials: as("user")}); a.code() != "AccessDenied" {
		t.Errorf("his policy is of presigned URLs: %s", a.code())
	}

	begin := use("user", now, "POST", "/bucket/own/parts?uploads", "")
	var made struct{ UploadId string }
	check(t, xml.Unmarshal(begin.body, &made))
	id := "uploadId=" + made.UploadId
	part := use("user", now, "PUT", "/bucket/own/parts?partNumber=1&"+id, "part")
	if a := use("user", now, "GET", "/bucket/own/parts?"+id, ""); a.code() != "200" || !bytes.Contains(a.body, []byte("<PartNumber>1</PartNumber>")) {
		t.Errorf("parts: %s %s", a.code(), a.body)
	}
	doc := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + part.header.Get("ETag") + "</ETag></Part></CompleteMultipartUpload>"
	if a := use("user", now, "POST", "/bucket/own/parts?"+id, doc); a.code() != "200" {
		t.Errorf("complete: %s %s", a.code(), a.body)
	}
	if a := use("user", now, "GET", "/bucket/own/parts", ""); string(a.body) != "part" {
		t.Errorf("%s %s", a.code(), a.body)
	}
	check(t, xml.Unmarshal(use("user", now, "POST", "/bucket/own/parts?uploads", "").body, &made))
	if a := use("user", now, "DELETE", "/bucket/own/parts?uploadId="+made.UploadId, ""); a.code() != "204" {
		t.Errorf("abort: %s %s", a.code(), a.body)
	}
	for method, path := range map[string]string{"POST": "/bucket/others?uploads", "DELETE": "/bucket/others?" + id, "PUT": "/bucket/others?partNumber=1&" + id} {
		if a := use("user", now, method, path, ""); a.code() != "AccessDenied" {
			t.Errorf("%s %s: %s", method, path, a.code())
		}
	}
}

// TestHoistedParametersAreHeaders: what no header can be is no parameter in the place of one: it would be stored, and not come out again.
func TestHoistedParametersAreHeaders(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	for _, c := range []struct{ query, code string }{
		{"x-amz-meta-a=plain", "200"}, {"x-amz-meta-a=%C3%BC", "200"},
		{"x-amz-meta-a=1%0D%0Ax-amz-meta-b:%202", "InvalidArgument"}, {"x-amz-meta-a=%7F", "InvalidArgument"}, {"x-amz-meta-a=%FF", "InvalidArgument"},
		{"X-Amz-Meta-a%0D%0Ab:%20=1", "InvalidArgument"}, {"X-Amz-Meta-a%20b=1", "InvalidArgument"}, {"x-amz-meta-%C3%BC=1", "InvalidArgument"},
	} {
		k.want(c.code, call{method: "PUT", path: "/bucket/k?" + c.query, presign: true})
	}
}
