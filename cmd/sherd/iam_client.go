package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/gateway/sigv4"
)

// iamClient speaks the IAM query API of a server, as any AWS tool does.
type iamClient struct{ adminClient }

// iamVersion is the API's version.
const iamVersion = "2010-05-08"

// iamParams are the parameters of an action: names and values in turn. Those that are empty are left out.
type iamParams []string

// call does one action and returns the answer's document.
func (c *iamClient) call(ctx context.Context, action string, params iamParams) ([]byte, error) {
	cred := awsCredentials()
	if cred.AccessKey == "" || cred.SecretKey == "" {
		return nil, errors.New("no credentials: export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	form := url.Values{"Action": {action}, "Version": {iamVersion}}
	for i := 0; i < len(params); i += 2 {
		if params[i+1] != "" {
			form.Set(params[i], params[i+1])
		}
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.endpoint, "/")+"/", strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--endpoint: %w: give it as http://HOST:PORT", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	sigv4.SignFor(req, sigv4.Credentials{AccessKey: cred.AccessKey, Secret: cred.SecretKey, SessionToken: cred.SessionToken},
		hex.EncodeToString(sum[:]), "iam", firstNonEmpty(cred.Region, "us-east-1"), time.Now())
	res, err := c.http().Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: is the server running, and is --endpoint right?", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerBytes))
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		return nil, iamRefusal(res.StatusCode, answer)
	}
	return answer, nil
}

// iamGet does one action and returns its result.
func iamGet[Result any](ctx context.Context, c *iamClient, action string, params iamParams) (Result, error) {
	var answer struct {
		Metadata struct{} `xml:"ResponseMetadata"`
		Result   Result   `xml:",any"` // ListUsersResult
	}
	body, err := c.call(ctx, action, params)
	if err != nil {
		return answer.Result, err
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return answer.Result, fmt.Errorf("%s did not answer as IAM: %w", c.endpoint, err)
	}
	return answer.Result, nil
}

// iamError is a refusal of the API.
type iamError struct{ code, message string }

func (e *iamError) Error() string { return e.code + ": " + e.message }

// iamRefusal tells what a refusal says: in IAM's XML, or in S3's.
func iamRefusal(status int, body []byte) error {
	var doc struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(body, &doc) == nil && doc.Code != "" {
		return &iamError{doc.Code, doc.Message}
	}
	return adminError(status, body)
}

// isIAM reports whether err is a refusal with code.
func isIAM(err error, code string) bool {
	e, ok := errors.AsType[*iamError](err)
	return ok && e.code == code
}

// iamPage is what every list has.
type iamPage struct {
	IsTruncated bool
	Marker      string
}

// iamList is all that a list has, page after page: entries takes them out of one.
func iamList[Page, T any](ctx context.Context, c *iamClient, action string, params iamParams, entries func(Page) ([]T, iamPage)) ([]T, error) {
	all := []T{} // not null in JSON
	for marker := ""; ; {
		page, err := iamGet[Page](ctx, c, action, append(params[:len(params):len(params)], "Marker", marker))
		if err != nil {
			return nil, err
		}
		some, rest := entries(page)
		all = append(all, some...)
		if !rest.IsTruncated || rest.Marker == "" || rest.Marker == marker {
			return all, nil
		}
		marker = rest.Marker
	}
}

// iamDo is a command that does one action and says so.
func iamDo(cmd *cobra.Command, c *iamClient, action string, params iamParams, done string) error {
	if _, err := c.call(cmd.Context(), action, params); err != nil {
		return err
	}
	return c.say(cmd, done)
}

// say prints that something is done.
func (c *iamClient) say(cmd *cobra.Command, done string) error {
	if c.json {
		return writeJSON(cmd.OutOrStdout(), struct{}{})
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), done)
	return err
}

// show prints v: as JSON, or by print.
func show[T any](cmd *cobra.Command, c *iamClient, v T, print func(io.Writer, T) error) error {
	if c.json {
		return writeJSON(cmd.OutOrStdout(), v)
	}
	return print(cmd.OutOrStdout(), v)
}

// iamCommand is a command below one of IAM's nouns, with as many arguments as its use names.
func iamCommand(use, short string, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(strings.Count(use, " ")), RunE: run}
}

