package rescue

import (
	"context"
	"strconv"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement/store"
)

// bucketNames reads the names of buckets from the newest copy of the control state on the drives. A bucket whose
// name is not there is called by its id.
func bucketNames(ctx context.Context, drives []string) func(ids.Bucket) string {
	names := map[ids.Bucket]string{}
	if _, newest := store.ReadCopies(ctx, ids.Cluster{}, drives); newest != nil {
		m, _ := newest.Map() // rows that cannot be decoded are left out
		for _, b := range m.Buckets {
			names[b.ID] = b.Name
		}
	}
	return func(id ids.Bucket) string {
		if name := names[id]; name != "" {
			return name
		}
		return "bucket-" + strconv.FormatUint(uint64(id), 10)
	}
}
