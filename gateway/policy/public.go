package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Public says whether the policy of a bucket lets in anybody, as S3 defines it for block public access and GetBucketPolicyStatus:
// a statement allows something, and neither its principals nor a condition limit it to fixed values.
//
// Source: "The meaning of public" in "Blocking public access to your Amazon S3 storage", Amazon S3 User Guide.
func (p *Policy) Public() bool {
	for i := range p.statements {
		if s := &p.statements[i]; s.effect == Allow && s.principals.open() && !s.limited() {
			return true
		}
	}
	return false
}

// open says whether there is no saying who the principals are: everybody, or whom somebody else vouches for.
func (p *principals) open() bool { return p != nil && (p.all || p.federated) }

func (s *statement) limited() bool {
	for i := range s.conditions {
		if s.conditions[i].limits() {
			return true
		}
	}
	return false
}

// limitingKeys are the keys, in lower case, of which a fixed value makes a statement not public; aws:sourceip has a rule of its own.
var limitingKeys = []string{
	"aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:sourceaccount", "aws:sourcearn", "aws:sourceowner",
	"aws:sourcevpc", "aws:sourcevpce", "aws:userid", "s3:dataaccesspointaccount", "s3:dataaccesspointarn",
	"s3:x-amz-server-side-encryption-aws-kms-key-id",
}

// limits says whether the condition holds only for fixed values of a key that tells who may come. A condition that also holds where
// there is no value, or for all values but some, does not.
func (c *condition) limits() bool {
	if c.negated || c.ifExists || c.set == forAll {
		return false
	}
	if c.key == "aws:sourceip" {
		return c.class == addressClass && c.every(func(v *value) bool { return narrow(v.network) })
	}
	if !slices.Contains(limitingKeys, c.key) {
		return false
	}
	return c.every(func(v *value) bool { return c.fixed(v) })
}

func (c *condition) every(holds func(*value) bool) bool {
	for i := range c.values {
		if !holds(&c.values[i]) {
			return false
		}
	}
	return true
}

// fixed says whether a value of the condition is one string, and no pattern: an asterisk is none even where the operator takes it as
// it is. An access point of a fixed account may have any name.
func (c *condition) fixed(v *value) bool {
	accessPoint := c.key == "s3:dataaccesspointarn"
	switch c.class {
	case stringClass, foldClass, likeClass:
		return v.text.plain() || accessPoint && v.text.ofAccount()
	case arnClass:
		return v.arn.fixed() || accessPoint && v.arn.prefix != "" && v.arn.head == nil
	}
	return false
}

// ofAccount says whether the pattern is an ARN whose first five fields are fixed.
func (p *pattern) ofAccount() bool {
	return len(p.pieces) > 0 && p.pieces[0].kind == literal && strings.Count(p.pieces[0].text, ":") >= arnFields-1
}

// plain says whether the pattern is a string without wildcards and variables in any reading.
func (p *pattern) plain() bool {
	for _, piece := range p.pieces {
		if piece.kind != literal || strings.ContainsAny(piece.text, "*?") {
			return false
		}
	}
	return true
}

// Networks wider than these are the public.
const (
	narrowBits4 = 8
	narrowBits6 = 32
)

// narrow says whether a network is not as wide as to be the public. The private ones of RFC 1918 never are.
func narrow(n netip.Prefix) bool {
	if n.Addr().Is4() {
		return n.Bits() >= narrowBits4
	}
	return n.Bits() >= narrowBits6
}
