package member

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// logPosition is where a Raft log ends. The one that ends later has every commit that the other has.
type logPosition struct{ term, index uint64 }

func (a logPosition) before(b logPosition) bool {
	return a.term < b.term || a.term == b.term && a.index < b.index
}

func walDir(dir string) string { return filepath.Join(dir, "member", "wal") }

// logEnd reads where the log of a member that does not run ends.
func logEnd(dir string) (end logPosition, err error) {
	defer catch(&err)
	snap, err := latestSnapshot(dir)
	if err != nil {
		return end, err
	}
	w, err := wal.OpenForRead(zap.NewNop(), walDir(dir), snap)
	if err != nil {
		return end, err
	}
	defer w.Close()
	_, _, entries, err := w.ReadAll()
	if err != nil {
		return end, err
	}
	return endOf(snap, entries), nil
}

func endOf(snap *walpb.Snapshot, entries []*raftpb.Entry) logPosition {
	if n := len(entries); n > 0 {
		return logPosition{entries[n-1].GetTerm(), entries[n-1].GetIndex()}
	}
	return logPosition{snap.GetTerm(), snap.GetIndex()}
}

func latestSnapshot(dir string) (*walpb.Snapshot, error) {
	snaps, err := wal.ValidSnapshotEntries(zap.NewNop(), walDir(dir))
	if err != nil || len(snaps) == 0 {
		return &walpb.Snapshot{}, err
	}
	return snaps[len(snaps)-1], nil
}

// commitAll declares a member's whole log committed, before it goes on alone. A follower learns of a commit only with the
// next message, and does not store what it learned: so the end of its log may have been acknowledged to clients. etcd
// itself would throw it away when it is forced to be a new cluster.
func commitAll(dir string) (err error) {
	defer catch(&err)
	snap, err := latestSnapshot(dir)
	if err != nil {
		return err
	}
	w, hard, entries, err := openWhole(dir, snap)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	end := endOf(snap, entries)
	if hard.GetCommit() >= end.index {
		return nil
	}
	next := &raftpb.HardState{Term: new(max(hard.GetTerm(), end.term)), Vote: new(hard.GetVote()), Commit: new(end.index)}
	if err := w.Save(next, nil); err != nil {
		return err
	}
	return w.Sync()
}

// openWhole opens a log for writing and reads it; a torn last record is cut off first, once.
func openWhole(dir string, snap *walpb.Snapshot) (*wal.WAL, *raftpb.HardState, []*raftpb.Entry, error) {
	for repaired := false; ; repaired = true {
		w, err := wal.Open(zap.NewNop(), walDir(dir), snap)
		if err != nil {
			return nil, nil, nil, err
		}
		_, hard, entries, err := w.ReadAll()
		if err == nil {
			return w, hard, entries, nil
		}
		err = errors.Join(err, w.Close())
		if repaired || !errors.Is(err, io.ErrUnexpectedEOF) || !wal.Repair(zap.NewNop(), walDir(dir)) {
			return nil, nil, nil, err
		}
	}
}

// catch turns a panic of etcd's decoder, which a bad byte can cause, into an error.
func catch(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("member: reading etcd's log: %v", r)
	}
}
