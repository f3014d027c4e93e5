package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/placement"
)

// stateWithin is how long another node may take to tell its state.
const stateWithin = 2 * time.Second

// state is what this node says of itself.
func (n *Node) state(ctx context.Context) adminapi.NodeState {
	s := adminapi.NodeState{
		Name: n.cfg.Name, Zone: n.cfg.Zone, Addr: n.cfg.Cluster.Advertise, Alive: true, Version: n.cfg.Version, Started: n.started, Time: n.cfg.Now(),
		Planner: n.planner.lead.Load() != nil, Memory: n.memory(), Drives: n.driveList(ctx), Space: n.space(),
		Heal: n.healShare(), Scrub: n.scrubShare(),
	}
	if dev := n.sharedDevice(); dev != "" {
		s.Problems = append(s.Problems, adminapi.Problem{
			Severity: adminapi.SeverityWarning, Remedy: "use one file system on one device for each drive",
			Text: fmt.Sprintf("%d drives on 1 device (%s): no protection against its loss", len(n.bays.list()), dev),
		})
	}
	s.Problems = append(s.Problems, n.healProblems()...)
	s.Problems = append(s.Problems, n.secretProblems()...)
	return s
}

// nodeStates asks all nodes, by name.
func (n *Node) nodeStates(ctx context.Context) []adminapi.NodeState {
	m := n.store.Map()
	all := make([]adminapi.NodeState, 0, len(m.Nodes))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, row := range m.Nodes {
		wg.Go(func() {
			s := n.stateOf(ctx, m, row)
			mu.Lock()
			defer mu.Unlock()
			s.Name = name
			all = append(all, s)
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b adminapi.NodeState) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (n *Node) stateOf(ctx context.Context, m *placement.Map, row *placement.Node) adminapi.NodeState {
	if row.Name == n.cfg.Name {
		return n.state(ctx)
	}
	err := errors.New("it shows no sign of life")
	if m.Alive[row.Name] && n.peers != nil {
		within, cancel := context.WithTimeout(ctx, stateWithin)
		defer cancel()
		var s adminapi.NodeState
		asked, begun := n.cfg.Now(), time.Now()
		if s, err = call[adminapi.NodeState](within, n.peers, row.Name, "GET", "/state", nil); err == nil {
			if !s.Time.IsZero() {
				s.AheadMS = s.Time.Sub(asked.Add(time.Since(begun) / 2)).Milliseconds()
			}
			return s
		}
	}
	return adminapi.NodeState{
		Zone: row.Zone, Addr: row.Addr, Alive: m.Alive[row.Name], Reason: err.Error(), Drives: mappedDrives(m, row.Name),
	}
}

// mappedDrives is what the map alone knows of a node's drives.
func mappedDrives(m *placement.Map, node string) (out []adminapi.Drive) {
	replicas := replicaCounts(m)
	for id, d := range m.Drives {
		if d.Node != node || d.State == placement.DriveOut {
			continue
		}
		out = append(out, adminapi.Drive{
			ID: id.String(), Node: node, Path: d.Path, State: string(d.State), Health: "failed", Reason: d.Reason, Since: d.Since,
			Bytes: d.Bytes, Replicas: replicas[id],
		})
	}
	slices.SortFunc(out, func(a, b adminapi.Drive) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// allDrives lists the drives of all nodes.
func (n *Node) allDrives(ctx context.Context) (out []adminapi.Drive) {
	for _, s := range n.nodeStates(ctx) {
		out = append(out, s.Drives...)
	}
	return out
}

// nodeProblems are those of one node.
func (n *Node) nodeProblems(s *adminapi.NodeState) (out []adminapi.Problem) {
	if s.Reason != "" {
		out = append(out, adminapi.Problem{
			Severity: adminapi.SeverityError, Text: fmt.Sprintf("node %s does not answer: %s", s.Name, s.Reason),
			Remedy: "start it, or look at its network; if it is gone for good, `sherd node remove " + s.Name + "`",
		})
	}
	for _, p := range s.Problems {
		if s.Name != n.cfg.Name {
			p.Text = "node " + s.Name + ": " + p.Text
		}
		out = append(out, p)
	}
	return out
}

// clockApart is how far a node's clock may be from the others' before that is a problem: well below the 10 s from which on it leads no range
// (I18), and above what a busy node takes to answer.
const clockApart = 5 * time.Second

// clockProblems are the nodes whose wall clocks are not where most are. Of two it is the one that is ahead, which does the harm.
func clockProblems(nodes []adminapi.NodeState) (out []adminapi.Problem) {
	told := slices.DeleteFunc(slices.Clone(nodes), func(s adminapi.NodeState) bool { return s.Time.IsZero() }) // away, or of an older version
	if len(told) < 2 {
		return nil
	}
	all := make([]int64, len(told))
	for i, s := range told {
		all[i] = s.AheadMS
	}
	slices.Sort(all)
	middle := all[(len(all)-1)/2]
	for _, s := range told {
		ahead := time.Duration(s.AheadMS-middle) * time.Millisecond
		if ahead.Abs() < clockApart {
			continue
		}
		what := "ahead of"
		if ahead < 0 {
			what = "behind"
		}
		out = append(out, adminapi.Problem{
			Severity: adminapi.SeverityWarning, Remedy: "set it, and have it kept right (NTP)",
			Text: fmt.Sprintf("the clock of node %s is %s %s the others': it may lead no range, and refuse requests as signed at another time", s.Name, ahead.Abs().Round(time.Second), what),
		})
	}
	return out
}

// inService counts the drives, of all nodes, that can be asked now.
func (n *Node) inService() (count int) {
	for id, rec := range n.store.Map().Drives {
		if rec.State == placement.DriveOut {
			continue
		}
		if d := n.drive(id); d != nil && d.Health().State == disk.OK {
			count++
		}
	}
	return count
}

// forwarded is an admin call that one node has another answer.
type forwarded struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// elsewhere has another node answer an admin call.
func (a admin) elsewhere(ctx context.Context, node, method, path string, body any) (any, error) {
	if a.n.store.Map().Nodes[node] == nil || a.n.peers == nil {
		return nil, fmt.Errorf("%w: there is no node %q", gateway.ErrBadCall, node)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, adminWithin)
	defer cancel()
	answer, err := longCall[json.RawMessage](ctx, a.n.peers, node, "POST", "/admin", forwarded{method, path, b})
	if err != nil {
		return nil, fmt.Errorf("%w: node %s: %w", gateway.ErrConflict, node, err)
	}
	return answer, nil
}

// adminForOther answers what another node passes on.
func (n *Node) adminForOther(ctx context.Context, _ string, body []byte) (any, error) {
	var f forwarded
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, err
	}
	return admin{n}.Admin(ctx, gateway.AdminCall{Method: f.Method, Path: f.Path, Body: f.Body})
}
