package iam

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

type policyXML struct {
	PolicyName                    string
	PolicyID                      string `xml:"PolicyId"`
	ARN                           string `xml:"Arn"`
	Path                          string
	DefaultVersionID              string `xml:"DefaultVersionId"`
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Description                   string `xml:",omitempty"`
	CreateDate                    moment
	UpdateDate                    moment
	Tags                          *members[tagXML] `xml:",omitempty"`
}

type policyResult struct{ Policy policyXML }

// policyXML is p as lists have it: without its description and tags.
func (c *call) policyXML(p *placement.Policy, attached int) policyXML {
	return policyXML{
		PolicyName: p.Name, PolicyID: p.ID, ARN: c.dir.policyARN(p), Path: p.Path, DefaultVersionID: p.Default,
		AttachmentCount: attached, IsAttachable: true, CreateDate: moment{p.Created}, UpdateDate: moment{p.Updated},
	}
}

func (c *call) policyAnswer(p *placement.Policy, attached int) policyResult {
	x := c.policyXML(p, attached)
	x.Description, x.Tags = p.Description, tagsXML(p.Tags)
	return policyResult{x}
}

// checkDocument refuses a document that is no policy of a user or a group. Errors: MalformedPolicyDocument.
func checkDocument(document string) error {
	if _, err := policy.ParseIdentity(document); err != nil {
		return fail(MalformedPolicyDocument, "%s", err)
	}
	return nil
}

// encodeDocument is a document as answers have it: percent-encoded by RFC 3986.
func encodeDocument(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20") // a plus sign itself is %2B by then
}

// managedDocument is the document that a call gives for a managed policy. Errors: MalformedPolicyDocument, LimitExceeded.
func (c *call) managedDocument() (string, error) {
	document := c.get("PolicyDocument")
	if policy.Size(document) > policy.ManagedSizeMax {
		return "", overQuota("PolicySize", policy.ManagedSizeMax)
	}
	return document, checkDocument(document)
}

func (c *call) createPolicy() (any, error) {
	name := c.get("PolicyName")
	if c.dir.m.Policy(c.dir.account, name) != nil {
		return nil, fail(EntityAlreadyExists, "A policy called %s already exists. Duplicate names are not allowed.", name)
	}
	if len(c.dir.policies("")) >= policiesMax {
		return nil, overQuota("PoliciesPerAccount", policiesMax)
	}
	document, err := c.managedDocument()
	if err != nil {
		return nil, err
	}
	p := &placement.Policy{
		Account: c.dir.account, Name: name, Path: c.or("Path", "/"), ID: newID("ANPA"), Description: c.get("Description"),
		Created: c.now, Updated: c.now, Default: "v1", NextVersion: 2, Tags: c.form.tags(),
		Versions: []placement.PolicyVersion{{ID: "v1", Document: document, Created: c.now}},
	}
	c.putPolicy(p)
	return c.policyAnswer(p, 0), nil
}

// named is the managed policy that a call is about. Errors: InvalidInput, NoSuchEntity.
func (c *call) named() (*placement.Policy, error) { return c.dir.policy(c.get("PolicyArn")) }

// own is named, of those that can be changed: one of AWS's cannot. Errors: AccessDenied besides.
func (c *call) own() (*placement.Policy, error) {
	p, err := c.named()
	if err == nil && p.Account == "" {
		return nil, fail(AccessDenied, "Policy %s is managed by AWS and cannot be changed.", c.get("PolicyArn"))
	}
	return p, err
}

func (c *call) getPolicy() (any, error) {
	p, err := c.named()
	if err != nil {
		return nil, err
	}
	return c.policyAnswer(p, c.dir.attachments()[c.get("PolicyArn")]), nil
}

type policiesResult struct {
	Policies members[policyXML]
	page
}

func (c *call) listPolicies() (any, error) {
	var all []*placement.Policy
	prefix, scope := c.or("PathPrefix", "/"), c.or("Scope", scopeAll)
	if scope != scopeLocal {
		all = managedUnder(prefix)
	}
	if scope != scopeAWS {
		all = append(all, c.dir.policies(prefix)...)
	}
	attached := c.dir.attachments()
	all = slices.DeleteFunc(all, func(p *placement.Policy) bool {
		return c.form.bool("OnlyAttached") && attached[c.dir.policyARN(p)] == 0 || c.get("PolicyUsageFilter") == usageBoundary
	})
	all, rest, err := paged(c, all, policyKey)
	if err != nil {
		return nil, err
	}
	shape := func(p *placement.Policy) policyXML { return c.policyXML(p, attached[c.dir.policyARN(p)]) }
	return policiesResult{members[policyXML]{each(all, shape)}, rest}, nil
}

// policyKey orders AWS's policies before the account's own, each by name.
func policyKey(p *placement.Policy) string {
	if p.Account == "" {
		return "0" + placement.FoldName(p.Name)
	}
	return "1" + placement.FoldName(p.Name)
}

