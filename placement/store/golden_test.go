package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

var (
	goldenCluster = ids.Cluster{0x2a, 15: 0x4f}
	goldenKey     = make([]byte, 32)
	goldenTime    = time.Date(2026, 11, 20, 18, 20, 53, 259e6, time.UTC)
)

// golden is what testdata/rows-v1.txt says.
func golden() *placement.Map {
	d1, d2 := ids.Drive{1, 15: 1}, ids.Drive{2, 15: 2}
	m := emptyMap()
	m.Cluster, m.Generation = goldenCluster, 3
	m.Nodes["node1"] = &placement.Node{Name: "node1", Zone: "z1", Addr: "n1:9001"}
	m.Drives[d1] = &placement.Drive{
		ID: d1, Node: "node1", Path: "/mnt/sherd1", Bytes: 1 << 40, Mount: true, Weight: 1, State: placement.DriveSuspect,
		Since: goldenTime, Reason: "was away; catching up", Replaces: d2,
	}
	m.Nodes["node2"] = &placement.Node{Name: "node2", Draining: true}
	d3 := ids.Drive{3, 15: 3}
	m.Drives[d3] = &placement.Drive{
		ID: d3, Node: "node2", Path: "/mnt/sherd1", Weight: 2, State: placement.DriveOut, Since: goldenTime, Draining: true, Added: true, Removed: true,
	}
	m.Alive["node1"] = true
	m.Pools[1] = &placement.Pool{ID: 1, Name: "default", K: 1, M: 1, UnitBytes: 256 << 10, PGCount: 1, PGs: []*placement.PG{
		{Epoch: 7, Slots: []placement.Slot{{Drive: d1, Since: 7, From: d2}, {Drive: d2, Since: 1, Complete: true}}},
	}}
	m.Pools[2] = &placement.Pool{
		ID: 2, Name: "fast", K: 1, M: 0, UnitBytes: 256 << 10, PGCount: 1, Drives: []ids.Drive{d1}, StorageClass: "FAST", PGs: []*placement.PG{vacant(1)},
	}
	m.Ranges = []*placement.Range{{
		ID: 1, Start: []byte{0, 1}, End: []byte{0, 2}, Generation: 2, NextReplica: 4,
		Replicas: []placement.Replica{{ID: 1, Drive: d2}, {ID: 3, Drive: d1, Joining: true, Replaces: 2}},
	}, {
		ID: 2, Start: []byte{0, 2}, Generation: 1, NextReplica: 2, Begun: true, Replicas: []placement.Replica{{ID: 1, Drive: d2}},
		Splitting: &placement.Splitting{At: []byte{0, 2, 7}, Child: 3, Generation: 1, Replicas: []placement.Replica{{ID: 1, Drive: d2}}},
	}}
	m.Buckets["first"] = &placement.Bucket{
		ID: 1, Name: "first", Created: goldenTime, Owner: "sherd", Region: "us-east-1", Pool: 1, Deleting: true, Rules: 4,
	}
	m.Identities["SHERDKEY"] = &placement.Identity{AccessKey: "SHERDKEY", Secret: "not a secret", Root: true}
	m.Settings["control.restored"] = "2026-11-20T18:20:53Z"
	goldenIAM(m)
	return m
}

// goldenIAM are the accounts of golden, and what is theirs.
func goldenIAM(m *placement.Map) {
	m.DefaultAccount = placement.NewDefaultAccount(goldenCluster)
	m.DefaultAccount.Name = "home"
	m.Accounts[m.DefaultAccount.ID] = m.DefaultAccount
	const second = "111122223333"
	m.Accounts[second] = &placement.Account{ID: second, Name: "second", Canonical: strings.Repeat("0123456789abcdef", 4), Created: goldenTime}
	m.Users[placement.Name{Account: second, Folded: "alice"}] = &placement.User{
		Account: second, Name: "Alice", Path: "/staff/", ID: "AIDA1", Created: goldenTime, Groups: []string{"Readers"}, Tags: []placement.Tag{{Key: "team", Value: "a"}},
		Permissions: placement.Permissions{Attached: []string{"arn:aws:iam::111122223333:policy/read"}, Inline: map[string]string{"own": "{}"}},
	}
	m.Groups[placement.Name{Account: second, Folded: "readers"}] = &placement.Group{
		Account: second, Name: "Readers", Path: "/", ID: "AGPA1", Created: goldenTime,
		Permissions: placement.Permissions{Attached: []string{"arn:aws:iam::111122223333:policy/read"}},
	}
	m.Policies[placement.Name{Account: second, Folded: "read"}] = &placement.Policy{
		Account: second, Name: "read", Path: "/", ID: "ANPA1", Description: "d", Created: goldenTime, Updated: goldenTime, Default: "v2",
		Versions:    []placement.PolicyVersion{{ID: "v1", Document: "{}", Created: goldenTime}, {ID: "v2", Document: `{"Version":"2012-10-17"}`, Created: goldenTime}},
		NextVersion: 3, Tags: []placement.Tag{{Key: "k", Value: "v"}},
	}
	m.Identities["SHERDALICE"] = &placement.Identity{AccessKey: "SHERDALICE", Secret: "hers", Account: second, User: "Alice", Inactive: true, Created: goldenTime}
	m.DataKey = &placement.WrappedKey{ID: "00112233445566aa", Wraps: map[string][]byte{placement.WrapRoot: {1, 2, 3}}}
	m.Buckets["second"] = &placement.Bucket{
		ID: 2, Name: "second", Created: goldenTime, Owner: second, Pool: 1, Rules: 1, Versioning: placement.VersioningEnabled,
		Lock: &placement.ObjectLock{Mode: placement.LockGovernance, Days: 3}, Config: placement.BucketConfig{"policy": json.RawMessage(`{"a":1}`)},
	}
}

