package policy

import "strings"

// Resource is the kind of resource that an action is about.
type Resource uint8

// Kinds of resources.
const (
	ServiceResource Resource = 1 << iota // no resource of its own: a policy gives it on "*"
	BucketResource                       // arn:aws:s3:::bucket
	ObjectResource                       // arn:aws:s3:::bucket/key
	OtherResource                        // access points, jobs and the like, which there are none of
)

// ResourceOf is the kind of resource of an action of S3 ("s3:GetObject", in any case). It is false if there is no such action.
func ResourceOf(name string) (Resource, bool) {
	for i := range actions {
		if len(name) == len(actions[i].name) && equalFold(name, actions[i].name) {
			return actions[i].resource, true
		}
	}
	return 0, false
}

// action is one row of the table of S3's actions.
type action struct {
	name     string
	resource Resource
	keys     keySet // the condition keys of S3 that it has besides those that all actions have
}

// keySet is a set of rows of the table of S3's condition keys.
type keySet uint32

const (
	listKeys       keySet = 1 << iota // prefix, delimiter, max-keys
	versionKey                        // versionid
	existingTags                      // ExistingObjectTag/…
	requestTags                       // RequestObjectTag/…, RequestObjectTagKeys
	aclKeys                           // x-amz-acl, x-amz-grant-…
	writeKeys                         // x-amz-copy-source and what else may be sent with an object
	storageKey                        // x-amz-storage-class
	encryptionKeys                    // x-amz-server-side-encryption…
	retentionKey                      // object-lock-mode, -retain-until-date, -remaining-retention-days
	holdKey                           // object-lock-legal-hold
	regionKey                         // locationconstraint
	ownershipKey                      // x-amz-object-ownership
	matchKeys                         // if-match, if-none-match
	jobKeys                           // of batch jobs
	inventoryKey                      // InventoryAccessibleOptionalFields
	everyAction    keySet = 1<<31 - 1
)

const putObjectKeys = requestTags | aclKeys | writeKeys | storageKey | encryptionKeys | retentionKey | holdKey | matchKeys

