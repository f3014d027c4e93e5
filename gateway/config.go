package gateway

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/sherd-io/sherd/gateway/acl"
	"github.com/sherd-io/sherd/gateway/cors"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/internal/ids"
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

// documentCache keeps the parsed documents of buckets while their rows stay as they are. The zero value is ready. Safe for
// concurrent use.
type documentCache struct {
	all sync.Map // ids.Bucket to *documents
}

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
	c.all.Store(b.ID, d)
	return d, nil
}

// forget drops what is kept of a bucket that is gone.
func (c *documentCache) forget(id ids.Bucket) { c.all.Delete(id) }

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
