package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

// TestScripts runs testdata. Drives are named by their slot in the group that the blob went to, or would go to: the
// groups of a script's cluster all have the same owners. What hangs costs no time: a script has a clock of its own.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{t: t, name: filepath.Base(path)}
			datadriven.RunTest(t, path, s.run)
		})
	})
}

type script struct {
	t    *testing.T
	name string
	c    *cluster
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	out := s.do(d)
	if s.c != nil {
		if r := s.c.reports(); len(r) > 0 {
			out += "reported: " + strings.Join(r, ", ") + "\n"
		}
	}
	return out
}

func (s *script) do(d *datadriven.TestData) string {
	switch d.Cmd {
	case "cluster":
		return s.cluster(d)
	case "put":
		return s.put(d)
	case "get":
		return s.get(d)
	case "state":
		for _, a := range d.CmdArgs[1:] {
			i, _ := strconv.Atoi(a.Key)
			s.c.state(i, placement.DriveState(d.CmdArgs[0].Key))
		}
		return ""
	case "fault":
		return s.fault(d)
	case "lose", "corrupt", "spoil":
		return s.damage(d)
	case "owner":
		return s.owner(d)
	case "rebuild", "replace", "delete", "verify":
		return s.blob(d)
	case "chunks":
		return fmt.Sprintf("%d chunks\n", s.c.chunks())
	}
	return "unknown command " + d.Cmd + "\n"
}

func (s *script) cluster(d *datadriven.TestData) string {
	if s.c != nil {
		s.c.leaks()
	}
	var ec string
	unit, spare, quorum, blob := 64<<10, 0, 0, 0
	d.ScanArgs(s.t, "ec", &ec)
	d.MaybeScanArgs(s.t, "spare", &spare)
	d.MaybeScanArgs(s.t, "quorum", &quorum)
	d.MaybeScanArgs(s.t, "blob", &blob)
	var k, m int
	fmt.Sscanf(ec, "%d+%d", &k, &m)
	s.c = newCluster(s.t, k, m, unit, spare, func(o *Options) {
		o.WriteQuorum, o.BlobBytes = quorum, int64(blob)
		if d.HasArg("stream") {
			o.wholeMax = 1
		}
	})
	s.c.store.hedges.saved.Store(hedgesMax)
	s.c.change(func(m *placement.Map) {
		p := m.Pools[testPool]
		for i := range p.PGs {
			for slot := range p.PGs[i].Slots {
				p.PGs[i].Slots[slot].Drive = s.c.ids[slot]
			}
		}
	})
	return ""
}

func (s *script) put(d *datadriven.TestData) string {
	name, size := d.CmdArgs[0].Key, bytesArg(s.t, d, "size", 0)
	b := s.c.random(size)
	src := &source{r: bytes.NewReader(b), t: s.t}
	if n := bytesArg(s.t, d, "short", -1); n >= 0 {
		src.r = bytes.NewReader(b[:n])
	}
	if d.HasArg("fail") {
		src.fail = errors.New("connection lost")
	}
	if d.HasArg("baddigest") {
		src.late = errors.New("bad digest")
	}
	ctx := context.Background()
	if d.HasArg("cancel") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		src.r = io.MultiReader(src.r, cancelReader{cancel})
		src.r = &limitedCancel{src.r, size / 2, cancel}
	}
	before := s.c.chunks()
	w, err := s.c.store.Write(ctx, s.c.target(), int64(size), src)
	if err != nil {
		return fmt.Sprintf("%v, %s\n", short(err), s.c.settled(before))
	}
	s.c.bodies[name] = body{b, w}
	out := fmt.Sprintf("ok: %d blobs, %d chunks", len(w.PGs), s.c.chunks()-before)
	for _, m := range w.Missed {
		out += fmt.Sprintf(", missed %d/%d", m.Blob, m.Slot)
	}
	return out + "\n"
}

// settled says what a failed put left behind, once the drives have done the deletes they were asked for.
func (c *cluster) settled(before int) string {
	poll.Nil(c.t, poll.Within, "the deletion of what a failed put left", func() error {
		if left := c.chunks() - before; left != 0 {
			return fmt.Errorf("%d chunks left", left)
		}
		return nil
	})
	return "nothing left"
}

type cancelReader struct{ cancel func() }

func (r cancelReader) Read([]byte) (int, error) { r.cancel(); return 0, io.EOF }

// limitedCancel cancels the request after n bytes.
type limitedCancel struct {
	r      io.Reader
	n      int
	cancel func()
}

func (l *limitedCancel) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.n -= n; l.n <= 0 {
		l.cancel()
	}
	return n, err
}

func (s *script) get(d *datadriven.TestData) string {
	name := d.CmdArgs[0].Key
	e := s.c.bodies[name].w.Extent
	off, n := 0, int(e.Size)
	d.MaybeScanArgs(s.t, "off", &off)
	d.MaybeScanArgs(s.t, "n", &n)
	reads := 0
	for _, m := range s.c.mem {
		m.set(func() { reads -= m.reads })
	}
	err := s.c.get(name, int64(off), int64(n))
	for _, m := range s.c.mem {
		m.set(func() { reads += m.reads })
	}
	if err != nil {
		return short(err) + "\n"
	}
	return fmt.Sprintf("ok: %d bytes in %d reads\n", n, reads)
}

