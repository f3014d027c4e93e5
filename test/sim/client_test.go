package sim

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

const (
	bucket       = "simulated"
	requestMax   = 40 * time.Second // after it the outcome is unknown
	pageMax      = 5                // keys of one page of a listing
	clientsPort  = "clients"
	clientsTrunk = 16 // idle connections to one gateway
)

// client asks gateways, retries nothing and hides nothing.
type client struct {
	c    *cluster
	http *http.Client
}

func (c *cluster) client() *client {
	h := c.nw.host(clientsPort)
	return &client{c: c, http: &http.Client{
		Timeout: requestMax,
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, addr string) (net.Conn, error) { return h.dial(ctx, addr) },
			DisableCompression: true, MaxIdleConnsPerHost: clientsTrunk, IdleConnTimeout: 10 * time.Second,
		},
	}}
}

// hasty is the client with less patience: after so long the outcome is unknown.
func (cl *client) hasty(patience time.Duration) *client {
	return &client{c: cl.c, http: &http.Client{Timeout: patience, Transport: cl.http.Transport}}
}

func (cl *client) close() { cl.http.CloseIdleConnections() }

// apiError is an answer that is not 2xx.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

// statusOf is the HTTP status of err; 0 if there was no answer.
func statusOf(err error) int {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.status
	}
	return 0
}

// do sends a signed request to a node's gateway and reads the answer whole.
func (cl *client) do(node, method, path, query string, body []byte, header map[string]string) (http.Header, []byte, error) {
	u := &url.URL{Scheme: "http", Host: node + ":" + gatewayPort, Path: path, RawQuery: query}
	req, err := http.NewRequest(method, u.String(), bytes.NewReader(body))
	cl.c.must(err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	sum := sha256.Sum256(body)
	sigv4.Sign(req, sigv4.Credentials{AccessKey: cl.c.root.AccessKey, Secret: cl.c.root.SecretKey}, hex.EncodeToString(sum[:]), "us-east-1", time.Now())
	res, err := cl.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, nil, err
	}
	if res.StatusCode >= 300 {
		e := &apiError{status: res.StatusCode}
		var parsed struct{ Code, Message string }
		if xml.Unmarshal(out, &parsed) == nil {
			e.code, e.message = parsed.Code, parsed.Message
		} else {
			e.message = string(out)
		}
		return res.Header, nil, e
	}
	return res.Header, out, nil
}

// admin calls the admin API.
func admin[T any](cl *client, node, method, path string, in any) (out T, err error) {
	var body []byte
	if in != nil {
		body, err = json.Marshal(in)
		cl.c.must(err)
	}
	_, got, err := cl.do(node, method, "/_/admin/v1/"+path, "", body, nil)
	if err == nil {
		err = json.Unmarshal(got, &out)
	}
	return out, err
}

// listed is a page of a listing.
type listed struct {
	Contents []struct{ Key, ETag string }
	Next     string `xml:"NextContinuationToken"`
}

// list reads one page of keys after a token.
func (cl *client) list(node, token string) (page listed, err error) {
	query := fmt.Sprintf("list-type=2&max-keys=%d", pageMax)
	if token != "" {
		query = "continuation-token=" + url.QueryEscape(token) + "&" + query
	}
	_, out, err := cl.do(node, "GET", "/"+bucket, query, nil, nil)
	if err == nil {
		err = xml.Unmarshal(out, &page)
	}
	return page, err
}

// body is one object's content, as its number says: no two are the same.
type body int

// sizes: inline, the least blob, a part of a unit, several units, several stripes.
var sizes = []int{12, 1500, 3000, 20_000, 300_000, 1_200_000}

func (b body) size() int {
	if int(b)%5 != 0 { // most are small
		return sizes[int(b)%4]
	}
	return sizes[int(b)*7%len(sizes)]
}

func (b body) bytes() []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(b))
	out := make([]byte, b.size())
	_, _ = rand.NewChaCha8(seed).Read(out) // never fails
	binary.LittleEndian.PutUint64(out, uint64(b))
	return out
}

func (b body) etag() string { return etagOf(b.bytes()) }

func etagOf(content []byte) string {
	sum := md5.Sum(content)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// bodyOf finds what was read. Error: it is nothing that was ever written.
func bodyOf(got []byte) (body, error) {
	if len(got) >= 8 {
		if b := body(binary.LittleEndian.Uint64(got)); b > 0 && b < 1<<20 && bytes.Equal(got, b.bytes()) {
			return b, nil
		}
	}
	return 0, fmt.Errorf("%d bytes that nobody wrote, beginning %q", len(got), got[:min(len(got), 16)])
}

func escaped(key string) string { return "/" + bucket + "/" + strings.TrimPrefix(key, "/") }
