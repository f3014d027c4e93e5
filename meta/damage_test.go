package meta

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/replica"
)

// A reader that meets damaged rows reports the drive, whose replicas are then replaced; the read is refused, not wrong.
func TestI10_DamagedRowsAreReported(t *testing.T) {
	type failure struct {
		drive ids.Drive
		err   error
	}
	failed := make(chan failure, 1)
	tn := newNode(t, nodeConfig{drives: 3, opt: Options{OnFailed: func(id ids.Drive, err error) { failed <- failure{id, err} }}})
	rng := tn.node.Ranges()[0]
	lead, err := tn.node.leader(tn.ctx(), rng.ID, nil)
	check(t, err)
	damaged := func(ids.Range, pebble.Reader) error { return pebble.ErrCorruption }
	if err := tn.node.readKey(tn.ctx(), bucket, "k", damaged); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if f := <-failed; f.drive != lead.Host().Drive() || !errors.Is(f.err, replica.ErrLost) {
		t.Errorf("%+v", f)
	}
}
