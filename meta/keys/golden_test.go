package keys

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
)

// TestGolden holds the bytes of every row that was ever released: testdata/v1.txt is only added to.
func TestGolden(t *testing.T) {
	id := ids.Upload{0x01, 0x9b, 7: 0x02, 15: 0x03}
	const bucket, key, ts = 0x0102, "a/\x00b", 0x019b00000000ffff
	var out strings.Builder
	line := func(name string, b []byte) { fmt.Fprintf(&out, "%s %x\n", name, b) }
	line("route", Route(bucket, key))
	line("versions", AppendVersion(nil, Versions, bucket, key, ts))
	line("inline", AppendVersion(nil, Inline, bucket, key, ts))
	line("extents", AppendExtent(nil, bucket, key, ts, 5<<20))
	line("uploads", AppendUpload(nil, Uploads, bucket, key, id))
	line("parts", AppendPart(nil, bucket, key, id, 10_000))
	line("done", AppendUpload(nil, Done, bucket, key, id))
	line("repair", AppendRepair(nil, bucket, key, id, 7, 5))
	line("reclaim", AppendUpload(nil, Reclaims, bucket, key, id))
	line("nulls", AppendNull(nil, bucket, key))
	line("requests", AppendRequest(nil, 9, id))
	line("counters", AppendBucket(nil, Counts, 9, bucket))
	line("seals", AppendBucket(nil, Seals, 9, bucket))
	line("expiry", AppendExpiry(nil, 9, ts, bucket, key, id))
	line("applied", AppendRange(nil, Applieds, 9))
	line("rules", AppendBucket(nil, Rules, 9, bucket))
	line("splits", AppendRange(nil, Splits, 9))
	line("pools", AppendPool(nil, 9, 0x0304))
	line("own", AppendOwn(nil, 9, 3, 'h'))
	head := Head{Flags: HasExtents | Composite, Algorithm: 2, Size: 10 << 20, MD5: [16]byte{0: 0xd4, 15: 0x7e}, Parts: 2}
	line("head", head.Append(nil))
	kept := Head{Flags: HasInline | Versioned | Retained | Described, Class: 8, Size: 1}
	line("head-versioned", kept.Append(nil))
	line("nulls-value", AppendNullStamp(nil, ts))
	applied := Applied{Index: 1, Term: 2, TS: 3, Closed: 4, Request: [16]byte{5}, Reclaimed: [16]byte{6}, Repairs: 7, Reclaims: 8}
	line("applied-value", applied.Append(nil))
	line("counters-value", (&Counters{Objects: 1, Versions: 2, Size: 3, Uploads: 4, UploadSize: 5}).Append(nil))

	path := filepath.Join("testdata", "v1.txt")
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the layout changed:\n%s\nwant\n%s", out.String(), want)
	}
}
