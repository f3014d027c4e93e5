package node

import (
	"errors"
	"strconv"
	"testing"

	"github.com/sherd-io/sherd/placement"
)

func TestFloorRefusesOlderBinaries(t *testing.T) {
	m := &placement.Map{Settings: map[string]string{}, Nodes: map[string]*placement.Node{"n1": {Level: featureLevel}, "n2": {Level: featureLevel}}}
	if err := checkFloor(m); err != nil {
		t.Errorf("without a floor: %v", err)
	}
	if commonLevel(m) != featureLevel {
		t.Errorf("all nodes are at %d, together at %d", featureLevel, commonLevel(m))
	}
	m.Nodes["n2"].Level = 0 // before it said
	if commonLevel(m) != 0 {
		t.Errorf("an old node is passed over: %d", commonLevel(m))
	}
	for text, ok := range map[string]bool{"0": true, strconv.Itoa(featureLevel): true, strconv.Itoa(featureLevel + 1): false, "x": false} {
		m.Settings[floorSetting] = text
		if err := checkFloor(m); (err == nil) != ok {
			t.Errorf("floor %q: %v", text, err)
		}
	}
}

var errNotYetRaised = errors.New("not raised yet")

// A node that is started by an older binary than the cluster is at does not start, and writes nothing.
func TestFloorHoldsAtStart(t *testing.T) {
	r := newRig(t, 2, nil)
	n := r.start()
	eventually(t, "the floor", func() error {
		if floor(n.store.Map()) != featureLevel {
			return errNotYetRaised
		}
		return nil
	})
	must(t, n.store.PutSetting(t.Context(), floorSetting, strconv.Itoa(featureLevel+1)))
	r.stop()
	if err := r.try(); err == nil {
		t.Fatal("it starts in a cluster that is beyond it")
	}
}
