package policy

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	seed  = flag.Uint64("seed", 1, "of TestRandom")
	count = flag.Int("policies", 400, "of TestRandom")
)

// maker makes random policies and requests from a small stock, so that they meet often.
type maker struct{ *rand.Rand }

func (m maker) of(stock ...string) string { return stock[m.IntN(len(stock))] }

// some is one to three of the stock, or one without brackets.
func (m maker) some(stock ...string) any {
	if m.IntN(3) == 0 {
		return m.of(stock...)
	}
	list := make([]string, 1+m.IntN(3))
	for i := range list {
		list[i] = m.of(stock...)
	}
	return list
}

var (
	stockActions   = []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:Get*", "s3:*", "s3:?etObject", "S3:PUTobject", "s3:*Object*", "*", "s3:DeleteBucketPolicy", "s3:*Policy"}
	stockResources = []string{
		"arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a*", "arn:aws:s3:::b/?", "arn:aws:s3:::b/*/c", "arn:aws:s3:::b/a?c*c", "arn:aws:s3:::b*",
		"arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/${s3:prefix}", "arn:aws:s3:::b/${aws:userid, 'a'}*", "arn:aws:s3:::b/${*}${?}*", "arn:aws:s3:::b/**c",
	}
	stockKeys   = []string{"a", "ab", "abc", "a/c", "c", "alice/x", "alice/c", "*?", "a*c/c", "AIDABOBx", "aéc", "", "abcabc", "axc"}
	stockValues = []string{"a", "A", "ab", "a*", "*", "?b", "", "alice", "${aws:username}", "${aws:username, 'a'}x", "${s3:prefix}*", "${$}a", "1", "10", "10.0", "-1", "2020", "2020-01-01", "1577836800", "10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "true", "False", "arn:aws:s3:::b", "arn:aws:s3:::b*", "arn:aws:iam::*:user/${aws:username}", "YQ=="}
	stockAsked  = []string{"a", "A", "ab", "b", "", "alice", "alicex", "$a", "1", "9", "10", "010.00", "-2", "2019", "2020-01-01T00:00:00Z", "1577836800", "10.1.2.3", "11.0.0.1", "2001:db8::1", "::ffff:10.1.2.3", "true", "FALSE", "arn:aws:s3:::b", "arn:aws:s3:::bc", "arn:aws:iam::1:user/alice", "*"}
	stockNames  = []string{"s3:prefix", "aws:PrincipalTag/t", "aws:username", "AWS:userid", "aws:PrincipalArn", "aws:TagKeys", "aws:sourceip"}
)

func (m maker) statement(bucket, variables bool) map[string]any {
	s := map[string]any{"Effect": m.of("Allow", "Allow", "Deny")}
	s[m.of("", "", "Not")+"Action"] = m.some(stockActions...)
	s[m.of("", "", "Not")+"Resource"] = m.some(stockResources...)
	if bucket {
		name := "Principal"
		if s["Effect"] == "Deny" && m.IntN(3) == 0 {
			name = "NotPrincipal"
		}
		s[name] = m.principal()
	}
	if m.IntN(2) == 0 {
		s["Condition"] = m.conditions(variables)
	}
	return s
}

func (m maker) principal() any {
	if m.IntN(3) == 0 {
		return "*"
	}
	p := map[string]any{"AWS": m.some("*", account1, account2, "arn:aws:iam::"+account1+":root", "arn:aws:iam::"+account1+":user/alice", "arn:aws:iam::"+account2+":user/carol")}
	if m.IntN(3) == 0 {
		p = map[string]any{"CanonicalUser": m.some(canonical1, canonical2)}
	}
	if m.IntN(5) == 0 {
		p["Service"] = "s3.amazonaws.com"
	}
	return p
}

func (m maker) conditions(variables bool) map[string]any {
	block := map[string]any{}
	for range 1 + m.IntN(2) {
		op := operators[m.IntN(len(operators))]
		name := op.name
		if op.class != nullClass {
			name = m.of("", "", "ForAllValues:", "ForAnyValue:") + name + m.of("", "", "IfExists")
		}
		keys := map[string]any{}
		for range 1 + m.IntN(2) {
			keys[m.of(stockNames...)] = m.some(m.fitting(&op, variables)...)
		}
		block[name] = keys
	}
	return block
}

// fitting are the stock's values that the operator takes.
func (m maker) fitting(op *operator, variables bool) []string {
	var fit []string
	for _, v := range stockValues {
		if _, ok := op.compileValue(v, variables); ok {
			fit = append(fit, v)
		}
	}
	return fit
}

func (m maker) document(bucket bool) string {
	statements := make([]map[string]any, 1+m.IntN(4))
	variables := m.IntN(4) > 0
	for i := range statements {
		statements[i] = m.statement(bucket, variables)
	}
	doc := map[string]any{"Statement": statements}
	if variables {
		doc["Version"] = "2012-10-17"
	}
	text, _ := json.Marshal(doc)
	return string(text)
}

func (m maker) request() (string, *Request) {
	name := m.of("alice", "bob", "carol", "root1", "root2", "anon")
	who, _ := cast(name)
	ctx := &values{of: map[string][]string{}}
	for range m.IntN(4) {
		list := make([]string, m.IntN(4))
		for i := range list {
			list[i] = m.of(stockAsked...)
		}
		ctx.of[strings.ToLower(m.of(stockNames...))] = list
	}
	r := &Request{
		Principal: who, Context: ctx, Resource: "arn:aws:s3:::b",
		Action: m.of("s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetBucketPolicy", "s3:DeleteBucketPolicy", "iam:CreateUser"),
	}
	if m.IntN(5) > 0 {
		r.Resource += "/" + m.of(stockKeys...)
	}
	return name, r
}

// TestRandom compares the two evaluators, of one policy and of whole decisions, on random policies and requests.
func TestRandom(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(*seed, 0))}
	seen := map[Effect]int{}
	decisions := map[Decision]int{}
	for range *count {
		identity := m.document(false)
		p, err := ParseIdentity(identity)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", *seed, identity, err)
		}
		document := m.document(true)
		bucket, err := ParseBucket(document, "b")
		if err != nil { // actions and resources, or conditions, that do not fit each other
			document = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/a*"}}`
			bucket, err = ParseBucket(document, "b")
		}
		if err != nil {
			t.Fatal(err)
		}
		owner := m.of(account1, account1, account2)
		granted := []Effect{None, None, AllowAccount, Allow}[m.IntN(4)]
		restrict := m.IntN(5) == 0
		a := &Access{Owner: owner, BucketOwner: account1, Identity: []*Policy{p}, Bucket: bucket, RestrictPublic: restrict, Granted: granted}
		naive := &naiveScene{
			owner: owner, bucketOwner: account1, acl: map[Effect]string{AllowAccount: "account", Allow: "group"}[granted], restrict: restrict,
			bucket: naiveDocument(t, document),
		}
		identityDocument := naiveDocument(t, identity)
		for range 10 {
			user, r := m.request()
			naive.users = map[string][]map[string]any{user: {identityDocument}}
			for _, pair := range []struct {
				p   *Policy
				doc map[string]any
			}{{p, identityDocument}, {bucket, naive.bucket}} {
				got, want := pair.p.Evaluate(r), naiveEvaluate(pair.doc, r).effect()
				if seen[got]++; got != want {
					t.Fatalf("seed %d: %v, naive %v\n%s\n%s\n%+v %v", *seed, got, want, identity, document, r, r.Context.(*values).of)
				}
			}
			got := Decide(r, a)
			if decisions[got]++; got.Allowed() != naive.decide(user, r) {
				t.Fatalf("seed %d: %v\n%s\n%s\n%+v %v\n%+v", *seed, got, identity, document, r, r.Context.(*values).of, a)
			}
		}
	}
	if len(seen) != 4 || len(decisions) != 5 {
		t.Errorf("not all results came up: %v %v", seen, decisions)
	}
}

