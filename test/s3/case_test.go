package s3

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// group is a table of cases about one thing.
type group struct {
	name    string
	buckets buckets
	cases   []kase
}

// buckets is what the cases of a group need of theirs.
type buckets bool

const (
	own    buckets = false // each has one of its own
	shared buckets = true  // each has keys of its own, below {prefix}, in one that all share: making a bucket costs more than the case. One that is about its bucket has its own all the same.
)

// ownBucket reports whether k changes its bucket as such.
func (k *kase) ownBucket() bool {
	for _, q := range append(slices.Clone(k.given), k.do) {
		if !q.iam && q.who == root && q.method != "GET" && q.method != "HEAD" && (q.path == "" || q.path[0] == '?' || strings.HasPrefix(q.path, "/{bucket}?")) {
			return true
		}
	}
	return false
}

// kase is one promise.
type kase struct {
	name  string
	doc   string // the page of the S3 documentation, or the SDK's behaviour, that it stands on
	given []*request
	do    *request
	want  want
}

// given are steps that must succeed before the request that a case is about.
func given(steps ...*request) []*request { return steps }

// request is one HTTP request. In its texts, {bucket}, {id} and other names stand for what the run knows or has saved.
type request struct {
	method string
	path   string   // "key?query", "?query" of the case's bucket; from the root of the server if it begins with "/"
	header []string // name, value, …; a name may come again
	body   string
	who    who
	sig    *signature                                                  // nil: by gateway/sigv4
	sent   time.Duration                                               // when it is signed, from now
	stream func(r *http.Request, c sigv4.Credentials, b string) []byte // an aws-chunked body made of b; it signs
	change func(*http.Request)                                         // after signing
	wire   func(head string) string                                    // nil: net/http sends it; else what to send instead of the head and body it would have
	sum    bool                                                        // the body's SHA-256 checksum goes with it
	saves  [][2]string                                                 // name, and the XML path or header of the answer that it takes
	iam    bool                                                        // a call of the IAM query API: no operation of S3
}

// who signs a request.
type who uint8

const (
	root who = iota
	nobody
	user  // a user of root's account, made by newUser
	other // root of another account
)

func do(method, path, body string, header []string) *request {
	return &request{method: method, path: path, body: body, header: header}
}

// Requests by root, with a digest of the body, as SDKs send them.
func GET(path string, header ...string) *request    { return do("GET", path, "", header) }
func HEAD(path string, header ...string) *request   { return do("HEAD", path, "", header) }
func DELETE(path string, header ...string) *request { return do("DELETE", path, "", header) }
func OPTIONS(path string, header ...string) *request {
	return do("OPTIONS", path, "", header).by(nobody)
}
func PUT(path, body string, header ...string) *request {
	return do("PUT", path, body, header)
}
func POST(path, body string, header ...string) *request {
	return do("POST", path, body, header)
}

// by has somebody else sign.
func (q *request) by(w who) *request { q.who = w; return q }

// signed has the suite's own signer sign.
func (q *request) signed(s signature) *request { q.sig = &s; return q }

// presigned puts the signature in the query, good for a minute.
func (q *request) presigned() *request { return q.signed(signature{query: true}) }

// save keeps a value of the answer, by its XML path or its header, for what follows.
func (q *request) save(name, from string) *request {
	q.saves = append(q.saves, [2]string{name, from})
	return q
}

// changed changes the request behind the signer's back.
func (q *request) changed(by func(*http.Request)) *request { q.change = by; return q }

// want is what an answer must be.
type want struct {
	status int
	code   string // of the error document; not looked at in answers to HEAD, which have no body
	checks []check
}

// check says what is wrong with an answer. A check may ask the server more.
type check func(r *run, a *answer) error

func is(status int, checks ...check) want { return want{status: status, checks: checks} }

func fails(status int, code string, checks ...check) want {
	return want{status: status, code: code, checks: checks}
}

// has wants the body to be exactly text.
func has(text string) check {
	return func(r *run, a *answer) error {
		if want := r.fill(text); string(a.body) != want {
			return fmt.Errorf("body %.200q, want %.200q", a.body, want)
		}
		return nil
	}
}

