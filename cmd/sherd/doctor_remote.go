package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// patient examines one endpoint from outside, as a client would.
type patient struct {
	base   *url.URL
	bucket string
	cred   sigv4.Credentials
	region string
	client *http.Client
	found  []finding
}

// examine runs all checks from outside. An error is one that kept them from being made.
func examine(ctx context.Context, endpoint, bucket string, insecure bool) ([]finding, error) {
	base, err := url.Parse(strings.TrimRight(endpoint, "/"))
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("--endpoint %q is not http://host:port", endpoint)
	}
	c := awsCredentials()
	if c.AccessKey == "" || c.SecretKey == "" {
		return nil, errors.New("no credentials: export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: insecure}
	t.DisableCompression = true
	p := &patient{
		base: base, bucket: bucket, region: firstNonEmpty(c.Region, "us-east-1"),
		cred:   sigv4.Credentials{AccessKey: c.AccessKey, Secret: c.SecretKey, SessionToken: c.SessionToken},
		client: &http.Client{Transport: t, Timeout: time.Minute},
	}
	if !p.reachable(ctx) {
		return p.found, nil
	}
	if bucket == "" {
		p.bucket = "sherd-doctor-" + strings.ToLower(rand.Text()[:10])
		if !p.step(ctx, "signed request", p.plain("PUT", "", nil)) {
			return p.found, nil
		}
		defer p.remove(context.WithoutCancel(ctx), "")
	}
	p.checkUploads(ctx)
	p.checkPresigned(ctx)
	p.checkRange(ctx)
	p.checkKeys(ctx)
	p.checkLarge(ctx)
	return p.found, nil
}

func (p *patient) note(failed bool, check, text, remedy string) {
	p.found = append(p.found, finding{Failed: failed, Check: check, Text: text, Remedy: remedy})
}

// reachable looks at the server's own pages, and at its clock.
func (p *patient) reachable(ctx context.Context) bool {
	res, err := p.send(ctx, "GET", p.base.String()+"/_/ready", nil, nil)
	if err != nil {
		p.note(true, "reach", err.Error(), "Check address, port, firewall and DNS; is the server running?")
		return false
	}
	if res.status != http.StatusOK {
		p.note(false, "ready", fmt.Sprintf("/_/ready answers %d: %.200s", res.status, bytes.TrimSpace(res.body)),
			"If that is not sherd's own answer, the proxy keeps /_/ to itself, which is fine; else see `sherd status`.")
	}
	date, err := http.ParseTime(res.header.Get("Date"))
	if err == nil {
		if off := time.Since(date).Abs(); off > 5*time.Minute {
			p.note(true, "clock", fmt.Sprintf("here and there differ by %s", roughly(off)), "Set both clocks (chrony): from 15 minutes on every request is refused.")
		}
	}
	return true
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (p *patient) send(ctx context.Context, method, target string, body []byte, prepare func(*http.Request) error) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if prepare != nil {
		if err := prepare(req); err != nil {
			return answer{}, err
		}
	}
	res, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	return answer{res.StatusCode, res.Header, text}, err
}

// urlOf is the address of key, escaped as S3 clients do.
func (p *patient) urlOf(key string) string {
	u := p.base.String() + "/" + p.bucket
	if key == "" {
		return u
	}
	var parts []string
	for part := range strings.SplitSeq(key, "/") {
		parts = append(parts, strings.ReplaceAll(url.QueryEscape(part), "+", "%20"))
	}
	return u + "/" + strings.Join(parts, "/")
}

// probe is one request; it returns what was wrong with the answer.
type probe func(ctx context.Context) (answer, error)

// step does a probe and notes what goes wrong.
func (p *patient) step(ctx context.Context, check string, do probe) bool {
	a, err := do(ctx)
	switch {
	case err != nil:
		p.note(true, check, err.Error(), "The connection broke: look at the proxy's time-outs and size limits.")
	case a.status >= 300:
		code := between(a.body, "<Code>", "</Code>")
		p.note(true, check, fmt.Sprintf("answer %d %s", a.status, firstNonEmpty(code, string(bytes.TrimSpace(a.body[:min(len(a.body), 100)])))), remedyFor(code))
	default:
		return true
	}
	return false
}

// remedyFor says what usually stands behind an error code.
func remedyFor(code string) string {
	switch code {
	case "SignatureDoesNotMatch":
		return "The proxy changes what was signed: let it pass Host (proxy_set_header Host $http_host), path and query untouched; the answer's CanonicalRequest shows what the server saw."
	case "InvalidAccessKeyId":
		return "AWS_ACCESS_KEY_ID is not one of this server."
	case "RequestTimeTooSkewed":
		return "Set the clocks of both sides."
	case "IncompleteBody", "MissingContentLength":
		return "The proxy re-chunks bodies: turn request buffering off (proxy_request_buffering off) and speak HTTP/1.1 to the server."
	case "":
		return "This is not S3's answer: the proxy made it. See its log, its size limits (client_max_body_size 0) and routes."
	}
	return "See the server's log under the answer's x-amz-request-id."
}

// plain is a request with a signed payload.
func (p *patient) plain(method, key string, body []byte) probe {
	return func(ctx context.Context) (answer, error) {
		return p.send(ctx, method, p.urlOf(key), body, func(r *http.Request) error {
			sum := sha256.Sum256(body)
			sigv4.Sign(r, p.cred, hex.EncodeToString(sum[:]), p.region, time.Now())
			return nil
		})
	}
}

func (p *patient) remove(ctx context.Context, key string) { p.plain("DELETE", key, nil)(ctx) }

// readBack compares key with want.
func (p *patient) readBack(ctx context.Context, check, key string, want []byte) bool {
	a, err := p.plain("GET", key, nil)(ctx)
	if !p.step(ctx, check, func(context.Context) (answer, error) { return a, err }) {
		return false
	}
	if !bytes.Equal(a.body, want) {
		p.note(true, check, fmt.Sprintf("read %d bytes that are not the %d that were stored", len(a.body), len(want)),
			"The proxy changes bodies: turn compression and rewriting off for this host.")
		return false
	}
	return true
}

// checkUploads tries the four ways in which clients send bodies.
func (p *patient) checkUploads(ctx context.Context) {
	const key = "upload"
	defer p.remove(context.WithoutCancel(ctx), key)
	body := make([]byte, 200_000)
	rand.Read(body)
	if p.step(ctx, "signed payload", p.plain("PUT", key, body)) {
		p.readBack(ctx, "signed payload", key, body)
	}
	for check, mode := range map[string]sigv4.Payload{
		"streaming upload (aws-chunked)":            sigv4.PayloadChunks,
		"streaming upload with a trailer":           sigv4.PayloadChunksTrailer,
		"unsigned upload with a trailer (SDKs now)": sigv4.PayloadUnsignedChunkTrailer,
	} {
		if p.step(ctx, check, p.chunked(key, body, mode)) {
			p.readBack(ctx, check, key, body)
		}
	}
}

func (p *patient) chunked(key string, body []byte, mode sigv4.Payload) probe {
	return func(ctx context.Context) (answer, error) {
		return p.send(ctx, "PUT", p.urlOf(key), nil, func(r *http.Request) error {
			signer := sigv4.SignChunks(r, p.cred, mode, int64(len(body)), []string{"x-amz-checksum-crc32"}, p.region, time.Now())
			var wire []byte
			for rest := body; len(rest) > 0; {
				n := min(len(rest), 64<<10)
				wire = signer.AppendChunk(wire, rest[:n])
				rest = rest[n:]
			}
			sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))
			wire = signer.AppendEnd(wire, map[string]string{"x-amz-checksum-crc32": base64.StdEncoding.EncodeToString(sum)})
			r.Body = io.NopCloser(bytes.NewReader(wire))
			r.ContentLength = int64(len(wire))
			return nil
		})
	}
}

