package policy

import "strings"

// class is how an operator reads values.
type class uint8

const (
	stringClass     class = iota
	foldClass             // strings without regard to case
	likeClass             // strings with wildcards
	numberClass           //
	dateClass             //
	boolClass             //
	binaryClass           //
	addressClass          //
	arnClass              //
	nullClass             // whether there is a value
	variableClasses = 1<<stringClass | 1<<foldClass | 1<<likeClass | 1<<boolClass | 1<<arnClass
)

// order is which results of a comparison satisfy an operator of numbers or dates.
type order uint8

const (
	less order = 1 << iota
	equal
	greater
)

// holds says whether the comparison's result, -1, 0 or 1, is among those wanted.
func (o order) holds(compared int) bool { return o&(1<<(compared+1)) != 0 }

// operator is one row of the table of condition operators.
type operator struct {
	name    string
	class   class
	order   order // of numberClass and dateClass
	negated bool  // it holds where no value of the policy matches
}

// operators are those that IAM has: "IAM JSON policy elements: Condition operators".
var operators = []operator{
	{name: "StringEquals", class: stringClass},
	{name: "StringNotEquals", class: stringClass, negated: true},
	{name: "StringEqualsIgnoreCase", class: foldClass},
	{name: "StringNotEqualsIgnoreCase", class: foldClass, negated: true},
	{name: "StringLike", class: likeClass},
	{name: "StringNotLike", class: likeClass, negated: true},
	{name: "NumericEquals", class: numberClass, order: equal},
	{name: "NumericNotEquals", class: numberClass, order: equal, negated: true},
	{name: "NumericLessThan", class: numberClass, order: less},
	{name: "NumericLessThanEquals", class: numberClass, order: less | equal},
	{name: "NumericGreaterThan", class: numberClass, order: greater},
	{name: "NumericGreaterThanEquals", class: numberClass, order: greater | equal},
	{name: "DateEquals", class: dateClass, order: equal},
	{name: "DateNotEquals", class: dateClass, order: equal, negated: true},
	{name: "DateLessThan", class: dateClass, order: less},
	{name: "DateLessThanEquals", class: dateClass, order: less | equal},
	{name: "DateGreaterThan", class: dateClass, order: greater},
	{name: "DateGreaterThanEquals", class: dateClass, order: greater | equal},
	{name: "Bool", class: boolClass},
	{name: "BinaryEquals", class: binaryClass},
	{name: "IpAddress", class: addressClass},
	{name: "NotIpAddress", class: addressClass, negated: true},
	{name: "ArnEquals", class: arnClass},
	{name: "ArnNotEquals", class: arnClass, negated: true},
	{name: "ArnLike", class: arnClass},
	{name: "ArnNotLike", class: arnClass, negated: true},
	{name: "Null", class: nullClass},
}

// quantifier says how the values of a key that has several are looked at.
type quantifier uint8

const (
	single quantifier = iota // one value is expected
	forAll                   // ForAllValues:
	forAny                   // ForAnyValue:
)

// findOperator reads an operator with what may stand around its name.
func findOperator(text string) (op operator, set quantifier, ifExists, ok bool) {
	name := text
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		name, set = rest, forAll
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		name, set = rest, forAny
	}
	name, ifExists = strings.CutSuffix(name, "IfExists")
	for _, op := range operators {
		if op.name == name {
			plain := op.class == nullClass && (ifExists || set != single) // Null asks that already
			return op, set, ifExists, !plain
		}
	}
	return operator{}, 0, false, false
}