func (s *script) fault(d *datadriven.TestData) string {
	for _, a := range d.CmdArgs[1:] {
		i, err := strconv.Atoi(a.Key)
		if err != nil {
			continue
		}
		m := s.c.mem[i]
		if d.CmdArgs[0].Key == "none" {
			m.heal()
			continue
		}
		m.set(func() {
			switch d.CmdArgs[0].Key {
			case "failed":
				m.health = disk.Failed
			case "suspect":
				m.health = disk.Suspect
			case "low":
				m.low = true
			case "full":
				m.putErr = disk.ErrFull
			case "io":
				m.putErr = errors.New("input/output error")
			case "slow":
				m.slow = make(chan struct{})
				if d.HasArg("awhile") { // it gets over it
					time.AfterFunc(2*testPatience, m.heal)
				}
			case "hang":
				m.hung = make(chan struct{})
			case "epoch": // it knows of the change that is under way
				for pg, g := range s.c.m.Load().Pools[testPool].PGs {
					m.epochs[ids.PG(pg)] = g.Epoch + 1
				}
			}
		})
	}
	return ""
}

// heal ends all faults and waits for the answers that were held back.
func (d *memDrive) heal() {
	d.set(func() {
		if d.hung != nil {
			close(d.hung)
		}
		if d.slow != nil {
			close(d.slow)
		}
		d.health, d.low, d.putErr, d.hung, d.slow = disk.OK, false, nil, nil, nil
	})
	d.busy.Wait()
}

func (s *script) damage(d *datadriven.TestData) string {
	ref := s.c.bodies[d.CmdArgs[0].Key].w.Blob(0)
	for _, slot := range slotsArg(d) {
		switch d.Cmd {
		case "lose":
			s.c.lose(ref, int(slot))
		case "corrupt":
			s.c.corrupt(ref, int(slot))
		case "spoil": // wrong bytes that every block checksum confirms
			s.c.spoil(ref, int(slot), func(b []byte) { b[0] ^= 1 })
		}
	}
	return ""
}

// owner gives a slot of every group a new owner, under a new epoch. from: the old one can be read. later: the map learns
// it at its next reload.
func (s *script) owner(d *datadriven.TestData) string {
	var slot, drive int
	d.ScanArgs(s.t, "slot", &slot)
	d.ScanArgs(s.t, "drive", &drive)
	if d.HasArg("later") {
		s.c.later = func() { s.newOwner(d, slot, drive) }
	} else {
		s.newOwner(d, slot, drive)
	}
	return ""
}

func (s *script) newOwner(d *datadriven.TestData, slot, drive int) {
	s.c.change(func(m *placement.Map) {
		for _, pg := range m.Pools[testPool].PGs {
			pg.Epoch++
			old := pg.Slots[slot].Drive
			pg.Slots[slot] = placement.Slot{Drive: s.c.ids[drive], Since: pg.Epoch}
			if d.HasArg("from") {
				pg.Slots[slot].From = old
			}
		}
	})
}

func (s *script) blob(d *datadriven.TestData) string {
	ref, ctx := s.c.bodies[d.CmdArgs[0].Key].w.Blob(0), context.Background()
	switch d.Cmd {
	case "replace":
		if err := s.c.store.Replace(ctx, ref, slotsArg(d)); err != nil {
			return short(err) + "\n"
		}
		return "ok\n"
	case "rebuild":
		if err := s.c.store.Rebuild(ctx, ref, slotsArg(d)); err != nil {
			return short(err) + "\n"
		}
		return "ok\n"
	case "delete":
		if err := s.c.store.Delete(ctx, ref); err != nil {
			return short(err) + "\n"
		}
		return fmt.Sprintf("ok: %d chunks left\n", s.c.chunks())
	}
	st, err := s.c.store.VerifyBlob(ctx, ref)
	if err != nil {
		return short(err) + "\n"
	}
	out := fmt.Sprintf("sum right: %v", st.Sum)
	for i, k := range st.Bad {
		if k != 0 {
			out += fmt.Sprintf(", slot %d %v", i, k)
		}
	}
	return out + "\n"
}

func slotsArg(d *datadriven.TestData) (slots []uint8) {
	for _, a := range d.CmdArgs {
		if a.Key == "slots" {
			for _, v := range a.Vals {
				n, _ := strconv.Atoi(v)
				slots = append(slots, uint8(n))
			}
		}
	}
	return slots
}

func bytesArg(t *testing.T, d *datadriven.TestData, key string, n int) int {
	var s string
	if !d.MaybeScanArgs(t, key, &s) {
		return n
	}
	for unit, by := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if v, ok := strings.CutSuffix(s, unit); ok {
			n, _ = strconv.Atoi(v)
			return n * by
		}
	}
	n, _ = strconv.Atoi(s)
	return n
}

// short names an error by its sentinel, and leaves blob ids out.
func short(err error) string {
	for name, is := range map[string]error{
		"NoQuorum": ErrNoQuorum, "Full": ErrFull, "Unavailable": ErrUnavailable, "Lost": ErrLost, "Corrupt": ErrCorrupt,
	} {
		if errors.Is(err, is) {
			var q *QuorumError
			if errors.As(err, &q) {
				return fmt.Sprintf("%s: %d of %d drives, need %d", name, q.Got, len(q.Errs), q.Need)
			}
			return name
		}
	}
	return err.Error()
}