// Shapes of answers, as far as they are shown.
type (
	iamTag  struct{ Key, Value string }
	iamUser struct {
		Name    string    `xml:"UserName" json:"name"`
		Path    string    `json:"path"`
		ID      string    `xml:"UserId" json:"id"`
		ARN     string    `xml:"Arn" json:"arn"`
		Created time.Time `xml:"CreateDate" json:"created"`
		Tags    []iamTag  `xml:"Tags>member" json:"tags,omitempty"`
	}
	iamGroup struct {
		Name    string    `xml:"GroupName" json:"name"`
		Path    string    `json:"path"`
		ID      string    `xml:"GroupId" json:"id"`
		ARN     string    `xml:"Arn" json:"arn"`
		Created time.Time `xml:"CreateDate" json:"created"`
	}
	iamPolicy struct {
		Name        string    `xml:"PolicyName" json:"name"`
		Path        string    `json:"path"`
		ID          string    `xml:"PolicyId" json:"id"`
		ARN         string    `xml:"Arn" json:"arn"`
		Description string    `json:"description,omitempty"`
		Default     string    `xml:"DefaultVersionId" json:"default"`
		Attached    int       `xml:"AttachmentCount" json:"attached"`
		Created     time.Time `xml:"CreateDate" json:"created"`
		Updated     time.Time `xml:"UpdateDate" json:"updated"`
	}
	iamVersionRow struct {
		ID       string    `xml:"VersionId" json:"id"`
		Default  bool      `xml:"IsDefaultVersion" json:"default"`
		Created  time.Time `xml:"CreateDate" json:"created"`
		Document string    `json:"-"`
	}
	iamAttached struct {
		Name string `xml:"PolicyName" json:"name"`
		ARN  string `xml:"PolicyArn" json:"arn"`
	}
	iamKey struct {
		User      string    `xml:"UserName" json:"user,omitempty"` // "": root's
		AccessKey string    `xml:"AccessKeyId" json:"accessKey"`
		Secret    string    `xml:"SecretAccessKey" json:"secretKey,omitempty"`
		Status    string    `json:"status"`
		Created   time.Time `xml:"CreateDate" json:"created"`
	}
	iamAccount struct {
		ID        string    `xml:"AccountId" json:"id"`
		Name      string    `xml:"AccountName" json:"name"`
		Canonical string    `xml:"CanonicalId" json:"canonicalId"`
		Created   time.Time `xml:"CreateDate" json:"created"`
	}
)

func (c *iamClient) users(ctx context.Context, prefix string) ([]iamUser, error) {
	type page struct {
		Entries []iamUser `xml:"Users>member"`
		iamPage
	}
	return iamList(ctx, c, "ListUsers", iamParams{"PathPrefix", prefix}, func(p page) ([]iamUser, iamPage) { return p.Entries, p.iamPage })
}

func (c *iamClient) groups(ctx context.Context, prefix string) ([]iamGroup, error) {
	type page struct {
		Entries []iamGroup `xml:"Groups>member"`
		iamPage
	}
	return iamList(ctx, c, "ListGroups", iamParams{"PathPrefix", prefix}, func(p page) ([]iamGroup, iamPage) { return p.Entries, p.iamPage })
}

func (c *iamClient) groupsOf(ctx context.Context, user string) ([]iamGroup, error) {
	type page struct {
		Entries []iamGroup `xml:"Groups>member"`
		iamPage
	}
	return iamList(ctx, c, "ListGroupsForUser", iamParams{"UserName", user}, func(p page) ([]iamGroup, iamPage) { return p.Entries, p.iamPage })
}

func (c *iamClient) policies(ctx context.Context, scope string) ([]iamPolicy, error) {
	type page struct {
		Entries []iamPolicy `xml:"Policies>member"`
		iamPage
	}
	return iamList(ctx, c, "ListPolicies", iamParams{"Scope", scope}, func(p page) ([]iamPolicy, iamPage) { return p.Entries, p.iamPage })
}

func (c *iamClient) versions(ctx context.Context, arn string) ([]iamVersionRow, error) {
	type page struct {
		Entries []iamVersionRow `xml:"Versions>member"`
		iamPage
	}
	return iamList(ctx, c, "ListPolicyVersions", iamParams{"PolicyArn", arn}, func(p page) ([]iamVersionRow, iamPage) { return p.Entries, p.iamPage })
}

func (c *iamClient) keys(ctx context.Context, user string) ([]iamKey, error) {
	type page struct {
		Entries []iamKey `xml:"AccessKeyMetadata>member"`
		iamPage
	}
	return iamList(ctx, c, "ListAccessKeys", iamParams{"UserName", user}, func(p page) ([]iamKey, iamPage) { return p.Entries, p.iamPage })
}

func (c *iamClient) accounts(ctx context.Context) ([]iamAccount, error) {
	type page struct {
		Entries []iamAccount `xml:"Accounts>member"`
		iamPage
	}
	return iamList(ctx, c, "ListAccounts", nil, func(p page) ([]iamAccount, iamPage) { return p.Entries, p.iamPage })
}
