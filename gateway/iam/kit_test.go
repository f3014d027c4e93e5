package iam

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/placement"
)

// memory is Records without etcd: the same contract, over a map in memory.
type memory struct {
	m       *placement.Map
	between func() // called in the middle of the next EditIAM, which is a conflict then
	away    error  // what Sync and EditIAM fail with, or nil
	edits   int    // how often an edit was tried
	last    int    // edits left until etcd is away for one, if it is to be; 0: it is not
}

var errAway = errors.New("no answer from etcd")

const defaultAccount = "111111111111"

func newMemory() *memory {
	first := &placement.Account{ID: defaultAccount, Name: "sherd", Canonical: strings.Repeat("1", 64)}
	return &memory{m: &placement.Map{
		DefaultAccount: first, Accounts: map[string]*placement.Account{first.ID: first}, Users: map[placement.Name]*placement.User{},
		Groups: map[placement.Name]*placement.Group{}, Policies: map[placement.Name]*placement.Policy{},
		Identities: map[string]*placement.Identity{}, Buckets: map[string]*placement.Bucket{},
	}}
}

func (r *memory) Map() *placement.Map { return r.m }

func (r *memory) Sync(context.Context) error { return r.away }

func (r *memory) EditIAM(_ context.Context, edit func(*placement.Map) ([]placement.IAMChange, error)) error {
	for {
		before := r.Map()
		r.edits++
		changes, err := edit(before)
		if err != nil {
			return err
		}
		if r.last--; r.last == 0 || r.away != nil {
			return errAway
		}
		if between := r.between; between != nil {
			r.between = nil
			between()
		}
		if r.swap(before, changed(before, changes)) {
			return nil
		}
	}
}

func (r *memory) swap(old, fresh *placement.Map) bool {
	if r.m != old {
		return false
	}
	r.m = fresh
	return true
}

// changed is a new map with the changes.
func changed(old *placement.Map, changes []placement.IAMChange) *placement.Map {
	m := *old
	m.Accounts, m.Users, m.Groups = maps.Clone(m.Accounts), maps.Clone(m.Users), maps.Clone(m.Groups)
	m.Policies, m.Identities = maps.Clone(m.Policies), maps.Clone(m.Identities)
	for _, c := range changes {
		switch {
		case c.Account != nil:
			apply(m.Accounts, c.Account.ID, c.Account, c.Delete)
		case c.User != nil:
			apply(m.Users, placement.NameOf(c.User.Account, c.User.Name), c.User, c.Delete)
		case c.Group != nil:
			apply(m.Groups, placement.NameOf(c.Group.Account, c.Group.Name), c.Group, c.Delete)
		case c.Policy != nil:
			apply(m.Policies, placement.NameOf(c.Policy.Account, c.Policy.Name), c.Policy, c.Delete)
		case c.Identity != nil:
			apply(m.Identities, c.Identity.AccessKey, c.Identity, c.Delete)
		}
	}
	return &m
}

func apply[K comparable, T any](records map[K]*T, key K, record *T, gone bool) {
	if gone {
		delete(records, key)
	} else {
		records[key] = record
	}
}

// kit is a service on memory, and what has come out of it.
type kit struct {
	t       testing.TB
	quick   bool // what do checks after each call is too much
	records *memory
	service *Service
	clock   time.Time
	allowed []Permission      // of everybody who is no root; Resource is a pattern
	asked   []Permission      // that were asked for, by the last call
	known   map[string]string // random values by the names that tests have for them: AIDA#1
	names   map[string]string // the other way round
}

