// Package plural writes numbers of things for people.
package plural

import "strconv"

// Of is n and a noun whose plural takes an s: 1 shard, 2 shards.
func Of[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun
}
