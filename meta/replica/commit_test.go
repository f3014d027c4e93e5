package replica

import (
	"fmt"
	"testing"
)

func TestFiveReplicasCommitAndRead(t *testing.T) {
	c := newCluster(t, 5, 1, Options{})
	c.begin()
	lead := c.leader()
	for i := range 100 {
		res, err := c.put(c.ctx(), fmt.Sprintf("k%03d", i), fmt.Sprintf("body %d", i))
		check(t, err)
		if res.GetCode() != 0 {
			t.Fatalf("put %d: %v", i, res)
		}
	}
	for i := range 100 {
		body, err := get(c.ctx(), lead, fmt.Sprintf("k%03d", i))
		check(t, err)
		if want := fmt.Sprintf("body %d", i); body != want {
			t.Fatalf("key %d: %q, want %q", i, body, want)
		}
	}
	c.settle()
}
