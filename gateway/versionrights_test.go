package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// TestRightsToVersionsAndLocks: what a version's id and a lock take of permissions beside the operation's own. Source: S3 User Guide,
// "Required permissions for Amazon S3 API operations"; "Object Lock considerations", "Permissions for ...".
func TestRightsToVersionsAndLocks(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	k.users(map[string]string{
		"putter": statement("Allow", `["s3:PutObject"]`, `"*"`, ""), "retainer": statement("Allow", `["s3:PutObject","s3:PutObjectRetention"]`, `"*"`, ""),
		"holder":  statement("Allow", `["s3:PutObject","s3:PutObjectLegalHold"]`, `"*"`, ""),
		"deleter": statement("Allow", `["s3:DeleteObject"]`, `"*"`, ""), "eraser": statement("Allow", `["s3:DeleteObjectVersion"]`, `"*"`, ""),
		"reader":     statement("Allow", `["s3:GetObject","s3:PutObject","s3:GetObjectAttributes","s3:GetObjectVersionAttributes","s3:GetObjectTagging","s3:GetObjectRetention"]`, `"*"`, ""),
		"historian":  statement("Allow", `["s3:GetObjectVersion","s3:PutObject","s3:GetObjectVersionAttributes","s3:GetObjectAttributes","s3:GetObjectVersionTagging"]`, `"*"`, ""),
		"attributer": statement("Allow", `["s3:GetObjectAttributes","s3:GetObjectVersionAttributes"]`, `"*"`, ""),
		"days":       statement("Allow", `["s3:PutObject","s3:PutObjectRetention"]`, `"*"`, `,"Condition":{"NumericLessThanIfExists":{"s3:object-lock-remaining-retention-days":"10"}}`),
		"maker":      statement("Allow", `["s3:CreateBucket"]`, `"*"`, ""), "lockmaker": statement("Allow", `["s3:CreateBucket","s3:PutBucketObjectLockConfiguration","s3:PutBucketVersioning"]`, `"*"`, ""),
		"half": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:DeleteObjectVersion","Resource":"*"},
			{"Effect":"Allow","Action":"s3:BypassGovernanceRetention","Resource":"arn:aws:s3:::bucket/free"}]}`,
	})
	governance := func(d time.Duration) []string {
		return []string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(d)}
	}
	hold := []string{"X-Amz-Object-Lock-Legal-Hold", "ON"}
	id := k.put("/bucket/k", "body").version()
	of := "?versionId=" + id
	free, kept := k.put("/bucket/free", "body", governance(time.Hour)...).version(), k.put("/bucket/kept", "body", governance(time.Hour)...).version()
	attributes := func(sub string) call {
		return call{method: "GET", path: "/bucket/k?attributes" + sub, header: pairs([]string{"X-Amz-Object-Attributes", "ETag"})}
	}
	put := func(header ...string) call {
		return call{method: "PUT", path: "/bucket/new", header: pairs(append(header, "Content-MD5", md5Of("")))}
	}
	remove := func(header []string, objects ...string) call {
		q := deleteObjects("bucket", "<Delete>"+strings.Join(objects, "")+"</Delete>")
		for name, value := range pairs(header) {
			q.header[name] = value
		}
		return q
	}
	object := func(key, id string) string {
		return "<Object><Key>" + key + "</Key><VersionId>" + id + "</VersionId></Object>"
	}
	newBucket := func(name string) call {
		return call{method: "PUT", path: "/" + name, header: pairs([]string{"X-Amz-Bucket-Object-Lock-Enabled", "true"})}
	}
	for _, c := range []struct {
		who, code string
		call
		answer string // in its body
	}{
		{"putter", "200", put(), ""},
		{"putter", "AccessDenied", put(governance(time.Hour)...), ""},
		{"putter", "AccessDenied", put(hold...), ""},
		{"retainer", "200", put(governance(time.Hour)...), ""},
		{"retainer", "AccessDenied", put(hold...), ""},
		{"holder", "200", put(hold...), ""},
		{"holder", "AccessDenied", put(governance(time.Hour)...), ""},
		{"days", "200", put(governance(9 * 24 * time.Hour)...), ""},
		{"days", "AccessDenied", put(governance(11 * 24 * time.Hour)...), ""},
		{"days", "200", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", 24*time.Hour)}, ""},
		{"days", "AccessDenied", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", 11*24*time.Hour)}, ""},
		{"putter", "AccessDenied", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", 48*time.Hour)}, ""},
		{"putter", "AccessDenied", call{method: "PUT", path: "/bucket/k?retention", body: []byte("none")}, ""},
		{"retainer", "MalformedXML", call{method: "PUT", path: "/bucket/k?retention", body: []byte("none")}, ""},
		{"retainer", "AccessDenied", call{method: "PUT", path: "/bucket/k?legal-hold", body: []byte(holdOff)}, ""},
		{"retainer", "AccessDenied", call{method: "PUT", path: "/bucket/absent?retention", body: retention("GOVERNANCE", time.Hour)}, ""},
		{"reader", "200", call{method: "GET", path: "/bucket/k"}, ""},
		{"reader", "AccessDenied", call{method: "GET", path: "/bucket/k" + of}, ""},
		{"historian", "AccessDenied", call{method: "GET", path: "/bucket/k"}, ""},
		{"historian", "200", call{method: "GET", path: "/bucket/k" + of}, ""},
		{"reader", "200", call{method: "GET", path: "/bucket/k?tagging"}, ""},
		{"reader", "AccessDenied", call{method: "GET", path: "/bucket/k?tagging&versionId=" + id}, ""},
		{"historian", "200", call{method: "GET", path: "/bucket/k?tagging&versionId=" + id}, ""},
		{"reader", "AccessDenied", call{method: "GET", path: "/bucket/absent?retention"}, ""}, // who may not list does not learn what is absent
		{"reader", "200", attributes(""), ""},
		{"reader", "AccessDenied", attributes("&versionId=" + id), ""},
		{"historian", "200", attributes("&versionId=" + id), ""},
		{"historian", "AccessDenied", attributes(""), ""},
		{"attributer", "AccessDenied", attributes(""), ""},
		{"attributer", "AccessDenied", attributes("&versionId=" + id), ""},
		{"reader", "200", put("X-Amz-Copy-Source", "/bucket/k"), ""},
		{"reader", "AccessDenied", put("X-Amz-Copy-Source", "/bucket/k"+of), ""},
		{"historian", "200", put("X-Amz-Copy-Source", "/bucket/k"+of), ""},
		{"historian", "AccessDenied", put("X-Amz-Copy-Source", "/bucket/k"), ""},
		{"deleter", "AccessDenied", call{method: "DELETE", path: "/bucket/k" + of}, ""},
		{"eraser", "AccessDenied", call{method: "DELETE", path: "/bucket/k"}, ""},
		{"deleter", "200", remove(nil, object("k", id), "<Object><Key>new</Key></Object>"), "<Error><Key>k</Key><VersionId>" + id + "</VersionId><Code>AccessDenied</Code>"},
		{"eraser", "200", remove(nil, object("absent", id), "<Object><Key>k</Key></Object>"), "<Error><Key>k</Key><Code>AccessDenied</Code>"},
		{"half", "200", remove([]string{bypassHeader, "true"}, object("free", free), object("kept", kept)), "<Error><Key>kept</Key><VersionId>" + kept + "</VersionId><Code>AccessDenied</Code>"},
		{"root", "NoSuchVersion", call{method: "GET", path: "/bucket/free?versionId=" + free}, ""},
		{"root", "200", call{method: "GET", path: "/bucket/kept?versionId=" + kept}, ""},
		{"maker", "AccessDenied", newBucket("locked-by-maker"), ""},
		{"lockmaker", "200", newBucket("locked-by-lockmaker"), ""},
	} {
		c.credentials = as(c.who)
		if a := k.do(c.call); a.code() != c.code || !strings.Contains(string(a.body), c.answer) {
			t.Errorf("%s: %s %s %v: %s, want %s %s: %s", c.who, c.method, c.path, c.header, a.code(), c.code, c.answer, a.body)
		}
	}
}

// TestLocksAreShownToWhoMayKnow: source HeadObject, x-amz-object-lock-mode, "only returned if the requester has the s3:GetObjectRetention permission".
func TestLocksAreShownToWhoMayKnow(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	k.put("/bucket/k", "body", "X-Amz-Object-Lock-Mode", "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(time.Hour), "X-Amz-Object-Lock-Legal-Hold", "ON")
	k.users(map[string]string{
		"reader":   statement("Allow", `["s3:GetObject"]`, `"*"`, ""),
		"retainer": statement("Allow", `["s3:GetObject","s3:GetObjectRetention"]`, `"*"`, ""), "holder": statement("Allow", `["s3:GetObject","s3:GetObjectLegalHold"]`, `"*"`, ""),
	})
	for who, want := range map[string][3]bool{"reader": {}, "retainer": {true, true, false}, "holder": {false, false, true}, "root": {true, true, true}} {
		for _, method := range []string{"GET", "HEAD"} {
			h := k.want("200", call{method: method, path: "/bucket/k", credentials: as(who)}).header
			got := [3]bool{h.Get("X-Amz-Object-Lock-Mode") != "", h.Get("X-Amz-Object-Lock-Retain-Until-Date") != "", h.Get("X-Amz-Object-Lock-Legal-Hold") != ""}
			if got != want {
				t.Errorf("%s by %s: %v", method, who, h)
			}
		}
	}
}

// TestI11_LaggingLock: a gateway whose map does not have the bucket's object lock yet looks again before it says that there is none.
func TestI11_LaggingLock(t *testing.T) {
	for name, c := range map[string]call{
		"put":       {method: "PUT", path: "/bucket/new", header: pairs([]string{"X-Amz-Object-Lock-Legal-Hold", "ON", "Content-MD5", md5Of("")})},
		"retention": {method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", time.Hour)},
		"hold":      {method: "PUT", path: "/bucket/k?legal-hold", body: []byte(holdOn)},
	} {
		k := newKit(t)
		k.makeBucket("bucket")
		k.versioning("bucket", "Enabled")
		k.put("/bucket/k", "body")
		b := *k.buckets.Map().Buckets["bucket"]
		b.Rules++
		b.Lock = new(placement.ObjectLock)
		k.buckets.late["bucket"] = &b
		check(t, k.records.setRules(&b))
		if a := k.do(c); a.status != 200 {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

// TestLockConfigurationPeriods: a default retention of years is one, and is changed to one of days. Source: API_DefaultRetention.
func TestLockConfigurationPeriods(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	rule := func(period string) call {
		return lockConfig("bucket", "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode>"+period+"</DefaultRetention></Rule>")
	}
	k.want("InvalidArgument", rule("<Years>101</Years>"))
	for _, period := range []struct {
		text  string
		until time.Time
	}{
		{"<Years>100</Years>", time.Now().AddDate(100, 0, 0)}, {"<Days>36500</Days>", time.Now().AddDate(0, 0, 36500)}, {"<Years>1</Years>", time.Now().AddDate(1, 0, 0)},
	} {
		k.want("200", rule(period.text))
		if a := k.want("200", call{method: "GET", path: "/bucket?object-lock"}); !strings.Contains(string(a.body), "<Mode>COMPLIANCE</Mode>"+period.text) {
			t.Errorf("%s: %s", period.text, a.body)
		}
		k.put("/bucket/k", "body")
		until, err := time.Parse(time.RFC3339, k.want("200", call{method: "HEAD", path: "/bucket/k"}).header.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		check(t, err)
		if d := until.Sub(period.until); d < -time.Second || d > time.Hour {
			t.Errorf("%s: kept until %v", period.text, until)
		}
	}
	k.want("200", lockConfig("bucket", ""))
	k.put("/bucket/k", "body")
	if mode := k.want("200", call{method: "HEAD", path: "/bucket/k"}).header.Get("X-Amz-Object-Lock-Mode"); mode != "" {
		t.Errorf("without a default retention: %s", mode)
	}
}
