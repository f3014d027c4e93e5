package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/sherd-io/sherd/gateway/acl"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// givenACL is an ACL as a request asks for it.
type givenACL struct {
	canned string      // the value of x-amz-acl; "": the grants say it
	grants []acl.Grant // of the x-amz-grant- headers, or of the body
	owner  string      // whom the body names; "": there is none
}

// onBucket is the ACL that g makes on a bucket. owner is a canonical id.
func (g *givenACL) onBucket(owner string) (acl.ACL, error) {
	if g.canned == "" {
		return g.listed(owner)
	}
	a, err := acl.ForBucket(g.canned, owner)
	return a, aclError(err, "x-amz-acl", g.canned)
}

// onObject is the ACL that g makes on an object. owner and bucketOwner are canonical ids.
func (g *givenACL) onObject(owner, bucketOwner string) (acl.ACL, error) {
	if g.canned == "" {
		return g.listed(owner)
	}
	a, err := acl.ForObject(g.canned, owner, bucketOwner)
	return a, aclError(err, "x-amz-acl", g.canned)
}

// listed is the ACL of g's grants. A document that names another owner is refused: an ACL does not change whom something belongs to.
func (g *givenACL) listed(owner string) (acl.ACL, error) {
	a := acl.ACL{Owner: owner, Grants: g.grants}
	if g.owner != "" && g.owner != owner {
		return a, errAccessDenied
	}
	return a, aclError(a.Validate(), "ACL", "")
}

// changesNothing reports whether a bucket takes g though its ACLs are off, because it gives nobody more than the owner has. a is the ACL that g makes.
func (g *givenACL) changesNothing(a *acl.ACL) bool {
	if g.canned != "" {
		return g.canned == acl.CannedPrivate || g.canned == acl.CannedBucketOwnerFullControl
	}
	return a.OnlyOwnerControls()
}

// accept refuses what a bucket takes neither for itself nor for its objects: g is what was asked for, a the ACL that it makes.
func (d *documents) accept(g *givenACL, a *acl.ACL) error {
	switch {
	case !d.aclsCount() && !g.changesNothing(a):
		return errACLsOff
	case d.public.BlockPublicACLs && a.Public():
		return errPublicACL
	}
	return nil
}

// aclError is what an error of gateway/acl means to a client.
func aclError(err error, name, value string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, acl.ErrTooMany), errors.Is(err, acl.ErrPermission):
		return errMalformedACL
	case errors.Is(err, acl.ErrEmail):
		return newError(400, "UnresolvableGrantByEmailAddress", "The e-mail address you provided does not match any account on record.")
	case errors.Is(err, acl.ErrGrantee) && strings.Contains(value, "://"):
		return badArgument(name, value, "Invalid group uri")
	case errors.Is(err, acl.ErrGrantee):
		return badArgument(name, value, "Invalid id")
	}
	return badArgument(name, value, "Argument format not recognized")
}

// grantHeaders are acl.HeaderPermissions in canonical form.
var grantHeaders = func() []acl.HeaderPermission {
	all := acl.HeaderPermissions()
	for i := range all {
		all[i].Name = http.CanonicalHeaderKey(all[i].Name)
	}
	return all
}()

// headerACL is the ACL that the request's headers ask for; nil: none.
func (r *request) headerACL() (*givenACL, error) {
	g := givenACL{canned: r.in1("X-Amz-Acl")}
	for i := range grantHeaders {
		h := &grantHeaders[i]
		value := r.in1(h.Name)
		if value == "" {
			continue
		}
		grants, err := acl.ParseHeader(value, h.Permission)
		if err != nil {
			return nil, aclError(err, strings.ToLower(h.Name), value)
		}
		g.grants = append(g.grants, grants...)
	}
	switch {
	case g.canned != "" && g.grants != nil:
		return nil, errInvalidRequest.say("Specifying both Canned ACLs and Header Grants is not allowed")
	case g.canned == "" && g.grants == nil:
		return nil, nil
	}
	return &g, r.knownGrantees(g.grants)
}

// askedACL is the ACL of a request that puts one: its headers or its body have it, one of the two.
func (r *request) askedACL() (*givenACL, error) {
	g, err := r.headerACL()
	body := r.auth.DecodedBytes != 0
	switch {
	case err != nil:
		return nil, err
	case g != nil && body:
		return nil, newError(400, "UnexpectedContent", "This request does not support content")
	case g != nil:
		return g, nil
	case !body:
		return nil, newError(400, "MissingSecurityHeader", "Your request was missing a required header").with(s3xml.Extra{Name: "MissingHeaderName", Value: "x-amz-acl"})
	}
	return r.bodyACL()
}

