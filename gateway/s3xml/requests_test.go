package s3xml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

const ns = ` xmlns="` + Namespace + `"`

// TestReadComplete: API_CompleteMultipartUpload, "Request Syntax".
func TestReadComplete(t *testing.T) {
	want := []CompletedPart{{Number: 1, ETag: `"a54357aff0632cce46d942af68356b38"`},
		{Number: 2, ETag: "0c78aef83f66abc1fa1e8477f296d394", Checksums: Checksums{CRC32: "1", CRC32C: "2", CRC64NVME: "3", SHA1: "4", SHA256: "5", MD5: "6", SHA512: "7", XXHASH64: "8", XXHASH3: "9", XXHASH128: "10"}}}
	parts := `<Part><PartNumber>1</PartNumber><ETag>&quot;a54357aff0632cce46d942af68356b38&quot;</ETag></Part>
	<Part><ETag>0c78aef83f66abc1fa1e8477f296d394</ETag><PartNumber> 2 </PartNumber><ChecksumCRC32>1</ChecksumCRC32><ChecksumCRC32C>2</ChecksumCRC32C>
	<ChecksumCRC64NVME>3</ChecksumCRC64NVME><ChecksumSHA1>4</ChecksumSHA1><ChecksumSHA256>5</ChecksumSHA256>
	<ChecksumMD5>6</ChecksumMD5><ChecksumSHA512>7</ChecksumSHA512><ChecksumXXHASH64>8</ChecksumXXHASH64><ChecksumXXHASH3>9</ChecksumXXHASH3>
	<ChecksumXXHASH128>10</ChecksumXXHASH128><Unknown><Deep/></Unknown></Part>`
	const name = "CompleteMultipartUpload"
	for _, doc := range []string{
		"<" + name + ns + ">" + parts + "</" + name + ">",
		Prolog + "<" + name + ">" + parts + "</" + name + ">\n",
		"\ufeff<" + name + ` xmlns="http://other/">` + parts + "</" + name + ">",
		"<!-- c --><s3:" + name + ` xmlns:s3="x">` + parts + "</s3:" + name + ">",
	} {
		got, err := ReadComplete(strings.NewReader(doc))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n%+v, %v", doc, got, err)
		}
	}
	for _, doc := range []string{
		"", " ", "{}", "<" + name + "/>", "<" + name + ">", "<Other>" + parts + "</Other>", "<" + name + ">" + parts,
		"<" + name + "><Part/></" + name + ">", "<" + name + "><Part><PartNumber>x</PartNumber></Part></" + name + ">",
		"<" + name + "><Part><PartNumber>99999999999</PartNumber></Part></" + name + ">",
		"<" + name + ">" + strings.Repeat("<Part><PartNumber>1</PartNumber></Part>", PartsMax+1) + "</" + name + ">",
		"<" + name + ">" + parts + "</" + name + "><" + name + "/>", "<" + name + ">" + parts + "</" + name + ">text",
	} {
		if got, err := ReadComplete(strings.NewReader(doc)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.200s: %d parts, %v", doc, len(got), err)
		}
	}
	full := "<" + name + ">" + strings.Repeat("<Part><PartNumber>1</PartNumber></Part>", PartsMax) + "</" + name + ">"
	if got, err := ReadComplete(strings.NewReader(full)); err != nil || len(got) != PartsMax {
		t.Errorf("%d parts, %v", len(got), err)
	}
}