// TestGolden_Rows: rows of every version ever released mean what they meant, and are still written so.
// testdata/rows-v1.txt is only added to.
func TestGolden_Rows(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "rows-v1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBuilder(emptyMap(), 0, func(key string, err error) { t.Errorf("%s: %v", key, err) })
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		values[key] = value
		b.put(key, &mvccpb.KeyValue{Value: []byte(value)})
	}
	if got, want := b.build(0), golden(); !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v\nwant %+v", got, want)
	}
	m := golden()
	home := m.DefaultAccount.ID
	for key, now := range map[string]string{
		"cluster":                     encode(cluster{ID: goldenCluster, Generation: 3, RevisionBase: 1_000_000_042}),
		"nodes/node1":                 encode(m.Nodes["node1"]),
		"nodes/node2":                 encode(m.Nodes["node2"]),
		"alive/node1":                 encode(aliveRow{"n1:9001", 7}),
		driveKey(ids.Drive{3, 15: 3}): encode(m.Drives[ids.Drive{3, 15: 3}]),
		poolKey(1):                    encode(m.Pools[1]),
		poolKey(2):                    encode(m.Pools[2]),
		pgKey(1, 0):                   encode(m.Pools[1].PGs[0]),
		rangeKey(1):                   encode(m.Ranges[0]),
		"buckets/first":               encode(m.Buckets["first"]),
		"iam/SHERDKEY":                encode(m.Identities["SHERDKEY"]),
		"settings/control.restored":   encode(m.Settings["control.restored"]),
		nextBucketKey:                 encode(ids.Bucket(2)),
		nextRangeKey:                  encode(ids.Range(3)),
		rangeKey(2):                   encode(m.Ranges[1]),
		driveKey(ids.Drive{1, 15: 1}): encode(m.Drives[ids.Drive{1, 15: 1}]),
		"buckets/second":              encode(m.Buckets["second"]),
		"accounts/" + home:            encode(m.Accounts[home]),
		"accounts/111122223333":       encode(m.Accounts["111122223333"]),
		"users/111122223333/alice":    encode(m.User("111122223333", "alice")),
		"groups/111122223333/readers": encode(m.Group("111122223333", "READERS")),
		"policies/111122223333/read":  encode(m.Policy("111122223333", "Read")),
		"iam/SHERDALICE":              encode(m.Identities["SHERDALICE"]),
		dataKeyKey:                    encode(m.DataKey),
	} {
		if now != values[key] {
			t.Errorf("%s is written as\n%s, was\n%s", key, now, values[key])
		}
	}
}

// TestGolden_Copy: control copies of every version ever released are read, secrets too.
func TestGolden_Copy(t *testing.T) {
	c, err := readCopy(filepath.Join("testdata", "control-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Unseal(goldenKey); err != nil {
		t.Fatal(err)
	}
	want := &Copy{
		Cluster: goldenCluster, Generation: 3, Revision: 1_000_000_050, At: goldenTime, Sealed: c.Sealed,
		Rows:    []CopyRow{{"nodes/node1", encode(golden().Nodes["node1"])}, {nextBucketKey, encode(ids.Bucket(2))}},
		secrets: []CopyRow{{"iam/SHERDKEY", encode(golden().Identities["SHERDKEY"])}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("read as %+v\nwant %+v", c, want)
	}
	if again, err := encodeCopy(c, goldenKey); err != nil || len(again) != fileBytes(t, "control-v1.json") {
		t.Errorf("written with %d bytes, %v", len(again), err)
	}
}

func fileBytes(t *testing.T, name string) int {
	t.Helper()
	info, err := os.Stat(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}
