package acl

import (
	"errors"
	"strings"
)

// GrantsMax is how many grants an ACL may have.
const GrantsMax = 100

// Errors of Validate, Canned and ParseHeader.
var (
	ErrTooMany    = errors.New("acl: more than 100 grants")            // S3: MalformedACLError
	ErrPermission = errors.New("acl: no such permission")              // S3: MalformedACLError
	ErrGrantee    = errors.New("acl: no such grantee")                 // S3: InvalidArgument, "Invalid id" or "Invalid group uri"
	ErrEmail      = errors.New("acl: grantees by e-mail are not here") // S3: UnresolvableGrantByEmailAddress
	ErrCanned     = errors.New("acl: no such canned ACL")              // S3: InvalidArgument
	ErrHeader     = errors.New("acl: malformed x-amz-grant header")    // S3: InvalidArgument
)

// Permission is what a grant gives.
type Permission string

// Permissions, by S3's names.
const (
	FullControl Permission = "FULL_CONTROL"
	Write       Permission = "WRITE"
	WriteACP    Permission = "WRITE_ACP"
	Read        Permission = "READ"
	ReadACP     Permission = "READ_ACP"
)

// Valid says whether there is such a permission.
func (p Permission) Valid() bool {
	switch p {
	case FullControl, Write, WriteACP, Read, ReadACP:
		return true
	}
	return false
}

// includes says whether who has p has the other one too.
func (p Permission) includes(other Permission) bool { return p == other || p == FullControl }

// Grantee is an account, by its canonical id, or one of the groups.
type Grantee string

// Groups, by their URIs.
const (
	AllUsers           Grantee = "http://acs.amazonaws.com/groups/global/AllUsers"           // everybody, signed or not
	AuthenticatedUsers Grantee = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers" // who signs, whatever the account
	LogDelivery        Grantee = "http://acs.amazonaws.com/groups/s3/LogDelivery"            // S3's server access logs: nobody here
)

// Group says whether it is a group, as opposed to an account.
func (g Grantee) Group() bool { return g == AllUsers || g == AuthenticatedUsers || g == LogDelivery }

// Valid says whether it is a group that exists or looks like a canonical id.
func (g Grantee) Valid() bool { return g.Group() || isCanonical(string(g)) }

func isCanonical(id string) bool { return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" }

// Grant gives one permission to one grantee.
type Grant struct {
	Grantee    Grantee
	Permission Permission
}

// ACL is what an access control list says. The zero value gives nobody anything.
type ACL struct {
	Owner  string // canonical id
	Grants []Grant
}

// Private is the ACL that things have unless somebody says otherwise: the owner has full control.
func Private(owner string) ACL {
	return ACL{Owner: owner, Grants: []Grant{{Grantee(owner), FullControl}}}
}

// Validate wants what S3 wants of an ACL that a client sends. Errors: ErrTooMany, ErrPermission, ErrGrantee.
func (a *ACL) Validate() error {
	if len(a.Grants) > GrantsMax {
		return ErrTooMany
	}
	if !isCanonical(a.Owner) {
		return ErrGrantee
	}
	for _, g := range a.Grants {
		if !g.Permission.Valid() {
			return ErrPermission
		}
		if !g.Grantee.Valid() {
			return ErrGrantee
		}
	}
	return nil
}

// Public says whether the ACL gives anything to everybody, or to everybody who signs: S3's definition for block public access.
func (a *ACL) Public() bool {
	for _, g := range a.Grants {
		if g.Grantee == AllUsers || g.Grantee == AuthenticatedUsers {
			return true
		}
	}
	return false
}

// WithoutPublic is what is left of the ACL where public ones are ignored (IgnorePublicAcls): the grants to others than those two
// groups. S3 answers GetBucketAcl and GetObjectAcl with it too.
func (a *ACL) WithoutPublic() ACL {
	left := ACL{Owner: a.Owner}
	for _, g := range a.Grants {
		if g.Grantee != AllUsers && g.Grantee != AuthenticatedUsers {
			left.Grants = append(left.Grants, g)
		}
	}
	return left
}

// OnlyOwnerControls says whether the ACL is what BucketOwnerEnforced allows a bucket to have: full control for its owner and
// nothing else.
func (a *ACL) OnlyOwnerControls() bool {
	return len(a.Grants) == 1 && a.Grants[0] == Grant{Grantee(a.Owner), FullControl}
}
