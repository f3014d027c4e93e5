package policy

import "testing"

// TestAsks: a key is found where a condition looks at it and where a variable stands for it, in resources and in values.
func TestAsks(t *testing.T) {
	for _, row := range []struct {
		statement string
		asks      bool
	}{
		{`"Resource":"*"`, false},
		{`"Resource":"*","Condition":{"StringEquals":{"aws:username":"s3:ExistingObjectTag/x"}}`, false},
		{`"Resource":"*","Condition":{"StringEquals":{"s3:existingobjecttag/X":"y"}}`, true},
		{`"Resource":"*","Condition":{"Null":{"s3:ExistingObjectTag/x":"true"}}`, true},
		{`"Resource":"*","Condition":{"StringLike":{"aws:username":["a","b*${s3:ExistingObjectTag/x, 'y'}"]}}`, true},
		{`"Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:${s3:ExistingObjectTag/x}::b"}}`, true},
		{`"Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::${s3:ExistingObjectTag/x}"}}`, true},
		{`"Resource":["*","arn:aws:s3:::b/${s3:ExistingObjectTag/x}/*"]`, true},
		{`"NotResource":"arn:aws:s3:::b/${s3:existingObjectTag/x}/*"`, true},
		{`"Resource":"arn:aws:s3:::b/${aws:username}/*"`, false},
	} {
		p, err := ParseIdentity(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Allow","Action":"*",` + row.statement + `}]}`)
		if err != nil {
			t.Errorf("%s: %v", row.statement, err)
		} else if got := p.Asks("s3:existingobjecttag/"); got != row.asks {
			t.Errorf("%s: %v", row.statement, got)
		}
	}
}

// TestOffers: what a policy of a bucket allows to somebody somewhere.
func TestOffers(t *testing.T) {
	p, err := ParseBucket(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:Get*","Resource":"arn:aws:s3:::b/open/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}},
		{"Effect":"Allow","Principal":{"AWS":"`+account1+`"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"},
		{"Effect":"Deny","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::b/*"}]}`, "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who, action string
		want        bool
	}{
		{"anon", "s3:GetObject", true}, {"anon", "s3:PutObject", false}, {"anon", "s3:DeleteObject", false},
		{"alice", "s3:PutObject", true}, {"carol", "s3:PutObject", false}, {"carol", "s3:GetObjectTagging", true},
	} {
		who, _ := cast(c.who)
		if got := p.Offers(&who, c.action); got != c.want {
			t.Errorf("%s to %s: %v", c.action, c.who, got)
		}
	}
}