// header wants a header's exact value, or with "" that it is not there.
func header(name, value string) check {
	return func(r *run, a *answer) error {
		if got := strings.Join(a.header.Values(name), " + "); got != r.fill(value) {
			return fmt.Errorf("header %s: %q, want %q", name, got, r.fill(value))
		}
		return nil
	}
}

// headerLike wants a header that matches.
func headerLike(name, pattern string) check {
	re := regexp.MustCompile(pattern)
	return func(_ *run, a *answer) error {
		if got := a.header.Get(name); !re.MatchString(got) {
			return fmt.Errorf("header %s: %q does not match %s", name, got, pattern)
		}
		return nil
	}
}

// val wants the texts of all elements at a path, in their order; none: that there is no such element.
func val(path string, texts ...string) check {
	return func(r *run, a *answer) error {
		want := make([]string, len(texts))
		for i := range texts {
			want[i] = r.fill(texts[i])
		}
		if got := a.xml.all(path); !slices.Equal(got, want) {
			return fmt.Errorf("%s: %.400q, want %.400q", path, got, want)
		}
		return nil
	}
}

// valLike wants exactly one element at a path, with a text that matches.
func valLike(path, pattern string) check {
	re := regexp.MustCompile(pattern)
	return func(_ *run, a *answer) error {
		if got := a.xml.all(path); len(got) != 1 || !re.MatchString(got[0]) {
			return fmt.Errorf("%s: %.400q, want one that matches %s", path, got, pattern)
		}
		return nil
	}
}

// count wants so many elements at a path.
func count(path string, n int) check {
	return func(_ *run, a *answer) error {
		if got := a.xml.all(path); len(got) != n {
			return fmt.Errorf("%d times %s, want %d", len(got), path, n)
		}
		return nil
	}
}

// then makes another request when the first was answered, and wants something of it.
func then(q *request, w want) check {
	return func(r *run, _ *answer) error {
		if waits := r.unserved(q); waits != "" {
			r.later = waits
			return nil
		}
		a, err := r.send(q)
		if err == nil {
			err = w.of(r, q, a)
		}
		if err != nil {
			return fmt.Errorf("then %s %s: %w", q.method, r.fill(q.path), err)
		}
		return nil
	}
}

// of says what is wrong with an answer.
func (w want) of(r *run, q *request, a *answer) error {
	if a.status != w.status || q.method != "HEAD" && a.code() != w.code {
		return fmt.Errorf("%d %s, want %d %s: %.600s", a.status, a.code(), w.status, w.code, a.body)
	}
	errs := []error{a.wellFormed(q)}
	for _, c := range w.checks {
		errs = append(errs, c(r, a))
	}
	return errors.Join(errs...)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	xml    *node // nil: the body is none
}

func (a *answer) code() string {
	if a.status < 300 && (a.xml == nil || a.xml.name != "Error") {
		return ""
	}
	return cmp.Or(append(a.xml.all("Code"), a.xml.all("Error/Code")...)...)
}

// wellFormed says what is wrong with any answer of S3. Source: API/RESTCommonResponseHeaders, API/ErrorResponses.
func (a *answer) wellFormed(q *request) error {
	switch {
	case q.iam:
		return nil
	case a.header.Get("x-amz-request-id") == "" || a.header.Get("Date") == "":
		return fmt.Errorf("no x-amz-request-id or no Date: %v", a.header)
	case q.method == "HEAD" && len(a.body) > 0:
		return fmt.Errorf("HEAD has a body of %d bytes", len(a.body))
	case a.status >= 400 && q.method != "HEAD" && (len(a.xml.all("Message")) != 1 || len(a.xml.all("RequestId")) != 1):
		return fmt.Errorf("an error without Message or RequestId: %s", a.body)
	case a.status >= 400 && q.method != "HEAD" && !strings.HasPrefix(a.header.Get("Content-Type"), "application/xml"):
		return fmt.Errorf("an error of type %q", a.header.Get("Content-Type"))
	case a.status == http.StatusNoContent && len(a.body) > 0:
		return fmt.Errorf("204 with a body")
	case a.xml != nil && a.status < 300 && !bytes.HasPrefix(a.body, []byte(`<?xml version="1.0" encoding="UTF-8"?>`)) && a.header.Get("Content-Type") == "application/xml" && a.header.Get("ETag") == "":
		return fmt.Errorf("a document without prolog: %.80s", a.body)
	}
	return nil
}
