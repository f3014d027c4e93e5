package policy

import (
	"strings"
	"testing"
)

// TestPublic: rows of whether a bucket's policy is public, after "The meaning of public" in the S3 User Guide. Each is what an
// allowing statement for s3:PutObject on b/* says beside that.
func TestPublic(t *testing.T) {
	all := `"Principal":"*"`
	condition := func(c string) string { return all + `,"Condition":{` + c + `}` }
	rows := []struct {
		public    bool
		statement string
	}{
		{true, all},
		{true, `"Principal":{"AWS":"*"}`},
		{true, `"Principal":{"AWS":["111111111111","*"]}`},
		{true, `"Principal":{"Federated":"graph.facebook.com"}`},
		{false, `"Principal":{"Service":"cloudtrail.amazonaws.com"}`},
		{false, `"Principal":{"AWS":"111111111111"}`},
		{false, `"Principal":{"AWS":"arn:aws:iam::111111111111:user/a"}`},
		{false, `"Principal":{"CanonicalUser":"` + canonical1 + `"}`},
		{true, condition(`"StringLike":{"aws:SourceVpc":"vpc-*"}`)},
		{false, condition(`"StringEquals":{"aws:SourceVpc":"vpc-91237329"}`)},
		{false, condition(`"StringLike":{"aws:SourceVpc":"vpc-91237329"}`)},
		{true, condition(`"StringEquals":{"aws:SourceVpc":["vpc-1","vpc-*"]}`)},
		{true, condition(`"StringEquals":{"aws:SourceVpc":"${aws:username}"}`)},
		{true, condition(`"StringEqualsIfExists":{"aws:SourceVpc":"vpc-91237329"}`)},
		{true, condition(`"StringNotEquals":{"aws:SourceVpc":"vpc-91237329"}`)},
		{true, condition(`"ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-91237329"}`)},
		{false, condition(`"ForAnyValue:StringEquals":{"aws:SourceVpc":"vpc-91237329"}`)},
		{true, condition(`"Null":{"aws:SourceVpc":"false"}`)},
		{false, condition(`"StringEquals":{"aws:SourceVpce":"vpce-1"}`)},
		{false, condition(`"ArnEquals":{"aws:SourceArn":"arn:aws:s3:::other"}`)},
		{true, condition(`"ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}`)},
		{true, condition(`"ArnLike":{"aws:SourceArn":"*"}`)},
		{true, condition(`"ArnLike":{"aws:SourceArn":"arn:aws:s3:*:111111111111:x"}`)},
		{false, condition(`"StringEquals":{"aws:SourceOwner":"111111111111"}`)},
		{false, condition(`"StringEquals":{"aws:SourceAccount":"111111111111"}`)},
		{false, condition(`"StringEquals":{"aws:PrincipalOrgID":"o-1"}`)},
		{false, condition(`"StringEquals":{"aws:PrincipalAccount":"111111111111"}`)},
		{false, condition(`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/a"}`)},
		{false, condition(`"StringEquals":{"aws:userid":"AIDA1"}`)},
		{true, condition(`"StringLike":{"aws:userid":"AROA1:*"}`)},
		{false, condition(`"StringEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:us-east-1:111111111111:key/1"}`)},
		{false, condition(`"StringEquals":{"s3:DataAccessPointAccount":"111111111111"}`)},
		{false, condition(`"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-west-2:123456789012:accesspoint/*"}`)},
		{false, condition(`"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-west-2:123456789012:accesspoint/*"}`)},
		{true, condition(`"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-west-2:*:accesspoint/x"}`)},
		{true, condition(`"ArnLike":{"s3:DataAccessPointArn":"arn:aws:s3:*:*:accesspoint/x"}`)},
		{true, condition(`"StringEquals":{"aws:username":"alice"}`)},
		{true, condition(`"StringLike":{"aws:Referer":"https://example.com/*"}`)},
		{true, condition(`"Bool":{"aws:SecureTransport":"true"}`)},
		{false, condition(`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)},
		{false, condition(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)},
		{true, condition(`"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}`)},
		{true, condition(`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`)},
		{true, condition(`"IpAddress":{"aws:SourceIp":["203.0.113.0/24","128.0.0.0/7"]}`)},
		{false, condition(`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`)},
		{true, condition(`"IpAddress":{"aws:SourceIp":"2001:db8::/31"}`)},
		{true, condition(`"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)},
		{true, condition(`"StringEquals":{"aws:SourceIp":"203.0.113.1"}`)},
		{false, condition(`"Bool":{"aws:SecureTransport":"true"},"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)},
	}
	for _, row := range rows {
		statement := `"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*",` + row.statement
		for _, document := range []string{
			`{"Version":"2012-10-17","Statement":{` + statement + `}}`,
			`{"Version":"2012-10-17","Statement":[{` + statement + `},{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`,
		} {
			p, err := ParseBucket(document, "b")
			if err != nil {
				t.Errorf("%s: %v", row.statement, err)
			} else if p.Public() != row.public {
				t.Errorf("%s: public is %v", row.statement, p.Public())
			}
		}
		denied, err := ParseBucket(`{"Version":"2012-10-17","Statement":{`+strings.Replace(statement, "Allow", "Deny", 1)+`}}`, "b")
		if err != nil || denied.Public() {
			t.Errorf("%s: a denial is public, %v", row.statement, err)
		}
	}
}
