package policy

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// This file is a second evaluator, written from the pages that doc.go names, in the plainest way: documents as maps, wildcards by a
// table, one step of the documentation after the other. It takes only documents that the parser took.

// naiveScene is a scene with documents as they were written.
type naiveScene struct {
	owner, bucketOwner string
	acl                string
	restrict           bool
	bucket             map[string]any
	users              map[string][]map[string]any
}

func (s *naiveScene) set(t *testing.T, b block) {
	switch b.head[0] {
	case "reset":
		*s = naiveScene{owner: account1, bucketOwner: account1, users: map[string][]map[string]any{}}
	case "owner":
		s.owner, s.bucketOwner = b.head[1], b.head[1]
		if len(b.head) > 2 {
			s.bucketOwner = b.head[2]
		}
	case "acl":
		s.acl = b.head[1]
	case "restrict":
		s.restrict = true
	case "bucket":
		s.bucket = naiveDocument(t, b.body)
	case "user":
		s.users[b.head[1]] = append(s.users[b.head[1]], naiveDocument(t, b.body))
	}
}

func naiveDocument(t testing.TB, document string) map[string]any {
	var doc map[string]any
	dec := json.NewDecoder(strings.NewReader(document))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// decide answers for a user of the scene whether the request is allowed.
func (s *naiveScene) decide(user string, r *Request) bool {
	var identity naiveEffects
	for _, doc := range s.users[user] {
		identity.add(naiveEvaluate(doc, r))
	}
	var resource naiveEffects
	if s.bucket != nil {
		resource = naiveEvaluate(s.bucket, r)
	}
	who := r.Principal
	ownRoot := who.Root && who.Account == s.bucketOwner
	if ownRoot && slices.Contains([]string{"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}, r.Action) {
		resource.deny = false
	}
	if identity.deny || resource.deny {
		return false
	}
	if s.owner != s.bucketOwner || s.restrict && who.Account != s.bucketOwner {
		resource = naiveEffects{}
	}
	direct := resource.direct || s.acl == "group"
	delegated := resource.account || s.acl == "account"
	isAllowedByAccount := who.Root || identity.direct
	switch {
	case who.Account == "":
		return direct
	case who.Account == s.owner:
		return isAllowedByAccount || direct
	}
	return isAllowedByAccount && (direct || delegated)
}

// naiveEffects is what statements say: allowed to the requester himself, to his account, denied.
type naiveEffects struct{ direct, account, deny bool }

func (e *naiveEffects) add(o naiveEffects) {
	e.direct, e.account, e.deny = e.direct || o.direct, e.account || o.account, e.deny || o.deny
}

func (e naiveEffects) effect() Effect {
	switch {
	case e.deny:
		return Deny
	case e.direct:
		return Allow
	case e.account:
		return AllowAccount
	}
	return None
}

func naiveList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func naiveText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	}
	panic("not a scalar")
}

func naiveEvaluate(doc map[string]any, r *Request) naiveEffects {
	var effects naiveEffects
	variables := doc["Version"] == "2012-10-17"
	for _, s := range naiveList(doc["Statement"]) {
		effects.add(naiveStatement(s.(map[string]any), r, variables))
	}
	return effects
}

func naiveStatement(s map[string]any, r *Request, variables bool) naiveEffects {
	if !naiveAction(s, r) || !naiveResource(s, r, variables) || !naiveConditions(s, r, variables) {
		return naiveEffects{}
	}
	deny := s["Effect"] == "Deny"
	if p, ok := s["NotPrincipal"]; ok {
		return naiveEffects{deny: deny && !naiveListed(p, r.Principal)}
	}
	p, ok := s["Principal"]
	if !ok {
		return naiveEffects{deny: deny, direct: !deny}
	}
	himself, account := naiveListed(p, r.Principal), naiveAccountListed(p, r.Principal)
	if deny {
		return naiveEffects{deny: himself || account}
	}
	return naiveEffects{direct: himself, account: account}
}

// naiveListed says whether the principal element means everybody or just this one.
func naiveListed(p any, who Principal) bool {
	if p == "*" {
		return true
	}
	for _, v := range naiveOptional(p.(map[string]any)["AWS"]) {
		if v == "*" || who.ARN != "" && v == who.ARN {
			return true
		}
	}
	return who.Root && naiveAccountListed(p, who)
}

func naiveAccountListed(p any, who Principal) bool {
	m, ok := p.(map[string]any)
	if !ok || who.Account == "" {
		return false
	}
	for _, v := range naiveOptional(m["AWS"]) {
		if v == who.Account || v == "arn:aws:iam::"+who.Account+":root" {
			return true
		}
	}
	return slices.Contains(naiveOptional(m["CanonicalUser"]), any(who.Canonical))
}

func naiveOptional(v any) []any {
	if v == nil {
		return nil
	}
	return naiveList(v)
}

