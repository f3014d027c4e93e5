package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/poll"
)

// TestIdleConnectionsMakeRoom: clients that hold more connections than there may be lose those that are idle for longest; others are served, and
// a request that is under way is not cut off.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	const most = 4
	k := newKit(t, func(o *Options, _ *object.Options) { o.Connections = most })
	k.makeBucket("bucket")
	dial := func() net.Conn {
		c, err := net.Dial("tcp", k.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(poll.Within)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	live := func(c net.Conn) {
		t.Helper()
		fmt.Fprint(c, "GET /_/live HTTP/1.1\r\nHost: x\r\n\r\n")
		answer := make([]byte, 12)
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("%q, %v", answer, err)
		}
	}

	body := text(5000)
	slow := dial()
	fmt.Fprint(slow, k.head(call{method: "PUT", path: "/bucket/key"}, int64(len(body)))+body[:1000])
	poll.True(t, poll.Within, "a request under way", func() bool { return k.server.admit.held.Load() > 0 })
	first := dial()
	live(first)
	for range 5 * most {
		live(dial())
	}
	if n, err := io.Copy(io.Discard, first); err != nil {
		t.Errorf("the connection that is idle for longest is still there: %d bytes, %v", n, err)
	}
	fmt.Fprint(slow, body[1000:])
	answer := make([]byte, 12)
	if _, err := io.ReadFull(slow, answer); err != nil || string(answer) != fmt.Sprint("HTTP/1.1 ", http.StatusOK) {
		t.Errorf("a request under way was cut off: %q, %v", answer, err)
	}
}
