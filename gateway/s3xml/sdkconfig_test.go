package s3xml

import (
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestSDKVersions lets aws-sdk-go-v2 read the list of versions and an object's attributes.
func TestSDKVersions(t *testing.T) {
	b, k := aws.String("bucket"), aws.String("key")
	list := must(client("API_ListObjectVersions", 200).ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: b}))(t)
	same(t, "versions", len(list.Versions), 2)
	same(t, "markers", len(list.DeleteMarkers), 1)
	v := list.Versions[0]
	same(t, "key", *v.Key, "my-image.jpg")
	same(t, "version", *v.VersionId, "3/L4kqtJl40Nr8X8gdRQBpUMLUo")
	same(t, "latest", *v.IsLatest, true)
	same(t, "modified", v.LastModified.UnixMilli(), when.UnixMilli())
	same(t, "etag", *v.ETag, tag.String())
	same(t, "owner", *v.Owner.ID, owner.ID)
	same(t, "algorithm", v.ChecksumAlgorithm[0], types.ChecksumAlgorithmCrc32)
	same(t, "type", v.ChecksumType, types.ChecksumTypeComposite)
	same(t, "null", *list.Versions[1].VersionId, "null")
	same(t, "size", *list.Versions[1].Size, 1<<40)
	same(t, "marker", *list.DeleteMarkers[0].Key, "my-second-image.jpg")
	same(t, "next key", *list.NextKeyMarker, readableKey)
	same(t, "next version", *list.NextVersionIdMarker, "null")
	same(t, "markers given", *list.KeyMarker+*list.VersionIdMarker, "mv0")
	same(t, "prefix", *list.CommonPrefixes[0].Prefix, "my/")
	same(t, "truncated", *list.IsTruncated, true)

	attributes := func(name string) *s3.GetObjectAttributesOutput {
		return must(client(name, 200).GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: b, Key: k,
			ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}}))(t)
	}
	a := attributes("API_GetObjectAttributes")
	same(t, "etag", `"`+*a.ETag+`"`, multi.String())
	same(t, "checksum", *a.Checksum.ChecksumSHA256, "c2hhMjU2-3")
	same(t, "checksum type", a.Checksum.ChecksumType, types.ChecksumTypeComposite)
	same(t, "class", a.StorageClass, types.StorageClassStandard)
	same(t, "size", *a.ObjectSize, 1<<40)
	same(t, "parts", *a.ObjectParts.TotalPartsCount, 3)
	same(t, "marker", *a.ObjectParts.PartNumberMarker, "1")
	same(t, "next", *a.ObjectParts.NextPartNumberMarker, "2")
	same(t, "max", *a.ObjectParts.MaxParts, 1)
	same(t, "truncated", *a.ObjectParts.IsTruncated, true)
	same(t, "part", *a.ObjectParts.Parts[0].PartNumber, 2)
	same(t, "part's size", *a.ObjectParts.Parts[0].Size, 5<<20)
	same(t, "part's checksum", *a.ObjectParts.Parts[0].ChecksumSHA256, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	same(t, "parts, not listed", *attributes("API_GetObjectAttributes-some").ObjectParts.TotalPartsCount, 7)
	same(t, "nothing asked for", attributes("API_GetObjectAttributes-none").ObjectParts, nil)
}

