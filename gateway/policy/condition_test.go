package policy

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestConditions goes through testdata/conditions.txt; the naive evaluator must say the same.
func TestConditions(t *testing.T) {
	f, err := os.Open("testdata/conditions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var document string
	var policy *Policy
	rows, groups := 0, map[string]bool{}
	in := bufio.NewScanner(f)
	for line := 1; in.Scan(); line++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		first, rest, _ := strings.Cut(text, " ")
		rest = strings.TrimSpace(rest)
		if first == ":" {
			operator, values, _ := strings.Cut(rest, " ")
			document = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"` + operator + `":{"test:Key":` + values + `}}}}`
			if policy, err = ParseIdentity(document); err != nil {
				t.Fatalf("line %d: %v", line, err)
			}
			groups[operator] = true
			continue
		}
		rows++
		alice, _ := cast("alice")
		ctx := &values{of: map[string][]string{"aws:principaltag/flag": {"true"}}}
		switch rest {
		case "-":
		case "[]":
			ctx.of["test:key"] = []string{}
		default:
			ctx.of["test:key"] = strings.Split(strings.ReplaceAll(rest, `""`, ""), "|")
		}
		r := &Request{Principal: alice, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: ctx}
		if got := policy.Evaluate(r) == Allow; got != (first == "yes") {
			t.Errorf("line %d: %s: %v", line, text, got)
		}
		if got := naiveEvaluate(naiveDocument(t, document), r).direct; got != (first == "yes") {
			t.Errorf("line %d: %s: the naive evaluator says %v", line, text, got)
		}
	}
	if rows < 250 {
		t.Errorf("only %d rows", rows)
	}
	for _, op := range operators {
		if !groups[op.name] {
			t.Errorf("%s has no rows", op.name)
		}
	}
}

// TestEveryOperatorTakesItsSetsAndIfExists: each operator exists in all its forms, and Null in one only.
func TestEveryOperatorTakesItsSetsAndIfExists(t *testing.T) {
	sample := map[class]string{numberClass: "1", dateClass: "2020", boolClass: "true", addressClass: "10.0.0.1", arnClass: "arn:aws:s3:::b", nullClass: "true", binaryClass: "YQ=="}
	for _, op := range operators {
		for _, form := range []string{"", "ForAllValues:", "ForAnyValue:"} {
			for _, suffix := range []string{"", "IfExists"} {
				value, _ := json.Marshal(sample[op.class])
				_, err := ParseIdentity(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"` + form + op.name + suffix + `":{"a:b":` + string(value) + `}}}}`)
				plain := form == "" && suffix == ""
				if (err == nil) != (plain || op.class != nullClass) {
					t.Errorf("%s%s%s: %v", form, op.name, suffix, err)
				}
			}
		}
	}
}
