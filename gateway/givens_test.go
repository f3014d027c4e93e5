package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What policies ask of a request is what the request does, not what a header of it says beside that.

// TestLockConditionsAreOfTheDocument: a retention or a hold that a document gives is the one that policies see. Source: "Actions, resources,
// and condition keys for Amazon S3": PutObjectRetention has s3:object-lock-mode and its like, PutObjectLegalHold s3:object-lock-legal-hold.
func TestLockConditionsAreOfTheDocument(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	k.put("/bucket/k", "body")
	only := func(operator, key, value string) string {
		return statement("Allow", `["s3:PutObjectRetention","s3:PutObjectLegalHold","s3:BypassGovernanceRetention"]`, `"*"`, `,"Condition":{"`+operator+`":{"s3:object-lock-`+key+`":"`+value+`"}}`)
	}
	k.users(map[string]string{
		"governor": only("StringEquals", "mode", "GOVERNANCE"), "holder": only("StringEquals", "legal-hold", "ON"),
		"patient": only("NumericGreaterThan", "remaining-retention-days", "10"), "dated": only("DateGreaterThan", "retain-until-date", in(10*24*time.Hour)),
	})
	lie := pairs([]string{
		"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(20 * 24 * time.Hour), "X-Amz-Object-Lock-Legal-Hold", "ON", bypassHeader, "true",
	})
	day := 24 * time.Hour
	for _, c := range []struct {
		who, sub string
		body     []byte
		code     string
	}{
		{"governor", "retention", retention("COMPLIANCE", day), "AccessDenied"},
		{"governor", "retention", retention("GOVERNANCE", day), "200"},
		{"governor", "retention", []byte("<Retention/>"), "AccessDenied"},
		{"patient", "retention", retention("GOVERNANCE", 2*day), "AccessDenied"},
		{"patient", "retention", []byte("<Retention/>"), "AccessDenied"},
		{"patient", "retention", retention("GOVERNANCE", 12*day), "200"},
		{"dated", "retention", retention("GOVERNANCE", 2*day), "AccessDenied"},
		{"dated", "retention", retention("GOVERNANCE", 13*day), "200"},
		{"holder", "legal-hold", []byte(holdOff), "AccessDenied"},
		{"holder", "legal-hold", []byte(holdOn), "200"},
	} {
		for _, header := range []map[string]string{lie, nil} {
			if a := k.do(call{method: "PUT", path: "/bucket/k?" + c.sub, body: c.body, header: header, credentials: as(c.who)}); a.code() != c.code {
				t.Errorf("%s of %s by %s, with %v: %s, want %s", c.sub, c.body, c.who, header, a.code(), c.code)
			}
		}
	}
}

