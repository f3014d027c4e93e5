package state

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Each of these runs testdata/NAME.txt: commands to one range, and what its rows say then. Two more replicas follow:
// one by the first's batches, one that applies by itself and is reloaded after each command; all have equal rows (I17).
//
//	put|create|part|complete|abort|delete|revise K… [opt=value]…   commands; the answer's code, stamp and version
//	reencode K of=STAMP from=BODY u=BODY pool=N [off=N]              a body in another pool
//	closed|close-pool|open-pool|seal|unseal|set-rules|ack-repair|ack-reclaim|add-repair
//	get|list|uploads|parts|completed|counters|repairs|reclaims|walk|ref|rows   reads
//	advance BY                                                      lets time pass
//
// Ids of bodies, uploads and requests have names, made when they are first used (u=, id=, req=). Stamps are shown as
// milliseconds since the start.
func TestI14_SupersededBodiesAreReclaimed(t *testing.T) { runScript(t, "put") }
func TestConditions(t *testing.T)                       { runScript(t, "conditions") }
func TestI1_RetriedCommandActsOnce(t *testing.T)        { runScript(t, "requests") }
func TestI6_OldUploadIsRefused(t *testing.T)            { runScript(t, "closed") }
func TestI21_Multipart(t *testing.T)                    { runScript(t, "multipart") }
func TestI2_MissedSlotsAreQueued(t *testing.T)          { runScript(t, "queues") }
func TestI20_Seal(t *testing.T)                         { runScript(t, "seal") }
func TestI11_StaleRulesAreRefused(t *testing.T)         { runScript(t, "rules") }
func TestI14_RevisionKeepsTheBody(t *testing.T)         { runScript(t, "revise") }

func TestI14_ReencodingReplacesTheBodyThatWasRead(t *testing.T) { runScript(t, "reencode") }
func TestClosedPoolsRefuseBodies(t *testing.T)                  { runScript(t, "pools") }

func runScript(t *testing.T, name string) {
	s := newScript(t, Span{ID: 1})
	datadriven.RunTest(t, "testdata/"+name+".txt", s.run)
}

type script struct {
	t                  *testing.T
	r, follower, alone *replica
	k                  maker
	ids                map[string]ids.Upload
	names              map[ids.Upload]string
	seen               []*metapb.Repair // as they were last read
}

func newScript(t *testing.T, span Span) *script {
	return &script{
		t: t, r: newReplica(t, span), follower: newReplica(t, span), alone: newReplica(t, span),
		k: maker{now: start}, ids: map[string]ids.Upload{}, names: map[ids.Upload]string{},
	}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t = t
	if read := s.reads()[d.Cmd]; read != nil {
		return read(d)
	}
	if d.Cmd == "advance" {
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		check0(t, err)
		s.k.now = s.k.now.Add(by)
		return ""
	}
	c := s.command(d)
	if c == nil {
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	return s.result(s.apply(c))
}

// apply applies c to all three replicas.
func (s *script) apply(c *metapb.Command) *metapb.Result {
	results, e, repr := s.r.batch(c)
	s.follower.follow(repr, e)
	own := s.alone.apply(c)
	s.alone.load()
	if !equalMessages(own[0], results[0]) {
		s.t.Fatalf("a reloaded replica answers %v, not %v", own[0], results[0])
	}
	if h := s.r.hash(); s.follower.hash() != h || s.alone.hash() != h {
		s.t.Fatal("I17: replicas differ")
	}
	s.r, s.follower = s.follower, s.r // each must have kept up
	return results[0]
}

func equalMessages(a, b interface{ MarshalVT() ([]byte, error) }) bool {
	x, _ := a.MarshalVT()
	y, _ := b.MarshalVT()
	return string(x) == string(y)
}

func (s *script) result(r *metapb.Result) string {
	var out strings.Builder
	out.WriteString(r.Code.String())
	if r.Ts != 0 {
		fmt.Fprintf(&out, " ts=%s", stamp(r.Ts))
	}
	if r.Part != 0 {
		fmt.Fprintf(&out, " part=%d is %s", r.Part, s.name(r.Upload))
	}
	if v := r.Version; v != nil {
		fmt.Fprintf(&out, " version ts=%s size=%d parts=%d md5=%x", stamp(v.Ts), v.Size, v.Parts, v.Md5[:2])
	}
	return out.String() + "\n"
}

// stamp prints milliseconds since the start, and the counter if there is one.
func stamp(ts uint64) string {
	d := hlc.Stamp(ts) - start
	if c := d & 0xFFFF; c != 0 {
		return fmt.Sprintf("%d.%d", d>>16, c)
	}
	return fmt.Sprint(d >> 16)
}

func (s *script) name(id []byte) string {
	if len(id) == 0 {
		return "nothing"
	}
	return s.names[ids.Upload(id)]
}

// id finds the id called name, or makes it.
func (s *script) id(name string) []byte {
	id, ok := s.ids[name]
	if !ok {
		id = s.k.id()
		s.ids[name], s.names[id] = id, name
	}
	return id[:]
}

func arg(d *datadriven.TestData, key, or string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return or
}

func (s *script) number(d *datadriven.TestData, key string, or uint64) uint64 {
	n, err := strconv.ParseUint(arg(d, key, fmt.Sprint(or)), 10, 64)
	check0(s.t, err)
	return n
}

// objectKeys are the arguments without value; "" is written as ”.
func objectKeys(d *datadriven.TestData) (all []string) {
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			k, err := strconv.Unquote(`"` + strings.Trim(a.Key, "'") + `"`)
			if err != nil {
				d.Fatalf(nil, "%v", err)
			}
			all = append(all, k)
		}
	}
	return all
}

