package gateway

import (
	"net/http"
	"strings"
)

// scope is what a request is about.
type scope uint8

const (
	service scope = iota
	ofBucket
	ofObject
	scopes
)

func (s scope) resource() string { return [...]string{"SERVICE", "BUCKET", "OBJECT"}[s] }

// op is one row of the table of operations: how a request is recognised, and what S3 and IAM call it.
type op struct {
	name      string
	scope     scope
	method    string
	sub       string               // the query parameter that selects it; "": none
	sub2      string               // a second one that must be there too
	header    string               // a request header that selects it, canonical
	action    string               // IAM's name for the permission
	ofVersion string               // its name where a version is named; "": the same
	asks      bool                 // the handler asks for permission itself: what it needs depends on more than the request's line
	handle    func(*request) error // nil: 501 NotImplemented
	note      string               // for docs/s3-compatibility.md

	index int // in the table; set by newOpTable
}

const (
	get  = http.MethodGet
	head = http.MethodHead
	put  = http.MethodPut
	post = http.MethodPost
	del  = http.MethodDelete
)

const copySource = "X-Amz-Copy-Source"

// operations is the table. Within a scope and method the first row that fits is taken, so rows with more
// conditions come first and the plain one last.
var operations = []op{
	{name: "IAMQuery", scope: service, method: get, sub: "Action", asks: true, handle: (*request).serveIAM, note: "the same in a URL"},
	{name: "ListBuckets", scope: service, method: get, action: "s3:ListAllMyBuckets", handle: (*request).listBuckets, note: "paging, prefix, bucket-region"},

	{name: "IAM", scope: service, method: post, asks: true, handle: (*request).serveIAM, note: "the query APIs of IAM and STS: docs/iam.md"},

	{name: "CreateBucket", scope: ofBucket, method: put, action: "s3:CreateBucket", asks: true, handle: (*request).createBucket, note: "LocationConstraint is kept; ACL, ownership, object lock, tags"},
	{name: "HeadBucket", scope: ofBucket, method: head, action: "s3:ListBucket", handle: (*request).headBucket},
	{name: "DeleteBucket", scope: ofBucket, method: del, action: "s3:DeleteBucket", handle: (*request).deleteBucket, note: "unfinished uploads are aborted"},
	{name: "GetBucketLocation", scope: ofBucket, method: get, sub: "location", action: "s3:GetBucketLocation", handle: (*request).getBucketLocation},
	{name: "ListMultipartUploads", scope: ofBucket, method: get, sub: "uploads", action: "s3:ListBucketMultipartUploads", handle: (*request).listUploads},
	{name: "ListObjectsV2", scope: ofBucket, method: get, sub: "list-type", action: "s3:ListBucket", handle: (*request).listObjectsV2},
	{name: "ListObjects", scope: ofBucket, method: get, action: "s3:ListBucket", handle: (*request).listObjectsV1},
	{name: "DeleteObjects", scope: ofBucket, method: post, sub: "delete", action: "s3:DeleteObject", ofVersion: "s3:DeleteObjectVersion", asks: true, handle: (*request).deleteObjects},

	{name: "UploadPartCopy", scope: ofObject, method: put, sub: "partNumber", sub2: "uploadId", header: copySource, action: "s3:PutObject", handle: (*request).uploadPartCopy},
	{name: "UploadPart", scope: ofObject, method: put, sub: "partNumber", sub2: "uploadId", action: "s3:PutObject", handle: (*request).uploadPart, note: "of an upload with a COMPOSITE checksum, each part with its own"},
	{name: "CopyObject", scope: ofObject, method: put, header: copySource, action: "s3:PutObject", handle: (*request).copyObject, note: "server side, up to 5 GiB; onto itself in a bucket without versions only metadata changes"},
	{name: "PutObject", scope: ofObject, method: put, action: "s3:PutObject", handle: (*request).putObject, note: "If-Match, If-None-Match; checksums in header and trailer; what is to be locked needs one, or Content-MD5; a website redirect is kept and shown; no encryption"},
	{name: "CreateMultipartUpload", scope: ofObject, method: post, sub: "uploads", action: "s3:PutObject", handle: (*request).createUpload},
	{name: "CompleteMultipartUpload", scope: ofObject, method: post, sub: "uploadId", action: "s3:PutObject", handle: (*request).completeUpload, note: "the same call gets the same answer for 7 days; a COMPOSITE checksum wants that of each part"},
	{name: "AbortMultipartUpload", scope: ofObject, method: del, sub: "uploadId", action: "s3:AbortMultipartUpload", asks: true, handle: (*request).abortUpload},
	{name: "ListParts", scope: ofObject, method: get, sub: "uploadId", action: "s3:ListMultipartUploadParts", asks: true, handle: (*request).listParts},
	{name: "GetObject", scope: ofObject, method: get, action: "s3:GetObject", ofVersion: "s3:GetObjectVersion", asks: true, handle: (*request).getObject, note: "one range; partNumber; conditions; response-* overrides"},
	{name: "HeadObject", scope: ofObject, method: head, action: "s3:GetObject", ofVersion: "s3:GetObjectVersion", asks: true, handle: (*request).headObject},
	{name: "DeleteObject", scope: ofObject, method: del, action: "s3:DeleteObject", ofVersion: "s3:DeleteObjectVersion", handle: (*request).deleteObject, note: "If-Match, x-amz-if-match-size, x-amz-if-match-last-modified-time"},

	// Sub-resources of buckets, then of objects, by their names. A row without a handler is answered with 501.
	{name: "GetBucketAcl", scope: ofBucket, method: get, sub: "acl", action: "s3:GetBucketAcl", handle: (*request).getBucketACL},
	{name: "PutBucketAcl", scope: ofBucket, method: put, sub: "acl", action: "s3:PutBucketAcl", handle: (*request).putBucketACL},
	{name: "GetBucketAbac", scope: ofBucket, method: get, sub: "abac", action: "s3:GetBucketAbac", handle: (*request).getABAC, note: "off"},
	{name: "PutBucketAbac", scope: ofBucket, method: put, sub: "abac", action: "s3:PutBucketAbac", handle: (*request).putABAC, note: "off only"},
	{name: "GetBucketAccelerateConfiguration", scope: ofBucket, method: get, sub: "accelerate", action: "s3:GetAccelerateConfiguration", handle: (*request).getAcceleration},
	{name: "PutBucketAccelerateConfiguration", scope: ofBucket, method: put, sub: "accelerate", action: "s3:PutAccelerateConfiguration", handle: (*request).putAcceleration, note: "kept and shown"},
	{name: "GetBucketAnalyticsConfiguration", scope: ofBucket, method: get, sub: "analytics", action: "s3:GetAnalyticsConfiguration", note: "and its list"},
	{name: "PutBucketAnalyticsConfiguration", scope: ofBucket, method: put, sub: "analytics", action: "s3:PutAnalyticsConfiguration"},
	{name: "DeleteBucketAnalyticsConfiguration", scope: ofBucket, method: del, sub: "analytics", action: "s3:PutAnalyticsConfiguration"},
	{name: "GetBucketCors", scope: ofBucket, method: get, sub: "cors", action: "s3:GetBucketCORS", handle: (*request).getBucketCors},
	{name: "PutBucketCors", scope: ofBucket, method: put, sub: "cors", action: "s3:PutBucketCORS", handle: (*request).putBucketCors},
	{name: "DeleteBucketCors", scope: ofBucket, method: del, sub: "cors", action: "s3:PutBucketCORS", handle: (*request).deleteBucketCors},
	{name: "GetBucketEncryption", scope: ofBucket, method: get, sub: "encryption", action: "s3:GetEncryptionConfiguration", handle: absent("ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found"), note: "none: bodies are not encrypted at rest yet"},
	{name: "PutBucketEncryption", scope: ofBucket, method: put, sub: "encryption", action: "s3:PutEncryptionConfiguration"},
	{name: "DeleteBucketEncryption", scope: ofBucket, method: del, sub: "encryption", action: "s3:PutEncryptionConfiguration", handle: (*request).deleteNone, note: "there is none"},
	{name: "GetBucketIntelligentTieringConfiguration", scope: ofBucket, method: get, sub: "intelligent-tiering", action: "s3:GetIntelligentTieringConfiguration", note: "and its list"},
	{name: "PutBucketIntelligentTieringConfiguration", scope: ofBucket, method: put, sub: "intelligent-tiering", action: "s3:PutIntelligentTieringConfiguration"},
	{name: "DeleteBucketIntelligentTieringConfiguration", scope: ofBucket, method: del, sub: "intelligent-tiering", action: "s3:PutIntelligentTieringConfiguration"},
	{name: "GetBucketInventoryConfiguration", scope: ofBucket, method: get, sub: "inventory", action: "s3:GetInventoryConfiguration", note: "and its list"},
	{name: "PutBucketInventoryConfiguration", scope: ofBucket, method: put, sub: "inventory", action: "s3:PutInventoryConfiguration"},
	{name: "DeleteBucketInventoryConfiguration", scope: ofBucket, method: del, sub: "inventory", action: "s3:PutInventoryConfiguration"},
	{name: "GetBucketLifecycleConfiguration", scope: ofBucket, method: get, sub: "lifecycle", action: "s3:GetLifecycleConfiguration", handle: absent("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"), note: "none"},
	{name: "PutBucketLifecycleConfiguration", scope: ofBucket, method: put, sub: "lifecycle", action: "s3:PutLifecycleConfiguration"},
	{name: "DeleteBucketLifecycle", scope: ofBucket, method: del, sub: "lifecycle", action: "s3:PutLifecycleConfiguration", handle: (*request).deleteNone, note: "there is none"},
	{name: "GetBucketLogging", scope: ofBucket, method: get, sub: "logging", action: "s3:GetBucketLogging", handle: (*request).getBucketLogging, note: "none"},
	{name: "PutBucketLogging", scope: ofBucket, method: put, sub: "logging", action: "s3:PutBucketLogging", handle: (*request).putBucketLogging, note: "off only"},
	{name: "CreateBucketMetadataConfiguration", scope: ofBucket, method: post, sub: "metadataConfiguration", action: "s3:CreateBucketMetadataTableConfiguration"},
	{name: "GetBucketMetadataConfiguration", scope: ofBucket, method: get, sub: "metadataConfiguration", action: "s3:GetBucketMetadataTableConfiguration"},
	{name: "DeleteBucketMetadataConfiguration", scope: ofBucket, method: del, sub: "metadataConfiguration", action: "s3:DeleteBucketMetadataTableConfiguration"},
	{name: "CreateBucketMetadataTableConfiguration", scope: ofBucket, method: post, sub: "metadataTable", action: "s3:CreateBucketMetadataTableConfiguration"},
	{name: "GetBucketMetadataTableConfiguration", scope: ofBucket, method: get, sub: "metadataTable", action: "s3:GetBucketMetadataTableConfiguration"},
	{name: "DeleteBucketMetadataTableConfiguration", scope: ofBucket, method: del, sub: "metadataTable", action: "s3:DeleteBucketMetadataTableConfiguration"},
	{name: "GetBucketMetricsConfiguration", scope: ofBucket, method: get, sub: "metrics", action: "s3:GetMetricsConfiguration", note: "and its list"},
	{name: "PutBucketMetricsConfiguration", scope: ofBucket, method: put, sub: "metrics", action: "s3:PutMetricsConfiguration"},
	{name: "DeleteBucketMetricsConfiguration", scope: ofBucket, method: del, sub: "metrics", action: "s3:PutMetricsConfiguration"},
	{name: "GetBucketNotificationConfiguration", scope: ofBucket, method: get, sub: "notification", action: "s3:GetBucketNotification", handle: (*request).getNotification, note: "none"},
	{name: "PutBucketNotificationConfiguration", scope: ofBucket, method: put, sub: "notification", action: "s3:PutBucketNotification", handle: (*request).putNotification, note: "an empty one"},
	{name: "GetObjectLockConfiguration", scope: ofBucket, method: get, sub: "object-lock", action: "s3:GetBucketObjectLockConfiguration", handle: (*request).getLockConfiguration},
	{name: "PutObjectLockConfiguration", scope: ofBucket, method: put, sub: "object-lock", action: "s3:PutBucketObjectLockConfiguration", handle: (*request).putLockConfiguration},
	{name: "GetBucketOwnershipControls", scope: ofBucket, method: get, sub: "ownershipControls", action: "s3:GetBucketOwnershipControls", handle: (*request).getOwnershipControls},
	{name: "PutBucketOwnershipControls", scope: ofBucket, method: put, sub: "ownershipControls", action: "s3:PutBucketOwnershipControls", handle: (*request).putOwnershipControls},
	{name: "DeleteBucketOwnershipControls", scope: ofBucket, method: del, sub: "ownershipControls", action: "s3:PutBucketOwnershipControls", handle: (*request).deleteOwnershipControls},
	{name: "GetBucketPolicy", scope: ofBucket, method: get, sub: "policy", action: "s3:GetBucketPolicy", handle: (*request).getBucketPolicy},
	{name: "PutBucketPolicy", scope: ofBucket, method: put, sub: "policy", action: "s3:PutBucketPolicy", handle: (*request).putBucketPolicy},
	{name: "DeleteBucketPolicy", scope: ofBucket, method: del, sub: "policy", action: "s3:DeleteBucketPolicy", handle: (*request).deleteBucketPolicy},
	{name: "GetBucketPolicyStatus", scope: ofBucket, method: get, sub: "policyStatus", action: "s3:GetBucketPolicyStatus", handle: (*request).getBucketPolicyStatus},
	{name: "GetPublicAccessBlock", scope: ofBucket, method: get, sub: "publicAccessBlock", action: "s3:GetBucketPublicAccessBlock", handle: (*request).getPublicAccessBlock, note: "none by default: buckets of AWS have all four since April 2023"},
	{name: "PutPublicAccessBlock", scope: ofBucket, method: put, sub: "publicAccessBlock", action: "s3:PutBucketPublicAccessBlock", handle: (*request).putPublicAccessBlock},
	{name: "DeletePublicAccessBlock", scope: ofBucket, method: del, sub: "publicAccessBlock", action: "s3:PutBucketPublicAccessBlock", handle: (*request).deletePublicAccessBlock},
	{name: "GetBucketReplication", scope: ofBucket, method: get, sub: "replication", action: "s3:GetReplicationConfiguration", handle: absent("ReplicationConfigurationNotFoundError", "The replication configuration was not found"), note: "none"},
	{name: "PutBucketReplication", scope: ofBucket, method: put, sub: "replication", action: "s3:PutReplicationConfiguration"},
	{name: "DeleteBucketReplication", scope: ofBucket, method: del, sub: "replication", action: "s3:PutReplicationConfiguration", handle: (*request).deleteNone, note: "there is none"},
	{name: "GetBucketRequestPayment", scope: ofBucket, method: get, sub: "requestPayment", action: "s3:GetBucketRequestPayment", handle: (*request).getRequestPayment},
	{name: "PutBucketRequestPayment", scope: ofBucket, method: put, sub: "requestPayment", action: "s3:PutBucketRequestPayment", handle: (*request).putRequestPayment, note: "kept and shown"},
	{name: "CreateSession", scope: ofBucket, method: get, sub: "session", action: "s3express:CreateSession", note: "directory buckets only"},
	{name: "GetBucketTagging", scope: ofBucket, method: get, sub: "tagging", action: "s3:GetBucketTagging", handle: (*request).getBucketTagging},
	{name: "PutBucketTagging", scope: ofBucket, method: put, sub: "tagging", action: "s3:PutBucketTagging", asks: true, handle: (*request).putBucketTagging},
	{name: "DeleteBucketTagging", scope: ofBucket, method: del, sub: "tagging", action: "s3:PutBucketTagging", handle: (*request).deleteBucketTagging},
	{name: "GetBucketVersioning", scope: ofBucket, method: get, sub: "versioning", action: "s3:GetBucketVersioning", handle: (*request).getVersioning},
	{name: "PutBucketVersioning", scope: ofBucket, method: put, sub: "versioning", action: "s3:PutBucketVersioning", handle: (*request).putVersioning, note: "no MFA delete"},
	{name: "ListObjectVersions", scope: ofBucket, method: get, sub: "versions", action: "s3:ListBucketVersions", handle: (*request).listVersions},
	{name: "GetBucketWebsite", scope: ofBucket, method: get, sub: "website", action: "s3:GetBucketWebsite", handle: absent("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"), note: "none"},
	{name: "PutBucketWebsite", scope: ofBucket, method: put, sub: "website", action: "s3:PutBucketWebsite"},
	{name: "DeleteBucketWebsite", scope: ofBucket, method: del, sub: "website", action: "s3:DeleteBucketWebsite", handle: (*request).deleteNone, note: "there is none"},
	{name: "PostObject", scope: ofBucket, method: post, action: "s3:PutObject", asks: true, handle: (*request).postObject, note: "browser forms; a file of more than 1 MiB with fields behind it is stored twice, and once removed"},
	{name: "PreflightRequest", scope: ofBucket, method: http.MethodOptions, action: "", asks: true, handle: (*request).preflight},

	{name: "PreflightRequest", scope: ofObject, method: http.MethodOptions, action: "", asks: true, handle: (*request).preflight},
	{name: "GetObjectAcl", scope: ofObject, method: get, sub: "acl", action: "s3:GetObjectAcl", ofVersion: "s3:GetObjectVersionAcl", asks: true, handle: (*request).getObjectACL},
	{name: "PutObjectAcl", scope: ofObject, method: put, sub: "acl", action: "s3:PutObjectAcl", ofVersion: "s3:PutObjectVersionAcl", asks: true, handle: (*request).putObjectACL},
	{name: "GetObjectAttributes", scope: ofObject, method: get, sub: "attributes", action: "s3:GetObjectAttributes", ofVersion: "s3:GetObjectVersionAttributes", asks: true, handle: (*request).getAttributes},
	{name: "UpdateObjectEncryption", scope: ofObject, method: put, sub: "encryption", action: "s3:UpdateObjectEncryption"},
	{name: "GetObjectLegalHold", scope: ofObject, method: get, sub: "legal-hold", action: "s3:GetObjectLegalHold", asks: true, handle: (*request).getLegalHold},
	{name: "PutObjectLegalHold", scope: ofObject, method: put, sub: "legal-hold", action: "s3:PutObjectLegalHold", asks: true, handle: (*request).putLegalHold},
	{name: "RenameObject", scope: ofObject, method: put, sub: "renameObject", action: "s3express:CreateSession", note: "directory buckets only"},
	{name: "RestoreObject", scope: ofObject, method: post, sub: "restore", action: "s3:RestoreObject"},
	{name: "GetObjectRetention", scope: ofObject, method: get, sub: "retention", action: "s3:GetObjectRetention", asks: true, handle: (*request).getRetention},
	{name: "PutObjectRetention", scope: ofObject, method: put, sub: "retention", action: "s3:PutObjectRetention", asks: true, handle: (*request).putRetention},
	{name: "SelectObjectContent", scope: ofObject, method: post, sub: "select", action: "s3:GetObject"},
	{name: "GetObjectTagging", scope: ofObject, method: get, sub: "tagging", action: "s3:GetObjectTagging", ofVersion: "s3:GetObjectVersionTagging", asks: true, handle: (*request).getObjectTagging},
	{name: "PutObjectTagging", scope: ofObject, method: put, sub: "tagging", action: "s3:PutObjectTagging", ofVersion: "s3:PutObjectVersionTagging", asks: true, handle: (*request).putObjectTagging},
	{name: "DeleteObjectTagging", scope: ofObject, method: del, sub: "tagging", action: "s3:DeleteObjectTagging", ofVersion: "s3:DeleteObjectVersionTagging", asks: true, handle: (*request).deleteObjectTagging},
	{name: "GetObjectTorrent", scope: ofObject, method: get, sub: "torrent", action: "s3:GetObjectTorrent"},
}

