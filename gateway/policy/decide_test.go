package policy

import (
	"path/filepath"
	"strings"
	"testing"
)

// scene is the state of a truth table: whose policies are in force.
type scene struct {
	access   Access
	identity map[string][]*Policy
}

// TestDecisions goes through the truth tables of testdata: rows of "verdict who action resource key=value…", where a resource is
// BUCKET or BUCKET/KEY, and whatever looks like an ARN or * itself. Beside the verdict, the naive evaluator must agree.
func TestDecisions(t *testing.T) {
	files, err := filepath.Glob("testdata/decide*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	rows := 0
	for _, file := range files {
		s := &scene{}
		naive := &naiveScene{}
		for _, b := range read(t, file) {
			if b.head != nil {
				s.set(t, file, b)
				naive.set(t, b)
				continue
			}
			rows++
			r := ask(t, b)
			s.access.Identity = s.identity[b.row[1]]
			got := strings.TrimSuffix(strings.SplitN(Decide(r, &s.access).String(), "(", 2)[0], " ")
			if got != b.row[0] {
				t.Errorf("%s:%d: %s: %s", file, b.line, strings.Join(b.row, " "), got)
			}
			if n := naive.decide(b.row[1], r); n != (b.row[0] == "allow") {
				t.Errorf("%s:%d: %s: the naive evaluator says allowed=%v", file, b.line, strings.Join(b.row, " "), n)
			}
		}
	}
	if rows < 300 {
		t.Errorf("only %d rows", rows)
	}
}

func ask(t *testing.T, b block) *Request {
	t.Helper()
	who, ok := cast(b.row[1])
	if !ok || len(b.row) < 4 {
		t.Fatalf("line %d: %q", b.line, b.row)
	}
	resource := b.row[3]
	if resource != "*" && !strings.HasPrefix(resource, "arn:") {
		resource = "arn:aws:s3:::" + resource
	}
	return &Request{Principal: who, Action: b.row[2], Resource: resource, Context: context(b.row[4:])}
}

// set does what a block says: reset, owner ACCOUNT [BUCKETOWNER], acl EFFECT, restrict, bucket, user NAME.
func (s *scene) set(t *testing.T, file string, b block) {
	t.Helper()
	var err error
	var p *Policy
	switch b.head[0] {
	case "reset":
		*s = scene{access: Access{Owner: account1}, identity: map[string][]*Policy{}}
	case "owner":
		s.access.Owner = b.head[1]
		if len(b.head) > 2 {
			s.access.BucketOwner = b.head[2]
		}
	case "acl":
		s.access.Granted = map[string]Effect{"none": None, "account": AllowAccount, "group": Allow}[b.head[1]]
	case "restrict":
		s.access.RestrictPublic = true
	case "bucket":
		p, err = ParseBucket(strings.TrimSpace(b.body), "b")
		s.access.Bucket = p
	case "user":
		p, err = ParseIdentity(b.body)
		s.identity[b.head[1]] = append(s.identity[b.head[1]], p)
	default:
		t.Fatalf("%s:%d: %q", file, b.line, b.head)
	}
	if err != nil {
		t.Fatalf("%s:%d: %v", file, b.line, err)
	}
}

// TestZeroLetsNobodyIn: what nobody filled in allows nothing.
func TestZeroLetsNobodyIn(t *testing.T) {
	var d Decision
	if d.Allowed() || Decide(&Request{}, &Access{}).Allowed() {
		t.Error("a zero value allows")
	}
	root, _ := cast("root1")
	if Decide(&Request{Principal: root}, &Access{}).Allowed() {
		t.Error("a root is let in where nobody owns")
	}
	carol, _ := cast("root2")
	if Decide(&Request{Principal: carol}, &Access{Owner: account1, Granted: Deny}).Allowed() {
		t.Error("an ACL that denies, which there is none of, allows")
	}
}

func TestReasons(t *testing.T) {
	for d := NotAllowedByResource; d < Allowed; d++ {
		if !strings.HasPrefix(d.Reason("s3:GetObject"), "with an explicit deny in a") && !strings.HasSuffix(d.Reason("s3:GetObject"), "-based policy allows the s3:GetObject action") {
			t.Errorf("%v: %q", d, d.Reason("s3:GetObject"))
		}
	}
}

// TestAskedLazily: a key is asked for only by statements whose principal, action and resource fit, and only until one decides.
func TestAskedLazily(t *testing.T) {
	p, err := ParseBucket(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:PutObjectTagging","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"x"}}},
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/other/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"x"}}},
		{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/a":"x"}}},
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"s3:ExistingObjectTag/b":"x"}}}]}`, "b")
	if err != nil {
		t.Fatal(err)
	}
	ctx := &values{of: map[string][]string{"aws:securetransport": {"false"}}, asked: map[string]int{}}
	p.Evaluate(&Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: ctx})
	if len(ctx.asked) != 1 || ctx.asked["aws:securetransport"] != 1 {
		t.Errorf("asked for %v", ctx.asked)
	}
}
