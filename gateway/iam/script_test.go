package iam

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sherd-io/sherd/placement"
)

// TestScripts runs testdata/script: each call's answer is written out, held to AWS's model, and compared. In the end each
// operation has succeeded and has been refused.
//
//	do [as=USER | account=ID]   one call a line: Action Name=value …; a value may be quoted as in JSON
//	allow ACTION RESOURCE       what users may do from then on, with *
//	                            what an answer shows of a marker is given as Marker=@…
//	bucket ACCOUNT              there is a bucket of that owner
func TestScripts(t *testing.T) {
	spec := readModel(t)
	succeeded, refused := map[string]int{}, map[string]int{}
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		k := newKit(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			k.t = t
			switch d.Cmd {
			case "do":
				var out strings.Builder
				for line := range strings.Lines(d.Input) {
					action, status, answer := k.line(d, strings.TrimSpace(line))
					spec.check(t, action, status, answer)
					if status == 200 {
						succeeded[action]++
					} else {
						refused[action]++
					}
					out.WriteString(k.printed(status, answer))
				}
				return out.String()
			case "allow":
				k.allowed = nil
				for line := range strings.Lines(d.Input) {
					action, resource, _ := strings.Cut(strings.TrimSpace(line), " ")
					k.allowed = append(k.allowed, Permission{Action: action, Resource: resource})
				}
				return ""
			case "bucket": // that ACCOUNT owns
				m := *k.records.m
				m.Buckets = map[string]*placement.Bucket{"b": {Name: "b", Owner: k.show(d.CmdArgs[0].String())}}
				k.records.m = &m
				return ""
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
	for _, op := range operations {
		if succeeded[op.name] == 0 {
			t.Errorf("%s never succeeded", op.name)
		}
		if refused[op.name] == 0 && len(op.params) > 0 {
			t.Errorf("%s was never refused", op.name)
		}
	}
}

// line makes the call that a line of a script is.
func (k *kit) line(d *datadriven.TestData, line string) (action string, status int, answer *node) {
	who := root()
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "as":
			who.User = arg.Vals[0]
		case "account":
			who.Account = k.show(arg.Vals[0])
		}
	}
	action, rest, _ := strings.Cut(line, " ")
	form := url.Values{}
	for rest != "" {
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			k.t.Fatalf("not NAME=VALUE: %s", rest)
		}
		value, rest = cutValue(value)
		if n, char, ok := strings.Cut(value, "*of*"); ok { // 65*of*a is 65 times a
			count := 0
			fmt.Sscan(n, &count)
			value = strings.Repeat(char, count)
		}
		if name == "PolicyDocument" {
			value = namedDocument(value)
		}
		value = k.show(value)
		if after, ok := strings.CutPrefix(value, "@"); ok && name == "Marker" {
			value = base64.RawURLEncoding.EncodeToString([]byte(after))
		}
		form.Add(name, value)
	}
	if action == "GetCallerIdentity" {
		form.Set("Version", stsVersion)
	}
	status, answer = k.do(who, action, form)
	return action, status, answer
}

// namedDocument is the policy that a script means by ok or ok2 (any), size100 (of so many characters) or spaced100 (with so much white
// space besides); else value.
func namedDocument(value string) string {
	word := strings.TrimRight(value, "0123456789")
	n, _ := strconv.Atoi(value[len(word):])
	document := func(resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + resource + `"}]}`
	}
	switch word {
	case "ok":
		return document("bucket" + value[len(word):])
	case "size":
		return document(strings.Repeat("x", n-len(document(""))))
	case "spaced":
		return document("bucket") + strings.Repeat(" ", n)
	}
	return value
}

// cutValue cuts what a line goes on with at the end of a value: of a string or an object in JSON, or at a space.
func cutValue(s string) (value, rest string) {
	dec := json.NewDecoder(strings.NewReader(s))
	var object json.RawMessage
	if strings.ContainsAny(s[:min(len(s), 1)], "\"{") && dec.Decode(&object) == nil {
		value = string(object)
		_ = json.Unmarshal(object, &value) // an object stays as it is
		return value, strings.TrimPrefix(s[dec.InputOffset():], " ")
	}
	value, rest, _ = strings.Cut(s, " ")
	return value, rest
}

// printed is an answer for people: a line, if there is little to say.
func (k *kit) printed(status int, answer *node) string {
	if status != 200 {
		return k.hide(fmt.Sprintf("%d %s: %s\n", status, answer.at("Error", "Code"), answer.at("Error", "Message")))
	}
	var out strings.Builder
	if len(answer.children) == 1 {
		return "ok\n"
	}
	answer.children[0].print(&out, "", k.shown)
	return out.String()
}

// model is testdata/model.json: an extract of botocore's models of IAM and STS.
type model map[string]struct {
	Version string
	Input   map[string]struct {
		Shape    string
		Required bool
		Min, Max int
		Enum     []string
	}
	Errors  []string
	Wrapper string
	Output  map[string]outputMember
}

type outputMember struct {
	Required bool
	Of       json.RawMessage // the name of a type, [member] or {member: …}
}

