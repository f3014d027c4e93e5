package gateway

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// TestI11_LaggingGateway: the bucket's rules have changed in its range, and the gateway's map does not know. What it proposes
// is refused; it reads the rules again and proposes what they ask for. Where it cannot, the client may try again later.
func TestI11_LaggingGateway(t *testing.T) {
	var held int64
	var reads int
	var broken error
	k := newKit(t, func(_ *Options, o *object.Options) {
		o.Rules = func(context.Context, ids.Bucket) (int64, error) { reads++; return held, broken }
	})
	k.makeBucket("bucket")
	k.put("/bucket/k", "old")
	if reads != 0 {
		t.Fatalf("the rules were read %d times though nothing has changed", reads)
	}
	held = 3
	set := &metapb.SetRules{Bucket: uint64(k.buckets.Map().Buckets["bucket"].ID), Rules: &metapb.Rules{Revision: held}}
	if _, err := k.records.do(&metapb.Command{Op: &metapb.Command_SetRules{SetRules: set}}); err != nil {
		t.Fatal(err)
	}
	deletes := `<Delete><Object><Key>k</Key></Object><Object><Key>gone</Key></Object></Delete>`
	sum := md5.Sum([]byte(deletes))
	changes := []struct {
		code string
		call
	}{
		{"200", call{method: "PUT", path: "/bucket/k", body: []byte("new")}},
		{"200", call{method: "PUT", path: "/bucket/big", body: []byte(text(1 << 15))}},
		{"200", call{method: "PUT", path: "/bucket/copy", header: pairs([]string{"X-Amz-Copy-Source", "/bucket/k"})}},
		{"200", call{method: "POST", path: "/bucket/m?uploads"}},
		{"200", call{method: "POST", path: "/bucket?delete", body: []byte(deletes), header: pairs([]string{"Content-MD5", base64.StdEncoding.EncodeToString(sum[:])})}},
		{"204", call{method: "DELETE", path: "/bucket/k"}},
	}
	for _, c := range changes {
		broken = errors.New("etcd is away")
		k.want("ServiceUnavailable", c.call)
		broken, reads = nil, 0
		k.want(c.code, c.call)
		if reads != 1 {
			t.Errorf("%s %s: the rules were read %d times", c.method, c.path, reads)
		}
	}
	if a := k.want("200", call{method: "GET", path: "/bucket/big"}); string(a.body) != text(1<<15) {
		t.Error("another body is there")
	}
}
