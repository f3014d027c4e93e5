package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/rescue"
	"github.com/sherd-io/sherd/internal/adminapi"
)

var printNow = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func TestPrintStatus(t *testing.T) {
	s := adminapi.Status{
		Cluster: "c1", Node: "n1", Version: "v", Started: printNow.Add(-75 * time.Second), Buckets: 1,
		Problems: []adminapi.Problem{{Severity: adminapi.SeverityError, Text: "drive /d/2 is not in service: it is gone", Remedy: "bring it back"}},
		Space:    adminapi.Space{Raw: 3 << 30, RawFree: 2 << 30, Usable: 2 << 30, UsableFree: 1 << 30},
		Usage:    adminapi.Usage{Objects: 1, Bytes: 5000, Uploads: 1, UploadBytes: 100},
		Ledger:   adminapi.Ledger{Short: []int64{3, 1}, Exact: true, As: printNow.Add(-time.Minute)},
		Pools:    []adminapi.Pool{{Name: "default", K: 2, M: 1, MayLose: 1, MayLoseNow: 0, UsableAfter: 1 << 30}},
		Drives: []adminapi.Drive{
			{Path: "/d/1", State: "up", Health: "ok", Bytes: 1 << 30, FreeBytes: 1 << 29, Chunks: 4, ID: "0123456789abcdef"},
			{Path: "/d/2", State: "down", Health: "failed", Bytes: 1 << 30, Queued: 1, ID: "1123456789abcdef", Reason: "it is gone"},
			{Path: "/d/3", State: "up", Health: "suspect", Bytes: 1 << 30, Low: true, ID: "2123456789abcdef"},
		},
		Ranges: []adminapi.Range{
			{ID: 1, Leader: "0123456789abcdef", Quorum: true, Replicas: []adminapi.RangeReplica{{State: "leader"}, {State: "lost"}, {State: "follower"}}},
			{ID: 2, Replicas: []adminapi.RangeReplica{{State: "learner"}}},
		},
		Etcd:   []adminapi.Member{{Healthy: true}, {}},
		Memory: adminapi.Memory{Limit: 1 << 30, Resident: 1 << 20},
	}
	const want = `NOT HEALTHY   cluster c1, node n1, sherd v, up 1m15s
  error: drive /d/2 is not in service: it is gone
      bring it back

space   2.0 GiB usable, 1.0 GiB free (raw: 3.0 GiB, 2.0 GiB free)
stored  1 object, 4.9 KiB in 1 bucket; 1 unfinished upload, 100 B
blobs   3 at full strength, 1 short of 1 shard (1m00s ago)
memory  1.0 MiB of 1.0 GiB
pool    default 2+1: any 1 drive may be lost; NONE MORE NOW; without 1 drive, 1.0 GiB are usable; NOT WRITABLE now

DRIVE  STATE             SIZE     FREE       CHUNKS  TO HEAL  ID        REASON
/d/1   up                1.0 GiB  512.0 MiB  4       0        01234567  -
/d/2   down              1.0 GiB  -          -       1        11234567  it is gone
/d/3   up/suspect, full  1.0 GiB  0 B        0       0        21234567  -
range 1: leader on 01234567, 3 replicas, 1 lost
range 2: NO QUORUM, 1 replica, 1 learner
etcd: 1 of 2 members healthy
`
	var out strings.Builder
	if err := printStatus(&out, &s, printNow); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestPrintDrivesLeavesOutEmptyReasons(t *testing.T) {
	const want = "DRIVE  STATE  SIZE  FREE  CHUNKS  TO HEAL  ID\n/d/1   up     0 B   0 B   0       0        01234567\n"
	var out strings.Builder
	if err := printDrives(&out, &[]adminapi.Drive{{Path: "/d/1", State: "up", Health: "ok", ID: "0123456789"}}); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestPrintHeal(t *testing.T) {
	counted := adminapi.Ledger{Short: []int64{7}, Exact: true, As: time.Now()}
	short := adminapi.Ledger{Short: []int64{6, 0, 1}, Exact: true, As: time.Now()}
	for _, c := range []struct {
		name string
		heal adminapi.Heal
		want string
	}{
		{"just started", adminapi.Heal{State: "idle"}, "idle: nothing to heal; blobs: not counted yet\n"},
		{"whole", adminapi.Heal{State: "idle", Ledger: counted}, "idle: nothing to heal; blobs: 7 at full strength\n"},
		{"a drive away", adminapi.Heal{State: "waiting", Reason: "shards wait for 1 drive", Ledger: short, Queued: 2, QueuedBytes: 2048},
			`waiting [........................] 0 of 2 shards
reason  shards wait for 1 drive
blobs   6 at full strength, 1 short of 2 shards
to heal 2 shards, 2.0 KiB
`},
		{"converting", adminapi.Heal{State: "idle", Ledger: counted, Convert: adminapi.Conversion{
			State: "running", Left: adminapi.Stored{Objects: 2, Bytes: 4096}, Rate: 1024, Failed: 1,
		}}, `idle: nothing to heal; blobs: 7 at full strength
convert 2 objects to go to another pool, 4.0 KiB; running, 1.0 KiB/s, about 4s; failed 1 time, each tried again
`},
		{"healing", adminapi.Heal{
			State: "running", Ledger: short, Queued: 1, QueuedBytes: 1024, Done: 1, DoneBytes: 1024, Failed: 1, Rate: 1024, ETASeconds: 61,
			Tasks: []adminapi.HealTask{{Kind: "rebuild", Path: "/d/1", State: "running", Done: 3, Total: 8}, {Kind: "range", Path: "/d/10", State: "running", Total: 1}},
		}, `running [############............] 1 of 2 shards, 1.0 KiB/s, about 1m01s left
blobs   6 at full strength, 1 short of 2 shards
to heal 1 shard, 1.0 KiB
healed  1 shard, 1.0 KiB
failed  1 time, each tried again

TASK     DRIVE  STATE    DONE
rebuild  /d/1   running  3 of 8 groups
range    /d/10  running  -
`},
	} {
		var out strings.Builder
		if err := printHeal(&out, &c.heal); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s", c.name, err, out.String())
		}
	}
}

func TestPrintPools(t *testing.T) {
	var out strings.Builder
	few := adminapi.Stored{Objects: 3, Bytes: 3 << 20}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	must(printPools(&out, &[]adminapi.PoolRow{
		{Name: "default", K: 4, M: 2, PGs: 256, Ready: true, Default: true, Buckets: 1, Stored: few, Leaving: adminapi.Stored{Objects: 1, Bytes: 1 << 20}, Exact: true},
		{Name: "old", K: 2, M: 1, PGs: 8, Ready: true, Removing: true, StorageClass: "OLD", Drives: []string{"a", "b", "c"}},
	}))
	must(printBuckets(&out, &[]adminapi.BucketRow{
		{Name: "b", Pool: "default", Stored: few, ToConvert: adminapi.Stored{Objects: 1, Bytes: 10}, Exact: true, Created: printNow},
		{Name: "c", Created: printNow},
	}))
	const want = `POOL     PROFILE  PGS                DRIVES  BUCKETS  CLASS  DEFAULT  STORED              TO LEAVE
default  4+2      256                all     1        -      yes      3 objects, 3.0 MiB  1 object, 1.0 MiB
old      2+1      8 (being removed)  3       0        OLD    -        not counted yet     not counted yet
BUCKET  POOL     STORED              TO CONVERT       CREATED
b       default  3 objects, 3.0 MiB  1 object, 10 B   2026-11-21 09:00:00
c       -        -                   not counted yet  2026-11-21 09:00:00
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func TestPrintScrub(t *testing.T) {
	for _, c := range []struct {
		name  string
		scrub adminapi.Scrub
		want  string
	}{
		{"never", adminapi.Scrub{State: "idle"}, "idle: nothing was read since the server started; `sherd scrub start` begins a pass\n"},
		{"first", adminapi.Scrub{State: "running", Started: printNow, Blobs: 1, Total: 2, Bytes: 4096, Rate: 1024}, `running [############............] 1 of 2 blobs, 1.0 KiB/s
read    1 blob, 4.0 KiB
shards  0 damaged, 0 missing, 0 repaired
chunks  0 removed as garbage, 0 put into quarantine
ended   no whole pass yet
`},
	} {
		var out strings.Builder
		if err := printScrub(&out, &c.scrub); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s", c.name, err, out.String())
		}
	}
}

func TestPrintQuarantine(t *testing.T) {
	away := []adminapi.Unread{{Node: "n2", Path: "/d/2", Reason: "not in service"}}
	chunk := []adminapi.Quarantined{{Drive: "ab", Chunk: "cd", Bytes: 1024, Object: "a\x1b", Reason: "an orphan", Since: printNow}}
	for _, c := range []struct {
		name string
		all  adminapi.Quarantine
		want []string
	}{
		{"none", adminapi.Quarantine{}, []string{"nothing is in quarantine\n"}},
		{"away", adminapi.Quarantine{Unread: away}, []string{"MISSING what is on /d/2 of node n2: not in service\n", "nothing is in quarantine on the others\n"}},
		{"both", adminapi.Quarantine{Unread: away, Chunks: chunk}, []string{"MISSING what is on /d/2", "ab", "cd", "1.0 KiB", `"a\x1b"`, "an orphan"}},
	} {
		var out strings.Builder
		if err := printQuarantine(&out, &c.all); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out.String())
			}
		}
	}
}

// TestPlanAndWeightRefuseNonsense, before anything is asked of a server, in a line that says what to give.
func TestPlanAndWeightRefuseNonsense(t *testing.T) {
	for _, args := range [][]string{
		{"plan", "--add", "-5"}, {"plan", "--weight", "/d/1=NaN"}, {"plan", "--weight", "/d/1=-1"},
		{"drive", "weight", "/d/1", "NaN"}, {"drive", "weight", "/d/1", "inf"}, {"drive", "weight", "/d/1", "0"},
		{"drive", "weight", "/d/1", "-5"}, {"drive", "weight", "/d/1", "1e6"}, {"drive", "weight", "/d/1", "two"},
	} {
		want := "a number above 0"
		if args[1] == "--add" {
			want = "how many drives more"
		}
		cmd := newPlanCommand()
		if args[0] == "drive" {
			cmd = newDriveCommand()
		}
		cmd.SetArgs(args[1:])
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

func TestRescuePrintsKeysThatCannotSteerTheTerminal(t *testing.T) {
	var b strings.Builder
	printFound(&b, rescue.Found{Bucket: "b", Key: "plain ü"}, true, false)
	printFound(&b, rescue.Found{Bucket: "b", Key: "x\x1b[2J\n0 B  b/faked"}, true, false)
	printFound(&b, rescue.Found{Bucket: "b", Key: "\r", Problem: "it is gone"}, true, false)
	if want := "0 B  b/plain ü\n" + `0 B  "b/x\x1b[2J\n0 B  b/faked"` + "\n" + `LOST  "b/\r": it is gone` + "\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
