package placement

import (
	"encoding/json"
	"strings"
	"time"
)

// Account is who owns buckets, and whose users, groups and policies they are. Each has a root, which may do everything in it.
// The one that a cluster begins with is NewDefaultAccount's.
type Account struct {
	ID        string    `json:"id"`        // 12 digits
	Name      string    `json:"name"`      // as owners are shown
	Canonical string    `json:"canonical"` // 64 hexadecimal digits: as ACLs and listings name the owner
	Created   time.Time `json:"created,omitzero"`
}

// Tag is a name with a value, of a user, a policy or a bucket.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Permissions are the policies of a user or a group.
type Permissions struct {
	Attached []string          `json:"attached,omitempty"` // ARNs of managed policies, in the order of their attachment
	Inline   map[string]string `json:"inline,omitempty"`   // documents, in JSON, by name
}

// User is a person or a program of an account. Names are compared without regard to case: see FoldName.
type User struct {
	Account string    `json:"account"`
	Name    string    `json:"name"`
	Path    string    `json:"path"` // "/", "/division/"
	ID      string    `json:"id"`   // AIDA…, never used again
	Created time.Time `json:"created"`
	Groups  []string  `json:"groups,omitempty"` // names
	Tags    []Tag     `json:"tags,omitempty"`
	Permissions
}

// Group gives its users permissions.
type Group struct {
	Account string    `json:"account"`
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"` // AGPA…
	Created time.Time `json:"created"`
	Permissions
}

// Policy is a managed policy of an account.
type Policy struct {
	Account     string          `json:"account"`
	Name        string          `json:"name"`
	Path        string          `json:"path"`
	ID          string          `json:"id"` // ANPA…
	Description string          `json:"description,omitempty"`
	Created     time.Time       `json:"created"`
	Updated     time.Time       `json:"updated"`
	Default     string          `json:"default"` // the id of the version in force
	Versions    []PolicyVersion `json:"versions"`
	NextVersion int             `json:"nextVersion"`
	Tags        []Tag           `json:"tags,omitempty"`
}

// PolicyVersion is one version of a managed policy's document.
type PolicyVersion struct {
	ID       string    `json:"id"` // "v1"
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// Identity is one access key, of a user or of an account's root.
type Identity struct {
	AccessKey string `json:"accessKey"`
	// Secret is in the map only. A row holds Sealed; Secret, in rows that were written before secrets were sealed.
	Secret   string    `json:"secret,omitempty"`
	Sealed   []byte    `json:"sealed,omitempty"`
	Root     bool      `json:"root"`
	Account  string    `json:"account,omitempty"` // "": DefaultAccount
	User     string    `json:"user,omitempty"`    // "": the account's root
	Inactive bool      `json:"inactive,omitempty"`
	Created  time.Time `json:"created,omitzero"`
}

// WrappedKey is the key that the secrets of identities are sealed under, as etcd has it: itself sealed, under keys that are not there.
type WrappedKey struct {
	ID    string            `json:"id"` // 16 hexadecimal digits that follow from the key
	Wraps map[string][]byte `json:"wraps,omitempty"`
}

// Keys of WrappedKey.Wraps: what the key is sealed under follows from which secret.
const (
	WrapRoot    = "root"    // root's secret key
	WrapCluster = "cluster" // the secret of the cluster's first nodes
)

// IAMChange puts or deletes one record of accounts and what is theirs: one of the pointers is set, and with Delete the record that it names
// goes; that there is none is no error.
type IAMChange struct {
	Account *Account
	User    *User
	Group   *Group
	Policy  *Policy
	// Identity has its Secret; where the map's has none, for it cannot be opened, Sealed stays as it is.
	Identity *Identity
	DataKey  *WrappedKey // is never deleted
	Delete   bool
}

// IAMChangesMax is how many records one step changes at most: an external etcd allows 128 operations by default.
const IAMChangesMax = 100

// Kinds of ObjectLock.Mode.
const (
	LockGovernance = "GOVERNANCE" // who has the permission may shorten it
	LockCompliance = "COMPLIANCE" // nobody may
)

// Values of Bucket.Versioning.
const (
	VersioningEnabled   = "Enabled"
	VersioningSuspended = "Suspended"
)

// ObjectLock is a bucket's default retention. A bucket that has an ObjectLock keeps it, and its versioning stays enabled.
type ObjectLock struct {
	Mode  string `json:"mode,omitempty"` // "": new versions get none
	Days  int    `json:"days,omitempty"` // one of Days and Years is set if Mode is
	Years int    `json:"years,omitempty"`
}

// BucketConfig are the documents that the gateway keeps with a bucket, by its own names, in its own form.
type BucketConfig map[string]json.RawMessage

// Name is what a user, a group or a policy is found by in a Map.
type Name struct {
	Account string
	Folded  string // FoldName's
}

// NameOf is the Name of what is called name in an account.
func NameOf(account, name string) Name { return Name{account, FoldName(name)} }

// FoldName is what names of users, groups and policies are compared by.
func FoldName(name string) string { return strings.ToLower(name) }