// TestReadDelete: API_DeleteObjects, "Request Syntax".
func TestReadDelete(t *testing.T) {
	got, err := ReadDelete(strings.NewReader(Prolog + "<Delete" + ns + `><Quiet>true</Quiet>
	<Object><Key> a&amp;b&#13;&lt;<![CDATA[<c>]]> </Key><VersionId>v1</VersionId></Object>
	<Object><Key>ü/日本</Key><ETag>"e"</ETag><LastModifiedTime>Wed, 21 Oct 2015 07:28:00 GMT</LastModifiedTime><Size>5</Size></Object>
	<Object><Key></Key></Object></Delete>`))
	want := &Delete{Quiet: true, Objects: []DeleteObject{{Key: " a&b\r<<c> ", VersionID: "v1"},
		{Key: "ü/日本", ETag: `"e"`, LastModifiedTime: "Wed, 21 Oct 2015 07:28:00 GMT", Size: "5"}, {}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	one := "<Object><Key>k</Key></Object>"
	for doc, want := range map[string]error{
		"<Delete>" + strings.Repeat(one, DeletesMax) + "</Delete>":   nil,
		"<Delete>" + strings.Repeat(one, DeletesMax+1) + "</Delete>": ErrMalformed, // as S3 says it
		"<Delete></Delete>":                                                                                     ErrMalformed,
		"<Delete><Object/></Delete>":                                                                            ErrMalformed,
		"<Delete><Quiet>maybe</Quiet>" + one + "</Delete>":                                                      ErrMalformed,
		"<Delete>" + one + "</Object></Delete>":                                                                 ErrMalformed,
		"<Delete><Object><Key>k<b>e</b>y</Key></Object></Delete>":                                               ErrMalformed, // not the key y
		"<Delete><Object><Key>k</Key><Key>y</Key></Object></Delete>":                                            ErrMalformed,
		"<Delete><Object><Key>k</Key><ETag>\"e\"<b/></ETag></Object></Delete>":                                  ErrMalformed, // not unconditional
		"<Delete><Object><Key>k</Key><IfUnmodified>x</IfUnmodified></Object></Delete>":                          ErrMalformed,
		"<Delete><Object><Key>k</Object></Key></Delete>":                                                        ErrMalformed,
		"<Delete><a:Object><Key>k</Key></b:Object></Delete>":                                                    ErrMalformed,
		"<!DOCTYPE Delete [<!ENTITY e \"x\">]><Delete>" + one:                                                   ErrMalformed,
		"<Delete>&e;" + one + "</Delete>":                                                                       ErrMalformed,
		"<Delete>" + strings.Repeat("<a>", 10) + strings.Repeat("</a>", 10) + one + "</Delete>":                 ErrMalformed,
		"<Delete><Object><Key>" + strings.Repeat("k", textMax+1) + "</Key></Object></Delete>":                   ErrMalformed,
		"<Delete><Object><Key>\xff</Key></Object></Delete>":                                                     ErrMalformed,
		`<?xml version="1.0" encoding="latin1"?><Delete>` + one + "</Delete>":                                   ErrMalformed,
		"<Delete>" + one + strings.Repeat(" ", tokenMax+1) + "</Delete>":                                        ErrMalformed, // one element's text, too long
		"<Delete>" + one + "</Delete>" + strings.Repeat("<!-- -->", deleteMax/8):                                ErrTooLarge,
		"<Delete>" + strings.Repeat("<!--"+strings.Repeat("x", 4000)+"-->", deleteMax/4000) + one + "</Delete>": ErrTooLarge,
		"<Delete a=\"" + strings.Repeat("x", tokenMax) + "\">" + one + "</Delete>":                              ErrMalformed,
	} {
		if _, err := ReadDelete(strings.NewReader(doc)); !errors.Is(err, want) {
			t.Errorf("%.100s: %v, want %v", doc, err, want)
		}
	}
}

// TestControlCharacters: keys with characters that XML 1.0 does not have, as S3 and botocore write them; and what only looks like one.
func TestControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"a&#x1;b":                    "a\x01b",
		"&#1;&#x01;&#x1F;&#31;&#x0;": "\x01\x01\x1f\x1f\x00",
		"&#x9;&#10;&#13;&#x20;":      "\t\n\r ",
		"&amp;#x1;":                  "&#x1;",
		"<![CDATA[&#x1;]]>&#x2;":     "&#x1;\x02",
		"<![CDATA[]&#x1;]]]>&#x2;":   "]&#x1;]\x02",
		"\ufdd1":                     "\ufdd1",
		"&#xfdd1;":                   "\ufdd1",
	} {
		got, err := ReadDelete(strings.NewReader("<Delete><Object><Key>" + text + "</Key></Object></Delete>"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got.Objects[0].Key != want {
			t.Errorf("%s: %+q", text, got.Objects[0].Key)
		}
	}
	for _, text := range []string{"\x01", "&#x1", "&#x;", "&#;", "&#x110000;", "&#x1;\ufdd1"} {
		if _, err := ReadDelete(strings.NewReader("<Delete><Object><Key>" + text + "</Key></Object></Delete>")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestReadBucketConfig: API_CreateBucket, "Request Syntax".
func TestReadBucketConfig(t *testing.T) {
	for doc, want := range map[string]BucketConfig{
		"":                                       {},
		"<CreateBucketConfiguration" + ns + "/>": {},
		"<CreateBucketConfiguration" + ns + "><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>": {Location: "EU"},
		"<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket><Tags><Tag><Key>k</Key><Value> v</Value></Tag></Tags></CreateBucketConfiguration>": {
			Others: []string{"Bucket"}, Tags: []Tag{{"k", " v"}}},
	} {
		if got, err := ReadBucketConfig(strings.NewReader(doc)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", doc, got, err)
		}
	}
	for _, doc := range []string{"x", "<Other/>", "<CreateBucketConfiguration>", "<CreateBucketConfiguration>EU<a/></CreateBucketConfiguration>",
		"<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint><LocationConstraint>US</LocationConstraint></CreateBucketConfiguration>",
		"<CreateBucketConfiguration><Tags><Tag><Key>k</Key></Tag></Tags></CreateBucketConfiguration>"} {
		if _, err := ReadBucketConfig(strings.NewReader(doc)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestReaderErrors: what the body's reader says comes out as it is, also what it says only at its end.
func TestReaderErrors(t *testing.T) {
	boom := errors.New("signature does not match")
	doc := "<Delete><Object><Key>k</Key></Object></Delete>"
	for n := range len(doc) + 1 {
		src := io.MultiReader(strings.NewReader(doc[:n]), iotest.ErrReader(boom))
		if _, err := ReadDelete(src); err != boom {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if _, err := ReadDelete(strings.NewReader(doc[:n])); n < len(doc) && !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
}

func fuzzReader[T any](f *testing.F, read func(io.Reader) (T, error), seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		_, err := read(bytes.NewReader(doc))
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
	})
}

func FuzzReadComplete(f *testing.F) {
	fuzzReader(f, ReadComplete, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part></CompleteMultipartUpload>")
}

func FuzzReadBucketConfig(f *testing.F) {
	fuzzReader(f, ReadBucketConfig, "<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>")
}

// FuzzReadDelete also writes the keys that were read, and reads them again.
func FuzzReadDelete(f *testing.F) {
	f.Add([]byte("<Delete><Quiet>1</Quiet><Object><Key>a&amp;b</Key></Object></Delete>"))
	f.Add([]byte(Prolog + "<x:Delete" + ns + "><Object><Key><![CDATA[<]]>&#13;</Key></Object></x:Delete>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := ReadDelete(bytes.NewReader(doc))
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		b := root(nil, "Delete")
		for _, o := range d.Objects {
			b = closing(element(opening(b, "Object"), "Key", o.Key), "Object")
		}
		again, err := ReadDelete(bytes.NewReader(closing(b, "Delete")))
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range again.Objects {
			if o.Key != d.Objects[i].Key {
				t.Fatalf("%q became %q", d.Objects[i].Key, o.Key)
			}
		}
	})
}

// FuzzAppendText: what is written is well-formed, but for characters that XML 1.0 cannot hold.
func FuzzAppendText(f *testing.F) {
	f.Add(awkwardKey)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff }) {
			return
		}
		if err := wellFormed(element(nil, "Key", s)); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// BenchmarkReadDelete reads a request of 100 keys.
func BenchmarkReadDelete(b *testing.B) {
	doc := []byte("<Delete" + ns + "><Quiet>true</Quiet>")
	for i := range 100 {
		doc = fmt.Appendf(doc, "<Object><Key>some/prefix/of-a-key/%012d</Key></Object>", i)
	}
	doc = append(doc, "</Delete>"...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadDelete(bytes.NewReader(doc)); err != nil {
			b.Fatal(err)
		}
	}
}