// FuzzPolicy: no document panics; those that are taken mean the same to both evaluators.
func FuzzPolicy(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n@") {
			if _, body, ok := strings.Cut(line, "\n"); ok && strings.HasPrefix(body, "{") {
				document, _, _ := strings.Cut(body, "\n.")
				f.Add(document, "s3:GetObject", "arn:aws:s3:::b/home/alice/x", "s3:prefix", "home/alice/|x")
			}
		}
	}
	f.Fuzz(func(t *testing.T, document, action, resource, key, value string) {
		for _, r := range action {
			if r >= utf8.RuneSelf {
				return // strings.ToLower folds more letters than there are in actions
			}
		}
		if !utf8.ValidString(resource + key + value) {
			return // a naive character is a rune
		}
		ctx := &values{of: map[string][]string{strings.ToLower(key): strings.Split(value, "|")}}
		identity, err := ParseIdentity(document)
		bucket, err2 := ParseBucket(document, "b")
		if err == nil && err2 == nil {
			t.Fatal("a policy of an identity is one of a bucket too")
		}
		for _, p := range []*Policy{identity, bucket} {
			if p == nil {
				continue
			}
			doc := naiveDocument(t, document)
			p.Public()
			for _, name := range []string{"alice", "carol", "root1", "anon"} {
				who, _ := cast(name)
				r := &Request{Principal: who, Action: action, Resource: resource, Context: ctx}
				if got, want := p.Evaluate(r), naiveEvaluate(doc, r).effect(); got != want {
					t.Fatalf("%s: %v, naive %v", name, got, want)
				}
			}
		}
	})
}

// FuzzPattern: wildcards match what the table of the naive evaluator does.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{"", "*", "?", "a*b?c", "**", "*a*", "a*a*a*b", "?é*", "*???"} {
		for _, s := range []string{"", "a", "abc", "axbyc", "aaaaab", "é", "\U0001F600"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, text, s string) {
		if !utf8.ValidString(text) || !utf8.ValidString(s) {
			return
		}
		p, ok := syntax{wildcards: true}.compile(text)
		if !ok {
			t.Fatal("refused")
		}
		parts, _ := naiveParts(text, nil, false, true)
		if got, want := p.match(nil, s), naiveMatches(parts, s); got != want {
			t.Fatalf("%q on %q: %v, naive %v", text, s, got, want)
		}
		if p.match(nil, s) && !(p.covers(s) && p.overlaps(s)) {
			t.Fatalf("%q matches %q and does not cover it", text, s)
		}
	})
}

// FuzzDecimal: decimals compare as rational numbers do.
func FuzzDecimal(f *testing.F) {
	for _, a := range []string{"0", "-0", "1", "-1", "10", "9", "0.1", "00.10", "-2.5", "1e1", "", ".", "1.", "9007199254740993"} {
		f.Add(a, "1.5")
		f.Add("-0.1", a)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 1000 {
			return
		}
		x, ok1 := parseDecimal(a)
		y, ok2 := parseDecimal(b)
		nx, ok3 := naiveNumber(a)
		ny, ok4 := naiveNumber(b)
		if ok1 != ok3 || ok2 != ok4 {
			t.Fatalf("%q %q: %v %v, naive %v %v", a, b, ok1, ok2, ok3, ok4)
		}
		if ok1 && ok2 && x.compare(y) != nx.Cmp(ny) {
			t.Fatalf("%q %q: %d, naive %d", a, b, x.compare(y), nx.Cmp(ny))
		}
	})
}
