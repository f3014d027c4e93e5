package policy

import (
	"strings"
	"testing"
)

// TestPatternsMadeToTakeLong: what patterns may cost is bounded, and a policy that takes more denies, whatever it says.
func TestPatternsMadeToTakeLong(t *testing.T) {
	alice, _ := cast("alice")
	header := strings.Repeat("a", 14<<10)
	for _, c := range []struct {
		name, pattern string
		want          Effect // of a policy that allows what fits the pattern
	}{
		{"wildcards that can be searched for", "*" + strings.Repeat("ab*", 2000), None},
		{"one that fits at its end", "*" + strings.Repeat("a*", 2000) + "a", Allow},
		{"many places to begin", "*" + strings.Repeat("a", 9000) + "b", None},
		{"question marks behind a star", "*" + strings.Repeat("?", 9000) + "b", None},
		{"that fit", "*" + strings.Repeat("?", 9000) + "a", Allow},
		{"between letters", "*" + strings.Repeat("a?", 4000) + "b", Deny},
		{"and that would fit", "*" + strings.Repeat("a?", 4000) + "b*", Deny},
	} {
		p, err := ParseIdentity(`{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:referer":"` + c.pattern + `"}}}}`)
		if err != nil {
			t.Fatal(err)
		}
		r := &Request{Principal: alice, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: &values{of: map[string][]string{"aws:referer": {header}}}}
		if got := p.Evaluate(r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		e := evaluation{request: r, steps: stepsMax}
		for i := range p.statements {
			p.statements[i].evaluate(&e)
		}
		if least := -2 - len(header)/bytesPerStep; e.steps < least || (e.steps < 0) != (c.want == Deny) {
			t.Errorf("%s: %d steps are left", c.name, e.steps)
		}
	}
}