// TestTagConditionsAreOfWhatIsTagged: a header that gives no tags satisfies no condition on tags.
func TestTagConditionsAreOfWhatIsTagged(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/bare", "body")
	k.put("/bucket/red", "body", "X-Amz-Tagging", "team=red")
	onTag := func(effect, actions, key string) string {
		return `{"Effect":"` + effect + `","Action":` + actions + `,"Resource":"*","Condition":{"StringEquals":{"` + key + `":"blue"}}}`
	}
	policy := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject*","s3:PutObjectTagging","s3:TagResource"],"Resource":"*"},` + strings.Join(statements, ",") + `]}`
	}
	k.users(map[string]string{
		"blue":    policy(onTag("Allow", `"s3:PutObject"`, "s3:RequestObjectTag/team")),
		"notred":  policy(`{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`, strings.ReplaceAll(onTag("Deny", `"s3:PutObject"`, "s3:RequestObjectTag/team"), "blue", "red")),
		"buckets": policy(onTag("Allow", `["s3:CreateBucket","s3:PutBucketTagging"]`, "aws:RequestTag/team")),
		"abroad":  statement("Allow", `"s3:CreateBucket"`, `"*"`, `,"Condition":{"StringEquals":{"s3:LocationConstraint":"eu-west-1"}}`),
	})
	blue := []string{"X-Amz-Tagging", "team=blue"}
	copied := func(source string, header ...string) call {
		return call{method: "PUT", path: "/bucket/copy", header: pairs(append(header, "X-Amz-Copy-Source", "/bucket/"+source))}
	}
	tagged := func(team string) []byte {
		return []byte("<CreateBucketConfiguration><Tags><Tag><Key>team</Key><Value>" + team + "</Value></Tag></Tags></CreateBucketConfiguration>")
	}
	for _, c := range []struct {
		who, code string
		call
	}{
		{"blue", "200", call{method: "PUT", path: "/bucket/new", header: pairs(blue)}},
		{"blue", "AccessDenied", call{method: "PUT", path: "/bucket/new"}},
		{"blue", "AccessDenied", copied("bare", blue...)}, // the copy would have no tags
		{"blue", "AccessDenied", copied("red", blue...)},
		{"blue", "200", copied("red", append(blue, "X-Amz-Tagging-Directive", "REPLACE")...)},
		{"notred", "200", copied("bare")},
		{"notred", "AccessDenied", copied("red")},
		{"notred", "200", copied("red", "X-Amz-Tagging-Directive", "REPLACE")},
		{"buckets", "AccessDenied", call{method: "PUT", path: "/bucket-bare", header: pairs(blue)}},
		{"buckets", "AccessDenied", call{method: "PUT", path: "/bucket-red", header: pairs(blue), body: tagged("red")}},
		{"buckets", "200", call{method: "PUT", path: "/bucket-blue", body: tagged("blue")}},
		{"buckets", "AccessDenied", call{method: "PUT", path: "/bucket-red", header: pairs(blue), body: []byte("none")}},
		{"buckets", "AccessDenied", call{method: "PUT", path: "/bucket?tagging", header: pairs(blue), body: []byte("none")}},
		{"abroad", "200", call{method: "PUT", path: "/bucket-abroad", body: []byte("<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>")}},
		{"abroad", "AccessDenied", call{method: "PUT", path: "/bucket-home"}},
		{"buckets", "AccessDenied", call{method: "PUT", path: "/bucket?tagging", header: pairs(blue), body: tagging("team", "red")}},
		{"buckets", "204", call{method: "PUT", path: "/bucket?tagging", body: tagging("team", "blue")}},
	} {
		c.credentials = as(c.who)
		if a := k.do(c.call); a.code() != c.code {
			t.Errorf("%s: %s %s %v: %s, want %s: %s", c.who, c.method, c.path, c.header, a.code(), c.code, a.body)
		}
	}
}

// TestCopiedTagsNeedRights: to copy tags is to read and to put them. Source: "Troubleshoot copying between buckets" (AWS re:Post): with tags,
// s3:GetObjectTagging on the source and s3:PutObjectTagging on the copy.
func TestCopiedTagsNeedRights(t *testing.T) {
	k := newKit(t)
	for _, b := range []string{"bucket", "versioned"} {
		k.makeBucket(b)
	}
	k.versioning("versioned", "Enabled")
	id := k.put("/versioned/tagged", "body", "X-Amz-Tagging", "team=red").version()
	k.put("/bucket/tagged", "body", "X-Amz-Tagging", "team=red")
	k.put("/bucket/bare", "body")
	plain := `"s3:GetObject","s3:GetObjectVersion","s3:PutObject"`
	k.users(map[string]string{
		"plain":  statement("Allow", `[`+plain+`]`, `"*"`, ""),
		"reader": statement("Allow", `[`+plain+`,"s3:GetObjectTagging"]`, `"*"`, ""),
		"writer": statement("Allow", `[`+plain+`,"s3:PutObjectTagging"]`, `"*"`, ""),
		"both":   statement("Allow", `[`+plain+`,"s3:GetObjectTagging","s3:PutObjectTagging"]`, `"*"`, ""),
		"past":   statement("Allow", `[`+plain+`,"s3:GetObjectVersionTagging","s3:PutObjectTagging"]`, `"*"`, ""),
	})
	for _, c := range []struct{ who, from, to, directive, code string }{
		{"plain", "/bucket/bare", "/bucket/copy", "", "200"},
		{"plain", "/bucket/tagged", "/bucket/copy", "", "AccessDenied"},
		{"reader", "/bucket/tagged", "/bucket/copy", "COPY", "AccessDenied"},
		{"writer", "/bucket/tagged", "/bucket/copy", "", "AccessDenied"},
		{"both", "/bucket/tagged", "/bucket/copy", "", "200"},
		{"plain", "/bucket/tagged", "/bucket/copy", "REPLACE", "200"},
		{"both", "/versioned/tagged?versionId=" + id, "/bucket/copy", "", "AccessDenied"},
		{"past", "/versioned/tagged?versionId=" + id, "/bucket/copy", "", "200"},
		{"plain", "/bucket/tagged", "/bucket/tagged", "", "AccessDenied"}, // in place
		{"both", "/bucket/tagged", "/bucket/tagged", "", "200"},
	} {
		header := pairs([]string{"X-Amz-Copy-Source", c.from, "X-Amz-Metadata-Directive", "REPLACE"})
		if c.directive != "" {
			header["X-Amz-Tagging-Directive"] = c.directive
		}
		if a := k.do(call{method: "PUT", path: c.to, header: header, credentials: as(c.who)}); a.code() != c.code {
			t.Errorf("%s: %s to %s, %q: %s, want %s: %s", c.who, c.from, c.to, c.directive, a.code(), c.code, a.body)
		}
	}
}