func (s *script) body(d *datadriven.TestData) *metapb.Extent {
	e := s.k.extent(s.number(d, "size", 4096))
	e.BlobSize = s.number(d, "blob", 64<<20)
	if e.Size > 0 {
		e.Pgs = make([]byte, 2*blobs(e))
	}
	e.Pool = uint32(s.number(d, "pool", uint64(e.Pool)))
	if name := arg(d, "u", ""); name != "" {
		e.Upload = s.id(name)
	}
	return e
}

func (s *script) missed(d *datadriven.TestData) (all []*metapb.Missed) {
	for _, a := range d.CmdArgs {
		if a.Key != "missed" {
			continue
		}
		for _, v := range a.Vals {
			var m metapb.Missed
			_, err := fmt.Sscanf(v, "%d.%d", &m.Blob, &m.Slot)
			check0(s.t, err)
			all = append(all, &m)
		}
	}
	return all
}

func condition(d *datadriven.TestData) *metapb.Condition {
	c := &metapb.Condition{IfMatch: arg(d, "if-match", ""), IfNoneMatch: arg(d, "if-none-match", "")}
	if c.IfMatch == "" && c.IfNoneMatch == "" {
		return nil
	}
	return c
}

func md5Of(text string) []byte {
	b := make([]byte, 16)
	copy(b, text)
	return b
}

