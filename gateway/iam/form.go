package iam

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sherd-io/sherd/placement"
)

// param is a parameter of an operation.
type param struct {
	name     string
	shape    *shape
	required bool
	asked    bool // required, and its absence is MissingParameter: so AWS's oldest operations have it
}

func must(name string, s *shape) param { return param{name, s, true, false} }
func asks(name string, s *shape) param { return param{name, s, true, true} }
func may(name string, s *shape) param  { return param{name, s, false, false} }

// kind is how a parameter is spelled in a form.
type kind uint8

const (
	scalar      kind = iota // Name=value
	strList                 // Name.member.1=value
	tagsList                // Name.member.1.Key=key&Name.member.1.Value=value
	unsupported             // to ignore it would not be safe: it is refused
)

// shape is what values of a parameter may be.
type shape struct {
	kind     kind
	min, max int                       // characters of a scalar or of a list's values; max 0: any number
	most     int                       // entries of a list
	runes    func(rune) bool           // nil: any
	whole    func(string) bool         // nil: any
	enum     []string                  // nil: any
	pattern  string                    // what runes take, as AWS writes it in what it says; "": bad says it
	bad      func(field string) string // what to say if runes or whole refuse; nil: the general text
	highest  int                       // a number from 1 to it; 0: a text
}

// Shapes of AWS's parameters, by the names that its model has for them.
var (
	nameShape        = &shape{min: 1, max: 128, runes: isNameRune, bad: badName} // of groups and policies, and of users that are there
	userNameShape    = &shape{min: 1, max: 64, runes: isNameRune, bad: badName}
	pathShape        = &shape{min: 1, max: 512, runes: isGraphic, whole: isPath, bad: badPath}
	policyPathShape  = &shape{min: 1, max: 512, runes: isPolicyPathRune, whole: isPolicyPath, bad: badPath}
	prefixShape      = &shape{min: 1, max: 512, runes: isGraphic, whole: func(s string) bool { return s[0] == '/' }, bad: badPrefix}
	arnShape         = &shape{min: 20, max: 2048}
	documentShape    = &shape{min: 1, max: 131072, runes: isLatin, bad: badDocument}
	descriptionShape = &shape{max: 1000, runes: isLatin}
	versionShape     = &shape{min: 1, max: 64, whole: isVersion}
	accessKeyShape   = &shape{min: 1, max: 128, runes: isGraphic} // AWS: 16 and more; root's may be an administrator's own choice
	markerShape      = &shape{min: 1, max: 1024, runes: isGraphic}
	maxItemsShape    = &shape{highest: itemsMax}
	boolShape        = &shape{enum: []string{"true", "false"}}
	statusShape      = &shape{enum: []string{statusActive, statusInactive}}
	scopeShape       = &shape{enum: []string{scopeAll, scopeAWS, scopeLocal}}
	usageShape       = &shape{enum: []string{usagePermissions, usageBoundary}}
	entityShape      = &shape{enum: []string{entityUser, entityRole, entityGroup, entityLocalPolicy, entityAWSPolicy}}
	entitiesShape    = &shape{kind: strList, most: len(entityShape.enum), enum: entityShape.enum}
	tagsShape        = &shape{kind: tagsList, most: tagsMax}
	tagKeysShape     = &shape{kind: strList, most: tagsMax, min: 1, max: tagKeyMax, runes: isTagRune, pattern: tagPattern + "+"}
	unsupportedShape = &shape{kind: unsupported}
	accountNameShape = &shape{min: 1, max: 50, runes: isAccountRune}
	accountIDShape   = &shape{min: 12, max: 12, runes: isDigit}
	tagKeyShape      = &shape{min: 1, max: tagKeyMax, runes: isTagRune, pattern: tagPattern + "+"}
	tagValueShape    = &shape{max: tagValueMax, runes: isTagRune, pattern: tagPattern + "*"}
)