// TestSDKConfig lets aws-sdk-go-v2 read what the getters answer.
func TestSDKConfig(t *testing.T) {
	b, k, ctx := aws.String("bucket"), aws.String("key"), t.Context()
	versioning := must(client("API_GetBucketVersioning", 200).GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: b}))(t)
	same(t, "versioning", versioning.Status, types.BucketVersioningStatusEnabled)
	same(t, "mfa", versioning.MFADelete, types.MFADeleteStatusDisabled)
	never := must(client("API_GetBucketVersioning-never", 200).GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: b}))(t)
	same(t, "never versioned", never.Status, "")
	lock := must(client("API_GetObjectLockConfiguration", 200).GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: b}))(t).ObjectLockConfiguration
	same(t, "lock", lock.ObjectLockEnabled, types.ObjectLockEnabledEnabled)
	same(t, "days", *lock.Rule.DefaultRetention.Days, 30)
	same(t, "mode", lock.Rule.DefaultRetention.Mode, types.ObjectLockRetentionModeCompliance)
	retention := must(client("API_GetObjectRetention", 200).GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: b, Key: k}))(t).Retention
	same(t, "until", retention.RetainUntilDate.Unix(), until.Unix())
	same(t, "mode", retention.Mode, types.ObjectLockRetentionModeGovernance)
	hold := must(client("API_GetObjectLegalHold", 200).GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: b, Key: k}))(t)
	same(t, "hold", hold.LegalHold.Status, types.ObjectLockLegalHoldStatusOn)
	tags := must(client("API_GetObjectTagging", 200).GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: k}))(t).TagSet
	same(t, "tag", *tags[1].Key+*tags[1].Value, "ü/日本")
	cors := must(client("API_GetBucketCors", 200).GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: b}))(t).CORSRules
	same(t, "rule", *cors[0].ID, "rule <1>")
	same(t, "origin", cors[0].AllowedOrigins[1], "https://*.example.com")
	same(t, "exposed", cors[0].ExposeHeaders[1], "ETag")
	same(t, "age", *cors[1].MaxAgeSeconds, 0)
	acl := must(client("API_GetBucketAcl", 200).GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: b}))(t)
	same(t, "owner", *acl.Owner.ID, owner.ID)
	same(t, "grantee", acl.Grants[0].Grantee.Type, types.TypeCanonicalUser)
	same(t, "name", *acl.Grants[0].Grantee.DisplayName, "a&b")
	same(t, "group", acl.Grants[1].Grantee.Type, types.TypeGroup)
	same(t, "group", *acl.Grants[1].Grantee.URI, "http://acs.amazonaws.com/groups/global/AllUsers")
	same(t, "permission", acl.Grants[2].Permission, types.PermissionWriteAcp)
}

// TestSDKBucketConfig lets aws-sdk-go-v2 read what the rest of a bucket's getters answer.
func TestSDKBucketConfig(t *testing.T) {
	b, ctx := aws.String("bucket"), t.Context()
	block := must(client("API_GetPublicAccessBlock", 200).GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: b}))(t).PublicAccessBlockConfiguration
	same(t, "block", []bool{*block.BlockPublicAcls, *block.IgnorePublicAcls, *block.BlockPublicPolicy, *block.RestrictPublicBuckets}[3], true)
	same(t, "ignore", *block.IgnorePublicAcls, false)
	ownership := must(client("API_GetBucketOwnershipControls", 200).GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: b}))(t)
	same(t, "ownership", ownership.OwnershipControls.Rules[0].ObjectOwnership, types.ObjectOwnershipBucketOwnerEnforced)
	status := must(client("API_GetBucketPolicyStatus", 200).GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: b}))(t)
	same(t, "public", *status.PolicyStatus.IsPublic, true)
	payment := must(client("API_GetBucketRequestPayment", 200).GetBucketRequestPayment(ctx, &s3.GetBucketRequestPaymentInput{Bucket: b}))(t)
	same(t, "payer", payment.Payer, types.PayerBucketOwner)
	accelerate := must(client("API_GetBucketAccelerateConfiguration", 200).GetBucketAccelerateConfiguration(ctx, &s3.GetBucketAccelerateConfigurationInput{Bucket: b}))(t)
	same(t, "acceleration", accelerate.Status, types.BucketAccelerateStatusSuspended)
	notification := must(client("API_GetBucketNotificationConfiguration", 200).GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: b}))(t)
	same(t, "notifications", len(notification.QueueConfigurations), 0)
	logging := must(client("API_GetBucketLogging", 200).GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: b}))(t).LoggingEnabled
	same(t, "log", *logging.TargetBucket+"/"+*logging.TargetPrefix, "logs/p/ ")
	same(t, "log's key", logging.TargetObjectKeyFormat.PartitionedPrefix.PartitionDateSource, types.PartitionDateSourceEventTime)
	same(t, "log's grant", *logging.TargetGrants[0].Grantee.ID, "f00")
	off := must(client("API_GetBucketLogging-off", 200).GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: b}))(t)
	same(t, "no log", off.LoggingEnabled, nil)
}

