package bench

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// TestAnswers feeds answers as other servers give them.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer, body, code string
	}{
		"chunked":           {"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde", ""},
		"chunked, trailers": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\nz: w\r\n\r\n", "a", ""},
		"100 first":         {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", "b", ""},
		"error":             {"HTTP/1.1 503 Slow\r\nContent-Length: 35\r\n\r\n<Error><Code>SlowDown</Code></Error", "", "SlowDown"},
		"error, no XML":     {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad", "", "HTTP 502"},
		"cut":               {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "abc", CodeConnection},
		"not HTTP":          {"SSH-2.0-OpenSSH\r\n\r\n", "", CodeConnection},
		"no length":         {"HTTP/1.1 200 OK\r\n\r\n", "", CodeConnection},
		"bad chunk":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", CodeConnection},
	} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			in := bufio.NewReader(server)
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == "\r\n" {
					break
				}
			}
			server.Write([]byte(c.answer))
		}()
		w := newConn(&target{host: "h", timeout: time.Minute}, testCredentials)
		w.nc = client
		w.in.Reset(client)
		var got strings.Builder
		_, err := w.do(&request{method: "GET", path: "/b/k"}, func(p []byte) error { got.Write(p); return nil })
		code := ""
		if err != nil {
			code = CodeOf(err)
		}
		if got.String() != c.body || code != c.code {
			t.Errorf("%s: body %q, code %q (%v)", name, got.String(), code, err)
		}
		w.close()
	}
}
