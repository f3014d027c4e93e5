package iam

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

// holder is a user or a group, as far as it has policies. Its Permissions are a copy, which save writes.
type holder struct {
	kind      string // "user", "group"
	name      string
	inlineMax int    // the most that its inline documents may have together
	quota     string // of attached policies, as errors name it
	*placement.Permissions
	save func()
}

// inlineBytesMax is how much a user's or a group's own documents may be together, with their white space, which AWS's limits leave
// out: they are one record.
const inlineBytesMax = 64 << 10

// holderOf finds the user or the group that a call names. Errors: NoSuchEntity.
type holderOf func(c *call) (*holder, error)

func ofUser(c *call) (*holder, error) {
	old, err := c.dir.user(c.get("UserName"))
	if err != nil {
		return nil, err
	}
	u := *old
	u.Permissions = cloned(old.Permissions)
	return &holder{"user", u.Name, policy.UserInlineMax, "PoliciesPerUser", &u.Permissions, func() { c.putUser(&u) }}, nil
}

func ofGroup(c *call) (*holder, error) {
	old, err := c.dir.group(c.get("GroupName"))
	if err == nil && c.op.change {
		err = c.settled(old)
	}
	if err != nil {
		return nil, err
	}
	g := *old
	g.Permissions = cloned(old.Permissions)
	return &holder{"group", g.Name, policy.GroupInlineMax, "PoliciesPerGroup", &g.Permissions, func() { c.putGroup(&g) }}, nil
}

func cloned(p placement.Permissions) placement.Permissions {
	return placement.Permissions{Attached: slices.Clone(p.Attached), Inline: maps.Clone(p.Inline)}
}

// inlineName is an inline policy's name as h has it; name itself if h has none of that name.
func (h *holder) inlineName(name string) string {
	for there := range h.Inline {
		if placement.FoldName(there) == placement.FoldName(name) {
			return there
		}
	}
	return name
}

// attach does nothing if the policy is attached.
func (of holderOf) attach(c *call) (any, error) {
	h, err := of(c)
	if err != nil {
		return nil, err
	}
	if _, err := c.named(); err != nil {
		return nil, err
	}
	arn := c.get("PolicyArn")
	if slices.Contains(h.Attached, arn) {
		return nil, nil
	}
	if len(h.Attached) >= attachedMax {
		return nil, overQuota(h.quota, attachedMax)
	}
	h.Attached = append(h.Attached, arn)
	h.save()
	return nil, nil
}

func (of holderOf) detach(c *call) (any, error) {
	h, err := of(c)
	if err != nil {
		return nil, err
	}
	arn := c.get("PolicyArn")
	if !slices.Contains(h.Attached, arn) {
		return nil, fail(NoSuchEntity, "Policy %s was not found.", arn)
	}
	h.Attached = slices.DeleteFunc(h.Attached, func(a string) bool { return a == arn })
	h.save()
	return nil, nil
}

type attachedXML struct {
	PolicyName string
	PolicyARN  string `xml:"PolicyArn"`
}

func newAttachedXML(arn string) attachedXML {
	return attachedXML{arn[strings.LastIndexByte(arn, '/')+1:], arn}
}

type attachedResult struct {
	AttachedPolicies members[attachedXML]
	page
}

func (of holderOf) listAttached(c *call) (any, error) {
	h, err := of(c)
	if err != nil {
		return nil, err
	}
	attached := slices.DeleteFunc(h.Attached, func(arn string) bool { return !strings.HasPrefix(policyPath(arn), c.or("PathPrefix", "/")) })
	slices.SortFunc(attached, func(a, b string) int { return cmp.Compare(arnKey(a), arnKey(b)) })
	attached, rest, err := paged(c, attached, arnKey)
	if err != nil {
		return nil, err
	}
	return attachedResult{members[attachedXML]{each(attached, newAttachedXML)}, rest}, nil
}

// policyPath is the path in a managed policy's ARN.
func policyPath(arn string) string {
	_, path, _ := strings.Cut(arn, ":policy")
	return path[:strings.LastIndexByte(path, '/')+1]
}

// arnKey orders managed policies as policyKey does.
func arnKey(arn string) string {
	name := placement.FoldName(arn[strings.LastIndexByte(arn, '/')+1:])
	if strings.HasPrefix(arn, managedPrefix) {
		return "0" + name
	}
	return "1" + name
}

func (of holderOf) putInline(c *call) (any, error) {
	h, err := of(c)
	if err != nil {
		return nil, err
	}
	name, document := c.get("PolicyName"), c.get("PolicyDocument")
	if h.Inline == nil {
		h.Inline = make(map[string]string)
	}
	delete(h.Inline, h.inlineName(name))
	h.Inline[name] = document
	characters, bytes := 0, 0
	for _, d := range h.Inline {
		characters += policy.Size(d)
		bytes += len(d)
	}
	if characters > h.inlineMax || bytes > inlineBytesMax {
		return nil, fail(LimitExceeded, "Maximum policy size of %d bytes exceeded for %s %s", h.inlineMax, h.kind, h.name)
	}
	if err := checkDocument(document); err != nil {
		return nil, err
	}
	h.save()
	return nil, nil
}

// inline finds the inline policy that a call names. Errors: NoSuchEntity.
func (of holderOf) inline(c *call) (h *holder, document string, err error) {
	if h, err = of(c); err != nil {
		return nil, "", err
	}
	document, ok := h.Inline[h.inlineName(c.get("PolicyName"))]
	if !ok {
		return nil, "", fail(NoSuchEntity, "The %s policy with name %s cannot be found.", h.kind, c.get("PolicyName"))
	}
	return h, document, nil
}

type inlineResult struct {
	UserName       string `xml:",omitempty"`
	GroupName      string `xml:",omitempty"`
	PolicyName     string
	PolicyDocument string // percent-encoded
}

func (of holderOf) getInline(c *call) (any, error) {
	h, document, err := of.inline(c)
	if err != nil {
		return nil, err
	}
	r := inlineResult{PolicyName: h.inlineName(c.get("PolicyName")), PolicyDocument: encodeDocument(document)}
	if h.kind == "user" {
		r.UserName = h.name
	} else {
		r.GroupName = h.name
	}
	return r, nil
}

type inlineNamesResult struct {
	PolicyNames members[string]
	page
}

func (of holderOf) listInline(c *call) (any, error) {
	h, err := of(c)
	if err != nil {
		return nil, err
	}
	names, rest, err := paged(c, slices.Sorted(maps.Keys(h.Inline)), plainKey)
	if err != nil {
		return nil, err
	}
	return inlineNamesResult{members[string]{names}, rest}, nil
}

func (of holderOf) deleteInline(c *call) (any, error) {
	h, _, err := of.inline(c)
	if err != nil {
		return nil, err
	}
	delete(h.Inline, h.inlineName(c.get("PolicyName")))
	h.save()
	return nil, nil
}

// plainKey orders strings by themselves.
func plainKey(s string) string { return s }
