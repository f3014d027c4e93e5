package s3xml

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

var until = time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)

func days(n int) *int { return &n }

// configAnswers are the documents that are put and got, and the getters' own: see answers.
var configAnswers = map[string]func(b []byte) []byte{
	"API_GetBucketVersioning": func(b []byte) []byte {
		return (&Versioning{Status: "Enabled", MFADelete: "Disabled"}).Append(b)
	},
	"API_GetBucketVersioning-never": func(b []byte) []byte { return new(Versioning).Append(b) },
	"API_GetObjectLockConfiguration": func(b []byte) []byte {
		return (&ObjectLock{Mode: "COMPLIANCE", Days: 30}).Append(b)
	},
	"API_GetObjectLockConfiguration-years": func(b []byte) []byte {
		return (&ObjectLock{Mode: "GOVERNANCE", Years: 1}).Append(b)
	},
	"API_GetObjectLockConfiguration-no-rule": func(b []byte) []byte { return new(ObjectLock).Append(b) },
	"API_GetObjectRetention": func(b []byte) []byte {
		return (&Retention{Mode: "GOVERNANCE", Until: until}).Append(b)
	},
	"API_GetObjectLegalHold":     func(b []byte) []byte { return AppendLegalHold(b, true) },
	"API_GetObjectLegalHold-off": func(b []byte) []byte { return AppendLegalHold(b, false) },
	"API_GetObjectTagging": func(b []byte) []byte {
		return AppendTagging(b, []Tag{{"Project", "a + b"}, {"ü/日本", ""}})
	},
	"API_GetObjectTagging-none": func(b []byte) []byte { return AppendTagging(b, nil) },
	"API_GetBucketAcl": func(b []byte) []byte {
		return (&AccessControl{Owner: owner, Grants: []Grant{
			{Grantee{Kind: CanonicalUser, ID: owner.ID, DisplayName: "a&b"}, "FULL_CONTROL"},
			{Grantee{Kind: Group, URI: "http://acs.amazonaws.com/groups/global/AllUsers"}, "READ"},
			{Grantee{Kind: CustomerByEmail, Email: "xyz@amazon.com"}, "WRITE_ACP"}}}).Append(b)
	},
	"API_GetBucketCors": func(b []byte) []byte {
		return AppendCORS(b, []CORSRule{
			{ID: "rule <1>", AllowedOrigins: []string{"http://www.example.com", "https://*.example.com"}, AllowedMethods: []string{"PUT", "POST"},
				AllowedHeaders: []string{"*"}, ExposeHeaders: []string{"x-amz-request-id", "ETag"}, MaxAgeSeconds: days(3000)},
			{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET"}, MaxAgeSeconds: days(0)}})
	},
	"API_GetPublicAccessBlock": func(b []byte) []byte {
		return (&PublicAccessBlock{BlockPublicACLs: true, RestrictPublicBuckets: true}).Append(b)
	},
	"API_GetBucketOwnershipControls": func(b []byte) []byte { return AppendOwnership(b, "BucketOwnerEnforced") },
	"API_GetBucketPolicyStatus":      func(b []byte) []byte { return AppendPolicyStatus(b, true) },
	"API_GetBucketRequestPayment":    func(b []byte) []byte { return AppendRequestPayment(b, "BucketOwner") },
	"API_GetBucketAccelerateConfiguration": func(b []byte) []byte {
		return AppendAccelerate(b, "Suspended")
	},
	"API_GetBucketAccelerateConfiguration-never": func(b []byte) []byte { return AppendAccelerate(b, "") },
	"API_GetBucketNotificationConfiguration":     AppendNoNotification,
	"API_GetBucketAbac":                          ABAC(false).Append,
	"API_GetBucketLogging": func(b []byte) []byte {
		return (&Logging{Enabled: true, TargetBucket: "logs", TargetPrefix: "p/ ", Partitioned: "EventTime",
			Grants: []Grant{{Grantee{Kind: CanonicalUser, ID: "f00"}, "READ"}}}).Append(b)
	},
	"API_GetBucketLogging-off": func(b []byte) []byte { return new(Logging).Append(b) },
}

// reader reads a document and keeps its type to itself.
type reader func(io.Reader) (any, error)

func anyOf[T any](read func(io.Reader) (T, error)) reader {
	return func(r io.Reader) (any, error) {
		v, err := read(r)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

func readObjectTags(r io.Reader) ([]Tag, error) { return ReadTagging(r, ObjectTagsMax) }

// TestReadBack: what a getter answers can be put again, and is the same.
func TestReadBack(t *testing.T) {
	for _, c := range []struct {
		doc  []byte
		read reader
		want any
	}{
		{configAnswers["API_GetBucketVersioning"](nil), anyOf(ReadVersioning), Versioning{"Enabled", "Disabled"}},
		{configAnswers["API_GetBucketVersioning-never"](nil), anyOf(ReadVersioning), Versioning{}},
		{configAnswers["API_GetObjectLockConfiguration"](nil), anyOf(ReadObjectLock), ObjectLock{Mode: "COMPLIANCE", Days: 30}},
		{configAnswers["API_GetObjectLockConfiguration-years"](nil), anyOf(ReadObjectLock), ObjectLock{Mode: "GOVERNANCE", Years: 1}},
		{configAnswers["API_GetObjectLockConfiguration-no-rule"](nil), anyOf(ReadObjectLock), ObjectLock{}},
		{configAnswers["API_GetObjectRetention"](nil), anyOf(ReadRetention), Retention{"GOVERNANCE", until}},
		{configAnswers["API_GetObjectLegalHold"](nil), anyOf(ReadLegalHold), true},
		{configAnswers["API_GetObjectLegalHold-off"](nil), anyOf(ReadLegalHold), false},
		{configAnswers["API_GetObjectTagging"](nil), anyOf(readObjectTags), []Tag{{"Project", "a + b"}, {"ü/日本", ""}}},
		{configAnswers["API_GetObjectTagging-none"](nil), anyOf(readObjectTags), []Tag{}},
		{configAnswers["API_GetPublicAccessBlock"](nil), anyOf(ReadPublicAccessBlock), PublicAccessBlock{BlockPublicACLs: true, RestrictPublicBuckets: true}},
		{configAnswers["API_GetBucketOwnershipControls"](nil), anyOf(ReadOwnership), "BucketOwnerEnforced"},
		{configAnswers["API_GetBucketRequestPayment"](nil), anyOf(ReadRequestPayment), "BucketOwner"},
		{configAnswers["API_GetBucketAccelerateConfiguration"](nil), anyOf(ReadAccelerate), "Suspended"},
		{configAnswers["API_GetBucketLogging-off"](nil), anyOf(ReadLogging), new(Logging)},
		{configAnswers["API_GetBucketNotificationConfiguration"](nil), anyOf(ReadNotification), Notification(false)},
		{configAnswers["API_GetBucketAbac"](nil), anyOf(ReadABAC), ABAC(false)},
	} {
		if got, err := c.read(bytes.NewReader(c.doc)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n%+v, %v", c.doc, got, err)
		}
	}
	again := func(name string, write func() ([]byte, error)) {
		want := configAnswers[name](nil)
		if got, err := write(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s\n%s", name, err, got, want)
		}
	}
	again("API_GetBucketAcl", func() ([]byte, error) {
		a, err := ReadAccessControl(bytes.NewReader(configAnswers["API_GetBucketAcl"](nil)))
		return a.Append(nil), err
	})
	again("API_GetBucketCors", func() ([]byte, error) {
		rules, err := ReadCORS(bytes.NewReader(configAnswers["API_GetBucketCors"](nil)))
		return AppendCORS(nil, rules), err
	})
	again("API_GetBucketLogging", func() ([]byte, error) {
		l, err := ReadLogging(bytes.NewReader(configAnswers["API_GetBucketLogging"](nil)))
		return l.Append(nil), err
	})
}

// refusals are documents that S3 calls malformed: unknown elements, wrong words, what is missing and what is there twice.
// The key names the operation's page; {} stands for the root around it.
var refusals = map[string]struct {
	read reader
	root string
	good []string // as clients also send them
	bad  []string
}{
	"API_PutBucketVersioning": {anyOf(ReadVersioning), "VersioningConfiguration",
		[]string{"", "<Status> Enabled\n</Status>", "<MfaDelete>Enabled</MfaDelete><Status>Suspended</Status>"},
		[]string{"<Status>enabled</Status>", "<Status></Status>", "<Status>Enabled</Status><Status>Enabled</Status>", "<status>Enabled</status>", "Enabled",
			"<Status>Enabled<b/></Status>", "<MfaDelete>on</MfaDelete>", "<Status>Enabled</Status>x", "x<Status>Enabled</Status>"}},
	"API_PutObjectLockConfiguration": {anyOf(ReadObjectLock), "ObjectLockConfiguration",
		[]string{"<ObjectLockEnabled>Enabled</ObjectLockEnabled>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days>1</Days><Mode>GOVERNANCE</Mode></DefaultRetention></Rule>"},
		[]string{"", "<ObjectLockEnabled>Disabled</ObjectLockEnabled>", "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule/>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode></DefaultRetention></Rule>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days>1</Days></DefaultRetention></Rule>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days>1</Days><Years>1</Years><Mode>GOVERNANCE</Mode></DefaultRetention></Rule>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days>1</Days><Mode>governance</Mode></DefaultRetention></Rule>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days>1.5</Days><Mode>GOVERNANCE</Mode></DefaultRetention></Rule>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days>4294967297</Days><Mode>GOVERNANCE</Mode></DefaultRetention></Rule>",
			"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Days/><Mode>GOVERNANCE</Mode></DefaultRetention></Rule>"}},
	"API_PutObjectRetention": {anyOf(ReadRetention), "Retention",
		[]string{"", "<RetainUntilDate>2030-01-02T15:04:05.123456Z</RetainUntilDate><Mode>COMPLIANCE</Mode>", "<Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-02T15:04:05+01:00</RetainUntilDate>"},
		[]string{"<Mode>GOVERNANCE</Mode>", "<RetainUntilDate>2030-01-02T15:04:05Z</RetainUntilDate>", "<Mode>x</Mode><RetainUntilDate>2030-01-02T15:04:05Z</RetainUntilDate>",
			"<Mode>GOVERNANCE</Mode><RetainUntilDate>Wed, 02 Jan 2030 15:04:05 GMT</RetainUntilDate>", "<Mode>GOVERNANCE</Mode><RetainUntilDate/>",
			"<Mode>GOVERNANCE</Mode><RetainUntilDate>9999-12-31T23:59:59-01:00</RetainUntilDate>", "<Mode/><RetainUntilDate>2030-01-02T15:04:05Z</RetainUntilDate>"}},
	"API_PutObjectLegalHold": {anyOf(ReadLegalHold), "LegalHold", []string{"<Status>ON</Status>", "<Status>OFF</Status>"},
		[]string{"", "<Status>on</Status>", "<Status/>", "<Status>ON</Status><Until/>"}},
	"API_PutObjectTagging": {anyOf(readObjectTags), "Tagging",
		[]string{"<TagSet/>", "<TagSet><Tag><Value/><Key>k</Key></Tag></TagSet>"},
		[]string{"", "<TagSet><Tag><Key>k</Key></Tag></TagSet>", "<TagSet><Tag><Value>v</Value></Tag></TagSet>", "<TagSet><Tag/></TagSet>", "<TagSet/><TagSet/>",
			"<TagSet><Tag><Key>k</Key><Key>l</Key><Value/></Tag></TagSet>", "<TagSet><Tag><Key>k<b/></Key><Value/></Tag></TagSet>", "<TagSet>k=v</TagSet>",
			"<Tag><Key>k</Key><Value>v</Value></Tag>", "<TagSet><tag/></TagSet>"}},
	"API_PutBucketAcl": {anyOf(ReadAccessControl), "AccessControlPolicy",
		[]string{"<Owner><ID>o</ID></Owner><AccessControlList/>",
			`<AccessControlList><Grant><Permission>READ</Permission><Grantee xmlns:x="` + schemaInstance + `" x:type="Group"><URI>u</URI></Grantee></Grant></AccessControlList><Owner><ID>o</ID></Owner>`},
		[]string{"", "<Owner/><AccessControlList/>", "<Owner><ID>o</ID></Owner>", "<AccessControlList/>",
			grantXML(`xsi:type="CanonicalUser"`, "", "READ"), grantXML(`xsi:type="Group"`, "<ID>i</ID>", "READ"), grantXML(`xsi:type="Other"`, "<ID>i</ID>", "READ"),
			grantXML(``, "<ID>i</ID>", "READ"), grantXML(`type="CanonicalUser"`, "<ID>i</ID>", "READ"), grantXML(`xsi:type="CanonicalUser"`, "<ID>i</ID>", "read"),
			grantXML(`xsi:type="CanonicalUser"`, "<ID>i</ID>", ""), grantXML(`xsi:type="CanonicalUser"`, "<ID>i</ID><ID>j</ID>", "READ"),
			"<Owner><ID>o</ID></Owner><AccessControlList>" + strings.Repeat(oneGrantXML, GrantsMax+1) + "</AccessControlList>"}},
	"API_PutBucketCors": {anyOf(ReadCORS), "CORSConfiguration",
		[]string{"<CORSRule><AllowedOrigin/><AllowedMethod>x</AllowedMethod></CORSRule>",
			"<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><MaxAgeSeconds>-1</MaxAgeSeconds></CORSRule>"},
		[]string{"", "<CORSRule/>", "<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>", "<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>",
			"<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>1</MaxAgeSeconds></CORSRule>",
			"<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedCredentials>true</AllowedCredentials></CORSRule>"}},
	"API_PutPublicAccessBlock": {anyOf(ReadPublicAccessBlock), "PublicAccessBlockConfiguration",
		[]string{"", "<BlockPublicAcls>TRUE</BlockPublicAcls>", "<IgnorePublicAcls>0</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>"},
		[]string{"<BlockPublicAcls/>", "<BlockPublicAcls>yes</BlockPublicAcls>", "<BlockPublicACLs>true</BlockPublicACLs>", "<BlockPublicAcls><b>true</b></BlockPublicAcls>"}},
	"API_PutBucketOwnershipControls": {anyOf(ReadOwnership), "OwnershipControls", []string{"<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>"},
		[]string{"", "<Rule/>", "<Rule><ObjectOwnership>Owner</ObjectOwnership></Rule>",
			strings.Repeat("<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>", 2)}},
	"API_PutBucketRequestPayment": {anyOf(ReadRequestPayment), "RequestPaymentConfiguration", []string{"<Payer>Requester</Payer>"}, []string{"", "<Payer>me</Payer>"}},
	"API_PutBucketAccelerateConfiguration": {anyOf(ReadAccelerate), "AccelerateConfiguration", []string{"<Status>Enabled</Status>"},
		[]string{"", "<Status>Disabled</Status>"}},
	"API_PutBucketNotificationConfiguration": {anyOf(ReadNotification), "NotificationConfiguration", []string{"", "<EventBridgeConfiguration/>"},
		[]string{"text", "<LambdaConfiguration/>"}},
	"API_PutBucketAbac": {anyOf(ReadABAC), "AbacStatus", []string{"<Status>Enabled</Status>"}, []string{"", "<Status>Suspended</Status>"}},
	"API_PutBucketLogging": {anyOf(ReadLogging), "BucketLoggingStatus",
		[]string{"", "<LoggingEnabled><TargetBucket>b</TargetBucket><TargetPrefix/><TargetObjectKeyFormat><SimplePrefix/></TargetObjectKeyFormat></LoggingEnabled>"},
		[]string{"<LoggingEnabled/>", "<LoggingEnabled><TargetBucket>b</TargetBucket></LoggingEnabled>",
			"<LoggingEnabled><TargetBucket>b</TargetBucket><TargetPrefix/><TargetObjectKeyFormat/></LoggingEnabled>",
			"<LoggingEnabled><TargetBucket>b</TargetBucket><TargetPrefix/><TargetGrants><Grant/></TargetGrants></LoggingEnabled>"}},
}

const oneGrantXML = `<Grant><Grantee xsi:type="CanonicalUser"><ID>i</ID></Grantee><Permission>READ</Permission></Grant>`

func grantXML(attribute, grantee, permission string) string {
	return "<Owner><ID>o</ID></Owner><AccessControlList><Grant><Grantee " + attribute + ">" + grantee + "</Grantee><Permission>" + permission + "</Permission></Grant></AccessControlList>"
}

// TestConfigSchema: what S3's schema takes is taken, with and without the namespace, and what it does not is not.
func TestConfigSchema(t *testing.T) {
	for page, c := range refusals {
		t.Run(page, func(t *testing.T) {
			for _, inner := range c.good {
				for _, doc := range []string{"<" + c.root + ns + ">" + inner + "</" + c.root + ">", Prolog + "<!-- c --><a:" + c.root + ">\n" + inner + "\n</a:" + c.root + ">\n"} {
					if _, err := c.read(strings.NewReader(doc)); err != nil {
						t.Errorf("%s: %v", doc, err)
					}
				}
			}
			for _, inner := range append(c.bad, "<Unknown/>", "<"+c.root+"/>") {
				doc := "<" + c.root + ns + ">" + inner + "</" + c.root + ">"
				if v, err := c.read(strings.NewReader(doc)); !errors.Is(err, ErrMalformed) {
					t.Errorf("%.300s: %+v, %v", doc, v, err)
				}
			}
			for _, doc := range []string{"", " ", "{}", "<Other/>", "<" + c.root + ">", "<" + c.root + "/>x", "<" + c.root + "/><" + c.root + "/>"} {
				if v, err := c.read(strings.NewReader(doc)); !errors.Is(err, ErrMalformed) {
					t.Errorf("%.100s: %+v, %v", doc, v, err)
				}
			}
			long := "<" + c.root + ">" + strings.Repeat("<!-- "+strings.Repeat("x", 1000)+" -->", configMax/1000) + "</" + c.root + ">"
			if _, err := c.read(strings.NewReader(long)); !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
		})
	}
}

// TestElementsMax: a document of very many small elements is refused before they are held.
func TestElementsMax(t *testing.T) {
	const head, tail = "<CORSConfiguration><CORSRule><AllowedOrigin/>", "</CORSRule></CORSConfiguration>"
	for n, want := range map[int]error{elementsMax - 3: nil, elementsMax - 2: ErrMalformed} { // three others
		if _, err := ReadCORS(strings.NewReader(head + strings.Repeat("<AllowedMethod/>", n) + tail)); !errors.Is(err, want) {
			t.Errorf("%d methods: %v", n, err)
		}
	}
}

// TestReadObjectLockPeriod: API_PutObjectLockConfiguration, "must be a positive integer".
func TestReadObjectLockPeriod(t *testing.T) {
	for _, period := range []string{"<Days>0</Days>", "<Years>-1</Years>"} {
		doc := "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode>" + period + "</DefaultRetention></Rule></ObjectLockConfiguration>"
		if _, err := ReadObjectLock(strings.NewReader(doc)); err != ErrPeriod {
			t.Errorf("%s: %v", period, err)
		}
	}
}

// TestCheckTags: S3 User Guide, "Categorizing your objects using tags"; API_PutBucketTagging for aws: and 50.
func TestCheckTags(t *testing.T) {
	many := make([]Tag, ObjectTagsMax+1)
	for i := range many {
		many[i].Key = string(rune('a' + i))
	}
	for _, c := range []struct {
		tags []Tag
		want error
	}{
		{nil, nil},
		{many[:ObjectTagsMax], nil},
		{many, ErrTagCount},
		{[]Tag{{"k", "v"}, {"K", "v"}}, nil}, // keys have a case
		{[]Tag{{"k", "v"}, {"l", ""}, {"k", "w"}}, ErrTagDuplicate},
		{[]Tag{{"", "v"}}, ErrTagKey},
		{[]Tag{{strings.Repeat("ü", tagKeyMax), strings.Repeat("日", tagValueMax)}}, nil},
		{[]Tag{{strings.Repeat("k", tagKeyMax+1), "v"}}, ErrTagKey},
		{[]Tag{{strings.Repeat("𝒜", tagKeyMax/2), strings.Repeat("𝒜", tagValueMax/2)}}, nil},
		{[]Tag{{strings.Repeat("𝒜", tagKeyMax/2) + "k", ""}}, ErrTagKey},
		{[]Tag{{"k", strings.Repeat("v", tagValueMax+1)}}, ErrTagValue},
		{[]Tag{{"a b_.:/=+-@9", "Ünï 日本"}}, nil},
		{[]Tag{{"k?", "v"}}, ErrTagKey},
		{[]Tag{{"k", "a\nb"}}, ErrTagValue},
		{[]Tag{{"k", "a&b"}}, ErrTagValue},
		{[]Tag{{"k\xff", "v"}}, ErrTagKey},
		{[]Tag{{"Aws:k", "v"}}, ErrTagReserved},
		{[]Tag{{"awsk", "aws:v"}}, nil},
	} {
		err := CheckTags(c.tags, ObjectTagsMax)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%q: %v, want %v", c.tags, err, c.want)
		}
		if doc, readErr := ReadTagging(bytes.NewReader(AppendTagging(nil, c.tags)), ObjectTagsMax); (readErr == nil) != (err == nil) || err == nil && len(doc) != len(c.tags) {
			t.Errorf("%q as a document: %v, %v", c.tags, doc, readErr)
		}
	}
	var fault *TagError
	if err := CheckTags([]Tag{{"k", "v"}, {"k", "w"}}, 2); !errors.As(err, &fault) || fault.Tag.Value != "w" {
		t.Errorf("%v names %v", err, fault)
	}
}

// TestParseTime: API_PutObjectRetention, RetainUntilDate; the header x-amz-object-lock-retain-until-date is the same.
func TestParseTime(t *testing.T) {
	for s, want := range map[string]string{
		"2030-01-02T15:04:05Z":      "2030-01-02T15:04:05.000Z",
		"2030-01-02T15:04:05.9999Z": "2030-01-02T15:04:05.999Z",
		"2030-01-02T15:04:05+01:00": "2030-01-02T14:04:05.000Z",
		"2030-01-02":                "",
		"2030-01-02 15:04:05Z":      "",
		"0000-01-02T15:04:05Z":      "",
		"9999-12-31T23:59:59-23:00": "",
		"":                          "",
	} {
		at, ok := ParseTime(s)
		if got := string(AppendTime(nil, at)); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s, %v", s, got, ok)
		}
	}
}

// FuzzConfig gives each document to the reader of its root, and what was read and written to the reader again.
func FuzzConfig(f *testing.F) {
	for _, write := range configAnswers {
		f.Add(write(nil))
	}
	for _, c := range refusals {
		for _, inner := range append(c.good, c.bad...) {
			f.Add([]byte("<" + c.root + ">" + inner + "</" + c.root + ">"))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for page, c := range refusals {
			v, err := c.read(bytes.NewReader(doc))
			if err != nil {
				var tag *TagError
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && err != ErrPeriod && !errors.Is(err, ErrTagCount) && !errors.As(err, &tag) {
					t.Fatalf("%s: %v", page, err)
				}
				continue
			}
			if again, err := c.read(bytes.NewReader(written(v))); err != nil || !bytes.Equal(written(again), written(v)) {
				t.Fatalf("%s: %+v became %+v, %v", page, v, again, err)
			}
		}
	})
}

// written is the getter's document of what was read.
func written(v any) []byte {
	switch v := v.(type) {
	case Versioning:
		return v.Append(nil)
	case ObjectLock:
		return v.Append(nil)
	case Retention:
		if v.Mode == "" {
			return []byte("<Retention/>")
		}
		return v.Append(nil)
	case bool:
		return AppendLegalHold(nil, v)
	case ABAC:
		return v.Append(nil)
	case Notification:
		if v {
			return []byte("<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>")
		}
		return AppendNoNotification(nil)
	case []Tag:
		return AppendTagging(nil, v)
	case *AccessControl:
		return v.Append(nil)
	case []CORSRule:
		return AppendCORS(nil, v)
	case PublicAccessBlock:
		return v.Append(nil)
	case *Logging:
		return v.Append(nil)
	case string:
		switch v {
		case "Requester", "BucketOwner":
			return AppendRequestPayment(nil, v)
		case "Enabled", "Suspended":
			return AppendAccelerate(nil, v)
		}
		return AppendOwnership(nil, v)
	}
	return nil
}
