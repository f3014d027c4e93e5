package gateway

import (
	"errors"

	"github.com/sherd-io/sherd/gateway/acl"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// identify finds out who makes the request. The signature held, or there is none.
func (r *request) identify() (err error) {
	if r.auth.SessionToken != "" {
		return newError(400, "InvalidToken", "The provided token is malformed or otherwise invalid.") // nobody gives any out
	}
	if r.auth.Anonymous {
		r.caller = nobody
		return nil
	}
	id, _ := r.auth.Identity.(Identity)
	r.caller, err = r.s.callers.find(r.s.opt.Buckets.Map(), id)
	if err != nil && !errors.Is(err, errAccessDenied) {
		r.s.opt.Logger.Error("a user is refused because of a policy that is not understood", "err", err)
		return errAccessDenied
	}
	return err
}

// subject is the bucket or the object that the request names, as if nothing of it had been read yet. It is good until the next call.
func (r *request) subject() *subject {
	r.on = subject{bucket: r.bucket, name: r.name, key: r.key, version: r.query.get("versionId")}
	return &r.on
}

// permit checks that the caller may do what the operation's row says, unless its handler asks by itself.
func (r *request) permit() error {
	on := r.subject()
	if r.op.asks && r.op.handle != nil {
		if r.hopeless(on) {
			return errAccessDenied
		}
		return nil
	}
	return r.authorize(r.op.actionOn(on), on)
}

// hopeless reports whether nobody's request with a body is refused whatever the body says. A handler that asks by itself may read that first:
// for a bucket that lets in no strangers it does not, or they could hold the room of those who may, by documents that come slowly.
func (r *request) hopeless(on *subject) bool {
	if !r.caller.Anonymous() || r.auth.DecodedBytes == 0 || r.op.name == "PostObject" { // whose body says whose it is
		return false
	}
	if on.bucket == nil {
		return true
	}
	docs, err := r.s.documents.get(on.bucket)
	if err != nil {
		return true
	}
	return !r.offered(docs, r.op.action) && (r.op.ofVersion == "" || !r.offered(docs, r.op.ofVersion))
}

// offered reports whether the bucket may allow an action to the caller, on something in it.
func (r *request) offered(docs *documents, action string) bool {
	if docs.policy != nil && docs.policy.Offers(&r.caller.Principal, action) {
		return true
	}
	if !docs.aclsCount() {
		return false
	}
	a := docs.ofBucket("")
	return aboutExisting(action) || a.AllowsOnBucket(r.caller.Canonical, action) != acl.Not
}

// actionOn is the permission that the operation needs: for a version that is named it is another one.
func (o *op) actionOn(on *subject) string {
	if on.version != "" && o.ofVersion != "" {
		return o.ofVersion
	}
	return o.action
}

// authorize is nil if the caller may do action. Errors: errAccessDenied, saying why to those who may know.
func (r *request) authorize(action string, on *subject) error {
	return r.verdict(r.decide(action, on), action, on)
}

// verdict is a decision as authorize gives it.
func (r *request) verdict(d policy.Decision, action string, on *subject) error {
	switch {
	case d.Allowed():
		return nil
	case on.unread != nil:
		return on.unread
	}
	return r.denied(d, action, on)
}

// may is authorize where a refusal is no error.
func (r *request) may(action string, on *subject) bool { return r.decide(action, on).Allowed() }

// denied is the refusal of an action. It says who may not do what, and why, unless the caller is anonymous or of another account than the bucket.
func (r *request) denied(d policy.Decision, action string, on *subject) error {
	if r.caller.Anonymous() || on.bucket != nil && r.s.ownerID(on.bucket) != r.caller.Account {
		return errAccessDenied
	}
	return errAccessDenied.say("User: %s is not authorized to perform: %s on resource: %q %s", r.caller.ARN, action, on.arn(), d.Reason(action))
}

// decide puts together who asks, what the policies say, and the ACLs where those count.
func (r *request) decide(action string, on *subject) policy.Decision {
	owner := r.caller.Account // of what has no owner: a list of the caller's own buckets
	docs := &noDocuments
	if on.bucket != nil {
		owner = r.s.ownerID(on.bucket)
		var err error
		if docs, err = r.s.documents.get(on.bucket); err != nil {
			r.s.opt.Logger.Error("a bucket is closed because of a document that is not understood", "bucket", on.bucket.Name, "err", err)
			return policy.DeniedByResource
		}
	}
	if r.caller.Root && r.caller.Account == owner && docs.policy == nil && !docs.aclsCount() {
		return policy.Allowed
	}
	access := policy.Access{
		Owner: owner, Identity: r.caller.policies, Bucket: docs.policy,
		RestrictPublic: docs.restricted(),
	}
	switch {
	case on.made && !r.caller.Anonymous(): // it is to be his, in the bucket of another
		access.Owner, access.BucketOwner = r.caller.Account, owner
	case docs.aclsCount():
		r.addACLs(&access, docs, action, on)
	}
	question := policy.Request{Principal: r.caller.Principal, Action: action, Resource: on.arn(), Context: situation{r, on}}
	d := policy.Decide(&question, &access)
	if on.unread != nil {
		return policy.NotAllowedByResource // a denial may hang on it
	}
	return d
}

// stat reads the version that a subject names.
func (r *request) stat(on *subject) (*metapb.Version, error) {
	ref, err := on.ref()
	if err != nil {
		return nil, err
	}
	return r.s.opt.Objects.Stat(r.ctx, on.bucket.ID, on.key, ref)
}

// hidden is err, but AccessDenied in the place of NoSuchKey if the caller may not list the bucket: he must not learn which keys there are.
func (r *request) hidden(err error, on *subject) error {
	if !errors.Is(err, meta.ErrNoSuchKey) {
		return err
	}
	bucket := subject{bucket: on.bucket, name: on.name}
	if r.may("s3:ListBucket", &bucket) {
		return err
	}
	return errAccessDenied
}

// ownerID is the id of the account that owns a bucket.
func (s *Server) ownerID(b *placement.Bucket) string { return s.account(b.Owner).ID }

// account is the account of an owner as rows name it. One that is gone is shown by its id.
func (s *Server) account(owner string) *placement.Account {
	if a := s.opt.Buckets.Map().Account(owner); a != nil {
		return a
	}
	return &placement.Account{ID: owner, Name: owner}
}

// ownerXML is an owner as listings show it.
func (s *Server) ownerXML(owner string) s3xml.Owner {
	a := s.account(owner)
	return s3xml.Owner{ID: a.Canonical, DisplayName: a.Name}
}

// givenRights are the permissions that it takes to give a new object more than its bytes. Those for an ACL are permitACL's.
var givenRights = [...]struct{ header, action string }{
	{"X-Amz-Tagging", "s3:PutObjectTagging"},
	{"X-Amz-Object-Lock-Mode", "s3:PutObjectRetention"},
	{"X-Amz-Object-Lock-Retain-Until-Date", "s3:PutObjectRetention"},
	{"X-Amz-Object-Lock-Legal-Hold", "s3:PutObjectLegalHold"},
}

// permitGiven checks the permissions for what the request's headers give a new object. Source: PutObject, "Permissions".
func (r *request) permitGiven() error {
	for i := range givenRights {
		if g := &givenRights[i]; r.http.Header[g.header] != nil {
			if err := r.authorize(g.action, r.subject()); err != nil {
				return err
			}
		}
	}
	return nil
}

// dependsOnObject reports whether the decision needs the object itself: its ACL, or the tags that it has. Then the caller is authorized with the very
// version that was read, for another may have been there at an earlier look.
func (r *request) dependsOnObject(on *subject) bool {
	if on.bucket == nil {
		return false
	}
	docs, err := r.s.documents.get(on.bucket)
	if err != nil {
		return false // nobody may do anything
	}
	return docs.aclsCount() || docs.asksTags || r.caller.asksTags
}

// existingTagKey begins the condition keys that are an object's tags.
const existingTagKey = "s3:existingobjecttag/"
