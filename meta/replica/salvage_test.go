package replica

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/state"
)

// TestI17_SalvageOfASnapshotThatDidNotArrive: what the log held before is what there is.
func TestI17_SalvageOfASnapshotThatDidNotArrive(t *testing.T) {
	c := &conf{gen: 1, span: state.Span{ID: testRange}, state: &pb.ConfState{Voters: []uint64{1}}}
	reset := func(because resetReason, start entryID) []byte {
		rec := record{kind: kindReset, rng: testRange, id: 1, gen: 1, start: start, because: because, conf: c.append(nil)}
		return rec.append(nil)
	}
	appended := record{kind: kindAppend, rng: testRange, id: 1, gen: 1, term: 1}
	for i := range uint64(3) {
		appended.entries = append(appended.entries, &pb.Entry{Index: new(i + 1), Term: new(uint64(1)), Type: pb.EntryNormal.Enum()})
	}
	var log SalvagedLog
	for _, b := range [][]byte{reset(created, entryID{}), appended.append(nil), reset(ingested, entryID{500, 2}), reset(ingested, entryID{600, 2})} {
		check(t, log.Add(b))
	}
	rows := openRows(t, vfs.NewMem(), nil)
	defer rows.Close()
	all, err := Salvage(rows, &log)
	check(t, err)
	if len(all) != 1 || all[0].Replica != ids.Replica(1) || all[0].Index != 3 {
		t.Errorf("%+v", all)
	}
}