func (r *request) bodyACL() (*givenACL, error) {
	doc, err := readConfig(r, s3xml.ReadAccessControl)
	switch {
	case errors.Is(err, errMalformedXML):
		return nil, errMalformedACL
	case err != nil:
		return nil, err
	}
	g := &givenACL{owner: doc.Owner.ID, grants: make([]acl.Grant, len(doc.Grants))}
	for i := range doc.Grants {
		if g.grants[i], err = grantOf(&doc.Grants[i]); err != nil {
			return nil, err
		}
	}
	return g, r.knownGrantees(append(g.grants[:len(g.grants):len(g.grants)], acl.Grant{Grantee: acl.Grantee(g.owner)}))
}

// grantOf is a grant of a document.
func grantOf(x *s3xml.Grant) (acl.Grant, error) {
	g := acl.Grant{Grantee: acl.Grantee(x.Grantee.ID), Permission: acl.Permission(x.Permission)}
	switch x.Grantee.Kind {
	case s3xml.CustomerByEmail:
		return g, aclError(acl.ErrEmail, "EmailAddress", x.Grantee.Email)
	case s3xml.Group:
		if g.Grantee = acl.Grantee(x.Grantee.URI); !g.Grantee.Group() {
			return g, badArgument("Group/URI", x.Grantee.URI, "Invalid group uri")
		}
	}
	return g, nil
}

// knownGrantees refuses grants to accounts that there are none of.
func (r *request) knownGrantees(grants []acl.Grant) error {
	for _, g := range grants {
		known := func(m *placement.Map) bool { return canonicalAccount(m, string(g.Grantee)) != nil }
		if !g.Grantee.Group() && !r.s.inMap(r.ctx, known) {
			return badArgument("CanonicalUser/ID", string(g.Grantee), "Invalid id")
		}
	}
	return nil
}

// canonicalAccount is the account of a canonical id; nil: there is none.
func canonicalAccount(m *placement.Map, id string) *placement.Account {
	if first := m.Account(""); first.Canonical == id {
		return first
	}
	for _, a := range m.Accounts {
		if a.Canonical == id {
			return a
		}
	}
	return nil
}

// giveOwner gives a new object its owner and the ACL that the request's headers ask for. Who writes it owns it if ACLs count, but may leave it to
// the bucket's owner where the bucket prefers that. What nobody signed for is the bucket owner's.
//
// Source: "Controlling ownership of objects and disabling ACLs for your bucket".
func (r *request) giveOwner(d *metapb.Details) error {
	asked, err := r.headerACL()
	if err != nil {
		return err
	}
	docs, err := r.s.documents.get(r.bucket)
	if err != nil {
		return err
	}
	if asked == nil && !docs.aclsCount() {
		return nil
	}
	bucketOwner := r.s.account(r.bucket.Owner)
	owner := bucketOwner
	left := docs.ownership == ownerPreferred && asked != nil && asked.canned == acl.CannedBucketOwnerFullControl
	if docs.aclsCount() && !r.caller.Anonymous() && !left {
		owner = r.caller.account
	}
	if owner.ID != bucketOwner.ID {
		d.Owner = owner.ID
	}
	if asked == nil {
		return nil
	}
	if err := r.permitACL(); err != nil {
		return err
	}
	a, err := asked.onObject(owner.Canonical, bucketOwner.Canonical)
	if err != nil {
		return err
	}
	if err := docs.accept(asked, &a); err != nil {
		return err
	}
	d.Acl, err = storedACL(&a)
	return err
}

// permitACL checks that the caller may give an ACL to an object that he is about to write.
func (r *request) permitACL() error {
	on := *r.subject() // that one is not made, whoever asks next
	on.made, on.object = true, new(metapb.Version)
	return r.authorize("s3:PutObjectAcl", &on)
}

// newBucketOwnership is the object ownership that CreateBucket gives the bucket.
func (r *request) newBucketOwnership() (string, error) {
	ownership := r.in1("X-Amz-Object-Ownership")
	if ownership == "" {
		return r.s.opt.Ownership, nil
	}
	if CheckOwnership(ownership) != nil {
		return "", badArgument("x-amz-object-ownership", ownership, "Invalid x-amz-object-ownership header: "+ownership)
	}
	return ownership, r.authorize("s3:PutBucketOwnershipControls", r.subject())
}

// newBucketConfig are the documents that CreateBucket's headers give the bucket.
func (r *request) newBucketConfig() (placement.BucketConfig, error) {
	config := placement.BucketConfig{}
	ownership, err := r.newBucketOwnership()
	if err != nil {
		return nil, err
	}
	if ownership != ownerEnforced {
		config[configOwnership] = json.RawMessage(`"` + ownership + `"`)
	}
	asked, err := r.headerACL()
	if err != nil || asked == nil {
		return config, err
	}
	if err := r.authorize("s3:PutBucketAcl", r.subject()); err != nil {
		return nil, err
	}
	a, err := asked.onBucket(r.caller.Canonical)
	switch {
	case err != nil:
		return nil, err
	case a.OnlyOwnerControls():
		return config, nil
	case ownership == ownerEnforced:
		return nil, errACLOfBucket
	}
	config[configACL], err = json.Marshal(a)
	return config, err
}