// opTable is operations, ready for looking up.
type opTable struct {
	all   []op
	lists [scopes]map[string]*opList // by method
	subs  map[string]bool            // all that select an operation, of whatever scope and method
}

// opList is the rows of one scope and method.
type opList struct {
	subs   []*op // selected by a query parameter
	header []*op // selected by a header only
	plain  *op   // neither; nil: there is none
}

func newOpTable(rows []op) *opTable {
	t := &opTable{all: make([]op, len(rows)), subs: map[string]bool{}}
	copy(t.all, rows)
	for i := range t.all {
		o := &t.all[i]
		o.index = i
		if t.lists[o.scope] == nil {
			t.lists[o.scope] = map[string]*opList{}
		}
		l := t.lists[o.scope][o.method]
		if l == nil {
			l = new(opList)
			t.lists[o.scope][o.method] = l
		}
		switch {
		case o.sub != "":
			l.subs, t.subs[o.sub] = append(l.subs, o), true
			if o.sub2 != "" {
				t.subs[o.sub2] = true
			}
		case o.header != "":
			l.header = append(l.header, o)
		case l.plain == nil:
			l.plain = o
		}
	}
	return t
}

// find is the row for r, or nil if the method fits nothing.
func (t *opTable) find(r *request) *op {
	l := t.lists[r.scope()][r.http.Method]
	if l == nil {
		return nil
	}
	if len(r.query) > 0 {
		for _, o := range l.subs {
			if r.query.has(o.sub) && (o.sub2 == "" || r.query.has(o.sub2)) && (o.header == "" || r.carries(o.header)) {
				return o
			}
		}
		if t.misdirected(r) {
			return nil
		}
	}
	for _, o := range l.header {
		if r.carries(o.header) { // an empty copy source is a mistake, not a PutObject of nothing
			return o
		}
	}
	return l.plain
}

// misdirected reports whether r would change something and names a sub-resource that its method has no operation
// for: DELETE /bucket/key?acl must not delete the object, nor PUT /bucket/key?uploadId=… without a number replace it.
func (t *opTable) misdirected(r *request) bool {
	if m := r.http.Method; m == get || m == head || m == http.MethodOptions { // which asks about what another method will change
		return false
	}
	for i := range r.query {
		if t.subs[r.query[i].name] {
			return true
		}
	}
	return false
}

// carries reports whether r has a header, given in canonical form, or the parameter that a presigned URL has in its
// place (adoptHoisted).
func (r *request) carries(header string) bool {
	if r.http.Header[header] != nil {
		return true
	}
	for i := range r.query {
		if strings.EqualFold(r.query[i].name, header) {
			return true
		}
	}
	return false
}
