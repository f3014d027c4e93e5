package gateway

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// An unknown outcome is 503, and what may have been committed is not deleted; a later read tells.
func TestI1_UnknownOutcomeKeepsBlobs(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	body := text(100_000)
	k.records.lose = func(c *metapb.Command) error {
		if c.GetPut() != nil {
			return meta.ErrUnavailable
		}
		return nil
	}
	a := k.want("ServiceUnavailable", call{method: "PUT", path: "/bucket/key", body: []byte(body)})
	if a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v", a.status, a.header)
	}
	k.records.lose = nil
	if g := k.want("200", call{method: "GET", path: "/bucket/key"}); string(g.body) != body {
		t.Error("the commit that nobody heard of lost its bytes")
	}
}

func TestFaultsBelow(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", text(500_000))
	for _, c := range []struct {
		err    error
		code   string
		status int
	}{
		{erasure.ErrNoQuorum, "SlowDown", 503}, {erasure.ErrFull, "InsufficientStorage", 507}, {errors.New("odd"), "InternalError", 500},
	} {
		k.blobs.failPut = c.err
		if a := k.want(c.code, call{method: "PUT", path: "/bucket/other", body: []byte(text(5000))}); a.status != c.status {
			t.Errorf("%v: status %d", c.err, a.status)
		}
	}
	k.blobs.failPut = nil
	k.blobs.failGet = func(int64) error { return erasure.ErrUnavailable }
	k.want("SlowDown", call{method: "GET", path: "/bucket/key"})
	k.blobs.failGet = func(sent int64) error {
		if sent > 200_000 {
			return erasure.ErrCorrupt
		}
		return nil
	}
	// A fault after the header ends the connection: fewer bytes than announced, never other ones.
	a := k.do(call{method: "GET", path: "/bucket/key"})
	if a.err == nil || len(a.body) >= 500_000 || string(a.body) != text(500_000)[:len(a.body)] {
		t.Errorf("cut: %d bytes, %v", len(a.body), a.err)
	}
	if n := k.objects.OpenReads().Count; n != 0 {
		t.Errorf("%d reads are open", n)
	}
}

// What is overwritten and deleted while it is read is read to its end, and counts as open meanwhile.
func TestI13_ReadersFinish(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	body := text(500_000)
	id := k.upload("/bucket/multi")
	e1, e2 := k.part("/bucket/multi", id, 1, body[:300_000]), k.part("/bucket/multi", id, 2, body[300_000:])
	k.complete("200", "/bucket/multi", id, completeDoc(1, e1, 2, e2))
	k.put("/bucket/single", body)
	for _, path := range []string{"/bucket/single", "/bucket/multi"} {
		var once sync.Once
		k.blobs.failGet = func(sent int64) error {
			once.Do(func() {
				before := k.objects.OpenReads().Oldest
				k.put(path, "new")
				k.want("204", call{method: "DELETE", path: path})
				if after := k.objects.OpenReads().Oldest; after != before {
					t.Errorf("%s: the oldest open read was %d, and is %d", path, before, after)
				}
			})
			return nil
		}
		if a := k.want("200", call{method: "GET", path: path}); string(a.body) != body {
			t.Errorf("%s: %d bytes", path, len(a.body))
		}
		k.want("NoSuchKey", call{method: "GET", path: path})
	}
	if n := k.objects.OpenReads().Count; n != 0 {
		t.Errorf("%d reads are open", n)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.blobs.failGet = func(int64) error { panic("a bug") }
	k.put("/bucket/key", text(5000))
	k.want("InternalError", call{method: "GET", path: "/bucket/key"})
	k.blobs.failGet = nil
	k.want("200", call{method: "GET", path: "/bucket/key"})
}

// More requests than memory allows wait, then are told to slow down; none is served beyond the limit.
func TestAdmission(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Requests, o.AdmitWait = 1, 2*time.Second })
	k.makeBucket("bucket")
	k.put("/bucket/key", text(3<<20))
	block, entered := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	k.blobs.failGet = func(sent int64) error {
		if calls.Add(1) == 1 {
			close(entered)
			<-block
		}
		return nil
	}
	done := make(chan *answerTo)
	go func() { done <- k.do(call{method: "GET", path: "/bucket/key"}) }()
	<-entered
	if a := k.want("SlowDown", call{method: "GET", path: "/bucket/key"}); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(block)
	if a := <-done; a.code() != "200" || len(a.body) != 3<<20 {
		t.Errorf("the first: %s", a.code())
	}
	k.want("200", call{method: "GET", path: "/bucket/key"})
	if held := k.server.admit.held.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// A body that the range has certainly refused does not stay; one of which that is not known does (I1).
func TestI6_RefusedBodiesAreDeleted(t *testing.T) {
	unknown := fmt.Errorf("%w: after %w", meta.ErrUnavailable, meta.ErrFull)
	for _, c := range []struct {
		err  error
		code string
		left int
	}{
		{meta.ErrFull, "InsufficientStorage", 0}, {meta.ErrNoSuchKey, "NoSuchKey", 0}, {unknown, "", 1},
	} {
		k := newKit(t)
		k.makeBucket("bucket")
		k.records.fail = func(cmd *metapb.Command) error {
			if cmd.GetPut() != nil {
				return c.err
			}
			return nil
		}
		a := k.do(call{method: "PUT", path: "/bucket/key", body: []byte(text(100_000))})
		if c.code != "" && a.code() != c.code || a.status < 400 {
			t.Errorf("%v: %s", c.err, a.code())
		}
		if n := k.blobs.count(); n != c.left {
			t.Errorf("%v: %d bodies are left, want %d", c.err, n, c.left)
		}
	}
}

// An object of many parts that is overwritten by a small one while it is opened: the answer is one of the two, whole.
func TestI13_OverwrittenWhileItsPartsAreListed(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	id := k.upload("/bucket/key")
	const parts = 1100 // more than a page of extents
	var doc strings.Builder
	doc.WriteString("<CompleteMultipartUpload>")
	for i := 1; i <= parts; i++ {
		a := k.want("200", call{method: "PUT", path: fmt.Sprintf("/bucket/key?partNumber=%d&uploadId=%s", i, id), body: []byte(text(1 << 10))})
		fmt.Fprintf(&doc, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i, a.header.Get("ETag"))
	}
	doc.WriteString("</CompleteMultipartUpload>")
	k.want("200", call{method: "POST", path: "/bucket/key?uploadId=" + id, body: []byte(doc.String())})
	pages := 0
	k.records.paged = func() {
		if pages++; pages == 2 {
			k.put("/bucket/key", "small")
		}
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != "small" {
		t.Errorf("%d bytes, that begin with %.20q", len(a.body), a.body)
	}
	if pages < 2 {
		t.Errorf("%d pages", pages)
	}
}

// Empty objects are stored, also where nothing is to lie in the records.
func TestEmptyWhereNothingIsInline(t *testing.T) {
	k := newKit(t)
	k = k.another(func(_ *Options, o *object.Options) { o.InlineBytes = -1 })
	k.makeBucket("bucket")
	for _, body := range []string{"", "x"} {
		k.put("/bucket/key", body)
		if a := k.want("200", call{method: "GET", path: "/bucket/key"}); string(a.body) != body {
			t.Errorf("%q came back as %q", body, a.body)
		}
	}
}
