package nodeport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

const (
	deadAfter      = 15 * time.Second // bytes that the peer's system does not acknowledge for so long end the connection
	etcdDeadAfter  = 4 * time.Second  // so they do one to etcd: a client follows the map over one connection, and another member knows as much
	keepAliveIdle  = 5 * time.Second  // without a byte for so long, the peer's system is asked
	keepAliveEvery = 3 * time.Second
)

// patience is how long a connection that this side makes outlives its peer.
func patience(protocol Protocol) time.Duration {
	if protocol == Etcd {
		return etcdDeadAfter
	}
	return deadAfter
}

// giveUpOnDead has a connection end soon after its peer's machine has gone, or the way to it: the system's own patience is 15 minutes
// (tcp(7), TCP_USER_TIMEOUT). What cannot be set stays as it is.
func giveUpOnDead(nc net.Conn, after time.Duration) {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveEvery, Count: 3})
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}
