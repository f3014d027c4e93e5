package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sherd-io/sherd/gateway/iam"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/placement"
)

// iamBytesMax is the longest form of a call: a policy of 6 KiB is three times as long in a form, and may have white space that is not counted.
const iamBytesMax = 64 << 10

// serveIAM serves AWS's IAM and STS query APIs: a form posted to the service or in its query, signed for iam or sts.
//
// Source: "Call the IAM API using HTTP query requests", IAM User Guide: GET and POST are served for all actions.
func (r *request) serveIAM() error {
	body, err := io.ReadAll(http.MaxBytesReader(r.w, r.http.Body, iamBytesMax))
	if err != nil {
		return toAPI(err)
	}
	r.in, r.read = int64(len(body)), true
	form, err := parameters(r.http.URL.RawQuery, string(body))
	call := iam.Request{ID: r.id, Form: form}
	switch {
	case err != nil:
		return r.sendIAM(iam.Refuse(call, iam.ValidationError, "The body is not a form."))
	case r.s.iam == nil:
		return r.sendIAM(iam.Refuse(call, iam.InvalidAction, "There is no identity management here."))
	}
	if r.auth, err = r.s.verifier.VerifyForm(r.http, r.host, body, "iam", "sts"); err == nil {
		err = r.identify()
	}
	if err != nil {
		return r.sendIAM(refuseIAM(call, err))
	}
	if r.auth.Anonymous {
		return r.sendIAM(iam.Refuse(call, iam.MissingAuthToken, "Request is missing Authentication Token"))
	}
	if r.s.opt.ControlAge() > r.s.opt.Staleness {
		return r.sendIAM(iam.Refuse(call, iam.ServiceUnavailable, "This node has had no contact with the control store for too long."))
	}
	call.Caller = iam.Caller{Account: r.caller.Account, User: r.caller.Name}
	return r.sendIAM(r.s.iam.Do(context.WithValue(r.ctx, requestKey{}, r), call))
}

// parameters are those of the query and of the body together.
func parameters(query, body string) (url.Values, error) {
	if query != "" && body != "" {
		query += "&"
	}
	return url.ParseQuery(query + body)
}

func (r *request) sendIAM(status int, body []byte) error {
	r.header.set("x-amzn-RequestId", r.id)
	return r.sendDocument(status, "text/xml", body)
}

// refuseIAM says in IAM's words that a request is not known to be anybody's.
func refuseIAM(call iam.Request, err error) (status int, body []byte) {
	code := iam.AccessDenied
	var message string
	if sig, ok := errors.AsType[*sigv4.Error](err); ok {
		message = sig.Message
		switch sig.Code {
		case sigv4.InvalidAccessKeyID:
			code, message = iam.InvalidClientTokenID, "The security token included in the request is invalid."
		case sigv4.ServiceUnavailable:
			code = iam.ServiceUnavailable
		case sigv4.AuthorizationHeaderMalformed, sigv4.AuthorizationQueryParametersError, sigv4.InvalidRequest, sigv4.InvalidArgument:
			code = iam.IncompleteSignature
		default:
			code = iam.SignatureDoesNotMatch
		}
		if sig.Fact("HeadersNotSigned") == "host" {
			message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
		}
		if canonical := sig.Fact("CanonicalRequest"); canonical != "" {
			message += "\n\nThe Canonical String for this request should have been\n'" + canonical + "'\n\nThe String-to-Sign should have been\n'" + sig.Fact("StringToSign") + "'\n"
		}
	} else {
		api := toAPI(err)
		if message = api.message; api.code == "InvalidToken" {
			code = iam.InvalidClientTokenID
		}
	}
	return iam.Refuse(call, code, message)
}

// requestKey finds the request that a call of the IAM API came with.
type requestKey struct{}

// mayIAM is iam.Options.Authorize.
func (s *Server) mayIAM(ctx context.Context, m *placement.Map, who iam.Caller, p iam.Permission) policy.Decision {
	c, err := s.callers.find(m, Identity{Account: who.Account, User: who.User})
	if err != nil {
		return policy.NotAllowedByIdentity
	}
	r, _ := ctx.Value(requestKey{}).(*request)
	question := policy.Request{Principal: c.Principal, Action: p.Action, Resource: p.Resource, Context: iamSituation{r, c, &p}}
	return policy.Decide(&question, &policy.Access{Owner: who.Account, Identity: c.policies})
}

// iamSituation is what policies may ask of a call: a policy.Context.
type iamSituation struct {
	r *request
	c *caller // as the map has him in which the call is decided: tags and all
	p *iam.Permission
}

// Values gives the values of a key, which is in lower case.
func (s iamSituation) Values(key string) ([]string, bool) {
	if values, ok, known := s.p.Values(key); known {
		return values, ok
	}
	if name, ok := strings.CutPrefix(key, "aws:principaltag/"); ok {
		return tagIn(s.c.tags(), name)
	}
	return situation{s.r, new(subject)}.Values(key)
}

func tagSet(tags []placement.Tag) url.Values {
	set := make(url.Values, len(tags))
	for _, t := range tags {
		set[t.Key] = []string{t.Value}
	}
	return set
}