func newKit(t testing.TB) *kit {
	k := &kit{
		t: t, records: newMemory(), clock: time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC),
		known: map[string]string{}, names: map[string]string{},
	}
	var err error
	k.service, err = New(Options{Records: k.records, Authorize: k.authorize, Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// now is a second later at each call, so that what is made can be told apart by its time.
func (k *kit) now() time.Time {
	k.clock = k.clock.Add(time.Second)
	return k.clock
}

func (k *kit) authorize(_ context.Context, _ *placement.Map, who Caller, p Permission) policy.Decision {
	if who.root() {
		k.t.Errorf("root was asked for its permission: %+v", p)
	}
	k.asked = append(k.asked, p)
	for _, a := range k.allowed {
		if like(a.Action, p.Action) && like(a.Resource, p.Resource) {
			return policy.Allowed
		}
	}
	return policy.NotAllowedByIdentity
}

// like matches with * as in policies.
func like(pattern, s string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(s)
}

func root() Caller            { return Caller{Account: defaultAccount} }
func user(name string) Caller { return Caller{Account: defaultAccount, User: name} }

const requestID = "7a62c49f-0000"

// do makes one call, and returns the answer as a tree.
func (k *kit) do(who Caller, action string, form url.Values) (status int, answer *node) {
	k.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("Action", action)
	if form.Get("Version") == "" {
		form.Set("Version", iamVersion)
	}
	k.asked = nil
	before, was := k.records.Map(), ""
	if !k.quick {
		was = dump(before)
	}
	status, body := k.service.Do(k.t.Context(), Request{ID: requestID, Caller: who, Form: form})
	answer, err := parseXML(body)
	if err != nil {
		k.t.Fatalf("%s: %v in %s", action, err, body)
	}
	if !k.quick && dump(before) != was {
		k.t.Errorf("%s changed a map that was published", action)
	}
	k.checkSecrets(action, string(body))
	return status, answer
}

// checkSecrets fails if an answer has a secret that it is not the first to have.
func (k *kit) checkSecrets(action, body string) {
	for _, id := range k.records.Map().Identities {
		shows := strings.Contains(body, id.Secret)
		if shows && (k.names[id.Secret] != "" || action != "CreateAccessKey" && action != "CreateAccount" && action != "ResetAccountRoot") {
			k.t.Errorf("%s shows the secret of %s", action, id.AccessKey)
		}
		k.names[id.Secret] = "known"
	}
}

// dump is all that m has of IAM.
func dump(m *placement.Map) string {
	var lines []string
	for key, v := range m.Accounts {
		lines = append(lines, fmt.Sprintf("%s %+v", key, *v))
	}
	for key, v := range m.Users {
		lines = append(lines, fmt.Sprintf("%s %+v", key, *v))
	}
	for key, v := range m.Groups {
		lines = append(lines, fmt.Sprintf("%s %+v", key, *v))
	}
	for key, v := range m.Policies {
		lines = append(lines, fmt.Sprintf("%s %+v", key, *v))
	}
	for key, v := range m.Identities {
		lines = append(lines, fmt.Sprintf("%s %+v", key, *v))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// node is an XML element.
type node struct {
	name, space, text string
	children          []*node
}

func parseXML(body []byte) (*node, error) {
	if !bytes.HasPrefix(body, []byte(prolog)) {
		return nil, errors.New("no prolog")
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	root := &node{}
	open := []*node{root}
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return root.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			n := &node{name: t.Name.Local, space: t.Name.Space}
			top.children = append(top.children, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
}

// at finds the text below n by the names on the way; members are found by their index.
func (n *node) at(path ...string) string {
	if n = n.find(path...); n == nil {
		return ""
	}
	return n.text
}

func (n *node) find(path ...string) *node {
	for _, name := range path {
		var next *node
		for i, c := range n.children {
			if c.name == name || fmt.Sprint(i) == name {
				next = c
				break
			}
		}
		if next == nil {
			return nil
		}
		n = next
	}
	return n
}

// print writes n's elements, one a line, with their texts as shown has them.
func (n *node) print(to *strings.Builder, indent string, shown func(*node) string) {
	for _, c := range n.children {
		fmt.Fprintf(to, "%s%s:", indent, c.name)
		if c.text != "" {
			to.WriteString(" " + shown(c))
		}
		to.WriteString("\n")
		c.print(to, indent+"  ", shown)
	}
}

// shown is an element's text for a script: nothing random, and markers as what they are made of.
func (k *kit) shown(n *node) string {
	switch n.name {
	case "SecretAccessKey":
		if !regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`).MatchString(n.text) {
			k.t.Errorf("%s is no secret", n.text)
		}
		return "(40 characters)"
	case "Marker":
		after, err := base64.RawURLEncoding.DecodeString(n.text)
		if err != nil {
			k.t.Error(err)
		}
		return "@" + k.hide(string(after))
	}
	return k.hide(n.text)
}

var random = regexp.MustCompile(`(AIDA|AGPA|ANPA)[A-Z2-7]{17}\b|AKIA[A-Z2-7]{16}\b|\b[0-9]{12}\b|\b[0-9a-f]{64}\b`)

// hide replaces what is random by names that are the same in each run: AIDA#1.
func (k *kit) hide(s string) string {
	return random.ReplaceAllStringFunc(s, func(value string) string {
		if managedID(value) || value == defaultAccount {
			return value
		}
		if k.names[value] == "" {
			kind := map[int]string{12: "account", 64: "canonical"}[len(value)]
			if kind == "" {
				kind = value[:4]
			}
			for i := 1; k.names[value] == ""; i++ {
				if name := fmt.Sprintf("%s#%d", kind, i); k.known[name] == "" {
					k.known[name], k.names[value] = value, name
				}
			}
		}
		return k.names[value]
	})
}

func managedID(id string) bool {
	for _, p := range policy.Managed() {
		if p.ID == id {
			return true
		}
	}
	return false
}

// show replaces the names that hide gave by what they stand for.
func (k *kit) show(s string) string {
	return regexp.MustCompile(`(account|canonical|A[IGN][DP]A|AKIA)#[0-9]+`).ReplaceAllStringFunc(s, func(name string) string { return k.known[name] })
}
