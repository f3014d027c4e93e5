package policy

// Access is what is in force for a request. The zero value lets nobody in.
type Access struct {
	// Owner is the account that owns the resource: of a bucket, and of its objects unless an object was written by another
	// account that kept it (ACLs in force). For what creates or deletes objects it is the bucket's owner; for an action without
	// a resource of its own (s3:ListAllMyBuckets, iam:*), the account whose buckets or users it is about. "" is nobody.
	Owner string
	// BucketOwner is the account that owns the bucket whose policy is Bucket; "" means Owner. If the two differ, what Bucket
	// allows does not count, for nobody can give away what is not his; what it denies does.
	BucketOwner string
	// Identity are the policies of the user and of his groups, attached and inline. A root has none: it may do everything.
	Identity []*Policy
	Bucket   *Policy // nil: the bucket has none
	// RestrictPublic is true if the bucket's RestrictPublicBuckets is set and Bucket.Public is true: then what Bucket allows counts
	// for users of the bucket owner's account only.
	RestrictPublic bool
	// Granted is what the ACL of the resource gives: Allow by a group that holds the requester, AllowAccount by his account's
	// canonical id, else None.
	Granted Effect
}

// Decision is the answer, and why. Only Allowed allows.
type Decision uint8

// Decisions. The order of the reasons is that in which they are looked for.
const (
	NotAllowedByResource Decision = iota // nothing on the side of the resource allows it
	NotAllowedByIdentity                 // no policy of the identity allows it
	DeniedByIdentity                     // a statement of the identity's policies denies it
	DeniedByResource                     // a statement of the bucket's policy denies it
	Allowed
)

// Allowed says whether the request may go on.
func (d Decision) Allowed() bool { return d == Allowed }

// Unsaid says whether it is refused only because nothing allows it.
func (d Decision) Unsaid() bool { return d == NotAllowedByResource || d == NotAllowedByIdentity }

// Reason ends the sentence "User: X is not authorized to perform: A on resource: R", in AWS's words.
func (d Decision) Reason(action string) string {
	switch d {
	case DeniedByIdentity:
		return "with an explicit deny in an identity-based policy"
	case DeniedByResource:
		return "with an explicit deny in a resource-based policy"
	case NotAllowedByIdentity:
		return "because no identity-based policy allows the " + action + " action"
	case NotAllowedByResource:
		return "because no resource-based policy allows the " + action + " action"
	}
	return ""
}

// Decide composes what all policies say of a request:
//
//   - A denial anywhere wins; but the root of the bucket's owner may always get, put and delete the bucket's policy, so that
//     nobody locks himself out.
//   - In the owner's own account: its root may do everything; a user what one side allows, his policies or the resource. What the
//     resource gives to the account as a whole is for the account to hand on, so that it does not count for the account's own users.
//   - From another account: both sides must allow it. That account's root needs no policy of its own.
//   - Without a signature: the resource must allow it to everybody.
//
// It allocates nothing by itself. Source: "Policy evaluation logic" and "Cross-account policy evaluation logic" in the IAM User
// Guide; "How Amazon S3 authorizes a request" in the Amazon S3 User Guide.
func Decide(r *Request, a *Access) Decision {
	identity := None
	for _, p := range a.Identity {
		if identity = max(identity, p.Evaluate(r)); identity == Deny {
			return DeniedByIdentity
		}
	}
	bucketOwner := a.BucketOwner
	if bucketOwner == "" {
		bucketOwner = a.Owner
	}
	who := &r.Principal
	resource := a.Granted
	if a.Bucket != nil {
		effect := a.Bucket.Evaluate(r)
		switch {
		case effect == Deny && !(who.Root && who.Account == bucketOwner && aboutPolicy(r.Action)):
			return DeniedByResource
		case effect == Deny || bucketOwner != a.Owner || a.RestrictPublic && who.Account != bucketOwner:
			// what it may allow does not count
		default:
			resource = max(resource, effect)
		}
	}
	return compose(who, a.Owner, identity, resource)
}

// compose is Decide where nothing is denied: identity and resource are what either side allows.
func compose(who *Principal, owner string, identity, resource Effect) Decision {
	switch {
	case who.Anonymous():
		if resource == Allow {
			return Allowed
		}
		return NotAllowedByResource
	case who.Account == owner:
		if who.Root || identity == Allow || resource == Allow {
			return Allowed
		}
		return NotAllowedByIdentity
	case resource != Allow && resource != AllowAccount:
		return NotAllowedByResource
	case who.Root || identity == Allow:
		return Allowed
	}
	return NotAllowedByIdentity
}

// aboutPolicy says whether the action is one that a bucket owner's root cannot lose.
func aboutPolicy(action string) bool {
	switch action {
	case "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy":
		return true
	}
	return false
}
