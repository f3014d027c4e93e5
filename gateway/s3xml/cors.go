package s3xml

import "io"

// CORSRule is one of a bucket's rules for requests from other origins. package cors says what it means.
type CORSRule struct {
	ID             string
	AllowedOrigins []string // at least one
	AllowedMethods []string // at least one
	AllowedHeaders []string
	ExposeHeaders  []string
	MaxAgeSeconds  *int // nil: not said
}

// ReadCORS reads the body of PutBucketCors: at least one rule. What stands in the rules is the caller's to check.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadCORS(r io.Reader) ([]CORSRule, error) {
	return readConfig(r, "CORSConfiguration", func(n *node) []CORSRule {
		n.only("CORSRule")
		if len(n.children) == 0 {
			n.fail("no rule")
		}
		rules := make([]CORSRule, 0, len(n.children))
		for _, c := range n.all("CORSRule") {
			rules = append(rules, c.corsRule())
		}
		return rules
	})
}

func (n *node) corsRule() CORSRule {
	n.only("ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds")
	rule := CORSRule{ID: n.child("ID").trimmed(), AllowedOrigins: n.texts("AllowedOrigin"), AllowedMethods: n.texts("AllowedMethod"),
		AllowedHeaders: n.texts("AllowedHeader"), ExposeHeaders: n.texts("ExposeHeader")}
	if len(rule.AllowedOrigins) == 0 || len(rule.AllowedMethods) == 0 {
		n.fail("no origin or no method")
	}
	if age := n.child("MaxAgeSeconds"); age != nil {
		seconds := age.integer() // below zero: a browser is to keep nothing, which Fetch allows
		rule.MaxAgeSeconds = &seconds
	}
	return rule
}

// texts are the texts of the children of that name.
func (n *node) texts(name string) (found []string) {
	for _, c := range n.all(name) {
		found = append(found, c.trimmed())
	}
	return found
}

// AppendCORS appends GetBucketCors's document.
func AppendCORS(b []byte, rules []CORSRule) []byte {
	b = root(b, "CORSConfiguration")
	for i := range rules {
		r := &rules[i]
		b = opening(b, "CORSRule")
		b = optional(b, "ID", r.ID)
		b = elements(b, "AllowedHeader", r.AllowedHeaders)
		b = elements(b, "AllowedMethod", r.AllowedMethods)
		b = elements(b, "AllowedOrigin", r.AllowedOrigins)
		b = elements(b, "ExposeHeader", r.ExposeHeaders)
		if r.MaxAgeSeconds != nil {
			b = number(b, "MaxAgeSeconds", int64(*r.MaxAgeSeconds))
		}
		b = closing(b, "CORSRule")
	}
	return closing(b, "CORSConfiguration")
}

func elements(b []byte, name string, texts []string) []byte {
	for _, s := range texts {
		b = element(b, name, s)
	}
	return b
}
