package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/sherd-io/sherd/gateway/acl"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// Errors of ACLs. Source: Amazon S3 API Reference, "Error responses"; "Controlling ownership of objects and disabling ACLs for your bucket".
var (
	errACLsOff      = newError(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	errACLOfBucket  = newError(400, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	errMalformedACL = newError(400, "MalformedACLError", "The XML you provided was not well-formed or did not validate against our published schema")
	errPublicACL    = errAccessDenied.say("The bucket's BlockPublicAcls setting prevents public ACLs.")
)

// inForce is the part of an ACL that counts under the bucket's public access block.
func (d *documents) inForce(a acl.ACL) acl.ACL {
	if d.public.IgnorePublicACLs {
		return a.WithoutPublic()
	}
	return a
}

// ofBucket is the ACL of a bucket as far as it is in force. owner is the canonical id of the bucket's owner.
func (d *documents) ofBucket(owner string) acl.ACL {
	if d.acl == nil || !d.aclsCount() {
		return acl.Private(owner)
	}
	return d.inForce(*d.acl)
}

// ofObject is the ACL of a version as far as it is in force. owner is the canonical id of the version's owner.
func (d *documents) ofObject(owner string, v *metapb.Version) (a acl.ACL, err error) {
	stored := v.Details.GetAcl()
	if stored == "" || !d.aclsCount() {
		return acl.Private(owner), nil
	}
	if err := json.Unmarshal([]byte(stored), &a); err != nil {
		return a, fmt.Errorf("gateway: the ACL of an object: %w", err)
	}
	return d.inForce(a), nil
}

// storedACL is an ACL as Details has it.
func storedACL(a *acl.ACL) (string, error) {
	if a.OnlyOwnerControls() {
		return "", nil
	}
	text, err := json.Marshal(a)
	return string(text), err
}

// objectOwner is the account that a version in b belongs to: the bucket's owner, unless ACLs count and another wrote it.
func (s *Server) objectOwner(d *documents, b *placement.Bucket, v *metapb.Version) *placement.Account {
	if owner := v.Details.GetOwner(); owner != "" && d.aclsCount() {
		return s.account(owner)
	}
	return s.account(b.Owner)
}

// aboutExisting reports whether an action is about an object that is there, and its owner's to allow. What makes, deletes, locks or tags one is
// the bucket owner's. Source: "How Amazon S3 authorizes a request for an object operation"; "Controlling ownership of objects".
func aboutExisting(action string) bool {
	switch action {
	case "s3:GetObject", "s3:GetObjectAcl", "s3:GetObjectAttributes", "s3:PutObjectAcl",
		"s3:GetObjectVersion", "s3:GetObjectVersionAcl", "s3:GetObjectVersionAttributes", "s3:PutObjectVersionAcl":
		return true
	}
	return false
}

// addACLs adds what the ACLs say to what the policies do, where ACLs count: whose the object is, and what its ACL or the bucket's gives.
func (r *request) addACLs(access *policy.Access, docs *documents, action string, on *subject) {
	if !aboutExisting(action) {
		a := docs.ofBucket(r.s.account(on.bucket.Owner).Canonical)
		access.Granted = effects[a.AllowsOnBucket(r.caller.Canonical, action)]
		return
	}
	access.BucketOwner, access.Owner = access.Owner, "" // nobody's, if it cannot be read
	if on.object == nil {
		var err error
		if on.object, err = r.stat(on); err != nil {
			on.object = nil
			return
		}
	}
	owner := r.s.objectOwner(docs, on.bucket, on.object)
	access.Owner = owner.ID
	a, err := docs.ofObject(owner.Canonical, on.object)
	if err != nil { // an ACL only gives: without it the owner is left
		r.s.opt.Logger.Error("the grants of an object do not count", "bucket", on.name, "key", on.key, "err", err)
		return
	}
	access.Granted = effects[a.AllowsOnObject(r.caller.Canonical, action)]
}

// effects are what the levels of an ACL are to a policy decision.
var effects = [...]policy.Effect{acl.Not: policy.None, acl.ToAccount: policy.AllowAccount, acl.ToAll: policy.Allow}

// getOwnershipControls serves GetBucketOwnershipControls (S3 API reference).
func (r *request) getOwnershipControls() error {
	docs, err := r.s.documents.get(r.bucket)
	if err != nil {
		return err
	}
	if docs.ownership == ownerUnsaid {
		return newError(404, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found").with(r.bucketName())
	}
	return r.sendXML(http.StatusOK, s3xml.AppendOwnership(nil, docs.ownership))
}

// putOwnershipControls serves PutBucketOwnershipControls (S3 API reference).
func (r *request) putOwnershipControls() error {
	ownership, err := readConfig(r, s3xml.ReadOwnership)
	if err != nil {
		return err
	}
	if ownership == ownerEnforced && r.bucket.Config[configACL] != nil {
		return errACLOfBucket
	}
	if err := r.setConfig(configOwnership, ownership); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// deleteOwnershipControls serves DeleteBucketOwnershipControls (S3 API reference).
func (r *request) deleteOwnershipControls() error {
	if err := r.setConfig(configOwnership, ownerUnsaid); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusNoContent)
}

// getBucketACL serves GetBucketAcl (S3 API reference).
func (r *request) getBucketACL() error {
	docs, err := r.s.documents.get(r.bucket)
	if err != nil {
		return err
	}
	a := docs.ofBucket(r.s.account(r.bucket.Owner).Canonical)
	return r.sendACL(&a)
}

// putBucketACL serves PutBucketAcl (S3 API reference).
func (r *request) putBucketACL() error {
	asked, err := r.askedACL()
	if err != nil {
		return err
	}
	docs, err := r.s.documents.get(r.bucket)
	if err != nil {
		return err
	}
	a, err := asked.onBucket(r.s.account(r.bucket.Owner).Canonical)
	if err != nil {
		return err
	}
	if err := docs.accept(asked, &a); err != nil {
		return err
	}
	if a.OnlyOwnerControls() {
		err = r.setConfig(configACL, nil)
	} else {
		err = r.setConfig(configACL, a)
	}
	if err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// getObjectACL serves GetObjectAcl (S3 API reference).
func (r *request) getObjectACL() error {
	v, err := r.permitted()
	if err != nil {
		return err
	}
	docs, err := r.s.documents.get(r.bucket)
	if err != nil {
		return err
	}
	a, err := docs.ofObject(r.s.objectOwner(docs, r.bucket, v).Canonical, v)
	if err != nil {
		return err
	}
	r.showVersion(v)
	return r.sendACL(&a)
}

// putObjectACL serves PutObjectAcl (S3 API reference). Who may change an ACL depends on the ACL that is there, so it is changed only as long as
// it is that one.
func (r *request) putObjectACL() error {
	v, err := r.permitted()
	if err != nil {
		return err
	}
	asked, err := r.askedACL()
	if err != nil {
		return err
	}
	const tries = 5 // somebody else may change it in between
	for try := 1; ; try++ {
		if err = r.replaceACL(v, asked); !errors.Is(err, meta.ErrPrecondition) || try == tries {
			break
		}
		if v, err = r.permitted(); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, meta.ErrPrecondition):
		return errOperationAborted
	case err != nil:
		return r.withKey(err)
	}
	r.showVersion(v)
	return r.sendEmpty(http.StatusOK)
}

// replaceACL gives the version v the ACL that was asked for. Errors: meta.ErrPrecondition if v is not what it was any more.
func (r *request) replaceACL(v *metapb.Version, asked *givenACL) error {
	docs, err := r.s.documents.get(r.bucket)
	if err != nil {
		return err
	}
	a, err := asked.onObject(r.s.objectOwner(docs, r.bucket, v).Canonical, r.s.account(r.bucket.Owner).Canonical)
	if err != nil {
		return err
	}
	if err := docs.accept(asked, &a); err != nil || !docs.aclsCount() {
		return err // accepted where ACLs do not count, it changes nothing
	}
	text, err := storedACL(&a)
	if err != nil {
		return err
	}
	ref, err := r.version()
	if err != nil {
		return err
	}
	_, err = r.s.opt.Objects.Update(r.ctx, r.bucket.Rules, &metapb.UpdateVersion{
		Bucket: uint64(r.bucket.ID), Key: r.key, Version: uint64(ref.ID), Null: ref.Null,
		Expect: &metapb.Expect{Ts: v.Ts, Changed: v.Details.GetChanged()}, Change: &metapb.UpdateVersion_Acl{Acl: text},
	})
	return err
}

// sendACL answers with an ACL.
func (r *request) sendACL(a *acl.ACL) error {
	doc := s3xml.AccessControl{Owner: r.s.canonicalXML(a.Owner), Grants: make([]s3xml.Grant, len(a.Grants))}
	for i, g := range a.Grants {
		to := s3xml.Grantee{Kind: s3xml.Group, URI: string(g.Grantee)}
		if !g.Grantee.Group() {
			who := r.s.canonicalXML(string(g.Grantee))
			to = s3xml.Grantee{Kind: s3xml.CanonicalUser, ID: who.ID, DisplayName: who.DisplayName}
		}
		doc.Grants[i] = s3xml.Grant{Grantee: to, Permission: string(g.Permission)}
	}
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// canonicalXML is the account of a canonical id as ACLs show it. One that is gone has no name.
func (s *Server) canonicalXML(id string) s3xml.Owner {
	if a := canonicalAccount(s.opt.Buckets.Map(), id); a != nil {
		return s3xml.Owner{ID: id, DisplayName: a.Name}
	}
	return s3xml.Owner{ID: id}
}
