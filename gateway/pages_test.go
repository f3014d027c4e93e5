package gateway

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
)

type adminFunc func(AdminCall) (any, error)

func (f adminFunc) Admin(_ context.Context, c AdminCall) (any, error) { return f(c) }

func TestOwnPages(t *testing.T) {
	var reasons []string
	k := newKit(t, func(o *Options, _ *object.Options) {
		o.Ready = func() []string { return reasons }
		o.Admin = adminFunc(func(c AdminCall) (any, error) {
			switch c.Method + " " + c.Path {
			case "GET status":
				return map[string]string{"q": c.Query["q"]}, nil
			case "POST heal/pause":
				return map[string]string{"body": string(c.Body)}, nil
			case "POST drives/replace":
				return nil, fmt.Errorf("%w: why", ErrConflict)
			}
			return nil, ErrNoSuchCall
		})
	})
	page := func(path string, anonymous bool) *answerTo {
		return k.do(call{method: "GET", path: path, anonymous: anonymous})
	}
	if a := page("/_/live", true); a.status != 200 {
		t.Errorf("live: %d", a.status)
	}
	if a := page("/_/ready", true); a.status != 200 {
		t.Errorf("ready: %d", a.status)
	}
	reasons = []string{"no leader"}
	if a := page("/_/ready", true); a.status != 503 || !strings.Contains(string(a.body), "no leader") {
		t.Errorf("not ready: %d %s", a.status, a.body)
	}
	if a := page("/_/nothing", true); a.status != 404 {
		t.Errorf("nothing: %d", a.status)
	}
	k.makeBucket("bucket")
	if a := page("/_/metrics", true); !strings.Contains(string(a.body), `sherd_s3_requests_total{code="2xx",op="CreateBucket"} 1`) {
		t.Errorf("metrics: %s", a.body)
	}
	if a := page("/_/admin/v1/status", true); a.status != 403 {
		t.Errorf("anonymous admin: %d", a.status)
	}
	if a := page("/_/admin/v1/status?q=1", false); a.status != 200 || strings.TrimSpace(string(a.body)) != `{"q":"1"}` {
		t.Errorf("status: %d %s", a.status, a.body)
	}
	body := `{"a":1}`
	if a := k.do(call{method: "POST", path: "/_/admin/v1/heal/pause", body: []byte(body), payload: sha(body)}); a.status != 200 || !strings.Contains(string(a.body), `{\"a\":1}`) {
		t.Errorf("pause: %d %s", a.status, a.body)
	}
	if a := k.do(call{method: "POST", path: "/_/admin/v1/heal/pause", body: []byte(body), payload: sha("other")}); a.status != 400 {
		t.Errorf("tampered admin call: %d %s", a.status, a.body)
	}
	if a := k.do(call{method: "POST", path: "/_/admin/v1/drives/replace"}); a.status != 409 || !strings.Contains(string(a.body), "why") {
		t.Errorf("conflict: %d %s", a.status, a.body)
	}
	if a := page("/_/admin/v1/nothing", false); a.status != 404 {
		t.Errorf("no such call: %d", a.status)
	}
}

func TestVirtualHosts(t *testing.T) {
	k := newKit(t, func(o *Options, _ *object.Options) { o.Domains = []string{"s3.Example.com"} })
	k.want("200", call{method: "PUT", path: "/", host: "bucket.s3.example.com"})
	k.want("200", call{method: "PUT", path: "/_/live", host: "bucket.s3.example.com:9000", body: []byte("a key")})
	if a := k.want("200", call{method: "GET", path: "/bucket/_/live", host: "s3.example.com"}); string(a.body) != "a key" {
		t.Errorf("%s", a.body)
	}
	if a := k.want("200", call{method: "GET", path: "/_/live", anonymous: true}); string(a.body) != "ok\n" {
		t.Errorf("%s", a.body)
	}
	k.want("200", call{method: "GET", path: "/?list-type=2", host: "bucket.s3.example.com"})
}

func TestI11_StaleIdentities(t *testing.T) {
	age := time.Duration(0)
	k := newKit(t, func(o *Options, _ *object.Options) { o.ControlAge = func() time.Duration { return age } })
	k.makeBucket("bucket")
	age = 2 * time.Hour
	k.want("ServiceUnavailable", call{method: "GET", path: "/bucket"})
}
