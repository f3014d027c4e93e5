package policy

import "strings"

// arnFields is how many fields an ARN has: arn:partition:service:region:account:resource. The last may hold colons.
const arnFields = 6

// arnPattern matches ARNs field by field: a wildcard does not reach over a colon, but in the last field.
type arnPattern struct {
	all    bool      // "*"
	prefix string    // the first five fields with their colons, where there are no wildcards in them
	head   []pattern // those fields, where there are
	rest   pattern
}

// compileARN reads an ARN with wildcards, and with variables where they are of the language (2012-10-17): in the last field
// only, unless headVariables.
func compileARN(text string, variables, headVariables bool) (arnPattern, bool) {
	if text == "*" {
		return arnPattern{all: true}, true
	}
	fields := splitARN(text, variables)
	if len(fields) != arnFields || fields[0] != "arn" || fields[5] == "" {
		return arnPattern{}, false
	}
	var a arnPattern
	fixed := true
	for _, field := range fields[:5] {
		p, ok := syntax{wildcards: true, variables: variables && headVariables}.compile(field)
		if !ok || variables && !headVariables && strings.Contains(field, "${") {
			return arnPattern{}, false
		}
		a.head = append(a.head, p)
		fixed = fixed && p.fixed()
		if fixed {
			text, _ := p.expand(nil)
			a.prefix += text + ":"
		}
	}
	if fixed {
		a.head = nil
	}
	var ok bool
	a.rest, ok = syntax{wildcards: true, variables: variables}.compile(fields[5])
	return a, ok
}

// splitARN cuts at the first five colons that are not part of a variable.
func splitARN(text string, variables bool) []string {
	var fields []string
	from, inside := 0, false
	for i := range len(text) {
		switch {
		case variables && strings.HasPrefix(text[i:], "${"):
			inside = true
		case text[i] == '}':
			inside = false
		case text[i] == ':' && !inside && len(fields) < arnFields-1:
			fields = append(fields, text[from:i])
			from = i + 1
		}
	}
	return append(fields, text[from:])
}

func (a *arnPattern) match(e *evaluation, arn string) bool {
	if a.all {
		return true
	}
	if a.head == nil {
		rest, ok := strings.CutPrefix(arn, a.prefix)
		return ok && a.rest.match(e, rest)
	}
	for i := range a.head {
		field, rest, ok := strings.Cut(arn, ":")
		if !ok || !a.head[i].match(e, field) {
			return false
		}
		arn = rest
	}
	return a.rest.match(e, arn)
}

func (a *arnPattern) resolves(e *evaluation) bool {
	for i := range a.head {
		if !a.head[i].resolves(e) {
			return false
		}
	}
	return a.rest.resolves(e)
}

// fixed says whether the pattern is one ARN.
func (a *arnPattern) fixed() bool { return !a.all && a.head == nil && a.rest.fixed() }
