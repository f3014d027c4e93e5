// Package policy decides who may do what: it reads documents in IAM's JSON policy language, compiles them, and evaluates
// them for a request, as AWS documents it for S3.
//
// It is pure: what a request is about comes in as a Request, whose Context is asked only for the keys that a statement
// whose principal, action and resource fit looks at. So a key that is costly to know (the tags of an object) costs only where
// a policy asks for it.
//
// Invariants:
//   - A Policy never changes once parsed, and may be evaluated by many goroutines at once.
//   - What cannot be understood is refused when it is parsed, never skipped: an element, operator, principal or value that
//     we do not know could be the one that was to forbid.
//   - The zero Effect and the zero Decision allow nothing, the zero Principal is anonymous.
//   - Deny beats allow, whatever the order of statements and policies.
//   - Evaluation allocates nothing, but where a value with variables is compared without regard to case or as a Boolean, or has
//     more than a dozen parts.
//
// Source: IAM User Guide, "IAM JSON policy element reference", "Grammar of the IAM JSON policy language", "Policy evaluation
// logic", "Conditions with multiple context keys or values", "Variables and tags"; Service Authorization Reference, "Actions,
// resources, and condition keys for Amazon S3"; Amazon S3 User Guide, "Blocking public access to your Amazon S3 storage".
// docs/access.md says the same for operators.
package policy
