package node

import (
	"context"
	"fmt"
	"strconv"

	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// featureLevel is what this binary reads and writes: raised by a version that writes what older ones do not understand.
const featureLevel = 3

// levelVersions is from which level on ranges know versions of objects, locks and changes of a version in place: without it, what
// needs them is answered with 503.
const levelVersions = state.LevelVersions

const _ = uint(featureLevel - levelVersions) // does not compile if this binary does not know what it writes

// levelPools is from which level on ranges take commands that move bodies to other pools, and close pools; and planners know of replicas
// that leave: an older one would write a range's row without that.
const levelPools = 2

// floorSetting is the setting that says which level every node of the cluster has at least: what it allows may be written, and an older
// binary refuses to take part before it writes anything.
const floorSetting = "cluster.floor"

// floor is the level that the cluster is at. One that cannot be read is beyond any.
func floor(m *placement.Map) int {
	text, ok := m.Settings[floorSetting]
	if !ok {
		return 0
	}
	level, err := strconv.Atoi(text)
	if err != nil {
		return featureLevel + 1
	}
	return level
}

// checkFloor refuses a cluster that is beyond this binary.
func checkFloor(m *placement.Map) error {
	if at := floor(m); at > featureLevel {
		return fmt.Errorf("the cluster is at level %d, and this sherd knows levels up to %d: start the version that ran here last, or a newer one", at, featureLevel)
	}
	return nil
}

// commonLevel is what every node of the map knows.
func commonLevel(m *placement.Map) int {
	least := featureLevel
	for _, n := range m.Nodes {
		least = min(least, n.Level)
	}
	return least
}

// firstFloor is the setting of a cluster that begins with these nodes: what all of them know need not wait.
func firstFloor(nodes []placement.Node) map[string]string {
	m := &placement.Map{Nodes: map[string]*placement.Node{}}
	for i := range nodes {
		m.Nodes[nodes[i].Name] = &nodes[i]
	}
	return map[string]string{floorSetting: strconv.Itoa(commonLevel(m))}
}

// raiseFloor raises the cluster's level when all nodes have come that far.
func (p *planner) raiseFloor(ctx context.Context) error {
	m := p.n.store.Map()
	if level := commonLevel(m); level > floor(m) {
		return p.n.store.PutSetting(ctx, floorSetting, strconv.Itoa(level))
	}
	return nil
}
