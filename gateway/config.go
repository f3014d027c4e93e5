package gateway

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/sherd-io/sherd/gateway/acl"
	"github.com/sherd-io/sherd/gateway/cors"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/placement"
)

// Kinds of documents that are kept with a bucket, as keys of placement.BucketConfig. Each is JSON: a name is for ever.
const (
	configACL          = "acl"               // acl.ACL; none: the owner has full control
	configAcceleration = "acceleration"      // string: Enabled or Suspended
	configCORS         = "cors"              // cors.Config
	configOwnership    = "ownership"         // string; none: BucketOwnerEnforced
	configPayer        = "payer"             // string; none: BucketOwner
	configPolicy       = "policy"            // string: the document as it was given
	configPublicAccess = "publicAccessBlock" // s3xml.PublicAccessBlock; none: all of it is off
	configTags         = "tags"              // []s3xml.Tag
)

// Values of configOwnership. Source: "Controlling ownership of objects and disabling ACLs for your bucket".
const (
	ownerEnforced  = "BucketOwnerEnforced" // ACLs are off: everything in the bucket is its owner's
	ownerPreferred = "BucketOwnerPreferred"
	objectWriter   = "ObjectWriter"
	ownerUnsaid    = "" // was deleted: S3 takes it for objectWriter
)

// CheckOwnership refuses what is no object ownership of S3's; "" is the default.
func CheckOwnership(s string) error {
	switch s {
	case "", ownerEnforced, ownerPreferred, objectWriter:
		return nil
	}
	return fmt.Errorf("gateway: object ownership %q: give %s, %s or %s", s, ownerEnforced, ownerPreferred, objectWriter)
}

// documents are what every request to a bucket has to know of its configuration, parsed. They are not changed once made.
type documents struct {
	of        *placement.Bucket
	policy    *policy.Policy // nil: none
	asksTags  bool           // it asks for an object's tags
	ownership string
	public    s3xml.PublicAccessBlock
	cors      *cors.Config // nil: none
	acl       *acl.ACL     // the bucket's own; nil: the owner has full control
}

// noDocuments are those of a bucket that has none.
var noDocuments = documents{ownership: ownerEnforced}

// aclsCount reports whether ACLs say who may do what.
func (d *documents) aclsCount() bool { return d.ownership != ownerEnforced }

// restricted reports whether what the policy allows counts for the owner's own account only.
func (d *documents) restricted() bool {
	return d.public.RestrictPublicBuckets && d.policy != nil && d.policy.Public()
}

// documentCache keeps the parsed documents of buckets while their rows stay as they are. Safe for concurrent use.
//
// Any gateway may delete a bucket, so this one cannot drop its documents when that happens. Instead it looks from time to time for
// buckets that are gone: whenever it has parsed as many documents as the last look left, and sweepAfter more. So it never holds
// many more than there are buckets with documents, and the looks cost no more than the parsing.
type documentCache struct {
	gone func(*placement.Bucket) bool // whether a bucket is not in the map any more
	all  sync.Map                     // ids.Bucket to *documents

	mu     sync.Mutex
	parsed int // since the last look; guarded by mu
	left   int // by the last look; guarded by mu
}

// sweepAfter is how many documents of buckets that are gone may pile up at least before the cache looks for them.
const sweepAfter = 64

// get is the documents of a bucket. An error is a document that this version does not understand: who may do what in the bucket is
// then not known.
func (c *documentCache) get(b *placement.Bucket) (*documents, error) {
	if len(b.Config) == 0 {
		return &noDocuments, nil
	}
	if kept, ok := c.all.Load(b.ID); ok {
		if d := kept.(*documents); d.of == b {
			return d, nil
		}
	}
	d, err := parseDocuments(b)
	if err != nil {
		return nil, fmt.Errorf("gateway: bucket %s: %w", b.Name, err)
	}
	c.keep(d)
	return d, nil
}

// keep stores the documents of a bucket, and drops those of buckets that are gone if it is time to.
func (c *documentCache) keep(d *documents) {
	c.all.Store(d.of.ID, d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed++; c.parsed < c.left+sweepAfter {
		return
	}
	c.parsed, c.left = 0, 0
	c.all.Range(func(id, kept any) bool {
		if c.gone(kept.(*documents).of) {
			c.all.Delete(id)
		} else {
			c.left++
		}
		return true
	})
}

func parseDocuments(b *placement.Bucket) (*documents, error) {
	d := noDocuments
	d.of = b
	for kind, into := range map[string]any{configOwnership: &d.ownership, configPublicAccess: &d.public, configCORS: &d.cors, configACL: &d.acl} {
		if raw := b.Config[kind]; raw != nil {
			if err := json.Unmarshal(raw, into); err != nil {
				return nil, fmt.Errorf("document %s: %w", kind, err)
			}
		}
	}
	if raw := b.Config[configPolicy]; raw != nil {
		var text string
		err := json.Unmarshal(raw, &text)
		if err == nil {
			d.policy, err = policy.ParseBucket(text, b.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("document %s: %w", configPolicy, err)
		}
		d.asksTags = d.policy.Asks(existingTagKey)
	}
	return &d, nil
}