// command reads the command of a line; nil if it is none.
func (s *script) command(d *datadriven.TestData) *metapb.Command {
	c := s.k.command()
	if name := arg(d, "req", ""); name != "" {
		c.Request = s.id(name)
	}
	if arg(d, "ts", "") != "" {
		c.Ts = uint64(start) + s.number(d, "ts", 0)<<16
	}
	c.Rules = int64(s.number(d, "rules", 0))
	bucket, names := s.number(d, "bucket", 1), objectKeys(d)
	key := ""
	if len(names) > 0 {
		key = names[0]
	}
	id := s.id("id-" + arg(d, "id", ""))
	switch d.Cmd {
	case "put":
		c.Op = &metapb.Command_Put{Put: s.put(d, bucket, key)}
	case "revise":
		given := &metapb.Version{Details: &metapb.Details{Tags: arg(d, "tags", "")}}
		at := uint64(start) + s.number(d, "of", 0)<<16
		c.Op = &metapb.Command_Put{Put: &metapb.PutVersion{Bucket: bucket, Key: key, Version: given, Revises: at}}
	case "delete":
		c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: bucket, Keys: names, Condition: condition(d)}}
	case "create":
		c.Op = &metapb.Command_CreateUpload{CreateUpload: &metapb.CreateUpload{Bucket: bucket, Key: key, Id: id, Details: new(metapb.Details)}}
	case "part":
		e := s.body(d)
		e.Part, e.Md5 = uint32(s.number(d, "n", 1)), md5Of(arg(d, "md5", "p"))
		c.Op = &metapb.Command_PutPart{PutPart: &metapb.PutPart{Bucket: bucket, Key: key, Id: id, Extent: e, Missed: s.missed(d)}}
	case "complete":
		c.Op = &metapb.Command_CompleteUpload{CompleteUpload: s.complete(d, bucket, key, id)}
	case "abort":
		c.Op = &metapb.Command_AbortUpload{AbortUpload: &metapb.AbortUpload{Bucket: bucket, Key: key, Id: id}}
	case "closed":
		c.Op = &metapb.Command_RaiseClosed{RaiseClosed: &metapb.RaiseClosed{Closed: uint64(start) + s.number(d, "at", 0)<<16}}
	case "seal", "unseal":
		c.Op = &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: bucket, Off: d.Cmd == "unseal"}}
	case "reencode":
		c.Op = &metapb.Command_Reencode{Reencode: &metapb.Reencode{
			Bucket: bucket, Key: key, Ts: uint64(start) + s.number(d, "of", 0)<<16, Upload: s.id(arg(d, "from", "")),
			Offset: s.number(d, "off", 0), Extent: s.body(d), Missed: s.missed(d),
		}}
	case "close-pool", "open-pool":
		c.Op = &metapb.Command_ClosePool{ClosePool: &metapb.ClosePool{Pool: uint32(s.number(d, "pool", 0)), Off: d.Cmd == "open-pool"}}
	case "set-rules":
		c.Op = &metapb.Command_SetRules{SetRules: &metapb.SetRules{Bucket: bucket, Rules: &metapb.Rules{Revision: int64(s.number(d, "to", 0))}}}
	case "add-repair":
		row := &metapb.Repair{Bucket: bucket, Key: key, Upload: s.id(arg(d, "u", "")), Slot: uint32(s.number(d, "slot", 0)), Size: 4096}
		c.Op = &metapb.Command_AddRepair{AddRepair: &metapb.AddRepair{Rows: []*metapb.Repair{row}}}
	case "ack-repair":
		c.Op = &metapb.Command_AckRepair{AckRepair: &metapb.AckRepair{Rows: s.seen}}
	case "ack-reclaim":
		rows, _, err := ReclaimRows(s.r.db, s.r.span, hlc.Stamp(c.Ts), nil, 1000)
		check0(s.t, err)
		c.Op = &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: rows}}
	default:
		return nil
	}
	return c
}

func (s *script) put(d *datadriven.TestData, bucket uint64, key string) *metapb.PutVersion {
	p := &metapb.PutVersion{Bucket: bucket, Key: key, Condition: condition(d), Missed: s.missed(d)}
	p.Version = &metapb.Version{Size: s.number(d, "size", 4096), Md5: md5Of(arg(d, "md5", "m")), Details: new(metapb.Details)}
	switch inline := arg(d, "inline", ""); {
	case inline != "":
		p.Inline, p.HasInline, p.Version.Size = []byte(inline), true, uint64(len(inline))
	case arg(d, "marker", "") != "":
		p.Version = &metapb.Version{DeleteMarker: true}
	case p.Version.Size > 0:
		p.Version.Details.Extent = s.body(d)
	}
	return p
}

// complete names parts as parts=(1:u1,2:u2); the version's size is what their rows have, or size=.
func (s *script) complete(d *datadriven.TestData, bucket uint64, key string, id []byte) *metapb.CompleteUpload {
	c := &metapb.CompleteUpload{Bucket: bucket, Key: key, Id: id, Condition: condition(d)}
	_, rows, err := ListParts(s.r.db, ids.Bucket(bucket), key, ids.Upload(id), 0, partMax)
	if err != ErrNoSuchUpload {
		check0(s.t, err)
	}
	size := uint64(0)
	for _, a := range d.CmdArgs {
		if a.Key != "parts" {
			continue
		}
		for _, v := range a.Vals {
			n, name, _ := strings.Cut(v, ":")
			part, err := strconv.Atoi(n)
			check0(s.t, err)
			c.Parts = append(c.Parts, &metapb.PartRef{Part: uint32(part), Upload: s.id(name), Md5: md5Of("p")})
			if i := slices.IndexFunc(rows, func(e *metapb.Extent) bool { return e.Part == uint32(part) }); i >= 0 {
				size += rows[i].Size
			}
		}
	}
	c.Version = &metapb.Version{
		Size: s.number(d, "size", size), Md5: md5Of(arg(d, "md5", "whole")), Parts: uint32(len(c.Parts)), Details: new(metapb.Details),
	}
	return c
}

