//go:build !race

package gateway

import (
	"fmt"
	"testing"
)

// TestAllocations holds what the server itself allocates for a request of root's, net/http aside: the hot paths of docs/performance.md. What
// is only there for policies, versions and locks costs them nothing. (Pools leak under the race detector.)
func TestAllocations(t *testing.T) {
	k := newKit(t)
	k.makeBucket("bucket")
	k.put("/bucket/key", text(4<<10), "Content-Type", "text/plain")
	k.makeBucket("listed")
	for i := range 100 {
		k.put(fmt.Sprintf("/listed/key-%08d", i), "x")
	}
	for _, c := range []struct {
		name string
		max  float64
		call call
	}{
		{"HeadObject", 18, call{method: "HEAD", path: "/bucket/key"}},
		{"GetObject", 23, call{method: "GET", path: "/bucket/key"}},
		{"PutObject", 41, call{method: "PUT", path: "/bucket/other", body: []byte(text(4 << 10))}},
		{"ListObjectsV2", 15, call{method: "GET", path: "/listed?list-type=2"}}, // whatever the number of keys
	} {
		if n := testing.AllocsPerRun(200, repeated(t, k, c.call)); n > c.max {
			t.Errorf("%s allocates %v times, not %v", c.name, n, c.max)
		}
	}
}