// actions are those that S3 has for general purpose buckets, and the others by name, so that policies that name them are
// understood. Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3".
var actions = []action{
	{"s3:AbortMultipartUpload", ObjectResource, 0},
	{"s3:AssociateAccessGrantsIdentityCenter", OtherResource, 0},
	{"s3:BypassGovernanceRetention", ObjectResource, putObjectKeys},
	{"s3:CreateAccessGrant", OtherResource, 0},
	{"s3:CreateAccessGrantsInstance", OtherResource, 0},
	{"s3:CreateAccessGrantsLocation", OtherResource, 0},
	{"s3:CreateAccessPoint", OtherResource, 0},
	{"s3:CreateAccessPointForObjectLambda", OtherResource, 0},
	{"s3:CreateBucket", BucketResource, aclKeys | regionKey | ownershipKey},
	{"s3:CreateBucketMetadataTableConfiguration", BucketResource, 0},
	{"s3:CreateJob", ServiceResource, jobKeys},
	{"s3:CreateMultiRegionAccessPoint", OtherResource, 0},
	{"s3:CreateStorageLensGroup", OtherResource, 0},
	{"s3:DeleteAccessGrant", OtherResource, 0},
	{"s3:DeleteAccessGrantsInstance", OtherResource, 0},
	{"s3:DeleteAccessGrantsInstanceResourcePolicy", OtherResource, 0},
	{"s3:DeleteAccessGrantsLocation", OtherResource, 0},
	{"s3:DeleteAccessPoint", OtherResource, 0},
	{"s3:DeleteAccessPointForObjectLambda", OtherResource, 0},
	{"s3:DeleteAccessPointPolicy", OtherResource, 0},
	{"s3:DeleteAccessPointPolicyForObjectLambda", OtherResource, 0},
	{"s3:DeleteBucket", BucketResource, 0},
	{"s3:DeleteBucketMetadataTableConfiguration", BucketResource, 0},
	{"s3:DeleteBucketPolicy", BucketResource, 0},
	{"s3:DeleteBucketWebsite", BucketResource, 0},
	{"s3:DeleteJobTagging", OtherResource, jobKeys},
	{"s3:DeleteMultiRegionAccessPoint", OtherResource, 0},
	{"s3:DeleteObject", ObjectResource, matchKeys},
	{"s3:DeleteObjectTagging", ObjectResource, existingTags},
	{"s3:DeleteObjectVersion", ObjectResource, versionKey | matchKeys},
	{"s3:DeleteObjectVersionTagging", ObjectResource, existingTags | versionKey},
	{"s3:DeleteStorageLensConfiguration", OtherResource, 0},
	{"s3:DeleteStorageLensConfigurationTagging", OtherResource, 0},
	{"s3:DeleteStorageLensGroup", OtherResource, 0},
	{"s3:DescribeJob", OtherResource, 0},
	{"s3:DescribeMultiRegionAccessPointOperation", OtherResource, 0},
	{"s3:DissociateAccessGrantsIdentityCenter", OtherResource, 0},
	{"s3:GetAccelerateConfiguration", BucketResource, 0},
	{"s3:GetAccessGrant", OtherResource, 0},
	{"s3:GetAccessGrantsInstance", OtherResource, 0},
	{"s3:GetAccessGrantsInstanceForPrefix", OtherResource, 0},
	{"s3:GetAccessGrantsInstanceResourcePolicy", OtherResource, 0},
	{"s3:GetAccessGrantsLocation", OtherResource, 0},
	{"s3:GetAccessPoint", ServiceResource, 0},
	{"s3:GetAccessPointConfigurationForObjectLambda", OtherResource, 0},
	{"s3:GetAccessPointForObjectLambda", OtherResource, 0},
	{"s3:GetAccessPointPolicy", OtherResource, 0},
	{"s3:GetAccessPointPolicyForObjectLambda", OtherResource, 0},
	{"s3:GetAccessPointPolicyStatus", OtherResource, 0},
	{"s3:GetAccessPointPolicyStatusForObjectLambda", OtherResource, 0},
	{"s3:GetAccountPublicAccessBlock", ServiceResource, 0},
	{"s3:GetAnalyticsConfiguration", BucketResource, 0},
	{"s3:GetBucketAbac", BucketResource, 0},
	{"s3:GetBucketAcl", BucketResource, 0},
	{"s3:GetBucketCORS", BucketResource, 0},
	{"s3:GetBucketLocation", BucketResource, 0},
	{"s3:GetBucketLogging", BucketResource, 0},
	{"s3:GetBucketMetadataTableConfiguration", BucketResource, 0},
	{"s3:GetBucketNotification", BucketResource, 0},
	{"s3:GetBucketObjectLockConfiguration", BucketResource, 0},
	{"s3:GetBucketOwnershipControls", BucketResource, 0},
	{"s3:GetBucketPolicy", BucketResource, 0},
	{"s3:GetBucketPolicyStatus", BucketResource, 0},
	{"s3:GetBucketPublicAccessBlock", BucketResource, 0},
	{"s3:GetBucketRequestPayment", BucketResource, 0},
	{"s3:GetBucketTagging", BucketResource, 0},
	{"s3:GetBucketVersioning", BucketResource, 0},
	{"s3:GetBucketWebsite", BucketResource, 0},
	{"s3:GetDataAccess", OtherResource, 0},
	{"s3:GetEncryptionConfiguration", BucketResource, 0},
	{"s3:GetIntelligentTieringConfiguration", BucketResource, 0},
	{"s3:GetInventoryConfiguration", BucketResource, 0},
	{"s3:GetJobTagging", OtherResource, 0},
	{"s3:GetLifecycleConfiguration", BucketResource, 0},
	{"s3:GetMetricsConfiguration", BucketResource, 0},
	{"s3:GetMultiRegionAccessPoint", OtherResource, 0},
	{"s3:GetMultiRegionAccessPointPolicy", OtherResource, 0},
	{"s3:GetMultiRegionAccessPointPolicyStatus", OtherResource, 0},
	{"s3:GetMultiRegionAccessPointRoutes", OtherResource, 0},
	{"s3:GetObject", ObjectResource, existingTags | matchKeys},
	{"s3:GetObjectAcl", ObjectResource, existingTags},
	{"s3:GetObjectAttributes", ObjectResource, existingTags},
	{"s3:GetObjectLegalHold", ObjectResource, 0},
	{"s3:GetObjectRetention", ObjectResource, 0},
	{"s3:GetObjectTagging", ObjectResource, existingTags},
	{"s3:GetObjectTorrent", ObjectResource, 0},
	{"s3:GetObjectVersion", ObjectResource, existingTags | versionKey | matchKeys},
	{"s3:GetObjectVersionAcl", ObjectResource, existingTags | versionKey},
	{"s3:GetObjectVersionAttributes", ObjectResource, existingTags | versionKey},
	{"s3:GetObjectVersionForReplication", ObjectResource, 0},
	{"s3:GetObjectVersionTagging", ObjectResource, existingTags | versionKey},
	{"s3:GetObjectVersionTorrent", ObjectResource, versionKey},
	{"s3:GetReplicationConfiguration", BucketResource, 0},
	{"s3:GetStorageLensConfiguration", OtherResource, 0},
	{"s3:GetStorageLensConfigurationTagging", OtherResource, 0},
	{"s3:GetStorageLensDashboard", OtherResource, 0},
	{"s3:GetStorageLensGroup", OtherResource, 0},
	{"s3:InitiateReplication", ObjectResource, 0},
	{"s3:ListAccessGrants", OtherResource, 0},
	{"s3:ListAccessGrantsInstances", OtherResource, 0},
	{"s3:ListAccessGrantsLocations", OtherResource, 0},
	{"s3:ListAccessPoints", ServiceResource, 0},
	{"s3:ListAccessPointsForObjectLambda", ServiceResource, 0},
	{"s3:ListAllMyBuckets", ServiceResource, 0},
	{"s3:ListBucket", BucketResource, listKeys},
	{"s3:ListBucketMultipartUploads", BucketResource, 0},
	{"s3:ListBucketVersions", BucketResource, listKeys},
	{"s3:ListCallerAccessGrants", OtherResource, 0},
	{"s3:ListJobs", ServiceResource, 0},
	{"s3:ListMultiRegionAccessPoints", ServiceResource, 0},
	{"s3:ListMultipartUploadParts", ObjectResource, 0},
	{"s3:ListStorageLensConfigurations", ServiceResource, 0},
	{"s3:ListStorageLensGroups", ServiceResource, 0},
	{"s3:ListTagsForResource", OtherResource, 0},
	{"s3:ObjectOwnerOverrideToBucketOwner", ObjectResource, 0},
	{"s3:PauseReplication", BucketResource, 0},
	{"s3:PutAccelerateConfiguration", BucketResource, 0},
	{"s3:PutAccessGrantsInstanceResourcePolicy", OtherResource, 0},
	{"s3:PutAccessPointConfigurationForObjectLambda", OtherResource, 0},
	{"s3:PutAccessPointPolicy", OtherResource, 0},
	{"s3:PutAccessPointPolicyForObjectLambda", OtherResource, 0},
	{"s3:PutAccessPointPublicAccessBlock", OtherResource, 0},
	{"s3:PutAccountPublicAccessBlock", ServiceResource, 0},
	{"s3:PutAnalyticsConfiguration", BucketResource, 0},
	{"s3:PutBucketAbac", BucketResource, 0},
	{"s3:PutBucketAcl", BucketResource, aclKeys},
	{"s3:PutBucketCORS", BucketResource, 0},
	{"s3:PutBucketLogging", BucketResource, 0},
	{"s3:PutBucketNotification", BucketResource, 0},
	{"s3:PutBucketObjectLockConfiguration", BucketResource, 0},
	{"s3:PutBucketOwnershipControls", BucketResource, 0},
	{"s3:PutBucketPolicy", BucketResource, 0},
	{"s3:PutBucketPublicAccessBlock", BucketResource, 0},
	{"s3:PutBucketRequestPayment", BucketResource, 0},
	{"s3:PutBucketTagging", BucketResource, 0},
	{"s3:PutBucketVersioning", BucketResource, 0},
	{"s3:PutBucketWebsite", BucketResource, 0},
	{"s3:PutEncryptionConfiguration", BucketResource, 0},
	{"s3:PutIntelligentTieringConfiguration", BucketResource, 0},
	{"s3:PutInventoryConfiguration", BucketResource, inventoryKey},
	{"s3:PutJobTagging", OtherResource, jobKeys},
	{"s3:PutLifecycleConfiguration", BucketResource, 0},
	{"s3:PutMetricsConfiguration", BucketResource, 0},
	{"s3:PutMultiRegionAccessPointPolicy", OtherResource, 0},
	{"s3:PutObject", ObjectResource, putObjectKeys},
	{"s3:PutObjectAcl", ObjectResource, existingTags | aclKeys | storageKey},
	{"s3:PutObjectLegalHold", ObjectResource, holdKey},
	{"s3:PutObjectRetention", ObjectResource, retentionKey},
	{"s3:PutObjectTagging", ObjectResource, existingTags | requestTags},
	{"s3:PutObjectVersionAcl", ObjectResource, existingTags | aclKeys | storageKey | versionKey},
	{"s3:PutObjectVersionTagging", ObjectResource, existingTags | requestTags | versionKey},
	{"s3:PutReplicationConfiguration", BucketResource, 0},
	{"s3:PutStorageLensConfiguration", ServiceResource, 0},
	{"s3:PutStorageLensConfigurationTagging", OtherResource, 0},
	{"s3:ReplicateDelete", ObjectResource, 0},
	{"s3:ReplicateObject", ObjectResource, encryptionKeys},
	{"s3:ReplicateTags", ObjectResource, 0},
	{"s3:RestoreObject", ObjectResource, 0},
	{"s3:SubmitMultiRegionAccessPointRoutes", OtherResource, 0},
	{"s3:TagResource", OtherResource, 0},
	{"s3:UntagResource", OtherResource, 0},
	{"s3:UpdateAccessGrantsLocation", OtherResource, 0},
	{"s3:UpdateJobPriority", OtherResource, jobKeys},
	{"s3:UpdateJobStatus", OtherResource, jobKeys},
	{"s3:UpdateObjectEncryption", ObjectResource, 0},
	{"s3:UpdateStorageLensGroup", OtherResource, 0},
}

