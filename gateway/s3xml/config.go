package s3xml

import "io"

// Versioning is a bucket's VersioningConfiguration.
type Versioning struct {
	Status    string // Enabled, Suspended; "": never enabled (S3 refuses to put it: IllegalVersioningConfigurationException)
	MFADelete string // Enabled, Disabled, ""
}

// ReadVersioning reads the body of PutBucketVersioning.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadVersioning(r io.Reader) (Versioning, error) {
	return readConfig(r, "VersioningConfiguration", func(n *node) Versioning {
		n.only("Status", "MfaDelete")
		return Versioning{Status: n.child("Status").oneOf("Enabled", "Suspended"), MFADelete: n.child("MfaDelete").oneOf("Enabled", "Disabled")}
	})
}

// Append appends GetBucketVersioning's document.
func (v *Versioning) Append(b []byte) []byte {
	b = root(b, "VersioningConfiguration")
	b = optional(b, "Status", v.Status)
	b = optional(b, "MfaDelete", v.MFADelete)
	return closing(b, "VersioningConfiguration")
}

// PublicAccessBlock is a bucket's PublicAccessBlockConfiguration.
type PublicAccessBlock struct {
	BlockPublicACLs, IgnorePublicACLs, BlockPublicPolicy, RestrictPublicBuckets bool
}

// ReadPublicAccessBlock reads the body of PutPublicAccessBlock. What is not said is false.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadPublicAccessBlock(r io.Reader) (PublicAccessBlock, error) {
	return readConfig(r, "PublicAccessBlockConfiguration", func(n *node) PublicAccessBlock {
		n.only("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
		return PublicAccessBlock{BlockPublicACLs: n.child("BlockPublicAcls").flag(), IgnorePublicACLs: n.child("IgnorePublicAcls").flag(),
			BlockPublicPolicy: n.child("BlockPublicPolicy").flag(), RestrictPublicBuckets: n.child("RestrictPublicBuckets").flag()}
	})
}

// Append appends GetPublicAccessBlock's document.
func (p *PublicAccessBlock) Append(b []byte) []byte {
	b = root(b, "PublicAccessBlockConfiguration")
	b = boolean(b, "BlockPublicAcls", p.BlockPublicACLs)
	b = boolean(b, "IgnorePublicAcls", p.IgnorePublicACLs)
	b = boolean(b, "BlockPublicPolicy", p.BlockPublicPolicy)
	b = boolean(b, "RestrictPublicBuckets", p.RestrictPublicBuckets)
	return closing(b, "PublicAccessBlockConfiguration")
}

// ReadOwnership reads the body of PutBucketOwnershipControls: BucketOwnerEnforced, BucketOwnerPreferred or ObjectWriter.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadOwnership(r io.Reader) (string, error) {
	return readConfig(r, "OwnershipControls", func(n *node) string {
		n.only("Rule")
		rule := n.need("Rule")
		rule.only("ObjectOwnership")
		return rule.need("ObjectOwnership").oneOf("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
	})
}

// AppendOwnership appends GetBucketOwnershipControls' document.
func AppendOwnership(b []byte, ownership string) []byte {
	b = append(root(b, "OwnershipControls"), "<Rule>"...)
	b = element(b, "ObjectOwnership", ownership)
	return closing(append(b, "</Rule>"...), "OwnershipControls")
}

// AppendPolicyStatus appends GetBucketPolicyStatus's document.
func AppendPolicyStatus(b []byte, public bool) []byte {
	return closing(boolean(root(b, "PolicyStatus"), "IsPublic", public), "PolicyStatus")
}

// ReadRequestPayment reads the body of PutBucketRequestPayment: BucketOwner or Requester.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadRequestPayment(r io.Reader) (string, error) {
	return readConfig(r, "RequestPaymentConfiguration", func(n *node) string {
		n.only("Payer")
		return n.need("Payer").oneOf("BucketOwner", "Requester")
	})
}

// AppendRequestPayment appends GetBucketRequestPayment's document.
func AppendRequestPayment(b []byte, payer string) []byte {
	return closing(element(root(b, "RequestPaymentConfiguration"), "Payer", payer), "RequestPaymentConfiguration")
}

// ReadAccelerate reads the body of PutBucketAccelerateConfiguration: Enabled or Suspended.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadAccelerate(r io.Reader) (string, error) {
	return readConfig(r, "AccelerateConfiguration", func(n *node) string {
		n.only("Status")
		return n.need("Status").oneOf("Enabled", "Suspended")
	})
}

