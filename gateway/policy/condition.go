package policy

import (
	"net/netip"
	"strings"
	"time"
)

// condition is one operator with one key and the values it is compared with. A statement applies only if all of its
// conditions hold.
type condition struct {
	operator
	set      quantifier
	ifExists bool
	key      string // in lower case
	values   []value
}

// value is one value of a condition, read as its operator's class reads it: one of the fields is set.
type value struct {
	text    pattern // stringClass, foldClass, likeClass, boolClass
	arn     arnPattern
	number  decimal
	date    time.Time
	network netip.Prefix
	binary  string
	null    bool
}

// compileValue reads a value of a policy. It is false if it is not one of the operator's kind.
func (o *operator) compileValue(text string, variables bool) (v value, ok bool) {
	variables = variables && variableClasses&(1<<o.class) != 0
	switch o.class {
	case stringClass, foldClass:
		v.text, ok = syntax{variables: variables}.compile(text)
	case likeClass:
		v.text, ok = syntax{wildcards: true, variables: variables}.compile(text)
	case boolClass:
		v.text, ok = syntax{variables: variables}.compile(text)
		if ok && !v.text.variables {
			_, ok = parseBool(text)
		}
	case numberClass:
		v.number, ok = parseDecimal(text)
	case dateClass:
		v.date, ok = parseDate(text)
	case binaryClass:
		v.binary, ok = parseBinary(text)
	case addressClass:
		v.network, ok = parseNetwork(text)
	case arnClass:
		v.arn, ok = compileARN(text, variables, true)
	case nullClass:
		v.null, ok = parseBool(text)
	}
	return v, ok
}

// holds evaluates the condition for a request.
//
// A key without a value: Null asks for just that; IfExists makes it true; ForAllValues is true, ForAnyValue false; else it is
// what a value that matches nothing gives, so negated operators are true. A variable without a value matches nothing, and
// makes a negated operator false, so that the statement does not apply.
func (c *condition) holds(e *evaluation) bool {
	values, ok := e.values(c.key)
	if !ok {
		values = nil
	}
	missing := len(values) == 0
	switch {
	case c.class == nullClass:
		return c.wantsNull(missing || empty(values))
	case missing && c.ifExists:
		return true
	case c.negated && !c.resolves(e):
		return false
	}
	switch c.set {
	case forAll:
		return missing || empty(values) || c.all(e, values)
	case forAny:
		return !missing && !empty(values) && c.some(e, values)
	}
	if c.negated {
		return c.all(e, values)
	}
	return c.some(e, values)
}

// empty says whether a key resolves to what IAM calls an empty data set: nothing but empty strings.
func empty(values []string) bool {
	for _, v := range values {
		if v != "" {
			return false
		}
	}
	return true
}

func (c *condition) wantsNull(isNull bool) bool {
	for i := range c.values {
		if c.values[i].null == isNull {
			return true
		}
	}
	return false
}

// all says whether each value of the request satisfies the operator: there may be none.
func (c *condition) all(e *evaluation, values []string) bool {
	for _, s := range values {
		if !c.satisfied(e, s) {
			return false
		}
	}
	return true
}

func (c *condition) some(e *evaluation, values []string) bool {
	for _, s := range values {
		if c.satisfied(e, s) {
			return true
		}
	}
	return false
}

// satisfied says whether one value of the request satisfies the operator: it matches one of the policy's values or, where the
// operator is negated, none of them.
func (c *condition) satisfied(e *evaluation, s string) bool {
	for i := range c.values {
		if c.matches(e, &c.values[i], s) {
			return !c.negated
		}
	}
	return c.negated
}

// resolves says whether all variables of the condition's values have values.
func (c *condition) resolves(e *evaluation) bool {
	for i := range c.values {
		if v := &c.values[i]; !v.text.resolves(e) || !v.arn.resolves(e) {
			return false
		}
	}
	return true
}

// matches compares one value of the request with one of the policy. A value of the request that is not of the operator's kind
// matches nothing.
func (c *condition) matches(e *evaluation, v *value, s string) bool {
	switch c.class {
	case stringClass, likeClass:
		return v.text.match(e, s)
	case foldClass:
		text, ok := v.text.expand(e)
		return ok && strings.EqualFold(text, s)
	case numberClass:
		n, ok := parseDecimal(s)
		return ok && c.order.holds(n.compare(v.number))
	case dateClass:
		t, ok := parseDate(s)
		return ok && c.order.holds(t.Compare(v.date))
	case boolClass:
		text, ok := v.text.expand(e)
		want, isBool := parseBool(text)
		got, ok2 := parseBool(s)
		return ok && isBool && ok2 && got == want
	case binaryClass:
		return s == v.binary
	case addressClass:
		a, ok := parseAddress(s)
		return ok && v.network.Contains(a)
	case arnClass:
		return v.arn.match(e, s)
	}
	return false
}
