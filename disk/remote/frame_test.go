package remote

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

func encode(f *frame) []byte {
	b := append(appendHeader(nil, f), f.args...)
	for _, p := range f.payload {
		b = append(b, p...)
	}
	return b
}

func decode(b []byte, pool *bufpool.Pool) (header, *bufpool.Buf, error) {
	r := bufio.NewReader(bytes.NewReader(b))
	h, err := readHeader(r)
	if err != nil {
		return h, nil, err
	}
	p, err := readPayload(r, &h, pool)
	return h, p, err
}

// The bytes of version 1, which later versions go on to read.
func TestGoldenFrame(t *testing.T) {
	f := &frame{op: opPut, id: 7, drive: ids.Drive{1, 2, 15: 16}, millis: 10_000, args: []byte("args"), payload: [][]byte{[]byte("pay"), []byte("load")}}
	const want = "7368663103000000070000000000000001020000000000000000000000000010102700000400000007000000e3b57468e211236fe2c4c366d532619a617267737061796c6f6164"
	got := hex.EncodeToString(encode(f))
	if got != want {
		t.Errorf("the frame is\n%s, want\n%s", got, want)
	}
	var pool bufpool.Pool
	h, p, err := decode(encode(f), &pool)
	must(t, err)
	defer p.Release()
	if h.op != f.op || h.id != f.id || h.drive != f.drive || h.millis != f.millis || string(h.args) != "args" || string(p.B) != "payload" {
		t.Errorf("%+v %q", h, p.B)
	}
}

// A turned bit anywhere is noticed, and a frame that is cut off is not taken for one.
func TestDamagedFrame(t *testing.T) {
	var pool bufpool.Pool
	whole := encode(&frame{op: opWrite, id: 1 << 40, args: []byte("12345678"), payload: [][]byte{bytes.Repeat([]byte("x"), 100)}})
	for at := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			if _, _, err := decode(b, &pool); !errors.Is(err, errFrame) {
				t.Fatalf("byte %d, bit %d: %v", at, bit, err)
			}
		}
		if _, _, err := decode(whole[:at], &pool); err == nil {
			t.Fatalf("%d of %d bytes are a frame", at, len(whole))
		}
	}
	if lent := pool.Lent(); lent != 0 {
		t.Errorf("%d bytes lent", lent)
	}
}

// FuzzFrame: no bytes make the reader panic, or lend what it does not give back.
func FuzzFrame(f *testing.F) {
	f.Add(encode(&frame{op: opPut, id: 1, args: []byte("a"), payload: [][]byte{[]byte("b")}}))
	f.Add(encode(&frame{op: opStat, id: 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var pool bufpool.Pool
		h, p, err := decode(b, &pool)
		if err == nil && !bytes.HasPrefix(b, encode(&frame{h.op, h.status, h.id, h.drive, h.millis, h.args, [][]byte{bytesOf(p)}})[:headerBytes]) && h.payloadLen > 0 {
			t.Errorf("%x is read as %+v", b, h)
		}
		p.Release()
		if pool.Lent() != 0 {
			t.Error("a buffer is gone")
		}
	})
}

// FuzzAnswer: a list of chunks from another node is refused, or is the same when it is written again.
func FuzzAnswer(f *testing.F) {
	s := disktest.NewSample(1, 1, 100)
	one := disk.ChunkInfo{Key: s.Header.Key, K: s.Header.K, M: s.Header.M, UnitBytes: s.Header.UnitBytes, Object: "a/b", ShardBytes: s.Footer.ShardBytes, BlobBytes: s.Footer.BlobBytes}
	two := appendList(nil, []disk.ChunkInfo{one, one})
	if list, err := parseList(two); err != nil || len(list) != 2 {
		f.Fatal(list, err)
	}
	f.Add(two)
	f.Add([]byte("12345678"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseNumber(b); err == nil && !bytes.Equal(binary.LittleEndian.AppendUint64(nil, n), b) {
			t.Fatalf("%x is %d", b, n)
		}
		list, err := parseList(b)
		if err != nil {
			if !errors.Is(err, disk.ErrUnavailable) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseList(appendList(nil, list))
		if err != nil || !slices.Equal(again, list) {
			t.Fatalf("%+v became %+v, %v", list, again, err)
		}
	})
}

// FuzzArguments: no arguments of a request make the server panic, or keep a buffer; a chunk that was there stays.
func FuzzArguments(f *testing.F) {
	for o := opStat; o < opLast; o++ {
		f.Add(byte(o), []byte("some arguments of no meaning at all, longer than a key"), []byte("payload"))
	}
	f.Fuzz(func(t *testing.T, o byte, args, payload []byte) {
		if op(o) < opStat || op(o) >= opLast || len(args) > argsMax || len(payload) > payloadMax {
			t.Skip()
		}
		n := newNode(t, vfs.NewMem())
		c := n.client(nil)
		conn, err := c.lines[0].get(t.Context())
		must(t, err)
		if op(o) == opAbort || op(o) == opCloseReader {
			conn.tell(request{op: op(o), drive: n.drive.ID(), args: args})
		} else {
			r, _ := conn.do(t.Context(), request{op: op(o), drive: n.drive.ID(), args: args, payload: [][]byte{payload}}, time.Minute)
			r.payload.Release()
		}
		s := disktest.NewSample(1, 1, 100)
		must(t, disktest.Put(suiteDrive{c.Drive(n.drive.ID())}, s))
	})
}

// Bytes that are no frame, and requests before a hello, end the connection and nothing else.
func TestGarbage(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	hello := encode(&frame{op: opHello, id: 1, args: append(n.cluster[:], make([]byte, 16)...)})
	for name, b := range map[string][]byte{
		"http":        []byte("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n................"),
		"no hello":    encode(&frame{op: opStat, id: 1}),
		"then rubish": append(bytes.Clone(hello), bytes.Repeat([]byte{0xFF}, 100)...),
		"hello twice": append(bytes.Clone(hello), encode(&frame{op: opHello, id: 2})...),
	} {
		c, err := net.Dial("tcp", n.listen.Addr().String())
		must(t, err)
		c.SetDeadline(time.Now().Add(poll.Within))
		_, err = c.Write(b)
		must(t, err)
		if name == "hello twice" {
			c.(*net.TCPConn).CloseWrite()
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
			t.Errorf("%s: %v, want the end", name, err)
		}
		c.Close()
	}
	s := disktest.NewSample(1, 1, 100)
	must(t, disktest.Put(d, s))
	disktest.Check(t, d, s)
	poll.Nil(t, poll.Within, "the sessions' end", func() error {
		n.server.mu.Lock()
		defer n.server.mu.Unlock()
		if len(n.server.sessions) > 1 {
			return errors.New("sessions are left")
		}
		return nil
	})
	if h := n.drive.Health(); h.State != disk.OK {
		t.Error(h)
	}
}

// isReset: the server closed with bytes of ours unread.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}