// AppendAccelerate appends GetBucketAccelerateConfiguration's document. Status is "" in a bucket that never had it.
func AppendAccelerate(b []byte, status string) []byte {
	return closing(optional(root(b, "AccelerateConfiguration"), "Status", status), "AccelerateConfiguration")
}

// AppendNoNotification appends GetBucketNotificationConfiguration's document of a bucket that has none.
func AppendNoNotification(b []byte) []byte {
	return closing(root(b, "NotificationConfiguration"), "NotificationConfiguration")
}

// Notification is whether a bucket's NotificationConfiguration names anybody who is to be told of anything.
type Notification bool

// ReadNotification reads the body of PutBucketNotificationConfiguration.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadNotification(r io.Reader) (Notification, error) {
	return readConfig(r, "NotificationConfiguration", func(n *node) Notification {
		n.only("TopicConfiguration", "QueueConfiguration", "CloudFunctionConfiguration", "EventBridgeConfiguration")
		return len(n.children) > 0
	})
}

// ABAC is whether policies may ask for a bucket's tags.
type ABAC bool

// ReadABAC reads the body of PutBucketAbac.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadABAC(r io.Reader) (ABAC, error) {
	return readConfig(r, "AbacStatus", func(n *node) ABAC {
		n.only("Status")
		return n.need("Status").oneOf("Enabled", "Disabled") == "Enabled"
	})
}

// Append appends GetBucketAbac's document.
func (a ABAC) Append(b []byte) []byte {
	status := "Disabled"
	if a {
		status = "Enabled"
	}
	return closing(element(root(b, "AbacStatus"), "Status", status), "AbacStatus")
}

// Logging is a bucket's BucketLoggingStatus. The zero one is off.
type Logging struct {
	Enabled                    bool
	TargetBucket, TargetPrefix string
	Grants                     []Grant // for the log's objects
	Partitioned                string  // the date source of partitioned prefixes: EventTime, DeliveryTime; "": simple prefixes
}

// ReadLogging reads the body of PutBucketLogging.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadLogging(r io.Reader) (*Logging, error) {
	return readConfig(r, "BucketLoggingStatus", func(n *node) *Logging {
		n.only("LoggingEnabled")
		l, on := new(Logging), n.child("LoggingEnabled")
		if on == nil {
			return l
		}
		on.only("TargetBucket", "TargetPrefix", "TargetGrants", "TargetObjectKeyFormat")
		l.Enabled, l.TargetBucket, l.TargetPrefix = true, on.need("TargetBucket").trimmed(), on.need("TargetPrefix").value()
		if grants := on.child("TargetGrants"); grants != nil {
			grants.only("Grant")
			l.Grants = grants.grants()
		}
		if format := on.child("TargetObjectKeyFormat"); format != nil {
			l.Partitioned = format.partitioned()
		}
		return l
	})
}

func (n *node) partitioned() string {
	n.only("SimplePrefix", "PartitionedPrefix")
	p := n.child("PartitionedPrefix")
	if (p == nil) == (n.child("SimplePrefix") == nil) {
		n.fail("one kind of prefix belongs here")
	}
	if p == nil {
		return ""
	}
	p.only("PartitionDateSource")
	return p.need("PartitionDateSource").oneOf("EventTime", "DeliveryTime")
}

// Append appends GetBucketLogging's document.
func (l *Logging) Append(b []byte) []byte {
	b = root(b, "BucketLoggingStatus")
	if l.Enabled {
		b = opening(b, "LoggingEnabled")
		b = element(b, "TargetBucket", l.TargetBucket)
		if len(l.Grants) > 0 {
			b = opening(b, "TargetGrants")
			for i := range l.Grants {
				b = l.Grants[i].append(b)
			}
			b = closing(b, "TargetGrants")
		}
		b = element(b, "TargetPrefix", l.TargetPrefix)
		if l.Partitioned != "" {
			b = append(b, "<TargetObjectKeyFormat><PartitionedPrefix>"...)
			b = element(b, "PartitionDateSource", l.Partitioned)
			b = append(b, "</PartitionedPrefix></TargetObjectKeyFormat>"...)
		}
		b = closing(b, "LoggingEnabled")
	}
	return closing(b, "BucketLoggingStatus")
}
