package node

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// usageWithin bounds how long status waits for counters that only a range's leader can give.
const usageWithin = 2 * time.Second

// Promise says how many drives may be lost, in words.
func (n *Node) Promise() string {
	p := n.promise()
	text := p.String() + " may be lost"
	if n.sharedDevice() != "" {
		text += " (but all are on one device: no protection)"
	}
	return text
}

func (n *Node) promise() plan.Promise {
	total, ready := 0, 0
	if n.members != nil {
		for _, m := range n.members.Members() {
			total++
			if m.Ready {
				ready++
			}
		}
	}
	return plan.PromiseOf(n.store.Map(), total, ready)
}

// status is the whole picture.
func (n *Node) status(ctx context.Context) adminapi.Status {
	m := n.store.Map()
	s := adminapi.Status{
		Cluster: n.cluster.String(), Node: n.cfg.Name, Version: n.cfg.Version, Started: n.started,
		Nodes: n.nodeStates(ctx), Etcd: n.memberList(), Ranges: n.rangeList(ctx),
		Buckets: len(m.Buckets), Memory: n.memory(),
	}
	healing := sumHeal(s.Nodes)
	s.Ledger, s.Convert = healing.Ledger, healing.Convert
	s.Usage, s.Problems = n.usage(ctx)
	for _, node := range s.Nodes {
		s.Drives = append(s.Drives, node.Drives...)
		s.Space.Raw += node.Space.Raw
		s.Space.RawFree += node.Space.RawFree
		s.Problems = append(s.Problems, n.nodeProblems(&node)...)
	}
	s.Problems = append(s.Problems, clockProblems(s.Nodes)...)
	s.Space = n.usable(s.Space)
	s.Pools = n.poolList(s)
	s.Problems = append(s.Problems, n.problems(s)...)
	slices.SortStableFunc(s.Problems, func(a, b adminapi.Problem) int {
		return severity(b) - severity(a)
	})
	s.Healthy = !slices.ContainsFunc(s.Problems, func(p adminapi.Problem) bool { return p.Severity == adminapi.SeverityError })
	return s
}

func severity(p adminapi.Problem) int {
	if p.Severity == adminapi.SeverityError {
		return 1
	}
	return 0
}

func (n *Node) usage(ctx context.Context) (u adminapi.Usage, problems []adminapi.Problem) {
	ctx, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	all, err := n.records.Usage(ctx)
	if err != nil {
		return u, []adminapi.Problem{{Severity: adminapi.SeverityError, Text: "usage cannot be told now: " + err.Error()}}
	}
	for _, c := range all {
		u.Objects += c.Objects
		u.Versions += c.Versions
		u.Bytes += c.Size
		u.Uploads += c.Uploads
		u.UploadBytes += c.UploadSize
	}
	return u, nil
}

// space counts each file system once, however many drives are on it.
func (n *Node) space() (s adminapi.Space) {
	seen := map[string]bool{}
	for _, b := range n.bays.list() {
		d, _, _ := b.current()
		if d == nil {
			continue
		}
		if dev, _, _ := b.counts(); dev != "" {
			if seen[dev] {
				continue
			}
			seen[dev] = true
		}
		sp := d.Space()
		s.Raw += sp.Total
		s.RawFree += max(sp.Free-sp.Reserve, 0)
	}
	return n.usable(s)
}

// usable adds to raw space what the first pool makes of it.
func (n *Node) usable(s adminapi.Space) adminapi.Space {
	if p := n.store.Map().DefaultPool(); p != nil {
		s.Usable = s.Raw * int64(p.K) / int64(p.N())
		s.UsableFree = s.RawFree * int64(p.K) / int64(p.N())
	}
	return s
}

func (n *Node) memory() adminapi.Memory {
	return adminapi.Memory{Limit: n.cfg.MemoryLimit, Resident: resident(os.Getpid(), n.childPid())}
}

func (n *Node) poolList(s adminapi.Status) (out []adminapi.Pool) {
	promise := n.promise()
	drives := 0
	for _, d := range n.store.Map().Drives {
		if d.State != placement.DriveOut {
			drives++
		}
	}
	for _, p := range n.store.Map().Pools {
		out = append(out, adminapi.Pool{
			ID: uint16(p.ID), Name: p.Name, K: p.K, M: p.M, PGs: p.PGCount,
			MayLose:     min(p.M, lossesCovered(plan.ReplicaCount(p.M, drives))),
			MayLoseNow:  max(min(promise.Drives(), p.M), 0),
			UsableAfter: s.Space.Usable * int64(max(drives-p.M, 0)) / int64(max(drives, 1)),
			Writable:    n.inService() >= p.W(),
		})
	}
	return out
}

