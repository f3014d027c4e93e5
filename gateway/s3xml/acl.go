package s3xml

import "io"

// GrantsMax is how many grants S3 takes.
const GrantsMax = 100

// Kinds of Grantee.
const (
	CanonicalUser    = "CanonicalUser"         // ID
	Group            = "Group"                 // URI
	CustomerByEmail  = "AmazonCustomerByEmail" // Email; S3 answers with a CanonicalUser
	schemaInstance   = "http://www.w3.org/2001/XMLSchema-instance"
	granteeAttribute = ` xmlns:xsi="` + schemaInstance + `" xsi:type="`
)

// Grantee is who a grant is for.
type Grantee struct {
	Kind            string // CanonicalUser, Group or CustomerByEmail
	ID, DisplayName string
	URI, Email      string
}

// Grant gives a permission: FULL_CONTROL, WRITE, WRITE_ACP, READ or READ_ACP.
type Grant struct {
	Grantee    Grantee
	Permission string
}

// AccessControl is the AccessControlPolicy of a bucket or an object.
type AccessControl struct {
	Owner  Owner
	Grants []Grant
}

// ReadAccessControl reads the body of PutBucketAcl and PutObjectAcl: an owner and at most GrantsMax grants. Who they
// are is the caller's to look up.
//
// Errors: ErrMalformed (S3: MalformedACLError), ErrTooLarge, r's own.
func ReadAccessControl(r io.Reader) (*AccessControl, error) {
	return readConfig(r, "AccessControlPolicy", func(n *node) *AccessControl {
		n.only("Owner", "AccessControlList")
		owner := n.need("Owner")
		owner.only("ID", "DisplayName")
		a := &AccessControl{Owner: Owner{ID: owner.need("ID").trimmed(), DisplayName: owner.child("DisplayName").value()}}
		list := n.need("AccessControlList")
		list.only("Grant")
		if len(list.children) > GrantsMax {
			list.fail("too many grants")
		}
		a.Grants = list.grants()
		return a
	})
}

// grants are n's children, of whatever list.
func (n *node) grants() []Grant {
	grants := make([]Grant, 0, len(n.children))
	for _, g := range n.all("Grant") {
		g.only("Grantee", "Permission")
		grants = append(grants, Grant{
			Grantee:    g.need("Grantee").grantee(),
			Permission: g.need("Permission").oneOf("FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP"),
		})
	}
	return grants
}

func (n *node) grantee() Grantee {
	n.only("ID", "DisplayName", "URI", "EmailAddress")
	g := Grantee{Kind: n.xsiType, ID: n.child("ID").trimmed(), DisplayName: n.child("DisplayName").value(),
		URI: n.child("URI").trimmed(), Email: n.child("EmailAddress").trimmed()}
	named := map[string]string{CanonicalUser: g.ID, Group: g.URI, CustomerByEmail: g.Email}
	if named[g.Kind] == "" {
		n.fail("its type is not S3's, or what names it is missing")
	}
	return g
}

// Append appends the document of GetBucketAcl and GetObjectAcl.
func (a *AccessControl) Append(b []byte) []byte {
	b = root(b, "AccessControlPolicy")
	b = appendOwner(b, "Owner", &a.Owner)
	b = opening(b, "AccessControlList")
	for i := range a.Grants {
		b = a.Grants[i].append(b)
	}
	b = closing(b, "AccessControlList")
	return closing(b, "AccessControlPolicy")
}

func (g *Grant) append(b []byte) []byte {
	b = append(b, "<Grant><Grantee"+granteeAttribute...)
	b = append(AppendText(b, g.Grantee.Kind), `">`...)
	b = optional(b, "ID", g.Grantee.ID)
	b = optional(b, "DisplayName", g.Grantee.DisplayName)
	b = optional(b, "EmailAddress", g.Grantee.Email)
	b = optional(b, "URI", g.Grantee.URI)
	b = append(b, "</Grantee>"...)
	b = element(b, "Permission", g.Permission)
	return append(b, "</Grant>"...)
}
