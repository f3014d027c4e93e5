package gateway

import (
	"container/list"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many connections clients have, whoever they are: each is an open file, and drives that find none left fail. Where there
// would be more, the one that has been without a request for longest is closed. changed may be called from any goroutine.
type connections struct {
	max int
	log *slog.Logger

	mu    sync.Mutex
	open  map[net.Conn]*list.Element // its place in quiet; nil: a request is under way
	quiet *list.List                 // of net.Conn: those without a request, longest first
	told  time.Time                  // when the log was told last
}

func newConnections(most int, log *slog.Logger) *connections {
	return &connections{max: most, log: log, open: map[net.Conn]*list.Element{}, quiet: list.New()}
}

// changed is http.Server's ConnState.
func (c *connections) changed(conn net.Conn, to http.ConnState) {
	if excess := c.note(conn, to); excess != nil {
		if t, ok := excess.(interface{ NetConn() net.Conn }); ok { // of TLS, whose farewell could wait for the client
			excess = t.NetConn()
		}
		excess.Close()
	}
}

// note keeps the books, and returns the connection that is one too many.
func (c *connections) note(conn net.Conn, to http.ConnState) (excess net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, known := c.open[conn]
	if !known && to != http.StateNew {
		return nil // it was one too many
	}
	if place != nil {
		c.quiet.Remove(place)
	}
	switch to {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.quiet.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
	if len(c.open) <= c.max {
		return nil
	}
	excess = c.quiet.Remove(c.quiet.Front()).(net.Conn) // conn is new, and among them
	delete(c.open, excess)
	if now := time.Now(); now.Sub(c.told) > time.Minute {
		c.told = now
		c.log.Warn("more connections than there are open files for: those that are idle for longest are closed", "max", c.max)
	}
	return excess
}