// TestSDKPutsConfig reads the documents that aws-sdk-go-v2 sends.
func TestSDKPutsConfig(t *testing.T) {
	b, ctx := aws.String("bucket"), t.Context()
	var sent io.Reader
	c := s3.New(s3.Options{Region: "us-east-1", Retryer: aws.NopRetryer{}, HTTPClient: capture{&sent},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		})})
	check := func(read reader, want any) {
		t.Helper()
		if got, err := read(sent); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	_, _ = c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}})
	check(anyOf(ReadVersioning), Versioning{Status: "Suspended"})
	_, _ = c.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: b, ObjectLockConfiguration: &types.ObjectLockConfiguration{
		ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeGovernance, Years: aws.Int32(2)}}}})
	check(anyOf(ReadObjectLock), ObjectLock{Mode: "GOVERNANCE", Years: 2})
	_, _ = c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: b, Key: b, Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: &until}})
	check(anyOf(ReadRetention), Retention{"COMPLIANCE", until})
	_, _ = c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: b, Key: b, Retention: &types.ObjectLockRetention{}})
	check(anyOf(ReadRetention), Retention{})
	_, _ = c.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{Bucket: b, Key: b, LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOn}})
	check(anyOf(ReadLegalHold), true)
	_, _ = c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: b, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("k "), Value: aws.String("")}}}})
	check(anyOf(readObjectTags), []Tag{{"k ", ""}})
	_, _ = c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: b, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicPolicy: aws.Bool(true)}})
	check(anyOf(ReadPublicAccessBlock), PublicAccessBlock{BlockPublicPolicy: true})
	_, _ = c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: b, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: "ObjectWriter"}}}})
	check(anyOf(ReadOwnership), "ObjectWriter")
	_, _ = c.PutBucketRequestPayment(ctx, &s3.PutBucketRequestPaymentInput{Bucket: b, RequestPaymentConfiguration: &types.RequestPaymentConfiguration{Payer: types.PayerRequester}})
	check(anyOf(ReadRequestPayment), "Requester")
	_, _ = c.PutBucketAccelerateConfiguration(ctx, &s3.PutBucketAccelerateConfigurationInput{Bucket: b, AccelerateConfiguration: &types.AccelerateConfiguration{Status: types.BucketAccelerateStatusEnabled}})
	check(anyOf(ReadAccelerate), "Enabled")
	_, _ = c.PutBucketLogging(ctx, &s3.PutBucketLoggingInput{Bucket: b, BucketLoggingStatus: &types.BucketLoggingStatus{LoggingEnabled: &types.LoggingEnabled{TargetBucket: b, TargetPrefix: aws.String("")}}})
	check(anyOf(ReadLogging), &Logging{Enabled: true, TargetBucket: "bucket"})
	_, _ = c.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: new(types.NotificationConfiguration)})
	check(anyOf(ReadNotification), Notification(false))
	_, _ = c.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: &types.NotificationConfiguration{
		QueueConfigurations: []types.QueueConfiguration{{QueueArn: b, Events: []types.Event{types.EventS3ObjectCreated}}}}})
	check(anyOf(ReadNotification), Notification(true))
	_, _ = c.PutBucketAbac(ctx, &s3.PutBucketAbacInput{Bucket: b, AbacStatus: &types.AbacStatus{Status: types.BucketAbacStatusEnabled}})
	check(anyOf(ReadABAC), ABAC(true))
	_, _ = c.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: b, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{
		{AllowedMethods: []string{"GET", "PUT"}, AllowedOrigins: []string{"*"}, MaxAgeSeconds: aws.Int32(9)}}}})
	check(anyOf(ReadCORS), []CORSRule{{AllowedMethods: []string{"GET", "PUT"}, AllowedOrigins: []string{"*"}, MaxAgeSeconds: days(9)}})
	_, _ = c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: b, AccessControlPolicy: &types.AccessControlPolicy{Owner: &types.Owner{ID: aws.String("o")},
		Grants: []types.Grant{{Permission: types.PermissionRead, Grantee: &types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String("i")}}}}})
	check(anyOf(ReadAccessControl), &AccessControl{Owner{ID: "o"}, []Grant{{Grantee{Kind: CanonicalUser, ID: "i"}, "READ"}}})
	_, _ = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: b, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "EU", Tags: []types.Tag{{Key: b, Value: b}}}})
	check(anyOf(ReadBucketConfig), BucketConfig{Location: "EU", Tags: []Tag{{"bucket", "bucket"}}})
	_, _ = c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: b, VersionId: aws.String("v"), ETag: aws.String(tag.String()), LastModifiedTime: &until, Size: aws.Int64(7)}}}})
	check(anyOf(ReadDelete), &Delete{Objects: []DeleteObject{{Key: "bucket", VersionID: "v", ETag: tag.String(), LastModifiedTime: "Wed, 02 Jan 2030 15:04:05 GMT", Size: "7"}}})
}