// reads by name.
func (s *script) reads() map[string]func(*datadriven.TestData) string {
	return map[string]func(*datadriven.TestData) string{
		"get": s.get, "list": s.list, "uploads": s.uploads, "parts": s.parts, "counters": s.counters, "completed": s.completed,
		"repairs": s.repairs, "reclaims": s.reclaims, "walk": s.walk, "ref": s.ref, "rows": s.rows,
	}
}

func (s *script) get(d *datadriven.TestData) string {
	bucket, key := ids.Bucket(s.number(d, "bucket", 1)), objectKeys(d)[0]
	asOf := hlc.Stamp(0)
	if n := s.number(d, "as-of", 0); n != 0 {
		asOf = start + hlc.Stamp(n<<16)
	}
	v, body, err := Get(s.r.db, bucket, key, GetOptions{Inline: true, AsOf: asOf})
	if err != nil {
		return err.Error() + "\n"
	}
	out := fmt.Sprintf("ts=%s size=%d md5=%s parts=%d", stamp(v.Ts), v.Size, strings.TrimRight(string(v.Md5), "\x00"), v.Parts)
	if v.Details.Tags != "" {
		out += " tags=" + v.Details.Tags
	}
	if v.DeleteMarker {
		out += " marker"
	}
	if body != nil {
		out += fmt.Sprintf(" inline=%s", body)
	}
	if e := v.Details.Extent; e != nil {
		out += " " + s.extent(e)
	}
	extents, err := Extents(s.r.db, bucket, key, hlc.Stamp(v.Ts), s.number(d, "off", 0), int(s.number(d, "max", 1000)))
	check0(s.t, err)
	for _, e := range extents {
		out += fmt.Sprintf("\n  part %d at %d: %s", e.Part, e.Offset, s.extent(e))
	}
	return out + "\n"
}

func (s *script) extent(e *metapb.Extent) string {
	text := fmt.Sprintf("%s[%d]", s.name(e.Upload), e.Size)
	if e.Pool != s.k.extent(1).Pool {
		text += fmt.Sprintf(" in pool %d", e.Pool)
	}
	return text
}

func (s *script) list(d *datadriven.TestData) string {
	page, err := List(s.r.db, s.r.span, ListRequest{
		Bucket: ids.Bucket(s.number(d, "bucket", 1)), Prefix: arg(d, "prefix", ""), Delimiter: arg(d, "delimiter", ""),
		After: arg(d, "after", ""), Max: int(s.number(d, "max", 1000)),
	}, nil)
	check0(s.t, err)
	var out strings.Builder
	var e Entry
	for rest, ok := NextEntry(page.Entries, &e); ok; rest, ok = NextEntry(rest, &e) {
		if e.Prefix {
			fmt.Fprintf(&out, "%q ...\n", e.Key)
		} else {
			fmt.Fprintf(&out, "%q ts=%s size=%d parts=%d inline=%v\n", e.Key, stamp(uint64(e.TS)), e.Size, e.Parts, e.Inline)
		}
	}
	if page.Truncated {
		fmt.Fprintf(&out, "next %q\n", page.Next)
	}
	return out.String()
}

func (s *script) uploads(d *datadriven.TestData) string {
	req := ListUploadsRequest{
		Bucket: ids.Bucket(s.number(d, "bucket", 1)), Prefix: arg(d, "prefix", ""), Delimiter: arg(d, "delimiter", ""),
		KeyMarker: arg(d, "key-marker", ""), Max: int(s.number(d, "max", 1000)),
	}
	if id := arg(d, "id-marker", ""); id != "" {
		req.IDMarker = ids.Upload(s.id("id-" + id))
	}
	page, err := ListUploads(s.r.db, s.r.span, req)
	check0(s.t, err)
	var out strings.Builder
	for _, e := range page.Entries {
		if e.Upload == nil {
			fmt.Fprintf(&out, "%q ...\n", e.Key)
		} else {
			fmt.Fprintf(&out, "%q %s since %s\n", e.Key, s.name(e.ID[:]), stamp(e.Upload.Initiated))
		}
	}
	if page.Truncated {
		fmt.Fprintf(&out, "next %q %s\n", page.NextKey, s.name(page.NextID[:]))
	}
	return out.String()
}

