package form

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Policy is what whoever signed a form lets it say.
type Policy struct {
	expires    time.Time
	conditions []condition
	length     Range
}

// condition is one that a field has to meet.
type condition struct {
	prefix bool   // starts-with; else eq
	field  string // in lower case; "": the reference was none, and no field meets it
	name   string // as it was written
	value  string
}

// ParsePolicy reads the field "policy": JSON in base64.
//
// Like S3's it takes \$ and \v in strings and a comma after the last element, as in the reference's own examples.
// Names in conditions and the operators have no case; "expiration" and "conditions" have.
//
// Errors: *Error of InvalidPolicyDocument.
func ParsePolicy(field string) (*Policy, error) {
	raw, err := base64.StdEncoding.DecodeString(field)
	if err != nil {
		return nil, invalid("invalid Base64 encoding.")
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(plainJSON(raw), &doc); err != nil || doc == nil {
		return nil, invalid("Invalid JSON.")
	}
	p := &Policy{length: AnyLength()}
	for name := range doc {
		if name != "expiration" && name != "conditions" {
			return nil, invalid("Unexpected: '" + name + "'.")
		}
	}
	if err := p.readExpiration(doc["expiration"]); err != nil {
		return nil, err
	}
	return p, p.readConditions(doc["conditions"])
}

func invalid(why string) *Error { return fail(InvalidPolicyDocument, "Invalid Policy: "+why) }

func (p *Policy) readExpiration(raw json.RawMessage) error {
	if raw == nil {
		return invalid("Policy missing expiration.")
	}
	text, ok := stringOf(raw)
	at, err := time.Parse(time.RFC3339Nano, text)
	if !ok || err != nil {
		return invalid("Invalid 'expiration' value: '" + strings.Trim(string(raw), `"`) + "'")
	}
	p.expires = at
	return nil
}

func (p *Policy) readConditions(raw json.RawMessage) error {
	if raw == nil {
		return invalid("Policy missing conditions.")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return invalid("Invalid 'conditions' value: must be a List.")
	}
	for _, c := range list {
		var err error
		switch c[0] {
		case '{':
			err = p.readSimple(c)
		case '[':
			err = p.readTest(c)
		default:
			err = invalid("Invalid condition test: must be a List or Object.")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readSimple reads {"acl": "public-read"}.
func (p *Policy) readSimple(raw json.RawMessage) error {
	var pairs map[string]json.RawMessage
	if err := json.Unmarshal(raw, &pairs); err != nil || len(pairs) != 1 {
		return invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
	}
	for name, v := range pairs {
		value, ok := stringOf(v)
		if !ok {
			return invalid("Invalid Simple-Condition: value must be a string.")
		}
		p.conditions = append(p.conditions, condition{field: strings.ToLower(name), name: "$" + name, value: value})
	}
	return nil
}

// readTest reads ["eq", "$acl", "public-read"], ["starts-with", "$key", "user/"] or ["content-length-range", 1, 10].
func (p *Policy) readTest(raw json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return invalid("Invalid Condition: missing operation identifier.")
	}
	written, ok := stringOf(list[0])
	op := strings.ToLower(written)
	if !ok || op != "eq" && op != "starts-with" && op != "content-length-range" {
		return invalid("Invalid Condition: unknown operation '" + written + "'.")
	}
	if len(list) != 3 {
		return invalid("Invalid " + op + ": wrong number of arguments.")
	}
	if op == "content-length-range" {
		return p.readRange(list[1], list[2])
	}
	name, named := stringOf(list[1])
	value, valued := stringOf(list[2])
	if !named || !valued {
		return invalid("Invalid " + op + ": arguments must be strings.")
	}
	c := condition{prefix: op == "starts-with", name: name, value: value}
	if field, ok := strings.CutPrefix(name, "$"); ok {
		c.field = strings.ToLower(field)
	}
	p.conditions = append(p.conditions, c)
	return nil
}

// readRange narrows the range: of several, all have to hold.
func (p *Policy) readRange(low, high json.RawMessage) error {
	lo, loOK := integer(low)
	hi, hiOK := integer(high)
	if !loOK || !hiOK || lo > hi {
		return invalid("Invalid content-length-range: arguments must be integers of 0 and more, the smaller one first.")
	}
	p.length = Range{max(p.length.Min, lo), min(p.length.Max, hi)}
	return nil
}

// integer is a number, or a string with one, as some clients write it.
func integer(raw json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	return n, err == nil && n >= 0
}

func stringOf(raw json.RawMessage) (string, bool) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}

// plainJSON is doc without what S3 takes and encoding/json does not: \$ and \v in strings, a comma ahead of ] and }.
func plainJSON(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	comma := -1 // where a comma stands in out with only white space after it
	inside := false
	for i := 0; i < len(doc); i++ {
		c := doc[i]
		switch {
		case inside && c == '\\' && i+1 < len(doc):
			i++
			out = appendEscape(out, doc[i])
			continue
		case c == '"':
			inside, comma = !inside, -1
		case inside, c == ' ', c == '\t', c == '\r', c == '\n':
		case c == ',':
			comma = len(out)
		case (c == ']' || c == '}') && comma >= 0:
			out[comma] = ' '
			comma = -1
		default:
			comma = -1
		}
		out = append(out, c)
	}
	return out
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '$':
		return append(b, '$')
	case 'v':
		return append(b, `\u000b`...)
	}
	return append(b, '\\', c)
}
