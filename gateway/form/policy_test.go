package form

import (
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2007, 12, 1, 11, 0, 0, 0, time.UTC)

func parse(doc string) (*Policy, error) {
	return ParsePolicy(base64.StdEncoding.EncodeToString([]byte(doc)))
}

// with is a policy of the conditions, not expired.
func with(conditions string) string {
	return `{"expiration": "2007-12-01T12:00:00.000Z", "conditions": [` + conditions + `]}`
}

// TestParsePolicy: sigv4-HTTPPOSTConstructPolicy. The refusals are those of ceph's s3-tests (test_post_object_…) with S3's messages.
func TestParsePolicy(t *testing.T) {
	for doc, want := range map[string]string{
		"{ \"expiration\": \"2007-12-01T12:00:00.000Z\",\n  \"conditions\": [\n    {\"acl\": \"public-read\" },\n    {\"bucket\": \"johnsmith\" },\n    [\"starts-with\", \"$key\", \"user/eric/\"],\n  ]\n}": "",
		with(""): "",
		`{"expiration": "2007-12-01T12:00:00Z", "conditions": [["content-length-range", "0", 5],]}`: "",
		with(`{"a": "\v\$\\\"\u00fc,]"}`): "",
		``:                                "Invalid Policy: Invalid JSON.",
		`{`:                               "Invalid Policy: Invalid JSON.",
		`null`:                            "Invalid Policy: Invalid JSON.",
		`[]`:                              "Invalid Policy: Invalid JSON.",
		with(",,"):                        "Invalid Policy: Invalid JSON.",
		with(`{"a": "\`):                  "Invalid Policy: Invalid JSON.",
		`{"conditions": []}`:              "Invalid Policy: Policy missing expiration.",
		`{"EXPIRATION": "2007-12-01T12:00:00Z", "conditions": []}`:      "Invalid Policy: Unexpected: 'EXPIRATION'.",
		`{"expiration": "2007-12-01T12:00:00Z", "CONDITIONS": []}`:      "Invalid Policy: Unexpected: 'CONDITIONS'.",
		`{"expiration": "2007-12-01 12:00:00+00:00", "conditions": []}`: "Invalid Policy: Invalid 'expiration' value: '2007-12-01 12:00:00+00:00'",
		`{"expiration": 5, "conditions": []}`:                           "Invalid Policy: Invalid 'expiration' value: '5'",
		`{"expiration": "2007-12-01T12:00:00Z"}`:                        "Invalid Policy: Policy missing conditions.",
		`{"expiration": "2007-12-01T12:00:00Z", "conditions": {}}`:      "Invalid Policy: Invalid 'conditions' value: must be a List.",
		`{"expiration": "2007-12-01T12:00:00Z", "conditions": null}`:    "Invalid Policy: Invalid 'conditions' value: must be a List.",
		with(`"a"`):                               "Invalid Policy: Invalid condition test: must be a List or Object.",
		with(`null`):                              "Invalid Policy: Invalid condition test: must be a List or Object.",
		with(`{}`):                                "Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
		with(`{"a": "b", "c": "d"}`):              "Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
		with(`{"success_action_status": 201}`):    "Invalid Policy: Invalid Simple-Condition: value must be a string.",
		with(`{"acl": null}`):                     "Invalid Policy: Invalid Simple-Condition: value must be a string.",
		with(`[]`):                                "Invalid Policy: Invalid Condition: missing operation identifier.",
		with(`["ends-with", "$key", "a"]`):        "Invalid Policy: Invalid Condition: unknown operation 'ends-with'.",
		with(`[5, "$key", "a"]`):                  "Invalid Policy: Invalid Condition: unknown operation ''.",
		with(`["eq", "$key"]`):                    "Invalid Policy: Invalid eq: wrong number of arguments.",
		with(`["starts-with", "$key", "a", "b"]`): "Invalid Policy: Invalid starts-with: wrong number of arguments.",
		with(`["content-length-range", 0]`):       "Invalid Policy: Invalid content-length-range: wrong number of arguments.",
		with(`["content-length-range", -1, 0]`):   "Invalid Policy: Invalid content-length-range: arguments must be integers of 0 and more, the smaller one first.",
		with(`["content-length-range", 5, 1]`):    "Invalid Policy: Invalid content-length-range: arguments must be integers of 0 and more, the smaller one first.",
		with(`["content-length-range", 0, 1.5]`):  "Invalid Policy: Invalid content-length-range: arguments must be integers of 0 and more, the smaller one first.",
		with(`["content-length-range", 0, null]`): "Invalid Policy: Invalid content-length-range: arguments must be integers of 0 and more, the smaller one first.",
		with(`["eq", "$key", 5]`):                 "Invalid Policy: Invalid eq: arguments must be strings.",
	} {
		p, err := parse(doc)
		var e *Error
		switch {
		case want == "" && (err != nil || p == nil):
			t.Errorf("%s: %v", doc, err)
		case want != "" && (!errors.As(err, &e) || e.Message != want || e.Code != InvalidPolicyDocument):
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
	}
	if _, err := ParsePolicy("{}"); !errors.Is(err, InvalidPolicyDocument) {
		t.Error(err)
	}
}

// TestCheck: sigv4-HTTPPOSTConstructPolicy, "Condition Matching" and "Conditions".
func TestCheck(t *testing.T) {
	const bucket = `{"bucket": "johnsmith"}, `
	for name, c := range map[string]struct {
		conditions string
		fields     []string
		want       string // after "Invalid according to Policy: "
	}{
		"the page's example":       {`{"acl": "public-read"}, {"bucket": "johnsmith"}, ["starts-with", "$key", "user/eric/"]`, []string{"key", "user/eric/a", "acl", "public-read"}, ""},
		"no case in names":         {`{"bUcKeT": "johnsmith"}, ["StArTs-WiTh", "$KeY", "foo"], {"AcL": "private"}, ["eQ", "$CoNtEnT-TyPe", "text/plain"]`, []string{"key", "foo.txt", "acl", "private", "content-type", "text/plain"}, ""},
		"a case in values":         {bucket + `["eq", "$key", "foo"]`, []string{"key", "FOO"}, `Policy Condition failed: ["eq", "$key", "foo"]`},
		"a simple condition":       {bucket + `{"acl": "private"}`, []string{"key", "k", "acl", "public-read"}, `Policy Condition failed: ["eq", "$acl", "private"]`},
		"a list":                   {bucket + `["eq",  "$acl",   "private"]`, []string{"key", "k", "acl", "public-read"}, `Policy Condition failed: ["eq", "$acl", "private"]`},
		"names as written":         {bucket + `["starts-with", "$Content-Length", ""]`, []string{"key", "k"}, `Policy Condition failed: ["starts-with", "$Content-Length", ""]`},
		"a field that is missing":  {bucket + `["starts-with", "$key", ""], {"x-amz-meta-a": ""}`, []string{"key", "k"}, `Policy Condition failed: ["eq", "$x-amz-meta-a", ""]`},
		"another bucket":           {`{"bucket": "other"}, ["starts-with", "$key", ""]`, []string{"key", "k"}, `Policy Condition failed: ["eq", "$bucket", "other"]`},
		"another bucket's field":   {`{"bucket": "other"}, ["starts-with", "$key", ""]`, []string{"key", "k", "bucket", "other"}, `Policy Condition failed: ["eq", "$bucket", "other"]`},
		"no bucket":                {`["starts-with", "$key", ""]`, []string{"key", "k"}, "Extra input fields: bucket"},
		"buckets that begin so":    {`["starts-with", "$bucket", "john"], {"key": "k"}`, []string{"key", "k"}, ""},
		"a field too many":         {bucket + `{"key": "k"}`, []string{"key", "k", "x-amz-meta-a", "v"}, "Extra input fields: x-amz-meta-a"},
		"two of them":              {bucket, []string{"key", "k", "acl", "v"}, "Extra input fields: acl, key"},
		"the exempt":               {bucket + `{"key": "k"}`, []string{"key", "k", "policy", "p", "x-amz-signature", "s", "x-ignore-a", "b", "file", "", "awsaccesskeyid", "a", "signature", "s"}, ""},
		"the signature's others":   {bucket + `{"key": "k"}`, []string{"key", "k", "x-amz-credential", "c"}, "Extra input fields: x-amz-credential"},
		"any content":              {bucket + `{"key": "k"}, ["starts-with", "$success_action_redirect", ""]`, []string{"key", "k", "success_action_redirect", "http://a"}, ""},
		"a list of types":          {bucket + `{"key": "k"}, ["starts-with", "$Content-Type", "image/"]`, []string{"key", "k", "content-type", "image/jpg, image/png,image/gif"}, ""},
		"one of them another":      {bucket + `{"key": "k"}, ["starts-with", "$Content-Type", "image/"]`, []string{"key", "k", "content-type", "image/jpg,text/html"}, `Policy Condition failed: ["starts-with", "$Content-Type", "image/"]`},
		"commas elsewhere":         {bucket + `["starts-with", "$key", "a"]`, []string{"key", "a,b"}, ""},
		"both have to hold":        {bucket + `["starts-with", "$key", "a"], ["starts-with", "$key", "ab"]`, []string{"key", "ac"}, `Policy Condition failed: ["starts-with", "$key", "ab"]`},
		"a name without its $":     {bucket + `["eq", "key", "k"]`, []string{"key", "k"}, `Policy Condition failed: ["eq", "key", "k"]`},
		"no name":                  {bucket + `{"key": "k"}, ["starts-with", "$", ""]`, []string{"key", "k", "", "x"}, `Policy Condition failed: ["starts-with", "$", ""]`},
		"a dollar sign":            {bucket + `{"key": "\$5"}`, []string{"key", "$5"}, ""},
		"a backslash and a dollar": {bucket + `["starts-with", "$key", "\\$foo"]`, []string{"key", `\$foo.txt`}, ""},
		"checksums and tags":       {bucket + `{"key": "k"}, ["eq", "$x-amz-checksum-crc32", "AAAAAA=="], ["starts-with", "$tagging", "<Tagging>"]`, []string{"key", "k", "x-amz-checksum-crc32", "AAAAAA==", "tagging", "<Tagging>..."}, ""},
	} {
		p, err := parse(with(c.conditions))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fields := map[string]string{}
		for i := 0; i < len(c.fields); i += 2 {
			fields[c.fields[i]] = c.fields[i+1]
		}
		_, err = p.Check(now, "johnsmith", fields)
		got := ""
		var e *Error
		if errors.As(err, &e) && e.Code == AccessDenied {
			got = strings.TrimPrefix(e.Message, "Invalid according to Policy: ")
		}
		if got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestCheckExpiration: to the instant.
func TestCheckExpiration(t *testing.T) {
	p, err := parse(with(`{"bucket": "b"}`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2007, 12, 1, 12, 0, 0, 0, time.UTC)
	if _, err := p.Check(at, "b", nil); err != nil {
		t.Error(err)
	}
	var e *Error
	if _, err := p.Check(at.Add(1), "b", nil); !errors.As(err, &e) || e.Message != "Invalid according to Policy: Policy expired." {
		t.Error(err)
	}
}

// TestCheckRange: of several ranges all hold.
func TestCheckRange(t *testing.T) {
	for conditions, want := range map[string]Range{
		`{"bucket": "b"}`: AnyLength(),
		`{"bucket": "b"}, ["content-length-range", 1048576, 10485760]`:                                      {1 << 20, 10 << 20},
		`{"bucket": "b"}, ["content-length-range", "1", "10"], ["Content-Length-Range", 5, 20]`:             {5, 10},
		`["content-length-range", 0, 9223372036854775807], {"bucket": "b"}, ["content-length-range", 0, 0]`: {0, 0},
	} {
		p, err := parse(with(conditions))
		if err != nil {
			t.Errorf("%s: %v", conditions, err)
			continue
		}
		if got, err := p.Check(now, "b", map[string]string{"policy": "x"}); err != nil || got != want {
			t.Errorf("%s: %v, %v", conditions, got, err)
		}
	}
}

// FuzzPolicy: a policy is read or refused, and a form that it lets pass has no field which it does not name.
func FuzzPolicy(f *testing.F) {
	f.Add(with(`{"bucket": "b"}, ["starts-with", "$key", ""], ["content-length-range", 1, 2],`), "key", "k")
	f.Add(with(`{"bucket": "b"}, ["eq", "$content-type", "a\$\v\u0000"]`), "content-type", "a,b")
	f.Fuzz(func(t *testing.T, doc, name, value string) {
		p, err := parse(doc)
		if err != nil {
			if !errors.Is(err, InvalidPolicyDocument) {
				t.Fatal(err)
			}
			return
		}
		fields := map[string]string{strings.ToLower(name): value}
		if _, err := p.Check(now, "b", fields); err != nil {
			if !errors.Is(err, AccessDenied) {
				t.Fatal(err)
			}
			return
		}
		more := maps.Clone(fields)
		more["never-named\x00"] = ""
		if _, err := p.Check(now, "b", more); err == nil && !strings.Contains(doc, "ever-named") {
			t.Fatalf("%s lets an extra field pass", doc)
		}
	})
}