// Limits of tags.
const (
	tagsMax     = 50
	tagKeyMax   = 128
	tagValueMax = 256
	tagPattern  = `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
)

// Values of parameters.
const (
	statusActive, statusInactive       = "Active", "Inactive"
	scopeAll, scopeAWS, scopeLocal     = "All", "AWS", "Local"
	usagePermissions, usageBoundary    = "PermissionsPolicy", "PermissionsBoundary"
	entityUser, entityRole             = "User", "Role"
	entityGroup                        = "Group"
	entityLocalPolicy, entityAWSPolicy = "LocalManagedPolicy", "AWSManagedPolicy"
)

func isNameRune(r rune) bool {
	return isAlnum(r) || r < utf8.RuneSelf && strings.ContainsRune("_+=,.@-", r)
}
func isTagRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Z, unicode.N) || r < utf8.RuneSelf && strings.ContainsRune("_.:/=+-@", r)
}
func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || isDigit(r)
}
func isDigit(r rune) bool   { return '0' <= r && r <= '9' }
func isGraphic(r rune) bool { return '!' <= r && r <= '~' }
func isLatin(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || ' ' <= r && r <= '~' || 0xa0 <= r && r <= 0xff
}
func isPolicyPathRune(r rune) bool { return r == '/' || isNameRune(r) }
func isPath(s string) bool         { return s[0] == '/' && s[len(s)-1] == '/' }
func isPolicyPath(s string) bool   { return isPath(s) && !strings.Contains(s, "//") }
func isAccountRune(r rune) bool    { return r == ' ' || isNameRune(r) }

func isVersion(s string) bool {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "v"), 10, 31)
	return err == nil && n > 0 && "v"+strconv.FormatUint(n, 10) == s
}

func badName(field string) string {
	return "The specified value for " + field + " is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
}

func badPath(field string) string {
	return "The specified value for " + field + " is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."
}

func badPrefix(field string) string {
	return "The specified value for " + field + " is invalid. It must begin with the / character and contain only alphanumeric characters and/or / characters."
}

func badDocument(field string) string {
	return "The specified value for " + field + " is invalid. It must contain only printable ASCII characters."
}

// form is the parameters of a request.
type form url.Values

// get is the first value of name, or "".
func (f form) get(name string) string { return url.Values(f).Get(name) }

func (f form) has(name string) bool { return len(f[name]) > 0 }

func (f form) bool(name string) bool { return f.get(name) == "true" }

// indices are the numbers N for which f has a parameter that begins with name.member.N, in order. There are at most most+1 of
// them: a form that names more is refused.
func (f form) indices(name string, most int) []int {
	var found []int
	for key := range f {
		rest, ok := strings.CutPrefix(key, name+".member.")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(digits)
		if err == nil && n > 0 && strconv.Itoa(n) == digits {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), most+1)]
}

// list is the parameter name, a list; at most most+1 of its entries.
func (f form) list(name string, most int) []string {
	var out []string
	for _, i := range f.indices(name, most) {
		if key := fmt.Sprintf("%s.member.%d", name, i); f.has(key) {
			out = append(out, f.get(key))
		}
	}
	return out
}

// tags is the parameter Tags, sorted by key; at most tagsMax+1 of them.
func (f form) tags() []placement.Tag {
	var out []placement.Tag
	for _, i := range f.indices("Tags", tagsMax) {
		member := fmt.Sprintf("Tags.member.%d.", i)
		out = append(out, placement.Tag{Key: f.get(member + "Key"), Value: f.get(member + "Value")})
	}
	slices.SortStableFunc(out, func(a, b placement.Tag) int {
		return cmp.Compare(placement.FoldName(a.Key), placement.FoldName(b.Key))
	})
	return out
}

// check holds f to params, and returns those of its parameters alone: others, which AWS ignores, must not mean anything to whom a
// permission depends on. Errors: *Error, with all that is wrong in AWS's words.
func (f form) check(params []param) (known form, err error) {
	known = make(form)
	var problems []string
	for _, p := range params {
		said, err := f.checkParam(&p)
		if err != nil {
			return nil, err
		}
		problems = append(problems, said...)
		f.copyParam(known, &p)
	}
	switch len(problems) {
	case 0:
		return known, nil
	case 1:
		return nil, fail(ValidationError, "1 validation error detected: %s", problems[0])
	}
	return nil, fail(ValidationError, "%d validation errors detected: %s", len(problems), strings.Join(problems, "; "))
}

// copyParam copies the values of p to another form.
func (f form) copyParam(to form, p *param) {
	if p.shape.kind == scalar {
		if f.has(p.name) {
			to[p.name] = f[p.name]
		}
		return
	}
	for key, values := range f {
		if strings.HasPrefix(key, p.name+".member.") {
			to[key] = values
		}
	}
}

func (f form) checkParam(p *param) (problems []string, err error) {
	field := fieldName(p.name)
	switch p.shape.kind {
	case unsupported:
		if f.has(p.name) {
			return nil, fail(InvalidInput, "%s is not supported.", p.name)
		}
		return nil, nil
	case scalar:
		if p.asked && f.get(p.name) == "" {
			return nil, fail(MissingParameter, "The request must contain the parameter %s.", p.name)
		}
		if f.has(p.name) {
			return p.shape.check(field, f.get(p.name))
		}
		if p.required {
			problems = append(problems, violation(field, "Member must not be null"))
		}
		return problems, nil
	case strList:
		values := f.list(p.name, p.shape.most)
		return p.checkEntries(field, len(values), func(i int) ([]string, error) {
			return p.shape.check(fmt.Sprintf("%s.%d.member", field, i+1), values[i])
		})
	}
	tags := f.tags()
	return p.checkEntries(field, len(tags), func(i int) ([]string, error) {
		if i > 0 && placement.FoldName(tags[i-1].Key) == placement.FoldName(tags[i].Key) {
			return nil, fail(InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		return checkTag(fmt.Sprintf("%s.%d.member.", field, i+1), tags[i])
	})
}

func checkTag(field string, tag placement.Tag) (problems []string, err error) {
	problems, err = tagKeyShape.check(field+"key", tag.Key)
	if err != nil {
		return nil, err
	}
	more, err := tagValueShape.check(field+"value", tag.Value)
	return append(problems, more...), err
}

// checkEntries checks a list of n entries, each by check.
func (p *param) checkEntries(field string, n int, check func(i int) ([]string, error)) (problems []string, err error) {
	switch {
	case n > p.shape.most:
		return []string{violation(field, fmt.Sprintf("Member must have length less than or equal to %d", p.shape.most))}, nil
	case n == 0 && p.required:
		return []string{violation(field, "Member must not be null")}, nil
	}
	for i := range n {
		said, err := check(i)
		if err != nil {
			return nil, err
		}
		problems = append(problems, said...)
	}
	return problems, nil
}

// check says what is wrong with value, or fails where AWS has a text of its own.
func (s *shape) check(field, value string) (problems []string, err error) {
	if s.highest > 0 {
		return s.checkNumber(field, value)
	}
	n := utf8.RuneCountInString(value)
	switch {
	case n < s.min:
		return []string{violation(field, fmt.Sprintf("Member must have length greater than or equal to %d", s.min))}, nil
	case s.max > 0 && n > s.max:
		return []string{violation(field, fmt.Sprintf("Member must have length less than or equal to %d", s.max))}, nil
	case s.enum != nil && !slices.Contains(s.enum, value):
		return []string{"Value '" + clip(value) + "' at '" + field + "' failed to satisfy constraint: Member must satisfy enum value set: [" + strings.Join(s.enum, ", ") + "]"}, nil
	}
	refused := !utf8.ValidString(value) ||
		s.runes != nil && strings.ContainsFunc(value, func(r rune) bool { return !s.runes(r) }) ||
		s.whole != nil && !s.whole(value)
	switch {
	case !refused:
		return nil, nil
	case s.pattern != "":
		return []string{violation(field, "Member must satisfy regular expression pattern: "+s.pattern)}, nil
	case s.bad != nil:
		return nil, fail(ValidationError, "%s", s.bad(field))
	}
	return nil, fail(ValidationError, "The specified value for %s is invalid.", field)
}

func (s *shape) checkNumber(field, value string) (problems []string, err error) {
	n, err := strconv.Atoi(value)
	switch {
	case err != nil:
		return nil, fail(MalformedInput, "The specified value for %s is no number.", field)
	case n < 1:
		return []string{violation(field, "Member must have value greater than or equal to 1")}, nil
	case n > s.highest:
		return []string{violation(field, fmt.Sprintf("Member must have value less than or equal to %d", s.highest))}, nil
	}
	return nil, nil
}

func violation(field, constraint string) string {
	return "Value at '" + field + "' failed to satisfy constraint: " + constraint
}

// fieldName is a parameter's name as AWS spells it in messages: userName.
func fieldName(name string) string { return strings.ToLower(name[:1]) + name[1:] }
