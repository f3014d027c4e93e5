package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Limits of documents. Those of identities count characters without white space: see Size. Source: "IAM and AWS STS quotas";
// "Bucket policies" in the Amazon S3 User Guide.
const (
	BucketBytesMax   = 20 << 10 // of a bucket's policy; ParseBucket refuses longer ones
	ManagedSizeMax   = 6144     // of a managed policy
	UserInlineMax    = 2048     // of all inline policies of a user together
	GroupInlineMax   = 5120     // of all inline policies of a group together
	identityBytesMax = 64 << 10 // no caller takes more, white space included: ParseIdentity refuses it
)

// Size is the length of a document as IAM counts it: characters that are not white space.
func Size(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// Error says why a document is refused, in the words of S3 (MalformedPolicy) or IAM (MalformedPolicyDocument).
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func refuse(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// Policy is a document that was understood. It is safe for concurrent use.
type Policy struct {
	statements []statement
}

// statement is a compiled one.
type statement struct {
	effect       Effect      // Allow or Deny
	principals   *principals // nil in a policy of an identity
	notPrincipal bool
	actions      []pattern
	notAction    bool
	resources    []arnPattern
	notResource  bool
	conditions   []condition
}

// ParseIdentity reads a policy of a user or a group, managed or inline. Errors are *Error, for IAM's MalformedPolicyDocument.
func ParseIdentity(document string) (*Policy, error) {
	if len(document) > identityBytesMax {
		return nil, refuse("Syntax errors in policy.")
	}
	root, err := parseJSON(document)
	if err != nil || root.kind != objectNode {
		return nil, refuse("Syntax errors in policy.")
	}
	return (&parser{}).policy(&root)
}

// ParseBucket reads the policy of the bucket of that name. Errors are *Error, for S3's MalformedPolicy.
func ParseBucket(document, bucket string) (*Policy, error) {
	if len(document) > BucketBytesMax {
		return nil, refuse("Policy exceeds the maximum allowed document size.")
	}
	root, err := parseJSON(document)
	if err != nil || document[0] != '{' {
		return nil, refuse("Policies must be valid JSON and the first byte must be '{'")
	}
	return (&parser{bucket: bucket, ofBucket: true}).policy(&root)
}

// parser knows what kind of document it reads.
type parser struct {
	ofBucket  bool
	bucket    string
	variables bool // the version of the language has policy variables
}

func (p *parser) policy(root *node) (*Policy, error) {
	for _, m := range root.members {
		switch m.name {
		case "Version", "Id", "Statement":
		default:
			return nil, refuse("Unknown field %s", m.name)
		}
	}
	if err := p.version(root.member("Version")); err != nil {
		return nil, err
	}
	if id := root.member("Id"); id != nil && id.kind != stringNode {
		return nil, refuse("Invalid policy syntax: Id must be a string")
	}
	list := root.member("Statement")
	if list == nil {
		return nil, refuse("Missing required field Statement")
	}
	nodes := list.list()
	if len(nodes) == 0 {
		return nil, refuse("Could not parse the policy: Statement is empty!")
	}
	policy := &Policy{statements: make([]statement, len(nodes))}
	sids := make(map[string]bool, len(nodes))
	for i := range nodes {
		sid, err := p.statement(&nodes[i], &policy.statements[i])
		if err != nil {
			return nil, err
		}
		if sid != "" && sids[sid] {
			return nil, refuse("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[sid] = true
	}
	return policy, nil
}

func (p *parser) version(n *node) error {
	if n == nil { // means the older one
		return nil
	}
	if n.kind != stringNode || n.text != "2008-10-17" && n.text != "2012-10-17" {
		return refuse("The policy must contain a valid version string")
	}
	p.variables = n.text == "2012-10-17"
	return nil
}

// statement reads n into s and returns its Sid.
func (p *parser) statement(n *node, s *statement) (string, error) {
	if n.kind != objectNode {
		return "", refuse("Invalid policy syntax: a Statement must be an object")
	}
	if len(n.members) == 0 {
		return "", refuse("Could not parse the policy: Statement is empty!")
	}
	for _, m := range n.members {
		switch m.name {
		case "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition":
		default:
			return "", refuse("Unknown field %s", m.name)
		}
	}
	sid, err := p.sid(n.member("Sid"))
	if err != nil {
		return "", err
	}
	for _, read := range []func(*node, *statement) error{p.effect, p.principal, p.actions, p.resources, p.conditions} {
		if err := read(n, s); err != nil {
			return "", err
		}
	}
	if p.ofBucket {
		err = p.checkFit(s)
	}
	return sid, err
}

func (p *parser) sid(n *node) (string, error) {
	if n == nil {
		return "", nil
	}
	if n.kind != stringNode {
		return "", refuse("Invalid policy syntax: Sid must be a string")
	}
	plain := func(r rune) bool { return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	if !p.ofBucket && strings.ContainsFunc(n.text, func(r rune) bool { return !plain(r) }) {
		return "", refuse("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	}
	return n.text, nil
}

func (p *parser) effect(n *node, s *statement) error {
	effect := n.member("Effect")
	if effect == nil {
		return refuse("Missing required field Effect")
	}
	switch {
	case effect.kind == stringNode && effect.text == "Allow":
		s.effect = Allow
	case effect.kind == stringNode && effect.text == "Deny":
		s.effect = Deny
	default:
		return refuse("Invalid effect: %s", effect.text)
	}
	return nil
}

// either is the member called name or the one called "Not"+name, and whether it is the latter.
func either(n *node, name string) (value *node, not bool, err error) {
	plain, negated := n.member(name), n.member("Not"+name)
	switch {
	case plain != nil && negated != nil:
		return nil, false, refuse("Statement has both %s and Not%s", name, name)
	case plain == nil && negated == nil:
		return nil, false, refuse("Missing required field %s", name)
	case plain != nil:
		return plain, false, nil
	}
	return negated, true, nil
}

func (p *parser) principal(n *node, s *statement) error {
	if !p.ofBucket {
		if n.member("Principal") != nil || n.member("NotPrincipal") != nil {
			return refuse("Policy document should not specify a principal.")
		}
		return nil
	}
	value, not, err := either(n, "Principal")
	if err != nil {
		return err
	}
	if not && s.effect == Allow {
		return refuse("Allow with NotPrincipal is not allowed.")
	}
	s.notPrincipal, s.principals = not, &principals{}
	if value.kind == stringNode && value.text == "*" {
		s.principals.all = true
		return nil
	}
	if value.kind != objectNode || len(value.members) == 0 {
		return refuse("Invalid principal in policy")
	}
	for _, m := range value.members {
		texts, ok := m.value.stringList()
		for _, text := range texts {
			ok = ok && s.principals.add(m.name, text)
		}
		if !ok {
			return refuse("Invalid principal in policy")
		}
	}
	return nil
}

func (p *parser) actions(n *node, s *statement) error {
	value, not, err := either(n, "Action")
	if err != nil {
		return err
	}
	texts, ok := value.stringList()
	if !ok {
		return refuse("Policy has invalid action")
	}
	s.notAction = not
	for _, text := range texts {
		if err := p.checkAction(text); err != nil {
			return err
		}
		pattern, _ := syntax{wildcards: true, fold: true}.compile(text)
		s.actions = append(s.actions, pattern)
	}
	return nil
}

const actionCharacters = "-*?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// checkAction wants an action that exists in a bucket's policy, one of any service in another.
func (p *parser) checkAction(text string) error {
	if p.ofBucket {
		if len(actionsLike(text)) == 0 {
			return refuse("Policy has invalid action")
		}
		return nil
	}
	service, name, ok := strings.Cut(text, ":")
	switch {
	case text == "*":
	case !ok || service == "" || strings.ContainsAny(service, "*?"):
		return refuse("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	case strings.Contains(name, ":"):
		return refuse("Actions/Condition can contain only one colon.")
	case name == "" || strings.Trim(service+name, actionCharacters) != "":
		return refuse("Syntax errors in policy.")
	}
	return nil
}

// actionsLike are the actions of S3 that the name with wildcards stands for.
func actionsLike(text string) []action {
	pattern, _ := syntax{wildcards: true, fold: true}.compile(text)
	var like []action
	for _, a := range actions {
		if pattern.match(nil, a.name) {
			like = append(like, a)
		}
	}
	return like
}

func (p *parser) resources(n *node, s *statement) error {
	value, not, err := either(n, "Resource")
	if err != nil {
		return err
	}
	texts, ok := value.stringList()
	if !ok {
		return refuse("Policy has invalid resource")
	}
	s.notResource = not
	for _, text := range texts {
		pattern, ok := compileARN(text, p.variables, false)
		switch {
		case p.ofBucket && (!ok || p.kindsOf(&pattern) == 0):
			return refuse("Policy has invalid resource")
		case !ok:
			return refuse("Resource %s must be in ARN format or \"*\".", text)
		case !p.ofBucket && strings.ContainsAny(strings.SplitN(text+"::", ":", 4)[2], "*?"):
			return refuse("Resource vendor must be fully qualified and cannot contain regexes.")
		}
		s.resources = append(s.resources, pattern)
	}
	return nil
}

// kindsOf says which of the bucket's resources a pattern can be about: the bucket, its objects, both or none.
func (p *parser) kindsOf(a *arnPattern) resourceKind {
	if a.all || a.prefix != "arn:aws:s3:::" {
		return 0
	}
	var kinds resourceKind
	if a.rest.overlaps(p.bucket + "/") {
		kinds |= objectResource
	}
	if a.rest.covers(p.bucket) {
		kinds |= bucketResource
	}
	return kinds
}

func (p *parser) conditions(n *node, s *statement) error {
	block := n.member("Condition")
	if block == nil {
		return nil
	}
	if block.kind != objectNode {
		return refuse("Invalid policy syntax: Condition must be an object")
	}
	for _, m := range block.members {
		op, set, ifExists, ok := findOperator(m.name)
		if !ok || m.value.kind != objectNode || len(m.value.members) == 0 {
			return refuse("Invalid Condition type : %s", m.name)
		}
		for _, entry := range m.value.members {
			c := condition{operator: op, set: set, ifExists: ifExists, key: strings.ToLower(entry.name)}
			if err := p.condition(&c, &entry.value); err != nil {
				return err
			}
			s.conditions = append(s.conditions, c)
		}
	}
	return nil
}

// condition reads the values of c, whose operator and key are known.
func (p *parser) condition(c *condition, values *node) error {
	if !validKey(c.key) || p.ofBucket && findKey(c.key) == nil {
		return refuse("Policy has an invalid condition key")
	}
	items := values.list()
	if len(items) == 0 {
		return refuse("Condition %s has no value", c.key)
	}
	for _, item := range items {
		if item.kind != stringNode && item.kind != numberNode && item.kind != boolNode {
			return refuse("Condition %s has a value that is not a string, a number or a Boolean", c.key)
		}
		v, ok := c.compileValue(item.text, p.variables)
		if !ok {
			return refuse("Condition %s has a value that is not of %s's kind: %s", c.key, c.name, item.text)
		}
		c.values = append(c.values, v)
	}
	return nil
}

// checkFit wants each action to be about one of the statement's resources, and each condition key to be one that each action has:
// of an action with wildcards, one of those it stands for. With NotAction and NotResource nothing can be said.
func (p *parser) checkFit(s *statement) error {
	if s.notAction || s.notResource {
		return nil
	}
	var kinds resourceKind
	for i := range s.resources {
		kinds |= p.kindsOf(&s.resources[i])
	}
	for i := range s.actions {
		var fitting []action
		for _, a := range actions {
			if s.actions[i].match(nil, a.name) && a.resource&kinds != 0 {
				fitting = append(fitting, a)
			}
		}
		if len(fitting) == 0 {
			return refuse("Action does not apply to any resource(s) in statement")
		}
		for j := range s.conditions {
			key := findKey(s.conditions[j].key)
			has := func(a action) bool { return key.of == everyAction || a.keys&key.of != 0 }
			if !slices.ContainsFunc(fitting, has) {
				return refuse("Conditions do not apply to combination of actions and resources in statement")
			}
		}
	}
	return nil
}
