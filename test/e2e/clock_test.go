package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// year2100 is how far a clock is off that was set to then.
func year2100() time.Duration {
	return time.Until(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)).Truncate(time.Second)
}

// A node's wall clock is wrong, from its start: a little behind, a little ahead, or by decades. What it takes and what the others take
// is all there, in the order it was written, whichever node leads; what the wrong clock makes it refuse it refuses clearly; and when
// it is right again nothing is left of it (I18).
func TestI18_WrongClock(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 2, "--ec", "4+2")
	rng := random(t)
	must(t, f.agents(10*time.Second).within(20*time.Second, func(c *s3) error { return c.makeBucket("clock") }))
	reg := startRegisters(t, "clock", 6, func() []*s3 { return f.agents(15 * time.Second).clients }, rng)
	offsets := []time.Duration{-5 * time.Minute, 5 * time.Minute, year2100()}
	if !*soak {
		offsets = []time.Duration{offsets[rng.IntN(2)], offsets[2]}
	}
	for range count(1, 10) {
		for _, off := range offsets {
			reg.nextGroup()
			s := f.nodes[f.leader("range")]
			flags := s.flags
			s.flags = append(flags[:len(flags):len(flags)], "--clock-off", off.String())
			s.stop()
			f.run(s)
			f.told(s)
			f.inOrder(s, fmt.Sprintf("order/%s", off))
			s.kill9() // whatever it led
			f.inOrder(s, fmt.Sprintf("order/after %s", off))
			s.flags = flags
			f.run(s)
			f.inOrder(s, fmt.Sprintf("order/before %s", off))
			f.waitHealed(2 * time.Minute)
		}
	}
	reg.check()
	st, err := f.nodes[0].status()
	must(t, err)
	h, _, err := f.nodes[0].client().do(f.nodes[0].client().newRequest(t.Context(), "HEAD", "clock", lastInOrder, "", nil, nil))
	must(t, err)
	modified, err := time.Parse(time.RFC1123, h.Get("Last-Modified"))
	must(t, err)
	if ahead := time.Until(modified); ahead > 10*time.Second {
		t.Errorf("what is written now is from %s: the wrong clock is left in the stamps (%s)", modified, st.Node)
	}
}

// told wants another node to say in its status whose clock is wrong.
func (f *fleet) told(wrong *server) {
	f.t.Helper()
	eventually(f.t, 20*time.Second, "the wrong clock in status", func() error {
		for _, s := range f.nodes {
			if s == wrong || !s.running() {
				continue
			}
			st, err := s.status()
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(st.Problems, func(p adminapi.Problem) bool { return strings.Contains(p.Text, "clock of node "+wrong.nodeName()+" ") }) {
				return fmt.Errorf("%s says %+v", s.nodeName(), st.Problems)
			}
			return nil
		}
		return nil
	})
}

const lastInOrder = "order/last"

// inOrder writes a key through one node after another, also the one whose clock is wrong as far as it takes requests, and wants to
// read what was written last.
func (f *fleet) inOrder(wrong *server, key string) {
	f.t.Helper()
	for round := range 3 {
		for i, s := range f.nodes {
			if !s.running() {
				continue
			}
			body := content(uint64(10*round+i), 20_000)
			err := s.client().put("clock", key, body)
			if s == wrong && code(err) == "RequestTimeTooSkewed" {
				continue
			}
			if temporary(err) { // a leader goes, another comes: unknown, so say it again
				eventually(f.t, 20*time.Second, "a write", func() error {
					for _, s := range f.nodes {
						if s != wrong && s.running() {
							return s.client().put("clock", key, body)
						}
					}
					return nil
				})
			} else {
				must(f.t, err)
			}
			for _, reader := range f.nodes {
				if reader == wrong || !reader.running() {
					continue
				}
				var got []byte
				eventually(f.t, 20*time.Second, "a read", func() (err error) {
					got, err = reader.client().get("clock", key)
					return err
				})
				if !bytes.Equal(got, body) {
					f.t.Errorf("%s: what %s wrote is not what %s reads", key, s.nodeName(), reader.nodeName())
				}
			}
		}
	}
	for _, s := range f.nodes {
		if s != wrong && s.running() {
			eventually(f.t, 20*time.Second, "a write", func() error { return s.client().put("clock", lastInOrder, content(3, 100)) })
			return
		}
	}
}
