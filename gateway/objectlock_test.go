package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// locked makes a bucket with object lock.
func (k *kit) locked(name string) {
	k.t.Helper()
	k.want("200", call{method: "PUT", path: "/" + name, header: pairs([]string{"X-Amz-Bucket-Object-Lock-Enabled", "true"})})
}

func in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

func retention(mode string, d time.Duration) []byte {
	return []byte("<Retention><Mode>" + mode + "</Mode><RetainUntilDate>" + in(d) + "</RetainUntilDate></Retention>")
}

const (
	holdOn  = "<LegalHold><Status>ON</Status></LegalHold>"
	holdOff = "<LegalHold><Status>OFF</Status></LegalHold>"
)

// TestI11_LockedVersions: what a lock keeps, and from whom. Source: S3 User Guide, "Locking objects with Object Lock".
func TestI11_LockedVersions(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	if a := k.want("200", call{method: "GET", path: "/bucket?versioning"}); !strings.Contains(string(a.body), "Enabled") {
		t.Errorf("a bucket with object lock: %s", a.body)
	}
	k.want("InvalidBucketState", call{method: "PUT", path: "/bucket?versioning", body: []byte("<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>")})
	bypass := pairs([]string{"X-Amz-Bypass-Governance-Retention", "true"})
	guest := &sigv4.Credentials{AccessKey: "guest", Secret: "guestsecret"}
	k.want("204", call{method: "PUT", path: "/bucket?policy", body: []byte(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:user/guest"},
		"Action":["s3:DeleteObjectVersion","s3:PutObjectRetention","s3:GetObject","s3:GetObjectLegalHold"],"Resource":"arn:aws:s3:::bucket/*"}]}`, testAccount.ID))})
	for _, c := range []struct {
		name           string
		header         []string
		plain, skipped string // codes of a deletion, without and with the bypass
	}{
		{"none", nil, "204", "204"},
		{"governance", []string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(time.Hour)}, "AccessDenied", "204"},
		{"compliance", []string{"X-Amz-Object-Lock-Mode", "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(time.Hour)}, "AccessDenied", "AccessDenied"},
		{"hold", []string{"X-Amz-Object-Lock-Legal-Hold", "ON"}, "AccessDenied", "AccessDenied"},
		{"no hold", []string{"X-Amz-Object-Lock-Legal-Hold", "OFF"}, "204", "204"},
	} {
		for _, skip := range []bool{false, true} {
			path := "/bucket/k?versionId=" + k.put("/bucket/k", "body", c.header...).version()
			deletion, want := call{method: "DELETE", path: path}, c.plain
			if skip {
				deletion.header, want = bypass, c.skipped
			}
			byGuest := deletion
			if byGuest.credentials = guest; c.plain != "204" {
				k.want("AccessDenied", byGuest) // who says he bypasses, and may not, does not
			}
			a := k.want(want, deletion)
			if want == "204" {
				k.want("NoSuchVersion", call{method: "GET", path: path})
				continue
			}
			if !strings.Contains(string(a.body), "object protected by object lock") {
				t.Errorf("%s: %s", c.name, a.body)
			}
			k.want("200", call{method: "GET", path: path})
		}
	}
	h := k.want("200", call{method: "HEAD", path: "/bucket/k", credentials: guest}).header
	if h.Get("X-Amz-Object-Lock-Mode") != "" || h.Get("X-Amz-Object-Lock-Legal-Hold") != "ON" {
		t.Errorf("who may not read the retention: %v", h)
	}
}

// TestObjectLockCalls: configuration, retention and legal hold, and what is refused. Source: API reference of each.
func TestObjectLockCalls(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	k.makeBucket("plain")
	k.put("/plain/k", "body")
	k.put("/bucket/k", "body")
	config := func(rule string) []byte {
		return []byte("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>" + rule + "</ObjectLockConfiguration>")
	}
	rule := func(of string) []byte {
		return config("<Rule><DefaultRetention><Mode>GOVERNANCE</Mode>" + of + "</DefaultRetention></Rule>")
	}
	gone := k.want("204", call{method: "DELETE", path: "/bucket/gone"}).version()
	bypass := pairs([]string{"X-Amz-Bypass-Governance-Retention", "true"})
	for _, c := range []struct {
		code, answer string
		call
	}{
		{"ObjectLockConfigurationNotFoundError", "", call{method: "GET", path: "/plain?object-lock"}},
		{"InvalidBucketState", "", call{method: "PUT", path: "/plain?object-lock", body: config("")}},
		{"200", "<ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>", call{method: "GET", path: "/bucket?object-lock"}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket?object-lock", body: rule("<Days>0</Days>")}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket?object-lock", body: rule("<Days>36501</Days>")}},
		{"MalformedXML", "", call{method: "PUT", path: "/bucket?object-lock", body: rule("")}},
		{"InvalidArgument", "", call{method: "PUT", path: "/new", header: pairs([]string{"X-Amz-Bucket-Object-Lock-Enabled", "perhaps"})}},
		{"InvalidRequest", "", call{method: "PUT", path: "/plain/k?retention", body: retention("GOVERNANCE", time.Hour)}},
		{"InvalidRequest", "", call{method: "GET", path: "/plain/k?retention"}},
		{"InvalidRequest", "", call{method: "PUT", path: "/plain/k?legal-hold", body: []byte(holdOn)}},
		{"InvalidRequest", "", call{method: "PUT", path: "/plain/k", header: pairs([]string{"X-Amz-Object-Lock-Legal-Hold", "ON"})}},
		{"InvalidRequest", "", call{method: "POST", path: "/plain/k?uploads", header: pairs([]string{"X-Amz-Object-Lock-Legal-Hold", "ON"})}},
		{"InvalidRequest", "", call{method: "PUT", path: "/plain/c", header: pairs([]string{"X-Amz-Object-Lock-Legal-Hold", "ON", "X-Amz-Copy-Source", "/plain/k"})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-Object-Lock-Legal-Hold", "on"})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-Object-Lock-Mode", "GOVERNANCE"})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-Object-Lock-Retain-Until-Date", in(time.Hour)})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-Object-Lock-Mode", "SOFT", "X-Amz-Object-Lock-Retain-Until-Date", in(time.Hour)})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", "soon"})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k", header: pairs([]string{"X-Amz-Object-Lock-Mode", "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(-time.Hour)})}},
		{"InvalidArgument", "", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", -time.Hour)}},
		{"NoSuchKey", "", call{method: "PUT", path: "/bucket/none?retention", body: retention("GOVERNANCE", time.Hour)}},
		{"MethodNotAllowed", "", call{method: "PUT", path: "/bucket/gone?retention&versionId=" + gone, body: retention("GOVERNANCE", time.Hour)}},
		{"NoSuchObjectLockConfiguration", "", call{method: "GET", path: "/bucket/k?retention"}},
		{"NoSuchObjectLockConfiguration", "", call{method: "GET", path: "/bucket/k?legal-hold"}},
		{"200", "", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", 2*time.Hour)}},
		{"200", "<Mode>GOVERNANCE</Mode>", call{method: "GET", path: "/bucket/k?retention"}},
		{"AccessDenied", "", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", time.Hour)}},
		{"200", "", call{method: "PUT", path: "/bucket/k?retention", body: retention("GOVERNANCE", time.Hour), header: bypass}},
		{"200", "", call{method: "PUT", path: "/bucket/k?legal-hold", body: []byte(holdOn)}},
		{"200", "<Status>ON</Status>", call{method: "GET", path: "/bucket/k?legal-hold"}},
		{"200", "", call{method: "PUT", path: "/bucket/k?retention", body: []byte("<Retention/>"), header: bypass}},
		{"NoSuchObjectLockConfiguration", "", call{method: "GET", path: "/bucket/k?retention"}},
		{"200", "", call{method: "PUT", path: "/bucket/k?legal-hold", body: []byte(holdOff)}},
		{"200", "<Status>OFF</Status>", call{method: "GET", path: "/bucket/k?legal-hold"}},
		{"200", "", call{method: "PUT", path: "/bucket?object-lock", body: rule("<Days>1</Days>")}},
		{"200", "<Days>1</Days>", call{method: "GET", path: "/bucket?object-lock"}},
		{"InvalidRequest", "", call{method: "PUT", path: "/bucket/default", body: []byte("body")}},
		{"200", "", call{method: "PUT", path: "/bucket/default", body: []byte("body"), header: pairs([]string{"X-Amz-Checksum-Crc32", "26gLsg=="})}},
		{"200", "<Mode>GOVERNANCE</Mode>", call{method: "GET", path: "/bucket/default?retention"}},
		{"200", "", call{method: "PUT", path: "/bucket/copy", header: pairs([]string{"X-Amz-Copy-Source", "/bucket/k", "X-Amz-Object-Lock-Mode", "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date", in(time.Hour)})}},
		{"200", "<Mode>COMPLIANCE</Mode>", call{method: "GET", path: "/bucket/copy?retention"}},
	} {
		if a := k.want(c.code, c.call); !strings.Contains(string(a.body), c.answer) {
			t.Errorf("%s %s: %s", c.method, c.path, a.body)
		}
	}
}

// TestLockNeedsNewNodes: in a cluster with an older node no bucket gets object lock.
func TestLockNeedsNewNodes(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Versions = func() bool { return false } })
	k.want("ServiceUnavailable", call{method: "PUT", path: "/bucket", header: pairs([]string{"X-Amz-Bucket-Object-Lock-Enabled", "true"})})
	k.want("NoSuchBucket", call{method: "GET", path: "/bucket"})
}

func tagging(pairs ...string) []byte {
	doc := "<Tagging><TagSet>"
	for i := 0; i+1 < len(pairs); i += 2 {
		doc += "<Tag><Key>" + pairs[i] + "</Key><Value>" + pairs[i+1] + "</Value></Tag>"
	}
	return []byte(doc + "</TagSet></Tagging>")
}

// TestObjectTagging: the tags of the newest version and of one that is named. Source: PutObjectTagging and its like.
func TestObjectTagging(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.versioning("bucket", "Enabled")
	old := k.put("/bucket/k", "old", "X-Amz-Tagging", "a=x%2By&b=").version()
	k.put("/bucket/k", "new")
	tags := func(query string) string {
		t.Helper()
		return between(string(k.want("200", call{method: "GET", path: "/bucket/k?tagging" + query}).body), "<TagSet>", "</TagSet>")
	}
	if got := tags("&versionId=" + old); got != "<Tag><Key>a</Key><Value>x+y</Value></Tag><Tag><Key>b</Key><Value></Value></Tag>" {
		t.Errorf("tags of a header: %s", got)
	}
	before := k.want("200", call{method: "HEAD", path: "/bucket/k"}).header
	if a := k.want("200", call{method: "PUT", path: "/bucket/k?tagging", body: tagging("c", "ü +")}); a.version() != before.Get("X-Amz-Version-Id") {
		t.Errorf("put: %v", a.header)
	}
	after := k.want("200", call{method: "HEAD", path: "/bucket/k"}).header
	if after.Get("X-Amz-Tagging-Count") != "1" || after.Get("X-Amz-Version-Id") != before.Get("X-Amz-Version-Id") || after.Get("Last-Modified") != before.Get("Last-Modified") {
		t.Errorf("before %v, after %v", before, after)
	}
	if got := tags(""); got != "<Tag><Key>c</Key><Value>ü +</Value></Tag>" {
		t.Errorf("tags: %s", got)
	}
	k.want("204", call{method: "DELETE", path: "/bucket/k?tagging&versionId=" + old})
	if got := tags("&versionId="+old) + tags(""); got != "<Tag><Key>c</Key><Value>ü +</Value></Tag>" {
		t.Errorf("after the old one's were taken: %s", got)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		k.want("NoSuchKey", call{method: method, path: "/bucket/none?tagging", body: tagging("a", "b")})
		k.want("InvalidArgument", call{method: method, path: "/bucket/k?tagging&versionId=x", body: tagging("a", "b")})
		k.want("AccessDenied", call{method: method, path: "/bucket/k?tagging", body: tagging("a", "b"), anonymous: true})
	}
	k.want("InvalidTag", call{method: "PUT", path: "/bucket/k?tagging", body: tagging("a", "1", "a", "2")})
	k.want("MalformedXML", call{method: "PUT", path: "/bucket/k?tagging", body: []byte("a=b")})
}

// TestTaggingByPolicy: what a policy says of tags that are there, and of those that are given.
func TestTaggingByPolicy(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/open", "x", "X-Amz-Tagging", "state=open")
	k.put("/bucket/shut", "x", "X-Amz-Tagging", "state=shut")
	k.want("204", call{method: "PUT", path: "/bucket?policy", body: []byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObjectTagging","Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/state":"open"}}},
		{"Effect":"Allow","Principal":"*","Action":"s3:PutObjectTagging","Resource":"arn:aws:s3:::bucket/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/state":"open"},
		"StringNotEquals":{"s3:RequestObjectTag/state":"root"}}}]}`)})
	for _, c := range []struct{ code, method, key, state string }{
		{"200", "GET", "open", ""}, {"AccessDenied", "GET", "shut", ""}, {"AccessDenied", "PUT", "shut", "open"}, {"AccessDenied", "PUT", "open", "root"}, {"200", "PUT", "open", "shut"}, {"AccessDenied", "PUT", "open", "open"},
	} {
		k.want(c.code, call{method: c.method, path: "/bucket/" + c.key + "?tagging", body: tagging("state", c.state), anonymous: true})
	}
}

