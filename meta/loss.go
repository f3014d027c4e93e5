package meta

import (
	"cmp"
	"context"
	"slices"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// Loss is a range that no majority of its replicas can serve, and what is left of it (I4). Whether the others are gone for
// good only a person can say.
type Loss struct {
	Map       *placement.Map   // by which the others count as lost
	Row       *placement.Range // as it has it
	Survivors []Survivor       // the one with the greatest (term, index) first; none: nothing is left
	Lost      []placement.Replica
	// Whole: the lost ones number less than it takes to commit, so the first survivor has all that was acknowledged.
	Whole bool
	// Silent are nodes that live, or are not known to be down yet, and do not say what they have, or whose replicas are just
	// starting: nothing can be decided yet.
	Silent []string
}

// Survivor is a replica that runs, and where its log ends.
type Survivor struct {
	placement.Replica
	Term, Index uint64    // of its last entry
	Commit      uint64    // how far it knows the log to be committed
	Last        hlc.Stamp // of the newest command that it has applied
}

// Losses asks all nodes, and lists the ranges that have no majority. One whose replicas are just choosing a leader has one.
// Errors: ctx's.
func (n *Node) Losses(ctx context.Context) (all []Loss, err error) {
	m := n.opt.Map()
	c := census{m: m, self: n.opt.Self, alone: n.opt.Peers == nil, said: map[string]*remotepb.Response{}}
	if !c.alone {
		c.said = n.survey(ctx, m)
	}
	c.said[c.self] = n.surveyHere()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, row := range m.Ranges {
		if l, lost := c.loss(row); lost {
			all = append(all, l)
		}
	}
	return all, nil
}

// Continued is the range's row under the next generation, with the survivors alone: the first leads it, the others become
// voters again behind it, and replicas that are not named are destroyed when they come back. Writing it is the decision; nodes follow
// the directory (Reconcile). It must fail if a drive of Lost or its node was heard of since Map: what a majority took meanwhile
// would be lost. It is nil where nothing is left, or not all have answered.
func (l *Loss) Continued() *placement.Range {
	if len(l.Survivors) == 0 || len(l.Silent) > 0 {
		return nil
	}
	next := *l.Row
	next.Generation++
	next.Replicas = nil
	for i, s := range l.Survivors {
		s.Joining, s.Replaces = i > 0, 0
		next.Replicas = append(next.Replicas, s.Replica)
	}
	return &next
}

// census is what all nodes that answer say of their replicas.
type census struct {
	m     *placement.Map
	self  string
	alone bool // there is no other node
	said  map[string]*remotepb.Response
}

// found is how a replica of the directory is.
type found int

const (
	foundLost   found = iota // its node is dead, its drive out of service or without it
	foundSilent              // its node does not answer, and lives or may be starting; or it, or its drive, is about to come or go
	foundRuns
)

func (c *census) loss(row *placement.Range) (l Loss, lost bool) {
	l.Map, l.Row = c.m, row
	runs := map[ids.Replica]replica.Status{}
	for _, named := range row.Replicas {
		s, how := c.find(row, named)
		switch how {
		case foundRuns:
			runs[named.ID] = s
		case foundSilent:
			if node := c.node(named); !slices.Contains(l.Silent, node) {
				l.Silent = append(l.Silent, node)
			}
		case foundLost:
			l.Lost = append(l.Lost, named)
		}
	}
	for _, s := range runs {
		if s.Serving {
			return l, false
		}
	}
	l.Survivors = survivors(row, runs)
	quorum := false
	l.Whole, quorum = standing(row, l.Survivors, runs)
	return l, !quorum
}

// standing reports, in the configuration that the best survivor has, whether those that are not there number less than it
// takes to commit, and whether those that run are a majority. Of two joint configurations both must be.
func standing(row *placement.Range, left []Survivor, runs map[ids.Replica]replica.Status) (whole, quorum bool) {
	if len(left) == 0 {
		return false, false
	}
	best := runs[left[0].ID]
	there := 0
	for _, v := range best.Voters {
		if _, ok := runs[v]; ok {
			there++
		}
	}
	voters, running := 0, 0
	for _, named := range row.Replicas {
		if _, ok := runs[named.ID]; !named.Joining {
			voters++
			if ok {
				running++
			}
		}
	}
	whole = !best.Joint && len(best.Voters)-there < len(best.Voters)/2+1
	quorum = there > len(best.Voters)/2 && (!best.Joint || running > voters/2)
	return whole, quorum
}

// survivors are the voters that run and have a history; of a range without any, those that were joining.
func survivors(row *placement.Range, runs map[ids.Replica]replica.Status) []Survivor {
	for _, joining := range []bool{false, true} {
		var all []Survivor
		for _, named := range row.Replicas {
			s, ok := runs[named.ID]
			if ok && named.Joining == joining && s.LastIndex > 0 {
				all = append(all, Survivor{named, s.LastTerm, s.LastIndex, s.Commit, s.Stamp})
			}
		}
		if len(all) > 0 {
			slices.SortStableFunc(all, func(a, b Survivor) int {
				return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index))
			})
			return all
		}
	}
	return nil
}

func (c *census) node(named placement.Replica) string {
	if d := c.m.Drives[named.Drive]; d != nil && !c.alone {
		return d.Node
	}
	return c.self
}

// find tells how a replica is by what its node says.
func (c *census) find(row *placement.Range, named placement.Replica) (replica.Status, found) {
	node := c.node(named)
	said := c.said[node]
	if said == nil && (c.m.Alive[node] || c.m.Drives[named.Drive].Up()) {
		return replica.Status{}, foundSilent
	}
	for _, r := range said.GetReplicas() {
		if ids.Range(r.GetRange()) != row.ID || ids.Replica(r.GetReplica()) != named.ID || string(r.GetDrive()) != string(named.Drive[:]) {
			continue
		}
		if !r.GetRunning() || r.GetGeneration() != row.Generation {
			return replica.Status{}, foundSilent
		}
		return statusOf(r), foundRuns
	}
	if said != nil && c.m.Drives[named.Drive].Up() && !opened(said, named.Drive) {
		return replica.Status{}, foundSilent // the map is about to be told that it is down, or it was already and the drive is back
	}
	return replica.Status{}, foundLost
}

// opened reports whether a node says that it has a drive in service. A replica that such a drive does not have never comes back.
func opened(said *remotepb.Response, id ids.Drive) bool {
	return slices.ContainsFunc(said.GetDrives(), func(b []byte) bool { return string(b) == string(id[:]) })
}
