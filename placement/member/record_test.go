package member

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
)

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"m0123456789ab","token":"t","peers":[{"name":"m0123456789ab","state":"voter"}]}`))
	f.Add([]byte(`{"version":1,"name":"../../etc","token":"t","peers":[{"name":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		for _, n := range append(r.names(), r.Name) {
			if n != "" && strings.ContainsAny(n, "/.") { // names become paths
				t.Fatalf("name %q", n)
			}
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(again); err != nil {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

func TestRecordOfAnotherDriveIsRefused(t *testing.T) {
	h := Host{Drive: ids.NewDrive(), Path: t.TempDir()}
	cluster := ids.NewCluster()
	r := &record{Version: recordVersion, Cluster: cluster, Drive: h.Drive, Name: newName(), Token: newName()}
	r.Peers = []peer{{Name: r.Name, Drive: h.Drive, State: peerVoter}}
	if err := writeRecord(h, r); err != nil {
		t.Fatal(err)
	}
	if got, err := readRecord(h, cluster); err != nil || got.Name != r.Name {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := readRecord(h, ids.NewCluster()); err != errOtherDrive {
		t.Errorf("another cluster: %v", err)
	}
	if _, err := readRecord(Host{Drive: ids.NewDrive(), Path: h.Path}, cluster); err != errOtherDrive {
		t.Errorf("another drive: %v", err)
	}
}

func TestSocketsInALongDirectory(t *testing.T) {
	opt := testOptions(t, 1)
	opt.RuntimeDir = filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(opt.RuntimeDir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, opt)
	put(t, s, "a", "1")
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("a = %q", got)
	}
	if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
