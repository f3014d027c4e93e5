package policy

// Effect is what a policy says of a request. A greater one beats a smaller one.
type Effect uint8

// What a policy may say.
const (
	None         Effect = iota // nothing
	AllowAccount               // allowed to the requester's account, whose own policies say to which of its users
	Allow                      // allowed
	Deny                       // denied, whatever else allows it
)

func (e Effect) String() string { return [...]string{"none", "allow-account", "allow", "deny"}[e] }

// Request is one question: may the principal do this to that? A request of several actions, or one that deletes many keys,
// is as many questions; the same Request may be changed and used again.
type Request struct {
	Principal Principal
	Action    string // "s3:GetObject"
	Resource  string // "arn:aws:s3:::bucket/key"; "arn:aws:s3:::*" for s3:ListAllMyBuckets; "*" if the action has none
	Context   Context
}

// Context knows the values of condition keys. nil knows none.
type Context interface {
	// Values are those of a key, given in lower case ("aws:sourceip", "s3:existingobjecttag/team"), false if it has none. It is
	// called only for keys that a statement asks for, perhaps several times; the values are not changed and not kept.
	//
	// What follows from the Principal is not asked for: aws:username, aws:userid, aws:PrincipalArn, aws:PrincipalAccount,
	// aws:PrincipalType, aws:PrincipalIsAWSService, aws:ViaAWSService.
	Values(key string) (values []string, ok bool)
}

// Evaluate is what the policy says of the request: the greatest effect of the statements that apply to it. Of a policy of an
// identity it is never AllowAccount. A policy whose patterns are made to take long (stepsMax) denies: who may write one, of a bucket of his own,
// is not to hold up everybody's requests.
func (p *Policy) Evaluate(r *Request) Effect {
	e := evaluation{request: r, steps: stepsMax}
	result := None
	for i := range p.statements {
		if result = max(result, p.statements[i].evaluate(&e)); result == Deny {
			break
		}
	}
	if e.steps < 0 {
		return Deny
	}
	return result
}

// evaluation is one request being looked at.
type evaluation struct {
	request *Request
	room    [1]string // for values that follow from the principal
	steps   int       // that patterns may still take
}

func (s *statement) evaluate(e *evaluation) Effect {
	r := e.request
	effect := s.effectFor(&r.Principal)
	if effect == None || !s.hasAction(r.Action) || !s.hasResource(e, r.Resource) {
		return None
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(e) {
			return None
		}
	}
	return effect
}

// effectFor is the statement's effect as far as it concerns who.
func (s *statement) effectFor(who *Principal) Effect {
	applies := s.effect
	switch {
	case s.principals == nil: // a policy of an identity: who is meant is whose policy it is
	case s.notPrincipal:
		if s.principals.names(who) {
			applies = None
		}
	case s.effect == Deny:
		if !s.principals.include(who) {
			applies = None
		}
	default:
		applies = s.principals.allow(who)
	}
	return applies
}

func (s *statement) hasAction(action string) bool {
	for i := range s.actions {
		if s.actions[i].match(nil, action) { // there are no variables in it
			return !s.notAction
		}
	}
	return s.notAction
}

// hasResource says whether the statement is about the resource. A variable without a value makes it about nothing: a NotResource
// with one would otherwise be about everything.
func (s *statement) hasResource(e *evaluation, arn string) bool {
	for i := range s.resources {
		if s.notResource && !s.resources[i].resolves(e) {
			return false
		}
	}
	for i := range s.resources {
		if s.resources[i].match(e, arn) {
			return !s.notResource
		}
	}
	return s.notResource
}

// values are those of a key in lower case.
func (e *evaluation) values(key string) ([]string, bool) {
	value, ok, ours := e.request.Principal.value(key)
	switch {
	case ours && ok:
		e.room[0] = value
		return e.room[:], true
	case ours || e.request.Context == nil:
		return nil, false
	}
	return e.request.Context.Values(key)
}

// value is what follows from the principal for a key: ours is false if the key is not of that kind.
// Source: "Principal key values" in the IAM User Guide's page on policy variables.
func (p *Principal) value(key string) (value string, ok, ours bool) {
	switch key {
	case "aws:username":
		return p.Name, p.Name != "", true
	case "aws:userid":
		return p.UserID, p.UserID != "", true
	case "aws:principalarn":
		return p.ARN, p.ARN != "", true
	case "aws:principalaccount":
		return p.Account, p.Account != "", true
	case "aws:principaltype":
		return p.kind(), true, true
	case "aws:principalisawsservice", "aws:viaawsservice":
		return "false", true, true
	}
	return "", false, false
}

func (p *Principal) kind() string {
	switch {
	case p.Anonymous():
		return "Anonymous"
	case p.Root:
		return "Account"
	}
	return "User"
}

// variable is the value that stands for a variable: the key's, if it has just one, or the default.
func (e *evaluation) variable(v *piece) (string, bool) {
	value, ok, ours := e.request.Principal.value(v.text)
	if !ours && e.request.Context != nil { // not by e.values, whose room may hold what is compared
		var values []string
		if values, ok = e.request.Context.Values(v.text); ok && len(values) == 1 {
			value = values[0]
		} else {
			ok = false
		}
	}
	if !ok {
		return v.fallback, v.hasDefault
	}
	return value, true
}
