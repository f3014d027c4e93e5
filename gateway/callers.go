package gateway

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/sherd-io/sherd/gateway/iam"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

// caller is who makes a request, as the map has him. It is not changed once made.
type caller struct {
	policy.Principal
	account  *placement.Account // nil: anonymous
	user     *placement.User    // nil: the account's root, or anonymous
	policies []*policy.Policy   // of the user and of his groups; a root has none
	asksTags bool               // one of them asks for an object's tags
}

var nobody = new(caller)

// iamPrefix begins the Amazon Resource Names of accounts' roots and users; the account's id follows.
const iamPrefix = "arn:aws:iam::"

// tags are the user's, for aws:PrincipalTag.
func (c *caller) tags() url.Values {
	if c.user == nil {
		return nil
	}
	return tagSet(c.user.Tags)
}

// callers keeps what was made of the map's users and their policies, for as long as those stay as they are. The zero value is
// ready. Safe for concurrent use.
type callers struct {
	mu  sync.RWMutex
	at  int64 // placement.Map.IAM of what is kept
	all map[placement.Name]*caller
}

// find is the caller that an identity stands for. A user whose policies cannot be understood is an error: what cannot be
// understood may be what was to forbid.
func (c *callers) find(m *placement.Map, id Identity) (*caller, error) {
	name := placement.NameOf(id.Account, id.User)
	c.mu.RLock()
	found := c.all[name]
	fresh := c.at == m.IAM
	c.mu.RUnlock()
	if found != nil && fresh {
		return found, nil
	}
	made, err := newCaller(m, id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at < m.IAM || c.all == nil {
		c.at, c.all = m.IAM, map[placement.Name]*caller{}
	}
	if c.at == m.IAM {
		c.all[name] = made
	}
	return made, nil
}

func newCaller(m *placement.Map, id Identity) (*caller, error) {
	account := m.Account(id.Account)
	if account == nil {
		return nil, errAccessDenied
	}
	c := &caller{account: account, Principal: policy.Principal{Account: account.ID, Canonical: account.Canonical}}
	if id.User == "" {
		c.Root, c.UserID = true, account.ID
		c.ARN = iamPrefix + account.ID + ":root"
		return c, nil
	}
	if c.user = m.User(account.ID, id.User); c.user == nil {
		return nil, errAccessDenied
	}
	c.Name, c.UserID = c.user.Name, c.user.ID
	c.ARN = userARN(c.user)
	if err := c.take(m, &c.user.Permissions); err != nil {
		return nil, err
	}
	for _, name := range c.user.Groups {
		if g := m.Group(account.ID, name); g != nil {
			if err := c.take(m, &g.Permissions); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// userARN is the Amazon Resource Name of a user.
func userARN(u *placement.User) string {
	return iamPrefix + u.Account + ":user" + u.Path + u.Name
}

// knownPrincipal reports whether there is whom the policy of a bucket names: see policy.CheckPrincipals. Roles and sessions, which there are
// none of here, may be named.
func knownPrincipal(m *placement.Map, kind, name string) bool {
	if kind == "CanonicalUser" {
		return canonicalAccount(m, name) != nil
	}
	resource, isARN := strings.CutPrefix(name, iamPrefix)
	if !isARN {
		return strings.HasPrefix(name, "arn:") || m.Account(name) != nil
	}
	account, path, isUser := strings.Cut(resource, ":user/")
	if !isUser {
		return true
	}
	u := m.User(account, path[strings.LastIndexByte(path, '/')+1:])
	return u != nil && userARN(u) == name
}

// inMap reports whether the map has what found looks for. That it has not is only said after a linearizable read.
func (s *Server) inMap(ctx context.Context, found func(*placement.Map) bool) bool {
	if found(s.opt.Buckets.Map()) {
		return true
	}
	return s.opt.Buckets.Sync(ctx) == nil && found(s.opt.Buckets.Map())
}

// take compiles the policies of a user or a group.
func (c *caller) take(m *placement.Map, p *placement.Permissions) error {
	for name, document := range p.Inline {
		if err := c.takeDocument(name, document); err != nil {
			return err
		}
	}
	for _, arn := range p.Attached {
		document, ok := iam.Document(m, c.account.ID, arn)
		if !ok {
			return fmt.Errorf("gateway: user %s: policy %s is not there", c.ARN, arn)
		}
		if err := c.takeDocument(arn, document); err != nil {
			return err
		}
	}
	return nil
}

func (c *caller) takeDocument(name, document string) error {
	p, err := policy.ParseIdentity(document)
	if err != nil {
		return fmt.Errorf("gateway: user %s: policy %s: %w", c.ARN, name, err)
	}
	c.policies = append(c.policies, p)
	c.asksTags = c.asksTags || p.Asks(existingTagKey)
	return nil
}