// TestChangesInPlaceRace: a tag set and a hold that are put at once are both there.
func TestChangesInPlaceRace(t *testing.T) {
	k := newKit(t)
	k.locked("bucket")
	for range 20 {
		k.put("/bucket/k", "body")
		var done sync.WaitGroup
		done.Go(func() { k.do(call{method: "PUT", path: "/bucket/k?tagging", body: tagging("a", "b")}) })
		done.Go(func() { k.do(call{method: "PUT", path: "/bucket/k?legal-hold", body: []byte(holdOn)}) })
		done.Wait()
		if h := k.want("200", call{method: "HEAD", path: "/bucket/k"}).header; h.Get("X-Amz-Tagging-Count") != "1" || h.Get("X-Amz-Object-Lock-Legal-Hold") != "ON" {
			t.Fatalf("%v", h)
		}
	}
}

// betweenRecords is records of which somebody changes something just before an update, or after a read.
type betweenRecords struct {
	*records
	before, after func()
}

func (b *betweenRecords) Get(ctx context.Context, bucket ids.Bucket, key string, opt meta.GetOptions) (*metapb.Version, []byte, error) {
	v, body, err := b.records.Get(ctx, bucket, key, opt)
	if after := b.after; after != nil {
		b.after = nil
		after()
	}
	return v, body, err
}

