package acl

import (
	"encoding/json"
	"errors"
)

// The stored form of an ACL is JSON, versioned by its shape: a later one has other members.
//
//	{"o":"<canonical id>","g":[["<canonical id>","F"],["@all","R"]]}
//
// o is the owner; g the grants, each a grantee, with @all, @authenticated and @logs for the groups, and a letter or two for the
// permission: F full control, W write, WA write ACP, R read, RA read ACP. Without g the ACL is Private(o).
type stored struct {
	Owner  string       `json:"o"`
	Grants *[][2]string `json:"g,omitempty"`
}

// errStored is what is not such a form: only damage, or a newer version of sherd, makes it.
var errStored = errors.New("acl: stored form not understood")

var groupCodes = [][2]string{{string(AllUsers), "@all"}, {string(AuthenticatedUsers), "@authenticated"}, {string(LogDelivery), "@logs"}}

var permissionCodes = [][2]string{
	{string(FullControl), "F"}, {string(Write), "W"}, {string(WriteACP), "WA"}, {string(Read), "R"}, {string(ReadACP), "RA"},
}

// recode finds text in one column of the table and returns the other column, text itself and false if it is not there.
func recode(table [][2]string, from int, text string) (string, bool) {
	for _, row := range table {
		if row[from] == text {
			return row[1-from], true
		}
	}
	return text, false
}

// MarshalJSON is the stored form.
func (a ACL) MarshalJSON() ([]byte, error) {
	s := stored{Owner: a.Owner}
	if !a.OnlyOwnerControls() {
		grants := make([][2]string, len(a.Grants))
		for i, g := range a.Grants {
			grants[i][0], _ = recode(groupCodes, 0, string(g.Grantee))
			grants[i][1], _ = recode(permissionCodes, 0, string(g.Permission))
		}
		s.Grants = &grants
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads the stored form, and wants what Validate wants.
func (a *ACL) UnmarshalJSON(data []byte) error {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	read := Private(s.Owner)
	if s.Grants != nil {
		read.Grants = make([]Grant, len(*s.Grants))
		for i, g := range *s.Grants {
			grantee, _ := recode(groupCodes, 1, g[0])
			permission, ok := recode(permissionCodes, 1, g[1])
			if !ok {
				return errStored
			}
			read.Grants[i] = Grant{Grantee(grantee), Permission(permission)}
		}
	}
	if err := read.Validate(); err != nil {
		return errors.Join(errStored, err)
	}
	*a = read
	return nil
}
