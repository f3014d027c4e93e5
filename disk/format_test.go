package disk

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/ids"
)

var update = flag.Bool("update", false, "write testdata anew: only for a new format version")

func goldenRows() map[string]row {
	h := chunk.Header{K: 4, M: 2, UnitBytes: 256 << 10, Bucket: 7, Object: "a/b", Part: 2, Stamp: 99, Epoch: 5}
	f := chunk.Footer{BlobBytes: 100_000, BlobSum: [16]byte{1, 15: 2}, ShardBytes: 25_000}
	pos := segment.Pos{Segment: 3, Offset: 8192, Bytes: 150}
	return map[string]row{
		"row-segment-v1": {kind: rowSegment, seq: 1 << 33, pos: pos, place: 8400, header: h, footer: f},
		"row-file-v1":    {kind: rowFile, seq: 1 << 33, pos: pos, place: 42, header: h, footer: f},
		"row-deleted-v1": {kind: rowDeleted, seq: 1 << 33, pos: pos, place: 2, millis: 1_700_000_000_000},
		"row-dropped-v1": {kind: rowDropped, seq: 1 << 33, pos: pos, millis: 1_700_000_000_000},
	}
}

func goldenIdentity() Identity {
	id := Identity{
		Cluster: ids.Cluster{1, 15: 2}, Drive: ids.Drive{3, 15: 4}, Incarnation: "000102030405060708090a0b0c0d0e0f", FormatVersion: 1,
		Created: time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC), MountPoint: true, FSType: "ext4",
	}
	id.Sum, _ = id.sum()
	return id
}

func TestGolden(t *testing.T) {
	golden := make(map[string][]byte)
	for name, r := range goldenRows() {
		b := r.append(nil)
		golden[name+".hex"] = []byte(hex.Dump(b))
		got, err := parseRow(b, true)
		if err != nil || got != r {
			t.Fatalf("%s: %+v %v", name, got, err)
		}
	}
	id, err := json.MarshalIndent(goldenIdentity(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden["sherd-v1.json"] = append(id, '\n')
	ended := goldenIdentity()
	ended.LogEnd = LogEnd{Segment: 7, Offset: 8192}
	ended.Sum, _ = ended.sum()
	if id, err = json.MarshalIndent(ended, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden["sherd-v1-logend.json"] = append(id, '\n')
	for name, b := range golden {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s: the format changed:\n%s", name, b)
		}
	}
	if got, err := parseIdentity(golden["sherd-v1.json"]); err != nil || got != goldenIdentity() {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err := parseIdentity(golden["sherd-v1-logend.json"]); err != nil || got != ended {
		t.Fatalf("%+v %v", got, err)
	}
}

func FuzzParseRow(f *testing.F) {
	for _, r := range goldenRows() {
		f.Add(r.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRow(b, true)
		if err == nil && r.live() && !bytes.Equal(r.append(nil), b) {
			t.Fatalf("%x becomes %x", b, r.append(nil))
		}
		parseSegStat(b)
		parseIndexMark(b)
	})
}

func FuzzParseIdentity(f *testing.F) {
	b, _ := json.Marshal(goldenIdentity())
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { parseIdentity(b) })
}
