package replica

import (
	"bytes"
	"encoding/hex"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/meta/state"
)

func sampleRecords() map[string]*record {
	c := &conf{gen: 2, span: state.Span{ID: 7, Start: []byte("a"), End: []byte("b")}, state: &pb.ConfState{
		Voters: []uint64{1, 2, 300}, Learners: []uint64{4}, VotersOutgoing: []uint64{5}, AutoLeave: new(true),
	}}
	entries := []*pb.Entry{
		{Term: new(uint64(3)), Index: new(uint64(1000)), Data: []byte("data")},
		{Term: new(uint64(3)), Index: new(uint64(1001))},
		{Term: new(uint64(3)), Index: new(uint64(1002)), Type: pb.EntryConfChangeV2.Enum(), Data: []byte{1}},
	}
	return map[string]*record{
		"append": {kind: kindAppend, rng: 7, id: 300, gen: 2, term: 3, vote: 1, commit: 999, entries: entries},
		"reset": {kind: kindReset, rng: 7, id: 300, gen: 2, term: 3, commit: 999, start: entryID{999, 2},
			because: rewritten, conf: c.append(nil), entries: entries[:1]},
		"remove": {kind: kindRemove, rng: 7, id: 300},
	}
}

// golden is format 1 as released first. It must be readable for ever.
var golden = map[string]string{
	"append": "010107ac02020301e7070303e80700046461746103e907000003ea07020101",
	"reset":  "010207ac02020300e707e707020311010201610162030102ac020104010500010103e807000464617461",
	"remove": "010307ac02",
}

func TestRecordFormatIsStable(t *testing.T) {
	for name, rec := range sampleRecords() {
		b := rec.append(nil)
		if got := hex.EncodeToString(b); got != golden[name] {
			t.Errorf("%s is encoded as\n%s, was\n%s", name, got, golden[name])
		}
		var back record
		check(t, back.decode(b))
		if !bytes.Equal(back.append(nil), b) {
			t.Errorf("%s does not come back", name)
		}
		for n := range b {
			if err := back.decode(b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for a record", name, n, len(b))
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, rec := range sampleRecords() {
		f.Add(rec.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var rec, back record
		if rec.decode(b) != nil {
			return
		}
		if err := back.decode(rec.append(nil)); err != nil {
			t.Fatalf("decodes, but not what it encodes to: %v", err)
		}
		if rec.kind == kindReset {
			if c, err := decodeConf(rec.rng, rec.conf); err == nil {
				if _, err := decodeConf(rec.rng, c.append(nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
