package gateway

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// Source: "General purpose bucket naming rules".
func TestBucketNames(t *testing.T) {
	for name, want := range map[string]bool{
		"abc": true, "a.b-c9": true, strings.Repeat("a", 63): true, "123": true,
		"ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-abc": false, "abc-": false, ".abc": false, "a..b": false,
		"192.168.5.4": false, "xn--abc": false, "sthree-abc": false, "amzn-s3-demo-x": false, "abc-s3alias": false, "abc--ol-s3": false, "abc.mrap": false, "abc--x-s3": false,
		"_": false, "a b": false, "ä": false, "": false,
	} {
		if got := validBucketName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]bool{"a.b-c9": true, "a--b": true, "No": false, "a.-b": false, "a-.b": false} {
		if got := validNewBucketName(name); got != want {
			t.Errorf("new bucket %q: %v, want %v", name, got, want)
		}
	}
}

// Source: CreateBucket, HeadBucket, GetBucketLocation, DeleteBucket.
func TestBuckets(t *testing.T) {
	k := newKit(t)
	location := func(region string) []byte {
		return []byte(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` + region + `</LocationConstraint></CreateBucketConfiguration>`)
	}
	a := k.want("200", call{method: "PUT", path: "/first"})
	if a.header.Get("Location") != "/first" {
		t.Errorf("Location %q", a.header.Get("Location"))
	}
	k.want("200", call{method: "PUT", path: "/first/"}) // us-east-1: again is fine
	k.want("200", call{method: "PUT", path: "/second", body: location("eu-west-1")})
	k.want("BucketAlreadyOwnedByYou", call{method: "PUT", path: "/second", body: location("eu-west-1")})
	k.want("InvalidLocationConstraint", call{method: "PUT", path: "/third", body: location("Über")})
	k.want("MalformedXML", call{method: "PUT", path: "/third", body: []byte("<CreateBucketConfiguration>")})
	k.want("InvalidBucketName", call{method: "PUT", path: "/No"})
	k.want("InvalidBucketName", call{method: "PUT", path: "/No_Bucket", body: []byte("no document")}) // its body does not matter then
	k.want("NoSuchBucket", call{method: "GET", path: "/third?location"})
	if a := k.want("200", call{method: "GET", path: "/first?location"}); !strings.Contains(string(a.body), `"></LocationConstraint>`) {
		t.Errorf("location of us-east-1: %s", a.body)
	}
	if a := k.want("200", call{method: "GET", path: "/second?location"}); !strings.Contains(string(a.body), ">eu-west-1<") {
		t.Errorf("location: %s", a.body)
	}
	if a := k.want("200", call{method: "HEAD", path: "/second"}); a.header.Get("x-amz-bucket-region") != "eu-west-1" {
		t.Errorf("region header: %v", a.header)
	}
	k.want("404", call{method: "HEAD", path: "/third"})

	k.put("/first/key", "x")
	k.want("BucketNotEmpty", call{method: "DELETE", path: "/first"})
	k.put("/first/key2", "not sealed")
	k.want("204", call{method: "DELETE", path: "/first/key"})
	k.want("204", call{method: "DELETE", path: "/first/key2"})
	k.want("200", call{method: "POST", path: "/first/unfinished?uploads"})
	k.want("204", call{method: "DELETE", path: "/first"})
	k.want("NoSuchBucket", call{method: "DELETE", path: "/first"})
	k.want("NoSuchBucket", call{method: "PUT", path: "/first/key", body: []byte("x")})
	k.makeBucket("first")
	k.put("/first/key", "new life")
}

// A bucket that a watch has not shown yet is found by a linearizable look; one made elsewhere too.
func TestBucketMissIsLinearizable(t *testing.T) {
	k := newKit(t)
	k.buckets.late["late"] = &placement.Bucket{ID: 77, Name: "late", Pool: 1}
	k.want("200", call{method: "HEAD", path: "/late"})
}

func TestI20_DeleteRacesWithPut(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	done := false
	k.records.fail = func(c *metapb.Command) error { // while it is being sealed, an object appears
		if s := c.GetSeal(); s != nil && !s.Off && !done {
			done = true
			k.records.mu.Unlock()
			k.put("/bucket/key", "late")
			k.records.mu.Lock()
		}
		return nil
	}
	k.want("BucketNotEmpty", call{method: "DELETE", path: "/bucket"})
	k.put("/bucket/key", "unsealed again")
	k.records.fail = nil
	if k.buckets.Map().Buckets["bucket"].Deleting {
		t.Error("still marked as being deleted")
	}
}

func TestI20_CrashedDeletionIsTakenBack(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	b := k.buckets.Map().Buckets["bucket"]
	_, _ = k.buckets.SetDeleting(context.Background(), b, true)
	_ = k.records.Seal(context.Background(), b.ID, false)
	k.want("OperationAborted", call{method: "PUT", path: "/bucket/key", body: []byte("x")})
	k.want("OperationAborted", call{method: "PUT", path: "/bucket/key", body: []byte(text(5000))})
	if k.blobs.count() != 0 {
		t.Error("a refused body is stored")
	}
	if err := k.server.RecoverBuckets(context.Background()); err != nil {
		t.Fatal(err)
	}
	k.put("/bucket/key", "x")
}

// A bucket that was made again under the name, through another server, while a deletion was on its way is not deleted with what it holds.
func TestI20_DeletionKnowsItsBucket(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.buckets.mark = func() {
		k.buckets.mark = nil
		k.buckets.mu.Lock()
		k.buckets.change(func(all map[string]*placement.Bucket) { delete(all, "bucket") })
		k.buckets.mu.Unlock()
		k.makeBucket("bucket")
		k.put("/bucket/key", "acknowledged")
	}
	k.want("ServiceUnavailable", call{method: "DELETE", path: "/bucket"})
	k.want("200", call{method: "GET", path: "/bucket/key"})
	k.want("BucketNotEmpty", call{method: "DELETE", path: "/bucket"})
}

// A bucket that was deleted and made again through another server is there from then on, also for a server that has not heard of it: it does
// not say that there is none, and after the client's next try it serves it.
func TestI20_ServerLagsBehindANewBucket(t *testing.T) {
	config := []byte(`<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`)
	batch := []byte(`<Delete><Object><Key>key</Key></Object></Delete>`)
	upload := ids.NewUpload(1).String()
	for i, c := range []struct {
		call
		then string
	}{
		{call{method: "PUT", path: "/bucket/key", body: []byte("x")}, "200"},
		{call{method: "PUT", path: "/bucket/key", body: []byte(text(5000))}, "200"},
		{call{method: "POST", path: "/bucket/key?uploads"}, "200"},
		{call{method: "DELETE", path: "/bucket"}, "204"},
		{call{method: "PUT", path: "/bucket?tagging", body: config}, "204"},
		{call{method: "GET", path: "/bucket/key"}, "NoSuchKey"},
		{call{method: "GET", path: "/bucket/key?tagging"}, "NoSuchKey"},
		{call{method: "GET", path: "/bucket?list-type=2"}, "200"},
		{call{method: "GET", path: "/bucket?versions"}, "200"},
		{call{method: "GET", path: "/bucket?uploads"}, "200"},
		{call{method: "GET", path: "/bucket/key?uploadId=" + upload}, "NoSuchUpload"},
		{call{method: "DELETE", path: "/bucket/key?uploadId=" + upload}, "NoSuchUpload"},
		{call{method: "DELETE", path: "/bucket/key"}, "204"},
		{call{method: "POST", path: "/bucket?delete", body: batch, change: func(r *http.Request) {
			sum := md5.Sum(batch)
			r.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
		}}, "200"},
	} {
		t.Run(fmt.Sprint(i, c.method), func(t *testing.T) {
			k := newKit(t)
			k.makeBucket("bucket")
			old := *k.buckets.Map().Buckets["bucket"]
			if err := k.records.Seal(t.Context(), old.ID, false); err != nil {
				t.Fatal(err)
			}
			k.records.deleted = old.ID
			next := old
			next.ID += 100
			k.buckets.late["bucket"] = &next
			k.want("ServiceUnavailable", c.call)
			k.want(c.then, c.call)
		})
	}
}

// Deletions of one bucket take turns: one that is taken back would unseal what another has found empty.
func TestI20_DeletionsTakeTurns(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	end, err := k.server.deleting.begin(t.Context(), k.buckets.Map().Buckets["bucket"].ID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	a := k.do(call{method: "DELETE", path: "/bucket", change: func(r *http.Request) { *r = *r.WithContext(ctx) }})
	if a.err == nil {
		t.Errorf("answered %d during another deletion", a.status)
	}
	if b := k.buckets.Map().Buckets["bucket"]; b == nil || b.Deleting {
		t.Errorf("the bucket is %+v", b)
	}
	end()
	if a := k.do(call{method: "DELETE", path: "/bucket"}); a.code() != "204" && a.code() != "NoSuchBucket" { // by the first, whose client is gone
		t.Errorf("got %s: %s", a.code(), a.body)
	}
	k.want("404", call{method: "HEAD", path: "/bucket"})
}

// Source: ListBuckets.
func TestListBuckets(t *testing.T) {
	k := newKit(t)
	for i := range 5 {
		k.makeBucket(fmt.Sprintf("bucket-%d", i))
	}
	k.makeBucket("other")
	var doc struct {
		Owner   struct{ ID string }
		Buckets struct {
			Bucket []struct{ Name, BucketRegion, CreationDate string }
		}
		ContinuationToken string
	}
	list := func(query string) (names []string) {
		t.Helper()
		doc.Buckets.Bucket, doc.ContinuationToken = nil, ""
		if err := xml.Unmarshal(k.want("200", call{method: "GET", path: "/" + query}).body, &doc); err != nil {
			t.Fatal(err)
		}
		for _, b := range doc.Buckets.Bucket {
			names = append(names, b.Name)
		}
		return names
	}
	if got := list(""); len(got) != 6 || got[0] != "bucket-0" || got[5] != "other" || doc.Owner.ID != testAccount.Canonical {
		t.Errorf("all: %v of %v", got, doc.Owner)
	}
	if got := list("?prefix=oth"); len(got) != 1 {
		t.Errorf("prefix: %v", got)
	}
	var paged []string
	for query := "?max-buckets=2"; ; query = "?max-buckets=2&continuation-token=" + doc.ContinuationToken {
		paged = append(paged, list(query)...)
		if doc.ContinuationToken == "" {
			break
		}
	}
	if len(paged) != 6 {
		t.Errorf("paged: %v", paged)
	}
	k.want("InvalidArgument", call{method: "GET", path: "/?max-buckets=0"})
	k.want("InvalidArgument", call{method: "GET", path: "/?continuation-token=!"})
}