func (n *Node) driveList(ctx context.Context) (out []adminapi.Drive) {
	m := n.store.Map()
	replicas := replicaCounts(m)
	hosts := map[ids.Drive]bool{}
	if n.members != nil {
		for _, mem := range n.members.Members() {
			hosts[mem.Drive] = true
		}
	}
	for _, b := range n.bays.list() {
		d, id, problem := b.current()
		dev, t, errors := b.counts()
		row := adminapi.Drive{
			ID: id.String(), Node: n.cfg.Name, Path: b.path, State: string(placement.DriveDown), Health: "failed", Reason: problem,
			Device: dev, Replicas: replicas[id], Etcd: hosts[id],
			Chunks: t.chunks, ChunkBytes: t.bytes, Queued: t.queued, Errors: errors,
		}
		if rec := m.Drives[id]; rec != nil {
			row.State, row.Since, row.Bytes = string(rec.State), rec.Since, rec.Bytes
			if row.Reason == "" {
				row.Reason = rec.Reason
			}
		}
		if d != nil {
			h, sp := d.Health(), d.Space()
			row.Health, row.Bytes, row.FreeBytes, row.Low = h.State.String(), sp.Total, sp.Free, sp.Low
			row.RoomBytes = max(sp.Free-sp.Reserve, 0)
			row.NearlyFull = !sp.Low && sp.Free-sp.Reserve < sp.Total/20
			if h.Reason != "" {
				row.Reason = h.Reason
			}
		}
		out = append(out, row)
	}
	given := len(out)
	for id, rec := range m.Drives { // started without its path
		if rec.Node == n.cfg.Name && rec.State != placement.DriveOut && n.bays.bayOf(id) == nil {
			out = append(out, adminapi.Drive{
				ID: id.String(), Node: n.cfg.Name, Path: rec.Path, State: string(rec.State), Health: "failed", Since: rec.Since, Bytes: rec.Bytes,
				Reason: "not among the drives that the server was started with", Replicas: replicas[id], Etcd: hosts[id],
			})
		}
	}
	slices.SortFunc(out[given:], func(a, b adminapi.Drive) int { return strings.Compare(a.Path, b.Path) })
	placeDrives(m, out)
	return out
}

// replicaCounts is how many replicas of ranges each drive has.
func replicaCounts(m *placement.Map) map[ids.Drive]int {
	count := map[ids.Drive]int{}
	for _, r := range m.Ranges {
		for _, rep := range r.Replicas {
			count[rep.Drive]++
		}
	}
	return count
}

func (n *Node) rangeList(ctx context.Context) (out []adminapi.Range) {
	within, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	all, err := n.records.Survey(within)
	if err != nil {
		all = n.records.Status() // what is known here
	}
	m := n.store.Map()
	for _, r := range all {
		row := adminapi.Range{
			ID: uint64(r.ID), Start: borderText(m, r.Start), End: borderText(m, r.End), Quorum: r.Quorum, Applied: r.Commit,
		}
		if known := rangeOf(m, r.ID); known != nil && known.Splitting != nil {
			row.Splitting = borderText(m, known.Splitting.At)
		}
		if !r.Leader.IsZero() {
			row.Leader = r.Leader.String()
		}
		for _, rep := range r.Replicas {
			state := "follower"
			switch {
			case !rep.Runs:
				state = "lost"
			case rep.Drive == r.Leader:
				state = "leader"
			case rep.Joining:
				state = "learner"
			}
			row.Replicas = append(row.Replicas, adminapi.RangeReplica{
				ID: uint64(rep.ID), Drive: rep.Drive.String(), State: state, Applied: rep.Applied,
			})
		}
		out = append(out, row)
	}
	return out
}

func (n *Node) memberList() (out []adminapi.Member) {
	if n.members == nil {
		return nil
	}
	leader := n.etcdLeader()
	for _, m := range n.members.Members() {
		out = append(out, adminapi.Member{Name: m.Name, Node: m.Node, Drive: m.Drive.String(), Healthy: m.Ready, Leader: m.Name == leader, Reason: m.Reason})
	}
	return out
}