// TestTagsThatDifferInCase: names of tags are compared without regard to case in conditions, so two tags may be meant: each of them is
// asked about, whichever comes first.
func TestTagsThatDifferInCase(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/k", "body", "X-Amz-Tagging", "secret=no&Secret=yes")
	k.users(map[string]string{"reader": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"},
		{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}}]}`})
	for range 20 {
		k.want("AccessDenied", call{method: "GET", path: "/bucket/k", credentials: as("reader")})
	}
}

// TestConditionsOfDeleteObjects: the ETag that an object has to have is in the document; the request's own header says nothing of it.
func TestConditionsOfDeleteObjects(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	tag := k.put("/bucket/k", "body").header.Get("ETag")
	k.users(map[string]string{"careful": statement("Allow", `"s3:DeleteObject"`, `"*"`, `,"Condition":{"Null":{"s3:if-match":"false"}}`)})
	remove := func(etag string) *answerTo {
		q := deleteObjects("bucket", "<Delete><Object><Key>k</Key>"+etag+"</Object></Delete>")
		q.header["If-Match"], q.credentials = "*", as("careful")
		return k.want("200", q)
	}
	if a := remove(""); !strings.Contains(string(a.body), "<Code>AccessDenied</Code>") {
		t.Errorf("without a condition: %s", a.body)
	}
	if a := remove("<ETag>" + tag + "</ETag>"); !strings.Contains(string(a.body), "<Deleted>") {
		t.Errorf("with one: %s", a.body)
	}
}

// TestSourceIPIsAnAddress: it is what IpAddress compares, whatever stands beside it in the connection's own notation.
func TestSourceIPIsAnAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[fe80::1%eth0]:80": "fe80::1", "192.0.2.1": "192.0.2.1",
	} {
		if got := sourceIP(addr); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// TestCopySourceInConditions: what is copied is bucket/key to policies, however the request spells it. Source: "Bucket policy examples using
// condition keys", "Granting s3:PutObject permission to copy objects with a restriction on the copy source".
func TestCopySourceInConditions(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/public/k", "body")
	k.put("/bucket/secret/k", "body")
	source := func(effect, pattern string) string {
		return `{"Effect":"` + effect + `","Action":"s3:PutObject","Resource":"*","Condition":{"StringLike":{"s3:x-amz-copy-source":"bucket/` + pattern + `/*"}}}`
	}
	k.users(map[string]string{
		"denied":  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},` + source("Deny", "secret") + `]}`,
		"allowed": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject*","Resource":"*"},` + source("Allow", "public") + `]}`,
	})
	for _, spelled := range []string{"bucket/%s/k", "/bucket/%s/k", "//bucket/%s/k", "%%62ucket/%s/k", "bucket%%2F%s%%2Fk", "bucket/%s/k?versionId=null"} {
		for from, code := range map[string]string{"public": "200", "secret": "AccessDenied"} {
			for _, who := range []string{"denied", "allowed"} {
				header := pairs([]string{"X-Amz-Copy-Source", fmt.Sprintf(spelled, from)})
				if a := k.do(call{method: "PUT", path: "/bucket/copy", header: header, credentials: as(who)}); a.code() != code {
					t.Errorf("%v by %s: %s, want %s: %s", header, who, a.code(), code, a.body)
				}
			}
		}
	}
}
