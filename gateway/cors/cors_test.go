package cors

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func seconds(n int) *int { return &n }

// guide is the user guide's rule ("Testing CORS").
var guide = Config{Rules: []Rule{{AllowedOrigins: []string{"http://www.example1.com"}, AllowedMethods: []string{"GET", "PUT", "POST", "DELETE"},
	AllowedHeaders: []string{"Authorization"}, ExposeHeaders: []string{"x-amz-meta-custom-header"}}}}

const vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"

// header makes one of pairs.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func sent(g *Grant) map[string]string {
	m := map[string]string{}
	g.Each(func(name, value string) { m[name] = value })
	return m
}

// TestPreflight: the sample of "Testing CORS", RESTOPTIONSobject, and S3's answers as they were seen.
func TestPreflight(t *testing.T) {
	everyone := &Config{Rules: []Rule{{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET"}}}}
	full := &Config{Rules: []Rule{{AllowedOrigins: []string{"https://localhost:4200"}, AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"*"}, MaxAgeSeconds: seconds(3000)}}}
	for name, c := range map[string]struct {
		config *Config
		h      http.Header
		want   map[string]string
		err    *Error
	}{
		"the guide's sample": {&guide, header("Origin", "http://www.example1.com", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "Authorization"),
			map[string]string{"Access-Control-Allow-Origin": "http://www.example1.com", "Access-Control-Allow-Methods": "GET, PUT, POST, DELETE",
				"Access-Control-Allow-Headers": "authorization", "Access-Control-Expose-Headers": "x-amz-meta-custom-header",
				"Access-Control-Allow-Credentials": "true", "Vary": vary}, nil},
		"no header asked for": {full, header("Origin", "https://localhost:4200", "Access-Control-Request-Method", "PUT"),
			map[string]string{"Access-Control-Allow-Origin": "https://localhost:4200", "Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Max-Age": "3000",
				"Access-Control-Allow-Credentials": "true", "Vary": vary}, nil},
		"headers in the order asked for": {full, header("Origin", "https://localhost:4200", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-b,X-A, ,x-c"),
			map[string]string{"Access-Control-Allow-Origin": "https://localhost:4200", "Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Max-Age": "3000",
				"Access-Control-Allow-Headers": "x-b, x-a, x-c", "Access-Control-Allow-Credentials": "true", "Vary": vary}, nil},
		"everyone": {everyone, header("Origin", "http://random:1234", "Access-Control-Request-Method", "GET"),
			map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET", "Vary": vary}, nil},
		"no allowed headers":    {everyone, header("Origin", "http://a", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-a"), nil, ErrNotAllowed},
		"another scheme":        {full, header("Origin", "http://localhost:4200", "Access-Control-Request-Method", "PUT"), nil, ErrNotAllowed},
		"a slash at the end":    {full, header("Origin", "https://localhost:4200/", "Access-Control-Request-Method", "PUT"), nil, ErrNotAllowed},
		"another case":          {full, header("Origin", "https://LOCALHOST:4200", "Access-Control-Request-Method", "PUT"), nil, ErrNotAllowed},
		"another method":        {full, header("Origin", "https://localhost:4200", "Access-Control-Request-Method", "DELETE"), nil, ErrNotAllowed},
		"one header too many":   {&guide, header("Origin", "http://www.example1.com", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,x-a"), nil, ErrNotAllowed},
		"a second header line":  {&guide, header("Origin", "http://www.example1.com", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization", "Access-Control-Request-Headers", "x-a"), nil, ErrNotAllowed},
		"no rules at all":       {&Config{}, header("Origin", "http://a", "Access-Control-Request-Method", "GET"), nil, ErrNotAllowed},
		"not enabled":           {nil, header("Origin", "http://a"), nil, ErrNotEnabled},
		"no origin":             {nil, header("Access-Control-Request-Method", "GET"), nil, ErrNoOrigin},
		"no origin, with rules": {full, header(), nil, ErrNoOrigin},
		"no method":             {full, header("Origin", "https://localhost:4200"), nil, &Error{"BadRequest", "Invalid Access-Control-Request-Method: null"}},
		"an unknown method":     {full, header("Origin", "https://localhost:4200", "Access-Control-Request-Method", "PATCH"), nil, &Error{"BadRequest", "Invalid Access-Control-Request-Method: PATCH"}},
		"very many headers": {full, header("Origin", "https://localhost:4200", "Access-Control-Request-Method", "PUT",
			"Access-Control-Request-Headers", strings.Repeat("x,", headersMax+1)), nil, ErrNotAllowed},
	} {
		g, err := c.config.Preflight(c.h)
		if c.err != nil {
			if e, ok := err.(*Error); !ok || *e != *c.err || g != nil {
				t.Errorf("%s: %v, %v, want %v", name, sent(g), err, c.err)
			}
			continue
		}
		if got := sent(g); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v\n%v\n%v", name, err, got, c.want)
		}
	}
}

// TestActual: an actual request is matched by its own method, or by what it says of the one to come, and never refused.
func TestActual(t *testing.T) {
	config := &Config{Rules: []Rule{
		{AllowedOrigins: []string{"http://a"}, AllowedMethods: []string{"GET"}, ExposeHeaders: []string{"ETag", "x-amz-version-id"}, MaxAgeSeconds: seconds(0)},
		{AllowedOrigins: []string{"http://*"}, AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"x-*"}}}}
	for name, c := range map[string]struct {
		method string
		h      http.Header
		want   map[string]string
	}{
		"the first rule": {"GET", header("Origin", "http://a"), map[string]string{"Access-Control-Allow-Origin": "http://a", "Access-Control-Allow-Methods": "GET",
			"Access-Control-Expose-Headers": "ETag, x-amz-version-id", "Access-Control-Max-Age": "0", "Access-Control-Allow-Credentials": "true", "Vary": vary}},
		"the second one, by method": {"PUT", header("Origin", "http://a"), map[string]string{"Access-Control-Allow-Origin": "http://a", "Access-Control-Allow-Methods": "GET, PUT",
			"Access-Control-Allow-Credentials": "true", "Vary": vary}},
		"the second one, by header": {"GET", header("Origin", "http://a", "Access-Control-Request-Headers", "X-Amz-Date"), map[string]string{"Access-Control-Allow-Origin": "http://a",
			"Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Allow-Headers": "x-amz-date", "Access-Control-Allow-Credentials": "true", "Vary": vary}},
		"no rule":                      {"DELETE", header("Origin", "http://a"), map[string]string{}},
		"the method to come":           {"GET", header("Origin", "http://a", "Access-Control-Request-Method", "DELETE"), map[string]string{}},
		"a header of the request only": {"GET", header("Origin", "https://a", "x-a", "y"), map[string]string{}},
		"not a page's":                 {"GET", header(), map[string]string{}},
	} {
		q, ok := Read(c.method, c.h)
		if ok != (c.h.Get("Origin") != "") {
			t.Errorf("%s: %v", name, ok)
		}
		if got := sent(config.Match(q)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if g := (*Config)(nil).Match(Request{Origin: "http://a", Method: "GET"}); g != nil {
		t.Error("a rule where there are none")
	}
}

// TestWildcards: "Elements of a CORS configuration"; the patterns and origins are those of ceph's s3-tests, test_cors_origin_response.
func TestWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"*suffix", []string{"foo.suffix", "suffix"}, []string{"foo.suffix.get", "foo.bar", "uffix"}},
		{"start*end", []string{"startend", "start1end", "start12end"}, []string{"0start12end", "start", "staend"}},
		{"prefix*", []string{"prefix", "prefix.suffix"}, []string{"bla.prefix", "PREFIX"}},
		{"http://*.example.com", []string{"http://a.b.example.com"}, []string{"http://example.com", "https://a.example.com", "http://a.example.com:80"}},
		{"aXa*aYa", []string{"aXaaYa"}, []string{"aXaYa"}}, // the ends do not overlap
		{"null", []string{"null"}, []string{"*"}},
		{"", nil, []string{"null"}},
	} {
		config := &Config{Rules: []Rule{{AllowedOrigins: []string{c.pattern}, AllowedMethods: []string{"GET"}, AllowedHeaders: []string{c.pattern}}}}
		for _, s := range c.yes {
			if g := config.Match(Request{Origin: s, Method: "GET"}); g == nil || g.origin != s {
				t.Errorf("%q does not match %q", s, c.pattern)
			}
			if g := config.Match(Request{Origin: s, Method: "GET", Headers: []string{strings.ToUpper(s)}}); g == nil {
				t.Errorf("header %q does not match %q", s, c.pattern)
			}
		}
		for _, s := range c.no {
			if g := config.Match(Request{Origin: s, Method: "GET"}); g != nil {
				t.Errorf("%q matches %q", s, c.pattern)
			}
		}
	}
}

// TestValidate: API_PutBucketCors, API_CORSRule, and S3's messages.
func TestValidate(t *testing.T) {
	good := Rule{AllowedOrigins: []string{"*", ""}, AllowedMethods: []string{"GET", "PUT", "POST", "DELETE", "HEAD"}, AllowedHeaders: []string{"x-amz-*"},
		ExposeHeaders: []string{"ETag"}, ID: strings.Repeat("ü", idMax)}
	with := func(change func(r *Rule)) Config {
		r := good
		change(&r)
		return Config{Rules: []Rule{good, r}}
	}
	for want, c := range map[string]Config{
		"": {Rules: slicesOf(good, rulesMax)},
		"The number of CORS rules should not exceed allowed limit of 100 rules.":                       {Rules: slicesOf(good, rulesMax+1)},
		"Found unsupported HTTP method in CORS config. Unsupported method is OPTIONS":                  with(func(r *Rule) { r.AllowedMethods = []string{"GET", "OPTIONS"} }),
		"Found unsupported HTTP method in CORS config. Unsupported method is get":                      with(func(r *Rule) { r.AllowedMethods = []string{"get"} }),
		"Found unsupported HTTP method in CORS config. Unsupported method is ":                         with(func(r *Rule) { r.AllowedMethods = []string{""} }),
		`AllowedOrigin "*example*.com" can not have more than one wildcard.`:                           with(func(r *Rule) { r.AllowedOrigins = []string{"*example*.com"} }),
		`AllowedHeader "**" can not have more than one wildcard.`:                                      with(func(r *Rule) { r.AllowedHeaders = []string{"*", "**"} }),
		`ExposeHeader "x-*" contains wildcard. We currently do not support wildcard for ExposeHeader.`: with(func(r *Rule) { r.ExposeHeaders = []string{"x-*"} }),
		"ExposeHeader \"a\r\nSet-Cookie: b\" contains invalid character.":                              with(func(r *Rule) { r.ExposeHeaders = []string{"a\r\nSet-Cookie: b"} }),
		`ExposeHeader "" contains invalid character.`:                                                  with(func(r *Rule) { r.ExposeHeaders = []string{""} }),
		"ID length should not exceed allowed limit of 255":                                             with(func(r *Rule) { r.ID += "x" }),
	} {
		got := ""
		if err, ok := c.Validate().(*Error); ok {
			got = err.Message
			if err.Code != "InvalidRequest" {
				t.Errorf("%s is %s", got, err.Code)
			}
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func slicesOf(r Rule, n int) []Rule {
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = r
	}
	return rules
}

// TestKept: the form in which rules are kept does not change.
func TestKept(t *testing.T) {
	const kept = `{"rules":[{"id":"a","allowedOrigins":["*"],"allowedMethods":["GET"],"allowedHeaders":["x-*"],"exposeHeaders":["ETag"],"maxAgeSeconds":0},{"allowedOrigins":["http://a"],"allowedMethods":["PUT"]}]}`
	var c Config
	if err := json.Unmarshal([]byte(kept), &c); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(&c); err != nil || string(got) != kept {
		t.Fatalf("%s, %v", got, err)
	}
}

// FuzzMatch: rules that are valid never send a header that is not one line, nor more than the page asked for.
func FuzzMatch(f *testing.F) {
	f.Add("http://*.com", "GET", "x-*", "ETag", "http://a.com", "x-a, x-b")
	f.Add("*", "PUT", "*", "", "null", "")
	f.Add("a*a", "HEAD", "", "x", "a", ",,")
	f.Fuzz(func(t *testing.T, allowed, method, allowedHeader, expose, origin, asked string) {
		c := &Config{Rules: []Rule{{AllowedOrigins: []string{allowed}, AllowedMethods: []string{method}, AllowedHeaders: []string{allowedHeader}, ExposeHeaders: []string{expose}}}}
		if c.Validate() != nil {
			return
		}
		q, ok := Read(method, header("Origin", origin, "Access-Control-Request-Headers", asked))
		if !ok {
			return
		}
		g := c.Match(q)
		if again, err := c.Preflight(header("Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", asked)); (err == nil) != (g != nil) || !reflect.DeepEqual(sent(again), sent(g)) {
			t.Fatalf("%v, but the preflight: %v, %v", sent(g), sent(again), err)
		}
		for name, value := range sent(g) {
			if name == "Access-Control-Allow-Origin" && value != origin && value != "*" {
				t.Fatalf("origin %q for %q", value, origin)
			}
			if strings.ContainsAny(value, "\r\n") && !strings.ContainsAny(origin+asked, "\r\n") { // net/http takes neither in a request
				t.Fatalf("%s: %q", name, value)
			}
		}
	})
}

// BenchmarkMatch is what a page's request costs.
func BenchmarkMatch(b *testing.B) {
	h := header("Origin", "http://www.example1.com")
	b.ReportAllocs()
	for b.Loop() {
		q, _ := Read("GET", h)
		guide.Match(q).Each(func(string, string) {})
	}
}
