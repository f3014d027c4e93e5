package acl

import "strings"

// HeaderPermissions are the headers that grant, in lower case, with what each gives.
func HeaderPermissions() []HeaderPermission { return append([]HeaderPermission(nil), headers...) }

// HeaderPermission is one such header.
type HeaderPermission struct {
	Name       string // "x-amz-grant-read"
	Permission Permission
}

var headers = []HeaderPermission{
	{"x-amz-grant-read", Read},
	{"x-amz-grant-write", Write},
	{"x-amz-grant-read-acp", ReadACP},
	{"x-amz-grant-write-acp", WriteACP},
	{"x-amz-grant-full-control", FullControl},
}

// ParseHeader reads the value of an x-amz-grant- header: grantees with commas between them, each a type (id, uri, emailAddress)
// and a value with or without quotes.
//
//	id="79a5…", uri="http://acs.amazonaws.com/groups/global/AllUsers"
//
// Errors: ErrHeader, ErrGrantee, ErrEmail, ErrTooMany.
func ParseHeader(value string, p Permission) ([]Grant, error) {
	var grants []Grant
	for field := range strings.SplitSeq(value, ",") {
		kind, text, ok := strings.Cut(strings.TrimSpace(field), "=")
		text, quotes := unquote(strings.TrimSpace(text))
		if !ok || !quotes || text == "" {
			return nil, ErrHeader
		}
		grantee := Grantee(text)
		switch strings.TrimSpace(kind) {
		case "id":
			ok = isCanonical(text)
		case "uri":
			ok = grantee.Group()
		case "emailAddress":
			return nil, ErrEmail
		default:
			return nil, ErrHeader
		}
		if !ok {
			return nil, ErrGrantee
		}
		if grants = append(grants, Grant{grantee, p}); len(grants) > GrantsMax {
			return nil, ErrTooMany
		}
	}
	return grants, nil
}

// unquote takes off quotes, which have to be on both sides or none.
func unquote(s string) (string, bool) {
	inner, begins := strings.CutPrefix(s, `"`)
	inner, ends := strings.CutSuffix(inner, `"`)
	return inner, begins == ends && !strings.Contains(inner, `"`)
}
