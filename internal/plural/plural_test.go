package plural

import "testing"

func TestOf(t *testing.T) {
	for n, want := range map[int]string{0: "0 shards", 1: "1 shard", 2: "2 shards", -1: "-1 shards"} {
		if got := Of(n, "shard"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
