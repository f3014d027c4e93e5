package s3

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/gateway/sigv4"
)

// groups are all cases.
func groups() []group {
	return slices.Concat(
		bucketGroups(), objectGroups(), listGroups(), multipartGroups(), copyGroups(), checksumGroups(), signatureGroups(), configGroups(), versionGroups(), accessGroups(), browserGroups(),
	)
}

// tally counts what became of the cases that ran.
var tally struct{ held, waiting atomic.Int64 }

func summary() string {
	return fmt.Sprintf("conformance: %d cases held, %d wait for what is not there yet\n", tally.held.Load(), tally.waiting.Load())
}

func TestConformance(t *testing.T) {
	target.shared = fmt.Sprintf("conformance-%d", time.Now().UnixNano())
	all := &run{t: t}
	if a, err := all.send(PUT("/"+target.shared, "")); err != nil || a.status != http.StatusOK {
		t.Fatalf("making bucket %s: %v %+v", target.shared, err, a)
	}
	if target.foreign {
		t.Cleanup(all.cleanUp)
	}
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, k := range g.cases {
				t.Run(k.name, func(t *testing.T) {
					t.Parallel()
					(&run{t: t, group: g.name, share: g.buckets == shared, k: &k}).all()
				})
			}
		})
	}
}

// run is one case under way.
type run struct {
	t     *testing.T
	group string
	share bool
	k     *kase
	vars  map[string]string
	creds sigv4.Credentials // of user
	later string            // what a check has found not to be there yet
	made  []string          // buckets
}

var numbers atomic.Int64

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

func (r *run) all() {
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(r.group+"-"+r.k.name), "-"), "-")
	name = fmt.Sprintf("%.40s-%d-%d", name, time.Now().UnixNano()%1e9, numbers.Add(1))
	r.vars = map[string]string{
		"bucket": name, "user": name, "none": name + "-none", "prefix": "", "account": target.account, "canonical": target.canonical, "stranger": target.stranger,
		"endpoint": target.url, "host": strings.TrimPrefix(target.url, "http://"),
	}
	if waiting, _ := r.waits(); waiting != nil || r.share && !r.k.ownBucket() {
		r.vars["bucket"], r.vars["prefix"] = target.shared+"/"+name, name+"/"
	} else if a, err := r.send(PUT("", "")); err != nil || a.status != http.StatusOK {
		r.t.Fatalf("making bucket %s: %v %+v", name, err, a)
	}
	if target.foreign { // a server of the suite's own goes with all it has
		defer r.cleanUp()
	}
	waits, err := r.play()
	waits = cmp.Or(waits, r.later)
	switch {
	case err != nil:
		r.t.Errorf("%s: %v", r.k.doc, err)
	case waits != "":
		tally.waiting.Add(1)
		r.t.Logf("waits for %s", waits)
	default:
		tally.held.Add(1)
	}
}

// play goes through the case. waits names what is not there yet; then err is of what was to be found instead.
func (r *run) play() (waits string, err error) {
	if q, waits := r.waits(); q != nil {
		return waits, r.refused(q)
	}
	for _, q := range r.k.given {
		a, err := r.send(q)
		if err == nil && a.status >= 300 {
			err = fmt.Errorf("%d %.400s", a.status, a.body)
		}
		if err != nil {
			return "", fmt.Errorf("given %s %s: %w", q.method, r.fill(q.path), err)
		}
	}
	a, err := r.send(r.k.do)
	if err != nil {
		return "", err
	}
	return "", r.k.want.of(r, r.k.do, a)
}

// waits finds the first step that needs what is not there yet, and names that; nil: there is none.
func (r *run) waits() (*request, string) {
	for _, q := range append(slices.Clone(r.k.given), r.k.do) {
		if what := r.unserved(q); what != "" {
			return q, what
		}
	}
	return nil, ""
}

// unserved names q's operation if the server does not have it yet; "": it has.
func (r *run) unserved(q *request) string {
	if target.foreign || q.iam {
		return ""
	}
	h, err := r.build(q)
	if err != nil {
		return ""
	}
	if o, ok := gateway.OperationOf(h); ok && !o.Served {
		return o.Name
	}
	return ""
}

// refused wants of a request that the server does not serve yet that it says so, or what the case wants anyway. Who has
// not signed is told nothing.
func (r *run) refused(q *request) error {
	if q.who == user {
		return nil // whom a step before would have made
	}
	a, err := r.send(q)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusNotImplemented, q.who == nobody && a.status == http.StatusForbidden:
		return nil
	case a.code() == "NoSuchBucket" && strings.HasPrefix(q.path, "/{none}"):
		return nil // a step before would have made it
	case q != r.k.do:
		return fmt.Errorf("%s %s is not served and answers %d %s", q.method, r.fill(q.path), a.status, a.body)
	}
	return r.k.want.of(r, q, a)
}

// fill puts what the run knows in the place of {names}.
func (r *run) fill(text string) string {
	if !strings.Contains(text, "{") && !strings.Contains(text, "%7B") {
		return text
	}
	for name, value := range r.vars {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
		text = strings.ReplaceAll(text, "%7B"+name+"%7D", value) // in a form
	}
	return text
}

