package policy

// ManagedPolicy is a policy that comes with sherd, under the ARN that AWS gives it: tools name them.
type ManagedPolicy struct {
	ARN         string
	ID          string
	Name        string
	Description string
	Document    string // JSON; its version is v1
}

// Managed are the built-in policies, in the order of their names.
func Managed() []ManagedPolicy { return append([]ManagedPolicy(nil), managed...) }

// FindManaged is the built-in policy of that ARN. It is false if there is none.
func FindManaged(arn string) (ManagedPolicy, bool) {
	for _, m := range managed {
		if m.ARN == arn {
			return m, true
		}
	}
	return ManagedPolicy{}, false
}

// managed is in the order of names. Source: AWS Managed Policy Reference Guide.
var managed = []ManagedPolicy{
	{
		ARN:         "arn:aws:iam::aws:policy/AdministratorAccess",
		ID:          "ANPAIWMBCKSKIEE64ZLYK",
		Name:        "AdministratorAccess",
		Description: "Provides full access to AWS services and resources.",
		Document:    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	},
	{
		ARN:         "arn:aws:iam::aws:policy/AmazonS3FullAccess",
		ID:          "ANPAIFIR6V6BVTRAHWINE",
		Name:        "AmazonS3FullAccess",
		Description: "Provides full access to all buckets via the AWS Management Console.",
		Document:    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","s3-object-lambda:*"],"Resource":"*"}]}`,
	},
	{
		ARN:         "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
		ID:          "ANPAIZTJ4DXE7G6AGAE6M",
		Name:        "AmazonS3ReadOnlyAccess",
		Description: "Provides read only access to all buckets via the AWS Management Console.",
		Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*","s3:Describe*",` +
			`"s3-object-lambda:Get*","s3-object-lambda:List*"],"Resource":"*"}]}`,
	},
	{
		ARN:         "arn:aws:iam::aws:policy/IAMFullAccess",
		ID:          "ANPAI7XKCFMBPM3QQRRVQ",
		Name:        "IAMFullAccess",
		Description: "Provides full access to IAM via the AWS Management Console.",
		Document:    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`,
	},
	{
		ARN:         "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
		ID:          "ANPAJKSO7NDY4T57MWDSQ",
		Name:        "IAMReadOnlyAccess",
		Description: "Provides read only access to IAM via the AWS Management Console.",
		Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GenerateCredentialReport",` +
			`"iam:GenerateServiceLastAccessedDetails","iam:Get*","iam:List*","iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy"],` +
			`"Resource":"*"}]}`,
	},
}
