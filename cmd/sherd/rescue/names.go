package rescue

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// bucketNames reads the names of buckets from the newest copy of the control state on the drives. A bucket whose
// name is not there is called by its id.
func bucketNames(drives []string) func(ids.Bucket) string {
	names := map[ids.Bucket]string{}
	if _, newest, _ := store.ReadCopies(drives); newest != nil {
		for _, row := range newest.Rows {
			var v struct{ Record placement.Bucket }
			if strings.HasPrefix(row.Key, "buckets/") && json.Unmarshal([]byte(row.Value), &v) == nil && v.Record.ID != 0 {
				names[v.Record.ID] = v.Record.Name
			}
		}
	}
	return func(id ids.Bucket) string {
		if name := names[id]; name != "" {
			return name
		}
		return "bucket-" + strconv.FormatUint(uint64(id), 10)
	}
}
