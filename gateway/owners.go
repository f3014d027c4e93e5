package gateway

import (
	"strings"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
)

// What is in a bucket is its owner's, unless ACLs count: then it is his who wrote it. Details, and this file, name an owner by his
// account's id, or by "" if he is the bucket's. Source: "Controlling ownership of objects and disabling ACLs for your bucket".

// owners shows whom the entries of a page belong to: most to the bucket's owner.
type owners struct {
	s      *Server
	all    bool // everything is the bucket owner's, whatever entries say
	bucket s3xml.Owner
	other  s3xml.Owner // the account that is asked for last
	id     string      // its id
}

func (r *request) newOwners() owners {
	docs, err := r.s.documents.get(r.bucket)
	return owners{s: r.s, all: err != nil || !docs.aclsCount(), bucket: r.s.ownerXML(r.bucket.Owner)}
}

// of is the owner of e, until the next call.
func (o *owners) of(e *meta.Entry) *s3xml.Owner { return o.named(e.Owner) }

// named is the owner with an id, until the next call.
func (o *owners) named(id []byte) *s3xml.Owner {
	if len(id) == 0 || o.all {
		return &o.bucket
	}
	if string(id) != o.id {
		o.id = string(id)
		o.other = o.s.ownerXML(o.id)
	}
	return &o.other
}

// markerOwner is the owner of delete markers that the request makes.
func (r *request) markerOwner() string {
	if r.bucket.Versioning == "" {
		return "" // there will be none
	}
	docs, err := r.s.documents.get(r.bucket)
	if err != nil || !docs.aclsCount() || r.caller.Anonymous() || r.caller.Account == r.s.ownerID(r.bucket) {
		return ""
	}
	return r.caller.Account
}

// initiator is who begins an upload, as Details has it.
func (r *request) initiator() string {
	if r.caller.Anonymous() || r.caller.Root && r.caller.Account == r.s.ownerID(r.bucket) {
		return ""
	}
	return r.caller.ARN
}

// isInitiator reports whether the caller is an initiator as Details has it, or the root of his account.
func (r *request) isInitiator(arn string) bool {
	account, _, _ := strings.Cut(strings.TrimPrefix(arn, iamPrefix), ":")
	return arn != "" && (arn == r.caller.ARN || r.caller.Root && account == r.caller.Account)
}

// initiatorXML shows who began an upload: an account as an owner is shown, a user by his ARN and his name. Source: API_Initiator.
func (r *request) initiatorXML(arn string) s3xml.Owner {
	if arn == "" {
		return r.s.ownerXML(r.bucket.Owner)
	}
	account, resource, _ := strings.Cut(strings.TrimPrefix(arn, iamPrefix), ":")
	if resource == "root" {
		return r.s.ownerXML(account)
	}
	return s3xml.Owner{ID: arn, DisplayName: arn[strings.LastIndexByte(arn, '/')+1:]}
}
