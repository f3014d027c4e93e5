package meta

import (
	"context"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/placement"
)

const (
	beginEvery   = 100 * time.Millisecond // how often other nodes are asked whether a range may begin
	surveyWithin = time.Second
)

// allowed is what may be done with the replicas of a range here.
type allowed struct {
	make  bool // the first replicas: the range has no history anywhere
	start bool // those that there are
	lost  bool // the range has a history: a replica that is not there is lost, not yet to be made
}

// firsts decides which ranges may begin, while one Reconcile runs (I10).
//
// A range's first replicas are made while the directory does not have it begun, all of its drives are open, here or on
// nodes that answer, and no replica of it takes part or has a history. None starts before all are made. So one that is
// missing while another takes part was lost, and could have voted: it is not made again. (What a node says of itself may
// be old when it is acted upon, but a replica that takes part then was started when all had been made, this one too.)
type firsts struct {
	n     *Node
	m     *placement.Map
	asked map[string]*remotepb.Response // by node; nil: it does not answer
	waits bool                          // a range cannot begin yet
}

// firstState is how one of a range's first replicas is.
type firstState int

const (
	unknown firstState = iota // its drive or its node is not to be seen
	absent
	idle  // made, and took no part yet, as far as that can be told
	alive // takes part, or has a history
)

// may decides for one range.
func (f *firsts) may(ctx context.Context, row *placement.Range) allowed {
	if row.Begun || row.Generation > 1 {
		return allowed{start: true, lost: true}
	}
	count := map[firstState]int{}
	joining := false
	for _, named := range row.Replicas {
		joining = joining || named.Joining
		count[f.here(row, named)]++
	}
	if joining { // it has more than its first replicas
		return allowed{start: true, lost: count[alive] > 0}
	}
	if count[alive] == 0 && count[unknown] > 0 && f.n.opt.Peers != nil {
		clear(count)
		for _, named := range row.Replicas {
			count[f.anywhere(ctx, row, named)]++
		}
	}
	switch {
	case count[alive] > 0:
		return allowed{start: true, lost: true}
	case count[unknown] > 0:
		// In one process there is nobody to wait for: those that there are may elect, and what comes later was lost.
		alone := f.n.opt.Peers == nil
		f.waits = f.waits || !alone
		return allowed{start: alone}
	}
	here := 0 // of those that are absent
	for _, named := range row.Replicas {
		if f.here(row, named) == absent {
			here++
		}
	}
	f.waits = f.waits || count[absent] > here
	return allowed{make: true, start: count[absent] == here}
}

// here is how a replica is, if its drive is.
func (f *firsts) here(row *placement.Range, named placement.Replica) firstState {
	h := f.n.host(named.Drive)
	if h == nil {
		return unknown
	}
	r := h.Replica(row.ID)
	switch {
	case r == nil:
		return absent
	case r.ID() != named.ID || r.Running() || !r.Blank():
		return alive
	}
	return idle
}

// anywhere is how a replica is, here or on another node.
func (f *firsts) anywhere(ctx context.Context, row *placement.Range, named placement.Replica) firstState {
	d := f.m.Drives[named.Drive]
	if d == nil || d.Node == f.n.opt.Self {
		return f.here(row, named)
	}
	if f.asked == nil {
		f.asked = f.n.survey(ctx, f.m)
	}
	return f.there(f.asked[d.Node], row, named)
}

// there is how a replica is by its node's answer.
func (f *firsts) there(said *remotepb.Response, row *placement.Range, named placement.Replica) firstState {
	state := unknown
	for _, d := range said.GetDrives() {
		if len(d) == len(named.Drive) && ids.Drive(d) == named.Drive {
			state = absent
		}
	}
	for _, r := range said.GetReplicas() {
		if ids.Range(r.GetRange()) != row.ID || string(r.GetDrive()) != string(named.Drive[:]) {
			continue
		}
		if ids.Replica(r.GetReplica()) != named.ID || r.GetRunning() || !r.GetBlank() {
			return alive
		}
		return idle
	}
	return state
}
