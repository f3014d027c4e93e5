package policy

import (
	"fmt"
	"testing"
)

// tenStatements is what a user of some standing has: ten statements, of which the request's is not the first.
func tenStatements(tb testing.TB) *Policy {
	document := `{"Version":"2012-10-17","Statement":[`
	for i := range 6 {
		document += fmt.Sprintf(`{"Sid":"S%d","Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject","s3:ListBucket"],"Resource":["arn:aws:s3:::bucket-%d","arn:aws:s3:::bucket-%d/*"]},`, i, i, i)
	}
	document += `{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"},
		{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
		{"Effect":"Deny","Action":["s3:Delete*","s3:PutBucket*"],"Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32"]}}},
		{"Effect":"Allow","Action":["s3:Get*","s3:Put*"],"Resource":"arn:aws:s3:::shared/home/${aws:username}/*"}]}`
	p, err := ParseIdentity(document)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func benchAccess(tb testing.TB) *Access {
	bucket, err := ParseBucket(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::shared","arn:aws:s3:::shared/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, "shared")
	if err != nil {
		tb.Fatal(err)
	}
	return &Access{Owner: account1, Identity: []*Policy{tenStatements(tb)}, Bucket: bucket}
}

func benchRequest() *Request {
	alice, _ := cast("alice")
	return &Request{
		Principal: alice, Action: "s3:GetObject", Resource: "arn:aws:s3:::shared/home/alice/photos/2026/11/22/img_0001.jpg",
		Context: &values{of: map[string][]string{"aws:securetransport": {"true"}, "aws:sourceip": {"203.0.113.9"}}},
	}
}

// TestNoAllocation: a decision costs no memory, with conditions, variables and a bucket's policy.
func TestNoAllocation(t *testing.T) {
	a, r := benchAccess(t), benchRequest()
	for _, action := range []string{"s3:GetObject", "s3:DeleteObject", "s3:PutObjectTagging"} {
		r.Action = action
		if n := testing.AllocsPerRun(100, func() { Decide(r, a) }); n != 0 {
			t.Errorf("%s: %v allocations", action, n)
		}
	}
	r.Action = "s3:GetObject"
	if d := Decide(r, a); !d.Allowed() {
		t.Errorf("the request of the benchmark is not allowed: %v", d)
	}
}

func BenchmarkEvaluateTenStatements(b *testing.B) {
	p, r := tenStatements(b), benchRequest()
	b.ReportAllocs()
	for b.Loop() {
		p.Evaluate(r)
	}
}

func BenchmarkDecide(b *testing.B) {
	a, r := benchAccess(b), benchRequest()
	b.ReportAllocs()
	for b.Loop() {
		Decide(r, a)
	}
}

func BenchmarkDecideRootNoPolicy(b *testing.B) {
	r, a := benchRequest(), &Access{Owner: account1}
	r.Principal, _ = cast("root1")
	b.ReportAllocs()
	for b.Loop() {
		Decide(r, a)
	}
}

func BenchmarkParseTenStatements(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		tenStatements(b)
	}
}