func naiveAction(s map[string]any, r *Request) bool {
	list, not := s["Action"], false
	if list == nil {
		list, not = s["NotAction"], true
	}
	for _, a := range naiveList(list) {
		parts, _ := naiveParts(strings.ToLower(a.(string)), nil, false, true)
		if naiveMatches(parts, strings.ToLower(r.Action)) {
			return !not
		}
	}
	return not
}

func naiveResource(s map[string]any, r *Request, variables bool) bool {
	list, not := s["Resource"], false
	if list == nil {
		list, not = s["NotResource"], true
	}
	matched := false
	for _, a := range naiveList(list) {
		ok, resolved := naiveARN(a.(string), r.Resource, r, variables)
		if not && !resolved {
			return false
		}
		matched = matched || ok
	}
	return matched != not
}

// naivePart is a piece of a string of the language: text that stands for itself, or one wildcard.
type naivePart struct {
	text string
	wild bool
}

var naiveVariable = regexp.MustCompile(`^\$\{([^}]*)\}`)

// naiveParts reads a string. It is not resolved if a variable has no value.
func naiveParts(text string, r *Request, variables, wildcards bool) (parts []naivePart, resolved bool) {
	resolved = true
	for text != "" {
		if m := naiveVariable.FindStringSubmatch(text); variables && m != nil {
			text = text[len(m[0]):]
			value, ok := naiveValueOf(m[1], r)
			resolved = resolved && ok
			parts = append(parts, naivePart{text: value})
			continue
		}
		_, n := utf8.DecodeRuneInString(text)
		parts = append(parts, naivePart{text[:n], wildcards && (text[0] == '*' || text[0] == '?')})
		text = text[n:]
	}
	return parts, resolved
}

func naiveValueOf(inside string, r *Request) (string, bool) {
	if inside == "*" || inside == "?" || inside == "$" {
		return inside, true
	}
	name, rest, hasDefault := strings.Cut(inside, ",")
	if values, ok := naiveValues(strings.TrimSpace(name), r); ok && len(values) == 1 {
		return values[0], true
	}
	return strings.TrimPrefix(strings.TrimSuffix(strings.TrimSpace(rest), "'"), "'"), hasDefault
}

// naiveValues is the request context.
func naiveValues(key string, r *Request) ([]string, bool) {
	optional := func(s string) ([]string, bool) { return []string{s}, s != "" }
	who := r.Principal
	switch key = strings.ToLower(key); key {
	case "aws:username":
		return optional(who.Name)
	case "aws:userid":
		return optional(who.UserID)
	case "aws:principalarn":
		return optional(who.ARN)
	case "aws:principalaccount":
		return optional(who.Account)
	case "aws:principaltype":
		if who.Account == "" {
			return []string{"Anonymous"}, true
		} else if who.Root {
			return []string{"Account"}, true
		}
		return []string{"User"}, true
	case "aws:principalisawsservice", "aws:viaawsservice":
		return []string{"false"}, true
	}
	if r.Context == nil {
		return nil, false
	}
	return r.Context.Values(key)
}

// naiveMatches fills a table: cell [i][j] says whether the first i parts match the first j characters.
func naiveMatches(parts []naivePart, s string) bool {
	var flat []naivePart // one character each
	for _, part := range parts {
		for _, r := range part.text {
			flat = append(flat, naivePart{string(r), part.wild})
		}
	}
	text := []rune(s)
	above := make([]bool, len(text)+1)
	above[0] = true
	for _, part := range flat {
		row := make([]bool, len(text)+1)
		for j := range row {
			switch {
			case part.wild && part.text == "*":
				row[j] = above[j] || j > 0 && row[j-1]
			case j > 0:
				row[j] = above[j-1] && (part.wild || part.text == string(text[j-1]))
			}
		}
		above = row
	}
	return above[len(text)]
}

func naiveARN(pattern, arn string, r *Request, variables bool) (ok, resolved bool) {
	if pattern == "*" {
		return true, true
	}
	parts, resolved := naiveParts(pattern, r, variables, true)
	if !resolved {
		return false, false
	}
	// A field of the pattern ends at a colon that the pattern itself has, not one that a variable brought.
	fields := [][]naivePart{{}}
	for _, part := range naiveMark(pattern, parts, variables) {
		if part.text == ":" && part.colon && len(fields) < arnFields {
			fields = append(fields, []naivePart{})
			continue
		}
		last := len(fields) - 1
		fields[last] = append(fields[last], part.naivePart)
	}
	values := strings.SplitN(arn, ":", arnFields)
	if len(values) != arnFields || len(fields) != arnFields {
		return false, true
	}
	for i := range values {
		if !naiveMatches(fields[i], values[i]) {
			return false, true
		}
	}
	return true, true
}

// marked is a part that knows whether it is a colon that the policy wrote outside of a variable.
type marked struct {
	naivePart
	colon bool
}

func naiveMark(pattern string, parts []naivePart, variables bool) []marked {
	var out []marked
	for _, part := range parts {
		m := naiveVariable.FindString(pattern)
		if variables && m != "" {
			out, pattern = append(out, marked{part, false}), pattern[len(m):]
			continue
		}
		out, pattern = append(out, marked{part, part.text == ":"}), pattern[len(part.text):]
	}
	return out
}

