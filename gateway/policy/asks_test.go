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