// checkPresigned uploads and downloads through links that carry their signature.
func (p *patient) checkPresigned(ctx context.Context) {
	const key = "presigned file"
	defer p.remove(context.WithoutCancel(ctx), key)
	presigned := func(method string, body []byte) probe {
		return func(ctx context.Context) (answer, error) {
			return p.send(ctx, method, p.urlOf(key), body, func(r *http.Request) error {
				sigv4.Presign(r, p.cred, p.region, time.Minute, time.Now())
				return nil
			})
		}
	}
	if !p.step(ctx, "presigned PUT", presigned("PUT", []byte("presigned"))) {
		return
	}
	p.step(ctx, "presigned GET", presigned("GET", nil))
}

// checkRange reads the middle of an object.
func (p *patient) checkRange(ctx context.Context) {
	const key, check = "range", "range read"
	defer p.remove(context.WithoutCancel(ctx), key)
	if !p.step(ctx, check, p.plain("PUT", key, []byte("0123456789"))) {
		return
	}
	a, err := p.send(ctx, "GET", p.urlOf(key), nil, func(r *http.Request) error {
		r.Header.Set("Range", "bytes=2-4")
		sigv4.Sign(r, p.cred, sigv4.EmptySHA256, p.region, time.Now())
		return nil
	})
	if p.step(ctx, check, func(context.Context) (answer, error) { return a, err }) && (a.status != 206 || string(a.body) != "234") {
		p.note(true, check, fmt.Sprintf("bytes 2-4 of 0123456789 came as %d %.20q", a.status, a.body), "The proxy drops or answers Range itself: turn its cache off for this host.")
	}
}

// checkKeys tries those that proxies like to rewrite.
func (p *patient) checkKeys(ctx context.Context) {
	for _, key := range []string{"a//b", "dir/", "a b+c%d", "ключ/鍵", "q?x=y&z", "semi;colon,comma", "..a/.b"} {
		check := fmt.Sprintf("key %q", key)
		if p.step(ctx, check, p.plain("PUT", key, []byte(key))) {
			p.readBack(ctx, check, key, []byte(key))
		}
		p.remove(context.WithoutCancel(ctx), key)
	}
}

// checkLarge sends what exceeds the limits that proxies have by default.
func (p *patient) checkLarge(ctx context.Context) {
	const key, check = "large", "a body of 24 MiB"
	defer p.remove(context.WithoutCancel(ctx), key)
	body := bytes.Repeat([]byte("0123456789abcdef"), 24<<20/16)
	start := time.Now()
	if p.step(ctx, check, p.plain("PUT", key, body)) && p.readBack(ctx, check, key, body) && time.Since(start) > 20*time.Second {
		p.note(false, check, "up and down took "+roughly(time.Since(start)), "A slow link, or a proxy that spools bodies to disk: turn its buffering off.")
	}
}
