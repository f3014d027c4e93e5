package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/store"
)

// left is what there is of the old etcd, by node: its own word, for those whose drives are here or that gave theirs.
type left []member.Survey

// Left counts the members of the old etcd, by the record that names most.
type Left struct {
	Members int // that there were
	Found   int // whose state was found, on drives here or by what was given
	Unknown int // on nodes that nothing is known of
}

// count counts the members that one node's record names.
func (l left) count(s *member.Survey) (c Left) {
	for _, m := range s.Members {
		of := slices.IndexFunc(l, func(o member.Survey) bool { return o.Node == m.Node })
		c.Members++
		switch {
		case of < 0:
			c.Unknown++
		case slices.ContainsFunc(l[of].Members, func(o member.Left) bool { return o.Name == m.Name && o.Here }):
			c.Found++
		}
	}
	return c
}

// most is the count by the record that names most members.
func (l left) most() (most Left) {
	for i := range l {
		if c := l.count(&l[i]); c.Members > most.Members {
			most = c
		}
	}
	return most
}

// lost reports whether the old etcd can never have a quorum again: not with the members that were found, nor with those of nodes
// that nothing is known of. By each node's record, for they may differ. Errors: ErrNotLost, ErrElsewhere.
func (l left) lost() error {
	for i := range l {
		c := l.count(&l[i])
		switch {
		case c.Members == 0:
		case 2*c.Found > c.Members:
			return fmt.Errorf("%w: %d of %d members are there, on several nodes: start them all", ErrNotLost, c.Found, c.Members)
		case 2*(c.Found+c.Unknown) > c.Members:
			return fmt.Errorf("%w: %d of %d members", ErrElsewhere, c.Unknown, c.Members)
		}
	}
	return nil
}

// lookEmbedded refuses where enough members are left to go on and have the cluster, as late as the copy knows it, or may be left
// on nodes that nothing is known of.
func (p *Plan) lookEmbedded(ctx context.Context) error {
	var all left
	nodes := nodesOf(p.Map, p.opt.Hosts)
	if !slices.Contains(nodes, p.Node) {
		nodes = append(nodes, p.Node)
	}
	for _, node := range nodes {
		hosts := p.hostsOf(node)
		s, err := member.Look(p.members(node, hosts, p.Copy.Generation))
		if err != nil {
			return err
		}
		if s.Enough && !s.Spread() {
			err = p.tryMembers(ctx, s, hosts)
			s.Members = nil // it does not count, then
		}
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	for _, g := range p.opt.Given {
		if g.Copy.Generation < p.Copy.Generation { // it has members of an etcd that was given up before
			g.Etcd.Members = nil
		}
		all = append(all, g.Etcd)
	}
	p.Etcd = all.most()
	if p.opt.Force {
		return nil
	}
	return all.lost()
}

// tryMembers starts the members of a node that has them all, and refuses if they have the cluster.
func (p *Plan) tryMembers(ctx context.Context, s member.Survey, hosts []member.Host) error {
	m, st, err := p.start(ctx, p.members(s.Node, hosts, p.Copy.Generation))
	switch {
	case errors.Is(err, store.ErrTimeTravel): // older than the copy: it is not the one that was lost
		return nil
	case err != nil && p.opt.Force:
		return nil
	case err != nil:
		return fmt.Errorf("%d of %d etcd members are here, and do not start: %w", s.Here(), len(s.Members), err)
	}
	defer m.Close()
	defer st.Close()
	if st.Bootstrapped() {
		return fmt.Errorf("%w: %d of %d members are here", ErrNotLost, s.Here(), len(s.Members))
	}
	return nil // a restore was cut short
}
