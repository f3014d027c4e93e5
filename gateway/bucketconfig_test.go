package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const corsDoc = `<CORSConfiguration><CORSRule><AllowedOrigin>http://page.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod>` +
	`<AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>`

// TestBucketConfigurations: each document is absent, put, read, and deleted, by the S3 API reference's pages of its operations.
func TestBucketConfigurations(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	const policyDoc = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`
	for _, c := range []struct {
		sub           string
		absent        string // code, or 200 where there is a default
		doc, answer   string // what is put; a part of what is read then
		put, bad      string // codes
		badDoc        string
		cannotBeTaken bool // there is no DELETE
	}{
		{sub: "tagging", absent: "NoSuchTagSet", put: "204", doc: `<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>`, answer: "<Tag><Key>a</Key><Value>b c</Value></Tag>",
			bad: "InvalidTag", badDoc: `<Tagging><TagSet><Tag><Key>a</Key><Value/></Tag><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>`},
		{sub: "policy", absent: "NoSuchBucketPolicy", put: "204", doc: policyDoc, answer: policyDoc, bad: "MalformedPolicy", badDoc: `{"Version":"2012-10-17"}`},
		{sub: "publicAccessBlock", absent: "NoSuchPublicAccessBlockConfiguration", put: "200", answer: "<BlockPublicPolicy>true</BlockPublicPolicy>", bad: "MalformedXML", badDoc: "<x/>",
			doc: `<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>`},
		{sub: "acl", absent: "200", put: "200", doc: strings.ReplaceAll(privateACL, "OWNER", testAccount.Canonical), answer: "<Permission>FULL_CONTROL</Permission>", bad: "MalformedACLError", badDoc: "<x/>", cannotBeTaken: true},
		{sub: "cors", absent: "NoSuchCORSConfiguration", put: "200", doc: corsDoc, answer: "<AllowedOrigin>http://page.example</AllowedOrigin>", bad: "InvalidRequest", badDoc: strings.Replace(corsDoc, "PUT", "PATCH", 1)},
		{sub: "requestPayment", absent: "200", put: "200", doc: `<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>`, answer: "<Payer>Requester</Payer>",
			bad: "MalformedXML", badDoc: `<RequestPaymentConfiguration><Payer>me</Payer></RequestPaymentConfiguration>`, cannotBeTaken: true},
		{sub: "accelerate", absent: "200", put: "200", doc: `<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>`, answer: "<Status>Enabled</Status>",
			bad: "MissingRequestBodyError", badDoc: "", cannotBeTaken: true},
		{sub: "logging", absent: "200", put: "200", doc: `<BucketLoggingStatus/>`, answer: "BucketLoggingStatus", bad: "NotImplemented", cannotBeTaken: true,
			badDoc: `<BucketLoggingStatus><LoggingEnabled><TargetBucket>bucket</TargetBucket><TargetPrefix/></LoggingEnabled></BucketLoggingStatus>`},
	} {
		path := "/bucket?" + c.sub
		k.want(c.absent, call{method: "GET", path: path})
		k.want(c.bad, call{method: "PUT", path: path, body: []byte(c.badDoc)})
		k.want(c.absent, call{method: "GET", path: path})
		k.want(c.put, call{method: "PUT", path: path, body: []byte(c.doc)})
		if a := k.want("200", call{method: "GET", path: path}); !strings.Contains(string(a.body), c.answer) {
			t.Errorf("%s: %s", c.sub, a.body)
		}
		if c.cannotBeTaken {
			continue
		}
		for range 2 {
			k.want("204", call{method: "DELETE", path: path})
			k.want(c.absent, call{method: "GET", path: path})
		}
	}
	for sub, code := range map[string]string{
		"ownershipControls": "200", "acl": "200", "lifecycle": "NoSuchLifecycleConfiguration", "replication": "ReplicationConfigurationNotFoundError", "website": "NoSuchWebsiteConfiguration",
		"encryption": "ServerSideEncryptionConfigurationNotFoundError", "notification": "200", "policyStatus": "NoSuchBucketPolicy",
	} {
		k.want(code, call{method: "GET", path: "/bucket?" + sub})
	}
}

// TestBlockPublicPolicy: source "Blocking public access to your Amazon S3 storage".
func TestBlockPublicPolicy(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", "body")
	public := call{method: "PUT", path: "/bucket?policy", body: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}]}`)}
	block := func(what string) {
		k.want("200", call{method: "PUT", path: "/bucket?publicAccessBlock", body: []byte("<PublicAccessBlockConfiguration><" + what + ">true</" + what + "></PublicAccessBlockConfiguration>")})
	}
	get := call{method: "GET", path: "/bucket/key", anonymous: true}
	block("BlockPublicPolicy")
	k.want("AccessDenied", public)
	block("RestrictPublicBuckets")
	k.want("204", public)
	k.want("AccessDenied", get)
	if a := k.want("200", call{method: "GET", path: "/bucket?policyStatus"}); !strings.Contains(string(a.body), "<IsPublic>true</IsPublic>") {
		t.Errorf("%s", a.body)
	}
	k.want("204", call{method: "DELETE", path: "/bucket?publicAccessBlock"})
	k.want("200", get)
}

