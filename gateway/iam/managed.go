package iam

import (
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

// managedPrefix is how ARNs of AWS's own policies begin, up to the path. Those that come with sherd are all at the path "/".
const managedPrefix = "arn:aws:iam::aws:policy"

// managedSince is the time of all of AWS's policies, in answers.
var managedSince = time.Date(2015, 2, 6, 18, 40, 0, 0, time.UTC)

// newManaged is one of AWS's policies as a record; its Account is "".
func newManaged(p policy.ManagedPolicy) *placement.Policy {
	return &placement.Policy{
		Name: p.Name, Path: "/", ID: p.ID, Description: p.Description, Created: managedSince, Updated: managedSince, Default: "v1",
		Versions: []placement.PolicyVersion{{ID: "v1", Document: p.Document, Created: managedSince}},
	}
}

// managedUnder are AWS's policies whose path begins with prefix, by name.
func managedUnder(prefix string) []*placement.Policy {
	if !strings.HasPrefix("/", prefix) {
		return nil
	}
	return each(policy.Managed(), newManaged)
}

// Document is the document in force of a managed policy that is attached to a user or a group of account, the account's own or
// AWS's; ok is false if it is not there (any more).
func Document(m *placement.Map, account, arn string) (document string, ok bool) {
	p, err := directory{m, account}.policy(arn)
	if err != nil {
		return "", false
	}
	for _, v := range p.Versions {
		if v.ID == p.Default {
			return v.Document, true
		}
	}
	return "", false
}