func (s *script) parts(d *datadriven.TestData) string {
	id := ids.Upload(s.id("id-" + arg(d, "id", "")))
	_, parts, err := ListParts(s.r.db, ids.Bucket(s.number(d, "bucket", 1)), objectKeys(d)[0], id, uint32(s.number(d, "after", 0)), int(s.number(d, "max", 1000)))
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	for _, e := range parts {
		fmt.Fprintf(&out, "%d: %s\n", e.Part, s.extent(e))
	}
	return out.String()
}

func (s *script) completed(d *datadriven.TestData) string {
	u, err := Completed(s.r.db, ids.Bucket(s.number(d, "bucket", 1)), objectKeys(d)[0], ids.Upload(s.id("id-"+arg(d, "id", ""))))
	if err != nil {
		return err.Error() + "\n"
	}
	var sum PartsSum
	for i := range u.Completed.Parts {
		sum.Add(uint32(i)+1, md5Of("p"))
	}
	return fmt.Sprintf("at %s, size %d, parts 1 to %d: %v\n", stamp(u.CompletedAt), u.Completed.Size, u.Completed.Parts, string(sum.Sum()) == string(u.PartsSum))
}

func (s *script) counters(d *datadriven.TestData) string {
	c, err := CountersOf(s.r.db, s.r.span.ID, ids.Bucket(s.number(d, "bucket", 1)))
	check0(s.t, err)
	return fmt.Sprintf("objects=%d versions=%d size=%d uploads=%d upload-size=%d\n", c.Objects, c.Versions, c.Size, c.Uploads, c.UploadSize)
}

func (s *script) repairs(*datadriven.TestData) string {
	rows, _, err := RepairRows(s.r.db, s.r.span, nil, 1000)
	check0(s.t, err)
	s.seen = rows
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "%d/%q %s blob=%d slot=%d pg=%d size=%d since=%s\n", r.Bucket, r.Key, s.name(r.Upload), r.Blob, r.Slot, r.Pg, r.Size, stamp(r.Since))
	}
	if n, _ := s.r.m.Queued(); int(n) != len(rows) {
		s.t.Fatalf("%d repair rows are counted", n)
	}
	return out.String()
}

func (s *script) reclaims(d *datadriven.TestData) string {
	below := hlc.Stamp(0)
	if n := s.number(d, "below", 0); n != 0 {
		below = start + hlc.Stamp(n<<16)
	} else {
		below = stampMax
	}
	rows, _, err := ReclaimRows(s.r.db, s.r.span, below, nil, 1000)
	check0(s.t, err)
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "%d/%q %s died=%s\n", r.Bucket, r.Key, s.extent(r.Extent), stamp(r.Died))
	}
	if _, n := s.r.m.Queued(); int(n) != len(rows) && below == stampMax {
		s.t.Fatalf("%d reclaim rows are counted", n)
	}
	return out.String()
}

func (s *script) walk(*datadriven.TestData) string {
	var out strings.Builder
	s.r.walk(1, func(i WalkItem) { fmt.Fprintf(&out, "%d/%q %s\n", i.Bucket, i.Key, s.extent(i.Extent)) })
	return out.String()
}

func (s *script) ref(d *datadriven.TestData) string {
	ref, err := Referenced(s.r.db, ids.Bucket(s.number(d, "bucket", 1)), objectKeys(d)[0], ids.Upload(s.id(arg(d, "u", ""))))
	check0(s.t, err)
	return [...]string{"absent\n", "reclaiming\n", "live\n"}[ref]
}

// rows counts the rows of each table.
func (s *script) rows(*datadriven.TestData) string {
	var out strings.Builder
	for i, span := range s.r.span.Spans() {
		n := 0
		check0(s.t, scanRange(pebble.Reader(s.r.db), span, func(_, _ []byte) error { n++; return nil }))
		names := []string{"versions", "inline", "extents", "uploads", "parts", "done", "repairs", "reclaims", "nulls", "requests", "counters", "seals", "expiry", "applied", "rules", "splits", "pools"}
		if i == 0 && len(names) != len(keys.ByRoute())+len(keys.ByRange()) {
			s.t.Fatal("a table has no name here")
		}
		if n > 0 {
			fmt.Fprintf(&out, "%s=%d ", names[i], n)
		}
	}
	return strings.TrimSpace(out.String()) + "\n"
}
