// Package acl holds access control lists as S3 has them on buckets and objects: an owner, and grants of permissions to accounts
// and groups.
//
// It is pure. Accounts are canonical ids, 64 hexadecimal digits; whether there is such an account is for the caller to say.
//
// Invariants:
//   - An ACL only ever gives: what it does not say is not allowed, and nothing in it denies.
//   - A grant to an account is for the account to hand on to its users, a grant to a group is to each that belongs to it; Allows
//     keeps the two apart.
//   - An ACL that Validate took has at most GrantsMax grants, each of a known permission to a known kind of grantee.
//
// Source: Amazon S3 User Guide, "Access control list (ACL) overview"; docs/access.md.
package acl
