package meta

import (
	"errors"
	"fmt"
	"testing"
)

func TestNodePutGetListDelete(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 5, seed: 1})
	for i := range 50 {
		tn.put(fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	for i := range 50 {
		tn.want(fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	tn.crashAll()
	for i := range 50 {
		tn.want(fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	if _, _, err := tn.node.Get(tn.ctx(), bucket, "absent", GetOptions{}); !errors.Is(err, ErrNoSuchKey) {
		t.Fatalf("get of an absent key: %v", err)
	}
}
