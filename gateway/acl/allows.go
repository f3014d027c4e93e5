package acl

// Level is how an ACL allows something. A greater one includes a smaller one.
type Level uint8

// Levels.
const (
	Not       Level = iota // it does not
	ToAccount              // to the requester's account, whose own policies say to which of its users
	ToAll                  // to a group that the requester belongs to
)

// AllowsOnBucket says how the ACL of a bucket allows an action of IAM's ("s3:ListBucket") to the account of that canonical id,
// "" if the request is not signed.
//
// Source: "Mapping of ACL permissions and access policy permissions". WRITE lets others put objects, also in the place of those that are
// there: the user guide has that for their owners only, but ceph/s3-tests, which follow what AWS does, want it for all. Deleting is the
// bucket owner's, who needs no grant for it.
func (a *ACL) AllowsOnBucket(canonical, action string) Level {
	return a.level(canonical, bucketPermission(action))
}

// AllowsOnObject says the same of the ACL of an object.
func (a *ACL) AllowsOnObject(canonical, action string) Level {
	return a.level(canonical, objectPermission(action))
}

func bucketPermission(action string) Permission {
	switch action {
	case "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads":
		return Read
	case "s3:PutObject":
		return Write
	case "s3:GetBucketAcl":
		return ReadACP
	case "s3:PutBucketAcl":
		return WriteACP
	}
	return ""
}

func objectPermission(action string) Permission {
	switch action {
	case "s3:GetObject", "s3:GetObjectVersion":
		return Read
	case "s3:GetObjectAcl", "s3:GetObjectVersionAcl":
		return ReadACP
	case "s3:PutObjectAcl", "s3:PutObjectVersionAcl":
		return WriteACP
	}
	return ""
}

func (a *ACL) level(canonical string, wanted Permission) Level {
	level := Not
	if wanted == "" {
		return level // no permission of an ACL gives it
	}
	for _, g := range a.Grants {
		if !g.Permission.includes(wanted) {
			continue
		}
		switch {
		case g.Grantee == AllUsers, g.Grantee == AuthenticatedUsers && canonical != "":
			return ToAll
		case canonical != "" && string(g.Grantee) == canonical:
			level = ToAccount
		}
	}
	return level
}
