package policy

import (
	"slices"
	"strings"
)

// Asks says whether evaluating the policy may ask the Context for a key that begins with prefix, which is in lower case. Where such a key
// is costly to know, as an object's tags are, the caller can find out beforehand whether it will be needed.
func (p *Policy) Asks(prefix string) bool {
	for i := range p.statements {
		s := &p.statements[i]
		for j := range s.conditions {
			if s.conditions[j].asks(prefix) {
				return true
			}
		}
		for j := range s.resources {
			if s.resources[j].asks(prefix) {
				return true
			}
		}
	}
	return false
}

// Offers reports whether a statement allows an action to who, on some resource under some conditions. If none does, the policy allows it
// nowhere.
func (p *Policy) Offers(who *Principal, action string) bool {
	for i := range p.statements {
		s := &p.statements[i]
		if s.effect == Allow && s.effectFor(who) != None && s.hasAction(action) {
			return true
		}
	}
	return false
}

func (c *condition) asks(prefix string) bool {
	return strings.HasPrefix(c.key, prefix) ||
		slices.ContainsFunc(c.values, func(v value) bool { return v.text.asks(prefix) || v.arn.asks(prefix) })
}

func (a *arnPattern) asks(prefix string) bool {
	return a.rest.asks(prefix) || slices.ContainsFunc(a.head, func(p pattern) bool { return p.asks(prefix) })
}

func (p *pattern) asks(prefix string) bool {
	return p.variables && slices.ContainsFunc(p.pieces, func(v piece) bool { return v.kind == variable && strings.HasPrefix(v.text, prefix) })
}