// conditionKey is one row of the table of condition keys that bucket policies may look at.
type conditionKey struct {
	name string // a trailing slash: a name follows
	of   keySet // the actions that have it; everyAction: all
}

// conditionKeys are the keys of S3, and the global ones. Source: Service Authorization Reference, as above; IAM User Guide, "AWS
// global condition context keys".
var conditionKeys = []conditionKey{
	{"s3:AccessGrantsInstanceArn", everyAction},
	{"s3:AccessPointNetworkOrigin", everyAction},
	{"s3:AccessPointTag/", everyAction},
	{"s3:BucketTag/", everyAction},
	{"s3:DataAccessPointAccount", everyAction},
	{"s3:DataAccessPointArn", everyAction},
	{"s3:ExistingJobOperation", jobKeys},
	{"s3:ExistingJobPriority", jobKeys},
	{"s3:ExistingObjectTag/", existingTags},
	{"s3:InventoryAccessibleOptionalFields", inventoryKey},
	{"s3:JobSuspendedCause", jobKeys},
	{"s3:ObjectCreationOperation", writeKeys},
	{"s3:RequestJobOperation", jobKeys},
	{"s3:RequestJobPriority", jobKeys},
	{"s3:RequestObjectTag/", requestTags},
	{"s3:RequestObjectTagKeys", requestTags},
	{"s3:ResourceAccount", everyAction},
	{"s3:TlsVersion", everyAction},
	{"s3:authType", everyAction},
	{"s3:delimiter", listKeys},
	{"s3:if-match", matchKeys},
	{"s3:if-none-match", matchKeys},
	{"s3:locationconstraint", regionKey},
	{"s3:max-keys", listKeys},
	{"s3:object-lock-legal-hold", holdKey},
	{"s3:object-lock-mode", retentionKey},
	{"s3:object-lock-remaining-retention-days", retentionKey},
	{"s3:object-lock-retain-until-date", retentionKey},
	{"s3:prefix", listKeys},
	{"s3:signatureAge", everyAction},
	{"s3:signatureversion", everyAction},
	{"s3:versionid", versionKey},
	{"s3:x-amz-acl", aclKeys},
	{"s3:x-amz-content-sha256", everyAction},
	{"s3:x-amz-copy-source", writeKeys},
	{"s3:x-amz-grant-full-control", aclKeys},
	{"s3:x-amz-grant-read", aclKeys},
	{"s3:x-amz-grant-read-acp", aclKeys},
	{"s3:x-amz-grant-write", aclKeys},
	{"s3:x-amz-grant-write-acp", aclKeys},
	{"s3:x-amz-metadata-directive", writeKeys},
	{"s3:x-amz-object-ownership", ownershipKey},
	{"s3:x-amz-server-side-encryption", encryptionKeys},
	{"s3:x-amz-server-side-encryption-aws-kms-key-id", encryptionKeys},
	{"s3:x-amz-server-side-encryption-customer-algorithm", encryptionKeys},
	{"s3:x-amz-storage-class", storageKey},
	{"s3:x-amz-website-redirect-location", writeKeys},

	{"aws:AssumedRoot", everyAction},
	{"aws:CalledVia", everyAction},
	{"aws:CalledViaFirst", everyAction},
	{"aws:CalledViaLast", everyAction},
	{"aws:CurrentTime", everyAction},
	{"aws:Ec2InstanceSourcePrivateIPv4", everyAction},
	{"aws:Ec2InstanceSourceVpc", everyAction},
	{"aws:EpochTime", everyAction},
	{"aws:FederatedProvider", everyAction},
	{"aws:MultiFactorAuthAge", everyAction},
	{"aws:MultiFactorAuthPresent", everyAction},
	{"aws:PrincipalAccount", everyAction},
	{"aws:PrincipalArn", everyAction},
	{"aws:PrincipalIsAWSService", everyAction},
	{"aws:PrincipalOrgID", everyAction},
	{"aws:PrincipalOrgPaths", everyAction},
	{"aws:PrincipalServiceName", everyAction},
	{"aws:PrincipalServiceNamesList", everyAction},
	{"aws:PrincipalTag/", everyAction},
	{"aws:PrincipalType", everyAction},
	{"aws:RequestTag/", everyAction},
	{"aws:RequestedRegion", everyAction},
	{"aws:ResourceAccount", everyAction},
	{"aws:ResourceOrgID", everyAction},
	{"aws:ResourceOrgPaths", everyAction},
	{"aws:ResourceTag/", everyAction},
	{"aws:SecureTransport", everyAction},
	{"aws:SourceAccount", everyAction},
	{"aws:SourceArn", everyAction},
	{"aws:SourceIdentity", everyAction},
	{"aws:SourceIp", everyAction},
	{"aws:SourceOrgID", everyAction},
	{"aws:SourceOrgPaths", everyAction},
	{"aws:SourceOwner", everyAction},
	{"aws:SourceVpc", everyAction},
	{"aws:SourceVpcArn", everyAction},
	{"aws:SourceVpce", everyAction},
	{"aws:TagKeys", everyAction},
	{"aws:TokenIssueTime", everyAction},
	{"aws:UserAgent", everyAction},
	{"aws:ViaAWSService", everyAction},
	{"aws:VpceAccount", everyAction},
	{"aws:VpceOrgID", everyAction},
	{"aws:VpceOrgPaths", everyAction},
	{"aws:VpcSourceIp", everyAction},
	{"aws:referer", everyAction},
	{"aws:userid", everyAction},
	{"aws:username", everyAction},
}

// findKey is the row of a key in lower case, nil if there is none.
func findKey(key string) *conditionKey {
	for i := range conditionKeys {
		name := conditionKeys[i].name
		n := len(name)
		if len(key) < n || !equalFold(key[:n], name) {
			continue
		}
		if len(key) == n != strings.HasSuffix(name, "/") {
			return &conditionKeys[i]
		}
	}
	return nil
}
