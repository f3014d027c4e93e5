package gateway

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// TestDocumentsOfGoneBuckets: a gateway through which no bucket is deleted does not keep the documents of those that others delete.
func TestDocumentsOfGoneBuckets(t *testing.T) {
	there := map[ids.Bucket]bool{}
	c := documentCache{gone: func(b *placement.Bucket) bool { return !there[b.ID] }}
	read := func(id ids.Bucket) {
		t.Helper()
		b := &placement.Bucket{ID: id, Name: fmt.Sprint("bucket-", id), Config: placement.BucketConfig{configOwnership: json.RawMessage(`"ObjectWriter"`)}}
		if d, err := c.get(b); err != nil || d.ownership != objectWriter {
			t.Fatal(d, err)
		}
	}
	const staying = 100
	for id := ids.Bucket(1); id <= 10_000; id++ {
		there[id] = true
		read(id)
		if id > staying {
			delete(there, id)
		}
	}
	kept, stayed := 0, 0
	c.all.Range(func(id, _ any) bool {
		if kept++; id.(ids.Bucket) <= staying {
			stayed++
		}
		return true
	})
	if stayed != staying || kept > 2*(staying+1)+sweepAfter {
		t.Errorf("the documents of %d buckets are kept, of %d that are there %d", kept, staying, stayed)
	}
}
