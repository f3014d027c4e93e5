package acl

// Canned ACLs, by the values of x-amz-acl.
const (
	CannedPrivate                = "private"
	CannedPublicRead             = "public-read"
	CannedPublicReadWrite        = "public-read-write"
	CannedAuthenticatedRead      = "authenticated-read"
	CannedAwsExecRead            = "aws-exec-read"
	CannedBucketOwnerRead        = "bucket-owner-read"
	CannedBucketOwnerFullControl = "bucket-owner-full-control"
	CannedLogDeliveryWrite       = "log-delivery-write"
)

// ForBucket is the ACL that a canned one stands for on a bucket. Errors: ErrCanned.
//
// Source: "Canned ACL". bucket-owner-… are ignored on buckets. aws-exec-read is for Amazon EC2, which there is none of: it gives
// nobody more than private.
func ForBucket(canned, owner string) (ACL, error) {
	a := Private(owner)
	switch canned {
	case CannedPrivate, CannedAwsExecRead, CannedBucketOwnerRead, CannedBucketOwnerFullControl:
	case CannedLogDeliveryWrite:
		a.add(LogDelivery, Write, ReadACP)
	default:
		if !a.addShared(canned) {
			return ACL{}, ErrCanned
		}
	}
	return a, nil
}

// ForObject is the ACL that a canned one stands for on an object of owner in a bucket of bucketOwner. Errors: ErrCanned, for
// log-delivery-write too, which is for buckets.
func ForObject(canned, owner, bucketOwner string) (ACL, error) {
	a := Private(owner)
	switch canned {
	case CannedPrivate, CannedAwsExecRead:
	case CannedBucketOwnerRead:
		a.addOther(bucketOwner, Read)
	case CannedBucketOwnerFullControl:
		a.addOther(bucketOwner, FullControl)
	default:
		if !a.addShared(canned) {
			return ACL{}, ErrCanned
		}
	}
	return a, nil
}

// addShared adds what buckets and objects have in common. It is false if there is no such canned ACL.
func (a *ACL) addShared(canned string) bool {
	switch canned {
	case CannedPublicRead:
		a.add(AllUsers, Read)
	case CannedPublicReadWrite:
		a.add(AllUsers, Read, Write)
	case CannedAuthenticatedRead:
		a.add(AuthenticatedUsers, Read)
	default:
		return false
	}
	return true
}

func (a *ACL) add(grantee Grantee, permissions ...Permission) {
	for _, p := range permissions {
		a.Grants = append(a.Grants, Grant{grantee, p})
	}
}

// addOther adds a grant to an account that is not the owner, who has everything.
func (a *ACL) addOther(account string, p Permission) {
	if account != a.Owner {
		a.add(Grantee(account), p)
	}
}
