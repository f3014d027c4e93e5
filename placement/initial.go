package placement

import "github.com/sherd-io/sherd/internal/ids"

// Initial is all that a cluster's control state holds when it begins. plan.Initial makes one.
type Initial struct {
	Cluster  ids.Cluster
	Nodes    []Node // at least one; each drive is on one of them
	Drives   []*Drive
	Pool     *Pool // with its PGs
	Ranges   []*Range
	Settings map[string]string
}