// TestOrigins: what a browser is told, of answers and of errors. Source: "Using cross-origin resource sharing (CORS)", RESTOPTIONSobject.
func TestOrigins(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.makeBucket("closed")
	k.put("/bucket/key", "body")
	k.want("200", call{method: "PUT", path: "/bucket?cors", body: []byte(corsDoc)})
	allowed := func(a *answerTo) string { return a.header.Get("Access-Control-Allow-Origin") }
	const page = "http://page.example"
	for _, c := range []struct {
		code, origin string // expected
		call
	}{
		{"200", page, call{method: "GET", path: "/bucket/key", header: pairs([]string{"Origin", page})}},
		{"NoSuchKey", page, call{method: "GET", path: "/bucket/absent", header: pairs([]string{"Origin", page})}},
		{"AccessDenied", page, call{method: "GET", path: "/bucket/key", anonymous: true, header: pairs([]string{"Origin", page})}},
		{"200", "", call{method: "GET", path: "/bucket/key", header: pairs([]string{"Origin", "http://other.example"})}},
		{"204", "", call{method: "DELETE", path: "/bucket/none", header: pairs([]string{"Origin", page})}},
		{"200", "", call{method: "GET", path: "/bucket/key"}},
		{"200", page, call{method: "OPTIONS", path: "/bucket/key?X-Amz-Signature=00&X-Amz-Algorithm=AWS4-HMAC-SHA256", anonymous: true,
			header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-amz-meta-a"})}},
		{"200", page, call{method: "OPTIONS", path: "/bucket", anonymous: true, header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "GET"})}},
		{"200", page, call{method: "OPTIONS", path: "/bucket/key?partNumber=1&uploadId=x", anonymous: true, header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "GET"})}}, // an SDK in a page
		{"AccessForbidden", "", call{method: "OPTIONS", path: "/bucket/key", anonymous: true, header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "DELETE"})}},
		{"AccessForbidden", "", call{method: "OPTIONS", path: "/bucket/key", anonymous: true, header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-other"})}},
		{"AccessForbidden", "", call{method: "OPTIONS", path: "/closed/key", anonymous: true, header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "GET"})}},
		{"AccessForbidden", "", call{method: "OPTIONS", path: "/absent/key", anonymous: true, header: pairs([]string{"Origin", page, "Access-Control-Request-Method", "GET"})}},
		{"BadRequest", "", call{method: "OPTIONS", path: "/bucket/key", anonymous: true}},
	} {
		a := k.want(c.code, c.call)
		if allowed(a) != c.origin {
			t.Errorf("%s %s: allowed %q, want %q", c.method, c.path, allowed(a), c.origin)
		}
		if c.origin != "" && a.header.Get("Access-Control-Expose-Headers") != "ETag" {
			t.Errorf("%s %s: %v", c.method, c.path, a.header)
		}
	}
	if a := k.do(call{method: http.MethodOptions, path: "/"}); a.status != http.StatusMethodNotAllowed {
		t.Errorf("OPTIONS /: %d", a.status)
	}
}