func readModel(t *testing.T) model {
	b, err := os.ReadFile("testdata/model.json")
	if err != nil {
		t.Fatal(err)
	}
	var m model
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// common are the codes that any operation may answer with.
var common = map[Code]bool{
	AccessDenied: true, InvalidAction: true, InvalidClientTokenID: true, ValidationError: true, ServiceUnavailable: true, InvalidInput: true,
	MalformedInput: true, MissingParameter: true,
}

// ours are codes that AWS does not have with these operations, with the reason.
var ours = map[string]Code{
	"UpdateAccessKey":      DeleteConflict, // the last key of root
	"DeleteAccessKey":      DeleteConflict, // the last key of root
	"GetAccessKeyLastUsed": NoSuchEntity,   // AWS denies access to a key that is not there
}

// check holds an answer to the model.
func (m model) check(t *testing.T, action string, status int, answer *node) {
	t.Helper()
	op, known := m[action]
	namespace := apiIAM.namespace()
	if op.Version == stsVersion {
		namespace = apiSTS.namespace()
	}
	if answer.space != namespace {
		t.Errorf("%s: namespace %s", action, answer.space)
	}
	if status != 200 {
		code := answer.at("Error", "Code")
		e := &Error{Code: Code(code)}
		allowed := common[e.Code] || !known || ours[action] == e.Code
		for _, c := range op.Errors {
			allowed = allowed || c == code
		}
		if answer.name != "ErrorResponse" || !allowed || status != e.Status() || answer.at("RequestId") != requestID ||
			answer.at("Error", "Type") != e.fault() || answer.at("Error", "Message") == "" {
			t.Errorf("%s: error %d %s is none of AWS's: %+v", action, status, code, answer)
		}
		return
	}
	if answer.name != action+"Response" || answer.at("ResponseMetadata", "RequestId") != requestID {
		t.Errorf("%s: answered with %s of request %s", action, answer.name, answer.at("ResponseMetadata", "RequestId"))
	}
	result := answer.find(action + "Result")
	if known && (result != nil) != (op.Output != nil) {
		t.Errorf("%s: result %v", action, result)
	}
	if known && result != nil {
		checkStructure(t, action, op.Output, result)
	}
}

func checkStructure(t *testing.T, at string, members map[string]outputMember, n *node) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range n.children {
		m, ok := members[c.name]
		if !ok || seen[c.name] {
			t.Errorf("%s has %s, which AWS has not, or twice", at, c.name)
			continue
		}
		seen[c.name] = true
		checkShape(t, at+"."+c.name, m.Of, c)
	}
	for name, m := range members {
		if m.Required && !seen[name] && !(name == "UserName" && strings.Contains(at, "AccessKey")) { // root has no name
			t.Errorf("%s has no %s", at, name)
		}
	}
}

func checkShape(t *testing.T, at string, shape json.RawMessage, n *node) {
	t.Helper()
	var scalar string
	var list []json.RawMessage
	var members map[string]outputMember
	switch {
	case json.Unmarshal(shape, &scalar) == nil:
		if len(n.children) > 0 {
			t.Errorf("%s is no %s", at, scalar)
		}
	case json.Unmarshal(shape, &list) == nil:
		for _, c := range n.children {
			if c.name != "member" {
				t.Errorf("%s has %s in a list", at, c.name)
			}
			checkShape(t, at, list[0], c)
		}
	case strings.HasSuffix(at, ".SummaryMap"):
		for _, c := range n.children {
			if c.name != "entry" || c.at("key") == "" || c.at("value") == "" {
				t.Errorf("%s has %s", at, c.name)
			}
		}
	case json.Unmarshal(shape, &members) == nil:
		checkStructure(t, at, members, n)
	default:
		t.Fatalf("%s: the model says %s", at, shape)
	}
}

// TestParametersAreAWSs: names, which of them are required, lengths and values.
func TestParametersAreAWSs(t *testing.T) {
	spec := readModel(t)
	differs := map[string]bool{ // from AWS, as the shapes' comments say
		"AccessKeyId": true, "Marker": true, "VersionId": true, "MaxItems": true,
	}
	for _, op := range operations {
		want, known := spec[op.name]
		if !known {
			continue // of our own
		}
		given := map[string]param{}
		for _, p := range op.params {
			given[p.name] = p
		}
		for name, w := range want.Input {
			p, ok := given[name]
			if !ok || p.required != w.Required {
				t.Errorf("%s: %s is missing, or its being required is not AWS's", op.name, name)
				continue
			}
			delete(given, name)
			s := p.shape
			if s.kind == scalar && !differs[name] && w.Max != 0 && s.max != w.Max && !(name == "UserName" && s.max == 128) || s.kind > scalar && s.kind < unsupported && w.Max != 0 && s.most != w.Max {
				t.Errorf("%s: %s may have %d, AWS's %d", op.name, name, s.max, w.Max)
			}
			for _, v := range s.enum {
				if len(w.Enum) > 0 && !strings.Contains(" "+strings.Join(w.Enum, " ")+" ", " "+v+" ") {
					t.Errorf("%s: %s may be %s, which AWS does not have", op.name, name, v)
				}
			}
		}
		for name := range given {
			t.Errorf("%s: %s is none of AWS's parameters", op.name, name)
		}
	}
}
