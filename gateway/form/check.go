package form

import (
	"slices"
	"strings"
	"time"
)

// Check judges a form: the policy has not expired, each condition holds, and each field has a condition. It returns
// how long the file may be. bucket is the one that the request is about, whatever the form says; the policy has to
// name it.
//
// Exempt are file, policy, x-amz-signature (in version 2, AWSAccessKeyId and signature) and x-ignore-…: S3 asks for a
// condition for every other one, also for those that the signature is made with.
//
// Errors: *Error of AccessDenied.
// Source: sigv4-HTTPPOSTConstructPolicy, "Conditions"; S3 user guide, "Browser-based uploads using POST".
func (p *Policy) Check(now time.Time, bucket string, fields map[string]string) (Range, error) {
	if now.After(p.expires) {
		return Range{}, denied("Policy expired.")
	}
	named := map[string]bool{}
	for i := range p.conditions {
		c := &p.conditions[i]
		value, there := fields[c.field]
		if c.field == "bucket" {
			value, there = bucket, true
		}
		if !there || c.field == "" || !c.holds(value) {
			return Range{}, denied("Policy Condition failed: " + c.String())
		}
		named[c.field] = true
	}
	if extra := unnamed(fields, named); len(extra) > 0 {
		return Range{}, denied("Extra input fields: " + strings.Join(extra, ", "))
	}
	return p.length, nil
}

func denied(why string) *Error { return fail(AccessDenied, "Invalid according to Policy: "+why) }

// unnamed are the fields that need a condition and have none, in order.
func unnamed(fields map[string]string, named map[string]bool) (extra []string) {
	if !named["bucket"] {
		extra = append(extra, "bucket")
	}
	for name := range fields {
		switch {
		case named[name], name == "bucket", strings.HasPrefix(name, "x-ignore-"):
		case name == "file", name == "policy", name == "x-amz-signature", name == "awsaccesskeyid", name == "signature":
		default:
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	return extra
}

// holds reports whether value meets c. Of a Content-Type with commas, every type has to begin so.
func (c *condition) holds(value string) bool {
	switch {
	case !c.prefix:
		return value == c.value
	case c.field != "content-type":
		return strings.HasPrefix(value, c.value)
	}
	for one := range strings.SplitSeq(value, ",") {
		if !strings.HasPrefix(strings.TrimSpace(one), c.value) {
			return false
		}
	}
	return true
}

// String is the condition as S3 shows it.
func (c *condition) String() string {
	op := "eq"
	if c.prefix {
		op = "starts-with"
	}
	return `["` + op + `", "` + c.name + `", "` + c.value + `"]`
}
