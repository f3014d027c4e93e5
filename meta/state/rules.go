package state

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Rules decide the fate of a bucket's data, so a command that was built with others must not be applied (I11): a gateway
// that lags would do what is not wanted any more. The range holds them in memory; checking costs no look-up. A bucket
// without a row has rules of revision 0.

type rulesChange struct {
	bucket ids.Bucket
	rules  *metapb.Rules // not changed any more
}

func (m *Machine) loadRules(r pebble.Reader) error {
	prefix := keys.AppendRange(nil, keys.Rules, m.span.ID)
	return scan(r, prefix, func(k, v []byte) error {
		bucket, err := parseBucket(k[len(prefix):])
		if err != nil {
			return err
		}
		rules := new(metapb.Rules)
		m.rules[bucket] = rules
		return corrupt(rules.UnmarshalVT(v))
	})
}

// current reports whether the command under way was built with the rules that the range holds.
func (m *Machine) current(bucket ids.Bucket) bool { return m.rules[bucket].GetRevision() == m.built }

// setRules applies SetRules. The rules that are there already are fine: several gateways may bring them.
func (m *Machine) setRules(s *metapb.SetRules) (*metapb.Result, error) {
	if s == nil || s.Bucket == 0 || !validRules(s.Rules) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket := ids.Bucket(s.Bucket)
	switch held := m.rules[bucket].GetRevision(); {
	case s.Rules.Revision < held:
		return refuse(metapb.Code_STALE_RULES)
	case s.Rules.Revision == held:
		return new(metapb.Result), nil
	}
	change := rulesChange{bucket, copyRules(s.Rules)} // the command's own is the caller's
	m.rules[bucket] = change.rules
	m.ruled = append(m.ruled, change)
	m.key = keys.AppendBucket(m.key[:0], keys.Rules, m.span.ID, bucket)
	return new(metapb.Result), setMessage(m.b, m.key, change.rules)
}

func copyRules(r *metapb.Rules) *metapb.Rules {
	return &metapb.Rules{
		Revision: r.Revision, Versioning: r.Versioning, Lock: r.Lock,
		DefaultMode: r.DefaultMode, DefaultDays: r.DefaultDays, DefaultYears: r.DefaultYears,
	}
}

// RulesOf reads the rules that a range holds for a bucket; revision 0 if it has none.
func RulesOf(r pebble.Reader, id ids.Range, bucket ids.Bucket) (*metapb.Rules, error) {
	rules := new(metapb.Rules)
	_, err := get(r, keys.AppendBucket(nil, keys.Rules, id, bucket), func(v []byte) error { return corrupt(rules.UnmarshalVT(v)) })
	return rules, err
}
