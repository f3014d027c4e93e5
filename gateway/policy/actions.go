package policy

import "strings"

// resourceKind is what an action is about.
type resourceKind uint8

// Kinds of resources.
const (
	serviceResource resourceKind = 1 << iota // no resource of its own: a policy gives it on "*"
	bucketResource                           // arn:aws:s3:::bucket
	objectResource                           // arn:aws:s3:::bucket/key
	otherResource                            // access points, jobs and the like, which there are none of
)

// action is one row of the table of S3's actions.
type action struct {
	name     string
	resource resourceKind
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
	{"s3:AbortMultipartUpload", objectResource, 0},
	{"s3:AssociateAccessGrantsIdentityCenter", otherResource, 0},
	{"s3:BypassGovernanceRetention", objectResource, putObjectKeys},
	{"s3:CreateAccessGrant", otherResource, 0},
	{"s3:CreateAccessGrantsInstance", otherResource, 0},
	{"s3:CreateAccessGrantsLocation", otherResource, 0},
	{"s3:CreateAccessPoint", otherResource, 0},
	{"s3:CreateAccessPointForObjectLambda", otherResource, 0},
	{"s3:CreateBucket", bucketResource, aclKeys | regionKey | ownershipKey},
	{"s3:CreateBucketMetadataTableConfiguration", bucketResource, 0},
	{"s3:CreateJob", serviceResource, jobKeys},
	{"s3:CreateMultiRegionAccessPoint", otherResource, 0},
	{"s3:CreateStorageLensGroup", otherResource, 0},
	{"s3:DeleteAccessGrant", otherResource, 0},
	{"s3:DeleteAccessGrantsInstance", otherResource, 0},
	{"s3:DeleteAccessGrantsInstanceResourcePolicy", otherResource, 0},
	{"s3:DeleteAccessGrantsLocation", otherResource, 0},
	{"s3:DeleteAccessPoint", otherResource, 0},
	{"s3:DeleteAccessPointForObjectLambda", otherResource, 0},
	{"s3:DeleteAccessPointPolicy", otherResource, 0},
	{"s3:DeleteAccessPointPolicyForObjectLambda", otherResource, 0},
	{"s3:DeleteBucket", bucketResource, 0},
	{"s3:DeleteBucketMetadataTableConfiguration", bucketResource, 0},
	{"s3:DeleteBucketPolicy", bucketResource, 0},
	{"s3:DeleteBucketWebsite", bucketResource, 0},
	{"s3:DeleteJobTagging", otherResource, jobKeys},
	{"s3:DeleteMultiRegionAccessPoint", otherResource, 0},
	{"s3:DeleteObject", objectResource, matchKeys},
	{"s3:DeleteObjectTagging", objectResource, existingTags},
	{"s3:DeleteObjectVersion", objectResource, versionKey | matchKeys},
	{"s3:DeleteObjectVersionTagging", objectResource, existingTags | versionKey},
	{"s3:DeleteStorageLensConfiguration", otherResource, 0},
	{"s3:DeleteStorageLensConfigurationTagging", otherResource, 0},
	{"s3:DeleteStorageLensGroup", otherResource, 0},
	{"s3:DescribeJob", otherResource, 0},
	{"s3:DescribeMultiRegionAccessPointOperation", otherResource, 0},
	{"s3:DissociateAccessGrantsIdentityCenter", otherResource, 0},
	{"s3:GetAccelerateConfiguration", bucketResource, 0},
	{"s3:GetAccessGrant", otherResource, 0},
	{"s3:GetAccessGrantsInstance", otherResource, 0},
	{"s3:GetAccessGrantsInstanceForPrefix", otherResource, 0},
	{"s3:GetAccessGrantsInstanceResourcePolicy", otherResource, 0},
	{"s3:GetAccessGrantsLocation", otherResource, 0},
	{"s3:GetAccessPoint", serviceResource, 0},
	{"s3:GetAccessPointConfigurationForObjectLambda", otherResource, 0},
	{"s3:GetAccessPointForObjectLambda", otherResource, 0},
	{"s3:GetAccessPointPolicy", otherResource, 0},
	{"s3:GetAccessPointPolicyForObjectLambda", otherResource, 0},
	{"s3:GetAccessPointPolicyStatus", otherResource, 0},
	{"s3:GetAccessPointPolicyStatusForObjectLambda", otherResource, 0},
	{"s3:GetAccountPublicAccessBlock", serviceResource, 0},
	{"s3:GetAnalyticsConfiguration", bucketResource, 0},
	{"s3:GetBucketAbac", bucketResource, 0},
	{"s3:GetBucketAcl", bucketResource, 0},
	{"s3:GetBucketCORS", bucketResource, 0},
	{"s3:GetBucketLocation", bucketResource, 0},
	{"s3:GetBucketLogging", bucketResource, 0},
	{"s3:GetBucketMetadataTableConfiguration", bucketResource, 0},
	{"s3:GetBucketNotification", bucketResource, 0},
	{"s3:GetBucketObjectLockConfiguration", bucketResource, 0},
	{"s3:GetBucketOwnershipControls", bucketResource, 0},
	{"s3:GetBucketPolicy", bucketResource, 0},
	{"s3:GetBucketPolicyStatus", bucketResource, 0},
	{"s3:GetBucketPublicAccessBlock", bucketResource, 0},
	{"s3:GetBucketRequestPayment", bucketResource, 0},
	{"s3:GetBucketTagging", bucketResource, 0},
	{"s3:GetBucketVersioning", bucketResource, 0},
	{"s3:GetBucketWebsite", bucketResource, 0},
	{"s3:GetDataAccess", otherResource, 0},
	{"s3:GetEncryptionConfiguration", bucketResource, 0},
	{"s3:GetIntelligentTieringConfiguration", bucketResource, 0},
	{"s3:GetInventoryConfiguration", bucketResource, 0},
	{"s3:GetJobTagging", otherResource, 0},
	{"s3:GetLifecycleConfiguration", bucketResource, 0},
	{"s3:GetMetricsConfiguration", bucketResource, 0},
	{"s3:GetMultiRegionAccessPoint", otherResource, 0},
	{"s3:GetMultiRegionAccessPointPolicy", otherResource, 0},
	{"s3:GetMultiRegionAccessPointPolicyStatus", otherResource, 0},
	{"s3:GetMultiRegionAccessPointRoutes", otherResource, 0},
	{"s3:GetObject", objectResource, existingTags | matchKeys},
	{"s3:GetObjectAcl", objectResource, existingTags},
	{"s3:GetObjectAttributes", objectResource, existingTags},
	{"s3:GetObjectLegalHold", objectResource, 0},
	{"s3:GetObjectRetention", objectResource, 0},
	{"s3:GetObjectTagging", objectResource, existingTags},
	{"s3:GetObjectTorrent", objectResource, 0},
	{"s3:GetObjectVersion", objectResource, existingTags | versionKey | matchKeys},
	{"s3:GetObjectVersionAcl", objectResource, existingTags | versionKey},
	{"s3:GetObjectVersionAttributes", objectResource, existingTags | versionKey},
	{"s3:GetObjectVersionForReplication", objectResource, 0},
	{"s3:GetObjectVersionTagging", objectResource, existingTags | versionKey},
	{"s3:GetObjectVersionTorrent", objectResource, versionKey},
	{"s3:GetReplicationConfiguration", bucketResource, 0},
	{"s3:GetStorageLensConfiguration", otherResource, 0},
	{"s3:GetStorageLensConfigurationTagging", otherResource, 0},
	{"s3:GetStorageLensDashboard", otherResource, 0},
	{"s3:GetStorageLensGroup", otherResource, 0},
	{"s3:InitiateReplication", objectResource, 0},
	{"s3:ListAccessGrants", otherResource, 0},
	{"s3:ListAccessGrantsInstances", otherResource, 0},
	{"s3:ListAccessGrantsLocations", otherResource, 0},
	{"s3:ListAccessPoints", serviceResource, 0},
	{"s3:ListAccessPointsForObjectLambda", serviceResource, 0},
	{"s3:ListAllMyBuckets", serviceResource, 0},
	{"s3:ListBucket", bucketResource, listKeys},
	{"s3:ListBucketMultipartUploads", bucketResource, 0},
	{"s3:ListBucketVersions", bucketResource, listKeys},
	{"s3:ListCallerAccessGrants", otherResource, 0},
	{"s3:ListJobs", serviceResource, 0},
	{"s3:ListMultiRegionAccessPoints", serviceResource, 0},
	{"s3:ListMultipartUploadParts", objectResource, 0},
	{"s3:ListStorageLensConfigurations", serviceResource, 0},
	{"s3:ListStorageLensGroups", serviceResource, 0},
	{"s3:ListTagsForResource", otherResource, 0},
	{"s3:ObjectOwnerOverrideToBucketOwner", objectResource, 0},
	{"s3:PauseReplication", bucketResource, 0},
	{"s3:PutAccelerateConfiguration", bucketResource, 0},
	{"s3:PutAccessGrantsInstanceResourcePolicy", otherResource, 0},
	{"s3:PutAccessPointConfigurationForObjectLambda", otherResource, 0},
	{"s3:PutAccessPointPolicy", otherResource, 0},
	{"s3:PutAccessPointPolicyForObjectLambda", otherResource, 0},
	{"s3:PutAccessPointPublicAccessBlock", otherResource, 0},
	{"s3:PutAccountPublicAccessBlock", serviceResource, 0},
	{"s3:PutAnalyticsConfiguration", bucketResource, 0},
	{"s3:PutBucketAbac", bucketResource, 0},
	{"s3:PutBucketAcl", bucketResource, aclKeys},
	{"s3:PutBucketCORS", bucketResource, 0},
	{"s3:PutBucketLogging", bucketResource, 0},
	{"s3:PutBucketNotification", bucketResource, 0},
	{"s3:PutBucketObjectLockConfiguration", bucketResource, 0},
	{"s3:PutBucketOwnershipControls", bucketResource, 0},
	{"s3:PutBucketPolicy", bucketResource, 0},
	{"s3:PutBucketPublicAccessBlock", bucketResource, 0},
	{"s3:PutBucketRequestPayment", bucketResource, 0},
	{"s3:PutBucketTagging", bucketResource, 0},
	{"s3:PutBucketVersioning", bucketResource, 0},
	{"s3:PutBucketWebsite", bucketResource, 0},
	{"s3:PutEncryptionConfiguration", bucketResource, 0},
	{"s3:PutIntelligentTieringConfiguration", bucketResource, 0},
	{"s3:PutInventoryConfiguration", bucketResource, inventoryKey},
	{"s3:PutJobTagging", otherResource, jobKeys},
	{"s3:PutLifecycleConfiguration", bucketResource, 0},
	{"s3:PutMetricsConfiguration", bucketResource, 0},
	{"s3:PutMultiRegionAccessPointPolicy", otherResource, 0},
	{"s3:PutObject", objectResource, putObjectKeys},
	{"s3:PutObjectAcl", objectResource, existingTags | aclKeys | storageKey},
	{"s3:PutObjectLegalHold", objectResource, holdKey},
	{"s3:PutObjectRetention", objectResource, retentionKey},
	{"s3:PutObjectTagging", objectResource, existingTags | requestTags},
	{"s3:PutObjectVersionAcl", objectResource, existingTags | aclKeys | storageKey | versionKey},
	{"s3:PutObjectVersionTagging", objectResource, existingTags | requestTags | versionKey},
	{"s3:PutReplicationConfiguration", bucketResource, 0},
	{"s3:PutStorageLensConfiguration", serviceResource, 0},
	{"s3:PutStorageLensConfigurationTagging", otherResource, 0},
	{"s3:ReplicateDelete", objectResource, 0},
	{"s3:ReplicateObject", objectResource, encryptionKeys},
	{"s3:ReplicateTags", objectResource, 0},
	{"s3:RestoreObject", objectResource, 0},
	{"s3:SubmitMultiRegionAccessPointRoutes", otherResource, 0},
	{"s3:TagResource", otherResource, 0},
	{"s3:UntagResource", otherResource, 0},
	{"s3:UpdateAccessGrantsLocation", otherResource, 0},
	{"s3:UpdateJobPriority", otherResource, jobKeys},
	{"s3:UpdateJobStatus", otherResource, jobKeys},
	{"s3:UpdateObjectEncryption", objectResource, 0},
	{"s3:UpdateStorageLensGroup", otherResource, 0},
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