// TestPartChecksumIsExposed: a page that sees parts' ETags sees what else Complete needs of them.
func TestPartChecksumIsExposed(t *testing.T) {
	k := newKit(t)
	const page = "http://page.example"
	for rules, want := range map[string]string{
		`<ExposeHeader>ETag</ExposeHeader>`:                                                 "ETag, x-amz-checksum-sha1",
		`<ExposeHeader>x-amz-meta-a</ExposeHeader><ExposeHeader>etag</ExposeHeader>`:        "x-amz-meta-a, etag, x-amz-checksum-sha1",
		`<ExposeHeader>ETag</ExposeHeader><ExposeHeader>X-Amz-Checksum-Sha1</ExposeHeader>`: "ETag, X-Amz-Checksum-Sha1",
		`<ExposeHeader>x-amz-meta-a</ExposeHeader>`:                                         "x-amz-meta-a",
		``: "",
	} {
		bucket := fmt.Sprintf("/bucket%d", len(rules))
		k.makeBucket(bucket[1:])
		k.want("200", call{method: "PUT", path: bucket + "?cors", body: []byte(`<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>` +
			`<AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader>` + rules + `</CORSRule></CORSConfiguration>`)})
		id := k.upload(bucket+"/key", "x-amz-checksum-algorithm", "SHA1")
		a := k.want("200", call{method: "PUT", path: bucket + "/key?partNumber=1&uploadId=" + id, body: []byte("body"),
			header: pairs([]string{"Origin", page, "x-amz-checksum-sha1", "Agg/RXngimEkJcDBoX7ket14O5Q="})})
		if got := a.header.Get("Access-Control-Expose-Headers"); got != want || a.header.Get("X-Amz-Checksum-Sha1") == "" {
			t.Errorf("%s: %q, want %q: %v", rules, got, want, a.header)
		}
	}
}

// TestPreflightRefusals: what is wrong, with what. Source: S3's answers as they were seen; RESTOPTIONSobject, "Special errors".
func TestPreflightRefusals(t *testing.T) {
	k := newKit(t)
	for _, b := range []string{"bucket", "closed", "broken"} {
		k.makeBucket(b)
	}
	k.want("200", call{method: "PUT", path: "/bucket?cors", body: []byte(corsDoc)})
	k.config("broken", configCORS, "not a configuration")
	const page = "http://page.example"
	for _, c := range []struct {
		path, method string
		status       int
		answer       []string
	}{
		{"/bucket/key", "", 400, []string{"<Code>BadRequest</Code>"}},
		{"/bucket/key", "DELETE", 403, []string{"This CORS request is not allowed", "<Method>DELETE</Method>", "<ResourceType>OBJECT</ResourceType>"}},
		{"/bucket", "DELETE", 403, []string{"This CORS request is not allowed", "<Method>DELETE</Method>", "<ResourceType>BUCKET</ResourceType>"}},
		{"/closed/key", "GET", 403, []string{"CORS is not enabled for this bucket", "<Method>OPTIONS</Method>", "<ResourceType>BUCKET</ResourceType>"}},
		{"/absent/key", "GET", 403, []string{"Bucket not found", "<Method>OPTIONS</Method>", "<ResourceType>BUCKET</ResourceType>"}},
		{"/broken/key", "GET", 403, []string{"CORS is not enabled for this bucket"}},
	} {
		header := []string{"Origin", page, "Access-Control-Request-Method", c.method}
		if c.method == "" {
			header = nil
		}
		a := k.do(call{method: "OPTIONS", path: c.path, anonymous: true, header: pairs(header)})
		for _, part := range c.answer {
			if a.status != c.status || !strings.Contains(string(a.body), part) {
				t.Errorf("%s for %s: %d, no %s in %s", c.method, c.path, a.status, part, a.body)
			}
		}
	}
}
