package nodeport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counting counts a connection's system calls.
type counting struct {
	net.Conn
	reads, writes *atomic.Int64
}

func (c counting) Read(b []byte) (int, error)  { c.reads.Add(1); return c.Conn.Read(b) }
func (c counting) Write(b []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(b) }

// TestTogether: what is written together arrives as it was written, in few system calls, and nothing of it stays behind.
func TestTogether(t *testing.T) {
	c := newCluster(t, false, "n1", "n2")
	var reads, writes atomic.Int64
	dial := c.ports["n1"].opt.Dial
	c.ports["n1"].opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		return counting{nc, &reads, &writes}, err
	}
	l := c.ports["n2"].Listen(Drive)
	c.serve(t)
	nc, err := c.ports["n1"].Dial(context.Background(), "n2", Drive)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	sent := bytes.Repeat([]byte("sixteen bytes   "), 60<<10/16)
	for _, pieces := range []int{1, 4, 9} { // up to 540 KiB: more than waits at once
		before := writes.Load()
		go func() { // the socket may not take all of it
			err := nc.(*Conn).Together(func() error {
				for range pieces {
					if _, err := nc.Write(sent); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		got := make([]byte, pieces*len(sent))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, bytes.Repeat(sent, pieces)) {
			t.Fatalf("%d pieces: they came otherwise: %v", pieces, err)
		}
		if n, most := writes.Load()-before, int64(len(got)/(writeBatch-16<<10)+1); n > most {
			t.Errorf("%d KiB in %d writes, want at most %d", len(got)>>10, n, most)
		}
	}
	failed := errors.New("test")
	if err := nc.(*Conn).Together(func() error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	nc.Write([]byte("alone"))
	if _, err := io.ReadFull(far, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := nc.(*Conn).Together(func() error { _, err := nc.Write(sent); return err }); err == nil {
		t.Error("written to a closed connection")
	}
}

// BenchmarkShard sends 256 KiB at a time over TLS on loopback, together and by itself.
func BenchmarkShard(b *testing.B) {
	for name, send := range map[string]func(*Conn, []byte) error{
		"together": func(c *Conn, p []byte) error {
			return c.Together(func() error { _, err := c.Write(p); return err })
		},
		"records": func(c *Conn, p []byte) error { _, err := c.Write(p); return err },
	} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b, false, "n1", "n2")
			l := c.ports["n2"].Listen(Drive)
			c.serve(b)
			nc, err := c.ports["n1"].Dial(context.Background(), "n2", Drive)
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			far, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer far.Close()
			shard := make([]byte, 256<<10)
			b.SetBytes(int64(len(shard)))
			b.ResetTimer()
			go func() {
				for range b.N {
					if err := send(nc.(*Conn), shard); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			into := make([]byte, len(shard))
			for range b.N {
				if _, err := io.ReadFull(far, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// stuck is a connection whose peer takes nothing any more, once that is said: a write waits until it is given a time.
type stuck struct {
	net.Conn
	is            atomic.Bool
	waits, given  chan struct{}
	first, second sync.Once
	within        atomic.Int64
}

func (s *stuck) Write(b []byte) (int, error) {
	if !s.is.Load() {
		return s.Conn.Write(b)
	}
	s.first.Do(func() { close(s.waits) })
	<-s.given
	return 0, os.ErrDeadlineExceeded
}

func (s *stuck) SetWriteDeadline(t time.Time) error {
	if s.is.Load() {
		s.within.Store(max(s.within.Load(), int64(time.Until(t))))
		s.second.Do(func() { close(s.given) })
	}
	return s.Conn.SetWriteDeadline(t)
}

// TestCloseOfStuckConnection: a peer that takes nothing holds up neither the closing for long nor, thereby, those whose writes wait.
func TestCloseOfStuckConnection(t *testing.T) {
	c := newCluster(t, false, "n1", "n2")
	l := c.ports["n2"].Listen(Drive)
	c.serve(t)
	dial := c.ports["n1"].opt.Dial
	below := &stuck{waits: make(chan struct{}), given: make(chan struct{})}
	c.ports["n1"].opt.Dial = func(ctx context.Context, network, addr string) (nc net.Conn, err error) {
		below.Conn, err = dial(ctx, network, addr)
		return below, err
	}
	nc, err := c.ports["n1"].Dial(t.Context(), "n2", Drive)
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	below.is.Store(true)
	ended := make(chan error, 1)
	go func() {
		ended <- nc.(*Conn).Together(func() error { _, err := nc.Write(make([]byte, 1000)); return err })
	}()
	<-below.waits
	nc.Close()
	if err := <-ended; err == nil {
		t.Error("a write to a closed connection went well")
	}
	if within := time.Duration(below.within.Load()); within > goodbyeWithin {
		t.Errorf("the goodbye was given %s", within)
	}
}
