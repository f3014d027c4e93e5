package iam

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

// Records is what the service needs of the map. placement/store provides it.
type Records interface {
	Map() *placement.Map
	// Sync returns when Map is at least as new as the control store was at the call.
	Sync(ctx context.Context) error
	// EditIAM changes records of accounts, users, groups, policies and access keys in one transaction: edit says how, from a
	// map that no other such transaction has changed since when its changes are made. It is called again after a conflict. The
	// changes are in Map when EditIAM returns nil. Errors: edit's own; others mean that the outcome is unknown.
	EditIAM(ctx context.Context, edit func(*placement.Map) ([]placement.IAMChange, error)) error
}

// Options configures New. A zero field means the default given here.
type Options struct {
	Records Records // required
	// Authorize decides whether who, who is no root, may do p, by the policies that m has. Required.
	Authorize func(ctx context.Context, m *placement.Map, who Caller, p Permission) policy.Decision

	Now    func() time.Time // time.Now
	Logger *slog.Logger     // discards
}

func (o *Options) validate() error {
	if o.Records == nil || o.Authorize == nil {
		return errors.New("iam: Records and Authorize are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Caller is who makes a request, as the gateway has authenticated it.
type Caller struct {
	Account string // id
	User    string // name; "": the account's root
}

func (c *Caller) root() bool { return c.User == "" }

// Permission is something that a caller must be allowed to do, with what the call says of it to conditions of policies: see Values.
type Permission struct {
	Action   string // "iam:CreateUser"
	Resource string // ARN, or "*"
	// Values of condition keys; empty where the request has none.
	PolicyARN    string          // iam:PolicyARN: the managed policy that is attached or detached
	RequestTags  []placement.Tag // aws:RequestTag/…
	TagKeys      []string        // aws:TagKeys
	ResourceTags []placement.Tag // aws:ResourceTag/…, iam:ResourceTag/…
}

// Request is one call.
type Request struct {
	ID     string // as the answer names it
	Caller Caller
	Form   url.Values // the parameters, from the body or the query
}

// Service answers the calls. It is safe for concurrent use and starts no goroutine.
type Service struct {
	opt Options
	ops map[operationKey]*operation
}

// New returns a service.
func New(opt Options) (*Service, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	s := &Service{opt: opt, ops: make(map[operationKey]*operation)}
	for i := range operations {
		op := &operations[i]
		s.ops[operationKey{op.api, op.name}] = op
	}
	return s, nil
}

// Do answers one call: status is HTTP's, body is an XML document.
func (s *Service) Do(ctx context.Context, req Request) (status int, body []byte) {
	op, err := s.find(form(req.Form))
	if err != nil {
		return s.refuse(ctx, err, apiOf(req.Form), req.ID)
	}
	result, err := s.answer(ctx, op, &req)
	if err == nil {
		body, err = encodeAnswer(op, result, req.ID)
	}
	if err != nil {
		return s.refuse(ctx, err, op.api, req.ID)
	}
	return http.StatusOK, body
}

// Refuse is the answer to a call that the gateway does not hand over, because it does not know who makes it or cannot serve it.
func Refuse(req Request, code Code, message string) (status int, body []byte) {
	err := &Error{code, message}
	return err.Status(), encodeError(err, apiOf(req.Form), req.ID)
}

func (s *Service) refuse(ctx context.Context, err error, of api, id string) (status int, body []byte) {
	known, ok := errors.AsType[*Error](err)
	if !ok {
		s.opt.Logger.Warn("IAM call failed", "request", id, "error", err)
		known = &Error{ServiceUnavailable, "The control store cannot be reached at the moment. If this was a change, look whether it was made before you try again."}
		if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			known.Message += " (" + err.Error() + ")"
		}
	}
	return known.Status(), encodeError(known, of, id)
}

// find is the operation that f asks for. Errors: *Error.
func (s *Service) find(f form) (*operation, error) {
	action, version := f.get("Action"), f.get("Version")
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	if of, ok := apiOfVersion(version); ok {
		if op := s.ops[operationKey{of, action}]; op != nil {
			return op, nil
		}
	}
	return nil, fail(InvalidAction, "Could not find operation %s for version %s", clip(action), clip(version))
}

// clip is s as far as it is shown again: what a client sent is not echoed without bound.
func clip(s string) string { return s[:min(len(s), 128)] }

// answer checks and makes one call. Errors: *Error; others are the control store's.
func (s *Service) answer(ctx context.Context, op *operation, req *Request) (result any, err error) {
	known, err := form(req.Form).check(op.params)
	if err != nil {
		return nil, err
	}
	records := s.opt.Records
	c := &call{form: known, caller: req.Caller, op: op, now: s.opt.Now().UTC().Truncate(time.Second)}
	authorized := func(m *placement.Map) error {
		c.dir = directory{m, req.Caller.Account}
		c.changes, c.again = nil, false
		return s.authorize(ctx, c)
	}
	if err := authorized(records.Map()); err != nil { // first by the map at hand: a caller without permission must not cost the control store anything
		return nil, err
	}
	if op.change {
		for first := true; err == nil && (first || c.again); first = false {
			err = records.EditIAM(ctx, func(m *placement.Map) (changes []placement.IAMChange, err error) {
				if err := authorized(m); err != nil {
					return nil, err
				}
				result, err = op.run(c)
				return c.changes, err
			})
		}
		return result, err
	}
	if !op.local {
		if err := records.Sync(ctx); err != nil {
			return nil, err
		}
		if err := authorized(records.Map()); err != nil {
			return nil, err
		}
	}
	return op.run(c)
}

// authorize refuses what the caller may not do, in the state that c.dir has. Errors: *Error.
func (s *Service) authorize(ctx context.Context, c *call) error {
	if c.op.rootOnly {
		if c.caller.root() && c.caller.Account == c.dir.m.Account("").ID {
			return nil
		}
		return fail(AccessDenied, "%s may only be called by the root of the account that the cluster began with", c.op.name)
	}
	if c.op.permissions == nil || c.caller.root() {
		return nil
	}
	for _, p := range c.op.permissions(c) {
		if p.Action == "" {
			p.Action = "iam:" + c.op.name
		}
		if d := s.opt.Authorize(ctx, c.dir.m, c.caller, p); !d.Allowed() {
			return fail(AccessDenied, "User: %s is not authorized to perform: %s on resource: %s %s", c.callerARN(), p.Action, p.Resource, d.Reason(p.Action))
		}
	}
	return nil
}
