package member

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/sherd-io/sherd/internal/ids"
)

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"m0123456789ab","token":"t","peers":[{"name":"m0123456789ab","state":"voter"}]}`))
	f.Add([]byte(`{"version":2,"name":"m0123456789ab","node":"n1","token":"t","peers":[{"name":"m0123456789ab","node":"n1","state":"voter"}]}`))
	f.Add([]byte(`{"version":1,"name":"../../etc","token":"t","peers":[{"name":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		for _, n := range append(peerNames(r), r.Name) {
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

func peerNames(r *record) (names []string) {
	for _, p := range r.Peers {
		names = append(names, p.Name, p.Node)
	}
	return names
}

func TestRecordOfAnotherDriveIsRefused(t *testing.T) {
	h := Host{Drive: ids.NewDrive(), Path: t.TempDir()}
	cluster := ids.NewCluster()
	r := &record{Version: versionOne, Cluster: cluster, Drive: h.Drive, Name: NewName(), Token: NewName()}
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

// TestGolden_Record: member.json of every version ever released is read, and still written so.
func TestGolden_Record(t *testing.T) {
	d1, d2 := ids.Drive{1, 15: 1}, ids.Drive{2, 15: 2}
	one := record{
		Version: 1, Cluster: ids.Cluster{0x2a, 15: 0x4f}, Drive: d1, Name: "m1ca407880f85", Token: "m6e4bc76a0619",
		Generation: 2, Serial: 5, Forming: true, Alone: true, Control: 3,
		Peers: []peer{
			{Name: "m1ca407880f85", Drive: d1, State: peerVoter},
			{Name: "m38a39833a426", Drive: d2, State: peerJoining},
			{Name: "m5f1d0c2b3a49", Drive: d2, State: peerLeaving},
		},
	}
	two := one
	two.Version, two.Node = 2, "n1"
	two.Peers = []peer{
		{Name: "m1ca407880f85", Node: "n1", Drive: d1, State: peerVoter},
		{Name: "m38a39833a426", Node: "n2", Drive: d2, State: peerVoter},
		{Name: "m5f1d0c2b3a49", Node: "n-3", State: peerJoining}, // its drive is not known yet
	}
	for file, want := range map[string]*record{"member-v1.json": &one, "member-v2.json": &two} {
		golden, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRecord(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read as %+v\nwant %+v", file, got, want)
		}
		h := Host{Drive: d1, Path: t.TempDir()}
		if err := writeRecord(h, want); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(recordPath(h.Path)); err != nil || string(now) != string(golden) {
			t.Errorf("%s: written as\n%s, %v; was\n%s", file, now, err, golden)
		}
	}
}

func TestAddressesAreSocketsAndURLs(t *testing.T) {
	long := strings.Repeat("n-3", 21)
	for _, a := range []address{{"m0123456789ab", ""}, {"m0123456789ab", "n1"}, {"mffffffffffff", "--"}, {"mffffffffffff", long}} {
		got, ok := parseAddress(a.String())
		if !ok || got != a {
			t.Errorf("%s is read as %+v, %v", a, got, ok)
		}
		if parsed := urls(peerURL(a)); parsed[0].Host != peerSocket(a) {
			t.Errorf("%s is a URL of host %q", a, parsed[0].Host)
		}
		if n := len("/proc/self/fd/1234567890/" + peerSocket(a)); n > socketPathMax {
			t.Errorf("%s has a path of %d bytes", a, n)
		}
		m := seenOf(&etcdserverpb.Member{Name: "x", PeerURLs: []string{peerURL(a)}, ClientURLs: []string{advertised(ids.Drive{7})}})
		if want := (peer{Name: a.name, Node: a.node, Drive: ids.Drive{7}, State: peerVoter}); m.peer != want {
			t.Errorf("etcd's member is read as %+v, want %+v", m.peer, want)
		}
	}
	for _, s := range []string{"", "m0123", "m0123456789ab.", "m0123456789ab.N", "m0123456789ab./", "m0123456789ab.a.b", "m0123456789ab." + long + "x"} {
		if a, ok := parseAddress(s); ok {
			t.Errorf("%q is read as %+v", s, a)
		}
	}
}