// build makes the HTTP request, signed.
func (r *run) build(q *request) (*http.Request, error) {
	path := r.fill(q.path)
	switch {
	case strings.HasPrefix(path, "/"):
	case path == "" || path[0] == '?':
		bucket, _, _ := strings.Cut(r.vars["bucket"], "/")
		path = "/" + bucket + path
	default:
		path = "/" + r.vars["bucket"] + "/" + path
	}
	body := r.fill(q.body)
	h, err := http.NewRequest(q.method, target.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(q.header); i += 2 {
		if name, value := q.header[i], r.fill(q.header[i+1]); name == "Host" {
			h.Host = value
		} else {
			h.Header.Add(name, value)
		}
	}
	if q.sum {
		h.Header.Set("x-amz-checksum-sha256", sum("sha256", body))
	}
	r.sign(q, h, body)
	if q.change != nil {
		q.change(h)
	}
	return h, nil
}

func (r *run) sign(q *request, h *http.Request, body string) {
	c, now := r.credentials(q.who), time.Now().Add(q.sent)
	payload := h.Header.Get("x-amz-content-sha256")
	if payload == "" {
		payload = digestOf([]byte(body))
	}
	switch {
	case q.stream != nil:
		wire := q.stream(h, c, body)
		h.Body, h.ContentLength = io.NopCloser(bytes.NewReader(wire)), int64(len(wire))
	case q.who == nobody:
	case q.sig != nil:
		q.sig.sign(h, c, payload, now)
	default:
		sigv4.Sign(h, c, payload, "us-east-1", now)
	}
}

func (r *run) credentials(w who) sigv4.Credentials {
	switch w {
	case user:
		return r.creds
	case other:
		return target.other
	}
	return target.root
}

// busyWithin is how long a server may say that it is too busy.
const busyWithin = 2 * time.Minute

const retryAfter = 100 * time.Millisecond

// send makes the request, reads the answer whole and keeps what is to be saved of it. As every SDK does, it tries again
// when the server says that it cannot just now.
func (r *run) send(q *request) (*answer, error) {
	for began, try := time.Now(), 1; ; try++ {
		h, err := r.build(q)
		if err != nil {
			return nil, err
		}
		a, err := r.exchange(h, q)
		if err != nil {
			return nil, err
		}
		if try > 1 && a.code() == "BucketAlreadyOwnedByYou" { // it was made before, and the server could not say so
			a = &answer{status: http.StatusOK, header: a.header}
		}
		if a.status != http.StatusServiceUnavailable || time.Since(began) > busyWithin {
			r.keep(q, h, a)
			return a, nil
		}
		time.Sleep(retryAfter)
	}
}

// exchange sends h and reads the answer.
func (r *run) exchange(h *http.Request, q *request) (a *answer, err error) {
	var res *http.Response
	if q.wire != nil {
		res, err = r.sendWire(h, q)
	} else {
		res, err = target.client.Do(h)
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%d %s: reading the body: %w", res.StatusCode, body, err)
	}
	a = &answer{status: res.StatusCode, header: res.Header, body: body}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		a.xml = parseXML(body)
	}
	return a, nil
}

// keep takes out of an answer what the case goes on with.
func (r *run) keep(q *request, h *http.Request, a *answer) {
	for _, s := range q.saves {
		r.vars[s[0]] = cmp.Or(a.header.Get(s[1]), cmp.Or(a.xml.all(s[1])...))
	}
	switch {
	case a.status != http.StatusOK:
	case q.iam:
		r.keepUser(a)
	case q.method == "PUT" && strings.Count(h.URL.Path, "/") == 1 && h.URL.RawQuery == "":
		r.made = append(r.made, h.URL.Path)
	}
}

// sendWire writes a request by hand, for what net/http would put right. q.wire gets the head, without the empty line
// that ends it, and gives all that is sent.
func (r *run) sendWire(h *http.Request, q *request) (*http.Response, error) {
	conn, err := net.DialTimeout("tcp", h.URL.Host, readyWithin)
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(readyWithin)); err != nil {
		return nil, err
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", h.Method, h.URL.RequestURI(), cmp.Or(h.Host, h.URL.Host))
	for name, values := range h.Header {
		for _, v := range values {
			fmt.Fprintf(&head, "%s: %s\r\n", name, v)
		}
	}
	if _, err := io.WriteString(conn, q.wire(head.String())); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(conn), h)
}

// cleanUp removes what the case has left. What a lock keeps stays.
func (r *run) cleanUp() {
	if prefix := r.vars["prefix"]; prefix != "" {
		r.removeKeys("/"+target.shared, "&prefix="+escape(prefix))
	}
	for _, bucket := range r.made {
		for _, q := range []string{"?uploads", "?versions"} {
			if a, err := r.send(GET(bucket + q)); err == nil && a.status == http.StatusOK {
				r.removeListed(bucket, a)
			}
		}
		r.removeKeys(bucket, "")
		if a, err := r.send(DELETE(bucket)); err != nil || a.status >= 300 && a.code() != "NoSuchBucket" {
			r.t.Logf("bucket %s is left: %v %+v", bucket, err, a)
		}
	}
	r.removeUser()
}

func (r *run) removeKeys(bucket, query string) {
	a, err := r.send(GET(bucket + "?list-type=2&encoding-type=url" + query))
	if err != nil {
		return
	}
	for _, key := range a.xml.all("Contents/Key") {
		key, _ = url.QueryUnescape(key)
		_, _ = r.send(DELETE(bucket + "/" + escapeKey(key)))
	}
}

// removeListed removes the uploads or versions of a listing.
func (r *run) removeListed(bucket string, a *answer) {
	for _, n := range a.xml.below {
		path := bucket + "/" + escapeKey(cmp.Or(n.all("Key")...))
		switch n.name {
		case "Upload":
			_, _ = r.send(DELETE(path + "?uploadId=" + escape(cmp.Or(n.all("UploadId")...))))
		case "Version", "DeleteMarker":
			_, _ = r.send(DELETE(path+"?versionId="+cmp.Or(n.all("VersionId")...), "x-amz-bypass-governance-retention", "true"))
		}
	}
}

// escapeKey writes a key as clients put it into a path.
func escapeKey(key string) string { return strings.ReplaceAll(escape(key), "%2F", "/") }
