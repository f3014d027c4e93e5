package replica

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3/quorum"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/state"
)

// conf is what a replica knows of its range beside the replicated rows. It is its own row (keys.AppendOwn, kind
// ownConf), written in the batch of the entry that changed it, and part of every reset record.
//
//	format      1 byte, now 1
//	generation  uvarint
//	start, end  uvarint n, n bytes each
//	voters, learners, outgoing voters, next learners   uvarint n, n uvarints each
//	auto leave  1 byte
type conf struct {
	gen   uint64
	span  state.Span
	state *pb.ConfState
}

const (
	confFormat      = 1
	ownConf    byte = 1
)

func (c *conf) append(b []byte) []byte {
	b = append(b, confFormat)
	b = binary.AppendUvarint(b, c.gen)
	for _, v := range [][]byte{c.span.Start, c.span.End} {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	s := c.state
	for _, set := range [][]uint64{s.GetVoters(), s.GetLearners(), s.GetVotersOutgoing(), s.GetLearnersNext()} {
		b = binary.AppendUvarint(b, uint64(len(set)))
		for _, id := range set {
			b = binary.AppendUvarint(b, id)
		}
	}
	if s.GetAutoLeave() {
		return append(b, 1)
	}
	return append(b, 0)
}

// decodeConf is append's inverse; it copies what it keeps.
func decodeConf(rng ids.Range, b []byte) (*conf, error) {
	if len(b) == 0 || b[0] != confFormat {
		return nil, fmt.Errorf("%w: configuration", ErrRecord)
	}
	d := decoder{b: b[1:]}
	c := &conf{gen: d.uvarint(), span: state.Span{ID: rng}, state: &pb.ConfState{}}
	c.span.Start = append([]byte(nil), d.bytes()...)
	c.span.End = append([]byte(nil), d.bytes()...)
	for _, set := range []*[]uint64{&c.state.Voters, &c.state.Learners, &c.state.VotersOutgoing, &c.state.LearnersNext} {
		n := d.uvarint()
		if n > uint64(len(d.b)) {
			d.bad = true
			break
		}
		for range n {
			*set = append(*set, d.uvarint())
		}
	}
	c.state.AutoLeave = new(d.byte() == 1)
	if err := d.end(); err != nil {
		return nil, err
	}
	return c, nil
}

// with returns c under another configuration.
func (c *conf) with(s *pb.ConfState) *conf {
	n := *c
	n.state = s
	return &n
}

// over returns c with another span.
func (c *conf) over(span state.Span) *conf {
	n := *c
	n.span = span
	return &n
}

// quorums is who must agree.
func (c *conf) quorums() quorum.JointConfig {
	var q quorum.JointConfig
	for i, set := range [][]uint64{c.state.GetVoters(), c.state.GetVotersOutgoing()} {
		if len(set) == 0 {
			continue
		}
		q[i] = make(quorum.MajorityConfig, len(set))
		for _, id := range set {
			q[i][id] = struct{}{}
		}
	}
	return q
}

func (c *conf) key(rng ids.Range, id ids.Replica) []byte {
	return keys.AppendOwn(nil, rng, id, ownConf)
}