func naiveConditions(s map[string]any, r *Request, variables bool) bool {
	block, ok := s["Condition"].(map[string]any)
	if !ok {
		return true
	}
	for operator, keys := range block {
		for key, values := range keys.(map[string]any) {
			if !naiveCondition(operator, key, naiveList(values), r, variables) {
				return false
			}
		}
	}
	return true
}

func naiveCondition(operator, key string, wanted []any, r *Request, variables bool) bool {
	got, present := naiveValues(key, r)
	present = present && len(got) > 0
	isEmptySet := !present || strings.Join(got, "") == ""
	if operator == "Null" {
		for _, w := range wanted {
			if strings.EqualFold(naiveText(w), "true") == isEmptySet {
				return true
			}
		}
		return false
	}
	set := ""
	if before, after, ok := strings.Cut(operator, ":"); ok {
		set, operator = before, after
	}
	operator, ifExists := strings.CutSuffix(operator, "IfExists")
	if ifExists && !present {
		return true
	}
	negated := strings.Contains(operator, "Not")
	operator = strings.Replace(operator, "Not", "", 1)
	one := func(value string) bool { // the condition for one value of the request
		for _, w := range wanted {
			matched, resolved := naiveCompare(operator, naiveText(w), value, r, variables)
			if !resolved && negated {
				return false
			}
			if matched {
				return !negated
			}
		}
		return negated
	}
	if negated {
		for _, w := range wanted { // an unresolved variable, wherever it is, spoils a negated condition
			if _, resolved := naiveCompare(operator, naiveText(w), "", r, variables); !resolved {
				return false
			}
		}
	}
	switch {
	case set == "ForAllValues":
		return isEmptySet || !slices.ContainsFunc(got, func(v string) bool { return !one(v) })
	case set == "ForAnyValue":
		return !isEmptySet && slices.ContainsFunc(got, one)
	case !present:
		return negated
	case negated:
		return !slices.ContainsFunc(got, func(v string) bool { return !one(v) })
	}
	return slices.ContainsFunc(got, one)
}

// naiveCompare compares one value of the policy with one of the request by an operator without its Not.
func naiveCompare(operator, want, got string, r *Request, variables bool) (matched, resolved bool) {
	text := func(wildcards bool) (string, bool) {
		parts, resolved := naiveParts(want, r, variables, wildcards)
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(p.text)
		}
		return b.String(), resolved
	}
	switch operator {
	case "StringEquals":
		s, resolved := text(false)
		return resolved && s == got, resolved
	case "StringEqualsIgnoreCase":
		s, resolved := text(false)
		return resolved && strings.EqualFold(s, got), resolved
	case "StringLike":
		_, resolved := text(true)
		parts, _ := naiveParts(want, r, variables, true)
		return resolved && naiveMatches(parts, got), resolved
	case "Bool":
		s, resolved := text(false)
		isBool := strings.EqualFold(got, "true") || strings.EqualFold(got, "false")
		return resolved && isBool && strings.EqualFold(s, got), resolved
	case "ArnEquals", "ArnLike":
		return naiveARN(want, got, r, variables)
	case "BinaryEquals":
		b, _ := base64.StdEncoding.DecodeString(want)
		return string(b) == got, true
	case "IpAddress":
		return naiveAddress(want, got), true
	}
	if rest, ok := strings.CutPrefix(operator, "Numeric"); ok {
		w, ok1 := naiveNumber(want)
		g, ok2 := naiveNumber(got)
		return ok1 && ok2 && naiveOrder(rest, g.Cmp(w)), true
	}
	rest, _ := strings.CutPrefix(operator, "Date")
	w, ok1 := naiveDate(want)
	g, ok2 := naiveDate(got)
	return ok1 && ok2 && naiveOrder(rest, g.Compare(w)), true
}

func naiveOrder(name string, compared int) bool {
	switch name {
	case "Equals":
		return compared == 0
	case "LessThan":
		return compared < 0
	case "LessThanEquals":
		return compared <= 0
	case "GreaterThan":
		return compared > 0
	case "GreaterThanEquals":
		return compared >= 0
	}
	panic(name)
}

var naiveNumeral = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

func naiveNumber(s string) (*big.Rat, bool) {
	if !naiveNumeral.MatchString(s) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

var naiveISO = regexp.MustCompile(`^\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?)?$`)

func naiveDate(s string) (time.Time, bool) {
	if !naiveISO.MatchString(s) {
		n, err := strconv.ParseUint(s, 10, 63)
		return time.Unix(int64(n), 0), err == nil && len(s) <= 11
	}
	for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func naiveAddress(want, got string) bool {
	ip := net.ParseIP(got)
	if !strings.Contains(want, "/") {
		return ip != nil && ip.Equal(net.ParseIP(want))
	}
	_, block, err := net.ParseCIDR(want)
	return err == nil && ip != nil && block.Contains(ip)
}
