package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/poll"
)

// split asks for one as `sherd range split` does.
func (r *rig) split(req adminapi.SplitRequest) (*adminapi.Range, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	body, err := json.Marshal(req)
	must(r.t, err)
	got, err := admin{r.n}.Admin(ctx, gateway.AdminCall{Method: "POST", Path: "ranges/split", Body: body})
	if err != nil {
		return nil, err
	}
	child := got.(adminapi.Range)
	return &child, nil
}

// TestI20_RangesSplit: by hand, before a key and in the middle, and again after a restart; objects and counters are what they
// were, and what dies is reclaimed.
func TestI20_RangesSplit(t *testing.T) {
	r := newRig(t, 3, profile(2, 1))
	r.start()
	r.fill(20)
	poll.True(t, within, "a range that has begun", func() bool { return r.n.store.Map().Ranges[0].Begun })
	name := r.bucket().Name
	child, err := r.split(adminapi.SplitRequest{Bucket: name, Key: "key15"})
	must(t, err)
	if child.Start != name+"/key15" || child.End != "" || len(child.Replicas) != 3 {
		t.Fatalf("%+v", child)
	}
	if _, err := r.split(adminapi.SplitRequest{Bucket: name, Key: "key15"}); !errors.Is(err, gateway.ErrBadCall) {
		t.Errorf("where a range begins: %v", err)
	}
	if _, err := r.split(adminapi.SplitRequest{Range: 77}); !errors.Is(err, gateway.ErrBadCall) {
		t.Errorf("no such range: %v", err)
	}
	r.check(20)
	r.stop()
	r.start()
	_, err = r.split(adminapi.SplitRequest{Range: child.ID})
	must(t, err)
	r.check(20)
	must(t, r.put("key0-more"))
	must(t, r.put("key9-more"))
	c, err := r.n.records.Counters(context.Background(), r.bucket().ID)
	must(t, err)
	if c.Objects != 22 {
		t.Errorf("%d objects are counted", c.Objects)
	}
	ranges := r.n.rangeList(context.Background())
	for i := range ranges {
		if i > 0 && ranges[i].Start != ranges[i-1].End {
			t.Errorf("a gap: %+v", ranges)
		}
	}
	if len(ranges) != 3 {
		t.Errorf("%s", fmt.Sprint(ranges))
	}
	r.fill(20) // over what was there, which is reclaimed in all of them
	for _, row := range r.n.store.Map().Ranges {
		eventually(t, "what died in a range is reclaimed", func() error {
			_, left, err := r.n.records.Queued(context.Background(), row)
			if err == nil && left > 0 {
				err = fmt.Errorf("%d extents in range %d", left, row.ID)
			}
			return err
		})
	}
}