func (b *betweenRecords) UpdateVersion(ctx context.Context, rules int64, c *metapb.UpdateVersion) (meta.Made, error) {
	if before := b.before; before != nil {
		before()
	}
	return b.records.UpdateVersion(ctx, rules, c)
}

// TestChangesInPlaceAreAskedAgain: what is changed is what was permitted; where somebody comes between it is asked about again, a few times.
func TestChangesInPlaceAreAskedAgain(t *testing.T) {
	between := new(betweenRecords)
	k := newKit(t, func(_ *Options, o *object.Options) {
		between.records = o.Records.(*records)
		o.Records = between
	})
	k.makeBucket("bucket")
	b := uint64(k.buckets.Map().Buckets["bucket"].ID)
	k.users(map[string]string{"ann": statement("Allow", `["s3:PutObjectTagging"]`, `"*"`, `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/state":"open"}}`)})
	times := 0
	for _, c := range []struct {
		code, state string // that it gets
		most, want  int    // how often somebody comes between: at most; and did
	}{
		{"200", "open", 0, 0}, {"200", "open", 1, 1}, {"200", "open", 4, 4}, {"OperationAborted", "open", 9, 5}, {"AccessDenied", "shut", 9, 1},
	} {
		k.put("/bucket/k", "body", "X-Amz-Tagging", "state=open")
		times = 0
		between.before = func() {
			if times == c.most {
				return
			}
			times++
			_, err := between.records.UpdateVersion(t.Context(), 0, &metapb.UpdateVersion{Bucket: b, Key: "k", Change: &metapb.UpdateVersion_Tags{Tags: "state=" + c.state}})
			check(t, err)
		}
		k.want(c.code, call{method: "PUT", path: "/bucket/k?tagging", body: tagging("state", "mine"), credentials: as("ann")})
		between.before = nil
		state := c.state
		if c.code == "200" {
			state = "mine"
		}
		if a := k.want("200", call{method: "GET", path: "/bucket/k?tagging"}); times != c.want || !strings.Contains(string(a.body), "<Value>"+state+"</Value>") {
			t.Errorf("%+v: somebody came between %d times, and it is %s", c, times, a.body)
		}
	}
}

// TestAttributesAreOfWhatWasAskedAbout: who may not read the version whose attributes were read does not get them because he may read the next.
func TestAttributesAreOfWhatWasAskedAbout(t *testing.T) {
	between := new(betweenRecords)
	k := newKit(t, func(_ *Options, o *object.Options) {
		between.records = o.Records.(*records)
		o.Records = between
	})
	k.makeBucket("bucket")
	k.users(map[string]string{"ann": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObjectAttributes","Resource":"*"},
		{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/state":"open"}}}]}`})
	ask := call{method: "GET", path: "/bucket/k?attributes", header: pairs([]string{"X-Amz-Object-Attributes", "ETag"}), credentials: as("ann")}
	k.put("/bucket/k", "secret", "X-Amz-Tagging", "state=shut")
	between.after = func() { k.put("/bucket/k", "public", "X-Amz-Tagging", "state=open") }
	k.want("AccessDenied", ask)
	k.want("200", ask)
}