// etcdLeader is the name of the member that leads; empty if etcd does not say within a second.
func (n *Node) etcdLeader() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client := n.store.Client()
	st, err := client.Status(ctx, n.members.Endpoints()[0])
	if err != nil {
		return ""
	}
	list, err := client.MemberList(ctx)
	if err != nil {
		return ""
	}
	for _, m := range list.Members {
		if m.ID == st.Leader {
			return m.Name
		}
	}
	return ""
}

// problems says what is less than it should be, and what to do.
func (n *Node) problems(s adminapi.Status) (out []adminapi.Problem) {
	add := func(sev adminapi.Severity, remedy, format string, args ...any) {
		out = append(out, adminapi.Problem{Severity: sev, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	out = driveProblems(s.Drives, len(s.Nodes) > 1)
	for _, r := range s.Ranges {
		lost := 0
		for _, rep := range r.Replicas {
			if rep.State == "lost" {
				lost++
			}
		}
		switch {
		case r.Leader != "":
		case r.Quorum:
			add(adminapi.SeverityError, "it is choosing one, which takes seconds", "range %d of the object records has no leader: its objects cannot be reached", r.ID)
		default:
			add(adminapi.SeverityError, "bring the drives and nodes back that have them; if they are gone for good: `sherd meta recover` goes on with what is left",
				"range %d of the object records has lost %d of %s: its objects cannot be reached", r.ID, lost, plural.Of(len(r.Replicas), "replica"))
		}
	}
	for _, m := range s.Etcd {
		if !m.Healthy {
			add(adminapi.SeverityWarning, "it mends itself when its drive is back or replaced", "etcd member %s does not serve: %s", m.Name, m.Reason)
		}
	}
	if age := n.store.ContactAge(); age > 30*time.Second {
		add(adminapi.SeverityError, "objects are served from memory; buckets and drives cannot change", "etcd has not been reached for %s", age.Round(time.Second))
	}
	for i, short := range s.Ledger.Short {
		if i > 0 && short > 0 {
			verb := "lack"
			if short == 1 {
				verb = "lacks"
			}
			add(adminapi.SeverityWarning, "healing makes them whole as drives allow: see `sherd heal status`", "%s %s %s", plural.Of(short, "blob"), verb, plural.Of(i, "shard"))
		}
	}
	out = append(out, convertProblems(&s.Convert)...)
	return append(out, n.holdProblem(n.cfg.Now())...)
}

// driveProblems says what is wrong with drives. Where there are several nodes the same path may be on each of them.
func driveProblems(drives []adminapi.Drive, several bool) (out []adminapi.Problem) {
	for _, d := range drives {
		name, at := d.Path, d.Path
		if several && d.Node != "" {
			name, at = d.Node+":"+d.Path, "--node "+d.Node+" "+d.Path
		}
		add := func(sev adminapi.Severity, remedy, format string, args ...any) {
			out = append(out, adminapi.Problem{Severity: sev, Text: "drive " + name + " " + fmt.Sprintf(format, args...), Remedy: remedy})
		}
		switch {
		case d.Health == "failed" || d.State == string(placement.DriveDown):
			add(adminapi.SeverityError, "bring it back; or put an empty one there and run `sherd drive replace "+at+"`", "is not in service: %s", cmp.Or(d.Reason, "its node does not answer"))
		case d.State != string(placement.DriveUp):
			add(adminapi.SeverityWarning, "", "is %s: %s", d.State, d.Reason)
		case d.Low:
			add(adminapi.SeverityError, "delete objects or add space: it takes no new data", "is full")
		case d.NearlyFull:
			add(adminapi.SeverityWarning, "delete objects or add space: large objects may be refused already", "is nearly full: %d MiB free", d.FreeBytes/mib)
		}
	}
	return out
}

// sharedDevice names the device if all drives are on one though there are several drives.
func (n *Node) sharedDevice() string {
	if len(n.bays.list()) < 2 {
		return ""
	}
	first, _, _ := n.bays.list()[0].counts()
	for _, b := range n.bays.list() {
		if dev, _, _ := b.counts(); dev == "" || dev != first {
			return ""
		}
	}
	return first
}

// device is major:minor of the file system that path is on; empty if there is none. It may hang.
func device(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
}

func (n *Node) childPid() int {
	if n.members == nil {
		return 0
	}
	return n.members.Pid()
}

// resident sums what processes hold in memory, in bytes.
func resident(pids ...int) (sum int64) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// lossesCovered is how many of replicas may be lost with no commit gone, where all are of one process (I4): an even
// number has one more that must agree to every commit.
func lossesCovered(replicas int) int { return replicas / 2 }
