package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/adminapi"
)

// adminClient speaks the admin API of one server.
type adminClient struct {
	endpoint string
	insecure bool
	json     bool
}

// answerBytes is the most that an answer of the admin API may have.
const answerBytes = 64 << 20

// addFlags adds those that every admin command has.
func (c *adminClient) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.endpoint, "endpoint", defaultEndpoint(), "URL of the server")
	f.BoolVar(&c.insecure, "insecure", false, "do not check the server's certificate")
	f.BoolVar(&c.json, "json", false, "print JSON")
}

// call does one request; in may be nil, out is filled from the answer.
func (c *adminClient) call(ctx context.Context, method, path string, in, out any) error {
	cred := awsCredentials()
	if cred.AccessKey == "" || cred.SecretKey == "" {
		return errors.New("no credentials: export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the root user")
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.endpoint, "/")+adminapi.Prefix+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("--endpoint: %w: give it as http://HOST:PORT", err)
	}
	sum := sha256.Sum256(body)
	sigv4.Sign(req, sigv4.Credentials{AccessKey: cred.AccessKey, Secret: cred.SecretKey, SessionToken: cred.SessionToken},
		hex.EncodeToString(sum[:]), firstNonEmpty(cred.Region, "us-east-1"), time.Now())
	res, err := c.http().Do(req)
	if err != nil {
		return fmt.Errorf("%w: is the server running, and is --endpoint right?", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerBytes))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return adminError(res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s%s did not answer as a sherd: %w", c.endpoint, adminapi.Prefix, err)
	}
	return nil
}

func (c *adminClient) http() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: c.insecure}
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// adminError tells what a refusal says: in our JSON, in S3's XML (a bad signature), or not at all.
func adminError(status int, body []byte) error {
	var e adminapi.Error
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return errors.New(e.Error)
	}
	if code := between(body, "<Code>", "</Code>"); code != "" {
		return fmt.Errorf("%s: %s", code, between(body, "<Message>", "</Message>"))
	}
	return fmt.Errorf("the server answered %d %s", status, http.StatusText(status))
}

func between(b []byte, open, closing string) string {
	_, rest, ok := bytes.Cut(b, []byte(open))
	text, _, closed := bytes.Cut(rest, []byte(closing))
	if !ok || !closed {
		return ""
	}
	return string(text)
}

// fetch reads path and prints it: as JSON, or by print.
func fetch[T any](cmd *cobra.Command, c *adminClient, method, path string, in any, print func(io.Writer, *T) error) error {
	var out T
	if err := c.call(cmd.Context(), method, path, in, &out); err != nil {
		return err
	}
	if c.json {
		return writeJSON(cmd.OutOrStdout(), out)
	}
	return print(cmd.OutOrStdout(), &out)
}

// follow prints what poll gives until it says done: one line that changes on a terminal; else a line for each
// time it says something new, so that a log stays readable.
func follow(ctx context.Context, out io.Writer, every time.Duration, poll func() (line string, done bool, err error)) error {
	f, isFile := out.(*os.File)
	live := isFile && isTerminal(f)
	last := ""
	for {
		line, done, err := poll()
		if err != nil {
			return err
		}
		switch {
		case live:
			fmt.Fprintf(out, "\r\x1b[K%s", line)
		case line != last:
			fmt.Fprintln(out, line)
		}
		last = line
		if done {
			if live {
				fmt.Fprintln(out)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// bar draws done of total in width characters.
func bar(done, total int64, width int) string {
	full := 0
	if total > 0 {
		full = int(min(done, total) * int64(width) / total)
	}
	return "[" + string(bytes.Repeat([]byte{'#'}, full)) + string(bytes.Repeat([]byte{'.'}, width-full)) + "]"
}
