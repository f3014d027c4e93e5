package policy

import (
	"slices"
	"strings"
)

// CheckPrincipals refuses the policy of a bucket that names somebody who does not exist, as S3 does. known is asked for each, with
// the type and name of the element: ("AWS", "111122223333"), ("AWS", "arn:aws:iam::111122223333:user/name"),
// ("CanonicalUser", "79a5…"). An account's ARN is asked for by its number. Errors are *Error.
func (p *Policy) CheckPrincipals(known func(kind, name string) bool) error {
	unknownAWS := func(name string) bool { return !known("AWS", name) }
	unknownCanonical := func(name string) bool { return !known("CanonicalUser", name) }
	for i := range p.statements {
		named := p.statements[i].principals
		if named == nil {
			continue
		}
		if slices.ContainsFunc(named.accounts, unknownAWS) || slices.ContainsFunc(named.arns, unknownAWS) || slices.ContainsFunc(named.canonical, unknownCanonical) {
			return refuse("Invalid principal in policy")
		}
	}
	return nil
}

// Principal is who makes a request. The zero value is anonymous.
type Principal struct {
	Account   string // 12 digits; "" is anonymous
	Canonical string // the account's canonical id, 64 hexadecimal digits
	ARN       string // arn:aws:iam::ACCOUNT:root, arn:aws:iam::ACCOUNT:user/path/name
	Root      bool   // the account itself, not one of its users
	UserID    string // AIDA…; the account for its root
	Name      string // of a user; "" for a root
}

// Anonymous says whether the request is nobody's.
func (p *Principal) Anonymous() bool { return p.Account == "" }

// principals are those that a statement of a bucket policy names.
type principals struct {
	all       bool
	accounts  []string // 12 digits
	canonical []string
	arns      []string // of users and roles
	federated bool     // somebody else vouches for them: there are none here
	service   bool     // services of AWS: there are none here
}

// allow is what a statement that allows these principals gives who: Allow if it means him, AllowAccount if only his account.
func (p *principals) allow(who *Principal) Effect {
	switch {
	case p.all:
		return Allow
	case who.Anonymous():
		return None
	case p.names(who):
		return Allow
	case p.hasAccount(who):
		return AllowAccount
	}
	return None
}

// include says whether who is among them, himself or with his account.
func (p *principals) include(who *Principal) bool { return p.allow(who) != None }

// names says whether who himself is listed. Only then does NotPrincipal except him: an account stands for its root there.
func (p *principals) names(who *Principal) bool {
	if p.all {
		return true
	}
	if who.Anonymous() {
		return false
	}
	if who.Root {
		return p.hasAccount(who)
	}
	return slices.Contains(p.arns, who.ARN)
}

func (p *principals) hasAccount(who *Principal) bool {
	return slices.Contains(p.accounts, who.Account) || slices.Contains(p.canonical, who.Canonical)
}

// add reads one principal of the given type. It is false if there is no such one.
func (p *principals) add(kind, text string) bool {
	switch kind {
	case "AWS":
		return p.addAWS(text)
	case "CanonicalUser":
		p.canonical = append(p.canonical, text)
		return len(text) == canonicalDigits && strings.Trim(text, "0123456789abcdef") == ""
	case "Federated":
		p.federated = true
		return text != ""
	case "Service":
		p.service = true
		return text != ""
	}
	return false
}

const (
	accountDigits   = 12
	canonicalDigits = 64
)

func isAccount(s string) bool { return len(s) == accountDigits && digits(s) }

// addAWS reads an account, a user or a role. Wildcards within a name are refused, as AWS does.
func (p *principals) addAWS(text string) bool {
	if text == "*" {
		p.all = true
		return true
	}
	if isAccount(text) {
		p.accounts = append(p.accounts, text)
		return true
	}
	fields := strings.SplitN(text, ":", arnFields)
	if len(fields) != arnFields || fields[0] != "arn" || fields[1] != "aws" || fields[3] != "" || !isAccount(fields[4]) {
		return false
	}
	service, name := fields[2], fields[5]
	if service == "iam" && name == "root" {
		p.accounts = append(p.accounts, fields[4])
		return true
	}
	p.arns = append(p.arns, text)
	kind, rest, _ := strings.Cut(name, "/")
	switch service + ":" + kind {
	case "iam:user", "iam:role", "sts:assumed-role", "sts:federated-user":
		return rest != "" && !strings.HasSuffix(rest, "/") && !strings.ContainsAny(rest, "*?")
	}
	return false
}
