package s3xml

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/answers anew; a person reads the diff")

var (
	when  = time.Date(2009, 10, 12, 17, 50, 30, 7_000_000, time.UTC)
	tag   = ETag{MD5: [16]byte{0xfb, 0xa9, 0xde, 0xde, 0x5f, 0x27, 0x73, 0x1c, 0x97, 0x71, 0x64, 0x5a, 0x39, 0x86, 0x33, 0x28}}
	multi = ETag{MD5: tag.MD5, Parts: 3}
	owner = Owner{ID: "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a", DisplayName: "mtd@amazon.com"}
)

const awkwardKey = "a&b <c> \"d\" 'e'\t\r\n\x01 ü/日本\x7f"

// answers are one of each, named after the page of the API reference whose "Response Syntax" they follow.
var answers = both(objectAnswers, configAnswers)

func both[K comparable, V any](a, b map[K]V) map[K]V {
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}

var objectAnswers = map[string]func(b []byte) []byte{
	"API_ListObjectsV2": func(b []byte) []byte {
		b = BeginListV2(b, &ListHead{Bucket: "quotes", Prefix: "N", Delimiter: "/", MaxKeys: 3, KeyCount: 3, Truncated: true,
			ContinuationToken: "1ueGc", NextContinuationToken: "dG9r", StartAfter: "M"})
		b = AppendObject(b, &Object{Key: []byte("Nelson"), Modified: when, ETag: tag, Size: 434234, Owner: &owner}, false)
		b = AppendObject(b, &Object{Key: []byte(awkwardKey), Modified: when, ETag: multi, Size: 1 << 40, StorageClass: "STANDARD_IA",
			ChecksumAlgorithm: "CRC64NVME", ChecksumType: "FULL_OBJECT"}, false)
		return EndList(AppendPrefix(b, "N/", false))
	},
	"API_ListObjectsV2-encoding-type-url": func(b []byte) []byte {
		b = BeginListV2(b, &ListHead{Bucket: "quotes", Prefix: "N +", Delimiter: "&", MaxKeys: 1000, KeyCount: 2, URL: true, StartAfter: "M ü"})
		b = AppendObject(b, &Object{Key: []byte(awkwardKey), Modified: when, ETag: tag, Size: 0}, true)
		return EndList(AppendPrefix(b, []byte("N+/&"), true))
	},
	"API_ListObjects": func(b []byte) []byte {
		b = BeginListV1(b, &ListHead{Bucket: "bucket", MaxKeys: 1, Marker: "a", NextMarker: "my-image.jpg", Truncated: true})
		b = AppendObject(b, &Object{Key: []byte("my-image.jpg"), Modified: when, ETag: tag, Size: 434234, Owner: &owner}, false)
		return EndList(b)
	},
	"API_ListBuckets": func(b []byte) []byte {
		return (&ListBuckets{Owner: owner, Buckets: []Bucket{{Name: "quotes", Created: when}, {Name: "samples", Created: when, Region: "eu-west-1"}},
			ContinuationToken: "next", Prefix: "q"}).Append(b)
	},
	"API_ListBuckets-none": func(b []byte) []byte { return (&ListBuckets{Owner: Owner{ID: "root"}}).Append(b) },
	"API_ListMultipartUploads": func(b []byte) []byte {
		return (&ListUploads{Bucket: "bucket", KeyMarker: "k", UploadIDMarker: "u", NextKeyMarker: "my-movie.m2ts", NextUploadIDMarker: "YW55",
			Delimiter: "/", MaxUploads: 3, Truncated: true, CommonPrefixes: []string{"photos/"},
			Uploads: []Upload{{Key: "my divisor", ID: "XMgbGlrZSBlbHZpbmcncyBub3QgaGF2aW5nIG11Y2ggbHVjaw", Initiator: owner, Owner: owner, Initiated: when,
				ChecksumAlgorithm: "CRC32", ChecksumType: "COMPOSITE"}}}).Append(b)
	},
	"API_ListParts": func(b []byte) []byte {
		return (&ListParts{Bucket: "example-bucket", Key: "example-object", UploadID: "XXBsb2FkIElE", Initiator: owner, Owner: owner, PartNumberMarker: 1, NextMarker: 3,
			MaxParts: 2, Truncated: true, ChecksumAlgorithm: "SHA256", ChecksumType: "COMPOSITE",
			Parts: []Part{{Number: 2, Modified: when, ETag: tag, Size: 10485760}, {Number: 3, Modified: when, ETag: tag, Size: 1, Checksums: Checksums{SHA256: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}}}).Append(b)
	},
	"API_CreateMultipartUpload": func(b []byte) []byte {
		return AppendInitiate(b, "example-bucket", awkwardKey, "VXBsb2FkIElE")
	},
	"API_CompleteMultipartUpload": func(b []byte) []byte {
		return (&Completed{Location: "http://localhost:9000/b/a%26b", Bucket: "b", Key: "a&b", ETag: multi,
			Checksums: Checksums{CRC32: "AAAAAA==", CRC32C: "AAAAAQ==", CRC64NVME: "AAAAAAAAAAA=", SHA1: "c2hhMQ==", SHA256: "c2hhMjU2",
				MD5: "bWQ1", SHA512: "c2hhNTEy", XXHASH64: "eHg2NA==", XXHASH3: "eHgz", XXHASH128: "eHgxMjg=", Type: "COMPOSITE"}}).Append(b)
	},
	"API_CopyObject": func(b []byte) []byte {
		return (&Copied{Modified: when, ETag: tag, Checksums: Checksums{CRC64NVME: "AAAAAAAAAAA=", Type: "FULL_OBJECT"}}).AppendObject(b)
	},
	"API_UploadPartCopy": func(b []byte) []byte { return (&Copied{Modified: when, ETag: tag}).AppendPart(b) },
	"API_DeleteObjects": func(b []byte) []byte {
		b = AppendDeleted(BeginDeleted(b), &Deleted{Key: "sample1.txt"})
		b = AppendDeleted(b, &Deleted{Key: "a&b", VersionID: "v1", DeleteMarker: true, DeleteMarkerVersionID: "v2"})
		return EndDeleted(AppendDeleteError(b, "sample2.txt", "v3", "AccessDenied", "Access Denied"))
	},
	"API_ListObjectVersions": func(b []byte) []byte {
		b = BeginListVersions(b, &VersionsHead{Bucket: "bucket", Prefix: "my", Delimiter: "/", KeyMarker: "m", VersionIDMarker: "v0", MaxKeys: 3,
			Truncated: true, NextKeyMarker: awkwardKey, NextVersionIDMarker: "null"})
		b = AppendVersion(b, &Version{Object: Object{Key: []byte("my-image.jpg"), Modified: when, ETag: tag, Size: 434234, Owner: &owner,
			ChecksumAlgorithm: "CRC32", ChecksumType: "COMPOSITE"}, VersionID: []byte("3/L4kqtJl40Nr8X8gdRQBpUMLUo"), Latest: true}, false)
		b = AppendDeleteMarker(b, &DeleteMarker{Key: []byte("my-second-image.jpg"), VersionID: []byte("03jpff543dhffds434rfdsFDN943fdsFkdmqnh892"),
			Latest: true, Modified: when, Owner: &owner}, false)
		b = AppendVersion(b, &Version{Object: Object{Key: []byte(awkwardKey), Modified: when, ETag: multi, Size: 1 << 40, StorageClass: "STANDARD_IA"},
			VersionID: []byte("null")}, false)
		return EndListVersions(AppendPrefix(b, "my/", false))
	},
	"API_ListObjectVersions-encoding-type-url": func(b []byte) []byte {
		b = BeginListVersions(b, &VersionsHead{Bucket: "bucket", Prefix: "N +", Delimiter: "&", KeyMarker: "M ü", MaxKeys: 1, URL: true, Truncated: true, NextKeyMarker: "ü"})
		b = AppendDeleteMarker(b, &DeleteMarker{Key: []byte(awkwardKey), VersionID: []byte("v1"), Modified: when}, true)
		return EndListVersions(b)
	},
	"API_GetObjectAttributes": func(b []byte) []byte {
		size := uint64(1 << 40)
		return (&Attributes{ETag: &multi, Checksums: &Checksums{SHA256: "c2hhMjU2-3", Type: "COMPOSITE"}, StorageClass: "STANDARD", Size: &size,
			Parts: &AttributeParts{Listed: true, Count: 3, Marker: 1, NextMarker: 2, PartsMax: 1, Truncated: true,
				Parts: []AttributePart{{Number: 2, Size: 5 << 20, Checksums: Checksums{SHA256: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}}}}).Append(b)
	},
	"API_GetObjectAttributes-some": func(b []byte) []byte {
		return (&Attributes{ETag: &tag, Parts: &AttributeParts{Count: 7}}).Append(b)
	},
	"API_GetObjectAttributes-none": func(b []byte) []byte { return new(Attributes).Append(b) },
	"RESTObjectPOST": func(b []byte) []byte {
		return (&Posted{Location: "http://localhost:9000/b/a%26b", Bucket: "b", Key: "a&b", ETag: tag}).Append(b)
	},
	"API_GetBucketLocation":           func(b []byte) []byte { return AppendLocation(b, "eu-west-1") },
	"API_GetBucketLocation-us-east-1": func(b []byte) []byte { return AppendLocation(b, "us-east-1") },
	"ErrorResponses": func(b []byte) []byte {
		return (&Error{Code: "SignatureDoesNotMatch", Message: "The request signature <we> calculated", Resource: "/b/a&b", RequestID: "4442587FB7D0A2F9", HostID: "h",
			Extra: []Extra{{"StringToSign", "AWS4-HMAC-SHA256\n20130524T000000Z"}, {"StringToSignBytes", "41 57"}}}).Append(b)
	},
}

// TestAnswers compares each answer with its golden file.
func TestAnswers(t *testing.T) {
	for name, write := range answers {
		t.Run(name, func(t *testing.T) {
			got := write([]byte("kept"))
			if !bytes.HasPrefix(got, []byte("kept"+Prolog)) {
				t.Fatalf("what was there is gone, or no prolog: %.60q", got)
			}
			got = got[len("kept"):]
			path := filepath.Join("testdata", "answers", name+".xml")
			if *rewrite {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestWellFormed reads answers without a control character back.
func TestWellFormed(t *testing.T) {
	for name, write := range answers {
		doc := bytes.ReplaceAll(write(nil), []byte("&#x1;"), nil)
		if err := wellFormed(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func wellFormed(doc []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(doc)); ; {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestAppendText holds escapes to "XML related object key constraints" (object-keys, S3 user guide).
func TestAppendText(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"plain key/1":       "plain key/1",
		"&<>\"'":            "&amp;&lt;&gt;&quot;&apos;",
		"\t\n\r":            "&#9;&#10;&#13;",
		"\x00\x01\x1f":      "&#x0;&#x1;&#x1f;",
		"\x7f\u0080":        "\x7f\u0080",
		"ü日😀":               "ü日😀",
		"\uFFFD":            "\uFFFD",
		"\uFFFEa\uFFFF":     "&#xfffe;a&#xffff;",
		"a\xffb":            "a\uFFFDb",
		"\xe6\x97":          "\uFFFD\uFFFD",
		"\xed\xa0\x80":      "\uFFFD\uFFFD\uFFFD",
		"&\xf0\x9f\x98\x80": "&amp;😀",
	} {
		if got := string(AppendText(nil, in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := string(AppendText(nil, []byte(in))); got != want {
			t.Errorf("bytes %q: %q, want %q", in, got, want)
		}
	}
}

// TestAppendURL: API_ListObjectsV2, EncodingType: "test_file(3).png will appear as test_file%283%29.png".
func TestAppendURL(t *testing.T) {
	for in, want := range map[string]string{
		"test_file(3).png": "test_file%283%29.png",
		"a b+c/d*e~f%":     "a%20b%2Bc/d*e%7Ef%25",
		"ü\x00":            "%C3%BC%00",
	} {
		if got := string(AppendURL(nil, in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestAppendTime compares with time.Format.
func TestAppendTime(t *testing.T) {
	for _, at := range []time.Time{{}, when, time.Unix(0, 0), time.Date(1999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2024, 2, 29, 1, 2, 3, 45_000_000, time.FixedZone("", 3600)), time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC)} {
		if got, want := string(AppendTime(nil, at)), at.UTC().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestEntriesAllocateNothing: a page of versions is appended into a buffer that has room.
func TestEntriesAllocateNothing(t *testing.T) {
	buf := make([]byte, 0, 64<<10)
	key, id := []byte("some/prefix/of-a-key"), []byte("0123456789abcdef")
	if n := testing.AllocsPerRun(100, func() {
		b := BeginListVersions(buf[:0], &VersionsHead{Bucket: "bucket", MaxKeys: 1000})
		for range 10 {
			b = AppendVersion(b, &Version{Object: Object{Key: key, Modified: when, ETag: tag, Size: 4096, Owner: &owner}, VersionID: id, Latest: true}, false)
			b = AppendDeleteMarker(b, &DeleteMarker{Key: key, VersionID: id, Modified: when, Owner: &owner}, true)
		}
		buf = EndListVersions(b)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkListV2 writes a page of 1,000 entries into a buffer that has room.
func BenchmarkListV2(b *testing.B) {
	var buf []byte
	head := &ListHead{Bucket: "bucket", Prefix: "some/prefix/", MaxKeys: 1000, KeyCount: 1000}
	key := []byte("some/prefix/of-a-key/000000000000")
	b.ReportAllocs()
	for b.Loop() {
		buf = BeginListV2(buf[:0], head)
		for i := range 1000 {
			key[len(key)-1] = byte('0' + i%10)
			buf = AppendObject(buf, &Object{Key: key, Modified: when, ETag: tag, Size: 4096, ChecksumAlgorithm: "CRC64NVME", ChecksumType: "FULL_OBJECT"}, false)
		}
		buf = EndList(buf)
	}
}
