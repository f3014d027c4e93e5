package cors

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// headersMax bounds what an anonymous preflight can make the gateway compare. Browsers send a few.
const headersMax = 256

// Request is what a browser says of a page's request.
type Request struct {
	Origin  string
	Method  string   // that the page uses, or is going to use
	Headers []string // Access-Control-Request-Headers, in lower case
}

// Read takes what a request says of its page, with Access-Control-Request-Method and -Headers if it has them: S3 heeds
// them on actual requests too. It is false that the request is a page's if it has no Origin.
func Read(method string, h http.Header) (Request, bool) {
	q := Request{Origin: h.Get("Origin"), Method: h.Get("Access-Control-Request-Method")}
	if q.Origin == "" {
		return Request{}, false
	}
	if q.Method == "" {
		q.Method = method
	}
	for _, line := range h.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				q.Headers = append(q.Headers, strings.ToLower(name))
			}
		}
	}
	return q, true
}

// Grant is what a rule lets a page do, as an answer's headers say it.
type Grant struct {
	rule   *Rule
	origin string // "*", or the page's
	asked  []string
}

// Match is what the first rule that fits lets q's page do. It is nil if there is none; c may be nil.
func (c *Config) Match(q Request) *Grant {
	if c == nil || len(q.Headers) > headersMax {
		return nil
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		if !slices.Contains(r.AllowedMethods, q.Method) || !r.allows(q.Headers) {
			continue
		}
		for _, o := range r.AllowedOrigins {
			if o == "*" {
				return &Grant{rule: r, origin: "*", asked: q.Headers}
			}
			if fits(o, q.Origin, func(a, b string) bool { return a == b }) {
				return &Grant{rule: r, origin: q.Origin, asked: q.Headers}
			}
		}
	}
	return nil
}

// allows reports whether each of names is an allowed header.
func (r *Rule) allows(names []string) bool {
	for _, name := range names {
		if !slices.ContainsFunc(r.AllowedHeaders, func(allowed string) bool { return fits(allowed, name, strings.EqualFold) }) {
			return false
		}
	}
	return true
}

// fits reports whether s is pattern, whose one * stands for any text, also none.
func fits(pattern, s string, same func(a, b string) bool) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return same(pattern, s)
	}
	return len(s) >= len(before)+len(after) && same(s[:len(before)], before) && same(s[len(s)-len(after):], after)
}

// Each calls set with each header of the answer. Nothing is set by a nil g.
func (g *Grant) Each(set func(name, value string)) {
	if g == nil {
		return
	}
	set("Access-Control-Allow-Origin", g.origin)
	set("Access-Control-Allow-Methods", strings.Join(g.rule.AllowedMethods, ", "))
	if len(g.asked) > 0 {
		set("Access-Control-Allow-Headers", strings.Join(g.asked, ", "))
	}
	if len(g.rule.ExposeHeaders) > 0 {
		set("Access-Control-Expose-Headers", strings.Join(g.rule.ExposeHeaders, ", "))
	}
	if g.rule.MaxAgeSeconds != nil {
		set("Access-Control-Max-Age", strconv.Itoa(*g.rule.MaxAgeSeconds))
	}
	if g.origin != "*" {
		set("Access-Control-Allow-Credentials", "true") // browsers refuse it beside *
	}
	set("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
}