func (c *call) deletePolicy() (any, error) {
	p, err := c.own()
	if err != nil {
		return nil, err
	}
	switch {
	case c.dir.attachments()[c.dir.policyARN(p)] > 0:
		return nil, fail(DeleteConflict, "Cannot delete a policy attached to entities.")
	case len(p.Versions) > 1:
		return nil, fail(DeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "+
			"The default version is deleted with the policy.")
	}
	c.dropPolicy(p)
	return nil, nil
}

// changePolicy makes a change to the policy that the call names.
func (c *call) changePolicy(change func(*placement.Policy) error) error {
	old, err := c.own()
	if err != nil {
		return err
	}
	p := *old
	if err := change(&p); err != nil {
		return err
	}
	c.putPolicy(&p)
	return nil
}

func (c *call) tagPolicy() (any, error) {
	return nil, c.changePolicy(func(p *placement.Policy) (err error) {
		p.Tags, err = merged(p.Tags, c.form.tags(), "TagsPerPolicy")
		return err
	})
}

func (c *call) untagPolicy() (any, error) {
	return nil, c.changePolicy(func(p *placement.Policy) error {
		p.Tags = without(p.Tags, c.form.list("TagKeys", tagsMax))
		return nil
	})
}

func (c *call) listPolicyTags() (any, error) {
	p, err := c.named()
	if err != nil {
		return nil, err
	}
	return c.tagsPage(p.Tags)
}

type versionXML struct {
	Document         string `xml:",omitempty"` // percent-encoded; lists have none
	VersionID        string `xml:"VersionId"`
	IsDefaultVersion bool
	CreateDate       moment
}

type versionResult struct{ PolicyVersion versionXML }

func newVersionXML(p *placement.Policy, v *placement.PolicyVersion) versionXML {
	return versionXML{VersionID: v.ID, IsDefaultVersion: v.ID == p.Default, CreateDate: moment{v.Created}}
}

func (c *call) createPolicyVersion() (any, error) {
	var x versionXML
	err := c.changePolicy(func(p *placement.Policy) error {
		if len(p.Versions) >= versionsMax {
			return fail(LimitExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", versionsMax)
		}
		document, err := c.managedDocument()
		if err != nil {
			return err
		}
		v := placement.PolicyVersion{ID: fmt.Sprintf("v%d", p.NextVersion), Document: document, Created: c.now}
		p.NextVersion++
		p.Updated = c.now
		p.Versions = append(slices.Clone(p.Versions), v)
		if c.form.bool("SetAsDefault") {
			p.Default = v.ID
		}
		x = newVersionXML(p, &v)
		return nil
	})
	return versionResult{x}, err
}

// version is the version that a call names, of p. Errors: NoSuchEntity.
func (c *call) version(p *placement.Policy) (*placement.PolicyVersion, error) {
	for i := range p.Versions {
		if p.Versions[i].ID == c.get("VersionId") {
			return &p.Versions[i], nil
		}
	}
	return nil, fail(NoSuchEntity, "Policy %s version %s does not exist or is not attachable.", c.dir.policyARN(p), c.get("VersionId"))
}

func (c *call) getPolicyVersion() (any, error) {
	p, err := c.named()
	if err != nil {
		return nil, err
	}
	v, err := c.version(p)
	if err != nil {
		return nil, err
	}
	x := newVersionXML(p, v)
	x.Document = encodeDocument(v.Document)
	return versionResult{x}, nil
}

type versionsResult struct {
	Versions members[versionXML]
	page
}

// listPolicyVersions lists the newest first.
func (c *call) listPolicyVersions() (any, error) {
	p, err := c.named()
	if err != nil {
		return nil, err
	}
	order := make(map[string]string, len(p.Versions)) // of versions' ids
	var newest []placement.PolicyVersion
	for i := range p.Versions {
		v := p.Versions[len(p.Versions)-1-i]
		order[v.ID] = fmt.Sprint(i)
		newest = append(newest, v)
	}
	newest, rest, err := paged(c, newest, func(v placement.PolicyVersion) string { return order[v.ID] })
	if err != nil {
		return nil, err
	}
	shape := func(v placement.PolicyVersion) versionXML { return newVersionXML(p, &v) }
	return versionsResult{members[versionXML]{each(newest, shape)}, rest}, nil
}

func (c *call) setDefaultPolicyVersion() (any, error) {
	return nil, c.changePolicy(func(p *placement.Policy) error {
		v, err := c.version(p)
		if err != nil {
			return err
		}
		p.Default, p.Updated = v.ID, c.now
		return nil
	})
}

func (c *call) deletePolicyVersion() (any, error) {
	return nil, c.changePolicy(func(p *placement.Policy) error {
		v, err := c.version(p)
		if err != nil {
			return err
		}
		if v.ID == p.Default {
			return fail(DeleteConflict, "Cannot delete the default version of a policy.")
		}
		gone := v.ID
		p.Versions = slices.DeleteFunc(slices.Clone(p.Versions), func(v placement.PolicyVersion) bool { return v.ID == gone })
		p.Updated = c.now
		return nil
	})
}
